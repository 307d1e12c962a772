"""Scores of tokens, of which only those that lead to an ID of the catalog stay finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from os import stat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae.semantic_id._index import SemanticIDIndex
from sklearn_rqvae.semantic_id._tokens import offset_token_table
from sklearn_rqvae.semantic_id._trie import SemanticIDTrie
from sklearn_rqvae.semantic_id._vocabulary import TokenVocabulary

__all__ = ["TokenConstraint", "constraint_of"]

_OPTIONS = {"index", "token_ids", "eos_token_id", "begin_token_id"}


class TokenConstraint:
    """Forbid tokens that lead to no ID, for all rows of a batch at once.

    Parameters
    ----------
    trie : SemanticIDTrie
        IDs to allow.
    token_ids : int or sequence of sequences of int
        ``token_ids[level][code]`` is the number of a token; an integer is the first of tokens that
        are numbered through, one level after the other.
    eos_token_id : int or sequence of int
        Tokens that may follow a whole ID, and what leads to none.
    begin_token_id : int, optional
        Token before the ID, the last of its kind; by default the ID begins where the output does.
    device : str or torch.device, default="cpu"
        Where the scores are.

    Raises
    ------
    ValueError
        If a code lacks a token, has one that another code of its level has, or has one that ends an
        ID or begins it.
    """

    def __init__(
        self,
        trie: SemanticIDTrie,
        token_ids: int | Sequence[Any],
        *,
        eos_token_id: int | Sequence[int],
        begin_token_id: int | None = None,
        device: Any = "cpu",
    ) -> None:
        by_level: Sequence[Any] = (
            offset_token_table(trie.level_sizes, int(token_ids))
            if isinstance(token_ids, (int, np.integer))
            else token_ids
        )
        vocabulary = TokenVocabulary(
            by_level, eos_token_id=eos_token_id, begin_token_id=begin_token_id
        )
        if not vocabulary.eos_token_id:
            raise ValueError(
                "eos_token_id=None: say which token ends the output, such as "
                "tokenizer.eos_token_id or model.generation_config.eos_token_id."
            )
        tables, sizes = vocabulary.token_ids, vocabulary.level_sizes
        if len(sizes) != trie.width or any(
            size < needed for size, needed in zip(sizes, trie.level_sizes, strict=True)
        ):
            raise ValueError(
                f"token_ids has {list(sizes)} tokens by level, but IDs have "
                f"{list(trie.level_sizes)} codes; give one token for each code of each level."
            )
        self.begin_token_id = begin_token_id
        self._trie = trie.to_torch(device)
        self._codes = [torch.from_numpy(_codes_of(table)).to(device) for table in tables]
        self._n_tokens = vocabulary.n_tokens
        self._tokens = [
            torch.from_numpy(table[:size]).to(device)
            for table, size in zip(tables, trie.level_sizes, strict=True)
        ]
        self._ends = torch.tensor(vocabulary.eos_token_id, device=device)

    def constrained(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """Return scores that are minus infinity for tokens that lead to no ID.

        Parameters
        ----------
        scores : Tensor of shape (n_rows, vocab_size)
            Scores of the next token.
        tokens : Tensor of int of shape (n_rows, depth)
            Tokens of the ID so far.

        Returns
        -------
        scores : Tensor of shape (n_rows, vocab_size)
            The same, or minus infinity. In every row a token stays: where no code may follow, an
            end.

        Raises
        ------
        ValueError
            If there are tokens of codes, or ends, that have no score.
        """
        if scores.shape[1] < self._n_tokens:  # a GPU would give up all that it holds
            raise ValueError(
                f"there are scores of {scores.shape[1]} tokens, but codes and ends have tokens up "
                f"to {self._n_tokens - 1}; give the model rows for them (add_tokens, "
                "resize_token_embeddings), or the token_ids that it was trained with."
            )
        found = torch.full_like(scores, -torch.inf)
        depth = tokens.shape[1]
        if depth >= self._trie.width:
            found[:, self._ends] = scores[:, self._ends]
            return found
        columns = [_looked_up(self._codes[level], tokens[:, level]) for level in range(depth)]
        shape = (len(tokens), 0)
        codes = torch.stack(columns, 1) if columns else tokens.new_zeros(shape)
        allowed = self._trie.allowed(codes)
        own = self._tokens[depth]
        found[:, own] = scores[:, own].masked_fill(~allowed, -torch.inf)
        over = ~allowed.any(1, keepdim=True)
        ends = scores[:, self._ends]
        found[:, self._ends] = torch.where(over, ends, found[:, self._ends])
        return found

    def constrain_rows(self, scores: Tensor, rows: Mapping[int, Sequence[int]]) -> Tensor:
        """Forbid tokens in some rows of scores, in place.

        Parameters
        ----------
        scores : Tensor of shape (n_rows, vocab_size)
            Scores of the next token.
        rows : mapping of int to sequence of int
            Rows, and the tokens of the ID so far for each.

        Returns
        -------
        scores : Tensor of shape (n_rows, vocab_size)
            What was given.
        """
        by_depth = sorted(rows, key=lambda row: len(rows[row]))
        for _, group in groupby(by_depth, key=lambda row: len(rows[row])):
            some = list(group)
            tokens = torch.tensor([list(rows[row]) for row in some], device=scores.device)
            at = torch.tensor(some, device=scores.device)
            scores[at] = self.constrained(scores[at], tokens.long().reshape(len(some), -1))
        return scores

    def tokens_of_id(self, prompt: Sequence[int], output: Sequence[int]) -> list[int]:
        """Return the tokens of the ID so far, of a prompt and what was generated after it.

        Parameters
        ----------
        prompt, output : sequence of int
            Tokens.

        Returns
        -------
        tokens : list of int
            Those behind `begin_token_id`, or all of the output.
        """
        if self.begin_token_id is None:
            return list(output)
        tokens = [*prompt, *output]
        if self.begin_token_id not in tokens:
            raise ValueError(f"begin_token_id={self.begin_token_id} is not in the prompt.")
        return tokens[len(tokens) - tokens[::-1].index(self.begin_token_id) :]


def constraint_of(options: Any, device: Any) -> TokenConstraint:
    """Return the constraint that an engine's options describe; one for all requests.

    Parameters
    ----------
    options : mapping
        Path of the ``index``, and ``token_ids``, ``eos_token_id``, ``begin_token_id`` as for
        `TokenConstraint`.
    device : str or torch.device
        Where the scores are.

    Returns
    -------
    constraint : TokenConstraint
        Made anew when the file of the index is replaced.
    """
    if (
        not isinstance(options, Mapping)
        or not {"index", "eos_token_id"} <= set(options) <= _OPTIONS
    ):
        raise ValueError(
            f"semantic_ids={options!r} should have the path of an 'index' and an 'eos_token_id', "
            f"and may have {sorted(_OPTIONS - {'index', 'eos_token_id'})}."
        )
    table = options.get("token_ids", 0)
    if not isinstance(table, int):
        table = tuple(tuple(int(token) for token in level) for level in table)
    ends = options["eos_token_id"]
    ends = ends if isinstance(ends, int) else tuple(ends)
    path = options["index"]
    state = stat(path)
    file = (path, state.st_mtime_ns, state.st_ino)
    return _loaded(file, table, ends, options.get("begin_token_id"), str(device))


@lru_cache(maxsize=8)
def _loaded(
    file: tuple[str, int, int], token_ids: Any, ends: Any, begin: int | None, device: str
) -> TokenConstraint:
    trie = SemanticIDIndex.load(file[0]).trie()
    return TokenConstraint(trie, token_ids, eos_token_id=ends, begin_token_id=begin, device=device)


def _codes_of(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the code of each token up to the largest, -1 for those of other levels."""
    codes = np.full(table.max() + 2, -1, dtype=np.int64)
    codes[table] = np.arange(len(table))
    return codes


def _looked_up(codes: Tensor, tokens: Tensor) -> Tensor:
    """Look tokens up; the last entry is for all that are larger."""
    return codes[tokens.long().clamp(max=len(codes) - 1)]
