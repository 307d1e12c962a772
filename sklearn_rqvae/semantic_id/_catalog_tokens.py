"""What a generator gets of a catalog: its tokens, their embeddings, what keeps it on IDs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id import _tokens
from sklearn_rqvae.semantic_id._catalog import Catalog
from sklearn_rqvae.semantic_id._embeddings import add_code_tokens
from sklearn_rqvae.semantic_id._generate import PrefixAllowedTokens
from sklearn_rqvae.semantic_id._trie import SemanticIDTrie
from sklearn_rqvae.semantic_id._vocabulary import TokenVocabulary, vocabulary_of

__all__ = ["TokenCatalog"]


class TokenCatalog(Catalog):
    """Give IDs to a generator as tokens, and take items back from it."""

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

    def _about(self, tokens: Any, template: str) -> dict[str, Any]:
        """Say of which codes a vocabulary is."""
        in_text = hasattr(tokens, "convert_tokens_to_ids")
        return {
            "has_suffix": self._rules.collisions == "suffix",
            "template": _tokens.token_form(template).template if in_text else None,
            "model_fingerprint": self.model_fingerprint,
            "catalog_version": self.version_,
        }

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
