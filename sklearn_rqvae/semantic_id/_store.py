"""A catalog's IDs and items: packed arrays, and beside them the few changes since."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._item_ids import check_item_ids, hand_out, item_order
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._ordering import insert_values, is_among, rank, rank_one
from sklearn_rqvae.semantic_id._packed import PackedIDs
from sklearn_rqvae.semantic_id._packing import Packing

__all__ = ["IDStore", "asked_ids"]

_KINDS = {"i": "integers", "T": "strings"}

# Changes to keep beside n packed items, as a multiple of the square root of n: a change copies
# those before it (microseconds for thousands), and packing all anew copies n (0.5 s at 10 million),
# so that the mean cost of a change is least near here. From three quarters of them on, each change
# packs some rows; when there are as many, packing is done.
_CHANGES_PER_ROOT = 4
_LEAST_CHANGES = 1024


class Parts(NamedTuple):
    """Packed items, those added since, and those taken out since.

    Attributes
    ----------
    base : PackedIDs
        Most items.
    recent : PackedIDs
        Items added since; its rows come after those of `base`.
    dead : ndarray of int of shape (n_dead,)
        Rows of `base` that are taken out, sorted.
    places : ndarray of int of shape (n_dead,)
        The same rows as places in the order of keys, sorted.
    packing : Packing or None
        What packs them anew, as they were when it began.
    packed_recent : ndarray of int of shape (n,) or None
        Rows of the recent items that it packs, of those that are still there: they are the first
        ones of `recent`.
    """

    base: PackedIDs
    recent: PackedIDs
    dead: NDArray[np.intp]
    places: NDArray[np.intp]
    packing: Packing | None = None
    packed_recent: NDArray[np.intp] | None = None

    @property
    def n_changes(self) -> int:
        """Number of changes beside the packed items."""
        return len(self.recent) + len(self.dead) + len(self.recent.retired)


class IDStore:
    """Find items by ID and IDs by item; knows nothing of how collisions are resolved.

    A store doesn't change: a change returns another one, which shares the packed arrays. So a
    reader who holds a store sees one state of the catalog, whatever others do.

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
        retired = keys[:0].copy() if retired is None else retired
        self.layout = layout
        self._parts = _whole(PackedIDs(keys, order, item_ids, item_order, retired))

    def __getstate__(self) -> dict[str, Any]:
        parts = self._parts._replace(packing=None, packed_recent=None)
        return {"layout": self.layout, "_parts": parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "keys" in state:  # of version 0.1.0, which had the arrays here
            IDStore.__init__(self, **state)
        else:
            self.__dict__.update(state)

    @classmethod
    def _of(cls, layout: KeyLayout, parts: Parts) -> IDStore:
        store = cls.__new__(cls)
        store.layout, store._parts = layout, _packed_further(parts)
        return store

    def __len__(self) -> int:
        """Return the number of items."""
        base, recent, dead, *_ = self._parts
        return len(base) + len(recent) - len(dead)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        base, recent, dead, places, *_ = self._parts
        return base.nbytes + recent.nbytes + dead.nbytes + places.nbytes

    @property
    def item_kind(self) -> str:
        """Kind of the item ids' type: "i" or "T"."""
        return self._parts.base.item_ids.dtype.kind

    # As arrays of all items, packed first where there are changes

    @property
    def packed(self) -> PackedIDs:
        """All items in arrays."""
        parts = self._parts
        if parts.n_changes:
            # The content is the same, so it doesn't matter who sees which form.
            self._parts = parts = _packed(parts)
        return parts.base

    @property
    def keys(self) -> NDArray[Any]:
        """The packed IDs, in the order of rows."""
        return self.packed.keys

    @property
    def order(self) -> NDArray[Any]:
        """The rows in the order of keys."""
        return self.packed.order

    @property
    def item_ids(self) -> NDArray[Any]:
        """Item ids, in the order of rows."""
        return self.packed.item_ids

    @property
    def item_order(self) -> NDArray[Any] | None:
        """The rows in the order of item ids; None if these are sorted."""
        return self.packed.item_order

    @property
    def retired(self) -> NDArray[Any]:
        """The keys not to be used again, sorted."""
        return self.packed.retired

    def sorted_keys(self) -> NDArray[Any]:
        """Return the keys in their order."""
        packed = self.packed
        return packed.keys[packed.order]

    def items_at(self, places: slice | NDArray[np.intp]) -> NDArray[Any]:
        """Return the item ids at places in the order of keys."""
        packed = self.packed
        return hand_out(packed.item_ids[packed.order[places]])

    def places_of(self, keys: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where each key begins in the order of keys, and how many items have it."""
        packed = self.packed
        start = rank(packed.keys, packed.order, keys)
        return start, rank(packed.keys, packed.order, keys, side="right") - start

    def last_keys(self, n_items: int) -> NDArray[Any]:
        """Return the keys of the items that were added last."""
        recent = self._parts.recent
        keys = recent.keys if n_items <= len(recent) else self.keys
        return keys[len(keys) - n_items :]

    def prefix_counts(self, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all prefixes of a length, and how many items each has."""
        keys = self.layout.truncate(self.sorted_keys(), depth)
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        return self.layout.unpack(keys[starts], depth), np.diff(np.append(starts, len(keys)))

    # From IDs

    def range(self, prefix: Sequence[int]) -> tuple[int, int]:
        """Return where the IDs with a prefix begin and end in the order of keys."""
        base, recent, _, places, *_ = self._parts
        low, high = self.layout.bounds(prefix)
        ends = [
            end - rank_one(places, None, end) + more
            for end, more in zip(base.bounds(low, high), recent.bounds(low, high), strict=True)
        ]
        return ends[0], ends[1]

    def items_with(self, prefix: Sequence[int]) -> NDArray[Any]:
        """Return the items whose ID begins with a prefix, in the order of keys."""
        base, recent, *_ = parts = self._parts
        low, high = self.layout.bounds(prefix)
        rows = _live_rows(parts, *base.bounds(low, high))
        new = recent.order[slice(*recent.bounds(low, high))]
        found = hand_out(base.item_ids[rows])
        if not len(new):
            return found
        after = rank(base.keys[rows], None, recent.keys[new], side="right")
        return np.insert(found, after, hand_out(recent.item_ids[new]))

    def keys_with(self, prefix: Sequence[int]) -> NDArray[Any]:
        """Return the keys with a prefix, used and retired."""
        base, recent, *_ = parts = self._parts
        low, high = self.layout.bounds(prefix)
        found = [
            base.keys[_live_rows(parts, *base.bounds(low, high))],
            recent.keys[recent.order[slice(*recent.bounds(low, high))]],
        ]
        for retired in (base.retired, recent.retired):
            found.append(retired[slice(*_sorted_bounds(retired, low, high))])
        return np.concatenate(found)

    def count_retired(self, prefix: Sequence[int]) -> int:
        """Count the retired IDs with a prefix."""
        bounds = self.layout.bounds(prefix)
        parts = self._parts
        ends = (_sorted_bounds(part.retired, *bounds) for part in (parts.base, parts.recent))
        return sum(stop - start for start, stop in ends)

    def is_retired(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which keys are not to be used again."""
        parts = self._parts
        return is_among(keys, parts.base.retired) | is_among(keys, parts.recent.retired)

    def count(self, low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.intp]:
        """Count the items with keys from `low` to `high`, for arrays of both."""
        base, recent, _, places, *_ = self._parts
        starts = rank(base.keys, base.order, low)
        stops = rank(base.keys, base.order, high, side="right")
        counts = stops - starts
        if len(places):
            counts -= np.searchsorted(places, stops) - np.searchsorted(places, starts)
        if len(recent):
            counts += rank(recent.keys, recent.order, high, side="right")
            counts -= rank(recent.keys, recent.order, low)
        return counts

    def last_of(
        self, low: NDArray[Any], high: NDArray[Any]
    ) -> list[tuple[NDArray[np.bool_], NDArray[Any]]]:
        """Find the largest keys from `low` to `high`, used or retired, for arrays of both.

        Returns
        -------
        found : list of (ndarray of bool of shape (n,), ndarray of shape (n_found,))
            For some parts of the store: where there is such a key, and the largest.
        """
        base, recent, _, places, *_ = self._parts
        found = []
        for keys, order, dead in (
            (base.keys, base.order, places),
            (recent.keys, recent.order, places[:0]),
            (base.retired, None, places[:0]),
            (recent.retired, None, places[:0]),
        ):
            start = rank(keys, order, low)
            last = rank(keys, order, high, side="right") - 1
            while (gone := is_among(last, dead)).any():
                last[gone] -= 1
            there = last >= start
            place = last[there]
            found.append((there, keys[place if order is None else order[place]]))
        return found

    def children(self, prefix: Sequence[int], size: int) -> NDArray[np.int64]:
        """Return the codes below `size` that follow a prefix."""
        base, recent, *_ = parts = self._parts
        level = len(prefix)
        low, high = self.layout.bounds(prefix)
        (start, stop), (first, last) = base.bounds(low, high), recent.bounds(low, high)
        if stop - start + last - first <= 4 * size:
            keys = base.keys[_live_rows(parts, start, stop)]
            keys = np.concatenate([keys, recent.keys[recent.order[first:last]]])
            return np.unique(self.layout.column(keys, level))
        # Many items, few codes: find where each code begins instead.
        columns = [np.full(size, code, dtype=np.int64) for code in prefix]
        columns.append(np.arange(size, dtype=np.int64))
        columns += [np.zeros(size, dtype=np.int64)] * (len(self.layout.sizes) - level - 1)
        keys = self.layout.pack(columns)
        starts = np.append(rank(base.keys, base.order, keys, within=(start, stop)), stop)
        starts -= np.searchsorted(parts.places, starts)
        starts += np.append(rank(recent.keys, recent.order, keys, within=(first, last)), last)
        return np.flatnonzero(np.diff(starts))

    # From items

    def key_of(self, item_id: object) -> Any | None:
        """Return the key of one item as an array of one, None if it isn't there."""
        parts = self._parts
        query = self._query(item_id)
        if query is None:
            return None
        row = parts.base.find_one(query)
        if row is not None and not _is_dead(parts, row):
            return parts.base.keys[row : row + 1]
        row = parts.recent.find_one(query)
        return None if row is None else parts.recent.keys[row : row + 1]

    def keys_of(self, item_ids: Any) -> NDArray[Any]:
        """Return the keys of items, or raise KeyError for the first that isn't there."""
        base, recent, *_ = parts = self._parts
        ids = asked_ids(item_ids)
        old, new = _find(parts, ids)
        _check_found(ids, old, new)
        keys = np.empty(len(ids), dtype=base.keys.dtype)
        keys[old >= 0] = base.keys[old[old >= 0]]
        keys[new >= 0] = recent.keys[new[new >= 0]]
        return keys

    def row_of(self, item_id: object) -> int | None:
        """Return the row of one item, None if it isn't there."""
        query = self._query(item_id)
        return None if query is None else self.packed.find_one(query)

    def rows_of(self, item_ids: Any) -> NDArray[np.intp]:
        """Return the rows of items, or raise KeyError for the first that isn't there."""
        ids = asked_ids(item_ids)
        rows = self.packed.find(ids)
        _check_found(ids, rows, rows)
        return rows

    def check_new(self, item_ids: Any, n_items: int) -> NDArray[Any]:
        """Return the ids of new items after checking that they're new and of the same type."""
        if item_ids is None:
            raise ValueError("append needs item_ids: row numbers would repeat those in use.")
        ids = check_item_ids(item_ids, n_items)
        own_kind = self.item_kind
        if ids.dtype.kind != own_kind:
            raise TypeError(
                f"item_ids are {_KINDS[ids.dtype.kind]}, those in the index are "
                f"{_KINDS[own_kind]}; convert the new ones."
            )
        item_order(ids)
        old, new = _find(self._parts, ids)
        known = (old >= 0) | (new >= 0)
        if known.any():
            first = ids[known][:1].tolist()[0]
            raise ValueError(
                f"{int(known.sum())} items are in the index already, such as {first!r}; leave them "
                "out, or remove them first."
            )
        return ids

    def _query(self, item_id: object) -> Any:
        """Return an item id as the plain type that is compared, None if it's of another kind."""
        if isinstance(item_id, str):
            is_text, query = True, str(item_id)
        elif isinstance(item_id, (int, np.integer)) and not isinstance(item_id, bool):
            # Subclasses such as np.int64 compare more slowly, and not in all versions.
            is_text, query = False, int(item_id)  # type: ignore[assignment]
        else:
            return None
        return query if is_text == (self.item_kind == "T") else None

    # Changes

    def repacked(self, layout: KeyLayout) -> IDStore:
        """Return the same IDs in another layout of the same number of codes."""
        if layout.sizes == self.layout.sizes:
            return self
        if layout.packs_like(self.layout):
            return IDStore._of(layout, self._parts)
        packed = self.packed
        keys, retired = (
            layout.pack(list(self.layout.unpack(array).T))
            for array in (packed.keys, packed.retired)
        )
        # The order of codes is the order of keys in any layout.
        return IDStore(layout, keys, packed.order, packed.item_ids, packed.item_order, retired)

    def with_items(
        self, keys: NDArray[Any], item_ids: NDArray[Any], order: NDArray[Any] | None = None
    ) -> IDStore:
        """Return a store with more rows at the end; `order` sorts their keys."""
        parts = self._parts
        if len(keys) > _LEAST_CHANGES:
            return IDStore._of(self.layout, _whole(self.packed.extended(keys, item_ids, order)))
        recent = parts.recent.extended(keys, item_ids, order)
        return IDStore._of(self.layout, parts._replace(recent=recent))

    def without_rows(self, rows: NDArray[np.intp], *, retire: bool) -> IDStore:
        """Return a store without some rows, their IDs retired or free."""
        packed = self.packed
        kept = packed.without(rows)
        if retire:
            kept = kept.retiring(packed.keys[rows])
        return IDStore._of(self.layout, _whole(kept))

    def without_items(self, item_ids: Any, *, retire: bool) -> IDStore:
        """Return a store without some items, their IDs retired or free."""
        base, recent, dead, places, *_ = parts = self._parts
        ids = asked_ids(item_ids)
        if len(ids) > _LEAST_CHANGES:
            return self.without_rows(np.unique(self.rows_of(ids)), retire=retire)
        old, new = _find(parts, ids)
        _check_found(ids, old, new)
        old, new = (np.unique(rows[rows >= 0]) for rows in (old, new))
        if retire:
            keys = np.concatenate([base.keys[old], recent.keys[new]])
            # An ID that several items share may be retired already.
            recent = recent.retiring(keys[~is_among(keys, base.retired)])
        gone = np.array([_place(base, row) for row in old.tolist()], dtype=np.intp)
        dead, places = insert_values(dead, old), insert_values(places, gone)
        parts = parts._replace(recent=recent.without(new), dead=dead, places=places)
        if parts.packed_recent is not None:
            gone = new[new < len(parts.packed_recent)]
            parts = parts._replace(packed_recent=np.delete(parts.packed_recent, gone))
        return IDStore._of(self.layout, parts)


def _whole(packed: PackedIDs) -> Parts:
    """Return packed items without a change."""
    nothing = np.empty(0, dtype=np.intp)
    return Parts(packed, packed.none_of_it(), nothing, nothing)


def _packed_further(parts: Parts) -> Parts:
    """Return the same items, some more of them packed if there are many changes."""
    most = max(_LEAST_CHANGES, _CHANGES_PER_ROOT * isqrt(len(parts.base)))
    if parts.n_changes > 2 * most:
        return _packed(parts)
    share = 4 * parts.n_changes / most - 3
    if share <= 0:
        return parts
    packing = parts.packing
    if packing is None:
        packing = Packing(*parts[:4], n_steps=most // 4)
        parts = parts._replace(packing=packing, packed_recent=np.arange(len(parts.recent)))
    packing.advance(share)
    return parts if packing.result is None else _on_packed(parts, packing, packing.result)


def _on_packed(parts: Parts, packing: Packing, base: PackedIDs) -> Parts:
    """Return the same items: those that were packed, and what has changed since that began."""
    still = np.asarray(parts.packed_recent)
    gone = np.setdiff1d(np.arange(len(packing.recent)), still)
    dead = parts.dead[~is_among(parts.dead, packing.dead)]
    places = parts.places[~is_among(parts.places, packing.places)]
    n_kept = len(packing.base) - len(packing.dead)
    dead = np.concatenate([packing.rows_of(dead), n_kept + gone])
    places = np.concatenate([packing.places_of(places), packing.places_of_recent(gone)])
    recent = parts.recent.without(np.arange(len(still)))
    retired = recent.retired[~is_among(recent.retired, packing.recent.retired)]
    recent = PackedIDs(recent.keys, recent.order, recent.item_ids, recent.item_order, retired)
    return Parts(base, recent, np.sort(dead), np.sort(places))


def _packed(parts: Parts) -> Parts:
    """Return the same items, all of them packed."""
    base, recent, dead, *_ = parts
    packed = base.without(dead).retiring(recent.retired)
    if len(recent):
        packed = packed.extended(recent.keys, recent.item_ids, recent.order)
    return _whole(packed)


def asked_ids(item_ids: Any) -> NDArray[Any]:
    """Return the ids of items that are asked for."""
    values = as_array(item_ids)
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"item_ids={item_ids!r} should be a list or an array of ids.")
    return check_item_ids(values, len(values)) if len(values) else np.empty(0, dtype=np.int64)


def _find(parts: Parts, ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of items among the packed and among the recent ones, -1 elsewhere."""
    old = parts.base.find(ids)
    if len(parts.dead):
        old[is_among(old, parts.dead)] = -1
    return old, parts.recent.find(ids)


def _check_found(ids: NDArray[Any], old: NDArray[np.intp], new: NDArray[np.intp]) -> None:
    missing = (old < 0) & (new < 0)
    if missing.any():
        raise KeyError(ids[missing][:1].tolist()[0])


def _is_dead(parts: Parts, row: int) -> bool:
    at = rank_one(parts.dead, None, row)
    return at < len(parts.dead) and parts.dead.item(at) == row


def _live_rows(parts: Parts, start: int, stop: int) -> NDArray[Any]:
    """Return the packed rows between two places in the order of keys, but those taken out."""
    rows = parts.base.order[start:stop]
    gone = parts.places[slice(*np.searchsorted(parts.places, (start, stop)).tolist())]
    return np.delete(rows, gone - start) if len(gone) else rows


def _place(packed: PackedIDs, row: int) -> int:
    """Return where a row stands in the order of keys."""
    key = packed.keys.item(row)
    start, stop = packed.bounds(key, key)
    return start + int(np.flatnonzero(packed.order[start:stop] == row)[0])


def _sorted_bounds(keys: NDArray[Any], low: Any, high: Any) -> tuple[int, int]:
    return rank_one(keys, None, low), rank_one(keys, None, high, side="right")
