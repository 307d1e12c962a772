"""One level of a trie: which codes follow each of its parents, in flat arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._trie_allowed import AllowedRows

__all__ = [
    "TrieLevel",
    "alive_nodes",
    "make_level",
    "mask",
    "parents_of",
    "restricted",
    "step",
    "with_flags",
]

# A dense form is kept beside the codes where it takes at most this many bytes for each node.
_DENSE_BYTES = 16


class TrieLevel(NamedTuple):
    """The nodes of a level, those of one parent side by side and in the order of codes.

    Attributes
    ----------
    size : int
        Number of codes.
    codes : ndarray of int of shape (n_nodes,)
        The last code of each node.
    starts : ndarray of int of shape (n_parents + 1,)
        Where the nodes of each parent begin, and where the last one's end.
    longest : int
        Most nodes of one parent.
    table : ndarray of int of shape (n_parents, size), or None
        Node by parent and code, -1 where there is none; None where most entries would be.
    bits : ndarray of uint8 of shape (n_parents, ceil(size / 8)), or None
        Which codes lead to an allowed item, as bits, the first one highest; None where few would
        be set.
    alive : ndarray of bool of shape (n_nodes,), AllowedRows, or None
        Which nodes lead to an allowed item; None if all do, or `bits` say it.
    """

    size: int
    codes: NDArray[Any]
    starts: NDArray[Any]
    longest: int
    table: NDArray[Any] | None
    bits: NDArray[np.uint8] | None
    alive: NDArray[np.bool_] | AllowedRows | None = None


def make_level(codes: NDArray[Any], starts: NDArray[Any], size: int, is_last: bool) -> TrieLevel:
    """Return a level, with the dense forms that are worth their memory."""
    n_parents, n_nodes = len(starts) - 1, len(codes)
    counts = np.diff(starts)
    n_bytes = n_parents * ((size + 7) // 8)
    table = bits = None
    dtype = starts.dtype
    if not is_last and n_parents * size * dtype.itemsize <= _DENSE_BYTES * n_nodes:
        table = np.full((n_parents, size), -1, dtype=dtype)
        table[np.repeat(np.arange(n_parents), counts), codes] = np.arange(n_nodes, dtype=dtype)
    if n_nodes and n_bytes <= _DENSE_BYTES * n_nodes // 4:
        bits = _bits(codes, counts, size)
    return TrieLevel(size, codes, starts, int(counts.max(initial=0)), table, bits)


def _bits(codes: NDArray[Any], counts: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Set the bit of each node's code, some parents at a time."""
    n_parents = len(counts)
    bits = np.empty((n_parents, (size + 7) // 8), dtype=np.uint8)
    ends = np.cumsum(counts)
    n_rows = max(1, 2**22 // size)
    for start in range(0, n_parents, n_rows):
        some = counts[start : start + n_rows]
        first = int(ends[start] - counts[start])
        rows = np.repeat(np.arange(len(some)), some)
        flags = np.zeros((len(some), size), dtype=bool)
        flags[rows, codes[first : first + len(rows)]] = True
        bits[start : start + n_rows] = np.packbits(flags, axis=1)
    return bits


def parents_of(level: TrieLevel) -> NDArray[np.intp]:
    """Return the parent of each node."""
    return np.repeat(np.arange(len(level.starts) - 1), np.diff(level.starts))


def alive_nodes(level: TrieLevel) -> NDArray[np.bool_]:
    """Tell which nodes lead to an allowed item."""
    if level.bits is not None:
        return _is_set(level.bits, parents_of(level), level.codes)
    return np.ones(len(level.codes), dtype=bool) if level.alive is None else np.asarray(level.alive)


def restricted(level: TrieLevel, alive: NDArray[np.bool_]) -> tuple[TrieLevel, NDArray[np.bool_]]:
    """Return the level with some nodes alive, and which parents have one of these."""
    if level.bits is not None:
        # Nodes lie in the order of set bits.
        flags = np.unpackbits(level.bits, axis=1, count=level.size).view(bool)
        flags[flags] = alive
        return with_flags(level, flags)
    if 8 * len(level.starts) > len(alive):
        # Of short runs, sums tell it faster than runs one by one.
        sums = np.zeros(len(alive) + 1, dtype=level.starts.dtype)
        np.cumsum(alive, out=sums[1:])
        return level._replace(alive=alive), np.diff(sums[level.starts]) > 0
    return level._replace(alive=alive), np.logical_or.reduceat(alive, level.starts[:-1])


def with_flags(level: TrieLevel, flags: NDArray[np.bool_]) -> tuple[TrieLevel, NDArray[np.bool_]]:
    """Return the level with `flags`, (n_parents, size), as bits, and which parents have any."""
    bits = np.packbits(flags, axis=1)
    return level._replace(bits=bits), np.asarray(bits.any(axis=1))


def _is_set(
    bits: NDArray[np.uint8], rows: NDArray[np.intp], codes: NDArray[Any]
) -> NDArray[np.bool_]:
    """Look bits up by row and code."""
    return (bits[rows, codes >> 3] >> (7 - (codes & 7)).astype(np.uint8)) & 1 > 0


def step(level: TrieLevel, parents: NDArray[np.intp], codes: NDArray[Any]) -> NDArray[np.intp]:
    """Go from parents to the nodes that a code leads to, -1 where there is none.

    Parameters
    ----------
    level : TrieLevel
        The level to go to.
    parents : ndarray of int of shape (n,)
        Nodes of the level before, -1 for none.
    codes : ndarray of int of shape (n,)
        Codes, also such as the level doesn't have.

    Returns
    -------
    nodes : ndarray of int of shape (n,)
        Nodes of the level.
    """
    if not len(level.codes):
        return np.full(len(parents), -1, dtype=np.intp)
    there = (parents >= 0) & (codes >= 0) & (codes < level.size)
    parents, codes = np.where(there, parents, 0), np.where(there, codes, 0)
    if level.table is not None:
        nodes = level.table[parents, codes].astype(np.intp)
    else:
        nodes = _search(level, parents, codes)
    if level.bits is not None:
        there &= _is_set(level.bits, parents, codes)
    elif level.alive is not None:
        there &= level.alive[np.maximum(nodes, 0)]
    return np.where(there, nodes, -1)


def _search(level: TrieLevel, parents: NDArray[np.intp], codes: NDArray[Any]) -> NDArray[np.intp]:
    """Find codes among those of parents by halving, all at once."""
    stored, last = level.codes, len(level.codes) - 1
    low = level.starts[parents].astype(np.intp)
    stop = level.starts[parents + 1].astype(np.intp)
    high = stop.copy()
    for _ in range(level.longest.bit_length()):
        middle = (low + high) >> 1
        below = (low < high) & (stored[np.minimum(middle, last)] < codes)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, np.minimum(middle, high))
    found = (low < stop) & (stored[np.minimum(low, last)] == codes)
    return np.where(found, low, -1)


def mask(level: TrieLevel, parents: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which codes follow parents.

    Parameters
    ----------
    level : TrieLevel
        The level that follows.
    parents : ndarray of int of shape (n,)
        Nodes of the level before, -1 for none.

    Returns
    -------
    mask : ndarray of bool of shape (n, size)
        True where a code leads to a node.
    """
    if level.bits is not None:
        rows = level.bits[parents]
        rows[parents < 0] = 0
        return np.unpackbits(rows, axis=1, count=level.size).view(bool)
    found = np.zeros((len(parents), level.size), dtype=bool)
    some = np.flatnonzero(parents >= 0)
    starts = level.starts[parents[some]].astype(np.intp)
    counts = level.starts[parents[some] + 1] - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    nodes = np.repeat(starts, counts) + within
    found[np.repeat(some, counts), level.codes[nodes]] = (
        True if level.alive is None else level.alive[nodes]
    )
    return found
