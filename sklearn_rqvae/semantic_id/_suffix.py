"""Collisions resolved by one more code that counts the items with the same codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._keys import KeyLayout
from ._ordering import rank

__all__ = ["in_group", "position_in_group", "suffixes"]


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


def suffixes(
    layout: KeyLayout,
    columns: Sequence[NDArray[Any]],
    order: NDArray[np.intp],
    bare_keys: NDArray[Any],
    keys: NDArray[Any],
    order_of_keys: NDArray[Any],
    retired: NDArray[Any],
    suffix_size: int | None,
) -> NDArray[np.int64]:
    """Return the suffixes of new items among old ones.

    Parameters
    ----------
    layout : KeyLayout
        How codes and suffix are packed.
    columns : sequence of ndarray of shape (n_new,)
        Codes of the new items at each level.
    order : ndarray of int of shape (n_new,)
        Sorts the new items by codes, then by item id.
    bare_keys : ndarray of shape (n_new,)
        Packed codes of the new items, without suffix.
    keys, order_of_keys : ndarray of shape (n_old,)
        Keys of the old items and what sorts them.
    retired : ndarray of shape (n_retired,)
        Sorted keys that are not to be used again.
    suffix_size : int or None
        Number of suffixes.

    Returns
    -------
    suffix : ndarray of int of shape (n_new,)
        Counts on from the largest suffix of each group; the gaps are used when that would pass
        `suffix_size`.

    Raises
    ------
    ValueError
        If the items with the same codes outnumber `suffix_size`.
    """
    n_new, n_levels = len(bare_keys), len(columns)
    zero = np.zeros(n_new, dtype=np.int64)
    low = layout.pack([*columns, zero])
    high = layout.pack([*columns, zero + layout.sizes[-1] - 1])
    following = zero.copy()
    for stored, stored_order in ((keys, order_of_keys), (retired, None)):
        start = rank(stored, stored_order, low)
        stop = rank(stored, stored_order, high, side="right")
        used = stop > start
        last = stop[used] - 1
        found = stored[last if stored_order is None else stored_order[last]]
        following[used] = np.maximum(following[used], layout.column(found, n_levels) + 1)
    suffix = np.empty(n_new, dtype=np.int64)
    suffix[order] = position_in_group(bare_keys[order])
    suffix += following
    if suffix_size is not None and n_new and suffix.max() >= suffix_size:
        for key in np.unique(bare_keys[suffix >= suffix_size]):
            group = order[bare_keys[order] == key]
            first = group[0]
            in_use = [
                layout.column(stored[found], n_levels)
                for stored, found in (
                    (keys, _between(keys, order_of_keys, low[first], high[first])),
                    (retired, _between(retired, None, low[first], high[first])),
                )
            ]
            # The group fills up its gaps, smallest first.
            free = np.setdiff1d(np.arange(suffix_size), np.concatenate(in_use))
            if len(free) < len(group):
                codes = tuple(int(column[first]) for column in columns)
                raise ValueError(
                    f"{len(group)} new items have the codes {codes}, for which {len(free)} of "
                    "suffix_size="
                    f"{suffix_size} suffixes are free; build the index again with a larger "
                    "suffix_size."
                )
            suffix[group] = free[: len(group)]
    return suffix


def _between(
    keys: NDArray[Any], order: NDArray[Any] | None, low: Any, high: Any
) -> NDArray[np.intp]:
    """Return the positions of keys from `low` to `high`."""
    start = int(rank(keys, order, np.array([low], dtype=keys.dtype))[0])
    stop = int(rank(keys, order, np.array([high], dtype=keys.dtype), side="right")[0])
    places = np.arange(start, stop)
    return places if order is None else order[places]
