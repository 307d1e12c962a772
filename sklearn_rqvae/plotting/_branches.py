"""First codes grouped by likeness, where there are too many to show one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import BisectingKMeans
from sklearn.preprocessing import normalize


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
    """Group codes by the directions of their means, in branches of about as many codes.

    The largest branch is split in two by k-means until there are enough. The means of real catalogs
    crowd around the catalog's mean; k-means of the means themselves would put most of them in one
    branch, and what stands out in the others.

    Parameters
    ----------
    means : ndarray of shape (n_codes, n_features)
        Mean vector of each code.
    counts : ndarray of shape (n_codes,)
        Number of samples of each code.
    n_branches : int
        Number of branches; fewer if there are fewer distinct directions from the catalog's mean.

    Returns
    -------
    branch : ndarray of shape (n_codes,)
        Branch of each code, from 0, that of the most samples first.
    """
    directions = normalize(means - np.average(means, axis=0, weights=counts))
    distinct, position = np.unique(directions, axis=0, return_inverse=True)
    n_branches = min(n_branches, len(distinct))
    halving = BisectingKMeans(
        n_branches, n_init=5, random_state=0, bisecting_strategy="largest_cluster"
    )
    labels = halving.fit(distinct).labels_[position]
    size = np.bincount(labels, weights=counts, minlength=n_branches)
    rank = np.argsort(np.argsort(-size, kind="stable"))
    return rank[labels]
