"""A trie of fixed depth in flat arrays, for decoders that may only produce existing IDs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._versions import Versioned

__all__ = ["SemanticIDTrie"]


class SemanticIDTrie(Versioned):
    """Tell which codes may follow a prefix, for one prefix or a batch of beams.

    Nodes of a level lie in one array, sorted by prefix, so that the children of a node are a slice
    of the next level.

    Parameters
    ----------
    ids : array-like of int of shape (n_ids, width)
        Semantic IDs, in any order; repeated ones count once.
    level_sizes : sequence of int of length width, optional
        Number of codes at each level; by default the largest code plus one.

    Attributes
    ----------
    width : int
        Number of codes in each ID.
    level_sizes : tuple of int
        Number of codes at each level.
    n_nodes : tuple of int
        Number of distinct prefixes of length 1, …, width.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import SemanticIDTrie
    >>> trie = SemanticIDTrie([[0, 1], [0, 2], [3, 1]])
    >>> trie.children(), trie.children((0,)), (3, 1) in trie
    (array([0, 3]), array([1, 2]), True)
    >>> trie.allowed([[0], [3], [1]]).astype(int)
    array([[0, 1, 1],
           [0, 1, 0],
           [0, 0, 0]])
    """

    def __init__(self, ids: Any, level_sizes: Sequence[int] | None = None) -> None:
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.shape[1] == 0 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"ids should be integers of shape (n_ids, width), got {ids.dtype} of shape "
                f"{ids.shape}."
            )
        n_ids, self.width = ids.shape
        largest = ids.max(axis=0, initial=-1)
        sizes = largest + 1 if level_sizes is None else np.asarray(level_sizes)
        if len(sizes) != self.width or (largest >= sizes).any() or (n_ids and ids.min() < 0):
            raise ValueError(
                f"ids have {self.width} columns with codes up to {largest.tolist()}, but "
                "level_sizes="
                f"{np.asarray(sizes).tolist()}; codes at level l should be in [0, level_sizes[l])."
            )
        self.level_sizes = tuple(int(size) for size in sizes)
        # IDs from an index are in order; sorting is for others.
        changed = ids[1:] != ids[:-1]
        first = changed.argmax(axis=1)
        steps = np.arange(max(n_ids - 1, 0))
        if not (ids[1:][steps, first] >= ids[:-1][steps, first]).all():
            ids = ids[np.lexsort(ids.T[::-1])]
            changed = ids[1:] != ids[:-1]
        is_start = np.zeros(n_ids, dtype=bool)
        is_start[:1] = True
        self._codes: list[NDArray[np.int32] | NDArray[np.int64]] = []
        self._starts: list[NDArray[np.intp]] = []
        parents = np.zeros(min(n_ids, 1), dtype=np.intp)
        for level in range(self.width):
            is_start[1:] |= changed[:, level]
            nodes = np.flatnonzero(is_start)
            dtype = np.int32 if self.level_sizes[level] <= 2**31 else np.int64
            self._codes.append(ids[nodes, level].astype(dtype))
            starts = np.searchsorted(nodes, parents)
            self._starts.append(np.append(starts, len(nodes)))
            parents = nodes
        self.n_nodes = tuple(len(codes) for codes in self._codes)

    def children(self, prefix: Sequence[int] = ()) -> NDArray[np.int64]:
        """Return the codes that can follow a prefix.

        Parameters
        ----------
        prefix : sequence of int
            Codes of the first levels.

        Returns
        -------
        codes : ndarray of int of shape (n,)
            Next codes, ascending; empty after a whole ID or a prefix that no ID has.
        """
        level = len(prefix)
        node = self._node(prefix)
        if node < 0 or level == self.width:
            return np.empty(0, dtype=np.int64)
        start, stop = self._starts[level][node : node + 2].tolist()
        return self._codes[level][start:stop].astype(np.int64)

    def __contains__(self, prefix: Sequence[int]) -> bool:
        """Tell whether any ID begins with a prefix, or equals it."""
        return self._node(prefix) >= 0

    def allowed(self, prefixes: Any) -> NDArray[np.bool_]:
        """Return a mask over the next codes, for prefixes of one length.

        Parameters
        ----------
        prefixes : array-like of int of shape (n_prefixes, n_levels)
            Codes of the first ``n_levels < width`` levels; shape (n_prefixes, 0) at the start.

        Returns
        -------
        mask : ndarray of bool of shape (n_prefixes, level_sizes[n_levels])
            True where a code leads to an ID; all False where the prefix leads to none.
        """
        prefixes = np.asarray(prefixes)
        if prefixes.ndim != 2 or prefixes.shape[1] >= self.width:
            raise ValueError(
                f"prefixes have shape {prefixes.shape}; (n_prefixes, n_levels) with n_levels < "
                f"{self.width} was "
                "expected."
            )
        level = prefixes.shape[1]
        mask = np.zeros((len(prefixes), self.level_sizes[level]), dtype=bool)
        if self.n_nodes[0] == 0:
            return mask
        nodes = np.zeros(len(prefixes), dtype=np.intp)
        for step in range(level):
            nodes = self._step(step, nodes, prefixes[:, step])
        alive = np.flatnonzero(nodes >= 0)
        starts = self._starts[level][nodes[alive]]
        counts = self._starts[level][nodes[alive] + 1] - starts
        rows = np.repeat(alive, counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        mask[rows, self._codes[level][np.repeat(starts, counts) + within]] = True
        return mask

    def _node(self, prefix: Sequence[int]) -> int:
        """Return the node of a prefix among the nodes of its level, -1 if there is none."""
        if len(prefix) > self.width or self.n_nodes[0] == 0:
            return -1
        node = 0
        for level, code in enumerate(prefix):
            start, stop = self._starts[level][node : node + 2].tolist()
            codes = self._codes[level]
            node = start + int(codes[start:stop].searchsorted(code))
            if node == stop or codes.item(node) != code:
                return -1
        return node

    def _step(self, level: int, nodes: NDArray[np.intp], codes: NDArray[Any]) -> NDArray[np.intp]:
        """Go from nodes of one level to those of the next, -1 where there is none."""
        stored = self._codes[level]
        low = self._starts[level][nodes]
        stop = np.where(nodes >= 0, self._starts[level][nodes + 1], low)
        high = stop.copy()
        for _ in range(int((high - low).max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            open_ = low < high
            below = stored[np.minimum(middle, len(stored) - 1)] < codes
            low = np.where(open_ & below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        found = (low < stop) & (stored[np.minimum(low, len(stored) - 1)] == codes)
        return np.where(found & (nodes >= 0), low, -1)
