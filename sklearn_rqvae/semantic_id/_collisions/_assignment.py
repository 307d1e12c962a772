"""The cheapest way to give each item a free ID of its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from sklearn_rqvae.semantic_id._ordering import is_among

__all__ = ["assign_free", "last_level_candidates"]

# Below this many cells, a component of the graph is cheaper as a dense matrix than as a sparse one.
DENSE_CELLS = 2**16


def assign_free(
    candidates: NDArray[Any], errors: NDArray[np.float64], taken: NDArray[Any]
) -> NDArray[np.intp]:
    """Choose one candidate per item, none taken and none chosen twice, at the least total error.

    Items that compete for an ID, directly or through others, form a component of the bipartite
    graph of items and candidates; the assignment problem of each component is solved exactly [1]_,
    [2]_. Among the assignments that leave the fewest items without an ID, the result has the least
    sum of errors.

    Parameters
    ----------
    candidates : ndarray of shape (n_items, n_candidates)
        Keys of the IDs that each item could have.
    errors : ndarray of shape (n_items, n_candidates)
        Reconstruction error of each; infinite where an entry is no candidate.
    taken : ndarray of shape (n_taken,)
        Keys that are not free, sorted.

    Returns
    -------
    choice : ndarray of int of shape (n_items,)
        Column of the chosen candidate, -1 where an item's candidates ran out.

    References
    ----------
    .. [1] Crouse, D. F. "On implementing 2D rectangular assignment algorithms". IEEE Transactions
       on Aerospace and Electronic Systems 52(4), 2016.
    .. [2] Jonker, R. and Volgenant, A. "A shortest augmenting path algorithm for dense and sparse
       linear assignment problems". Computing 38, 1987.
    """
    n_items, n_candidates = candidates.shape
    choice = np.full(n_items, -1, dtype=np.intp)
    keys = candidates.ravel()
    free = np.isfinite(errors.ravel()) & ~is_among(keys, taken)
    edges = np.flatnonzero(free)
    if not len(edges):
        return choice
    _, columns = np.unique(keys[edges], return_inverse=True)
    rows = edges // n_candidates
    # A candidate listed twice for an item counts once, with the smaller error.
    by_pair = np.lexsort((errors.ravel()[edges], columns, rows))
    edges, rows, columns = edges[by_pair], rows[by_pair], columns[by_pair]
    first = np.ones(len(edges), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    edges, rows, columns = edges[first], rows[first], columns[first]
    cost = errors.ravel()[edges]

    n_columns = int(columns.max()) + 1
    graph = coo_array(
        (np.ones(len(edges), dtype=np.int8), (rows, columns + n_items)),
        shape=(n_items + n_columns,) * 2,
    )
    n_parts, part_of = connected_components(graph, directed=False)
    part = part_of[rows]
    by_part = np.argsort(part, kind="stable")
    stops = np.searchsorted(part[by_part], np.arange(n_parts + 1))
    for start, stop in pairwise(stops.tolist()):
        if start < stop:
            members = by_part[start:stop]
            chosen = _solve(rows[members], columns[members], cost[members])
            choice[rows[members[chosen]]] = edges[members[chosen]] % n_candidates
    return _twins_in_order(candidates, errors, choice)


def _twins_in_order(
    candidates: NDArray[Any], errors: NDArray[np.float64], choice: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Let the first of several items with the same candidates and errors have the best choice."""
    content = np.concatenate(
        [np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1) for a in (candidates, errors)],
        axis=1,
    )
    as_bytes = content.view(np.dtype((np.void, content.shape[1]))).ravel()
    twins = np.unique(as_bytes, return_inverse=True)[1]
    cost = np.where(choice >= 0, errors[np.arange(len(errors)), choice], np.inf)
    choice[np.argsort(twins, kind="stable")] = choice[np.lexsort((choice, cost, twins))]
    return choice


def _solve(
    rows: NDArray[np.intp], columns: NDArray[np.intp], cost: NDArray[np.float64]
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
