"""What can be asked of a catalog: items by ID, IDs by item, prefixes, neighbors, other forms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from sklearn_rqvae.semantic_id import _formats, _tokens
from sklearn_rqvae.semantic_id._collisions._resolve import Named, Rules, level_sizes
from sklearn_rqvae.semantic_id._contract import described
from sklearn_rqvae.semantic_id._drift import DriftReport, compare_catalogs
from sklearn_rqvae.semantic_id._embeddings import add_code_tokens
from sklearn_rqvae.semantic_id._generate import PrefixAllowedTokens
from sklearn_rqvae.semantic_id._html import catalog_table
from sklearn_rqvae.semantic_id._item_ids import hand_out
from sklearn_rqvae.semantic_id._neighbors import decoded_neighbors, prefix_neighbors, sum_codewords
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._saved import catalog_hash
from sklearn_rqvae.semantic_id._store import IDStore
from sklearn_rqvae.semantic_id._trie import SemanticIDTrie
from sklearn_rqvae.semantic_id._vocabulary import TokenVocabulary, vocabulary_of

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
        IDs that the prefix can hold; None if suffixes are not limited.
    n_free : int or None
        IDs still free; None if suffixes are not limited.
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
        now = self.snapshot()
        return catalog_hash(now._rules, now._named, sizes_given=now._sizes_given)

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

    @property
    def _sizes_given(self) -> bool:
        """Whether the sizes are fixed, and don't grow with the codes."""
        return self._sizes_given_by(self._rules)

    def _sizes_given_by(self, rules: Rules) -> bool:
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
        size = prod(now.level_sizes_[len(prefix) :]) * (rules.max_items_per_id or 1)
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

    def trie(self) -> SemanticIDTrie:
        """Return the IDs as a trie in numpy arrays, for constrained decoding.

        Returns
        -------
        trie : SemanticIDTrie
            The IDs as they are now; it doesn't follow later changes. `SemanticIDTrie.restrict`
            leaves some of the items, `~SemanticIDTrie.to_torch` moves it to a device.
        """
        self._check_fitted()
        now = self.snapshot()
        packed, layout = now._store.packed, now._store.layout
        ids = layout.unpack(packed.keys[packed.order])
        return SemanticIDTrie._of_sorted(ids, now.level_sizes_, packed.order)

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

    # In other forms

    def to_tokens(self, template: str = _tokens.TOKEN_TEMPLATE) -> list[list[str]]:
        """Return IDs as tokens such as ``["<a_12>", "<b_5>"]``.

        Parameters
        ----------
        template : str, default="<{letter}_{code}>"
            Format of a token; ``{letter}`` is a, b, …, z, aa, … by level. Or the name of a project
            whose form it is: ``"lc-rec"`` and ``"minionerec"``, which are the default, and
            ``"openonerec"``, ``["<|sid_begin|>", "<s_a_12>", "<s_b_5>", "<|sid_end|>"]``.

        Returns
        -------
        tokens : list of list of str
            Tokens of each item, in the order in which items were added.
        """
        return _tokens.ids_to_tokens(self.ids_, template)

    def token_names(self, template: str = _tokens.TOKEN_TEMPLATE) -> list[list[str]]:
        """Return all tokens that a tokenizer needs, by level.

        Parameters
        ----------
        template : str, default="<{letter}_{code}>"
            Format of a token, or a name; see `to_tokens`.

        Returns
        -------
        names : list of list of str
            ``names[level][code]``, also for codes that no item has.
        """
        return _tokens.token_names(self.level_sizes_, template)

    def to_token_ids(self, offset: Any = 0) -> NDArray[np.int64]:
        """Return IDs as the numbers of tokens.

        Parameters
        ----------
        offset : int or TokenVocabulary, default=0
            First number of the first level: each level then has a range of its own, behind that of
            the level before. Or a vocabulary, or whatever else `vocabulary` takes, where tokens
            have other numbers.

        Returns
        -------
        token_ids : ndarray of int of shape (n_items, width)
            Tokens of each item, in the order in which items were added. For some items only, or
            for histories: ``vocabulary.encode(index.ids_of(items))``.
        """
        now = self.snapshot()
        return now.vocabulary(offset).encode(now.ids_)

    def vocabulary(
        self,
        tokens: Any = 0,
        *,
        template: str = _tokens.TOKEN_TEMPLATE,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        begin_token_id: int | None = None,
        reserved_token_ids: Iterable[int] | None = None,
    ) -> TokenVocabulary:
        """Say which token of a generator stands for which code, and check that it can.

        Parameters
        ----------
        tokens : int, tokenizer, TokenVocabulary or sequence of sequences of int, default=0
            - a tokenizer of Hugging Face transformers that has the tokens, see `add_tokens`;
            - an integer, the number of the first code of the first level; each level has a range
              behind that of the level before;
            - ``tokens[level][code]``, the number of each token;
            - a vocabulary, such as one that was loaded: it must be of this catalog.
        template : str, default="<{letter}_{code}>"
            Form of the tokens in a tokenizer; see `to_tokens`.
        eos_token_id : int or sequence of int, optional
            Tokens that end the output; by default the tokenizer's.
        pad_token_id : int, optional
            Token that fills up shorter sequences; by default the tokenizer's.
        begin_token_id : int, optional
            Token right before an ID; by default that of the template, if it has one.
        reserved_token_ids : iterable of int, optional
            Further tokens that can't stand for codes: ``tokenizer.all_special_ids`` for an offset
            into a vocabulary that has texts, too.

        Returns
        -------
        vocabulary : TokenVocabulary
            What `to_token_ids`, `prefix_allowed_tokens_fn` and `items_of_token_ids` take.

        Raises
        ------
        ValueError
            If the tokenizer lacks tokens, or a code would be an end, padding, begin or reserved
            token.
        VocabularyError
            If a vocabulary is given that is of another catalog; says in what they differ.
        """
        if isinstance(tokens, TokenVocabulary):
            tokens.check(self)
        return vocabulary_of(
            tokens,
            self.level_sizes_,
            template,
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
            begin_token_id=begin_token_id,
            reserved_token_ids=reserved_token_ids,
            about=None if isinstance(tokens, TokenVocabulary) else self._about(tokens, template),
        )

    def _about(self, tokens: Any, template: str) -> dict[str, Any]:
        """Say of which codes a vocabulary is."""
        in_text = hasattr(tokens, "convert_tokens_to_ids")
        return {
            "has_suffix": self._rules.collisions == "suffix",
            "template": _tokens.token_form(template).template if in_text else None,
            "model_fingerprint": self.model_fingerprint,
            "catalog_version": self.version_,
        }

    def _levels_described(self, **rest: Any) -> dict[str, Any]:
        """Describe the levels, of whatever tokens."""
        return described(
            self.level_sizes_,
            self._rules.collisions == "suffix",
            model_fingerprint=self.model_fingerprint,
            catalog_version=self.version_,
            **rest,
        )

    def add_tokens(
        self,
        tokenizer: Any,
        model: Any = None,
        *,
        template: str = _tokens.TOKEN_TEMPLATE,
        codebooks: Sequence[Any] | None = None,
        random_state: Any = None,
    ) -> TokenVocabulary:
        """Teach a language model the tokens of all codes.

        The tokenizer gets the tokens that it lacks. The model's embeddings, and its output layer
        where that has weights of its own, get as many rows more, which start from the codebooks:
        codewords that are near each other start near each other, those of one level have a
        direction in common, and all are as far from the mean as the embeddings that were there.

        Parameters
        ----------
        tokenizer : transformers.PreTrainedTokenizerBase
            Changed in place. What it has already stays.
        model : transformers.PreTrainedModel, optional
            Changed in place: rows of tokens that the tokenizer and the model had before stay.
        template : str, default="<{letter}_{code}>"
            Form of the tokens; see `to_tokens`. Tokens that stand around an ID are added, too.
        codebooks : sequence of array-like of shape (codebook_size, embed_dim), optional
            Codewords of each level; by default those that the index knows.
        random_state : int, RandomState instance or None, default=None
            Draws the projection from codewords to embeddings, and the start of the suffix's codes.

        Returns
        -------
        vocabulary : TokenVocabulary
            Which token stands for which code.

        Raises
        ------
        ValueError
            If a model is given, but no codebooks are known.
        """
        known = self.codebooks_ if codebooks is None else codebooks
        if model is not None and known is None:
            raise ValueError(
                "the codebooks aren't known, from which the embeddings start; pass "
                "codebooks=estimator.codebooks_, or add tokens to the tokenizer alone and call "
                "model.resize_token_embeddings(len(tokenizer)) yourself."
            )
        add_code_tokens(tokenizer, model, self.level_sizes_, template, known or (), random_state)
        return self.vocabulary(tokenizer, template=template)

    def items_of_token_ids(
        self,
        token_ids: Any,
        tokens: Any = 0,
        *,
        prompt_length: int | None = None,
        num_return_sequences: int | None = None,
    ) -> NDArray[Any]:
        """Return the items that generated tokens name.

        Parameters
        ----------
        token_ids : array-like of int of shape (n_sequences, length), or sequence of sequences
            What ``generate`` returned, prompts included; or its output object.
        tokens : int, TokenVocabulary, tokenizer or sequence of sequences of int, default=0
            Which token stands for which code; see `vocabulary`.
        prompt_length : int, optional
            Number of tokens before the ID: 1 for encoder-decoder models, the padded length of the
            prompt for decoder-only models. By default the ID follows the last begin token of the
            vocabulary.
        num_return_sequences : int, optional
            Number of sequences for each prompt, as ``generate`` was told.

        Returns
        -------
        item_ids : ndarray of object of shape (n_sequences,) or (n_prompts, num_return_sequences)
            Items, best first as ``generate`` returns them; None where a sequence holds no ID of the
            catalog.

        Raises
        ------
        ValueError
            If an ID names several items (``collisions="none"``): ask for ``vocabulary.decode`` and
            `items` then.
        """
        self._check_fitted()
        codes = self.vocabulary(tokens).decode(token_ids, prompt_length=prompt_length)
        items = self._items_with(codes)
        if num_return_sequences is None:
            return items
        if num_return_sequences < 1 or len(items) % num_return_sequences:
            raise ValueError(
                f"num_return_sequences={num_return_sequences!r} should divide the {len(items)} "
                "sequences; give the number that generate was told."
            )
        return items.reshape(-1, num_return_sequences)

    def prefix_allowed_tokens_fn(
        self,
        token_ids: Any = 0,
        *,
        eos_token_id: int | Sequence[int] | None = None,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
    ) -> PrefixAllowedTokens:
        """Return what keeps ``generate`` of Hugging Face transformers on IDs of the catalog.

        Parameters
        ----------
        token_ids : int, TokenVocabulary, tokenizer or sequence of sequences of int, default=0
            Which token stands for which code; see `vocabulary`.
        eos_token_id : int or sequence of int, optional
            Tokens that end the output; by default those of the vocabulary.
        prompt_length : int, optional
            Number of tokens before the ID: 1 for encoder-decoder models, the padded length of the
            prompt for decoder-only models.
        begin_token_id : int, optional
            Token before the ID, instead of `prompt_length`; the last occurrence counts. By default
            that of the vocabulary, if it has one.

        Returns
        -------
        function : PrefixAllowedTokens
            Pass it as ``prefix_allowed_tokens_fn``.
        """
        now = self.snapshot()
        return PrefixAllowedTokens(
            now.trie(),
            now.vocabulary(token_ids),
            eos_token_id=eos_token_id,
            prompt_length=prompt_length,
            begin_token_id=begin_token_id,
        )

    def logits_processor(
        self,
        token_ids: Any = 0,
        *,
        eos_token_id: int | Sequence[int] | None = None,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
        device: Any = "cpu",
    ) -> Any:
        """Return what keeps ``generate`` on IDs of the catalog, for all beams at once.

        It allows what `prefix_allowed_tokens_fn` does, but is asked once for each step and not
        once for each beam, and its arrays are on the model's device.

        Parameters
        ----------
        token_ids : int, TokenVocabulary, tokenizer or sequence of sequences of int, default=0
            Which token stands for which code; see `vocabulary`.
        eos_token_id : int or sequence of int, optional
            Tokens that end the output; by default those of the vocabulary.
        prompt_length : int, optional
            Number of tokens before the ID: 1 for encoder-decoder models, the padded length of the
            prompt for decoder-only models.
        begin_token_id : int, optional
            Token before the ID, instead of `prompt_length`; the last occurrence counts. By default
            that of the vocabulary, if it has one.
        device : str or torch.device, default="cpu"
            Where the model is.

        Returns
        -------
        processor : transformers.LogitsProcessor
            Pass it as ``logits_processor=[processor]``.

        Raises
        ------
        ImportError
            If transformers isn't installed.
        """
        from sklearn_rqvae.semantic_id.engines._transformers import SemanticIDLogitsProcessor

        now = self.snapshot()
        vocabulary = now.vocabulary(token_ids)
        if prompt_length is None and begin_token_id is None:
            begin_token_id = vocabulary.begin_token_id
        return SemanticIDLogitsProcessor(
            now.trie(),
            vocabulary.token_ids,
            eos_token_id=vocabulary.eos_token_id if eos_token_id is None else eos_token_id,
            prompt_length=prompt_length,
            begin_token_id=begin_token_id,
            device=device,
        )

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: ``item_id``, ``code_0``, …, and ``suffix`` if there is one.

        Returns
        -------
        frame : pandas.DataFrame
            One row per item, in the order in which items were added.
        """
        now = self.snapshot()
        return _formats.to_frame(now.ids_, now.item_ids_, now._rules.collisions == "suffix")

    def export(
        self,
        path: str | os.PathLike[str],
        format: str,
        *,
        template: str = _tokens.TOKEN_TEMPLATE,
    ) -> None:
        """Write the IDs in a format that others read.

        Parameters
        ----------
        path : str or path-like
            File to write, replaced as a whole.
        format : str
            - ``"index.json"``: LC-Rec, LETTER, MiniOneRec: an object of item id → list of tokens;
            - ``"flashrec"``: a catalog of ``"a,b,c"`` → items;
            - ``"npy"``: an integer array (n_items, width), as TIGER-style trainers read it, in the
              order of items;
            - ``"parquet"``: columns ``item_id`` and ``semantic_id``, a list; the file's metadata
              hold what the levels, the model and the catalog are;
            - ``"csv"``, ``"jsonl"``: the same as text;
            - ``"sidinspector"``: a CSV file with columns ``item_id``, ``sid_0``, …;
            - ``"torcheasyrec"``: a Parquet file with the lists ``codebook`` and
              ``offset_codebook``, whose levels have ranges of their own from 0, and ``index``,
              which counts the items that share an ID;
            - ``"grid"``: GRID's and NVIDIA's tensor (width, n_items), column i for item i;
            - ``"recbole"``: an atomic file, ``item_id:token`` and ``semantic_id:token_seq``.
        template : str, default="<{letter}_{code}>"
            Form of the tokens in ``"index.json"``; see `to_tokens`.

        Notes
        -----
        Other formats than Parquet have no room for what the IDs are: the sizes of the levels, which
        one is a suffix, the fingerprints of vocabulary, model and catalog. They go into a file
        beside, ``_NAME.vocabulary.json``, which `read` reads, and `TokenVocabulary.check` compares.
        """
        self._check_fitted()
        now = self.snapshot()
        about = now._levels_described(
            collisions=now._rules.collisions,
            suffix_size=now._rules.suffix_size,
            catalog_fingerprint=now.fingerprint,
            template=_tokens.token_form(template).template if format == "index.json" else None,
        )
        _formats.export(path, format, now.ids_, now.item_ids_, about, template)

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

    def _items_with(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """Return the item of each ID, None where there is none."""
        items = np.full(len(ids), None, dtype=object)
        store = self._store
        layout = store.layout
        if ids.shape[1] != self.width:
            raise ValueError(
                f"the vocabulary has {ids.shape[1]} levels, but IDs have {self.width} codes; make "
                "it with index.vocabulary."
            )
        rows = np.flatnonzero(((ids >= 0) & (ids < np.array(layout.sizes))).all(axis=1))
        places, counts = store.places_of(layout.pack(list(ids[rows].T)))
        if (counts > 1).any():
            shared = tuple(ids[rows[counts > 1][0]].tolist())
            raise ValueError(
                f"{counts.max()} items share the ID {shared}; take the codes from "
                "vocabulary.decode and ask index.items(codes) for all of them."
            )
        found = counts == 1
        items[rows[found]] = store.items_at(places[found])
        return items

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
