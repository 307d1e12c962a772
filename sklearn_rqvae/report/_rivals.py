"""What a model is compared with: plain residual k-means, and the residual quantizer of faiss."""

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

__all__ = ["FaissResidualQuantizer", "PCAKMeans", "why_not_faiss"]


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


def why_not_faiss(codebook_size: Sequence[int], n_rows: int) -> str | None:
    """Return why faiss can't be compared, None if it can."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        return "faiss isn't installed (pip install faiss-cpu)"
    odd = [size for size in codebook_size if size & (size - 1) or size < 2]
    if odd:
        return f"faiss wants powers of two, and codebook_size has {odd[0]}"
    if n_rows < max(codebook_size):
        return f"faiss wants as many training rows as codewords, {n_rows} < {max(codebook_size)}"
    return None


class FaissResidualQuantizer(TransformerMixin, BaseEstimator):
    """Quantize centered rows with ``faiss.ResidualQuantizer`` and its defaults.

    Parameters
    ----------
    codebook_size : sequence of int
        Codewords of each level, powers of two.
    random_state : int, default=0
        Seed of k-means.
    """

    def __init__(self, codebook_size: Sequence[int], random_state: int = 0):
        self.codebook_size = codebook_size
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: Any = None) -> FaissResidualQuantizer:
        """Train the quantizer.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Not used.

        Returns
        -------
        self : FaissResidualQuantizer
            The fitted transformer.
        """
        import faiss

        self.bits_ = [size.bit_length() - 1 for size in self.codebook_size]
        bits: Any = faiss.UInt64Vector()
        for n_bits in self.bits_:
            bits.push_back(n_bits)
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.quantizer_ = faiss.ResidualQuantizer(X.shape[1], bits)
        self.quantizer_.cp.min_points_per_centroid = 1  # else it complains on the standard error
        self.quantizer_.cp.seed = self.random_state
        self.quantizer_.train(self._center(X))
        flat = faiss.vector_to_array(self.quantizer_.codebooks).reshape(-1, X.shape[1])
        self.codebooks_ = np.split(flat[: sum(self.codebook_size)], np.cumsum(self.codebook_size))
        self.codebooks_.pop()  # what np.split leaves after the last level
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """Return the codes that faiss finds with its beam search.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_layers), dtype=int64
            Code of each row at each level.
        """
        packed = self.quantizer_.compute_codes(self._center(X))
        # Codes lie bit by bit, the lowest first, without a gap between levels.
        stream = np.unpackbits(packed, axis=1, bitorder="little").astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(self.bits_)])
        return np.stack(
            [
                stream[:, start : start + n_bits] @ (1 << np.arange(n_bits))
                for start, n_bits in zip(starts, self.bits_, strict=False)
            ],
            axis=1,
        )

    def inverse_transform(self, X: NDArray[np.int64]) -> NDArray[Any]:
        """Reconstruct rows from complete codes or from prefixes.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_levels)
            Codes of the first levels.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
            The mean plus the codewords.
        """
        columns = zip(X.T, self.codebooks_, strict=False)  # a prefix has fewer columns
        return sum((codebook[column] for column, codebook in columns), start=self.mean_)

    def _center(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return np.ascontiguousarray(X - self.mean_, dtype=np.float32)
