"""The logits processor for vLLM, version 1 of its engine.

Name it where the engine is made, and say where the catalog is::

    LLM(
        model,
        logits_processors=["sklearn_rqvae.semantic_id.engines.vllm:SemanticIDLogitsProcessor"],
        additional_config={"semantic_ids": {"index": "catalog.sid", "token_ids": 32000,
                                            "eos_token_id": 2}},
    )

A request asks for it by ``SamplingParams(extra_args={"semantic_ids": True})``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor

from sklearn_rqvae.semantic_id.engines._constraint import constraint_of

__all__ = ["SemanticIDLogitsProcessor"]


class SemanticIDLogitsProcessor(LogitsProcessor):
    """Keep requests of vLLM on IDs of a catalog.

    Parameters
    ----------
    vllm_config : VllmConfig
        Its ``additional_config["semantic_ids"]`` names the file of the ``index``, the
        ``token_ids``, ``eos_token_id``, and ``begin_token_id`` where the ID doesn't begin with
        the output, as in beam search, which puts beams into prompts.
    device : torch.device
        Where the scores are.
    is_pin_memory : bool
        Not used.
    """

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        options = (getattr(vllm_config, "additional_config", None) or {}).get("semantic_ids")
        self._constraint = constraint_of(options, device)
        self._requests: dict[int, tuple[list[int], list[int]]] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose `semantic_ids` is neither true nor false.

        Parameters
        ----------
        sampling_params : SamplingParams
            Parameters of the request.
        """
        asked = (sampling_params.extra_args or {}).get("semantic_ids", False)
        if not isinstance(asked, bool):
            raise ValueError(f"semantic_ids={asked!r} in extra_args should be True or False.")

    def is_argmax_invariant(self) -> bool:
        """Say that greedy decoding is concerned, too."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests of the batch.

        Parameters
        ----------
        batch_update : BatchUpdate or None
            Which were removed, added and moved, in this order.
        """
        if batch_update is None:
            return
        for row in batch_update.removed:
            self._requests.pop(row, None)
        for row, params, prompt, output in batch_update.added:
            self._requests.pop(row, None)
            if (params.extra_args or {}).get("semantic_ids"):
                self._requests[row] = (prompt or [], output)  # the engine goes on adding to it
        for source, target, direction in batch_update.moved:
            moved = self._requests.pop(source, None)
            other = self._requests.pop(target, None)
            if moved is not None:
                self._requests[target] = moved
            if other is not None and direction.name == "SWAP":
                self._requests[source] = other

    def apply(self, logits: Tensor) -> Tensor:
        """Forbid tokens that lead to no ID, in the rows of requests that ask for it.

        Parameters
        ----------
        logits : Tensor of shape (n_requests, vocab_size)
            Scores of the next token.

        Returns
        -------
        logits : Tensor of shape (n_requests, vocab_size)
            The same tensor.
        """
        constraint = self._constraint
        rows = {row: constraint.tokens_of_id(*both) for row, both in self._requests.items()}
        return constraint.constrain_rows(logits, rows)
