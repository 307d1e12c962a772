"""Beam search over the levels, as a graph."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklearn_rqvae._onnx._graph import Graph
from sklearn_rqvae.quantize._beam import SearchTables

__all__ = ["Beams", "add_search", "pick"]


class Beams(NamedTuple):
    """What a search keeps of each row: values of a graph.

    Parameters
    ----------
    codes : list of str
        Codes at each level, of shape (n_samples, n_kept).
    totals : str
        Scores, of shape (n_samples, n_kept).
    n_kept : int
        Number of choices.
    """

    codes: list[str]
    totals: str
    n_kept: int


def add_search(graph: Graph, scores: str, tables: SearchTables, n_beams: int) -> Beams:
    """Add the search that `quantize._beam.search_scores` does.

    Parameters
    ----------
    graph : Graph
        The graph.
    scores : str
        Scores of all codewords, of shape (n_samples, n_codewords).
    tables : SearchTables
        Inner products of the codebooks.
    n_beams : int
        Choices kept at each level.

    Returns
    -------
    beams : Beams
        The choices.
    """
    size = tables.sizes[0]
    n_kept = min(n_beams, size)
    own = graph.columns(scores, 0, size)
    totals, first = _largest(graph, own, n_kept)
    codes = [first]
    for level in range(1, len(tables.sizes)):
        start, size = tables.starts[level], tables.sizes[level]
        own = graph.columns(scores, start, start + size)
        extended = _extensions(graph, tables, level, codes)
        extended = graph.op("Add", extended, graph.op("Unsqueeze", totals, graph.integers(2)))
        totals, parent, code = _best(graph, extended, own, n_beams, n_kept, size)
        n_kept = min(n_beams, n_kept * size)
        codes = [graph.op("GatherElements", before, parent, axis=1) for before in codes]
        codes.append(code)
    return Beams(codes, totals, n_kept)


def pick(graph: Graph, codes: list[str], best: str) -> str:
    """Return the codes of one choice of each row.

    Parameters
    ----------
    graph : Graph
        The graph.
    codes : list of str
        Codes of all choices, by level.
    best : str
        Which one, of shape (n_samples, 1).

    Returns
    -------
    codes : str
        Codes of shape (n_samples, n_layers).
    """
    chosen = [graph.op("GatherElements", level, best, axis=1) for level in codes]
    return graph.op("Concat", *chosen, axis=1)


def _largest(graph: Graph, scores: str, k: int) -> tuple[str, str]:
    """Return the largest entries of each row, and where they stand."""
    if k == 1:  # of equal ones the first, as everywhere
        place = graph.op("ArgMax", scores, axis=1, keepdims=1)
        return graph.op("GatherElements", scores, place, axis=1), place
    return graph.op("TopK", scores, graph.integers(k), axis=1, n_outputs=2)


def _extensions(graph: Graph, tables: SearchTables, level: int, codes: list[str]) -> str:
    """Return what each codeword of a level adds to each choice, of shape (n, n_kept, size)."""
    crossings = tables.crossings[level].cpu().numpy()
    total = ""
    for before, code in enumerate(codes):
        rows = crossings[tables.starts[before] : tables.starts[before + 1]]
        part = graph.op("Gather", rows, code, axis=0)
        total = graph.op("Add", total, part) if total else part
    return total


def _best(
    graph: Graph, extended: str, own: str, n_beams: int, n_kept: int, size: int
) -> tuple[str, str, str]:
    """Find the best of ``extended[:, beam, code] + own[:, code]``: scores, beams and codes.

    As in `quantize._beam`, only the codes with the best maxima over the beams are compared.
    """
    n_codes = min(n_beams, size)
    n_best = min(n_beams, n_kept * size)
    if n_kept > 1 and n_codes < size:
        maxima = graph.op("ReduceMax", extended, axes=[1], keepdims=0)
        _, few = _largest(graph, graph.op("Add", maxima, own), n_codes)
        by_beam = graph.op("Unsqueeze", few, graph.integers(1))
        by_beam = graph.op("Expand", by_beam, graph.integers(1, n_kept, 1))
        extended = graph.op("GatherElements", extended, by_beam, axis=2)
        own = graph.op("GatherElements", own, few, axis=1)
    else:
        few, n_codes = "", size
    total = graph.op("Add", extended, graph.op("Unsqueeze", own, graph.integers(1)))
    flat = graph.op("Reshape", total, graph.integers(0, n_kept * n_codes))
    totals, place = _largest(graph, flat, n_best)
    width = graph.constant(np.array(n_codes, dtype=np.int64))
    parent, code = graph.op("Div", place, width), graph.op("Mod", place, width)
    if few:
        code = graph.op("GatherElements", few, code, axis=1)
    return totals, parent, code
