"""Collisions resolved by one more code that counts the items with the same codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._ordering import position_in_group
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = ["suffixes"]


def suffixes(
    store: IDStore,
    columns: Sequence[NDArray[Any]],
    order: NDArray[np.intp],
    bare_keys: NDArray[Any],
    suffix_size: int | None,
) -> NDArray[np.int64]:
    """Return the suffixes of new items among old ones.

    Parameters
    ----------
    store : IDStore
        Old items, their IDs with suffix.
    columns : sequence of ndarray of shape (n_new,)
        Codes of the new items at each level.
    order : ndarray of int of shape (n_new,)
        Sorts the new items by codes, then by item id.
    bare_keys : ndarray of shape (n_new,)
        Packed codes of the new items, without suffix.
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
    layout, n_levels = store.layout, len(columns)
    zero = np.zeros(len(bare_keys), dtype=np.int64)
    low = layout.pack([*columns, zero])
    high = layout.pack([*columns, zero + layout.sizes[-1] - 1])
    following = zero.copy()
    for used, last in store.last_of(low, high):
        largest = layout.column(last, n_levels)
        following[used] = np.maximum(following[used], largest + 1)
    suffix = np.empty_like(zero)
    suffix[order] = position_in_group(bare_keys[order])
    suffix += following
    if suffix_size is not None:
        for key in np.unique(bare_keys[suffix >= suffix_size]):
            group = order[bare_keys[order] == key]
            codes = [int(column[group[0]]) for column in columns]
            suffix[group] = _gaps(store, codes, len(group), suffix_size)
    return suffix


def _gaps(store: IDStore, codes: list[int], n_new: int, suffix_size: int) -> NDArray[np.int64]:
    """Return the smallest suffixes that are neither used nor retired."""
    used = store.layout.column(store.keys_with(codes), len(codes))
    free = np.setdiff1d(np.arange(suffix_size), used)
    if len(free) < n_new:
        raise ValueError(
            f"{n_new} new items have the codes {tuple(codes)}, for which {len(free)} of "
            f"suffix_size={suffix_size} suffixes are free; build the index again with a larger "
            "suffix_size."
        )
    return free[:n_new]
