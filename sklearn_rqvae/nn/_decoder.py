"""From quantized latents back to standardized features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.nn._interactions import PairInteractions
from sklearn_rqvae.nn._mlp import mlp

__all__ = ["Decoder"]


class Decoder(nn.Module):
    r"""Map the sum of codewords to features: the mirror of the encoder.

    .. math:: \hat x = A^\top (q + v(c)) + \mathrm{MLP}(q)

    with the encoder's matrix :math:`A`, the interactions :math:`v` of the codes (zero without
    any), and the last layer of the MLP zero at first. Without the linear path,
    :math:`\hat x = \mathrm{MLP}(q)`. Any module that is called with the
    quantized latents and the codes, and returns (n_samples, input_dim), can take this one's place.

    Parameters
    ----------
    embed_dim : int
        Length of a latent.
    hidden_dims : sequence of int or None
        Widths of the hidden layers, from the latent on (the encoder's in reverse); ReLU follows
        each. None, with a linear path only, has no MLP.
    input_dim : int
        Number of features.
    linear_path : bool, default=False
        Whether to have :math:`A^\top`. It starts as random orthonormal columns.
    generator : torch.Generator, optional
        Draws the weights; torch's global generator if not given.

    Attributes
    ----------
    components : buffer of shape (embed_dim, input_dim) or None
        The matrix :math:`A`. It isn't saved: the encoder's is.
    interactions : PairInteractions or None
        Adds to the first coordinates of the quantized latents what the codes mean together; set by
        those who have fitted it, with a linear path only.
    """

    components: Tensor | None
    interactions: PairInteractions | None

    def __init__(
        self,
        embed_dim: int,
        hidden_dims: Sequence[int] | None,
        input_dim: int,
        *,
        linear_path: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.mlp = None
        if hidden_dims is not None:
            sizes = [embed_dim, *hidden_dims, input_dim]
            self.mlp = mlp(sizes, zero_last=linear_path, generator=generator)
        components = None
        if linear_path:
            components = nn.init.orthogonal_(torch.empty(embed_dim, input_dim), generator=generator)
        self.register_buffer("components", components, persistent=False)
        self.interactions = None

    def forward(self, quantized: Tensor, codes: Tensor) -> Tensor:
        """Decode latents and their codes.

        Parameters
        ----------
        quantized : Tensor of shape (n_samples, embed_dim)
            Sums of codewords.
        codes : Tensor of int64 of shape (n_samples, n_levels)
            The codes that they are sums of.

        Returns
        -------
        decoded : Tensor of shape (n_samples, input_dim)
            Standardized features; logits in the categorical columns.
        """
        parts = [] if self.mlp is None else [self.mlp(quantized)]
        if self.components is not None:
            latent = self.add_interactions(quantized, codes)
            parts.append(linear(latent, self.components.T))
        return sum(parts[1:], start=parts[0])

    def add_interactions(self, quantized: Tensor, codes: Tensor) -> Tensor:
        """Add the interactions of the codes to the sums of their codewords.

        Parameters
        ----------
        quantized : Tensor of shape (n_samples, embed_dim)
            Sums of codewords.
        codes : Tensor of int64 of shape (n_samples, n_levels)
            The codes that they are sums of.

        Returns
        -------
        latent : Tensor of shape (n_samples, embed_dim)
            The latents that the codes stand for.
        """
        if self.interactions is None or not codes.shape[1]:
            return quantized
        vectors = self.interactions(codes)
        return quantized + F.pad(vectors, (0, quantized.shape[1] - vectors.shape[1]))
