"""The catalog: which item has which semantic ID."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array

from . import _formats, _storage
from ._candidates import (
    CandidateSource,
    EstimatorCandidates,
    GivenCandidates,
    chunks,
    count_duplicates,
)
from ._codes import check_columns
from ._drift import DriftReport, compare_catalogs
from ._generate import PrefixAllowedTokens, offset_token_table
from ._item_ids import check_item_ids, compact, hand_out, item_order
from ._keys import MAX_CODEBOOK_SIZE, KeyLayout
from ._ordering import canonical_order, insert_sorted, is_increasing, rank, rank_one
from ._reassign import reassign
from ._report import CollisionReport, collision_error, describe_groups
from ._suffix import in_group, position_in_group, suffixes
from ._trie import SemanticIDTrie

__all__ = ["PrefixCapacity", "SemanticIDIndex"]

COLLISIONS = ("suffix", "reassign", "raise", "none")


class PrefixCapacity(NamedTuple):
    """How full the part of the catalog under a prefix is.

    Attributes
    ----------
    n_items : int
        Items whose ID begins with the prefix.
    n_retired : int
        IDs of removed items, kept from being used again.
    size : int or None
        IDs that the prefix can hold; None if suffixes are not limited.
    n_free : int or None
        IDs still free; None if suffixes are not limited.
    """

    n_items: int
    n_retired: int
    size: int | None
    n_free: int | None


class SemanticIDIndex:
    r"""Name every item of a catalog by a semantic ID, and find items by it.

    A quantizer maps equal vectors to equal codes, and similar ones often too. A catalog needs
    more: one ID per item, the same IDs tomorrow, and lookups in both directions. The result
    depends on the pairs of item and codes only, not on the order of the rows; building the index
    again gives the same IDs.

    Parameters
    ----------
    collisions : {"suffix", "reassign", "raise", "none"}, default="suffix"
        What to do when items have the same codes.

        - ``"suffix"``: append one more code to all IDs that counts the items with the same codes
          from 0, in the order of their item ids, as TIGER does [1]_. The codes stay what the
          quantizer says.
        - ``"reassign"``: IDs keep their length; items that collide spread over free IDs such that
          the total reconstruction error is the least possible. Other items keep their IDs.
        - ``"raise"``: raise an error.
        - ``"none"``: let items share an ID.
    codebook_sizes : int or sequence of int, optional
        Number of codes at each level. If not given, it follows the codebooks of the estimator, or
        else the largest code seen.
    suffix_size : int, optional
        Number of codes reserved for the suffix, for a generator with a fixed vocabulary. Unlimited
        if not given.
    n_candidates : int, default=32
        Candidates asked of the estimator for each colliding item. Items left without an ID get
        four times as many, twice, among the IDs that are still free.

    Attributes
    ----------
    ids_ : ndarray of int of shape (n_items, width)
        Semantic IDs, in the order in which items were added. Computed at each access.
    codes_ : ndarray of int of shape (n_items, n_levels_)
        The same without the suffix: what an estimator's ``inverse_transform`` takes.
    item_ids_ : ndarray of shape (n_items,)
        Item ids in the same order, integers or strings.
    n_levels_ : int
        Levels of the quantizer.
    level_sizes_ : tuple of int of length width
        Number of codes at each position of an ID.
    codebooks_ : list of ndarray of shape (codebook_size, embed_dim), or None
        Codewords, if known.
    report_ : CollisionReport
        What the last `fit` or `append` met and did.

    Notes
    -----
    An item takes 20 bytes besides its strings as long as an ID fits 64 bits and item ids are
    integers that fit 32 bits: the packed ID, the item id, and its place in the order of each.

    References
    ----------
    .. [1] Rajput, S. et al. "Recommender systems with generative retrieval". arXiv:2305.05065,
       2023.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import SemanticIDIndex
    >>> codes = [[3, 1], [3, 1], [0, 2]]
    >>> index = SemanticIDIndex().fit(codes, ["tea", "cup", "pen"])
    >>> index.ids_
    array([[3, 1, 1],
           [3, 1, 0],
           [0, 2, 0]])
    >>> index["tea"], index.item((3, 1, 0)), index.items((3,)).tolist()
    ((3, 1, 1), 'cup', ['cup', 'tea'])
    >>> index.append([[3, 1]], ["pot"])
    array([[3, 1, 2]])
    """

    codebooks_: list[NDArray[Any]] | None
    report_: CollisionReport
    _keys: NDArray[Any]  # packed IDs, in the order in which items were added
    _order: NDArray[Any]  # rows in the order of keys
    _item_ids: NDArray[Any]
    _item_order: NDArray[Any] | None  # rows in the order of item ids; None if they're sorted
    _retired: NDArray[Any]  # keys of removed items, sorted

    def __init__(
        self,
        collisions: str = "suffix",
        *,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        n_candidates: int = 32,
    ) -> None:
        self.collisions = collisions
        self.codebook_sizes = codebook_sizes
        self.suffix_size = suffix_size
        self.n_candidates = n_candidates

    # Building

    def fit(
        self,
        codes: Any,
        item_ids: Any = None,
        *,
        vectors: Any = None,
        candidates: tuple[Any, Any] | None = None,
        codebooks: Sequence[Any] | None = None,
    ) -> SemanticIDIndex:
        """Build the index from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n_items, n_levels)
            Codes as an estimator's ``transform`` returns them.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        vectors : array-like of shape (n_items, n_features), optional
            Vectors of the items, to count exact duplicates.
        candidates : tuple of (codes, errors), optional
            For ``collisions="reassign"``: IDs that each item could have, (n_items, n_candidates,
            n_levels), and their reconstruction errors, (n_items, n_candidates), infinite for
            entries that are none. An item's own codes must be among its candidates. See
            `from_estimator` and `last_level_candidates`.
        codebooks : sequence of array-like of shape (codebook_size, embed_dim), optional
            Codewords of each level: the sizes of the levels, the neighborhood in which
            reassignment looks for free IDs once candidates run out, and the vectors of
            `decoded_neighbors`.

        Returns
        -------
        self : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If codes or ids are malformed or repeated, if there are collisions and
            ``collisions="raise"``, or if the IDs don't suffice for the items.
        TypeError
            If item ids are neither all integers nor all strings.
        """
        self._check_parameters()
        columns = check_columns(codes)
        n_items = len(columns[0])
        ids = check_item_ids(item_ids, n_items)
        source = None
        if candidates is not None:
            source = GivenCandidates(*candidates, shape=(n_items, len(columns)))
        n_duplicates = None if vectors is None else self._count_duplicates(vectors, n_items)
        return self._fit(columns, ids, source, codebooks, n_duplicates)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        item_ids: Any = None,
        collisions: str = "suffix",
        *,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        n_candidates: int = 32,
    ) -> SemanticIDIndex:
        """Encode vectors with a fitted estimator and index them.

        Parameters
        ----------
        estimator : object
            Fitted; has ``transform``, and for ``collisions="reassign"`` also ``candidate_codes(X,
            n_candidates)`` and ``inverse_transform``. Its ``codebooks_`` are used where it has
            them.
        X : array-like of shape (n_items, n_features)
            Vectors of the items.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        collisions, codebook_sizes, suffix_size, n_candidates
            As for the class.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError, TypeError
            As `fit` does; also if the estimator lacks what ``collisions="reassign"`` asks of it.
        """
        index = cls(
            collisions,
            codebook_sizes=codebook_sizes,
            suffix_size=suffix_size,
            n_candidates=n_candidates,
        )
        index._check_parameters()
        source = EstimatorCandidates(estimator, X) if collisions == "reassign" else None
        columns = check_columns(estimator.transform(X))
        ids = check_item_ids(item_ids, len(columns[0]))
        codebooks = getattr(estimator, "codebooks_", None)
        return index._fit(columns, ids, source, codebooks, count_duplicates(X))

    @classmethod
    def from_ids(
        cls,
        ids: Any,
        item_ids: Any = None,
        *,
        collisions: str = "raise",
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
    ) -> SemanticIDIndex:
        """Index IDs that are final already, such as those in a file.

        Parameters
        ----------
        ids : array-like of int of shape (n_items, width)
            Semantic IDs; the last column is the suffix if ``collisions="suffix"``.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        collisions : {"suffix", "reassign", "raise", "none"}, default="raise"
            What `append` is to do with later items. No ID is changed here: shared IDs are an
            error, except with ``"none"``.
        codebook_sizes, suffix_size
            As for the class.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If two items have the same ID and `collisions` isn't ``"none"``.
        """
        index = cls(collisions, codebook_sizes=codebook_sizes, suffix_size=suffix_size)
        index._check_parameters()
        columns = check_columns(ids)
        n_items = len(columns[0])
        items = check_item_ids(item_ids, n_items)
        suffix = None
        if collisions == "suffix":
            if len(columns) < 2:
                raise ValueError(
                    'ids have 1 column, which can\'t be codes and a suffix; use collisions="raise".'
                )
            *columns, suffix = columns
        index._set_sizes(columns, None)
        if suffix is not None and suffix_size is not None and suffix.max() >= suffix_size:
            raise ValueError(
                f"ids have the suffix {suffix.max()}, but suffix_size={suffix_size}; raise "
                "suffix_size."
            )
        order_of_items = item_order(items)
        index._choose_layout(0 if suffix is None else int(suffix.max()))
        keys = index._layout.pack(columns if suffix is None else [*columns, suffix])
        order = canonical_order(keys, items)
        report = describe_groups(keys, order)
        if collisions != "none" and report.n_colliding:
            raise collision_error(keys, items, index._layout, 'read them with collisions="none"')
        index._store(keys, order, items, order_of_items)
        index._n_suffixes = 1 if suffix is None else int(suffix.max()) + 1
        index.report_ = report
        return index

    def append(
        self,
        codes: Any,
        item_ids: Any,
        *,
        vectors: Any = None,
        candidates: tuple[Any, Any] | None = None,
    ) -> NDArray[np.int64]:
        """Add items; the IDs of all others stay as they are.

        Parameters
        ----------
        codes : array-like of int of shape (n_new, n_levels)
            Codes of the new items.
        item_ids : array-like of int or str of shape (n_new,)
            Their ids, none of them in the index yet.
        vectors : array-like of shape (n_new, n_features), optional
            Vectors of the new items, to count exact duplicates among them.
        candidates : tuple of (codes, errors), optional
            As in `fit`.

        Returns
        -------
        ids : ndarray of int of shape (n_new, width)
            The new IDs, in the order of the rows. With ``collisions="suffix"`` they count on after
            the largest suffix of their codes; gaps are filled once `suffix_size` is reached.

        Raises
        ------
        ValueError
            As `fit` does, and if an item is in the index already. The index is then as it was
            before.
        """
        self._check_fitted()
        columns = check_columns(codes, self.n_levels_)
        ids = self._check_new_items(item_ids, len(columns[0]))
        source = None
        if candidates is not None:
            source = GivenCandidates(*candidates, shape=(len(ids), len(columns)))
        n_duplicates = None if vectors is None else self._count_duplicates(vectors, len(ids))
        return self._append(columns, ids, source, n_duplicates)

    def append_from_estimator(self, estimator: Any, X: Any, item_ids: Any) -> NDArray[np.int64]:
        """Encode vectors with a fitted estimator and add them.

        Parameters
        ----------
        estimator : object
            The estimator that the index was built with.
        X : array-like of shape (n_new, n_features)
            Vectors of the new items.
        item_ids : array-like of int or str of shape (n_new,)
            Their ids, none of them in the index yet.

        Returns
        -------
        ids : ndarray of int of shape (n_new, width)
            The new IDs, in the order of the rows.
        """
        self._check_fitted()
        source = EstimatorCandidates(estimator, X) if self.collisions == "reassign" else None
        columns = check_columns(estimator.transform(X), self.n_levels_)
        ids = self._check_new_items(item_ids, len(columns[0]))
        return self._append(columns, ids, source, count_duplicates(X))

    def remove(self, item_ids: Any, *, release: bool = False) -> SemanticIDIndex:
        """Take items out; all other IDs stay as they are.

        Parameters
        ----------
        item_ids : array-like of int or str
            Items to remove.
        release : bool, default=False
            Let later items have the freed IDs. By default an ID is never given to another item: a
            generator trained on it would take one for the other.

        Returns
        -------
        self : SemanticIDIndex
            The index.

        Raises
        ------
        KeyError
            If an item isn't in the index.
        """
        rows = self._rows_of(item_ids)
        keep = np.ones(len(self), dtype=bool)
        keep[rows] = False
        if not release and self.collisions != "none":
            freed = np.unique(self._keys[~keep])
            self._retired = np.unique(np.concatenate([self._retired, freed]))
        new_row = (np.cumsum(keep) - 1).astype(self._order.dtype)
        self._order = new_row[self._order[keep[self._order]]]
        if self._item_order is not None:
            self._item_order = new_row[self._item_order[keep[self._item_order]]]
        self._keys = self._keys[keep]
        self._item_ids = self._item_ids[keep]
        return self

    # What is in it

    @property
    def ids_(self) -> NDArray[np.int64]:
        """Semantic IDs, in the order in which items were added."""
        self._check_fitted()
        return self._layout.unpack(self._keys)

    @property
    def codes_(self) -> NDArray[np.int64]:
        """Semantic IDs without the suffix."""
        self._check_fitted()
        return self._layout.unpack(self._keys, self.n_levels_)

    @property
    def item_ids_(self) -> NDArray[Any]:
        """Item ids, in the order in which items were added."""
        self._check_fitted()
        return hand_out(self._item_ids)

    @property
    def width(self) -> int:
        """Number of codes in each ID, the suffix included."""
        self._check_fitted()
        return self.n_levels_ + (self.collisions == "suffix")

    @property
    def level_sizes_(self) -> tuple[int, ...]:
        """Number of codes at each position of an ID."""
        self._check_fitted()
        if self.collisions != "suffix":
            return tuple(self._sizes)
        return (*self._sizes, self.suffix_size or self._n_suffixes)

    @property
    def nbytes(self) -> int:
        """Bytes of the index arrays, without the characters of long strings."""
        self._check_fitted()
        arrays = (self._keys, self._order, self._item_ids, self._item_order, self._retired)
        return sum(array.nbytes for array in arrays if array is not None)

    def __len__(self) -> int:
        """Return the number of items."""
        self._check_fitted()
        return len(self._keys)

    def __contains__(self, item_id: object) -> bool:
        """Tell whether an item is in the index."""
        self._check_fitted()
        return self._row_of(item_id) is not None

    def __getitem__(self, item_id: Any) -> tuple[int, ...]:
        """Return the semantic ID of an item."""
        self._check_fitted()
        row = self._row_of(item_id)
        if row is None:
            raise KeyError(item_id)
        return tuple(self._layout.unpack(self._keys[row : row + 1])[0].tolist())

    def __repr__(self) -> str:
        """Say what it is and how much is in it."""
        if not hasattr(self, "_keys"):
            return f"SemanticIDIndex(collisions={self.collisions!r})"
        return (
            f"SemanticIDIndex(collisions={self.collisions!r}, n_items={len(self)}, "
            f"level_sizes={self.level_sizes_})"
        )

    # Lookups

    def ids_of(self, item_ids: Any) -> NDArray[np.int64]:
        """Return the semantic IDs of items.

        Parameters
        ----------
        item_ids : array-like of int or str of shape (n,)
            Items, repeated if you like.

        Returns
        -------
        ids : ndarray of int of shape (n, width)
            Their IDs.

        Raises
        ------
        KeyError
            If an item isn't in the index.
        """
        return self._layout.unpack(self._keys[self._rows_of(item_ids)])

    def item(self, semantic_id: Sequence[int]) -> int | str:
        """Return the item that has a semantic ID.

        Parameters
        ----------
        semantic_id : sequence of int of length width
            The ID.

        Returns
        -------
        item_id : int or str
            The item.

        Raises
        ------
        KeyError
            If no item has this ID, or several do (``collisions="none"``); then use `items`.
        """
        prefix = self._check_prefix(semantic_id)
        if len(prefix) != self.width:
            raise KeyError(f"{prefix} has {len(prefix)} codes, an ID has {self.width}; see items.")
        start, stop = self._range(prefix)
        if stop - start != 1:
            found = "no item has" if start == stop else f"{stop - start} items share"
            raise KeyError(f"{found} the ID {prefix}")
        return self._item_ids.item(self._order.item(start))

    def items(self, prefix: Sequence[int] = ()) -> NDArray[Any]:
        """Return the items whose ID begins with a prefix.

        Parameters
        ----------
        prefix : sequence of int
            Codes of the first levels; a whole ID; or nothing, for all items.

        Returns
        -------
        item_ids : ndarray of shape (n,)
            Items in the order of their IDs; empty if there are none.
        """
        start, stop = self._range(self._check_prefix(prefix))
        return hand_out(self._item_ids[self._order[start:stop]])

    def children(self, prefix: Sequence[int] = ()) -> NDArray[np.int64]:
        """Return the codes that can follow a prefix.

        Parameters
        ----------
        prefix : sequence of int
            Codes of the first levels.

        Returns
        -------
        codes : ndarray of int of shape (n,)
            Next codes for which there are items, ascending; empty after a whole ID or an unused
            prefix. For many lookups in a row, as in generation, use `trie`.
        """
        prefix = self._check_prefix(prefix)
        level = len(prefix)
        if level == self.width:
            return np.empty(0, dtype=np.int64)
        start, stop = self._range(prefix)
        size = self.level_sizes_[level]
        if stop - start <= 4 * size:
            codes = self._layout.unpack(self._keys[self._order[start:stop]], level + 1)
            return np.unique(codes[:, level])
        # Many items, few codes: find where each code begins instead.
        columns = [np.full(size, code, dtype=np.int64) for code in prefix]
        columns.append(np.arange(size, dtype=np.int64))
        columns += [np.zeros(size, dtype=np.int64)] * (self.width - level - 1)
        starts = rank(self._keys, self._order, self._layout.pack(columns))
        return np.flatnonzero(np.diff(np.append(starts, stop)))

    def prefix_counts(self, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the items under every prefix of a length.

        Parameters
        ----------
        depth : int
            Length of the prefixes, from 1 to the width of an ID.

        Returns
        -------
        prefixes : ndarray of int of shape (n, depth)
            Prefixes in use, in order.
        counts : ndarray of int of shape (n,)
            Items under each.
        """
        if not 1 <= depth <= self.width:
            raise ValueError(f"depth={depth} should be in [1, {self.width}], the width of an ID.")
        keys = self._layout.truncate(self._keys[self._order], depth)
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        counts = np.diff(np.append(starts, len(keys)))
        return self._layout.unpack(keys[starts], depth), counts

    def capacity(self, prefix: Sequence[int] = ()) -> PrefixCapacity:
        """Tell how many IDs under a prefix are in use, and how many are left.

        Parameters
        ----------
        prefix : sequence of int
            Codes of the first levels.

        Returns
        -------
        capacity : PrefixCapacity
            Items, retired IDs, and the number of IDs in all and still free.
        """
        prefix = self._check_prefix(prefix)
        start, stop = self._range(prefix)
        low, high = self._layout.bounds(prefix)
        n_retired = rank_one(self._retired, None, high, "right") - rank_one(
            self._retired, None, low
        )
        unlimited = self.collisions == "none" or (
            self.collisions == "suffix" and self.suffix_size is None and len(prefix) < self.width
        )
        if unlimited:
            return PrefixCapacity(stop - start, n_retired, None, None)
        size = prod(self.level_sizes_[len(prefix) :])
        return PrefixCapacity(stop - start, n_retired, size, size - (stop - start) - n_retired)

    def prefix_neighbors(
        self, item_id: Any, n_neighbors: int = 10
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Find the items that share the longest prefix with an item.

        Parameters
        ----------
        item_id : int or str
            The item.
        n_neighbors : int, default=10
            Number of items to return, fewer if the catalog is smaller.

        Returns
        -------
        item_ids : ndarray of shape (n_neighbors,)
            Other items, those with the longest shared prefix first, and among these in the order
            of IDs.
        n_shared : ndarray of int of shape (n_neighbors,)
            Number of leading codes in common.
        """
        own = self[item_id]
        row = self._row_of(item_id)
        places: list[NDArray[np.int64]] = []
        shared: list[int] = []
        inner_start, inner_stop = 0, 0
        for depth in range(self.width, -1, -1):
            start, stop = self._range(own[:depth])
            if depth == self.width:
                found = np.arange(start, min(stop, start + n_neighbors + 1))
                found = found[self._order[found] != row]
            else:
                found = np.concatenate(
                    [
                        np.arange(start, min(inner_start, start + n_neighbors)),
                        np.arange(inner_stop, min(stop, inner_stop + n_neighbors)),
                    ]
                )
            found = found[: n_neighbors - len(shared)]
            places.append(found)
            shared += [depth] * len(found)
            inner_start, inner_stop = start, stop
            if len(shared) == n_neighbors:
                break
        rows = self._order[np.concatenate(places)]
        return hand_out(self._item_ids[rows]), np.array(shared, dtype=np.int64)

    def decoded_neighbors(
        self,
        item_id: Any,
        n_neighbors: int = 10,
        *,
        decode: Callable[[NDArray[np.int64]], Any] | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Find the items whose decoded vectors are nearest to that of an item.

        Parameters
        ----------
        item_id : int or str
            The item.
        n_neighbors : int, default=10
            Number of items to return, fewer if the catalog is smaller.
        decode : callable, optional
            Maps codes of shape (n, n_levels) to vectors of shape (n, n_features), as an estimator's
            ``inverse_transform`` does. By default the sum of the codewords, if codebooks are known.

        Returns
        -------
        item_ids : ndarray of shape (n_neighbors,)
            Other items, the nearest first; among equally near ones in the order of IDs.
        distances : ndarray of shape (n_neighbors,)
            Euclidean distances of the decoded vectors; 0 for items with the same codes. All items
            are decoded and compared, in chunks.
        """
        self._check_fitted()
        row = self._row_of(item_id)
        if row is None:
            raise KeyError(item_id)
        decode = self._sum_codewords if decode is None else decode
        keys = self._keys[self._order]
        codes = self._layout.unpack(self._keys[row : row + 1], self.n_levels_)
        own = np.asarray(as_array(decode(codes)), dtype=np.float64)[0]
        squared = np.empty(len(keys))
        for chunk in chunks(len(keys)):
            codes = self._layout.unpack(keys[chunk], self.n_levels_)
            vectors = np.asarray(as_array(decode(codes)), dtype=np.float64)
            squared[chunk] = ((vectors - own) ** 2).sum(axis=1)
        squared[self._order == row] = np.inf
        n_neighbors = min(n_neighbors, len(keys) - 1)
        border = np.partition(squared, n_neighbors - 1)[n_neighbors - 1] if n_neighbors else -1.0
        near = np.flatnonzero(squared <= border)
        near = near[np.argsort(squared[near], kind="stable")][:n_neighbors]
        return hand_out(self._item_ids[self._order[near]]), np.sqrt(squared[near])

    def trie(self) -> SemanticIDTrie:
        """Return the IDs as a trie in numpy arrays, for constrained decoding.

        Returns
        -------
        trie : SemanticIDTrie
            A copy of the IDs as they are now; it doesn't follow later changes.
        """
        self._check_fitted()
        return SemanticIDTrie(self._layout.unpack(self._keys[self._order]), self.level_sizes_)

    def drift(self, other: SemanticIDIndex, **options: Any) -> DriftReport:
        """Compare this catalog with a later one.

        Parameters
        ----------
        other : SemanticIDIndex
            The later catalog.
        **options : dict
            ``codebooks``, ``other_codebooks``: codewords of both, if the indexes don't know them.

        Returns
        -------
        report : DriftReport
            Which items came, went and changed their codes; see `compare_catalogs`.
        """
        self._check_fitted()
        other._check_fitted()
        codebooks = options.pop("codebooks", self.codebooks_)
        other_codebooks = options.pop("other_codebooks", other.codebooks_)
        if options:
            raise TypeError(f"drift got {sorted(options)}; it takes codebooks and other_codebooks.")
        return compare_catalogs(
            self.codes_,
            self.item_ids_,
            other.codes_,
            other.item_ids_,
            codebooks=codebooks,
            other_codebooks=other_codebooks,
        )

    # Out and in

    def to_tokens(self, template: str = _formats.TOKEN_TEMPLATE) -> list[list[str]]:
        """Return IDs as tokens such as ``["<a_12>", "<b_5>"]``.

        Parameters
        ----------
        template : str, default="<{letter}_{code}>"
            Format of a token; ``{letter}`` is a, b, …, z, aa, … by level.

        Returns
        -------
        tokens : list of list of str
            Tokens of each item, in the order in which items were added.
        """
        return _formats.ids_to_tokens(self.ids_, template)

    def token_names(self, template: str = _formats.TOKEN_TEMPLATE) -> list[list[str]]:
        """Return all tokens that a tokenizer needs, by level.

        Parameters
        ----------
        template : str, default="<{letter}_{code}>"
            Format of a token.

        Returns
        -------
        names : list of list of str
            ``names[level][code]``, also for codes that no item has.
        """
        return _formats.token_names(self.level_sizes_, template)

    def to_token_ids(self, offset: int = 0) -> NDArray[np.int64]:
        """Return IDs as integers that tell the level: each level has a range of its own.

        Parameters
        ----------
        offset : int, default=0
            First number of the first level.

        Returns
        -------
        token_ids : ndarray of int of shape (n_items, width)
            ``offset``, plus the sizes of all levels before, plus the code.
        """
        return _formats.ids_to_token_ids(self.ids_, self.level_sizes_, offset)

    def prefix_allowed_tokens_fn(
        self,
        token_ids: int | Sequence[Sequence[int]] = 0,
        *,
        eos_token_id: int,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
    ) -> PrefixAllowedTokens:
        """Return the function that keeps ``generate`` of Hugging Face transformers on IDs of the
        catalog.

        Parameters
        ----------
        token_ids : int or sequence of sequences of int, default=0
            ``token_ids[level][code]`` is the number of a token in the tokenizer; an integer is the
            offset of `to_token_ids`.
        eos_token_id : int
            Token that ends the output.
        prompt_length : int, optional
            Number of tokens before the ID: 1 for encoder-decoder models, the padded length of the
            prompt for decoder-only models.
        begin_token_id : int, optional
            Token before the ID, instead of `prompt_length`; the last occurrence counts.

        Returns
        -------
        function : PrefixAllowedTokens
            Pass it as ``prefix_allowed_tokens_fn``.
        """
        sizes = self.level_sizes_
        table = offset_token_table(sizes, token_ids) if isinstance(token_ids, int) else token_ids
        return PrefixAllowedTokens(
            self.trie(),
            table,
            eos_token_id=eos_token_id,
            prompt_length=prompt_length,
            begin_token_id=begin_token_id,
        )

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with columns ``item_id``, ``code_0``, …, and ``suffix`` if
        there is one.

        Returns
        -------
        frame : pandas.DataFrame
            One row per item, in the order in which items were added.
        """
        return _formats.to_frame(self.ids_, self.item_ids_, self.collisions == "suffix")

    def export(self, path: str | os.PathLike[str], format: str) -> None:
        """Write the IDs in a format that others read.

        Parameters
        ----------
        path : str or path-like
            File to write, replaced as a whole.
        format : {"index.json", "flashrec", "npy", "parquet", "csv", "jsonl"}
            - ``"index.json"``: LC-Rec, LETTER, MiniOneRec: an object of item id → list of tokens;
            - ``"flashrec"``: a catalog of ``"a,b,c"`` → items;
            - ``"npy"``: an integer array (n_items, width), as TIGER-style trainers read it, in the
              order of items;
            - ``"parquet"``: columns ``item_id`` and ``semantic_id``, a list;
            - ``"csv"``, ``"jsonl"``: the same as text.
        """
        self._check_fitted()
        _formats.export(path, format, self.ids_, self.item_ids_, self.level_sizes_, self.collisions)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        format: str,
        *,
        collisions: str | None = None,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        item_type: str | None = None,
        item_ids: Any = None,
    ) -> SemanticIDIndex:
        """Read IDs that this package or another one wrote.

        Parameters
        ----------
        path : str or path-like
            File to read.
        format : {"index.json", "flashrec", "npy", "parquet", "csv", "jsonl"}
            Its format; see `export`.
        collisions : {"suffix", "reassign", "raise", "none"}, optional
            As in `from_ids`; ``"suffix"`` says that the last code is a suffix. By default what the
            file tells, else ``"raise"``.
        codebook_sizes, suffix_size
            As for the class.
        item_type : {"int", "str"}, optional
            What item ids are in a format that holds text only. By default integers if all of them
            look so.
        item_ids : array-like of int or str of shape (n_items,), optional
            Item ids for a file without.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If the file isn't in this format, IDs differ in length, or are shared and `collisions`
            isn't ``"none"``.
        """
        content = _formats.read(path, format, item_type)
        return cls._from_content(content, collisions, codebook_sizes, suffix_size, item_ids)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        collisions: str | None = None,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
    ) -> SemanticIDIndex:
        """Take IDs from a data frame as `to_frame` makes it.

        Parameters
        ----------
        frame : DataFrame
            pandas or polars, with columns ``item_id``, ``code_0``, …, and ``suffix`` if there is
            one.
        collisions, codebook_sizes, suffix_size
            As in `read`.

        Returns
        -------
        index : SemanticIDIndex
            The index.
        """
        content = _formats.frame_columns(frame)
        return cls._from_content(content, collisions, codebook_sizes, suffix_size, None)

    @classmethod
    def from_token_ids(
        cls,
        token_ids: Any,
        level_sizes: Sequence[int],
        item_ids: Any = None,
        *,
        offset: int = 0,
        collisions: str = "raise",
    ) -> SemanticIDIndex:
        """Take IDs from token ids as `to_token_ids` makes them.

        Parameters
        ----------
        token_ids : array-like of int of shape (n_items, width)
            Token ids.
        level_sizes : sequence of int of length width
            Number of codes at each level, the suffix included.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        offset : int, default=0
            Token id of the first code of the first level.
        collisions : {"suffix", "reassign", "raise", "none"}, default="raise"
            As in `from_ids`.

        Returns
        -------
        index : SemanticIDIndex
            The index.
        """
        ids = _formats.token_ids_to_ids(token_ids, level_sizes, offset)
        content = _formats.FileContent(ids, item_ids, level_sizes, collisions)
        return cls._from_content(content, collisions, None, None, None)

    @classmethod
    def _from_content(
        cls,
        content: _formats.FileContent,
        collisions: str | None,
        codebook_sizes: int | Sequence[int] | None,
        suffix_size: int | None,
        item_ids: Any,
    ) -> SemanticIDIndex:
        collisions = collisions or content.collisions or "raise"
        if codebook_sizes is None and content.level_sizes is not None:
            n_levels = len(content.level_sizes) - (collisions == "suffix")
            codebook_sizes = list(content.level_sizes[:n_levels])
        return cls.from_ids(
            content.ids,
            content.item_ids if item_ids is None else item_ids,
            collisions=collisions,
            codebook_sizes=codebook_sizes,
            suffix_size=suffix_size,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the index, without pickle.

        The file is a zip archive of a JSON header and plain arrays. It's written beside `path` and
        renamed when complete, so that a crash leaves an existing file whole.

        Parameters
        ----------
        path : str or path-like
            File to write.
        """
        self._check_fitted()
        header = {
            "collisions": self.collisions,
            "suffix_size": self.suffix_size,
            "n_candidates": self.n_candidates,
            "sizes": list(self._sizes),
            "sizes_given": self._sizes_given,
            "fields": list(self._layout.sizes),
            "report": {
                name: value
                for name, value in self.report_.to_dict().items()
                if name in CollisionReport.__dataclass_fields__
            },
            "n_suffixes": self._n_suffixes,
            "n_codebooks": 0 if self.codebooks_ is None else len(self.codebooks_),
        }
        arrays = {"keys": self._keys, "order": self._order, "item_ids": self._item_ids}
        arrays["retired"] = self._retired
        if self._item_order is not None:
            arrays["item_order"] = self._item_order
        for level, codebook in enumerate(self.codebooks_ or []):
            arrays[f"codebook_{level}"] = codebook
        _storage.save(path, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SemanticIDIndex:
        """Load an index that `save` wrote; runs no code from the file.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If the file isn't an index, is damaged, or comes from a later version of the format.
        """
        header, arrays = _storage.load(path)
        index = cls(
            header["collisions"],
            codebook_sizes=header["sizes"] if header["sizes_given"] else None,
            suffix_size=header["suffix_size"],
            n_candidates=header["n_candidates"],
        )
        index._check_parameters()
        index._sizes = list(header["sizes"])
        index._sizes_given = header["sizes_given"]
        index.n_levels_ = len(index._sizes)
        index._layout = KeyLayout(header["fields"])
        names = [f"codebook_{level}" for level in range(header["n_codebooks"])]
        index.codebooks_ = [arrays[name] for name in names] or None
        index._keys, index._order = arrays["keys"], arrays["order"]
        index._item_ids, index._item_order = arrays["item_ids"], arrays.get("item_order")
        index._retired = arrays["retired"]
        index._n_suffixes = header["n_suffixes"]
        index.report_ = CollisionReport(**header["report"])
        return index

    # Inside

    def _check_parameters(self) -> None:
        if self.collisions not in COLLISIONS:
            raise ValueError(
                f"collisions={self.collisions!r} should be one of "
                f"{', '.join(map(repr, COLLISIONS))}."
            )
        for name in ("suffix_size", "n_candidates"):
            value = getattr(self, name)
            if value is None and name == "suffix_size":
                continue
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}={value!r} should be a positive integer.")
        if self.suffix_size is not None and self.suffix_size > MAX_CODEBOOK_SIZE:
            raise ValueError(
                f"suffix_size={self.suffix_size} should be at most {MAX_CODEBOOK_SIZE}."
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "_keys"):
            raise ValueError("This SemanticIDIndex is empty; call fit, or use from_estimator.")

    @staticmethod
    def _count_duplicates(vectors: Any, n_items: int) -> int:
        n_vectors = len(as_array(vectors))
        if n_vectors != n_items:
            raise ValueError(f"vectors have {n_vectors} rows, but there are {n_items} items.")
        return count_duplicates(vectors)

    def _set_sizes(self, columns: list[NDArray[Any]], codebooks: Sequence[Any] | None) -> None:
        """Decide the size of each level and check the codes against it."""
        n_levels = len(columns)
        self.codebooks_ = None
        if codebooks is not None:
            self.codebooks_ = [np.array(as_array(codebook)) for codebook in codebooks]
            if len(self.codebooks_) != n_levels or any(c.ndim != 2 for c in self.codebooks_):
                raise ValueError(
                    f"codebooks have the shapes {[c.shape for c in self.codebooks_]}, but codes "
                    f"have {n_levels} "
                    "columns; give one array (codebook_size, embed_dim) per level."
                )
        self._sizes_given = True
        if self.codebook_sizes is not None:
            given = self.codebook_sizes
            sizes = [int(given)] * n_levels if isinstance(given, (int, np.integer)) else list(given)
            if len(sizes) != n_levels or any(not 1 <= size <= MAX_CODEBOOK_SIZE for size in sizes):
                raise ValueError(
                    f"codebook_sizes={given!r} should be one number in [1, 2**32] or one for each "
                    "of the "
                    f"{n_levels} levels."
                )
        elif self.codebooks_ is not None:
            sizes = [len(codebook) for codebook in self.codebooks_]
        else:
            sizes = [int(column.max()) + 1 for column in columns]
            self._sizes_given = False
        self._sizes = [int(size) for size in sizes]
        self.n_levels_ = n_levels
        self._check_range(columns)

    def _check_range(self, columns: list[NDArray[Any]]) -> None:
        for level, (column, size) in enumerate(zip(columns, self._sizes, strict=True)):
            largest = int(column.max(initial=0))
            if largest >= MAX_CODEBOOK_SIZE:
                raise ValueError(f"codes at level {level} have {largest}, above 2**32 - 1.")
            if largest >= size:
                raise ValueError(
                    f"codes at level {level} should be in [0, {size}), got {largest}; raise "
                    "codebook_sizes, or pass "
                    "codes of the same model."
                )

    def _choose_layout(self, largest_suffix: int) -> None:
        """Set the bits of each level; the suffix gets what is left of 64, so that it can grow."""
        if self.collisions != "suffix":
            self._layout = KeyLayout(self._sizes)
            return
        used = sum(max(1, (size - 1).bit_length()) for size in self._sizes)
        left = min(32, 64 - used)
        if self.suffix_size is not None:
            field = self.suffix_size
        elif left >= max(8, largest_suffix.bit_length()):
            field = 2**left
        else:
            field = MAX_CODEBOOK_SIZE
        self._layout = KeyLayout([*self._sizes, field])

    def _fit(
        self,
        columns: list[NDArray[Any]],
        item_ids: NDArray[Any],
        source: CandidateSource | None,
        codebooks: Sequence[Any] | None,
        n_duplicates: int | None,
    ) -> SemanticIDIndex:
        self._set_sizes(columns, codebooks)
        order_of_items = item_order(item_ids)
        layout = KeyLayout(self._sizes)
        keys = layout.pack(columns)
        order = canonical_order(keys, item_ids)
        report = replace(describe_groups(keys, order), n_duplicates=n_duplicates)
        if self.collisions == "suffix":
            place = position_in_group(keys[order])
            if self.suffix_size is not None and report.largest_group > self.suffix_size:
                raise ValueError(
                    f"{report.largest_group} items share one ID, but "
                    f"suffix_size={self.suffix_size}; raise it, or use "
                    'collisions="reassign".'
                )
            self._choose_layout(report.largest_group - 1)
            suffix = np.empty(len(keys), dtype=np.int64)
            suffix[order] = place
            keys = self._layout.pack([*columns, suffix])
        else:
            self._layout = layout
            if self.collisions == "raise" and report.n_colliding:
                raise collision_error(keys, item_ids, layout, 'use collisions="suffix"')
            if self.collisions == "reassign":
                keys, outcome = reassign(
                    layout,
                    keys,
                    order,
                    taken=keys[:0],
                    sizes=self._sizes,
                    source=source,
                    codebooks=self.codebooks_,
                    n_candidates=self.n_candidates,
                )
                report = replace(report, **outcome)
                if outcome["n_moved"]:
                    order = np.argsort(keys)
        self._store(keys, order, item_ids, order_of_items)
        self._n_suffixes = report.largest_group
        self.report_ = report
        return self

    def _store(
        self,
        keys: NDArray[Any],
        order: NDArray[Any],
        item_ids: NDArray[Any],
        order_of_items: NDArray[Any] | None,
    ) -> None:
        self._keys = keys
        self._order = compact(order)
        self._item_ids = compact(item_ids)
        self._item_order = order_of_items
        self._retired = keys[:0].copy()

    def _append(
        self,
        columns: list[NDArray[Any]],
        item_ids: NDArray[Any],
        source: CandidateSource | None,
        n_duplicates: int | None,
    ) -> NDArray[np.int64]:
        before = self._sizes, self._layout
        n_old = len(self)
        if not self._sizes_given:
            largest = [int(column.max(initial=0)) + 1 for column in columns]
            self._sizes = [max(pair) for pair in zip(self._sizes, largest, strict=True)]
        try:
            self._check_range(columns)
            bare_keys = KeyLayout(self._sizes).pack(columns)
            new_order = canonical_order(bare_keys, item_ids)
            report = describe_groups(bare_keys, new_order)
            if self._sizes != before[0]:
                self._choose_layout(self._n_suffixes - 1)
            old_keys, retired = self._repacked(before[1])
            if self.collisions == "suffix":
                suffix = suffixes(
                    self._layout, columns, new_order, bare_keys,
                    old_keys, self._order, retired, self.suffix_size,
                )  # fmt: skip
                largest_suffix = int(suffix.max(initial=0))
                if largest_suffix >= self._layout.sizes[-1]:
                    self._layout = KeyLayout([*self._sizes, MAX_CODEBOOK_SIZE])
                    old_keys, retired = self._repacked(before[1])
                new_keys = self._layout.pack([*columns, suffix])
                collides = in_group(bare_keys, new_order) | (suffix > 0)
                report = replace(report, n_colliding=int(collides.sum()))
            else:
                largest_suffix = 0
                new_keys, report = self._free_keys(
                    bare_keys, new_order, item_ids, old_keys, retired, source, report
                )
        except ValueError:
            self._sizes, self._layout = before
            raise
        self._keys = np.concatenate([old_keys, new_keys])
        self._retired = retired
        self._n_suffixes = max(self._n_suffixes, largest_suffix + 1)
        self._order = insert_sorted(
            self._keys, self._row_numbers(self._order), n_old, canonical_order(new_keys, item_ids)
        )
        self._insert_items(item_ids)
        self.report_ = replace(report, n_duplicates=n_duplicates)
        return self._layout.unpack(new_keys)

    def _free_keys(
        self,
        keys: NDArray[Any],
        order: NDArray[np.intp],
        item_ids: NDArray[Any],
        old_keys: NDArray[Any],
        retired: NDArray[Any],
        source: CandidateSource | None,
        report: CollisionReport,
    ) -> tuple[NDArray[Any], CollisionReport]:
        """Return the keys of new items without a suffix, resolved against those in use."""
        taken = np.sort(np.concatenate([old_keys, retired]))
        collides = in_group(keys, order)
        if len(taken):
            collides |= taken[np.minimum(rank(taken, None, keys), len(taken) - 1)] == keys
        report = replace(report, n_colliding=int(collides.sum()))
        if self.collisions == "raise" and collides.any():
            row = int(order[collides[order]][0])
            semantic_id = tuple(self._layout.unpack(keys[row : row + 1])[0].tolist())
            raise ValueError(
                f"{report.n_colliding} new items have an ID that is taken or retired, such as "
                f"{item_ids.item(row)!r} with {semantic_id}; build the index with "
                'collisions="suffix".'
            )
        if self.collisions == "reassign":
            keys, outcome = reassign(
                self._layout,
                keys,
                order,
                taken=taken,
                sizes=self._sizes,
                source=source,
                codebooks=self.codebooks_,
                n_candidates=self.n_candidates,
            )
            report = replace(report, **outcome)
        return keys, report

    def _repacked(self, layout: KeyLayout) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the keys in use and those retired in the present layout, from keys in `layout`."""
        if layout.sizes == self._layout.sizes:
            return self._keys, self._retired
        return tuple(  # type: ignore[return-value]
            self._layout.pack(list(layout.unpack(keys).T)) for keys in (self._keys, self._retired)
        )

    @staticmethod
    def _row_numbers(order: NDArray[Any]) -> NDArray[Any]:
        """Widen row numbers before they outgrow 32 bits."""
        return order.astype(np.int64) if len(order) > 2**30 else order

    def _insert_items(self, item_ids: NDArray[Any]) -> None:
        n_old = len(self._item_ids)
        items = np.concatenate([self._item_ids, compact(item_ids)])
        order = self._item_order
        if order is None and not is_increasing(items[max(n_old - 1, 0) :]):
            order = np.arange(n_old, dtype=np.int32)
        if order is not None:
            order = insert_sorted(items, self._row_numbers(order), n_old, np.argsort(item_ids))
        self._item_ids, self._item_order = items, order

    def _check_new_items(self, item_ids: Any, n_items: int) -> NDArray[Any]:
        """Return the ids of new items after checking that they're new and of the same type."""
        if item_ids is None:
            raise ValueError("append needs item_ids: row numbers would repeat those in use.")
        ids = check_item_ids(item_ids, n_items)
        if ids.dtype.kind != self._item_ids.dtype.kind:
            raise TypeError(
                f"item_ids are {_KINDS[ids.dtype.kind]}, those in the index are "
                f"{_KINDS[self._item_ids.dtype.kind]}; convert the new ones."
            )
        item_order(ids)
        known = self._find(ids) >= 0
        if known.any():
            first = ids[known][:1].tolist()[0]
            raise ValueError(
                f"{int(known.sum())} items are in the index already, such as {first!r}; leave "
                "them out, or "
                "remove them first."
            )
        return ids

    def _find(self, item_ids: NDArray[Any]) -> NDArray[np.intp]:
        """Return the row of each item, -1 where it isn't in the index."""
        n = len(self._item_ids)
        if n == 0:
            return np.full(len(item_ids), -1, dtype=np.intp)
        place = np.minimum(rank(self._item_ids, self._item_order, item_ids), n - 1)
        rows = place if self._item_order is None else self._item_order[place].astype(np.intp)
        return np.where(self._item_ids[rows] == item_ids, rows, -1)

    def _rows_of(self, item_ids: Any) -> NDArray[np.intp]:
        self._check_fitted()
        values = as_array(item_ids)
        n_items = len(values) if hasattr(values, "__len__") else 0
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise TypeError(f"item_ids={item_ids!r} should be a list or an array of ids.")
        if n_items == 0:
            return np.empty(0, dtype=np.intp)
        ids = check_item_ids(values, n_items)
        if ids.dtype.kind != self._item_ids.dtype.kind:
            raise KeyError(
                f"{ids[:1].tolist()[0]!r} is not in the index, whose item ids are "
                f"{_KINDS[self._item_ids.dtype.kind]}"
            )
        rows = self._find(ids)
        if (rows < 0).any():
            raise KeyError(ids[rows < 0][:1].tolist()[0])
        return rows

    def _row_of(self, item_id: object) -> int | None:
        """Return the row of one item, None if it isn't in the index."""
        is_text = isinstance(item_id, str)
        is_number = isinstance(item_id, (int, np.integer)) and not isinstance(item_id, bool)
        kind = self._item_ids.dtype.kind
        if not (is_text if kind == "T" else is_number):
            return None
        # np.str_ doesn't compare with a Python string in all versions, and np.integer is slower.
        query: Any = str(item_id) if is_text else int(item_id)  # type: ignore[call-overload]
        place = rank_one(self._item_ids, self._item_order, query)
        if place == len(self._item_ids):
            return None
        row = place if self._item_order is None else self._item_order.item(place)
        return row if self._item_ids.item(row) == query else None

    def _check_prefix(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Return a prefix as integers; a code outside its level is an error, not an empty
        answer."""
        self._check_fitted()
        if isinstance(prefix, (int, np.integer, str)):
            raise TypeError(
                f"prefix={prefix!r} should be a sequence of codes, such as ({prefix!r},)."
            )
        codes = tuple(index(code) for code in prefix)
        if len(codes) > self.width:
            raise ValueError(f"prefix {codes} has {len(codes)} codes, an ID has {self.width}.")
        # Fields rather than sizes: a suffix beyond the largest is a valid question.
        for level, (code, size) in enumerate(zip(codes, self._layout.sizes, strict=False)):
            if not 0 <= code < size:
                raise ValueError(f"prefix {codes} at level {level} should be in [0, {size}).")
        return codes

    def _range(self, prefix: tuple[int, ...]) -> tuple[int, int]:
        """Return where the IDs with a prefix begin and end in the order of keys."""
        low, high = self._layout.bounds(prefix)
        start = rank_one(self._keys, self._order, low)
        return start, rank_one(self._keys, self._order, high, side="right")

    def _sum_codewords(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.codebooks_ is None:
            raise ValueError(
                "the codebooks aren't known; pass decode=estimator.inverse_transform, or "
                "codebooks to fit."
            )
        pairs = zip(self.codebooks_, codes.T, strict=True)
        return np.sum([codebook[column] for codebook, column in pairs], axis=0)


_KINDS = {"i": "integers", "T": "strings"}
