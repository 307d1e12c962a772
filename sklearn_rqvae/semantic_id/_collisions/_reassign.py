"""Collisions resolved by moving items to free IDs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._collisions._assignment import assign_free
from sklearn_rqvae.semantic_id._collisions._candidates import CandidateSource
from sklearn_rqvae.semantic_id._collisions._free_ids import FreeIDs
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._ordering import in_group, is_among

__all__ = ["reassign"]

GROWTH = 4
ROUNDS = 3


def reassign(
    layout: KeyLayout,
    keys: NDArray[Any],
    order: NDArray[np.intp],
    *,
    taken: NDArray[Any],
    sizes: Sequence[int],
    source: CandidateSource | None,
    codebooks: Sequence[NDArray[Any]] | None,
    n_candidates: int,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Give items that collide free IDs at the least total error; all others keep theirs.

    Letting the others move too was measured: on 12,101 vectors the added error falls from 1.259 %
    to 1.254 %, for ten times the time and at the price of moving items that nobody asked to move.

    Parameters
    ----------
    layout : KeyLayout
        How IDs are packed.
    keys : ndarray of shape (n_items,)
        Packed codes of the items.
    order : ndarray of int of shape (n_items,)
        Sorts by key, then by item id. All decisions follow it, hence not the order of the rows.
    taken : ndarray of shape (n_taken,)
        Sorted keys of IDs that no item here can have.
    sizes : sequence of int
        Number of codes at each level.
    source : CandidateSource or None
        What an item could have instead, and at what error.
    codebooks : sequence of ndarray of shape (codebook_size, embed_dim) or None
        Decide which free IDs are near once candidates run out.
    n_candidates : int
        Candidates per item in the first round.

    Returns
    -------
    keys : ndarray of shape (n_items,)
        Final keys, all different and none in `taken`.
    outcome : dict
        Fields of `CollisionReport`.

    Raises
    ------
    ValueError
        If there are more items than IDs, or collisions but no source of candidates.
    """
    n_ids = prod(sizes)
    if len(keys) + len(taken) > n_ids:
        raise ValueError(
            f"{len(keys)} items need an ID each, but {n_ids - len(taken)} of the {n_ids} IDs of "
            f"{len(sizes)} levels "
            f'with {tuple(sizes)} codes are free; use more levels or codes, or collisions="suffix".'
        )
    contested = in_group(keys, order) | is_among(keys, taken)
    outcome: dict[str, Any] = {"n_moved": 0, "n_fallback": 0}
    if source is None:
        if contested.any():
            raise ValueError(
                f"{int(contested.sum())} items collide, and without vectors nothing tells which "
                "free IDs are near "
                "them; use from_estimator (or append_from_estimator), pass candidates=(codes, "
                "errors), e.g. from "
                'last_level_candidates, or use collisions="suffix".'
            )
        return keys, outcome
    all_rows = np.arange(len(keys))
    before = source.errors_of(all_rows, layout.unpack(keys))
    if np.isnan(before).any():
        row = int(np.flatnonzero(np.isnan(before))[0])
        raise ValueError(
            f"candidates of row {row} lack its own codes "
            f"{tuple(layout.unpack(keys[row : row + 1])[0].tolist())} "
            "or their error; list an item's own codes among its candidates."
        )
    after = before.copy()
    final = keys.copy()
    rows = order[contested[order]]
    in_use = np.sort(np.concatenate([taken, keys[~contested]]))
    for attempt in range(ROUNDS):
        if not len(rows):
            break
        candidates, errors = _candidate_keys(
            layout, sizes, source, rows, min(n_candidates * GROWTH**attempt, n_ids)
        )
        candidates = np.concatenate([keys[rows, None], candidates], axis=1)
        errors = np.concatenate([before[rows, None], errors], axis=1)
        choice = assign_free(candidates, errors, in_use)
        served = np.flatnonzero(choice >= 0)
        final[rows[served]] = candidates[served, choice[served]]
        after[rows[served]] = errors[served, choice[served]]
        in_use = np.sort(np.concatenate([in_use, final[rows[served]]]))
        rows = rows[choice < 0]
    if len(rows):
        final[rows] = _nearest_free(layout, keys[rows], in_use, sizes, codebooks)
        after[rows] = source.errors_of(rows, layout.unpack(final[rows]))
    known = ~np.isnan(after)
    outcome.update(
        n_moved=int((final != keys).sum()),
        n_fallback=len(rows),
        error_before=float(before[known].sum()),
        error_after=float(after[known].sum()),
    )
    return final, outcome


def _candidate_keys(
    layout: KeyLayout,
    sizes: Sequence[int],
    source: CandidateSource,
    rows: NDArray[np.intp],
    n_candidates: int,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the candidates of rows as keys of shape (n_rows, n), and their errors."""
    codes, errors = source.candidates(rows, n_candidates)
    columns = []
    for level, size in enumerate(sizes):
        column = codes[:, :, level]
        bad = ((column < 0) | (column >= size)) & np.isfinite(errors)
        if bad.any():
            raise ValueError(
                f"candidates at level {level} should be in [0, {size}), got {column[bad][0]}; "
                "give an entry that is "
                "no candidate the error inf."
            )
        columns.append(np.where((column < 0) | (column >= size), 0, column).ravel())
    return layout.pack(columns).reshape(errors.shape), errors


def _nearest_free(
    layout: KeyLayout,
    keys: NDArray[Any],
    in_use: NDArray[Any],
    sizes: Sequence[int],
    codebooks: Sequence[NDArray[Any]] | None,
) -> NDArray[Any]:
    """Take the nearest free ID for one item after the other; equal keys stand together."""
    free = FreeIDs(layout, in_use, sizes, codebooks)
    found = np.empty((len(keys), len(sizes)), dtype=np.int64)
    own = layout.unpack(keys)
    walk = free.around(own[0])
    for place in range(len(keys)):
        if place and keys[place] != keys[place - 1]:
            walk = free.around(own[place])
        found[place] = next(walk)
    return layout.pack(list(found.T))
