"""The cheapest way to give each item a free ID of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from sklearn_rqvae.semantic_id._collisions._auction import Assignment, auction
from sklearn_rqvae.semantic_id._ordering import in_group

__all__ = ["assign_free", "last_level_candidates", "numbered"]

# Below this many cells, a component of the graph is cheaper as a dense matrix than as a sparse one.
DENSE_CELLS = 2**16

# Items that compete with each other, directly or through others, up to which the optimum is found:
# the time grows with the square of their number, and twice as many take a second.
EXACT_ITEMS = 2048

# What it costs to leave an item to the next round, in units of its dearest candidate. By then the
# IDs around it are taken: with 2 the rounds together add 1.28 times the exact error on 100,000
# items in a plane, with 8 as much as the exact solver's, with 16 1 % less, for half more time.
WAY_OUT = 8.0

# Candidates of each item whose connections are looked at together, and the most in all.
CONNECTED_CANDIDATES, CONNECTIONS = 8, 2**24

# Ranges of keys that are sorted one by one, of this many keys or more: places of all of them at
# once would take twice as much memory as the keys.
MAX_RANGES, RANGE_KEYS = 16, 2**20

# Rows handled at a time where a temporary array per row would be as large as the candidates.
CHUNK_ROWS = 2**16


def assign_free(
    columns: NDArray[np.int32], errors: NDArray[np.float64], taken: NDArray[np.bool_]
) -> Assignment:
    """Choose one candidate per item, none taken and none chosen twice, at the least total error.

    Items that compete for an ID, directly or through others, form a component of the bipartite
    graph of items and candidates. The assignment problem of a component of up to `EXACT_ITEMS`
    items is solved exactly [1]_, [2]_: among the assignments that leave the fewest items without
    an ID, the result has the least sum of errors. A larger one is solved by an auction, whose sum
    is within 2 % of the least one, and where an item goes without an ID if one would cost all items
    together `WAY_OUT` times as much as its dearest candidate does.

    Parameters
    ----------
    columns : ndarray of int of shape (n_items, n_candidates)
        Numbers of the IDs that each item could have, from `numbered`.
    errors : ndarray of shape (n_items, n_candidates)
        Reconstruction error of each; infinite where an entry is no candidate. Changed in place:
        infinite, too, where an ID is taken or listed twice.
    taken : ndarray of bool of shape (n_ids,)
        Which IDs are not free.

    Returns
    -------
    assignment : Assignment
        Column of the chosen candidate, -1 where an item's candidates ran out, and the proven bound
        on what the sum of errors exceeds the least possible by; 0.0 where all is exact.

    References
    ----------
    .. [1] Crouse, D. F. "On implementing 2D rectangular assignment algorithms". IEEE Transactions
       on Aerospace and Electronic Systems 52(4), 2016.
    .. [2] Jonker, R. and Volgenant, A. "A shortest augmenting path algorithm for dense and sparse
       linear assignment problems". Computing 38, 1987.
    """
    twins = _twins(columns, errors)
    _leave_out(columns, errors, taken)
    part_of = _components(columns, errors)
    by_part = np.argsort(part_of, kind="stable")
    sizes = np.bincount(part_of)
    stops = np.append(0, np.cumsum(sizes))
    choice = np.full(len(columns), -1, dtype=np.intp)
    for part in np.flatnonzero(sizes <= EXACT_ITEMS).tolist():
        rows = by_part[stops[part] : stops[part + 1]]
        choice[rows] = _exact(columns[rows], errors[rows])
    rows, gap = np.flatnonzero(sizes[part_of] > EXACT_ITEMS), 0.0
    if len(rows):
        found = auction(columns, errors, _ways_out(errors, rows), rows=rows)
        choice[rows], gap = found.choice[rows], found.gap
    _put_twins_in_order(*twins, errors, choice)
    return Assignment(choice, gap)


def numbered(candidates: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Number the keys from 0, as `numpy.unique` does with ``return_inverse``, in less memory.

    Parameters
    ----------
    candidates : ndarray of shape (n_items, n_candidates)
        Keys.

    Returns
    -------
    keys : ndarray of shape (n_keys,)
        Those that occur, sorted.
    columns : ndarray of int32 of shape (n_items, n_candidates)
        Place of each candidate among them.
    """
    flat, columns = candidates.ravel(), np.empty(candidates.shape, dtype=np.int32)
    n_ranges = min(len(flat) // RANGE_KEYS + 1, MAX_RANGES)
    sample = np.sort(flat[:: len(flat) // 2**12 + 1])
    bounds = np.unique(sample[len(sample) * np.arange(1, n_ranges) // n_ranges])
    found, n_found = [], 0
    for number in range(len(bounds) + 1):
        inside = np.ones(len(flat), dtype=bool)
        if number:
            inside &= flat >= bounds[number - 1]
        if number < len(bounds):
            inside &= flat < bounds[number]
        places = np.flatnonzero(inside)
        keys = flat[places]
        order = np.argsort(keys)
        keys = keys[order]
        is_new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        columns.ravel()[places[order]] = np.cumsum(is_new, dtype=np.int32) + (n_found - 1)
        found.append(keys[is_new])
        n_found += len(found[-1])
    return np.concatenate(found), columns


def _leave_out(
    columns: NDArray[np.int32], errors: NDArray[np.float64], taken: NDArray[np.bool_]
) -> None:
    """Give all that an item can't have an infinite error."""
    for start in range(0, len(columns), CHUNK_ROWS):
        some, costs = columns[start : start + CHUNK_ROWS], errors[start : start + CHUNK_ROWS]
        costs[taken[some]] = np.inf
        # A candidate listed twice for an item counts once, with the smaller error.
        order = np.lexsort((costs, some), axis=1)
        ordered = np.take_along_axis(some, order, axis=1)
        row, place = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
        costs[row, order[row, place + 1]] = np.inf


def _components(columns: NDArray[np.int32], costs: NDArray[np.float64]) -> NDArray[np.int32]:
    """Number the components of the graph of items and candidates; return that of each item."""
    # What a single item could have connects nothing.
    shared = _wanted_twice(columns, costs)
    node = np.cumsum(shared, dtype=np.int32) + (len(columns) - 1)
    part_of = np.arange(node[-1] + 1, dtype=np.int32)
    # A few candidates of each item at a time: as a graph, all would be the largest array.
    n_some = max(min(CONNECTED_CANDIDATES, CONNECTIONS // len(columns)), 1)
    for first in range(0, columns.shape[1], n_some):
        some = columns[:, first : first + n_some]
        rows, places = np.nonzero(shared[some] & np.isfinite(costs[:, first : first + n_some]))
        if len(rows):
            ends = part_of[rows], part_of[node[some[rows, places]]]
            graph = csr_array((np.ones(len(rows)), ends), shape=(int(part_of.max()) + 1,) * 2)
            part_of = connected_components(graph, directed=False)[1][part_of]
    return part_of[: len(columns)]


def _wanted_twice(columns: NDArray[np.int32], costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which columns are candidates of several items."""
    counts = np.zeros(int(columns.max()) + 1, dtype=np.int32)
    for start in range(0, len(columns), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        np.add.at(counts, columns[rows][np.isfinite(costs[rows])], 1)
    return counts > 1


def _ways_out(costs: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what each item can do without an ID for, 0.0 for those that aren't among the rows."""
    spread = np.zeros(len(costs))
    for start in range(0, len(rows), CHUNK_ROWS):
        some = rows[start : start + CHUNK_ROWS]
        own = costs[some]
        largest = own.max(axis=1, where=np.isfinite(own), initial=-np.inf)
        least = own.min(axis=1)
        # A row without a candidate has no differences.
        spread[some] = np.where(np.isfinite(least), largest - least, 0.0)
    ways_out = np.zeros(len(costs))
    # An item all of whose candidates cost the same doesn't leave for nothing.
    ways_out[rows] = WAY_OUT * spread[rows] + (0.01 * spread[rows].mean() or 1.0)
    return ways_out


def _twins(
    columns: NDArray[np.int32], errors: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows with the candidates and errors of another, and a number for each kind."""
    rows = _possible_twins(columns, errors)
    if not len(rows):
        return rows, rows
    content = np.concatenate(
        [
            np.ascontiguousarray(array[rows]).view(np.uint8).reshape(len(rows), -1)
            for array in (columns, errors)
        ],
        axis=1,
    )
    as_bytes = content.view(np.dtype((np.void, content.shape[1]))).ravel()
    return rows, np.unique(as_bytes, return_inverse=True)[1]


def _put_twins_in_order(
    rows: NDArray[np.intp],
    kinds: NDArray[np.intp],
    errors: NDArray[np.float64],
    choice: NDArray[np.intp],
) -> None:
    """Let the first of several items with the same candidates and errors have the best choice."""
    chosen = choice[rows]
    cost = np.where(chosen >= 0, errors[rows, chosen], np.inf)
    choice[rows[np.argsort(kinds, kind="stable")]] = chosen[np.lexsort((chosen, cost, kinds))]


def _possible_twins(columns: NDArray[np.int32], errors: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows whose candidates and errors have the same checksum as those of another."""
    odd = np.random.default_rng(0).integers(2**63, size=(2, columns.shape[1]), dtype=np.uint64)
    odd = 2 * odd + 1
    checksum = np.empty(len(columns), dtype=np.uint64)
    for start in range(0, len(columns), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        bits = np.ascontiguousarray(errors[rows], dtype=np.float64).view(np.uint64)
        checksum[rows] = (bits * odd[0] + columns[rows].astype(np.uint64) * odd[1]).sum(axis=1)
    return np.flatnonzero(in_group(checksum, np.argsort(checksum)))


def _exact(columns: NDArray[np.int32], costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the place of each item's candidate in a cheapest assignment of a component."""
    choice = np.full(len(columns), -1, dtype=np.intp)
    rows, places = np.nonzero(np.isfinite(costs))
    if len(columns) == 1:
        return costs.argmin(axis=1) if len(rows) else choice
    if len(rows):
        chosen = _solve(rows, columns[rows, places], costs[rows, places])
        choice[rows[chosen]] = places[chosen]
    return choice


def _solve(
    rows: NDArray[np.intp], columns: NDArray[Any], cost: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return the edges of a cheapest assignment that serves as many items as possible."""
    row_names, row = np.unique(rows, return_inverse=True)
    column_names, column = np.unique(columns, return_inverse=True)
    n, m = len(row_names), len(column_names)
    # Only differences within a row matter, since every row gets one column. Each row has a private
    # way out that is dearer than all that a change of assignment could save, so that it's taken
    # only where candidates run out.
    cheapest = np.full(n, np.inf)
    np.minimum.at(cheapest, row, cost)
    extra = cost - cheapest[row]
    scale = float(extra.max()) or 1.0
    extra = extra / scale
    way_out = float(n + 1)
    if n * (m + n) <= DENSE_CELLS:
        matrix = np.full((n, m + n), 2.0 * way_out * (n + 1))
        matrix[row, column] = extra
        matrix[np.arange(n), m + np.arange(n)] = way_out
        matched = linear_sum_assignment(matrix)[1]
    else:
        # The sparse solver takes a stored zero for a missing edge, hence the one that all edges
        # carry.
        sparse = csr_array(
            (
                np.concatenate([extra, np.full(n, way_out)]) + 1.0,
                (np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])),
            ),
            shape=(n, m + n),
        )
        # scipy 1.13 takes no other type, and makes 64-bit indices of 64-bit coordinates.
        sparse.indices, sparse.indptr = sparse.indices.astype("i4"), sparse.indptr.astype("i4")
        matched = min_weight_full_bipartite_matching(sparse)[1]
    return np.flatnonzero(matched[row] == column)


def last_level_candidates(
    latents: Any, codes: Any, codebooks: Any, n_candidates: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    r"""List IDs that differ from an item's own at the last level only.

    With these candidates, ``collisions="reassign"`` does what the uniform semantic mapping of
    LC-Rec [1]_ aims at: colliding items spread over the codewords of the last level, each codeword
    serving one item per prefix at most. There a balanced transport is approximated by Sinkhorn
    iterations, which can leave collisions; here the assignment is exact.

    Parameters
    ----------
    latents : array-like of shape (n_samples, embed_dim)
        Vectors in the space of the codebooks.
    codes : array-like of int of shape (n_samples, n_layers)
        Their codes.
    codebooks : sequence of array-like of shape (codebook_size, embed_dim)
        Codewords of each level.
    n_candidates : int, optional
        Number of candidates per sample; all codewords of the last level if not given.

    Returns
    -------
    candidates : ndarray of shape (n_samples, n_candidates, n_layers), dtype=int64
        IDs, the nearest first.
    errors : ndarray of shape (n_samples, n_candidates)
        Squared distance of the last residual to the codeword, :math:`\|r_{L-1} - c\|^2`.

    References
    ----------
    .. [1] Zheng, B. et al. "Adapting large language models by integrating collaborative semantics
       for recommendation". arXiv:2311.09049, 2023.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import last_level_candidates
    >>> candidates, errors = last_level_candidates([[1.0]], [[0, 0]], [[[1.0]], [[0.0], [2.0]]])
    >>> candidates.tolist(), errors.tolist()
    ([[[0, 0], [0, 1]]], [[0.0, 4.0]])
    """
    codes = np.asarray(codes, dtype=np.int64)
    residual = np.asarray(latents, dtype=np.float64)
    for level, codebook in enumerate(codebooks[:-1]):
        residual = residual - np.asarray(codebook, dtype=np.float64)[codes[:, level]]
    last = np.asarray(codebooks[-1], dtype=np.float64)
    size = len(last) if n_candidates is None else min(n_candidates, len(last))
    candidates = np.repeat(codes[:, None, :], size, axis=1)
    errors = np.empty((len(codes), size))
    for start in range(0, len(codes), 1024):
        rows = slice(start, start + 1024)
        chunk = residual[rows]
        distance = (chunk**2).sum(1)[:, None] - 2 * chunk @ last.T + (last**2).sum(1)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :size]
        candidates[rows, :, -1] = nearest
        # The expanded square can fall below zero by rounding.
        errors[rows] = np.maximum(np.take_along_axis(distance, nearest, axis=1), 0.0)
    return candidates, errors
