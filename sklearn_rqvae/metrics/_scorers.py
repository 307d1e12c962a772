"""Scorers for model selection: ``(estimator, X, y=None) -> float``, and more is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import codebook_sizes, codes_of, invertible_tail
from sklearn_rqvae.metrics._collisions import collision_rate
from sklearn_rqvae.metrics._evenness import code_perplexity
from sklearn_rqvae.metrics._information import joint_code_entropy
from sklearn_rqvae.metrics._reconstruction import (
    fraction_variance_unexplained,
    mean_cosine_similarity,
    reconstruction_error,
)
from sklearn_rqvae.metrics._usage import code_utilization


def neg_reconstruction_error(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by minus the mean squared error of the reconstruction.

    Parameters
    ----------
    estimator : object with ``transform`` and ``inverse_transform``
        Fitted transformer. In a pipeline whose first steps have no ``inverse_transform`` (texts
        don't come back from their vectors), or fill in missing numbers, the error is that of the
        remaining steps.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        At most 0, in squared units of the vectors.

    See Also
    --------
    get_scorers : All scorers by name.

    Examples
    --------
    >>> from sklearn.preprocessing import KBinsDiscretizer
    >>> from sklearn_rqvae.metrics import neg_reconstruction_error
    >>> X = [[0.0], [1.0], [2.0], [5.0]]
    >>> binning = KBinsDiscretizer(2, encode="ordinal", strategy="uniform").fit(X)
    >>> binning.inverse_transform(binning.transform(X)).ravel()
    array([1.25, 1.25, 1.25, 3.75])
    >>> neg_reconstruction_error(binning, X)
    -0.9375
    """
    return -reconstruction_error(*_vectors_and_reconstruction(estimator, X))


def neg_fraction_variance_unexplained(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by minus the share of the variance that the reconstruction leaves.

    Parameters
    ----------
    estimator : object with ``transform`` and ``inverse_transform``
        Fitted transformer, or a pipeline that ends with one; see `neg_reconstruction_error`.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        0 for an exact reconstruction, -1 for one that is no better than the mean of these samples.

    See Also
    --------
    fraction_variance_unexplained : The measure.
    """
    return -fraction_variance_unexplained(*_vectors_and_reconstruction(estimator, X))


def cosine_similarity_score(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by the mean cosine between vectors and their reconstruction.

    Parameters
    ----------
    estimator : object with ``transform`` and ``inverse_transform``
        Fitted transformer, or a pipeline that ends with one; see `neg_reconstruction_error`.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        From -1 to 1.

    See Also
    --------
    mean_cosine_similarity : The measure.
    """
    return mean_cosine_similarity(*_vectors_and_reconstruction(estimator, X))


def lowest_perplexity(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by the perplexity of the least evenly used level.

    The worst level counts, because a mean over levels hides a collapsed one.

    Parameters
    ----------
    estimator : object with ``transform``
        Fitted transformer.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        From 1 (a level has collapsed) to the smaller of the codebook size and the number of
        samples.

    See Also
    --------
    code_perplexity : The measure.
    """
    codes = codes_of(estimator, X)
    return float(code_perplexity(codes, int(codes.max()) + 1).min())


def lowest_utilization(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by the utilization of the least used level.

    Parameters
    ----------
    estimator : object with ``transform`` and ``codebooks_``
        Fitted transformer with one codebook per level, or a pipeline that ends with one.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        Share of the level's codewords that these samples use, in (0, 1]. Few samples use few
        codewords: compare scores of equally many samples only.

    Raises
    ------
    ValueError
        If `estimator` has no ``codebooks_``: nothing else tells how many codewords there are.

    See Also
    --------
    code_utilization : The measure.
    """
    sizes = codebook_sizes(estimator)
    return float(code_utilization(codes_of(estimator, X), sizes).min())


def neg_collision_rate(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by minus the collision rate.

    Don't select on it alone: a model that codes at random has no collisions. The rate of a few
    held-out samples is far below that of the catalog.

    Parameters
    ----------
    estimator : object with ``transform``
        Fitted transformer.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        From -1 to 0 (all semantic IDs differ).

    See Also
    --------
    collision_rate : The measure.
    """
    return -collision_rate(codes_of(estimator, X))


def semantic_id_entropy(estimator: BaseEstimator, X: Any, y: Any = None) -> float:
    """Score by the entropy of the semantic IDs.

    Parameters
    ----------
    estimator : object with ``transform``
        Fitted transformer.
    X : array-like of shape (n_samples, n_features)
        Input of `estimator`.
    y : object, optional
        Ignored; here because scikit-learn passes it.

    Returns
    -------
    score : float
        Bits per sample, from 0 to ``log2(n_samples)`` (all semantic IDs differ).

    See Also
    --------
    joint_code_entropy : The measure.
    """
    return float(joint_code_entropy(codes_of(estimator, X))[-1])


def get_scorers() -> dict[str, Callable[..., float]]:
    """Return the scorers by name, ready for ``scoring=`` of a search over several measures.

    Returns
    -------
    scorers : dict of str to callable
        Functions of ``(estimator, X, y=None)``; more is better for each.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.preprocessing import KBinsDiscretizer
    >>> from sklearn_rqvae.metrics import get_scorers
    >>> scorers = get_scorers()
    >>> sorted(scorers)
    ['cosine_similarity', 'lowest_perplexity', 'lowest_utilization', 'neg_collision_rate',
    'neg_fraction_variance_unexplained', 'neg_reconstruction_error', 'semantic_id_entropy']
    >>> del scorers["lowest_utilization"]  # needs codebooks_, which binning lacks
    >>> search = GridSearchCV(
    ...     KBinsDiscretizer(encode="ordinal", strategy="uniform"),
    ...     {"n_bins": [2, 4]},
    ...     cv=2,
    ...     scoring=scorers,
    ...     refit="neg_fraction_variance_unexplained",
    ... )
    >>> search.fit([[0.0], [6.0], [2.0], [5.0], [1.0], [3.0], [2.0], [4.0]]).best_params_
    {'n_bins': 4}
    """
    return {
        "neg_reconstruction_error": neg_reconstruction_error,
        "neg_fraction_variance_unexplained": neg_fraction_variance_unexplained,
        "cosine_similarity": cosine_similarity_score,
        "lowest_perplexity": lowest_perplexity,
        "lowest_utilization": lowest_utilization,
        "neg_collision_rate": neg_collision_rate,
        "semantic_id_entropy": semantic_id_entropy,
    }


def _vectors_and_reconstruction(estimator: BaseEstimator, X: Any) -> tuple[Any, Any]:
    """Return the vectors that can come back and what comes back."""
    estimator, X = invertible_tail(estimator, X)
    return X, estimator.inverse_transform(estimator.transform(X))
