"""The catalog: which item has which semantic ID."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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
    count_duplicates,
)
from ._codes import check_columns
from ._drift import DriftReport, compare_catalogs
from ._generate import PrefixAllowedTokens, offset_token_table
from ._item_ids import check_item_ids, hand_out, item_order
from ._keys import MAX_CODEBOOK_SIZE, KeyLayout
from ._neighbors import decoded_neighbors, prefix_neighbors, sum_codewords
from ._ordering import canonical_order, in_group, is_among, position_in_group
from ._reassign import reassign
from ._report import CollisionReport, collision_error, describe_groups
from ._store import IDStore
from ._suffix import suffixes
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
    codes_ : ndarray of int of shape (n_items, `n_levels_`)
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
    _store: IDStore

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
        collisions : {"suffix", "reassign", "raise", "none"}, default="suffix"
            What to do when items have the same codes; see the class.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
        n_candidates : int, default=32
            Candidates asked of the estimator for each colliding item.

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
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.

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
        layout = index._layout_for(0 if suffix is None else int(suffix.max()))
        keys = layout.pack(columns if suffix is None else [*columns, suffix])
        order = canonical_order(keys, items)
        report = describe_groups(keys, order)
        if collisions != "none" and report.n_colliding:
            raise collision_error(keys, items, layout, 'read them with collisions="none"')
        index._store = IDStore(layout, keys, order, items, order_of_items)
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
        ids = self._store.check_new(item_ids, len(columns[0]))
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
        ids = self._store.check_new(item_ids, len(columns[0]))
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
        self._check_fitted()
        rows = self._store.rows_of(item_ids)
        retire = not release and self.collisions != "none"
        self._store = self._store.without_rows(rows, retire=retire)
        return self

    # What is in it

    @property
    def ids_(self) -> NDArray[np.int64]:
        """Semantic IDs, in the order in which items were added."""
        self._check_fitted()
        return self._store.layout.unpack(self._store.keys)

    @property
    def codes_(self) -> NDArray[np.int64]:
        """Semantic IDs without the suffix."""
        self._check_fitted()
        return self._store.layout.unpack(self._store.keys, self.n_levels_)

    @property
    def item_ids_(self) -> NDArray[Any]:
        """Item ids, in the order in which items were added."""
        self._check_fitted()
        return hand_out(self._store.item_ids)

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
        """Size of the index arrays in bytes, without the characters of long strings."""
        self._check_fitted()
        return self._store.nbytes

    def __len__(self) -> int:
        """Return the number of items."""
        self._check_fitted()
        return len(self._store)

    def __contains__(self, item_id: object) -> bool:
        """Tell whether an item is in the index."""
        self._check_fitted()
        return self._store.row_of(item_id) is not None

    def __getitem__(self, item_id: Any) -> tuple[int, ...]:
        """Return the semantic ID of an item."""
        self._check_fitted()
        return tuple(self._id_at(self._row(item_id)))

    def __repr__(self) -> str:
        """Say what it is and how much is in it."""
        if not hasattr(self, "_store"):
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
        self._check_fitted()
        return self._store.layout.unpack(self._store.keys[self._store.rows_of(item_ids)])

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
        start, stop = self._store.range(prefix)
        if stop - start != 1:
            found = "no item has" if start == stop else f"{stop - start} items share"
            raise KeyError(f"{found} the ID {prefix}")
        return self._store.item_ids.item(self._store.order.item(start))

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
        start, stop = self._store.range(self._check_prefix(prefix))
        return self._store.items_at(slice(start, stop))

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
        if len(prefix) == self.width:
            return np.empty(0, dtype=np.int64)
        return self._store.children(prefix, self.level_sizes_[len(prefix)])

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
        return self._store.prefix_counts(depth)

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
        start, stop = self._store.range(prefix)
        n_retired = self._store.count_retired(prefix)
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
        self._check_fitted()
        _check_n_neighbors(n_neighbors)
        places, n_shared = prefix_neighbors(self._store, self._row(item_id), n_neighbors)
        return self._store.items_at(places), n_shared

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
        _check_n_neighbors(n_neighbors)
        row = self._row(item_id)
        if decode is None:
            if self.codebooks_ is None:
                raise ValueError(
                    "the codebooks aren't known; pass decode=estimator.inverse_transform, or "
                    "codebooks to fit."
                )
            decode = partial(sum_codewords, self.codebooks_)
        places, distances = decoded_neighbors(self._store, row, n_neighbors, self.n_levels_, decode)
        return self._store.items_at(places), distances

    def trie(self) -> SemanticIDTrie:
        """Return the IDs as a trie in numpy arrays, for constrained decoding.

        Returns
        -------
        trie : SemanticIDTrie
            A copy of the IDs as they are now; it doesn't follow later changes.
        """
        self._check_fitted()
        keys = self._store.sorted_keys()
        return SemanticIDTrie(self._store.layout.unpack(keys), self.level_sizes_)

    def drift(
        self,
        other: SemanticIDIndex,
        *,
        codebooks: Sequence[Any] | None = None,
        other_codebooks: Sequence[Any] | None = None,
    ) -> DriftReport:
        """Compare this catalog with a later one.

        Parameters
        ----------
        other : SemanticIDIndex
            The later catalog.
        codebooks, other_codebooks : sequence of array-like, optional
            Codewords of this and the later catalog, (codebook_size, embed_dim) for each level; by
            default those that the indexes know.

        Returns
        -------
        report : DriftReport
            Which items came, went and changed their codes; see `compare_catalogs`.
        """
        self._check_fitted()
        other._check_fitted()
        return compare_catalogs(
            self.codes_,
            self.item_ids_,
            other.codes_,
            other.item_ids_,
            codebooks=self.codebooks_ if codebooks is None else codebooks,
            other_codebooks=other.codebooks_ if other_codebooks is None else other_codebooks,
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
        """Return what keeps ``generate`` of Hugging Face transformers on IDs of the catalog.

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
        """Return a pandas DataFrame: ``item_id``, ``code_0``, …, and ``suffix`` if there is one.

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
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
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
            Of pandas or polars, with columns ``item_id``, ``code_0``, …, and ``suffix`` if there is
            one.
        collisions : {"suffix", "reassign", "raise", "none"}, optional
            As in `read`.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.

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
            "fields": list(self._store.layout.sizes),
            "report": {
                name: value
                for name, value in self.report_.to_dict().items()
                if name in CollisionReport.__dataclass_fields__
            },
            "n_suffixes": self._n_suffixes,
            "n_codebooks": 0 if self.codebooks_ is None else len(self.codebooks_),
        }
        store = self._store
        arrays = {
            "keys": store.keys,
            "order": store.order,
            "item_ids": store.item_ids,
            "retired": store.retired,
        }
        if store.item_order is not None:
            arrays["item_order"] = store.item_order
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
        CheckpointError
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
        names = [f"codebook_{level}" for level in range(header["n_codebooks"])]
        index.codebooks_ = [arrays[name] for name in names] or None
        index._store = IDStore(
            KeyLayout(header["fields"]),
            arrays["keys"],
            arrays["order"],
            arrays["item_ids"],
            arrays.get("item_order"),
            arrays["retired"],
        )
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
        if not hasattr(self, "_store"):
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

    def _layout_for(self, largest_suffix: int) -> KeyLayout:
        """Choose the bits of each level; the suffix gets what is left of 64, to grow."""
        if self.collisions != "suffix":
            return KeyLayout(self._sizes)
        used = sum(max(1, (size - 1).bit_length()) for size in self._sizes)
        left = min(32, 64 - used)
        if self.suffix_size is not None:
            field = self.suffix_size
        elif left >= max(8, largest_suffix.bit_length()):
            field = 2**left
        else:
            field = MAX_CODEBOOK_SIZE
        return KeyLayout([*self._sizes, field])

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
            layout = self._layout_for(report.largest_group - 1)
            suffix = np.empty(len(keys), dtype=np.int64)
            suffix[order] = place
            keys = layout.pack([*columns, suffix])
        else:
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
        self._store = IDStore(layout, keys, order, item_ids, order_of_items)
        self._n_suffixes = report.largest_group
        self.report_ = report
        return self

    def _append(
        self,
        columns: list[NDArray[Any]],
        item_ids: NDArray[Any],
        source: CandidateSource | None,
        n_duplicates: int | None,
    ) -> NDArray[np.int64]:
        old_sizes = self._sizes
        if not self._sizes_given:
            largest = [int(column.max(initial=0)) + 1 for column in columns]
            self._sizes = [max(pair) for pair in zip(old_sizes, largest, strict=True)]
        try:
            self._check_range(columns)
            store = self._store
            if self._sizes != old_sizes:
                store = store.repacked(self._layout_for(self._n_suffixes - 1))
            keys = KeyLayout(self._sizes).pack(columns)
            order = canonical_order(keys, item_ids)
            report = replace(describe_groups(keys, order), n_duplicates=n_duplicates)
            if self.collisions == "suffix":
                suffix = suffixes(store, columns, order, keys, self.suffix_size)
                collides = in_group(keys, order) | (suffix > 0)
                report = replace(report, n_colliding=int(collides.sum()))
                n_suffixes = max(self._n_suffixes, int(suffix.max()) + 1)
                if n_suffixes > store.layout.sizes[-1]:
                    store = store.repacked(KeyLayout([*self._sizes, MAX_CODEBOOK_SIZE]))
                keys = store.layout.pack([*columns, suffix])
            else:
                n_suffixes = self._n_suffixes
                keys, report = self._free_keys(store, keys, order, item_ids, source, report)
        except ValueError:
            self._sizes = old_sizes
            raise
        self._store = store.with_items(keys, item_ids)
        self._n_suffixes = n_suffixes
        self.report_ = report
        return store.layout.unpack(keys)

    def _free_keys(
        self,
        store: IDStore,
        keys: NDArray[Any],
        order: NDArray[np.intp],
        item_ids: NDArray[Any],
        source: CandidateSource | None,
        report: CollisionReport,
    ) -> tuple[NDArray[Any], CollisionReport]:
        """Return the keys of new items without a suffix, resolved against those in use."""
        taken = np.sort(np.concatenate([store.keys, store.retired]))
        collides = in_group(keys, order) | is_among(keys, taken)
        report = replace(report, n_colliding=int(collides.sum()))
        if self.collisions == "raise" and collides.any():
            row = int(order[collides[order]][0])
            semantic_id = tuple(store.layout.unpack(keys[row : row + 1])[0].tolist())
            raise ValueError(
                f"{report.n_colliding} new items have an ID that is taken or retired, such as "
                f"{item_ids.item(row)!r} with {semantic_id}; build the index with "
                'collisions="suffix".'
            )
        if self.collisions == "reassign":
            keys, outcome = reassign(
                store.layout,
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

    def _row(self, item_id: Any) -> int:
        row = self._store.row_of(item_id)
        if row is None:
            raise KeyError(item_id)
        return row

    def _id_at(self, row: int) -> list[int]:
        return self._store.layout.unpack(self._store.keys[row : row + 1])[0].tolist()

    def _check_prefix(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Return a prefix as integers; a code outside its level is an error."""
        self._check_fitted()
        if isinstance(prefix, (int, np.integer, str)):
            raise TypeError(
                f"prefix={prefix!r} should be a sequence of codes, such as ({prefix!r},)."
            )
        codes = tuple(index(code) for code in prefix)
        if len(codes) > self.width:
            raise ValueError(f"prefix {codes} has {len(codes)} codes, an ID has {self.width}.")
        # Fields rather than sizes: a suffix beyond the largest is a valid question.
        for level, (code, size) in enumerate(zip(codes, self._store.layout.sizes, strict=False)):
            if not 0 <= code < size:
                raise ValueError(f"prefix {codes} at level {level} should be in [0, {size}).")
        return codes


def _check_n_neighbors(n_neighbors: int) -> None:
    if not isinstance(n_neighbors, (int, np.integer)) or n_neighbors < 1:
        raise ValueError(f"n_neighbors={n_neighbors!r} should be a positive integer.")
