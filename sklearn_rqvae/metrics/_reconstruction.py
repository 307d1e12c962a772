"""How well vectors come back from their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae.metrics._checks import check_pair


def squared_error_sum(X: NDArray[Any], reconstruction: NDArray[Any]) -> float:
    """Sum the squared differences in float64, chunk by chunk."""
    total = 0.0
    for rows in row_chunks(len(X), 8 * X.shape[1]):
        difference = np.subtract(X[rows], reconstruction[rows], dtype=np.float64)
        # not vdot: BLAS wakes its threads for each chunk, and they wait for each other
        total += float(np.einsum("ij,ij->", difference, difference))
    return total


def squared_deviation_sum(X: NDArray[Any]) -> float:
    """Sum the squared distances of the rows of `X` from their mean."""
    mean = np.zeros(X.shape[1])
    for rows in row_chunks(len(X), 8 * X.shape[1]):
        mean += X[rows].sum(axis=0, dtype=np.float64)
    return squared_error_sum(X, np.broadcast_to(mean / len(X), X.shape))


def reconstruction_error(X: ArrayLike, reconstruction: ArrayLike) -> float:
    """Compute the mean squared error of a reconstruction, over samples and features.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors.
    reconstruction : array-like of shape (n_samples, n_features)
        What came back from their codes.

    Returns
    -------
    error : float
        Mean of the squared differences, in squared units of `X`, at least 0.

    Raises
    ------
    ValueError
        If the arrays differ in shape, are empty, aren't 2-dimensional, or aren't finite.

    See Also
    --------
    fraction_variance_unexplained : The same without units, comparable between data sets.

    References
    ----------
    .. [1] Gersho, A. and Gray, R. M. "Vector quantization and signal compression", chapter 10.
       Springer, 1992.

    Examples
    --------
    The squared differences are 0, 4, 0 and 0:

    >>> from sklearn_rqvae.metrics import reconstruction_error
    >>> reconstruction_error([[0.0, 2.0], [4.0, 0.0]], [[0.0, 0.0], [4.0, 0.0]])
    1.0
    """
    X, reconstruction = check_pair(X, reconstruction)
    return squared_error_sum(X, reconstruction) / X.size


def fraction_variance_unexplained(X: ArrayLike, reconstruction: ArrayLike) -> float:
    r"""Compute the share of the variance that a reconstruction leaves.

    This is :math:`\sum_i \lVert x_i - \hat x_i \rVert^2 / \sum_i \lVert x_i - \bar x \rVert^2` [1]_
    with :math:`\bar x` the mean of the rows of `X`: one minus the coefficient of determination,
    features weighted by their variance. It has no unit and changes neither when `X` and its
    reconstruction are scaled nor when they are shifted or rotated together.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors, not all equal.
    reconstruction : array-like of shape (n_samples, n_features)
        What came back from their codes.

    Returns
    -------
    fraction : float
        0 for an exact reconstruction, 1 for one that is no better than the mean, above 1 if it is
        worse.

    Raises
    ------
    ValueError
        If the arrays differ in shape, are empty, aren't 2-dimensional, or aren't finite, or if all
        rows of `X` are equal, so that there is no variance to explain.

    See Also
    --------
    reconstruction_error : The numerator, as a mean.
    distortion_by_level : This fraction for each number of levels.

    References
    ----------
    .. [1] Draper, N. R. and Smith, H. "Applied regression analysis", chapter 1. Wiley, 3rd edition,
       1998.

    Examples
    --------
    The mean is (2, 1), the deviations from it sum to 5 + 5, the squared differences to 4:

    >>> from sklearn_rqvae.metrics import fraction_variance_unexplained
    >>> fraction_variance_unexplained([[0.0, 2.0], [4.0, 0.0]], [[0.0, 0.0], [4.0, 0.0]])
    0.4
    """
    X, reconstruction = check_pair(X, reconstruction)
    return squared_error_sum(X, reconstruction) / checked_variance(X)


def checked_variance(X: NDArray[Any]) -> float:
    """Return the sum of squared deviations, or raise where there are none."""
    variance = squared_deviation_sum(X)
    # A mean that rounds leaves a trace of variance in equal rows: look at the rows too.
    chunks = row_chunks(len(X), 8 * X.shape[1])
    if variance == 0 or all((X[rows] == X[0]).all() for rows in chunks):
        raise ValueError(
            f"the {len(X)} rows of X are all equal, so there is no variance to explain; "
            "give at least two different rows, or use reconstruction_error."
        )
    return variance


def mean_cosine_similarity(X: ArrayLike, reconstruction: ArrayLike) -> float:
    """Compute the mean cosine between vectors and their reconstruction.

    Vectors are not centered. A row of zeros has no direction: its similarity counts as 0.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors.
    reconstruction : array-like of shape (n_samples, n_features)
        What came back from their codes.

    Returns
    -------
    similarity : float
        From -1 to 1, which means that all directions are kept; lengths don't matter.

    Raises
    ------
    ValueError
        If the arrays differ in shape, are empty, aren't 2-dimensional, or aren't finite.

    References
    ----------
    .. [1] Salton, G. and McGill, M. J. "Introduction to modern information retrieval", chapter 4.
       McGraw-Hill, 1983.

    Examples
    --------
    The cosines are 1 and 0.6:

    >>> from sklearn_rqvae.metrics import mean_cosine_similarity
    >>> mean_cosine_similarity([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [4.0, 3.0]])
    0.8
    """
    X, reconstruction = check_pair(X, reconstruction)
    total = 0.0
    for rows in row_chunks(len(X), 8 * X.shape[1]):
        pair = _unit_rows(X[rows]), _unit_rows(reconstruction[rows])
        total += float(np.einsum("ij,ij->", *pair))
    return total / len(X)


def _unit_rows(X: NDArray[Any]) -> NDArray[np.float64]:
    """Scale rows to length 1 in float64, rows of zeros excepted."""
    X = X.astype(np.float64)
    largest = np.abs(X).max(
        axis=1, keepdims=True
    )  # scaled first, so that squares neither overflow nor vanish
    X /= np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norm > 0, norm, 1)
