"""Generation that stays on the IDs of a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn_rqvae.semantic_id._trie import SemanticIDTrie
from sklearn_rqvae.semantic_id._vocabulary import TokenVocabulary, check_prompt_length

__all__ = ["PrefixAllowedTokens"]


class PrefixAllowedTokens:
    """Tell ``generate`` of Hugging Face transformers which tokens may come next.

    Pass an instance as ``prefix_allowed_tokens_fn``. Every sequence with a finite score then is an
    ID of the catalog, followed by the end token. Ask for at most as many sequences as there are
    IDs: beyond that, beam search fills up with beams of score minus infinity.

    Parameters
    ----------
    trie : SemanticIDTrie
        IDs to allow.
    token_ids : TokenVocabulary, or sequence of sequences of int
        ``token_ids[level][code]`` is the number of the token that stands for a code. Tokens of one
        level must differ, and none may be an end token.
    eos_token_id : int or sequence of int, optional
        Tokens that end the output, each of them; by default those of the vocabulary.
    prompt_length : int, optional
        Number of tokens before the ID: 1, the start token, for encoder-decoder models; the
        (padded) length of the prompt for decoder-only models.
    begin_token_id : int, optional
        Token before the ID, instead of `prompt_length`; the last occurrence counts. By default that
        of the vocabulary, if it has one.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import PrefixAllowedTokens, SemanticIDTrie
    >>> trie = SemanticIDTrie([[0, 1], [1, 0]])
    >>> allowed = PrefixAllowedTokens(trie, [[10, 11], [20, 21]], eos_token_id=2, prompt_length=1)
    >>> allowed(0, [5]), allowed(0, [5, 11]), allowed(0, [5, 11, 20])
    ([10, 11], [20], [2])
    """

    def __init__(
        self,
        trie: SemanticIDTrie,
        token_ids: TokenVocabulary | Sequence[Any],
        *,
        eos_token_id: int | Sequence[int] | None = None,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
    ) -> None:
        if isinstance(token_ids, TokenVocabulary):
            if eos_token_id is None:
                eos_token_id = token_ids.eos_token_id
            if prompt_length is None and begin_token_id is None:
                begin_token_id = token_ids.begin_token_id
            token_ids = token_ids.token_ids
        if prompt_length is not None:
            check_prompt_length(prompt_length)
        if (prompt_length is None) == (begin_token_id is None):
            raise ValueError(
                f"prompt_length={prompt_length!r} and begin_token_id={begin_token_id!r}: give "
                "exactly one of them, "
                "to tell where the ID begins; prompt_length=1 for encoder-decoder models."
            )
        vocabulary = TokenVocabulary(
            token_ids, eos_token_id=eos_token_id, begin_token_id=begin_token_id
        )
        if not vocabulary.eos_token_id:
            raise ValueError(
                "eos_token_id=None: say which token ends the output, such as "
                "tokenizer.eos_token_id or model.generation_config.eos_token_id."
            )
        sizes = vocabulary.level_sizes
        if len(sizes) != trie.width or any(
            size < needed for size, needed in zip(sizes, trie.level_sizes, strict=True)
        ):
            raise ValueError(
                f"token_ids has {list(sizes)} tokens by level, but IDs have "
                f"{list(trie.level_sizes)} codes; give one token for each code of each level."
            )
        self._trie = trie
        self._tokens = vocabulary.token_ids
        self._codes = [
            {token: code for code, token in enumerate(level.tolist())} for level in self._tokens
        ]
        self._eos = vocabulary.eos_token_id
        self._prompt_length = prompt_length
        self._begin = begin_token_id

    def __call__(self, batch_id: int, input_ids: Any) -> list[int]:
        """Return the tokens that may follow.

        Parameters
        ----------
        batch_id : int
            Position in the batch; all positions have the same catalog.
        input_ids : sequence of int
            Tokens so far.

        Returns
        -------
        tokens : list of int
            Never empty: the end tokens after a complete ID, and on dead beams.
        """
        tokens = input_ids.tolist() if hasattr(input_ids, "tolist") else list(input_ids)
        prefix = []
        for level, token in enumerate(tokens[self._start(tokens) :]):
            code = self._codes[level].get(token) if level < self._trie.width else None
            if code is None:
                return list(self._eos)
            prefix.append(code)
        codes = self._trie.children(prefix)
        if not len(codes):
            return list(self._eos)
        return self._tokens[len(prefix)][codes].tolist()

    def _start(self, tokens: list[int]) -> int:
        if self._prompt_length is not None:
            return self._prompt_length
        if self._begin not in tokens:
            raise ValueError(f"begin_token_id={self._begin} is not in the prompt {tokens}.")
        return len(tokens) - tokens[::-1].index(self._begin)
