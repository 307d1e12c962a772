"""What each level adds to the reconstruction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae.metrics._checks import (
    check_codes_and_size,
    check_pair,
    check_vectors,
)
from sklearn_rqvae.metrics._reconstruction import checked_variance, squared_error_sum


def prefix_reconstructions(
    codes: ArrayLike, codebooks: Sequence[ArrayLike]
) -> Iterator[NDArray[Any]]:
    r"""Sum up the codewords of the first one, two, … levels.

    With residual quantization the first k codes decode to :math:`\sum_{l<k} e_l[c_l]` [1]_. For a
    model with a decoder this is its latent; pass ``inverse_transform(codes[:, :k])`` for k from 1
    to ``n_layers`` where vectors are wanted.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level.
    codebooks : sequence of n_layers array-likes of shape (codebook_size, embed_dim)
        Codewords of each level.

    Yields
    ------
    quantized : ndarray of shape (n_samples, embed_dim)
        Sum of the codewords of the first k levels, for k from 1 to ``n_layers``. Each is an array
        of its own.

    Raises
    ------
    ValueError
        If there isn't one codebook per level, codebooks differ in ``embed_dim``, or `codes` has a
        value that isn't an integer in ``[0, codebook_size)``.

    See Also
    --------
    distortion_by_level : Judge these reconstructions.

    References
    ----------
    .. [1] Juang, B.-H. and Gray, A. H. "Multiple stage vector quantization for speech coding".
       ICASSP, 1982.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import prefix_reconstructions
    >>> codebooks = [[[0.0, 0.0], [4.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]
    >>> for quantized in prefix_reconstructions([[0, 1], [1, 0]], codebooks):
    ...     print(quantized.tolist())
    [[0.0, 0.0], [4.0, 0.0]]
    [[0.0, 1.0], [4.0, -1.0]]
    """
    arrays = [
        check_vectors(codebook, f"codebook of level {level}")
        for level, codebook in enumerate(codebooks)
    ]
    codes, _ = check_codes_and_size(codes, [len(array) for array in arrays])
    widths = sorted({array.shape[1] for array in arrays})
    if len(widths) != 1:
        raise ValueError(
            f"codebooks should all have vectors of one length, got the lengths {widths}."
        )
    return _cumulative_codewords(
        codes, arrays
    )  # a generator apart, so that bad input is refused at the call


def _cumulative_codewords(
    codes: NDArray[Any], codebooks: Sequence[NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    """Yield the running sum of codewords over levels."""
    quantized = codebooks[0][codes[:, 0]]
    yield quantized
    for level in range(1, len(codebooks)):
        quantized = quantized + codebooks[level][codes[:, level]]
        yield quantized


def distortion_by_level(X: ArrayLike, reconstructions: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Compute the fraction of variance left by the first one, two, … levels.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors, not all equal.
    reconstructions : iterable of array-likes of shape (n_samples, n_features)
        Reconstruction from the first code, from the first two, and so on. An iterator is consumed
        one array at a time, so that only one of them has to fit in memory.

    Returns
    -------
    distortion : ndarray of shape (n_layers,), dtype=float64
        `fraction_variance_unexplained` of each reconstruction. It need not fall from level to level
        on samples that the model hasn't seen.

    Raises
    ------
    ValueError
        If there is no reconstruction, one has another shape than `X`, an array isn't finite, or all
        rows of `X` are equal.

    See Also
    --------
    prefix_reconstructions : Reconstructions from codes and codebooks.
    residual_norms : What is left of each sample.

    Examples
    --------
    The deviations from the mean (2, 0) sum to 5 + 5. One level leaves 1 + 1 of it, two levels leave
    nothing:

    >>> from sklearn_rqvae.metrics import distortion_by_level, prefix_reconstructions
    >>> codebooks = [[[0.0, 0.0], [4.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]
    >>> reconstructions = prefix_reconstructions([[0, 1], [1, 0]], codebooks)
    >>> distortion_by_level([[0.0, 1.0], [4.0, -1.0]], reconstructions)
    array([0.2, 0. ])
    """
    array = check_vectors(X)
    variance = checked_variance(array)

    def error(reconstruction: ArrayLike) -> float:
        return squared_error_sum(*check_pair(array, reconstruction))

    errors = list(map(error, reconstructions))  # a loop would hold one while the next is made
    if not errors:
        raise ValueError("reconstructions should hold at least one array, got none.")
    return np.array(errors) / variance


def residual_norms(X: ArrayLike, reconstructions: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Compute how far each sample is from its reconstructions.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors.
    reconstructions : iterable of array-likes of shape (n_samples, n_features)
        Reconstruction from the first code, from the first two, and so on.

    Returns
    -------
    norms : ndarray of shape (n_samples, n_layers), dtype=float64
        Euclidean norm of the residual of each sample after each level, in units of `X`.

    Raises
    ------
    ValueError
        If there is no reconstruction, one has another shape than `X`, or an array isn't finite.

    See Also
    --------
    distortion_by_level : One number per level.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import prefix_reconstructions, residual_norms
    >>> codebooks = [[[0.0, 0.0], [4.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]
    >>> reconstructions = prefix_reconstructions([[0, 1], [1, 0]], codebooks)
    >>> residual_norms([[3.0, 4.0], [4.0, -1.0]], reconstructions)
    array([[5.        , 4.24264069],
           [1.        , 0.        ]])
    """
    array = check_vectors(X)
    norms = [
        _row_distances(*check_pair(array, reconstruction)) for reconstruction in reconstructions
    ]
    if not norms:
        raise ValueError("reconstructions should hold at least one array, got none.")
    return np.stack(norms, axis=1)


def _row_distances(X: NDArray[Any], reconstruction: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the distance of each row from its reconstruction in float64."""
    norms = np.empty(len(X))
    for rows in row_chunks(len(X), 8 * X.shape[1]):
        norms[rows] = np.linalg.norm(
            np.subtract(X[rows], reconstruction[rows], dtype=np.float64), axis=1
        )
    return norms
