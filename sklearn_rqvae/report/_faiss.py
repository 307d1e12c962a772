"""The residual quantizer of faiss behind the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["FaissResidualQuantizer", "why_not_faiss"]


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
