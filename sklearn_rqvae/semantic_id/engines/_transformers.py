"""The logits processor for ``generate`` of Hugging Face transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from sklearn_rqvae.semantic_id._trie import SemanticIDTrie
from sklearn_rqvae.semantic_id._vocabulary import check_prompt_length
from sklearn_rqvae.semantic_id.engines._constraint import TokenConstraint

__all__ = ["SemanticIDLogitsProcessor"]


class SemanticIDLogitsProcessor(LogitsProcessor):
    """Keep ``generate`` on IDs of a catalog, for all beams at once.

    It leaves the tokens that `PrefixAllowedTokens` allows.

    Parameters
    ----------
    trie : SemanticIDTrie
        IDs to allow.
    token_ids : int or sequence of sequences of int
        Tokens by level and code.
    eos_token_id : int or sequence of int
        Tokens that end the output.
    prompt_length : int, optional
        Number of tokens before the ID.
    begin_token_id : int, optional
        Token before the ID, instead of `prompt_length`; the last occurrence counts.
    device : str or torch.device, default="cpu"
        Where the model is.
    """

    def __init__(
        self,
        trie: SemanticIDTrie,
        token_ids: Any,
        *,
        eos_token_id: Any,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
        device: Any = "cpu",
    ) -> None:
        if prompt_length is not None:
            check_prompt_length(prompt_length)
        if (prompt_length is None) == (begin_token_id is None):
            raise ValueError(
                f"prompt_length={prompt_length!r} and begin_token_id={begin_token_id!r}: give "
                "exactly one of them, to tell where the ID begins; prompt_length=1 for "
                "encoder-decoder models."
            )
        self._constraint = TokenConstraint(
            trie, token_ids, eos_token_id=eos_token_id, device=device
        )
        self._prompt_length = prompt_length
        self._begin = begin_token_id

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores that are minus infinity for tokens that lead to no ID.

        Parameters
        ----------
        input_ids : Tensor of int of shape (n_rows, length)
            Tokens so far.
        scores : Tensor of shape (n_rows, vocab_size)
            Scores of the next token.

        Returns
        -------
        scores : Tensor of shape (n_rows, vocab_size)
            The same, or minus infinity.
        """
        if self._prompt_length is not None:
            return self._constraint.constrained(scores, input_ids[:, self._prompt_length :])
        starts = self._starts(input_ids)
        found = torch.empty_like(scores)
        for start in starts.unique().tolist():
            rows = (starts == start).nonzero()[:, 0]
            found[rows] = self._constraint.constrained(scores[rows], input_ids[rows, start:])
        return found

    def _starts(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
        starts = ((input_ids == self._begin) * places).amax(1)
        if not starts.all():
            raise ValueError(f"begin_token_id={self._begin} is not in the prompt.")
        return starts
