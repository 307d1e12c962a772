"""A trie of fixed depth in flat arrays, for decoders that may only produce existing IDs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.semantic_id._trie_allowed import AllowedRows
from sklearn_rqvae.semantic_id._trie_level import (
    TrieLevel,
    alive_nodes,
    make_level,
    mask,
    parents_of,
    restricted,
    step,
    with_flags,
)
from sklearn_rqvae.semantic_id._trie_static import StaticIndex, static_index

if TYPE_CHECKING:
    from sklearn_rqvae.semantic_id._trie_torch import TorchTrie

__all__ = ["SemanticIDTrie", "TrieArrays"]

# Rows of one node up to which it is asked of each of them whether it is allowed.
_MOST_ROWS = 1024


class TrieArrays(NamedTuple):
    """A trie as a sparse matrix of nodes and codes, in compressed rows.

    Nodes are numbered level by level, the root being 0. The edges from a node are
    ``indptr[node]`` to ``indptr[node + 1]``, and edge number ``e`` leads to node ``e + 1``.

    Attributes
    ----------
    indptr : ndarray of int of shape (n_inner_nodes + 1,)
        Where the edges of each node that isn't a whole ID begin.
    codes : ndarray of int32 of shape (n_edges,)
        The code of each edge; ascending among those of a node.
    level_starts : ndarray of int of shape (width + 2,)
        First node of each level, from the root to whole IDs, and the number of nodes.
    """

    indptr: NDArray[Any]
    codes: NDArray[np.int32]
    level_starts: NDArray[np.int64]


class SemanticIDTrie(Versioned):
    """Tell which codes may follow a prefix, for one prefix or a batch of beams.

    Nodes of a level lie in one array, sorted by prefix, so that the children of a node are a slice
    of the next level. Levels of which most codes are in use have a table and bits, too. A trie
    doesn't change, so threads can share it.

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
    >>> trie.restrict([True, False, False]).children()
    array([0])
    """

    def __init__(self, ids: Any, level_sizes: Sequence[int] | None = None) -> None:
        ids = np.asarray(as_array(ids))
        if ids.ndim != 2 or ids.shape[1] == 0 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"ids should be integers of shape (n_ids, width), got {ids.dtype} of shape "
                f"{ids.shape}."
            )
        n_ids, width = ids.shape
        # As Python's integers: those of the array may have no room for one more, or for -1.
        largest = ids.max(axis=0).tolist() if n_ids else [-1] * width
        sizes = [code + 1 for code in largest] if level_sizes is None else list(level_sizes)
        fits = len(sizes) == width and all(map(operator.lt, largest, sizes))
        if not fits or (n_ids and ids.min() < 0):
            raise ValueError(
                f"ids have {width} columns with codes up to {largest}, but level_sizes={sizes}; "
                "codes at level l should be in [0, level_sizes[l])."
            )
        order = None if _are_sorted(ids) else np.lexsort(ids.T[::-1])
        self._build(ids if order is None else ids[order], sizes, order)

    @classmethod
    def _of_sorted(
        cls, ids: NDArray[Any], level_sizes: Sequence[int], order: NDArray[Any] | None
    ) -> SemanticIDTrie:
        """Return the trie of IDs that are sorted and checked; `order` sorted their rows."""
        trie = cls.__new__(cls)
        trie._build(ids, level_sizes, order)
        return trie

    def _build(
        self, ids: NDArray[Any], level_sizes: Sequence[int], order: NDArray[Any] | None
    ) -> None:
        n_ids, self.width = ids.shape
        self.level_sizes = tuple(int(size) for size in level_sizes)
        dtype = np.int32 if n_ids < 2**31 else np.int64
        is_start = np.zeros(n_ids, dtype=bool)
        is_start[:1] = True
        self._levels: list[TrieLevel] = []
        parents = np.zeros(min(n_ids, 1), dtype=dtype)
        for level, size in enumerate(self.level_sizes):
            column = ids[:, level]
            is_start[1:] |= column[1:] != column[:-1]
            nodes = np.flatnonzero(is_start).astype(dtype)
            starts = np.append(np.searchsorted(nodes, parents), len(nodes)).astype(dtype)
            codes = column[nodes].astype(np.min_scalar_type(size - 1))
            self._levels.append(make_level(codes, starts, size, level == self.width - 1))
            parents = nodes
        self._n_rows = n_ids
        self._order, self._places = order, None
        # Sorted rows of each node of the last level begin here; each has one where None.
        rows = None if len(parents) == n_ids else np.append(parents, n_ids).astype(dtype)
        # The same for each level from the last to the first, as far as levels have no bits.
        self._rows = [rows]
        for level in reversed(self._levels):
            if level.bits is not None:
                self._places = self._places_of_rows(level, rows)
                break
            rows = level.starts if rows is None else rows[level.starts]
            self._rows.append(rows)
        self._is_narrow = len(self._rows) == 1 or _longest(self._rows[-2]) <= _MOST_ROWS

    def _places_of_rows(self, level: TrieLevel, rows: NDArray[Any] | None) -> NDArray[Any]:
        """Return where, among the bits of a level, the bit of each row is."""
        n_places = (len(level.starts) - 1) * level.size
        places = parents_of(level) * level.size + level.codes
        places = places.astype(np.int32 if n_places < 2**31 else np.int64)
        if rows is not None:
            places = np.repeat(places, np.diff(rows))
        if self._order is None:
            return places
        of_rows = np.empty_like(places)
        of_rows[self._order] = places
        return of_rows

    @property
    def n_nodes(self) -> tuple[int, ...]:
        """Number of distinct prefixes of length 1, …, width, of allowed items."""
        return tuple(int(alive_nodes(level).sum()) for level in self._levels)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes, without an order of rows that an index shares."""
        parts = [part for level in self._levels for part in level]
        arrays = {
            id(part): part.nbytes
            for part in [*parts, *self._rows, self._places]
            if isinstance(part, np.ndarray)
        }
        return sum(arrays.values())

    # Whether all items are allowed.
    _is_whole = True

    @property
    def _is_empty(self) -> bool:
        return not len(self._levels[0].codes)

    # One prefix

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
        depth = len(prefix)
        node = self._node(prefix)
        if node < 0 or depth == self.width:
            return np.empty(0, dtype=np.int64)
        level = self._levels[depth]
        if level.bits is not None:
            return np.flatnonzero(np.unpackbits(level.bits[node], count=level.size))
        start, stop = level.starts[node : node + 2].tolist()
        codes = level.codes[start:stop]
        if level.alive is not None:
            codes = codes[level.alive[np.arange(start, stop)]]
        return codes.astype(np.int64)

    def __contains__(self, prefix: Sequence[int]) -> bool:
        """Tell whether any ID begins with a prefix, or equals it."""
        return self._node(prefix) >= 0

    def _node(self, prefix: Sequence[int]) -> int:
        """Return the node of a prefix among the nodes of its level, -1 if there is none."""
        if len(prefix) > self.width or self._is_empty:
            return -1
        node = parent = 0
        for level, code in zip(self._levels, prefix, strict=False):
            parent = node
            start, stop = level.starts[node : node + 2].tolist()
            node = start + int(level.codes[start:stop].searchsorted(code))
            if node == stop or level.codes.item(node) != code:
                return -1
        if not len(prefix):
            return node
        if level.bits is not None:
            is_alive = level.bits.item(parent, code >> 3) >> (7 - code % 8) & 1
        else:
            is_alive = level.alive is None or level.alive[np.array([node])].item()
        return node if is_alive else -1

    # A batch

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
        prefixes = np.asarray(as_array(prefixes))
        if prefixes.ndim != 2 or prefixes.shape[1] >= self.width:
            raise ValueError(
                f"prefixes have shape {prefixes.shape}; (n_prefixes, n_levels) with n_levels < "
                f"{self.width} was "
                "expected."
            )
        return self.mask(self.nodes(prefixes), prefixes.shape[1])

    def nodes(self, prefixes: Any) -> NDArray[np.intp]:
        """Find the nodes of prefixes of one length.

        Parameters
        ----------
        prefixes : array-like of int of shape (n_prefixes, n_levels)
            Codes of the first ``n_levels <= width`` levels.

        Returns
        -------
        nodes : ndarray of int of shape (n_prefixes,)
            Numbers of the nodes within their level, -1 where a prefix leads to no ID.
        """
        prefixes = np.asarray(as_array(prefixes))
        if prefixes.ndim != 2 or (prefixes.size and prefixes.dtype.kind not in "iu"):
            raise ValueError(
                f"prefixes should be integers of shape (n_prefixes, n_levels), got "
                f"{prefixes.dtype} of shape {prefixes.shape}."
            )
        nodes = np.zeros(len(prefixes), dtype=np.intp)
        if self._is_empty:
            nodes[:] = -1
        for level in range(prefixes.shape[1]):
            nodes = self.step(nodes, prefixes[:, level], level)
        return nodes

    def step(self, nodes: NDArray[np.intp], codes: Any, level: int) -> NDArray[np.intp]:
        """Go on from nodes by one code each, as a decoder does that keeps the nodes of its beams.

        Parameters
        ----------
        nodes : ndarray of int of shape (n,)
            Nodes of prefixes of length `level`, -1 for none.
        codes : array-like of int of shape (n,)
            Codes at `level`.
        level : int
            Number of codes before.

        Returns
        -------
        nodes : ndarray of int of shape (n,)
            Nodes of the longer prefixes.
        """
        return step(self._levels[level], np.asarray(nodes), np.asarray(as_array(codes)))

    def mask(self, nodes: NDArray[np.intp], level: int) -> NDArray[np.bool_]:
        """Tell which codes follow nodes.

        Parameters
        ----------
        nodes : ndarray of int of shape (n,)
            Nodes of prefixes of length `level`, -1 for none.
        level : int
            Number of codes before, below `width`.

        Returns
        -------
        mask : ndarray of bool of shape (n, level_sizes[level])
            True where a code leads to an ID.
        """
        nodes = np.asarray(nodes)
        if self._is_empty:
            return np.zeros((len(nodes), self.level_sizes[level]), dtype=bool)
        return mask(self._levels[level], nodes)

    # In other forms

    def restrict(self, allowed: Any) -> SemanticIDTrie:
        """Return the trie of some of the items: those in stock, say, or those that are new.

        Nothing is built anew, and the large arrays are shared: at ten million items a restriction
        takes a tenth of a second. Restrict the whole trie each time, not a restricted one again.

        Parameters
        ----------
        allowed : array-like of bool of shape (n_ids,)
            Which rows of `ids` to allow; for the trie of an index, in the order of its
            ``item_ids_``.

        Returns
        -------
        trie : SemanticIDTrie
            It leads to the IDs of allowed rows only.
        """
        allowed = np.asarray(as_array(allowed))
        if allowed.dtype != bool or allowed.shape != (self._n_rows,):
            raise ValueError(
                f"allowed is of {allowed.dtype} and shape {allowed.shape}, but {self._n_rows} "
                "times True or False was expected, one for each item in the order of item_ids_; "
                "for a list of items, np.isin(index.item_ids_, items)."
            )
        trie = type(self).__new__(type(self))
        trie.__dict__.update(self.__dict__, _levels=self._restricted(allowed), _is_whole=False)
        return trie

    def _restricted(self, allowed: NDArray[np.bool_]) -> list[TrieLevel]:
        """Return the levels from the last to the first, each knowing what is alive below it."""
        if self._is_empty:
            return self._levels
        rest = list(self._levels)
        levels: list[TrieLevel] = []
        if self._is_narrow:
            allowed = allowed.copy()  # the rows are looked at when nodes are asked for
            for rows in self._rows[:-1]:
                level = rest.pop()
                levels.append(level._replace(alive=AllowedRows(allowed, self._order, rows)))
            if not rest:
                return levels[::-1]
            assert self._places is not None
            flags = np.zeros((len(rest[-1].starts) - 1, rest[-1].size), dtype=bool)
            flags.reshape(-1)[self._places[allowed]] = True
            level, alive = with_flags(rest.pop(), flags)
            levels.append(level)
        else:
            alive = np.asarray(AllowedRows(allowed, self._order, self._rows[0]))
        while rest:
            level, alive = restricted(rest.pop(), alive)
            levels.append(level)
        return levels[::-1]

    def ids(self) -> NDArray[np.int64]:
        """Return the distinct IDs, sorted.

        Returns
        -------
        ids : ndarray of int of shape (n_nodes[-1], width)
            The IDs, of allowed items only.
        """
        ids = np.empty((len(self._levels[-1].codes), self.width), dtype=np.int64)
        path = np.arange(len(ids))
        for depth in range(self.width - 1, -1, -1):
            level = self._levels[depth]
            ids[:, depth] = level.codes[path]
            path = parents_of(level)[path]
        return ids if self._is_whole else ids[alive_nodes(self._levels[-1])]

    def to_csr(self) -> TrieArrays:
        """Return all nodes as a sparse matrix in compressed rows, for kernels of one's own.

        Returns
        -------
        arrays : TrieArrays
            Where the edges of each node begin, and the code of each edge. A node needs no
            pointers: edge ``e`` leads to node ``e + 1``.
        """
        whole = self._whole()
        n_nodes = [min(1, len(whole._levels[0].codes)), *whole.n_nodes]
        level_starts = np.concatenate([[0], np.cumsum(n_nodes)]).astype(np.int64)
        edges = [
            level.starts[:-1] + (first - 1)
            for level, first in zip(whole._levels, level_starts[1:].tolist(), strict=False)
        ]
        n_edges = sum(whole.n_nodes)
        dtype = np.int32 if n_edges < 2**31 else np.int64
        indptr = np.append(np.concatenate(edges), n_edges).astype(dtype)
        codes = np.concatenate([level.codes.astype(np.int32) for level in whole._levels])
        return TrieArrays(indptr, codes, level_starts)

    def to_static(
        self,
        vocab_size: int | None = None,
        token_ids: Sequence[Any] | None = None,
        *,
        n_dense: int = 2,
    ) -> StaticIndex:
        """Return the arrays with which YouTube's STATIC decodes on GPUs and TPUs.

        Parameters
        ----------
        vocab_size : int, optional
            Number of tokens that the model knows; by default one more than the largest of an ID.
        token_ids : sequence of sequences of int, optional
            ``token_ids[level][code]`` is the number of a token, as `offset_token_table` makes
            them; by default a code is its own token, at all levels.
        n_dense : int, default=2
            Levels at the start for which there is a table of ``vocab_size ** n_dense`` entries.

        Returns
        -------
        index : StaticIndex
            Its six arrays, as ``build_static_index`` returns them.
        """
        tokens = self.ids()
        if token_ids is not None:
            tables = [np.asarray(as_array(level)) for level in token_ids]
            columns = zip(tables, tokens.T, strict=True)
            tokens = np.stack([table[column] for table, column in columns], axis=1)
        if not len(tokens):
            raise ValueError("the trie has no IDs, and STATIC has no arrays for none.")
        size = int(tokens.max()) + 1 if vocab_size is None else vocab_size
        if size <= tokens.max():
            raise ValueError(
                f"vocab_size={size} should be above the largest token, {tokens.max()}."
            )
        return static_index(SemanticIDTrie(tokens, [size] * self.width), size, n_dense)

    def to_torch(self, device: Any = "cpu") -> TorchTrie:
        """Return the trie in tensors, with the same `nodes`, `step` and `mask`, on any device.

        Parameters
        ----------
        device : str or torch.device, default="cpu"
            Where the tensors go.

        Returns
        -------
        trie : TorchTrie
            Its methods take and return tensors on this device, for all beams at once.
        """
        from sklearn_rqvae.semantic_id._trie_torch import TorchTrie

        return TorchTrie(self._levels, device)

    def _whole(self) -> SemanticIDTrie:
        """Return the trie of the allowed items alone, built anew if there are others."""
        if self._is_whole:
            return self
        return SemanticIDTrie._of_sorted(self.ids(), self.level_sizes, None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_codes" in self.__dict__:  # of version 0.1.0, which had no dense forms
            codes, starts = self.__dict__.pop("_codes"), self.__dict__.pop("_starts")
            self._levels = [
                TrieLevel(size, codes_, starts_, 0, None, None)
                for size, codes_, starts_ in zip(self.level_sizes, codes, starts, strict=True)
            ]
            del self.__dict__["n_nodes"]
            self._build(self.ids(), self.level_sizes, None)


def _longest(starts: NDArray[Any] | None) -> int:
    """Return the most rows of one node."""
    return 1 if starts is None else int(np.diff(starts).max(initial=0))


def _are_sorted(ids: NDArray[Any]) -> bool:
    """Tell whether rows are in order, as IDs from an index are."""
    if len(ids) < 2:
        return True
    undecided = np.ones(len(ids) - 1, dtype=bool)
    for column in ids.T:
        if (undecided & (column[1:] < column[:-1])).any():
            return False
        undecided &= column[1:] == column[:-1]
    return True
