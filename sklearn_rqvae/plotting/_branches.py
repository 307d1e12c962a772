"""First codes grouped by likeness, where there are too many to show one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import KMeans


def code_means(X: NDArray, code: NDArray, n_codes: int) -> NDArray[np.float64]:
    """Return the mean vector of the samples of each code.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Vectors.
    code : ndarray of shape (n_samples,)
        Code of each sample, in ``[0, n_codes)``; each code occurs.
    n_codes : int
        Number of codes.

    Returns
    -------
    means : ndarray of shape (n_codes, n_features), dtype=float64
        Mean of each code.
    """
    ones = np.ones(len(code))
    membership = csr_array((ones, (code, np.arange(len(code)))), shape=(n_codes, len(code)))
    return (membership @ X) / np.bincount(code, minlength=n_codes)[:, np.newaxis]


def branches_of(means: NDArray, counts: NDArray, n_branches: int) -> NDArray[np.intp]:
    """Group codes by k-means of their means, each weighted by its number of samples.

    Parameters
    ----------
    means : ndarray of shape (n_codes, n_features)
        Mean vector of each code.
    counts : ndarray of shape (n_codes,)
        Number of samples of each code.
    n_branches : int
        Number of branches; fewer if there are fewer distinct means.

    Returns
    -------
    branch : ndarray of shape (n_codes,)
        Branch of each code, from 0, that of the most samples first.
    """
    n_branches = min(n_branches, len(np.unique(means, axis=0)))
    labels = KMeans(n_branches, n_init=5, random_state=0).fit(means, sample_weight=counts).labels_
    size = np.bincount(labels, weights=counts, minlength=n_branches)
    rank = np.argsort(np.argsort(-size, kind="stable"))
    return rank[labels]
