"""Generation that stays on the IDs of a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._trie import SemanticIDTrie

__all__ = ["PrefixAllowedTokens", "offset_token_table"]


def offset_token_table(level_sizes: Sequence[int], offset: int = 0) -> list[NDArray[np.int64]]:
    """Number the codes of all levels through, one level after the other.

    Parameters
    ----------
    level_sizes : sequence of int
        Number of codes at each level.
    offset : int, default=0
        Number of the first code of the first level.

    Returns
    -------
    token_ids : list of ndarray of shape (level_size,)
        ``token_ids[level][code]``.
    """
    starts = accumulate([offset, *level_sizes[:-1]])
    return [np.arange(start, start + size) for start, size in zip(starts, level_sizes, strict=True)]


class PrefixAllowedTokens:
    """Tell ``generate`` of Hugging Face transformers which tokens may come next.

    Pass an instance as ``prefix_allowed_tokens_fn``. Every sequence with a finite score then is an
    ID of the catalog, followed by the end token. Ask for at most as many sequences as there are
    IDs: beyond that, beam search fills up with beams of score minus infinity.

    Parameters
    ----------
    trie : SemanticIDTrie
        IDs to allow.
    token_ids : sequence of sequences of int
        ``token_ids[level][code]`` is the number of the token that stands for a code. Tokens of one
        level must differ.
    eos_token_id : int
        Token that ends the output.
    prompt_length : int, optional
        Number of tokens before the ID: 1, the start token, for encoder-decoder models; the
        (padded) length of the prompt for decoder-only models.
    begin_token_id : int, optional
        Token before the ID, instead of `prompt_length`; the last occurrence counts.

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
        token_ids: Sequence[Any],
        *,
        eos_token_id: int,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
    ) -> None:
        if (prompt_length is None) == (begin_token_id is None):
            raise ValueError(
                f"prompt_length={prompt_length!r} and begin_token_id={begin_token_id!r}: give "
                "exactly one of them, "
                "to tell where the ID begins; prompt_length=1 for encoder-decoder models."
            )
        tokens = [np.asarray(level, dtype=np.int64) for level in token_ids]
        sizes = [level.size for level in tokens]
        if len(sizes) != trie.width or any(
            size < needed for size, needed in zip(sizes, trie.level_sizes, strict=True)
        ):
            raise ValueError(
                f"token_ids has {sizes} tokens by level, but IDs have {list(trie.level_sizes)} "
                "codes; give one token "
                "for each code of each level."
            )
        self._trie = trie
        self._tokens = tokens
        self._codes = [
            {token: code for code, token in enumerate(level.tolist())} for level in tokens
        ]
        for level, (codes, size) in enumerate(zip(self._codes, sizes, strict=True)):
            if len(codes) < size:
                raise ValueError(f"token_ids at level {level} has the same token twice.")
        self._eos = int(eos_token_id)
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
            Never empty: the end token after a complete ID, and on dead beams.
        """
        tokens = input_ids.tolist() if hasattr(input_ids, "tolist") else list(input_ids)
        prefix = []
        for level, token in enumerate(tokens[self._start(tokens) :]):
            code = self._codes[level].get(token) if level < self._trie.width else None
            if code is None:
                return [self._eos]
            prefix.append(code)
        codes = self._trie.children(prefix)
        if not len(codes):
            return [self._eos]
        return self._tokens[len(prefix)][codes].tolist()

    def _start(self, tokens: list[int]) -> int:
        if self._prompt_length is not None:
            return self._prompt_length
        if self._begin not in tokens:
            raise ValueError(f"begin_token_id={self._begin} is not in the prompt {tokens}.")
        return len(tokens) - tokens[::-1].index(self._begin)
