"""PCA, then k-means on what the levels before have left: the plainest way to semantic IDs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin

__all__ = ["PCAKMeans"]


class PCAKMeans(TransformerMixin, BaseEstimator):
    """Quantize the leading principal components by greedy residual k-means.

    The width of 32 is the latent's in most public models. No level is improved once it is fitted.

    Parameters
    ----------
    codebook_size : sequence of int
        Codewords of each level.
    n_components : int, default=32
        Principal components, fewer if the data has fewer.
    random_state : int, default=0
        Draws the starts of k-means.
    """

    def __init__(self, codebook_size: Sequence[int], n_components: int = 32, random_state: int = 0):
        self.codebook_size = codebook_size
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: Any = None) -> PCAKMeans:
        """Fit the components, then one codebook after the other.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Not used.

        Returns
        -------
        self : PCAKMeans
            The fitted transformer.
        """
        width = min(self.n_components, *X.shape)
        self.pca_ = PCA(width, random_state=self.random_state)
        residual = self.pca_.fit_transform(X)
        self.codebooks_: list[NDArray[Any]] = []
        for level, size in enumerate(self.codebook_size):
            kmeans = KMeans(min(size, len(X)), n_init=1, random_state=self.random_state + level)
            with warnings.catch_warnings():
                # Fewer distinct residuals than codewords: some codewords stay unused.
                warnings.simplefilter("ignore", ConvergenceWarning)
                kmeans.fit(residual)
            self.codebooks_.append(kmeans.cluster_centers_)
            residual = residual - kmeans.cluster_centers_[kmeans.labels_]
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """Return the greedy codes, of shape (n_samples, n_layers).

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_layers), dtype=int64
            Code of each row at each level.
        """
        residual = self.pca_.transform(X)
        codes = np.empty((len(X), len(self.codebooks_)), dtype=np.int64)
        for level, codebook in enumerate(self.codebooks_):
            codes[:, level] = pairwise_distances_argmin(residual, codebook)
            residual = residual - codebook[codes[:, level]]
        return codes

    def inverse_transform(self, X: NDArray[np.int64]) -> NDArray[Any]:
        """Reconstruct rows from complete codes or from prefixes.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_levels)
            Codes of the first levels.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
            Decoded rows.
        """
        columns = zip(X.T, self.codebooks_, strict=False)  # a prefix has fewer columns
        return self.pca_.inverse_transform(sum(codebook[column] for column, codebook in columns))
