"""One level: its codewords, and how often they are used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Codebook"]


class Codebook(nn.Module):
    r"""Hold the codewords of one level and count their use.

    Parameters
    ----------
    codebook_size : int
        Number of codewords.
    embed_dim : int
        Length of a codeword.
    normalize : bool, default=False
        Scale codewords to the length `radius`: among latents of that length, the nearest codeword
        is then the one with the largest cosine.
    sim_vq : bool, default=False
        Freeze the codewords and learn one linear map of them all, :math:`C W` (SimVQ [1]_). Every
        update then moves every codeword, used or not. The map starts as the identity, so that
        codewords found by k-means stay what they are.
    generator : torch.Generator, optional
        Draws the codewords; torch's global generator if not given.

    Attributes
    ----------
    weight : Parameter of shape (codebook_size, embed_dim)
        What is stored; a frozen buffer under `sim_vq`. Use `codewords` for what is compared and
        summed.
    projection : Parameter of shape (embed_dim, embed_dim) or None
        The learned map under `sim_vq`.
    usage : buffer of shape (codebook_size,)
        Rows per code since `reset_usage`, each batch's weights scaled to a mean of one.
    radius : scalar buffer
        Length of the codewords under `normalize`.
    n_starts : int
        How often codewords have been given by `initialize`, 0 while they are random.

    References
    ----------
    .. [1] Zhu, Y. et al. "Addressing representation collapse in vector quantized models with one
       linear layer". 2024, arXiv:2411.02038, algorithm 1.
    """

    weight: Tensor
    usage: Tensor
    radius: Tensor
    n_starts = 1  # of modules pickled by version 0.1.0

    def __init__(
        self,
        codebook_size: int,
        embed_dim: int,
        *,
        normalize: bool = False,
        sim_vq: bool = False,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.normalize = normalize
        self.sim_vq = sim_vq
        weight = torch.empty(codebook_size, embed_dim)
        if sim_vq:
            self.register_buffer("weight", weight)
            self.projection = nn.Parameter(torch.empty(embed_dim, embed_dim))
        else:
            self.weight = nn.Parameter(weight)
            self.register_parameter("projection", None)
        self.register_buffer("usage", torch.zeros(codebook_size))
        self.register_buffer("radius", torch.ones(()))
        self.reset_parameters(generator)

    def reset_parameters(
        self, generator: torch.Generator | None = None, scale: float = 1.0
    ) -> None:
        """Draw codewords from a normal distribution, their mean squared length ``scale ** 2``."""
        with torch.no_grad():
            self.weight.normal_(0.0, scale * self.weight.shape[1] ** -0.5, generator=generator)
            if self.projection is not None:
                self.projection.copy_(torch.eye(len(self.projection)))
            self.radius.fill_(1.0)
        self.n_starts = 0
        self.reset_usage()

    @property
    def codewords(self) -> Tensor:
        """The codewords in effect, of shape (codebook_size, embed_dim)."""
        codewords = self.weight if self.projection is None else self.weight @ self.projection
        return self.radius * F.normalize(codewords) if self.normalize else codewords

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the codeword of each code, of shape (n_samples, embed_dim)."""
        return F.embedding(codes, self.codewords)

    @torch.no_grad()
    def count(self, codes: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch of codes, of shape (n_samples,), to the usage."""
        if sample_weight is None:
            rows = torch.ones(len(codes), dtype=self.usage.dtype, device=codes.device)
        else:
            mean = sample_weight.mean()
            rows = (sample_weight / (mean + (mean == 0))).to(self.usage.dtype)
        self.usage.index_add_(0, codes, rows)

    def reset_usage(self) -> None:
        """Set the usage to zero."""
        self.usage.zero_()

    @torch.no_grad()
    def replace(self, codes: Tensor, codewords: Tensor) -> None:
        """Give `codes` new codewords, a row each; under `sim_vq`, through the map's inverse."""
        if self.projection is not None:
            wide = torch.promote_types(codewords.dtype, torch.float32)  # there is none in half
            projection, codewords = self.projection.to(wide), codewords.to(wide)
            codewords = torch.linalg.lstsq(projection.T, codewords.T).solution.T
        self.weight[codes] = codewords.to(self.weight.dtype)

    def initialize(self, codewords: Tensor) -> None:
        """Start over from given codewords, of shape (codebook_size, embed_dim)."""
        if codewords.shape != self.weight.shape:  # torch would repeat a single one
            raise ValueError(
                f"codewords have shape {tuple(codewords.shape)}, but should have shape "
                f"(codebook_size, embed_dim)={tuple(self.weight.shape)}."
            )
        with torch.no_grad():
            self.weight.copy_(codewords)
            if self.projection is not None:
                self.projection.copy_(torch.eye(len(self.projection)))
        self.n_starts += 1
        self.reset_usage()

    def extra_repr(self) -> str:
        """Describe the codebook in one line."""
        size, dim = self.weight.shape
        return f"{size}, {dim}, normalize={self.normalize}, sim_vq={self.sim_vq}"
