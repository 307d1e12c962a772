"""Near-optimal assignment of many items at once: an auction, with a proof of how near it came."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Assignment", "auction"]

# An item raises a price by at least this share of its way out. The first auction is coarse and
# quick; it tells how fine the next has to be.
FIRST_RAISE = 1 / 32
MAX_AUCTIONS = 6

# Items that bid at the same time. More share the cost of a step, but bid on prices that are about
# to rise: 4,096 and 16,384 take the same time on half a million items.
BLOCK_ROWS = 2**14


class Assignment(NamedTuple):
    """Which candidate each item gets, -1 for none, and by how much that may miss the optimum."""

    choice: NDArray[np.intp]
    gap: float


def auction(
    columns: NDArray[np.int32],
    costs: NDArray[np.float64],
    way_out: NDArray[np.float64],
    tolerance: float = 0.02,
) -> Assignment:
    r"""Assign columns to items at nearly the least total cost, by letting the items bid.

    Columns have prices, at first 0. An item that has no column bids for the one with the least sum
    of cost and price, and raises its price to where the second best would be as good, plus a
    little more; whoever had the column has to bid again [1]_. An item whose best sum exceeds its
    way out takes that. Prices prove how good the result is: no assignment costs less than
    :math:`\sum_i \min(w_i, \min_j(c_{ij} + p_j)) - \sum_j p_j`. The auction is held again with
    smaller raises until the cost is within `tolerance` of that.

    All bids of a block of items are placed at the same time; the highest wins, of equal ones the
    first item's. Hence the result is a function of the order of the items, and of nothing else.

    Parameters
    ----------
    columns : ndarray of int of shape (n_items, n_candidates)
        Number of the column of each candidate, from 0; no column twice in a row.
    costs : ndarray of shape (n_items, n_candidates)
        Costs, not negative; infinite where an entry is no candidate.
    way_out : ndarray of shape (n_items,)
        Cost of having no column, positive.
    tolerance : float, default=0.02
        Share of the total cost, ways out included, by which it may exceed the least one.

    Returns
    -------
    assignment : Assignment
        Place of each item's candidate, -1 for the way out, and the proven bound on what the total
        exceeds the least possible by. The bound can stay above the tolerance after six auctions.

    References
    ----------
    .. [1] Bertsekas, D. P. "The auction algorithm: a distributed relaxation method for the
       assignment problem". Annals of Operations Research 14, 1988.
    """
    raises = FIRST_RAISE
    for _ in range(MAX_AUCTIONS):
        choice, prices = _hold(columns, costs, way_out, raises * way_out)
        paid = float(_paid(costs, way_out, choice).sum())
        gap = max(paid - _least_possible(columns, costs, way_out, prices), 0.0)
        if gap <= tolerance * paid:
            break
        # The gap is about in proportion to the raises, so the next auction is likely the last.
        raises *= max(min(0.7 * tolerance * paid / gap, 1 / 4), 1 / 64)
    return Assignment(choice, gap)


def _hold(
    columns: NDArray[np.int32],
    costs: NDArray[np.float64],
    way_out: NDArray[np.float64],
    raises: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Hold one auction; return the places of the candidates and the prices of the columns."""
    n_columns = int(columns.max(initial=-1)) + 1
    prices = np.zeros(n_columns)
    owners = np.full(n_columns, -1, dtype=np.int32)
    choice = np.full(len(columns), -1, dtype=np.intp)
    waiting = np.arange(len(columns), dtype=np.int32)
    while len(waiting):
        again = []
        for start in range(0, len(waiting), BLOCK_ROWS):
            rows = waiting[start : start + BLOCK_ROWS]
            rows, places, column, bids = _bids(columns, costs, way_out, raises, prices, rows)
            np.maximum.at(prices, column, bids)
            previous = owners[column]
            # Of equal bids the first one counts: of several writes to one place the last one stays.
            highest = np.flatnonzero(bids == prices[column])[::-1]
            owners[column[highest]] = rows[highest]
            won = owners[column] == rows
            choice[rows[won]] = places[won]
            outbid = previous[won]
            outbid = outbid[outbid >= 0]
            choice[outbid] = -1
            again += [rows[~won], outbid]
        waiting = np.concatenate(again)
    return choice, prices


def _bids(
    columns: NDArray[np.int32],
    costs: NDArray[np.float64],
    way_out: NDArray[np.float64],
    raises: NDArray[np.float64],
    prices: NDArray[np.float64],
    rows: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.intp], NDArray[np.int32], NDArray[np.float64]]:
    """Return the items that don't take their way out: rows, places, columns, and bids."""
    every = np.arange(len(rows))
    offered = columns[rows]
    sums = prices[offered]
    sums += costs[rows]
    best = sums.argmin(axis=1)
    least = sums[every, best]
    sums[every, best] = np.inf
    second = np.minimum(sums.min(axis=1), way_out[rows])
    bidding = np.flatnonzero(least < way_out[rows])
    rows, best = rows[bidding], best[bidding]
    column = offered[bidding, best]
    bids = prices[column] + (second - least)[bidding] + raises[rows]
    return rows, best, column, bids


def _paid(
    costs: NDArray[np.float64], way_out: NDArray[np.float64], choice: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return what each item costs."""
    return np.where(choice >= 0, costs[np.arange(len(costs)), choice], way_out)


def _least_possible(
    columns: NDArray[Any],
    costs: NDArray[np.float64],
    way_out: NDArray[np.float64],
    prices: NDArray[np.float64],
) -> float:
    """Return a bound that no assignment's total cost is below: the value of the dual problem."""
    total = -float(prices.sum())
    for start in range(0, len(costs), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        least = (costs[rows] + prices[columns[rows]]).min(axis=1)
        total += float(np.minimum(least, way_out[rows]).sum())
    return total
