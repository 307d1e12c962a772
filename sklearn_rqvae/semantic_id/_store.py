"""Packed IDs and item ids, each in the order of rows, and what sorts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._item_ids import check_item_ids, compact, hand_out, item_order
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._ordering import (
    canonical_order,
    insert_sorted,
    is_increasing,
    rank,
    rank_one,
)

__all__ = ["IDStore"]

_KINDS = {"i": "integers", "T": "strings"}


class IDStore:
    """Find items by ID and IDs by item; knows nothing of how collisions are resolved.

    Parameters
    ----------
    layout : KeyLayout
        How IDs are packed.
    keys : ndarray of shape (n_items,)
        Packed IDs, in the order of rows.
    order : ndarray of int of shape (n_items,)
        Rows in the order of keys.
    item_ids : ndarray of shape (n_items,)
        Item ids, in the order of rows.
    item_order : ndarray of int of shape (n_items,) or None
        Rows in the order of item ids; None if these are sorted.
    retired : ndarray of shape (n_retired,), optional
        Keys not to be used again, sorted.
    """

    def __init__(
        self,
        layout: KeyLayout,
        keys: NDArray[Any],
        order: NDArray[Any],
        item_ids: NDArray[Any],
        item_order: NDArray[Any] | None,
        retired: NDArray[Any] | None = None,
    ) -> None:
        self.layout = layout
        self.keys = keys
        self.order = compact(order)
        self.item_ids = compact(item_ids)
        self.item_order = item_order
        self.retired = keys[:0].copy() if retired is None else retired

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        arrays = (self.keys, self.order, self.item_ids, self.item_order, self.retired)
        return sum(array.nbytes for array in arrays if array is not None)

    def sorted_keys(self) -> NDArray[Any]:
        """Return the keys in their order."""
        return self.keys[self.order]

    def items_at(self, places: slice | NDArray[np.intp]) -> NDArray[Any]:
        """Return the item ids at places in the order of keys."""
        return hand_out(self.item_ids[self.order[places]])

    # From IDs

    def range(self, prefix: Sequence[int]) -> tuple[int, int]:
        """Return where the IDs with a prefix begin and end in the order of keys."""
        low, high = self.layout.bounds(prefix)
        start = rank_one(self.keys, self.order, low)
        return start, rank_one(self.keys, self.order, high, side="right")

    def places_of(self, keys: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where each key begins in the order of keys, and how many items have it."""
        start = rank(self.keys, self.order, keys)
        return start, rank(self.keys, self.order, keys, side="right") - start

    def count_retired(self, prefix: Sequence[int]) -> int:
        """Count the retired IDs with a prefix."""
        start, stop = self._retired_range(prefix)
        return stop - start

    def keys_with(self, prefix: Sequence[int]) -> NDArray[Any]:
        """Return the keys with a prefix, used and retired."""
        start, stop = self.range(prefix)
        used = self.keys[self.order[start:stop]]
        return np.concatenate([used, self.retired[slice(*self._retired_range(prefix))]])

    def _retired_range(self, prefix: Sequence[int]) -> tuple[int, int]:
        low, high = self.layout.bounds(prefix)
        start = rank_one(self.retired, None, low)
        return start, rank_one(self.retired, None, high, side="right")

    def children(self, prefix: Sequence[int], size: int) -> NDArray[np.int64]:
        """Return the codes below `size` that follow a prefix."""
        level = len(prefix)
        start, stop = self.range(prefix)
        if stop - start <= 4 * size:
            found = self.layout.column(self.keys[self.order[start:stop]], level)
            return np.unique(found)
        # Many items, few codes: find where each code begins instead.
        columns = [np.full(size, code, dtype=np.int64) for code in prefix]
        columns.append(np.arange(size, dtype=np.int64))
        columns += [np.zeros(size, dtype=np.int64)] * (len(self.layout.sizes) - level - 1)
        starts = rank(self.keys, self.order, self.layout.pack(columns), within=(start, stop))
        return np.flatnonzero(np.diff(np.append(starts, stop)))

    def prefix_counts(self, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all prefixes of a length, and how many items each has."""
        keys = self.layout.truncate(self.sorted_keys(), depth)
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        return self.layout.unpack(keys[starts], depth), np.diff(np.append(starts, len(keys)))

    # From items

    def row_of(self, item_id: object) -> int | None:
        """Return the row of one item, None if it isn't there."""
        is_text = isinstance(item_id, str)
        is_number = isinstance(item_id, (int, np.integer)) and not isinstance(item_id, bool)
        if not (is_text if self.item_ids.dtype.kind == "T" else is_number):
            return None
        # Subclasses such as np.str_ and np.int64 compare more slowly, and not in all versions.
        query: Any = str(item_id) if is_text else int(item_id)  # type: ignore[call-overload]
        place = rank_one(self.item_ids, self.item_order, query)
        if place == len(self):
            return None
        row = place if self.item_order is None else self.item_order.item(place)
        return row if self.item_ids.item(row) == query else None

    def rows_of(self, item_ids: Any) -> NDArray[np.intp]:
        """Return the rows of items, or raise KeyError for the first that isn't there."""
        values = as_array(item_ids)
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise TypeError(f"item_ids={item_ids!r} should be a list or an array of ids.")
        if len(values) == 0:
            return np.empty(0, dtype=np.intp)
        ids = check_item_ids(values, len(values))
        rows = self._find(ids)
        if (rows < 0).any():
            raise KeyError(ids[rows < 0][:1].tolist()[0])
        return rows

    def check_new(self, item_ids: Any, n_items: int) -> NDArray[Any]:
        """Return the ids of new items after checking that they're new and of the same type."""
        if item_ids is None:
            raise ValueError("append needs item_ids: row numbers would repeat those in use.")
        ids = check_item_ids(item_ids, n_items)
        if ids.dtype.kind != self.item_ids.dtype.kind:
            raise TypeError(
                f"item_ids are {_KINDS[ids.dtype.kind]}, those in the index are "
                f"{_KINDS[self.item_ids.dtype.kind]}; convert the new ones."
            )
        item_order(ids)
        known = self._find(ids) >= 0
        if known.any():
            first = ids[known][:1].tolist()[0]
            raise ValueError(
                f"{int(known.sum())} items are in the index already, such as {first!r}; leave them "
                "out, or remove them first."
            )
        return ids

    def _find(self, item_ids: NDArray[Any]) -> NDArray[np.intp]:
        """Return the row of each item, -1 where it isn't there."""
        n = len(self)
        if n == 0 or item_ids.dtype.kind != self.item_ids.dtype.kind:
            return np.full(len(item_ids), -1, dtype=np.intp)
        place = np.minimum(rank(self.item_ids, self.item_order, item_ids), n - 1)
        rows = place if self.item_order is None else self.item_order[place].astype(np.intp)
        return np.where(self.item_ids[rows] == item_ids, rows, -1)

    # Changes

    def repacked(self, layout: KeyLayout) -> IDStore:
        """Return the same IDs in another layout of the same number of codes."""
        if layout.sizes == self.layout.sizes:
            return self
        keys, retired = (
            layout.pack(list(self.layout.unpack(array).T)) for array in (self.keys, self.retired)
        )
        # The order of codes is the order of keys in any layout.
        return IDStore(layout, keys, self.order, self.item_ids, self.item_order, retired)

    def with_items(self, keys: NDArray[Any], item_ids: NDArray[Any]) -> IDStore:
        """Return a store with more rows at the end."""
        n_old = len(self)
        all_keys = np.concatenate([self.keys, keys])
        all_items = np.concatenate([self.item_ids, compact(item_ids)])
        # Row numbers are widened before they outgrow 32 bits.
        row_type = self.order.dtype if len(all_keys) < 2**31 else np.dtype(np.int64)
        order = insert_sorted(
            all_keys, self.order.astype(row_type), n_old, canonical_order(keys, item_ids)
        )
        by_item = self.item_order
        if by_item is None and not is_increasing(all_items[max(n_old - 1, 0) :]):
            by_item = np.arange(n_old)
        if by_item is not None:
            by_item = by_item.astype(row_type)
            by_item = insert_sorted(all_items, by_item, n_old, np.argsort(item_ids))
        return IDStore(self.layout, all_keys, order, all_items, by_item, self.retired)

    def without_rows(self, rows: NDArray[np.intp], *, retire: bool) -> IDStore:
        """Return a store without some rows, their IDs retired or free."""
        keep = np.ones(len(self), dtype=bool)
        keep[rows] = False
        retired = self.retired
        if retire:
            retired = np.unique(np.concatenate([retired, self.keys[~keep]]))
        new_row = (np.cumsum(keep) - 1).astype(self.order.dtype)
        by_item = self.item_order
        if by_item is not None:
            by_item = new_row[by_item[keep[by_item]]]
        order = new_row[self.order[keep[self.order]]]
        return IDStore(self.layout, self.keys[keep], order, self.item_ids[keep], by_item, retired)
