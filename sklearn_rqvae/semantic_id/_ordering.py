"""Binary search in an array through the permutation that sorts it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "canonical_order",
    "in_group",
    "insert_sorted",
    "insert_values",
    "is_among",
    "is_increasing",
    "position_in_group",
    "rank",
    "rank_one",
]

# Queries up to which a search one by one costs less than arrays of so few.
_FEW = 4


def rank(
    values: NDArray[Any],
    order: NDArray[Any] | None,
    queries: NDArray[Any],
    side: str = "left",
    within: tuple[int, int] | None = None,
) -> NDArray[np.intp]:
    """Count the values that are below each query.

    ``numpy.searchsorted`` with a sorter gives the same numbers, but copies a 32-bit sorter at each
    call.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Numbers, bytes or strings in any order.
    order : ndarray of int of shape (n,), or None
        Positions that sort `values`; None if they are sorted.
    queries : ndarray of shape (m,)
        Values of the same type.
    side : {"left", "right"}
        Count the values below each query, or those below or equal.
    within : tuple of (start, stop), optional
        Places among the sorted values between which all answers are known to lie.

    Returns
    -------
    counts : ndarray of shape (m,)
        Place of each query among the sorted values, from 0 to n.
    """
    n = len(values)
    start, stop = (0, n) if within is None else within
    low = np.full(len(queries), start, dtype=np.intp)
    if n == 0 or len(queries) == 0:
        return low
    if order is None and values.dtype.kind != "T":
        return np.searchsorted(values, queries, side=side)  # type: ignore[call-overload]
    if len(queries) <= _FEW and within is None:
        found = [rank_one(values, order, query, side) for query in queries.tolist()]
        return np.array(found, dtype=np.intp)
    high = np.full(len(queries), stop, dtype=np.intp)
    for _ in range((stop - start).bit_length()):
        middle = (low + high) >> 1
        # A query whose interval is empty compares with some value too; its bounds stay as they are.
        at = np.minimum(middle, n - 1)
        probe = values[at if order is None else order[at]]
        below = probe < queries if side == "left" else probe <= queries
        open_ = low < high
        low = np.where(open_ & below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low


def rank_one(
    values: NDArray[Any], order: NDArray[Any] | None, query: Any, side: str = "left"
) -> int:
    """Count the values below one query, as `rank` does, without the cost of small arrays."""
    bisect = bisect_left if side == "left" else bisect_right
    if order is None:
        return bisect(range(len(values)), query, key=values.item)
    return bisect(range(len(values)), query, key=lambda place: values.item(order.item(place)))


def is_among(values: NDArray[Any], sorted_values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which values occur in a sorted array."""
    if len(sorted_values) == 0:
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(rank(sorted_values, None, values), len(sorted_values) - 1)
    return sorted_values[place] == values


def insert_values(sorted_values: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return a sorted array with more values, of which none occurs twice."""
    values = np.unique(values)
    values = values[~is_among(values, sorted_values)]
    return np.insert(sorted_values, rank(sorted_values, None, values), values)


def is_increasing(values: NDArray[Any]) -> bool:
    """Tell whether each value is above the one before it."""
    return bool((values[1:] > values[:-1]).all())


def canonical_order(keys: NDArray[Any], ties: NDArray[Any]) -> NDArray[np.intp]:
    """Sort by `keys`, and where these are equal by `ties`.

    Parameters
    ----------
    keys, ties : ndarray of shape (n,)
        Numbers, bytes or strings.

    Returns
    -------
    order : ndarray of shape (n,)
        Positions that sort; independent of the order of the input as long as all pairs differ.
    """
    order = np.argsort(keys)
    equal = keys[order[1:]] == keys[order[:-1]]
    if equal.any():
        shared = np.zeros(len(keys), dtype=bool)
        shared[1:] = equal
        shared[:-1] |= equal
        # Few values are tied, so only these are sorted a second time.
        rows = order[shared]
        rows = rows[np.argsort(ties[rows], kind="stable")]
        order[shared] = rows[np.argsort(keys[rows], kind="stable")]
    return order


def position_in_group(sorted_keys: NDArray[Any]) -> NDArray[np.int64]:
    """Count from 0 within each run of equal keys."""
    place = np.arange(len(sorted_keys))
    starts = np.append(True, sorted_keys[1:] != sorted_keys[:-1])[: len(sorted_keys)]
    return place - np.maximum.accumulate(np.where(starts, place, 0))


def in_group(keys: NDArray[Any], order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which keys occur more than once, given the order that sorts them."""
    shared = np.zeros(len(keys), dtype=bool)
    same = keys[order[1:]] == keys[order[:-1]]
    shared[order[1:][same]] = True
    shared[order[:-1][same]] = True
    return shared


def insert_sorted(
    values: NDArray[Any], order: NDArray[Any], n_old: int, new_order: NDArray[Any]
) -> NDArray[Any]:
    """Extend the sorting permutation of ``values[:n_old]`` to all `values`.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Old values, then new ones.
    order : ndarray of int of shape (n_old,)
        Positions that sort the old values.
    n_old : int
        Number of old values.
    new_order : ndarray of int of shape (n - n_old,)
        Positions, counted from the first new value, that sort the new values.

    Returns
    -------
    order : ndarray of int of shape (n,)
        Positions that sort all values; new ones stand behind equal old ones.
    """
    places = rank(values[:n_old], order, values[n_old:][new_order], side="right")
    return np.insert(order, places, (new_order + n_old).astype(order.dtype))
