"""From standardized features to latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.nn._mlp import mlp

__all__ = ["Encoder"]


class Encoder(nn.Module):
    r"""Map features to latents: an MLP, by choice as a correction of a linear map.

    .. math:: z = A x + \mathrm{MLP}(x)

    with a fixed matrix :math:`A` of orthonormal rows, and the last layer of the MLP zero at first.
    Without the linear path, :math:`z = \mathrm{MLP}(x)`.

    Parameters
    ----------
    input_dim : int
        Number of features.
    hidden_dims : sequence of int or None
        Widths of the hidden layers, from the input on; ReLU follows each. None, with a linear path
        only, has no MLP.
    embed_dim : int
        Length of a latent.
    linear_path : bool, default=False
        Whether to have :math:`A`. It starts as random orthonormal rows.
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
        input_dim: int,
        hidden_dims: Sequence[int] | None,
        embed_dim: int,
        *,
        linear_path: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.mlp = None
        if hidden_dims is not None:
            sizes = [input_dim, *hidden_dims, embed_dim]
            self.mlp = mlp(sizes, zero_last=linear_path, generator=generator)
        components = None
        if linear_path:
            components = nn.init.orthogonal_(torch.empty(embed_dim, input_dim), generator=generator)
        self.register_buffer("components", components)

    def forward(self, x: Tensor) -> Tensor:
        """Encode rows.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Standardized features.

        Returns
        -------
        latent : Tensor of shape (n_samples, embed_dim)
            Latents.
        """
        parts = [] if self.mlp is None else [self.mlp(x)]
        if self.components is not None:
            parts.append(linear(x, self.components))
        return sum(parts[1:], start=parts[0])
