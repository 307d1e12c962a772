"""Decode codes with their pairwise interactions: what one level's codeword means depends on the others'."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["InteractionDecoder"]


class InteractionDecoder(nn.Module):
    r"""Add the interactions of the levels' codes, and an MLP, to the sum of codewords.

    .. math::

        \hat x = q + U \sum_{l<m} a_l[c_l] \odot a_m[c_m] + \mathrm{MLP}(q)

    The middle term is a factorization machine [1]_ over codes. :math:`U` and the MLP's last layer start at zero: until it is
    trained, the decoder returns the sum of codewords.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords at each level.
    input_dim : int
        Number of features, and length of a codeword.
    rank : int
        Length of the factors :math:`a_l[k]`.
    generator : torch.Generator, optional
        Draws the factors, and the dropout masks in training; torch's global generator if not given.

    References
    ----------
    .. [1] Rendle, S. "Factorization machines". ICDM 2010.
    """

    def __init__(
        self,
        codebook_size: Sequence[int],
        input_dim: int,
        rank: int,
        *,
        dropout: float = 0.7,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.dropout = dropout
        self.generator = generator
        self.factors = nn.ParameterList(
            nn.Parameter(torch.empty(size, rank).normal_(0, 0.3, generator=generator))
            for size in codebook_size
        )
        self.out = nn.Parameter(torch.zeros(rank, input_dim))

    def forward(self, quantized: Tensor, codes: Tensor) -> Tensor:
        """Decode codes of the first levels, of shape (n_samples, n_levels), and the sum of their codewords."""
        n_levels = codes.shape[1]
        if n_levels == 1:
            return quantized
        rows = [factors[codes[:, level]] for level, factors in enumerate(self.factors[:n_levels])]
        total = torch.stack(rows).sum(0)
        pairs = 0.5 * (total.square() - torch.stack(rows).square().sum(0))
        if self.training and self.dropout:
            keep = torch.empty_like(pairs).bernoulli_(1 - self.dropout, generator=self.generator)
            pairs = pairs * keep / (1 - self.dropout)
        return quantized + pairs @ self.out
