"""Packing a catalog anew a few rows at a time, while it goes on changing."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._ordering import is_increasing, rank
from sklearn_rqvae.semantic_id._packed import PackedIDs

__all__ = ["Packing"]

# Searches made in one step.
_QUERIES = 64


class Packing:
    """Put packed items, those added since and those taken out since into new arrays, step by step.

    What goes in doesn't change meanwhile: later changes are none of its business. So whoever has
    the same items may take a step, and all of them get the same arrays.

    Parameters
    ----------
    base : PackedIDs
        Most items.
    recent : PackedIDs
        Items added since; they come after those of `base`.
    dead : ndarray of int of shape (n_dead,)
        Rows of `base` that are taken out, sorted.
    places : ndarray of int of shape (n_dead,)
        The same rows as places in the order of keys, sorted.
    n_steps : int
        About how many steps to take.

    Attributes
    ----------
    result : PackedIDs or None
        All items, once it is done.
    """

    def __init__(
        self,
        base: PackedIDs,
        recent: PackedIDs,
        dead: NDArray[np.intp],
        places: NDArray[np.intp],
        n_steps: int,
    ) -> None:
        self.base, self.recent, self.dead, self.places = base, recent, dead, places
        self.result: PackedIDs | None = None
        self._n_taken, self._n_steps = 0, n_steps
        n_passes = 2 if base.item_order is None else 3
        n_left = max(1, n_steps - 2 * (len(recent) // _QUERIES + 1))
        self._n_rows = -(-n_passes * len(base) // n_left)
        self._before_keys = np.zeros(len(recent), dtype=np.intp)
        self._work = self._steps()
        self._lock = Lock()

    def advance(self, share: float) -> None:
        """Take a step, and further ones up to a share of all."""
        with self._lock:
            while self.result is None:
                next(self._work, None)
                self._n_taken += 1
                if self._n_taken >= share * self._n_steps:
                    break

    def rows_of(self, old: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where rows of `base` that weren't taken out are in the result."""
        return np.asarray(old - np.searchsorted(self.dead, old))

    def places_of(self, old: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where places in the order of keys of `base` are in the result's."""
        before = np.searchsorted(self._before_keys, old, side="right")
        return np.asarray(old - np.searchsorted(self.places, old) + before)

    def places_of_recent(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where rows of `recent` are in the result's order of keys."""
        rank_of = np.empty(len(self.recent), dtype=np.intp)
        rank_of[self.recent.order] = np.arange(len(self.recent))
        at = rank_of[rows]
        before = self._before_keys[at]
        return np.asarray(before - np.searchsorted(self.places, before) + at)

    def _steps(self) -> Iterator[None]:
        base, recent, dead = self.base, self.recent, self.dead
        n_kept = len(base) - len(dead)
        n_items = n_kept + len(recent)
        by_key = recent.order.astype(np.intp)
        by_item = recent.item_order
        by_item = np.arange(len(recent)) if by_item is None else by_item.astype(np.intp)
        yield from self._search(base.keys, base.order, recent.keys[by_key], self._before_keys)
        before_items = np.zeros(len(recent), dtype=np.intp)
        new_ids = recent.item_ids[by_item]
        yield from self._search(base.item_ids, base.item_order, new_ids, before_items)

        row_type = np.dtype(np.int32 if n_items < 2**31 else np.int64)
        keys = np.empty(n_items, dtype=base.keys.dtype)
        id_type = np.result_type(base.item_ids.dtype, recent.item_ids.dtype)
        item_ids = np.empty(n_items, dtype=id_type)
        keys[n_kept:], item_ids[n_kept:] = recent.keys, recent.item_ids
        new_row = np.empty(len(base) if len(dead) else 0, dtype=row_type)
        for start, stop in self._slices():
            low, high = np.searchsorted(dead, (start, stop)).tolist()
            gone, to = dead[low:high] - start, slice(start - low, stop - high)
            for source, target in ((base.keys, keys), (base.item_ids, item_ids)):
                part = source[start:stop]
                target[to] = np.delete(part, gone) if len(gone) else part
            if len(dead):
                kept = np.ones(stop - start, dtype=bool)
                kept[gone] = False
                new_row[start:stop] = np.where(kept, np.cumsum(kept) - 1 + start - low, -1)
            yield

        order = np.empty(n_items, dtype=row_type)
        new_rows = (by_key + n_kept).astype(row_type)
        yield from self._merge(base.order, new_row, self._before_keys, new_rows, order)
        item_order = None
        if base.item_order is not None or not is_increasing(item_ids[max(n_kept - 1, 0) :]):
            item_order = np.empty(n_items, dtype=row_type)
            new_rows = (by_item + n_kept).astype(row_type)
            yield from self._merge(base.item_order, new_row, before_items, new_rows, item_order)
        packed = PackedIDs(keys, order, item_ids, item_order, base.retired)
        self.result = packed.retiring(recent.retired)

    def _search(
        self,
        values: NDArray[Any],
        order: NDArray[Any] | None,
        queries: NDArray[Any],
        before: NDArray[np.intp],
    ) -> Iterator[None]:
        """Find how many values stand before each of the sorted queries, some at a time."""
        for start in range(0, len(queries), _QUERIES):
            some = slice(start, start + _QUERIES)
            before[some] = rank(values, order, queries[some], side="right")
            yield

    def _merge(
        self,
        order: NDArray[Any] | None,
        new_row: NDArray[Any],
        before: NDArray[np.intp],
        rows: NDArray[Any],
        out: NDArray[Any],
    ) -> Iterator[None]:
        """Write an order of the rows that are left, with the new rows behind so many old ones."""
        end = 0
        for start, stop in self._slices():
            old = np.arange(start, stop) if order is None else order[start:stop]
            at = np.searchsorted(before, (start, stop + (stop == len(self.base))))
            behind = before[slice(*at)] - start
            if len(new_row):
                old = new_row[old]
                there = old >= 0
                behind = behind - np.append(0, np.cumsum(~there))[behind]
                old = old[there]
            if len(behind):
                old = np.insert(old, behind, rows[slice(*at)])
            out[end : end + len(old)] = old
            end += len(old)
            yield

    def _slices(self) -> Iterator[tuple[int, int]]:
        """Yield where the rows of each step begin and end; once for no rows."""
        n = len(self.base)
        for start in range(0, max(n, 1), max(self._n_rows, 1)):
            yield start, min(start + self._n_rows, n)
