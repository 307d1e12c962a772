"""An order of rows that their unit and their origin don't change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae._rows._source import RowSource

__all__ = ["arranged_rows"]


def arranged_rows(source: RowSource, index: NDArray[np.intp], n_fixed: int = 0) -> NDArray[np.intp]:
    """Put distinct rows into an order that scaling and shifting them doesn't change.

    Rows are sorted by their inner product with a fixed random direction, and then shuffled by a
    permutation that depends on their number alone: the first ones are spread over all. Another unit
    or origin changes the products of all rows alike, and its rounding at most makes neighbors
    change places: all other rows stay where they are, which no order of hashes could promise.

    Parameters
    ----------
    source : RowSource
        Rows.
    index : ndarray of shape (n_distinct,)
        Positions of distinct rows, in an order that depends on their values alone.
    n_fixed : int, default=0
        Last features that don't change with the others; they only part rows that are equal else.

    Returns
    -------
    order : ndarray of shape (n_distinct,)
        A permutation: ``index[order]`` are the positions in that order.
    """
    direction = np.random.default_rng(0).uniform(0.5, 1.5, source.shape[1])
    direction *= np.random.default_rng(1).choice([-1.0, 1.0], source.shape[1])
    place = np.empty((2, len(index)))
    n_moved = source.shape[1] - n_fixed
    for some in row_chunks(len(index), 8 * source.shape[1]):
        # Not by a matrix product, which may round a row differently among others.
        products = source.take(index[some], np.float64) * direction
        place[:, some] = products[:, n_moved:].sum(axis=1), products[:, :n_moved].sum(axis=1)
    shuffled = np.random.default_rng(len(index)).permutation(len(index))
    return np.lexsort(place)[shuffled]
