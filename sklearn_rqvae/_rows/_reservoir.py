"""A stream's rows: those that a fit on all of it would use, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae._rows._hashing import hash_rows
from sklearn_rqvae._rows._source import RowSource

__all__ = ["Reservoir", "add_rows"]

# Numbers in rows that wait to be merged, at least; half of the rows to keep is a limit, too.
_LEAST_PENDING_FLOATS = 2**20


class Reservoir:
    """Keep the first distinct rows of a stream in canonical order, and the sums of their weights.

    What is kept is what `canonical_rows` finds among all rows of the stream at once.

    Parameters
    ----------
    max_rows : int
        Rows to keep at most.
    """

    def __init__(self, max_rows: int):
        self.max_rows = max_rows
        self._rows: list[NDArray[np.float32]] = []
        self._weight: list[NDArray[np.float64]] = []
        self._n_rows = 0
        self._largest = np.uint64(2**64 - 1)

    def add(self, X: NDArray[np.float32], sample_weight: NDArray[np.float64] | None = None) -> None:
        """Take rows into account.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), dtype=float32
            Rows, finite.
        sample_weight : ndarray of shape (n_samples,), optional
            Non-negative weights; 1 each if not given.
        """
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        keep = (hash_rows(X) <= self._largest) & (weight > 0)
        self._rows.append(X[keep])
        self._weight.append(weight[keep])
        self._n_rows += len(self._rows[-1])
        if self._n_rows > self.max_rows + max(
            self.max_rows // 2, _LEAST_PENDING_FLOATS // X.shape[1]
        ):
            self.merge()

    def merge(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the rows kept, of shape (n_distinct, n_features), and their weights."""
        rows, weight = np.concatenate(self._rows), np.concatenate(self._weight)
        self._rows = []
        if len(rows):
            index, weight = canonical_rows(rows, weight, self.max_rows)
            rows = rows[index]
        self._rows, self._weight, self._n_rows = [rows], [weight], len(rows)
        if len(rows) == self.max_rows:
            self._largest = hash_rows(rows[-1:])[0]
        return rows, weight


def add_rows(
    known: dict[str, NDArray] | None,
    source: RowSource,
    sample_weight: NDArray[np.float64] | None,
    max_rows: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the rows of a stream that a fit on all of it would use, after some more of them.

    Parameters
    ----------
    known : dict of str to ndarray or None
        What was kept so far: "rows" and "weight".
    source : RowSource
        More rows.
    sample_weight : ndarray of shape (n_samples,) or None
        Their weights.
    max_rows : int
        Distinct rows to keep at most.

    Returns
    -------
    rows : ndarray of shape (n_distinct, n_features), dtype=float32
        Distinct rows in canonical order.
    weight : ndarray of shape (n_distinct,), dtype=float64
        Their weights.
    """
    reservoir = Reservoir(max_rows)
    if known is not None:
        reservoir.add(known["rows"], known["weight"])
    for rows, block in source.blocks():
        reservoir.add(block, None if sample_weight is None else sample_weight[rows])
    return reservoir.merge()
