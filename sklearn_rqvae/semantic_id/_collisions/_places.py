"""IDs that several items may share, as as many places: an ID with one more code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._collisions._candidates import CandidateSource
from sklearn_rqvae.semantic_id._collisions._reassign import reassign
from sklearn_rqvae.semantic_id._collisions._taken import TakenIDs
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._ordering import position_in_group
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = ["overflow", "reassign_places", "taken_places"]

# Candidates to ask for at least, where each has room for several items.
_FEW = 8


class TakenPlaces(TakenIDs):
    """Places that no further item can have; all of an ID that is retired.

    Parameters
    ----------
    keys : ndarray of shape (n_keys,)
        Sorted keys of places beside the store.
    store : IDStore
        Its items have the first places of their IDs.
    layout : KeyLayout
        How places are packed: an ID, and a last code that counts.
    """

    def __init__(self, keys: NDArray[Any], store: IDStore, layout: KeyLayout) -> None:
        super().__init__(keys)
        self._items = store
        self._layout = layout

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self._keys) + self._count(())

    def among(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which of some places are taken."""
        codes = self._layout.unpack(keys.ravel())
        ids = self._items.layout.pack(list(codes[:, :-1].T))
        full = (self._items.count(ids, ids) > codes[:, -1]) | self._items.is_retired(ids)
        return super().among(keys.ravel()) | full

    def count(self, prefix: tuple[int, ...], low: Any, high: Any) -> int:
        """Count the places with a prefix, whose keys go from `low` to `high`."""
        if len(prefix) == len(self._layout.sizes):
            key = self._layout.pack([np.array([code]) for code in prefix])
            return int(self.among(key)[0])
        return super().count(prefix, low, high) + self._count(prefix)

    def with_keys(self, keys: NDArray[Any]) -> TakenPlaces:
        """Return these places and more."""
        keys = np.sort(np.concatenate([self._keys, keys]))
        return TakenPlaces(keys, self._items, self._layout)

    def _count(self, prefix: tuple[int, ...]) -> int:
        return taken_places(self._items, prefix, self._layout.sizes[-1])


def taken_places(store: IDStore, prefix: Sequence[int], n_places: int) -> int:
    """Count the places under a prefix that no further item can have; all of a retired ID."""
    start, stop = store.range(prefix)
    if not store.count_retired(prefix):
        return stop - start
    ids = np.unique(store.keys_with(prefix))
    ids = ids[store.is_retired(ids)]
    on_retired = int(store.count(ids, ids).sum())
    return stop - start - on_retired + len(ids) * n_places


class PlaceCandidates:
    """Candidates of another source, each with all of its places.

    Parameters
    ----------
    source : CandidateSource
        What an item could have.
    n_places : int
        Items that may share an ID.
    """

    def __init__(self, source: CandidateSource, n_places: int) -> None:
        self.verbose = source.verbose
        self._source = source
        self._n_places = n_places

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return about as many places as are asked for."""
        return self._places(*self._source.candidates(rows, self._n_ids(n_candidates)))

    def shared_candidates(
        self, rows: NDArray[np.intp], groups: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the same, at the cost of one search for each run of equal `groups`."""
        n_ids = self._n_ids(n_candidates)
        return self._places(*self._source.shared_candidates(rows, groups, n_ids))

    def errors_of(self, rows: NDArray[np.intp], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the error of one place per row."""
        return self._source.errors_of(rows, codes[:, :-1])

    def _n_ids(self, n_candidates: int) -> int:
        return max(-(-n_candidates // self._n_places), min(n_candidates, _FEW))

    def _places(
        self, codes: NDArray[np.int64], errors: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        n_rows, n_ids, _ = codes.shape
        codes = np.repeat(codes, self._n_places, axis=1)
        places = np.tile(np.arange(self._n_places), (n_rows, n_ids))[:, :, None]
        return np.concatenate([codes, places], 2), np.repeat(errors, self._n_places, axis=1)


def overflow(
    keys: NDArray[Any],
    order: NDArray[np.intp],
    store: IDStore | None,
    n_places: int,
    *,
    all_compete: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give items the places of their IDs, and tell for which there is none.

    Parameters
    ----------
    keys : ndarray of shape (n_items,)
        Packed codes.
    order : ndarray of int of shape (n_items,)
        Sorts by key; who comes first has the first place.
    store : IDStore or None
        Items with places already.
    n_places : int
        Items that may share an ID.
    all_compete : bool
        Whether all new items of an ID that is too full compete for it, or the first ones stay.

    Returns
    -------
    places : ndarray of int of shape (n_items,)
        Places; of no meaning for those that have none.
    contested : ndarray of bool of shape (n_items,)
        Who has to look for a place.
    """
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = position_in_group(keys[order])
    if store is not None:
        places += store.count(keys, keys)
        places[store.is_retired(keys)] += n_places
    contested = places >= n_places
    if all_compete:
        contested = np.isin(keys, keys[contested])
    return np.minimum(places, n_places - 1), contested


def reassign_places(
    keys: NDArray[Any],
    order: NDArray[np.intp],
    columns: Sequence[NDArray[Any]],
    *,
    n_places: int,
    all_compete: bool,
    store: IDStore | None,
    sizes: Sequence[int],
    source: CandidateSource | None,
    codebooks: Sequence[NDArray[Any]] | None,
    n_candidates: int,
    movable: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Give items that find their ID full a place on another, at little total error.

    Parameters
    ----------
    keys : ndarray of shape (n_items,)
        Packed codes.
    order : ndarray of int of shape (n_items,)
        Sorts by key; who comes first has the first place.
    columns : sequence of ndarray of int of shape (n_items,)
        The codes by level.
    n_places : int
        Items that may share an ID.
    all_compete : bool
        Whether all new items of an ID that is too full compete for it, or the first ones stay.
    store : IDStore or None
        Items with places already.
    sizes : sequence of int
        Number of codes at each level.
    source : CandidateSource or None
        What an item could have instead, and at what error.
    codebooks : sequence of ndarray of shape (codebook_size, embed_dim) or None
        Decide which free IDs are near once candidates run out.
    n_candidates : int
        Candidates per item in the first round, places counted.
    movable : ndarray of bool of shape (n_items,), optional
        Items that may have to move; by default all. Others come first on their ID.

    Returns
    -------
    keys : ndarray of shape (n_items,)
        Final keys, none of which occurs more than `n_places` times.
    outcome : dict
        Fields of `CollisionReport`.
    """
    layout = KeyLayout([*sizes, n_places])
    places, contested = overflow(keys, order, store, n_places, all_compete=all_compete)
    wide = layout.pack([*columns, places])
    taken = TakenIDs(wide[:0]) if store is None else TakenPlaces(wide[:0], store, layout)
    if codebooks is not None:
        codebooks = [*codebooks, np.zeros((n_places, 1))]
    final, outcome = reassign(
        layout,
        wide,
        order,
        taken=taken,
        sizes=[*sizes, n_places],
        source=None if source is None else PlaceCandidates(source, n_places),
        codebooks=codebooks,
        n_candidates=n_candidates,
        contested=contested,
        movable=movable,
    )
    found = KeyLayout(sizes).pack(list(layout.unpack(final)[:, :-1].T))
    return found, {**outcome, "n_moved": int((found != keys).sum())}
