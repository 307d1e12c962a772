"""First codes with a limited number of items each: who moves, and to which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._collisions._candidates import CandidatesNeeded, FirstCodeSource
from sklearn_rqvae.semantic_id._ordering import position_in_group

__all__ = ["SameFirstCode", "Spread", "spread_first_codes"]

# First codes that an item is offered in the first round. Those that find no room among them are
# offered all.
OFFERS = 16

# The auction is held again with smaller raises until it is this near to the least cost.
TOLERANCE = 0.02
MAX_AUCTIONS = 6

# What it costs to leave an item to the next round, in units of its dearest offer.
WAY_OUT = 2.0


class Spread(NamedTuple):
    """Codes by level after items moved, the error added, and what it exceeds the least one by."""

    columns: list[NDArray[np.int64]]
    added: float
    gap: float


class SameFirstCode:
    """Candidates of another source that begin with the code that each item has.

    Parameters
    ----------
    source : FirstCodeSource
        What an item could have.
    first : ndarray of int of shape (n_items,)
        First code of each item.
    """

    def __init__(self, source: FirstCodeSource, first: NDArray[np.int64]) -> None:
        self.verbose = source.verbose
        self._source = source
        self._first = first
        self.errors_of = source.errors_of

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what begins with the item's first code."""
        return self._source.candidates(rows, n_candidates, self._first[rows])

    def shared_candidates(
        self, rows: NDArray[np.intp], groups: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the same, at the cost of one search for each run of equal `groups`."""
        return self._source.shared_candidates(rows, groups, n_candidates, self._first[rows])


def spread_first_codes(
    columns: Sequence[NDArray[Any]],
    order: NDArray[np.intp],
    *,
    n_codes: int,
    most: int,
    room_for: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    all_compete: bool,
    source: FirstCodeSource | None,
) -> Spread:
    """Move items out of first codes that have too many, at little total error.

    Parameters
    ----------
    columns : sequence of ndarray of int of shape (n_items,)
        Codes by level.
    order : ndarray of int of shape (n_items,)
        Sorts by first code; who comes first stays, unless all compete.
    n_codes : int
        Number of codes at the first level.
    most : int
        How many items each of them may have, as errors say it.
    room_for : callable
        Tells how many items first codes have room for.
    all_compete : bool
        Whether all items of a code with too many compete for its room, or the first ones stay.
    source : FirstCodeSource or None
        What an item could have instead, and at what error.

    Returns
    -------
    spread : Spread
        No code has more items than room. Items of codes with enough room keep theirs.

    Raises
    ------
    ValueError
        If there is too little room in all, or no way to tell where items could go.
    """
    own = np.stack(columns, axis=1).astype(np.int64)
    first = own[:, 0]
    used, counts = np.unique(first, return_counts=True)
    too_many = counts > room_for(used)
    if not too_many.any():
        return Spread(list(own.T), 0.0, 0.0)
    room = room_for(np.arange(n_codes))
    _check_room(len(own), room, most, source)
    assert source is not None
    contested = np.isin(first, used[too_many])
    if not all_compete:
        contested[order[position_in_group(first[order]) < room[first[order]]]] = False
    room -= np.bincount(first[~contested], minlength=n_codes)
    # The order decides, hence not that of the rows.
    rows = order[contested[order]]
    final, added, gap = own.copy(), 0.0, 0.0
    for n_offers in (OFFERS, n_codes):
        if not len(rows):
            break
        codes, errors = source.by_first_code(rows, min(n_offers, n_codes))
        codes = np.concatenate([own[rows, None], codes], axis=1)
        errors = np.concatenate([_own_errors(source, rows, own)[:, None], errors], axis=1)
        _drop_repeated(codes[:, :, 0], errors)
        choice, missed = fill(codes[:, :, 0], errors - errors[:, :1], room)
        if n_offers == n_codes:
            _take_what_is_left(codes[:, :, 0], errors, choice, room)
        served = np.flatnonzero(choice >= 0)
        final[rows[served]] = codes[served, choice[served]]
        added += float((errors[served, choice[served]] - errors[served, 0]).sum())
        gap += missed
        room -= np.bincount(final[rows[served], 0], minlength=n_codes)
        rows = rows[choice < 0]
    if len(rows):
        raise ValueError(
            f"{len(rows)} items have no candidate whose first code has room for them under "
            "max_items_per_first_code; list candidates of more first codes, or raise it."
        )
    return Spread(list(final.T), added, gap)


def _check_room(
    n_items: int, room: NDArray[np.int64], most: int, source: FirstCodeSource | None
) -> None:
    if n_items > room.sum():
        raise ValueError(
            f"max_items_per_first_code={most} leaves room for {room.sum()} items under the "
            f"{len(room)} codes of the first level, but {n_items} are to get IDs; raise it by at "
            f"least {-(-(n_items - int(room.sum())) // len(room))}, or use more codes."
        )
    if source is None:
        raise CandidatesNeeded(
            "first codes have more items than max_items_per_first_code, and without vectors "
            "nothing tells which others are near; use from_estimator (or "
            "append_from_estimator), or pass candidates=(codes, errors)."
        )


def _own_errors(
    source: FirstCodeSource, rows: NDArray[np.intp], own: NDArray[np.int64]
) -> NDArray[np.float64]:
    errors = source.errors_of(rows, own[rows])
    if np.isnan(errors).any():
        row = int(rows[np.isnan(errors)].min())
        raise ValueError(
            f"candidates of row {row} lack its own codes {tuple(own[row].tolist())} or their "
            "error; list an item's own codes among its candidates."
        )
    return errors


def _drop_repeated(first: NDArray[np.int64], errors: NDArray[np.float64]) -> None:
    """Leave the best of the offers with the same first code; the first column is always offered."""
    kept = errors[:, 0].copy()
    errors[first == first[:, :1]] = np.inf
    errors[:, 0] = kept
    by_code = np.lexsort((errors, first), axis=1)
    codes = np.take_along_axis(first, by_code, axis=1)
    row, place = np.nonzero(codes[:, 1:] == codes[:, :-1])
    errors[row, by_code[row, place + 1]] = np.inf


def fill(
    columns: NDArray[np.int64], costs: NDArray[np.float64], room: NDArray[np.int64]
) -> tuple[NDArray[np.intp], float]:
    r"""Choose a column for each item at nearly the least total cost; so many fit into each.

    This is the transportation problem, by the auction for it [1]_: an item bids for the column with
    the least sum of cost and price, by how much the second best is worse and a little more. A
    column keeps the highest bids that it has room for; once it is full, its price is the lowest of
    them. Prices prove that no choice costs less than :math:`\sum_i \min(w_i, \min_j(c_{ij} + p_j))
    - \sum_j r_j p_j`, with room :math:`r` and a way out of cost :math:`w` for each item.

    Parameters
    ----------
    columns : ndarray of int of shape (n_items, n_offers)
        Columns; no column twice in a row but where costs are infinite.
    costs : ndarray of shape (n_items, n_offers)
        What each costs; may be negative.
    room : ndarray of int of shape (n_columns,)
        How many items fit.

    Returns
    -------
    choice : ndarray of int of shape (n_items,)
        Place of each item's offer, -1 for none.
    gap : float
        Proven bound on what the total cost exceeds the least possible by, ways out counted.

    References
    ----------
    .. [1] Bertsekas, D. P. and Castañon, D. A. "The auction algorithm for the transportation
       problem". Annals of Operations Research 20, 1989.
    """
    costs = np.where(room[columns] > 0, costs, np.inf)
    cheapest = costs.min(axis=1, keepdims=True)
    costs -= np.where(np.isfinite(cheapest), cheapest, 0.0)
    dearest = np.where(np.isfinite(costs), costs, 0.0).max(axis=1)
    way_out = WAY_OUT * np.maximum(dearest, dearest.mean() or 1.0)
    raises = float(way_out.mean()) / 256
    for _ in range(MAX_AUCTIONS):
        choice, prices = _hold(columns, costs, way_out, room, raises)
        every = np.arange(len(columns))
        paid = float(np.where(choice >= 0, costs[every, choice], way_out).sum())
        least = np.minimum(way_out, (costs + prices[columns]).min(axis=1)).sum() - room @ prices
        gap = max(paid - float(least), 0.0)
        if gap <= TOLERANCE * paid:
            break
        raises /= 4
    return choice, gap


def _hold(
    columns: NDArray[np.int64],
    costs: NDArray[np.float64],
    way_out: NDArray[np.float64],
    room: NDArray[np.int64],
    raises: float,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Hold one auction; return the places of the offers and the prices of the columns."""
    prices = np.zeros(len(room))
    choice = np.full(len(columns), -1, dtype=np.intp)
    held, bids = np.full(len(columns), -1), np.zeros(len(columns))
    waiting = np.arange(len(columns))
    while len(waiting):
        sums = costs[waiting] + prices[columns[waiting]]
        best = sums.argmin(axis=1)
        every = np.arange(len(waiting))
        least = sums[every, best]
        sums[every, best] = np.inf
        second = np.minimum(sums.min(axis=1), way_out[waiting])
        bidding = least < way_out[waiting]
        rows, best = waiting[bidding], best[bidding]
        choice[rows], held[rows] = best, columns[rows, best]
        bids[rows] = prices[held[rows]] + (second - least)[bidding] + raises
        holders = np.flatnonzero(np.isin(held, held[rows]))
        ranked = holders[np.lexsort((holders, -bids[holders], held[holders]))]
        place = position_in_group(held[ranked])
        last = ranked[place == room[held[ranked]] - 1]
        prices[held[last]] = bids[last]
        waiting = np.sort(ranked[place >= room[held[ranked]]])
        choice[waiting], held[waiting] = -1, -1
    return choice, prices


def _take_what_is_left(
    columns: NDArray[np.int64],
    errors: NDArray[np.float64],
    choice: NDArray[np.intp],
    room: NDArray[np.int64],
) -> None:
    """Give items that the auction left without a column the nearest one with room."""
    left = room - np.bincount(
        columns[np.arange(len(columns)), choice][choice >= 0], minlength=len(room)
    )
    for row in np.flatnonzero(choice < 0).tolist():
        costs = np.where(left[columns[row]] > 0, errors[row], np.inf)
        if np.isfinite(costs.min()):
            choice[row] = costs.argmin()
            left[columns[row, choice[row]]] -= 1
