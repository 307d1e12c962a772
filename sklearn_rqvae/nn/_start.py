"""The rows of the first training steps, from which the codebooks of a plain loop start."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

__all__ = ["FirstRows", "check_finite"]

# Rows for each codeword of the largest codebook: as many as k-means++ looks among.
_ROWS_PER_CODEWORD = 16


class FirstRows:
    """Keep the rows of the first training steps, and say when to start from them.

    One batch has fewer rows than there are codewords, and an encoder that has made no step yet
    says little about latents. So the start is made at the first step, and again at the second,
    the fourth, the eighth, from all rows so far, until there are enough of them. Steps are counted,
    not rows: processes that train together start at the same ones.

    Parameters
    ----------
    codebook_size : list of int
        Number of codewords of each level.
    """

    def __init__(self, codebook_size: list[int]):
        self.n_wanted = _ROWS_PER_CODEWORD * max(codebook_size)
        self.n_starts = 0
        self._parts: list[tuple[Tensor, Tensor]] = []

    def add(self, x: Tensor, sample_weight: Tensor | None) -> bool:
        """Keep a batch, and return whether to start from the rows so far.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows of the step.
        sample_weight : Tensor of shape (n_samples,) or None
            Their weights.

        Returns
        -------
        starts : bool
            Whether this is one of the steps at which to start.
        """
        check_finite(x)
        weight = torch.ones(len(x), device=x.device) if sample_weight is None else sample_weight
        self._parts.append((x.detach().clone(), weight.detach().to(torch.float32, copy=True)))
        n_steps = len(self._parts)
        return n_steps & (n_steps - 1) == 0 or self.enough

    @property
    def enough(self) -> bool:
        """Whether there is no need for more."""
        first = len(self._parts[0][0]) if self._parts else 1
        return len(self._parts) >= ceil(self.n_wanted / max(first, 1))

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """All rows so far, and their weights."""
        x, weight = zip(*self._parts, strict=True)
        return torch.cat(x), torch.cat(weight)


def check_finite(x: Tensor) -> None:
    """Refuse rows with NaN or infinity."""
    if not bool(x.isfinite().all()):
        raise ValueError(
            "x holds NaN or infinity, from which codebooks can't start; remove or fill these rows."
        )
