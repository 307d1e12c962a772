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
    rows: NDArray[np.intp] | None = None,
) -> Assignment:
    r"""Assign columns to items at nearly the least total cost, by letting the items bid.

    Columns have prices, at first 0. An item that has no column bids for the one with the least sum
    of cost and price, and raises its price to where the second best would be as good, plus a
    little more; whoever had the column has to bid again [1]_. An item whose best sum exceeds its
    way out takes that. Prices prove how good the result is: no assignment costs less than
    :math:`\sum_i \min(w_i, \min_j(c_{ij} + p_j)) - \sum_j p_j`. The auction is held again with
    smaller raises until the cost is within `tolerance` of that.

    Only differences within a row matter: costs are what a candidate costs more than the cheapest.

    All bids of a block of items are placed at the same time; the highest wins, of equal ones the
    first item's. Hence the result is a function of the order of the items, and of nothing else.

    Parameters
    ----------
    columns : ndarray of int of shape (n_items, n_candidates)
        Number of the column of each candidate, from 0; no column twice in a row.
    costs : ndarray of shape (n_items, n_candidates)
        Costs; infinite where an entry is no candidate.
    way_out : ndarray of shape (n_items,)
        What having no column costs more than the cheapest candidate, positive.
    tolerance : float, default=0.02
        Share of the total cost, ways out included, by which it may exceed the least one.
    rows : ndarray of int of shape (n_bidding,), optional
        Items that take part, ascending; by default all.

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
    rows = np.arange(len(columns)) if rows is None else rows
    least = costs.min(axis=1)
    market = _Market(columns, costs, np.where(np.isfinite(least), least, 0.0), way_out, rows)
    raises = FIRST_RAISE
    for _ in range(MAX_AUCTIONS):
        choice, prices = _hold(market, raises)
        paid = _paid(market, choice)
        gap = max(paid - _least_possible(market, prices), 0.0)
        if gap <= tolerance * paid:
            break
        # The gap is about in proportion to the raises, so the next auction is likely the last.
        raises *= max(min(0.7 * tolerance * paid / gap, 1 / 4), 1 / 64)
    return Assignment(choice, gap)


class _Market(NamedTuple):
    """What is offered to whom: the arguments of `auction`, and each item's least cost."""

    columns: NDArray[np.int32]
    costs: NDArray[np.float64]
    least: NDArray[np.float64]
    way_out: NDArray[np.float64]
    rows: NDArray[np.intp]

    def sums(self, rows: NDArray[Any], prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return price and cost of some items' candidates."""
        sums = self.costs[rows]
        sums -= self.least[rows, None]
        sums += prices[self.columns[rows]]
        return sums


def _hold(market: _Market, raises: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Hold one auction; return the places of the candidates and the prices of the columns."""
    n_columns = int(market.columns.max(initial=-1)) + 1
    prices = np.zeros(n_columns)
    owners = np.full(n_columns, -1, dtype=np.int32)
    choice = np.full(len(market.columns), -1, dtype=np.intp)
    waiting = market.rows.astype(np.int32)
    while len(waiting):
        again = []
        for start in range(0, len(waiting), BLOCK_ROWS):
            rows = waiting[start : start + BLOCK_ROWS]
            rows, places, column, bids = _bids(market, raises, prices, rows)
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
    market: _Market, raises: float, prices: NDArray[np.float64], rows: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.intp], NDArray[np.int32], NDArray[np.float64]]:
    """Return the items that don't take their way out: rows, places, columns, and bids."""
    every = np.arange(len(rows))
    sums, way_out = market.sums(rows, prices), market.way_out[rows]
    best = sums.argmin(axis=1)
    least = sums[every, best]
    sums[every, best] = np.inf
    second = np.minimum(sums.min(axis=1), way_out)
    bidding = np.flatnonzero(least < way_out)
    rows, best = rows[bidding], best[bidding]
    column = market.columns[rows, best]
    bids = prices[column] + (second - least)[bidding] + raises * way_out[bidding]
    return rows, best, column, bids


def _paid(market: _Market, choice: NDArray[np.intp]) -> float:
    """Return what all items cost together."""
    rows = market.rows
    cost = market.costs[rows, choice[rows]] - market.least[rows]
    return float(np.where(choice[rows] >= 0, cost, market.way_out[rows]).sum())


def _least_possible(market: _Market, prices: NDArray[np.float64]) -> float:
    """Return a bound that no assignment's total cost is below: the value of the dual problem."""
    total = -float(prices.sum())
    for start in range(0, len(market.rows), BLOCK_ROWS):
        rows = market.rows[start : start + BLOCK_ROWS]
        least = market.sums(rows, prices).min(axis=1)
        total += float(np.minimum(least, market.way_out[rows]).sum())
    return total
