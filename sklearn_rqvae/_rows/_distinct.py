"""Distinct rows in an order that depends on them alone, by hashing and an exact check."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._rows._hashing import hash_rows
from sklearn_rqvae._rows._source import RowSource

__all__ = ["canonical_rows"]

# Rows on the list before it is merged; at least twice the number of rows that are to remain.
_LEAST_PENDING = 2**20
# Pairs of rows compared at a time.
_COMPARED_FLOATS = 2**20


class _List(NamedTuple):
    """Rows by position, with their hashes and weights."""

    key: NDArray[np.uint64]
    position: NDArray[np.intp]
    weight: NDArray[np.float64]


def canonical_rows(
    X: NDArray[Any] | RowSource,
    sample_weight: NDArray[np.float64] | None = None,
    max_rows: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the distinct rows of `X`, in an order that depends on them alone, and their weights.

    A fit on ``X[index]`` with ``weight`` is a function of the weighted set of rows: repeating a row
    and doubling its weight are the same, and neither the order of the rows nor rows of weight zero
    matter. The order is that of the rows' hashes, so the first rows are a random sample of all:
    with `max_rows` only these are returned, and memory doesn't grow with `X`.

    Rows of equal hashes are compared, and only merged when equal.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or RowSource
        Rows; compared in float32.
    sample_weight : ndarray of shape (n_samples,), optional
        Non-negative weights; 1 each if not given.
    max_rows : int, optional
        Distinct rows to keep at most: those with the smallest hashes. Their weights are still
        summed over all of `X`; rows are drawn whatever their weight is.

    Returns
    -------
    index : ndarray of shape (n_distinct,)
        Position of the first occurrence of each distinct row with positive weight.
    weight : ndarray of shape (n_distinct,), dtype=float64
        Sum of the weights of each distinct row.
    """
    source = X if isinstance(X, RowSource) else RowSource(X)
    if source.is_sharded:
        found: tuple[NDArray[np.intp], NDArray[np.float64]]
        found = source.distinct(sample_weight, max_rows)
        return found
    max_pending = np.inf if max_rows is None else max(_LEAST_PENDING, 2 * max_rows)
    pending: list[_List] = []
    n_pending = 0
    largest = np.uint64(2**64 - 1)
    for rows, block in source.blocks():
        key = hash_rows(block)
        keep = key <= largest
        weight = None if sample_weight is None else sample_weight[rows]
        if weight is not None:
            keep &= weight > 0
        kept = np.flatnonzero(keep)
        ones = np.ones(len(kept)) if weight is None else weight[kept].astype(np.float64)
        pending.append(_List(key[kept], kept + rows.start, ones))
        n_pending += len(kept)
        if n_pending > max_pending:
            merged = _merge(pending, source, max_rows)
            pending, n_pending = [merged], len(merged.key)
            if n_pending == max_rows:
                largest = merged.key[-1]
    merged = _merge(pending, source, max_rows)
    return merged.position, merged.weight


def _merge(pending: list[_List], source: RowSource, max_rows: int | None) -> _List:
    """Sort by hash, merge equal rows, and keep the first `max_rows`."""
    key, index, weight = (np.concatenate(parts) for parts in zip(*pending, strict=True))
    # Rows of one hash stand by weight, so that sums don't depend on the order that they came in.
    order = np.lexsort((index, weight, key))
    starts = np.concatenate(([True], key[order[1:]] != key[order[:-1]]))[: len(order)]
    starts[1:] |= ~_equal_to_previous(source, index[order], ~starts)[1:]
    run = np.cumsum(np.concatenate(([True], key[order[1:]] != key[order[:-1]]))[: len(order)])
    unlike = np.unique(run[starts & (np.bincount(run[starts])[run] > 1)])
    if len(unlike):  # unequal rows of one hash: sort these whole
        mixed = np.isin(run, unlike)
        members = order[mixed]
        rows = source.take(index[members]) + np.float32(0)
        as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
        rank = np.unique(as_bytes, return_inverse=True)[1]
        inner = np.lexsort((index[members], weight[members], rank, run[mixed]))
        order[mixed] = members[inner]
        starts[mixed] = np.diff(rank[inner], prepend=-1) != 0
        starts[mixed] |= np.diff(run[mixed], prepend=-1) != 0
    group = np.cumsum(starts) - 1
    n_groups = int(group[-1]) + 1 if len(group) else 0
    total = np.bincount(group, weights=weight[order], minlength=n_groups).astype(np.float64)
    first = np.minimum.reduceat(index[order], np.flatnonzero(starts)) if n_groups else index
    return _List(key[order][starts][:max_rows], first[:max_rows], total[:max_rows])


def _equal_to_previous(
    source: RowSource, index: NDArray[np.intp], ask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether each row that is asked for equals the one before it on the list."""
    equal = np.zeros(len(index), dtype=bool)
    asked = np.flatnonzero(ask)
    step = max(1, _COMPARED_FLOATS // source.shape[1])
    for start in range(0, len(asked), step):
        part = asked[start : start + step]
        pairs = source.take(np.concatenate([index[part], index[part - 1]]))
        equal[part] = (pairs[: len(part)] == pairs[len(part) :]).all(axis=1)
    return equal
