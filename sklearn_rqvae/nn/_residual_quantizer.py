"""The levels of a residual quantizer: codebooks, modes, and the gradient through them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_rqvae._compute._device import exact_device
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.nn._codebook import Codebook
from sklearn_rqvae.nn._config import check_strengths
from sklearn_rqvae.nn._losses import weighted_mean
from sklearn_rqvae.nn._modes import QuantizeForwardMode
from sklearn_rqvae.quantize._dead_codes import dead_codes, draw_rows_by_error, reset_moments
from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._gradient import rotate, straight_through
from sklearn_rqvae.quantize._gumbel import gumbel_codewords
from sklearn_rqvae.quantize._kmeans import progressive_kmeans
from sklearn_rqvae.quantize._residual import residual_codes
from sklearn_rqvae.quantize._sinkhorn import balanced_codes

__all__ = ["Quantization", "ResidualQuantizer"]

# The entry of a state whose codewords are random still.
RANDOM = "random"


class Quantization(NamedTuple):
    """Hold what a residual quantizer did to a batch.

    Parameters
    ----------
    quantized : Tensor of shape (n_samples, embed_dim)
        Sum of the codewords, with the gradient of the levels' modes.
    codes : Tensor of int64 of shape (n_samples, n_layers)
        The codes chosen.
    residuals : tuple of Tensor of shape (n_samples, embed_dim)
        What each level quantized: the latent less the codewords before, the codewords held
        constant.
    codewords : tuple of Tensor of shape (n_samples, embed_dim)
        What each level chose, differentiable in its codebook.
    """

    quantized: Tensor
    codes: Tensor
    residuals: tuple[Tensor, ...]
    codewords: tuple[Tensor, ...]


class ResidualQuantizer(nn.Module):
    r"""Quantize latents level by level, each level what the ones before have left.

    Values follow the recursion :math:`r_{l+1} = r_l - q_l` from :math:`r_0 = z`. Two different
    gradients go back to the latent. That of the commitment loss goes through the residuals, where
    codewords are constants: all levels have their share. That of the sum of codewords is the
    derivative of :math:`\sum_l o_l(p_l)`, where :math:`o_l` is the mode's differentiable stand-in
    for :math:`q_l`, and the path :math:`p_l` has the value of the residual and its own derivative:

    - Straight through and Sinkhorn: :math:`o_l` has the derivative of :math:`p_l`, and leaves
      none: :math:`p_{l+1}` is a constant. The derivative of the whole sum is the identity,
      whatever the number of levels. With a straight-through step at each level and constant
      codewords it would be :math:`L` times that.
    - Rotation: :math:`p_{l+1} = p_l - \mathrm{sg}(q_l)`, so the rotations of all levels add up.
      One rotation of the sum, and the relaxed recursion :math:`p_{l+1} = p_l - o_l`, both ended
      with worse reconstructions; so did the mean in place of the sum. The scales, at most one,
      shrink with the level, and a gradient grows less than :math:`L` times.
    - Gumbel-softmax: the same, so the softmaxes' derivatives add up. The relaxed recursion
      multiplies them level by level; between two codewords they are far above one, and their
      products drown the gradient of all other rows.

    Parameters
    ----------
    codebook_size : int or sequence of int
        Number of codewords, at all levels or at each.
    embed_dim : int
        Length of a codeword.
    n_layers : int
        Number of levels.
    codebook_mode : QuantizeForwardMode, str, or sequence of them
        How codewords are chosen in training, at all levels or at each.
    codebook_normalize : bool, default=False
        Whether latents and first codewords have a fixed length. Later levels compare by distance:
        the length of a residual is what they have to code.
    codebook_sim_vq : bool, default=False
        Whether to freeze codewords and learn one linear map of each codebook.
    temperature : float, default=1.0
        Temperature of the Gumbel-softmax.
    epsilon : float, default=0.03
        Strength of Sinkhorn's entropy, in units of the median squared distance.
    generator : torch.Generator, optional
        Draws codewords, and later noise and replacements; torch's global generator if not given. It
        isn't saved.

    Attributes
    ----------
    levels : ModuleList of Codebook
        The codebooks.
    temperature : scalar buffer
        Present temperature.
    """

    temperature: Tensor

    def __init__(
        self,
        codebook_size: int | Sequence[int],
        embed_dim: int,
        n_layers: int,
        codebook_mode: Any = QuantizeForwardMode.STE,
        *,
        codebook_normalize: bool = False,
        codebook_sim_vq: bool = False,
        temperature: float = 1.0,
        epsilon: float = 0.03,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        check_strengths(temperature=temperature, epsilon=epsilon)
        self.modes = QuantizeForwardMode.parse_modes(codebook_mode, n_layers)
        self.epsilon = epsilon
        self.generator = generator
        sizes = check_codebook_size(codebook_size, n_layers)
        self.levels = nn.ModuleList(
            Codebook(
                size,
                embed_dim,
                normalize=codebook_normalize and level == 0,
                sim_vq=codebook_sim_vq,
                generator=generator,
            )
            for level, size in enumerate(sizes)
        )
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw codewords anew, each level's half as long as the one's before."""
        for level, codebook in enumerate(self._levels):
            codebook.reset_parameters(self.generator, scale=0.5**level)

    @property
    def n_starts(self) -> int:
        """How often codebooks have been set, 0 while all are random.

        A state says whether they are random: loaded weights are never taken for that.
        """
        return sum(level.n_starts for level in self._levels)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.n_starts:
            destination[prefix + RANDOM] = torch.ones(())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if any(name.startswith(prefix) for name in state_dict):
            random = state_dict.pop(prefix + RANDOM, None) is not None
            for level in self._levels:
                level.n_starts = int(not random)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def codebooks(self) -> list[Tensor]:
        """The codewords in effect at each level, of shape (codebook_size, embed_dim)."""
        return [codebook.codewords for codebook in self._levels]

    @property
    def codebook_size(self) -> list[int]:
        """The number of codewords of each level."""
        return [len(codebook.weight) for codebook in self._levels]

    @property
    def _levels(self) -> list[Codebook]:
        return cast("list[Codebook]", list(self.levels))

    def set_codebooks(self, codebooks: Sequence[Tensor]) -> None:
        """Set the codewords of every level, as found from data.

        Parameters
        ----------
        codebooks : sequence of Tensor of shape (codebook_size, embed_dim)
            Codewords, one tensor for each level.

        Raises
        ------
        ValueError
            If there are more or fewer levels, or codewords have another shape.
        """
        if len(codebooks) != len(self.levels):
            raise ValueError(
                f"there are {len(codebooks)} codebooks, but should be one for each of "
                f"{len(self.levels)} levels."
            )
        for level, codebook in zip(self._levels, codebooks, strict=True):
            level.initialize(codebook)

    def normalize(self, latent: Tensor) -> Tensor:
        """Scale latents to the length of the first codewords, if they have a fixed one.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Latents.

        Returns
        -------
        latent : Tensor of shape (n_samples, embed_dim)
            What the first level compares with its codewords.
        """
        first = self._levels[0]
        return first.radius * F.normalize(latent) if first.normalize else latent

    def forward(
        self, latent: Tensor, codes: Tensor | None = None, sample_weight: Tensor | None = None
    ) -> Quantization:
        """Quantize a batch.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Rows to quantize.
        codes : Tensor of int64 of shape (n_samples, n_layers), optional
            Codes to use; the gradient is then the straight-through one. Without it the modes choose
            in training, and the nearest codeword in evaluation.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights in usage counts and in Sinkhorn's masses.

        Returns
        -------
        quantization : Quantization
            Sum of codewords, codes, and what each level saw and chose.

        Raises
        ------
        ValueError
            If `codes` have another shape.
        """
        shape = (len(latent), len(self.modes))
        if codes is not None and codes.shape != shape:
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}, but should have shape "
                f"(n_samples, n_layers)={shape}; leave codes out to have them searched for."
            )
        # Half precision blurs distances, and with them codes: mixed precision stops here.
        with torch.autocast(latent.device.type, enabled=False):
            return self._quantize(latent.to(self.temperature.dtype), codes, sample_weight)

    def _quantize(
        self, latent: Tensor, codes: Tensor | None, sample_weight: Tensor | None
    ) -> Quantization:
        residual = path = self.normalize(latent)
        outputs, chosen, residuals, codewords = [], [], [], []
        for level, (codebook, mode) in enumerate(zip(self._levels, self.modes, strict=True)):
            if codes is not None or not self.training:
                mode = QuantizeForwardMode.STE
            given = None if codes is None else codes[:, level]
            in_effect = codebook.codewords
            level_codes, output, path = self._choose(mode, path, in_effect, given, sample_weight)
            if self.training:
                codebook.count(level_codes, sample_weight)
            codeword = F.embedding(level_codes, in_effect)
            outputs.append(output)
            chosen.append(level_codes)
            residuals.append(residual)
            codewords.append(codeword)
            residual = residual - codeword.detach()
        quantized = outputs[0]
        for output in outputs[1:]:
            quantized = quantized + output
        return Quantization(quantized, torch.stack(chosen, 1), tuple(residuals), tuple(codewords))

    def _choose(
        self,
        mode: QuantizeForwardMode,
        path: Tensor,
        codewords: Tensor,
        codes: Tensor | None,
        sample_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return one level's codes, its output, and what the next level's output depends on."""
        if mode is QuantizeForwardMode.GUMBEL_SOFTMAX:
            output, codes = gumbel_codewords(path, codewords, self.temperature, self.generator)
            chosen = F.embedding(codes, codewords).detach()
            return codes, output, path - chosen
        if mode is QuantizeForwardMode.SINKHORN:
            codes = balanced_codes(path, codewords, self.epsilon, sample_weight)
        elif codes is None:
            codes = nearest_codewords(path.detach(), codewords.detach())
        chosen = F.embedding(codes, codewords).detach()
        if mode is QuantizeForwardMode.ROTATION_TRICK:
            return codes, rotate(path, chosen), path - chosen
        return codes, straight_through(path, chosen), (path - chosen).detach()

    @torch.no_grad()
    def encode(self, latent: Tensor) -> Tensor:
        """Choose greedily and without noise, in all modes.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Latents.

        Returns
        -------
        codes : Tensor of int64 of shape (n_samples, n_layers)
            Code of each row at each level.
        """
        with torch.autocast(latent.device.type, enabled=False):
            latent = self.normalize(latent.to(self.temperature.dtype))
            return residual_codes(latent, self.codebooks)

    @torch.no_grad()
    def initialize(
        self,
        latent: Tensor,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Set the codebooks by k-means, each level on what the levels before leave.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Rows of the training data.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows.
        generator : torch.Generator, optional
            Draws the starts; the module's own generator if not given.

        Raises
        ------
        ValueError
            If no row has a positive weight, or a latent isn't finite.
        """
        generator = generator or self.generator or torch.default_generator
        # k-means sums many rows, and numpy, which it starts with, has no bfloat16.
        latent = latent.to(torch.promote_types(latent.dtype, torch.float32))
        if sample_weight is not None:
            latent, sample_weight = latent[sample_weight > 0], sample_weight[sample_weight > 0]
            sample_weight = sample_weight.to(latent.dtype)
        if not len(latent):
            raise ValueError("there is no row with a positive weight to set codebooks from.")
        if not bool(latent.isfinite().all()):
            raise ValueError(
                "latents are NaN or infinite, and codebooks can't be set from them; remove such "
                "rows, or lower the learning rate."
            )
        if self._levels[0].normalize:
            length = weighted_mean(latent.norm(dim=1), sample_weight)
            # Without any latent of a length, any length will do.
            self._levels[0].radius.copy_(torch.where(length > 0, length, torch.ones_like(length)))
        residual = self.normalize(latent)
        home = exact_device(latent.device)
        for codebook in self._levels:
            codewords = progressive_kmeans(
                residual.to(home),
                len(codebook.weight),
                sample_weight=None if sample_weight is None else sample_weight.to(home),
                generator=generator,
            )
            codebook.initialize(codewords)
            in_effect = codebook.codewords.to(latent.dtype)
            codes = nearest_codewords(residual, in_effect)
            residual = residual - F.embedding(codes, in_effect)

    def judges_usage(self, window: float) -> bool:
        """Say whether any level's mean usage has reached `window`.

        Parameters
        ----------
        window : float
            Mean number of uses of a code from which on a level is judged.

        Returns
        -------
        judges : bool
            Whether there was enough use at one level at least.
        """
        return bool(torch.stack([level.usage.mean() for level in self._levels]).max() >= window)

    @torch.no_grad()
    def reset_dead_codes(
        self,
        latent: Tensor,
        optimizer: torch.optim.Optimizer | None = None,
        sample_weight: Tensor | None = None,
        *,
        threshold: float = 0.1,
        window: float = 10.0,
    ) -> list[int]:
        """Move dead codewords to badly quantized residuals of a batch, one level after the other.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            The batch; a later level sees the residuals that the renewed levels before it leave.
        optimizer : torch.optim.Optimizer, optional
            Its moments of the replaced rows are set to zero.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows' errors.
        threshold : float, default=0.1
            A code is dead if its usage is below this share of the level's mean usage.
        window : float, default=10.0
            Mean usage from which on a level is judged; the count then starts anew.

        Returns
        -------
        n_reset : list of int
            Number of codewords replaced at each level.
        """
        dead_of_levels = [dead_codes(level.usage, threshold, window) for level in self._levels]
        for codebook in self._levels:
            if codebook.usage.mean() >= window:
                codebook.reset_usage()
        if not any(map(len, dead_of_levels)):
            return [0] * len(self._levels)
        n_reset: list[int] = []
        residual = self.normalize(latent)
        for codebook, dead in zip(self._levels, dead_of_levels, strict=True):
            codes = nearest_codewords(residual, codebook.codewords)
            if len(dead):
                error = (residual - codebook.lookup(codes)).square().sum(1)
                if sample_weight is not None:
                    error = error * sample_weight
                rows = draw_rows_by_error(error, len(dead), self.generator)
                dead = dead[: len(rows)]
                codebook.replace(dead, residual[rows])
                if optimizer is not None and isinstance(codebook.weight, nn.Parameter):
                    reset_moments(optimizer, codebook.weight, dead)
                codes = nearest_codewords(residual, codebook.codewords)
            n_reset.append(len(dead))
            residual = residual - codebook.lookup(codes)
        return n_reset
