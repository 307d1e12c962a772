"""From quantized latents back to standardized features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sklearn_rqvae.nn._mlp import mlp

__all__ = ["Decoder"]


class Decoder(nn.Module):
    r"""Map the sum of codewords to features: the mirror of the encoder.

    .. math:: \hat x = A^\top q + \mathrm{MLP}(q)

    with the encoder's matrix :math:`A`, and the last layer of the MLP zero at first. Without the
    linear path, :math:`\hat x = \mathrm{MLP}(q)`. Any module that is called with the
    quantized latents and the codes, and returns (n_samples, input_dim), can take this one's place.

    Parameters
    ----------
    embed_dim : int
        Length of a latent.
    hidden_dims : sequence of int
        Widths of the hidden layers, from the latent on (the encoder's in reverse); ReLU follows
        each.
    input_dim : int
        Number of features.
    linear_path : bool, default=False
        Whether to have :math:`A^\top`. It starts as random orthonormal columns.
    generator : torch.Generator, optional
        Draws the weights; torch's global generator if not given.

    Attributes
    ----------
    components : buffer of shape (embed_dim, input_dim) or None
        The matrix :math:`A`.
    """

    components: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        hidden_dims: Sequence[int],
        input_dim: int,
        *,
        linear_path: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.mlp = mlp(
            [embed_dim, *hidden_dims, input_dim], zero_last=linear_path, generator=generator
        )
        components = None
        if linear_path:
            components = nn.init.orthogonal_(torch.empty(embed_dim, input_dim), generator=generator)
        self.register_buffer("components", components)

    def forward(self, quantized: Tensor, codes: Tensor) -> Tensor:
        """Decode latents of shape (n_samples, embed_dim), whatever their codes."""
        decoded = self.mlp(quantized)
        return decoded if self.components is None else decoded + quantized @ self.components
