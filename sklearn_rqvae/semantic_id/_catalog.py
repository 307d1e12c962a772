"""What can be asked of a catalog: items by ID, IDs by item, prefixes, neighbors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from sklearn_rqvae.semantic_id._collisions._places import taken_places
from sklearn_rqvae.semantic_id._collisions._resolve import Named, Rules, level_sizes
from sklearn_rqvae.semantic_id._contract import described
from sklearn_rqvae.semantic_id._drift import DriftReport, compare_catalogs
from sklearn_rqvae.semantic_id._html import catalog_table
from sklearn_rqvae.semantic_id._item_ids import hand_out
from sklearn_rqvae.semantic_id._neighbors import decoded_neighbors, prefix_neighbors, sum_codewords
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._saved import Content, catalog_hash
from sklearn_rqvae.semantic_id._store import IDStore

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Catalog", "PrefixCapacity"]

_N_SHOWN = 8  # items in a notebook


class PrefixCapacity(NamedTuple):
    """How full the part of the catalog under a prefix is.

    Attributes
    ----------
    n_items : int
        Items whose ID begins with the prefix.
    n_retired : int
        IDs of removed items, kept from being used again.
    size : int or None
        Items that the prefix can hold; None if suffixes are not limited.
    n_free : int or None
        Items for which there is room still; None if suffixes are not limited.
    """

    n_items: int
    n_retired: int
    size: int | None
    n_free: int | None


class Catalog:
    """Answer questions about IDs that are there already.

    How they came about is not this class's business: `SemanticIDIndex`, which derives from it,
    gives items their IDs and sets these attributes.

    Attributes
    ----------
    _rules : Rules
        How items got their IDs: whether the last code is a suffix, the sizes of the levels.
    _named : Named
        The IDs, and how they came about.
    """

    collisions: str
    codebook_sizes: Any
    _rules: Rules
    _named: Named

    # What is in it

    @property
    def n_levels_(self) -> int:
        """Number of levels of the quantizer."""
        self._check_fitted()
        return len(self._rules.sizes)

    @property
    def codebooks_(self) -> list[NDArray[Any]] | None:
        """Codewords, if known."""
        self._check_fitted()
        return self._rules.codebooks

    @property
    def report_(self) -> CollisionReport:
        """What the last `fit` or `append` met and did."""
        self._check_fitted()
        return self._named.report

    @property
    def fingerprint(self) -> str:
        """A name for the catalog: equal where IDs, item ids and the rules for new items are.

        It is the SHA-256 of these, in hexadecimal digits: the same whatever the order of the rows,
        after saving and loading, in every process and on every machine.
        """
        self._check_fitted()
        return catalog_hash(self._content())

    @property
    def version_(self) -> int:
        """Number of changes since the catalog was built: appends, removals.

        It is saved with the catalog and written into exports and vocabularies, so that one can tell
        which state a generator has seen.
        """
        self._check_fitted()
        return self._named.version

    @property
    def model_fingerprint(self) -> str | None:
        """The `fingerprint` of the estimator that the codes are from; None if it isn't known."""
        self._check_fitted()
        return self._rules.model

    def _content(self) -> Content:
        """Return all that there is to know of the catalog as it is now."""
        now = self.snapshot()
        return Content(now._rules, now._named, now._sizes_given(now._rules))

    def _sizes_given(self, rules: Rules) -> bool:
        """Tell whether the sizes are fixed, and don't grow with the codes."""
        return self.codebook_sizes is not None or rules.codebooks is not None

    @property
    def _store(self) -> IDStore:
        return self._named.store

    @property
    def ids_(self) -> NDArray[np.int64]:
        """Semantic IDs, in the order in which items were added."""
        self._check_fitted()
        store = self._store
        return store.layout.unpack(store.keys)

    @property
    def codes_(self) -> NDArray[np.int64]:
        """Semantic IDs without the suffix."""
        self._check_fitted()
        store = self._store
        return store.layout.unpack(store.keys, self.n_levels_)

    @property
    def item_ids_(self) -> NDArray[Any]:
        """Item ids, in the order in which items were added."""
        self._check_fitted()
        return hand_out(self._store.item_ids)

    @property
    def width(self) -> int:
        """Number of codes in each ID, the suffix included."""
        self._check_fitted()
        return self.n_levels_ + (self._rules.collisions == "suffix")

    @property
    def level_sizes_(self) -> tuple[int, ...]:
        """Number of codes at each position of an ID."""
        self._check_fitted()
        now = self.snapshot()
        return level_sizes(now._rules, now._named)

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
        return self._store.key_of(item_id) is not None

    def __iter__(self) -> Iterator[int | str]:
        """Go through the item ids, in the order in which they were added."""
        return iter(self.item_ids_.tolist())

    def __getitem__(self, item_id: Any) -> tuple[int, ...]:
        """Return the semantic ID of an item."""
        self._check_fitted()
        store = self._store
        key = store.key_of(item_id)
        if key is None:
            raise self._missing(store, item_id)
        return tuple(store.layout.unpack(key)[0].tolist())

    def __repr__(self) -> str:
        """Say what it is and how much is in it."""
        if not self.__sklearn_is_fitted__():
            return f"SemanticIDIndex(collisions={self.collisions!r})"
        return (
            f"SemanticIDIndex(collisions={self._rules.collisions!r}, n_items={len(self)}, "
            f"level_sizes={self.level_sizes_})"
        )

    # What belongs to an object and not to its copies, since two can't write the same file.
    _not_copied = ("_lock", "_journal")

    def snapshot(self) -> Self:
        """Return the index as it is now; it doesn't follow later changes.

        Nothing is copied, so it takes microseconds at any size. Whoever asks several questions
        that must fit together while others change the index asks a snapshot.

        Returns
        -------
        index : SemanticIDIndex
            An index of its own, without the journal.
        """
        now = type(self).__new__(type(self))
        state = self.__dict__.copy()
        for own in self._not_copied:
            state.pop(own, None)
        now.__dict__.update(state)
        return now

    def _repr_html_(self) -> str:
        """Show the first items with their IDs, for notebooks."""
        if not self.__sklearn_is_fitted__():
            return f"<pre>{escape(repr(self))}</pre>"
        facts = (
            f"{len(self):,} items, level sizes {self.level_sizes_}, "
            f"collisions={self._rules.collisions!r}"
        )
        packed = self._store.packed
        ids = self._store.layout.unpack(packed.keys[:_N_SHOWN]).tolist()
        rows = zip(packed.item_ids[:_N_SHOWN].tolist(), ids, strict=True)
        link = self._get_doc_link() if hasattr(self, "_get_doc_link") else ""
        return catalog_table(rows, len(self), self.width, facts, link)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return the forms for notebooks; scikit-learn's own would show parameters only."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

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
        store = self._store
        return store.layout.unpack(store.keys_of(item_ids))

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
        found = self._store.items_with(prefix)
        if len(found) != 1:
            how_many = f"{len(found)} items share" if len(found) else "no item has"
            raise KeyError(f"{how_many} the ID {prefix}")
        return found.item()

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
        return self._store.items_with(self._check_prefix(prefix))

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
        now = self.snapshot()
        prefix = now._check_prefix(prefix)
        if len(prefix) == now.width:
            return np.empty(0, dtype=np.int64)
        return now._store.children(prefix, now.level_sizes_[len(prefix)])

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
        if not isinstance(depth, (int, np.integer)) or not 1 <= depth <= self.width:
            raise ValueError(
                f"depth={depth!r} should be an integer in [1, {self.width}], the width of an ID."
            )
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
            Items, retired IDs, and the number of items in all and still free.
        """
        now = self.snapshot()
        prefix = now._check_prefix(prefix)
        rules, store = now._rules, now._store
        start, stop = store.range(prefix)
        n_retired = store.count_retired(prefix)
        unlimited = rules.collisions == "none" or (
            rules.collisions == "suffix" and rules.suffix_size is None and len(prefix) < now.width
        )
        if unlimited:
            return PrefixCapacity(stop - start, n_retired, None, None)
        n_places = rules.max_items_per_id or 1
        size = prod(now.level_sizes_[len(prefix) :]) * n_places
        n_free = size - taken_places(store, prefix, n_places)
        return PrefixCapacity(stop - start, n_retired, size, n_free)

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
        store = self._store
        places, n_shared = prefix_neighbors(store, self._row(store, item_id), n_neighbors)
        return store.items_at(places), n_shared

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
        store = self._store
        row = self._row(store, item_id)
        if decode is None:
            if self.codebooks_ is None:
                raise ValueError(
                    "the codebooks aren't known; pass decode=estimator.inverse_transform, or "
                    "codebooks to fit."
                )
            decode = partial(sum_codewords, self.codebooks_)
        places, distances = decoded_neighbors(store, row, n_neighbors, self.n_levels_, decode)
        return store.items_at(places), distances

    def drift(
        self,
        other: Any,
        *,
        codebooks: Sequence[Any] | None = None,
        other_codebooks: Sequence[Any] | None = None,
    ) -> DriftReport:
        """Compare this catalog with a later one.

        Parameters
        ----------
        other : SemanticIDIndex or RefitPlan
            The later catalog, or a plan whose outcome is it.
        codebooks, other_codebooks : sequence of array-like, optional
            Codewords of this and the later catalog, (codebook_size, embed_dim) for each level; by
            default those that the indexes know.

        Returns
        -------
        report : DriftReport
            Which items came, went and changed their codes; see `compare_catalogs`.
        """
        self._check_fitted()
        other = getattr(other, "after", other)
        other._check_fitted()
        now, other = self.snapshot(), other.snapshot()
        return compare_catalogs(
            now.codes_,
            now.item_ids_,
            other.codes_,
            other.item_ids_,
            codebooks=now.codebooks_ if codebooks is None else codebooks,
            other_codebooks=other.codebooks_ if other_codebooks is None else other_codebooks,
        )

    # Inside

    def __sklearn_is_fitted__(self) -> bool:
        return "_named" in self.__dict__

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} is empty; call fit, or use from_estimator."
            )

    def _row(self, store: IDStore, item_id: Any) -> int:
        row = store.row_of(item_id)
        if row is None:
            raise self._missing(store, item_id)
        return row

    def _missing(self, store: IDStore, item_id: Any) -> KeyError:
        """Say that an item isn't there, and why it may not be."""
        is_text = store.item_kind != "i"
        if is_text and isinstance(item_id, int | np.integer):
            return KeyError(
                f"no item {item_id!r}; items are text: ask for '{item_id}', or read them with "
                "item_type='int'"
            )
        if not is_text and isinstance(item_id, str):
            return KeyError(f"no item {item_id!r}; items are integers: ask for one, without quotes")
        return KeyError(item_id)

    def _levels_described(self, **rest: Any) -> dict[str, Any]:
        """Describe the levels, of whatever tokens."""
        return described(
            self.level_sizes_,
            self._rules.collisions == "suffix",
            model_fingerprint=self.model_fingerprint,
            catalog_version=self.version_,
            **rest,
        )

    def _check_prefix(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Return a prefix as integers; a code outside its level is an error."""
        self._check_fitted()
        if isinstance(prefix, (int, np.integer, str)):
            raise TypeError(
                f"prefix={prefix!r} should be a sequence of codes, such as ({prefix!r},)."
            )
        try:
            codes = tuple(index(code) for code in prefix)
        except TypeError as error:
            raise TypeError(
                f"prefix={prefix!r} should be a sequence of codes, which are integers."
            ) from error
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
