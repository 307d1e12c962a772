"""Packed IDs and item ids in arrays, each in the order of rows, and what sorts them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._item_ids import compact
from sklearn_rqvae.semantic_id._ordering import (
    canonical_order,
    insert_sorted,
    insert_values,
    is_increasing,
    rank,
    rank_one,
)

__all__ = ["PackedIDs"]


class PackedIDs:
    """Arrays that don't change; whoever changes something gets new ones.

    Parameters
    ----------
    keys : ndarray of shape (n_items,)
        Packed IDs, in the order of rows.
    order : ndarray of int of shape (n_items,)
        Rows in the order of keys.
    item_ids : ndarray of shape (n_items,)
        Item ids, in the order of rows.
    item_order : ndarray of int of shape (n_items,) or None
        Rows in the order of item ids; None if these are sorted.
    retired : ndarray of shape (n_retired,)
        Keys not to be used again, sorted.
    """

    def __init__(
        self,
        keys: NDArray[Any],
        order: NDArray[Any],
        item_ids: NDArray[Any],
        item_order: NDArray[Any] | None,
        retired: NDArray[Any],
    ) -> None:
        self.keys = keys
        self.order = compact(order)
        self.item_ids = compact(item_ids)
        self.item_order = item_order
        self.retired = retired

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        arrays = (self.keys, self.order, self.item_ids, self.item_order, self.retired)
        return sum(array.nbytes for array in arrays if array is not None)

    def none_of_it(self) -> PackedIDs:
        """Return arrays of the same types, without a row."""
        order = self.order[:0].copy()
        return PackedIDs(self.keys[:0].copy(), order, self.item_ids[:0].copy(), None, self.keys[:0])

    def bounds(self, low: Any, high: Any) -> tuple[int, int]:
        """Return where the keys from `low` to `high` begin and end in their order."""
        start = rank_one(self.keys, self.order, low)
        return start, rank_one(self.keys, self.order, high, side="right")

    def find_one(self, item_id: int | str) -> int | None:
        """Return the row of one item, None if it isn't there."""
        place = rank_one(self.item_ids, self.item_order, item_id)
        if place == len(self):
            return None
        row = place if self.item_order is None else self.item_order.item(place)
        return row if self.item_ids.item(row) == item_id else None

    def find(self, item_ids: NDArray[Any]) -> NDArray[np.intp]:
        """Return the row of each item, -1 where it isn't there."""
        n = len(self)
        if n == 0 or item_ids.dtype.kind != self.item_ids.dtype.kind:
            return np.full(len(item_ids), -1, dtype=np.intp)
        place = np.minimum(rank(self.item_ids, self.item_order, item_ids), n - 1)
        rows = place if self.item_order is None else self.item_order[place].astype(np.intp)
        return np.where(self.item_ids[rows] == item_ids, rows, -1)

    def extended(
        self, keys: NDArray[Any], item_ids: NDArray[Any], order: NDArray[Any] | None = None
    ) -> PackedIDs:
        """Return arrays with more rows at the end.

        Parameters
        ----------
        keys, item_ids : ndarray of shape (n_new,)
            The new rows.
        order : ndarray of int of shape (n_new,), optional
            Sorts their keys; by default equal ones stand in the order of item ids. Old rows with
            the same key stand before.

        Returns
        -------
        packed : PackedIDs
            All rows.
        """
        n_old = len(self)
        all_keys = np.concatenate([self.keys, keys])
        all_items = np.concatenate([self.item_ids, compact(item_ids)])
        # Row numbers are widened before they outgrow 32 bits.
        row_type = self.order.dtype if len(all_keys) < 2**31 else np.dtype(np.int64)
        if order is None:
            order = canonical_order(keys, item_ids)
        by_key = insert_sorted(all_keys, self.order.astype(row_type, copy=False), n_old, order)
        by_item = self.item_order
        if by_item is None and not is_increasing(all_items[max(n_old - 1, 0) :]):
            by_item = np.arange(n_old)
        if by_item is not None:
            by_item = by_item.astype(row_type, copy=False)
            by_item = insert_sorted(all_items, by_item, n_old, np.argsort(item_ids))
        return PackedIDs(all_keys, by_key, all_items, by_item, self.retired)

    def without(self, rows: NDArray[np.intp]) -> PackedIDs:
        """Return arrays without some rows."""
        if not len(rows):
            return self
        keep = np.ones(len(self), dtype=bool)
        keep[rows] = False
        new_row = (np.cumsum(keep) - 1).astype(self.order.dtype)
        by_item = self.item_order
        if by_item is not None:
            by_item = new_row[by_item[keep[by_item]]]
        order = new_row[self.order[keep[self.order]]]
        return PackedIDs(self.keys[keep], order, self.item_ids[keep], by_item, self.retired)

    def retiring(self, keys: NDArray[Any]) -> PackedIDs:
        """Return the same rows with more keys that aren't to be used again."""
        if not len(keys):
            return self
        retired = insert_values(self.retired, keys)
        return PackedIDs(self.keys, self.order, self.item_ids, self.item_order, retired)
