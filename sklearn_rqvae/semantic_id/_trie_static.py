"""The arrays that YouTube's STATIC decodes with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn_rqvae.semantic_id._trie import SemanticIDTrie

__all__ = ["StaticIndex", "static_index"]


class StaticIndex(NamedTuple):
    """What ``build_static_index`` of STATIC [1]_ returns, bit for bit.

    State 0 is the end, states 1 to `vocab_size` are the first tokens plus 1, and the nodes between
    the first and the last level follow, level by level.

    Attributes
    ----------
    packed_csr : ndarray of int32 of shape (n_edges + vocab_size, 2)
        Token and next state of each edge, the edges of one state side by side; then padding.
    indptr : ndarray of int32 of shape (n_states + 2,)
        Where the edges of each state begin.
    layer_max_branches : tuple of int of length width
        Most edges of a state, by level.
    start_mask : ndarray of bool of shape (vocab_size,)
        Tokens that begin an ID.
    dense_mask : ndarray of bool of shape (vocab_size,) * n_dense
        First tokens that begin an ID, together.
    dense_states : ndarray of int32 of shape (vocab_size,) * n_dense
        The state that they lead to.

    References
    ----------
    .. [1] "Vectorizing the trie: Efficient constrained decoding for LLM-based generative retrieval
       on accelerators". arXiv:2602.22647, 2026.
    """

    packed_csr: NDArray[np.int32]
    indptr: NDArray[np.int32]
    layer_max_branches: tuple[int, ...]
    start_mask: NDArray[np.bool_]
    dense_mask: NDArray[np.bool_]
    dense_states: NDArray[np.int32]


def static_index(trie: SemanticIDTrie, vocab_size: int, n_dense: int) -> StaticIndex:
    """Return the arrays for a trie of tokens."""
    levels, width = trie._levels, trie.width
    if not 1 <= n_dense < width:
        raise ValueError(f"n_dense={n_dense} should be in [1, {width}), below the width of an ID.")
    if vocab_size**n_dense > 2**31:
        raise ValueError(
            f"vocab_size={vocab_size} and n_dense={n_dense} ask for {vocab_size**n_dense} states "
            "in a table; number the tokens of IDs from 0 on, or take n_dense=1."
        )
    n_nodes = [len(level.codes) for level in levels]
    # The states of the nodes of each level; whole IDs are state 0.
    states: list[NDArray[Any]] = [levels[0].codes.astype(np.int64) + 1]
    n_states = vocab_size + 1
    for count in n_nodes[1:-1]:
        states.append(np.arange(n_states, n_states + count))
        n_states += count
    n_edges = sum(n_nodes[1:])
    if max(n_states, n_edges + vocab_size) >= 2**31:
        raise ValueError(f"{n_edges} edges are too many for the 32 bits that STATIC counts with.")
    edges = np.full((n_edges + vocab_size, 2), (vocab_size, 0), dtype=np.int32)
    counts = np.zeros(n_states + 1, dtype=np.int64)
    stop = 0
    for depth in range(1, width):
        start, stop = stop, stop + n_nodes[depth]
        edges[start:stop, 0] = levels[depth].codes
        edges[start:stop, 1] = states[depth] if depth < width - 1 else 0
        counts[states[depth - 1]] = np.diff(levels[depth].starts)
    counts[-1] = vocab_size
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    start_mask = np.zeros(vocab_size, dtype=bool)
    start_mask[levels[0].codes] = True
    dense_states = np.zeros((vocab_size,) * n_dense, dtype=np.int32)
    dense_mask = np.zeros_like(dense_states, dtype=bool)
    places = _prefixes(trie, n_dense)
    dense_states[places], dense_mask[places] = states[n_dense - 1], True
    branches = tuple(level.longest for level in levels)
    return StaticIndex(edges, indptr, branches, start_mask, dense_mask, dense_states)


def _prefixes(trie: SemanticIDTrie, depth: int) -> tuple[NDArray[Any], ...]:
    """Return the tokens of all nodes of a depth, by level."""
    found: tuple[NDArray[Any], ...] = ()
    path = np.arange(len(trie._levels[depth - 1].codes))
    for level in reversed(trie._levels[:depth]):
        found = (level.codes[path].astype(np.intp), *found)
        path = np.repeat(np.arange(len(level.starts) - 1), np.diff(level.starts))[path]
    return found
