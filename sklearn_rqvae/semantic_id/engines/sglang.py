"""The logit processor for SGLang.

The server wants to be started with ``--enable-custom-logit-processor``. A request sends the class
and its options along::

    {
        "input_ids": ..., "sampling_params": {"custom_params": {"semantic_ids": {
            "index": "catalog.sid", "token_ids": 32000, "eos_token_id": 2}}},
        "custom_logit_processor": SemanticIDLogitProcessor.to_str(),
    }
"""

from __future__ import annotations

from typing import Any

from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor
from torch import Tensor

from sklearn_rqvae.semantic_id.engines._constraint import TokenConstraint, constraint_of

__all__ = ["SemanticIDLogitProcessor"]


class SemanticIDLogitProcessor(CustomLogitProcessor):
    """Keep requests of SGLang on IDs of a catalog, whose file the server reads once."""

    def __call__(
        self, logits: Tensor, custom_param_list: list[dict[str, Any]] | None = None
    ) -> Tensor:
        """Forbid tokens that lead to no ID.

        Parameters
        ----------
        logits : Tensor of shape (n_requests, vocab_size)
            Scores of the next token.
        custom_param_list : list of dict
            Parameters of each request, and the request itself as ``"__req__"``.

        Returns
        -------
        logits : Tensor of shape (n_requests, vocab_size)
            The same tensor.
        """
        requests = custom_param_list or []
        if requests and len(requests) != len(logits):
            raise ValueError(
                f"{len(requests)} requests have {len(logits)} rows of scores; semantic IDs are "
                "kept one token at a time, so turn speculative decoding off."
            )
        groups: dict[int, tuple[TokenConstraint, dict[int, list[int]]]] = {}
        for row, params in enumerate(requests):
            if not params or "semantic_ids" not in params:
                continue
            constraint = constraint_of(params["semantic_ids"], logits.device)
            request = params["__req__"]
            tokens = constraint.tokens_of_id(request.origin_input_ids, request.output_ids)
            groups.setdefault(id(constraint), (constraint, {}))[1][row] = tokens
        for constraint, rows in groups.values():
            constraint.constrain_rows(logits, rows)
        return logits
