"""The residual-quantized autoencoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from sklearn_rqvae._compat import mapped
from sklearn_rqvae._files._archive import DAMAGE
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn._checkpoint import check_state, read_checkpoint, write_checkpoint
from sklearn_rqvae.nn._config import plain_config
from sklearn_rqvae.nn._decoder import Decoder
from sklearn_rqvae.nn._encoder import Encoder
from sklearn_rqvae.nn._from_data import CHUNK_SIZE, FromDataMixin
from sklearn_rqvae.nn._interactions import PairInteractions
from sklearn_rqvae.nn._losses import (
    categorical_loss,
    codebook_loss,
    commitment_loss,
    reconstruction_loss,
)
from sklearn_rqvae.nn._mlp import gives_zero
from sklearn_rqvae.nn._modes import QuantizeForwardMode
from sklearn_rqvae.nn._residual_quantizer import (
    Quantization,
    ResidualQuantizer,
)
from sklearn_rqvae.nn._start import FirstRows
from sklearn_rqvae.quantize._gumbel import annealed_temperature
from sklearn_rqvae.quantize._residual import sum_codewords

__all__ = ["RqVae", "RqVaeOutput"]


class RqVaeOutput(NamedTuple):
    """Hold the losses of a batch, all scalars averaged over it, and what they were computed from.

    Parameters
    ----------
    loss : Tensor
        What to minimize: the result of `RqVae.compute_loss`. NaN while that method runs.
    reconstruction_loss : Tensor
        Squared error of the numerical columns, in squared standardized units per feature.
    codebook_loss : Tensor
        What moves codewords toward residuals; same unit.
    commitment_loss : Tensor
        What moves the encoder toward codewords; same unit.
    categorical_loss : Tensor
        Cross-entropy of the categorical columns, in nats per feature; zero without any.
    reconstruction : Tensor of shape (n_samples, input_dim)
        Decoded rows in the input's units, probabilities in the categorical columns.
    codes : Tensor of int64 of shape (n_samples, n_layers)
        Code of each row at each level.
    latent : Tensor of shape (n_samples, embed_dim)
        Encoded rows.
    quantized : Tensor of shape (n_samples, embed_dim)
        Sum of the codewords.
    """

    loss: Tensor
    reconstruction_loss: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor
    categorical_loss: Tensor
    reconstruction: Tensor
    codes: Tensor
    latent: Tensor
    quantized: Tensor


class RqVae(FromDataMixin):
    r"""Autoencode rows through a residual quantizer.

    .. math:: z = E(x), \quad q = \sum_l C_l[c_l], \quad \hat x = D(q)

    with codes :math:`c_l` from the recursion of `ResidualQuantizer` [1]_, [2]_. Despite its name
    the model is deterministic: it has no prior and no sampling.

    The loss is :math:`\mathrm{reconstruction} + w_\mathrm{cb}\,\mathrm{codebook} +
    w_\mathrm{cm}\,\mathrm{commitment}`, plus the cross-entropy of categorical columns. Each part is
    a sum over dimensions and levels divided by the number of input features, and a mean over the
    batch, so that the default weights mean the same for all widths.

    Parameters
    ----------
    input_dim : int, default=768
        Number of features.
    embed_dim : int, default=32
        Length of a latent.
    hidden_dims : sequence of int or None, default=(512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them. None, with a linear path
        only, has no MLPs.
    codebook_size : int or sequence of int, default=256
        Number of codewords, at all levels or at each.
    codebook_normalize : bool, default=False
        Whether the first level compares directions: latents and its codewords are scaled to a fixed
        length.
    codebook_sim_vq : bool, default=False
        Whether to freeze the codewords and learn a linear map of each codebook (SimVQ).
    n_layers : int, default=3
        Number of levels.
    n_cat_features : int, default=0
        How many of the last columns are categories, one-hot or multi-hot with values in [0, 1].
        They are neither standardized nor part of the squared error; the decoder gives logits for
        them.
    commitment_weight : float, default=0.25
        Weight of the commitment loss.
    codebook_mode : QuantizeForwardMode, str, or sequence of them, default=ROTATION_TRICK
        How codewords are chosen in training, and what gradient crosses the choice; at all levels or
        at each.
    codebook_weight : float, default=1.0
        Weight of the codebook loss.
    linear_path : bool, default=False
        Whether encoder and decoder are corrections, zero at first, of a linear map and its
        transpose; see `set_linear_path`.
    interactions : dict, optional
        ``n_pairs`` and ``dim`` of the `PairInteractions` that the decoder adds to the quantized
        latents, with a linear path; see `set_interactions`.
    decoder : Module, optional
        Called with the quantized latents and the codes, returns standardized features of shape
        (n_samples, input_dim), logits in the categorical columns; codes may hold the first levels
        only. By default the mirror of the encoder.
    gumbel_temperature : float, default=1.0
        Temperature of the Gumbel-softmax at the start; `anneal` lowers it. At 1 codewords are
        sampled as from a mixture of Gaussians around them, as wide as the quantization error.
    sinkhorn_epsilon : float, default=0.03
        Strength of Sinkhorn's entropy, in units of the median squared distance.
    generator : torch.Generator, optional
        Draws the weights, and later noise and replaced codewords; torch's global generator if not
        given. It isn't saved.

    Attributes
    ----------
    mean, scale : buffers of shape (input_dim,)
        Standardization of the input, 0 and 1 at first; see `set_scaling`.
    encoder, quantizer, decoder : Module
        The parts.

    References
    ----------
    .. [1] Lee, D. et al. "Autoregressive image generation using residual quantization". CVPR 2022,
       arXiv:2203.01941, section 3.
    .. [2] Rajput, S. et al. "Recommender systems with generative retrieval". NeurIPS 2023,
       arXiv:2305.05065, section 3.1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.nn import RqVae
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = RqVae(8, embed_dim=4, hidden_dims=[16], codebook_size=5, generator=generator)
    >>> x = torch.randn(20, 8, generator=generator)
    >>> model(x).loss.backward()
    >>> model.get_semantic_ids(x).shape
    torch.Size([20, 3])
    """

    def __init__(
        self,
        input_dim: int = 768,
        embed_dim: int = 32,
        hidden_dims: Sequence[int] | None = (512, 256, 128),
        codebook_size: int | Sequence[int] = 256,
        codebook_normalize: bool = False,
        codebook_sim_vq: bool = False,
        n_layers: int = 3,
        n_cat_features: int = 0,
        commitment_weight: float = 0.25,
        codebook_mode: Any = QuantizeForwardMode.ROTATION_TRICK,
        *,
        codebook_weight: float = 1.0,
        linear_path: bool = False,
        interactions: dict[str, int] | None = None,
        decoder: nn.Module | None = None,
        gumbel_temperature: float = 1.0,
        sinkhorn_epsilon: float = 0.03,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        config = plain_config(
            input_dim=input_dim,
            embed_dim=embed_dim,
            hidden_dims=hidden_dims,
            codebook_size=codebook_size,
            codebook_normalize=codebook_normalize,
            codebook_sim_vq=codebook_sim_vq,
            n_layers=n_layers,
            n_cat_features=n_cat_features,
            commitment_weight=commitment_weight,
            codebook_mode=codebook_mode,
            codebook_weight=codebook_weight,
            linear_path=linear_path,
            interactions=interactions,
            gumbel_temperature=gumbel_temperature,
            sinkhorn_epsilon=sinkhorn_epsilon,
        )
        self._config = config
        self.input_dim: int = config["input_dim"]
        self.embed_dim: int = config["embed_dim"]
        self.n_layers: int = config["n_layers"]
        self.n_cat_features: int = config["n_cat_features"]
        self.codebook_normalize: bool = config["codebook_normalize"]
        self.commitment_weight: float = config["commitment_weight"]
        self.codebook_weight: float = config["codebook_weight"]
        self.linear_path: bool = config["linear_path"]
        widths: list[int] | None = config["hidden_dims"]
        self.encoder = Encoder(
            self.input_dim, widths, self.embed_dim, linear_path=linear_path, generator=generator
        )
        self.quantizer = ResidualQuantizer(
            config["codebook_size"],
            self.embed_dim,
            self.n_layers,
            codebook_mode,
            codebook_normalize=codebook_normalize,
            codebook_sim_vq=codebook_sim_vq,
            temperature=gumbel_temperature,
            epsilon=sinkhorn_epsilon,
            generator=generator,
        )
        self.decoder: Any = decoder
        if decoder is None:
            self.decoder = Decoder(
                self.embed_dim,
                None if widths is None else widths[::-1],
                self.input_dim,
                linear_path=linear_path,
                generator=generator,
            )
        if interactions is not None:
            self.decoder.interactions = PairInteractions(config["codebook_size"], **interactions)
        self.register_buffer("mean", torch.zeros(self.input_dim))
        self.register_buffer("scale", torch.ones(self.input_dim))
        if self.encoder.components is not None:
            self._set_components(self.encoder.components)
        self.register_load_state_dict_post_hook(_share_components)
        self._first_rows = FirstRows(self.quantizer.codebook_size)
        self._scaled = False

    @property
    def codebooks(self) -> list[Tensor]:
        """The codewords in effect at each level, of shape (codebook_size, embed_dim)."""
        return self.quantizer.codebooks

    @property
    def generator(self) -> torch.Generator | None:
        """The generator of noise and replaced codewords."""
        return self.quantizer.generator

    @generator.setter
    def generator(self, generator: torch.Generator | None) -> None:
        self.quantizer.generator = generator

    @property
    def is_rotation(self) -> bool:
        """Whether encoder and decoder only turn vectors: errors are then the same in latents."""
        return (
            isinstance(self.decoder, Decoder)
            and self._is_idle(self.decoder.mlp)
            and self._is_idle(self.encoder.mlp)
            and not self.codebook_normalize
        )

    def _is_idle(self, layers: nn.Sequential | None) -> bool:
        """Say whether an MLP beside the linear path adds nothing, as before any training."""
        if layers is None:
            return True
        return self.linear_path and not self.n_cat_features and gives_zero(layers)

    def _to_input_units(self, decoded: Tensor) -> Tensor:
        numeric, logits = decoded.split([self._n_numeric, self.n_cat_features], 1)
        numeric = torch.addcmul(
            self.mean[: self._n_numeric], numeric, self.scale[: self._n_numeric]
        )
        return torch.cat([numeric, logits.sigmoid()], 1) if self.n_cat_features else numeric

    def _encode_standardized(self, standardized: Tensor) -> Tensor:
        return self.quantizer.normalize(self.encoder(standardized))

    def forward(
        self, x: Tensor, sample_weight: Tensor | None = None, codes: Tensor | None = None
    ) -> RqVaeOutput:
        """Compute losses and reconstruction of a batch.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units; any floating dtype.
        sample_weight : Tensor of shape (n_samples,), optional
            Non-negative weights of the means over the batch, which are zero if all weights are.
        codes : Tensor of int64 of shape (n_samples, n_layers), optional
            Codes to use in place of a search; the gradient is then the straight-through one.

        Returns
        -------
        outputs : RqVaeOutput
            Losses, reconstruction, codes, latents.

        Raises
        ------
        TypeError
            If `x` is no tensor.
        ValueError
            If `x`, `sample_weight` or `codes` have another shape, or training starts from rows with
            NaN or infinity.
        """
        self._check_columns(x, sample_weight)
        if self.training and codes is None and self._first_rows is not None and not mapped():
            self._start_from(x, sample_weight)
        return self._run(x, sample_weight, lambda z, weight: self.quantizer(z, codes, weight))

    def autoencode(self, x: Tensor, sample_weight: Tensor | None = None) -> RqVaeOutput:
        """Compute losses and reconstruction of a batch as if there were no quantizer.

        The decoder gets the latents themselves, and no codes.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units.
        sample_weight : Tensor of shape (n_samples,), optional
            Non-negative weights of the means over the batch.

        Returns
        -------
        outputs : RqVaeOutput
            As `forward` returns them, for no levels: codebook and commitment loss are zero.
        """

        def keep(latent: Tensor, _: Tensor | None) -> Quantization:
            no_codes = torch.empty(len(x), 0, dtype=torch.int64, device=latent.device)
            return Quantization(latent, no_codes, residuals=(), codewords=())

        return self._run(x, sample_weight, keep)

    def reconstruct(
        self, x: Tensor, codes: Tensor, sample_weight: Tensor | None = None
    ) -> RqVaeOutput:
        """Compute losses and reconstruction of a batch from codes that were found before.

        The codes are constants, so the gradient is the true one: it reaches codewords and decoder,
        and not the encoder, which has no part in the reconstruction.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units.
        codes : Tensor of int64 of shape (n_samples, n_layers)
            Their codes, as from a search that is wider than that of `forward`.
        sample_weight : Tensor of shape (n_samples,), optional
            Non-negative weights of the means over the batch.

        Returns
        -------
        outputs : RqVaeOutput
            As `forward` returns them; codebook and commitment loss are zero.
        """

        def keep(_latent: Tensor, _: Tensor | None) -> Quantization:
            quantized = sum_codewords(codes, self.codebooks)
            return Quantization(quantized, codes, residuals=(), codewords=())

        return self._run(x, sample_weight, keep)

    def _run(
        self,
        x: Tensor,
        sample_weight: Tensor | None,
        quantize: Callable[[Tensor, Tensor | None], Quantization],
    ) -> RqVaeOutput:
        """Encode, quantize, decode and compare a batch."""
        self._check_columns(x, sample_weight)
        standardized = self.standardize(x)
        if sample_weight is not None:
            sample_weight = sample_weight.to(standardized.dtype)
        latent = self._encode_standardized(standardized)
        quantization = quantize(latent, sample_weight)
        decoded = self.decoder(quantization.quantized, quantization.codes)
        sections = [self._n_numeric, self.n_cat_features]
        numeric, categories = standardized.split(sections, 1)
        decoded_numeric, logits = decoded.split(sections, 1)
        levels = (quantization.residuals, quantization.codewords, self.input_dim, sample_weight)
        outputs = RqVaeOutput(
            loss=latent.new_tensor(float("nan")),
            reconstruction_loss=reconstruction_loss(
                numeric, decoded_numeric, self.input_dim, sample_weight
            ),
            # Without levels they are zeros of torch's default dtype.
            codebook_loss=codebook_loss(*levels).to(self.mean),
            commitment_loss=commitment_loss(*levels).to(self.mean),
            categorical_loss=categorical_loss(categories, logits, self.input_dim, sample_weight),
            reconstruction=self._to_input_units(decoded),
            codes=quantization.codes,
            latent=latent,
            quantized=quantization.quantized,
        )
        return outputs._replace(loss=self.compute_loss(x, outputs))

    def compute_loss(self, x: Tensor, outputs: RqVaeOutput) -> Tensor:
        """Weight the losses of a batch; subclasses may add to it.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            The batch.
        outputs : RqVaeOutput
            What `forward` computed so far: all but ``loss``.

        Returns
        -------
        loss : scalar Tensor
            What to minimize.
        """
        return (
            outputs.reconstruction_loss
            + outputs.categorical_loss
            + self.codebook_weight * outputs.codebook_loss
            + self.commitment_weight * outputs.commitment_loss
        )

    def encode(self, x: Tensor) -> Tensor:
        """Compute the latents of rows.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units.

        Returns
        -------
        latent : Tensor of shape (n_samples, embed_dim)
            What the quantizer gets.
        """
        self._check_columns(x)
        return self._encode_standardized(self.standardize(x))

    @torch.no_grad()
    def get_semantic_ids(self, x: Tensor) -> Tensor:
        """Compute the codes of rows: greedy, without noise, the same in training and evaluation.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units.

        Returns
        -------
        codes : Tensor of int64 of shape (n_samples, n_layers)
            Code of each row at each level.
        """
        self._check_columns(x)
        chunks = [self.quantizer.encode(self.encode(rows)) for rows in x.split(CHUNK_SIZE)]
        return torch.cat(chunks)

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstruct rows from codes, or from those of the first levels.

        Parameters
        ----------
        codes : Tensor of int64 of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels, at least one.

        Returns
        -------
        reconstruction : Tensor of shape (n_samples, input_dim)
            In the input's units; probabilities in the categorical columns.
        """
        if codes.ndim != 2 or not 1 <= codes.shape[1] <= self.n_layers:
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}, but should have shape "
                f"(n_samples, n_levels) with n_levels from 1 to n_layers={self.n_layers}."
            )
        quantized = sum_codewords(codes, self.codebooks)
        return self._to_input_units(self.decoder(quantized, codes))

    def reset_dead_codes(
        self,
        x: Tensor,
        optimizer: torch.optim.Optimizer | None = None,
        sample_weight: Tensor | None = None,
        *,
        threshold: float = 0.1,
        window: float = 10.0,
    ) -> list[int]:
        """Move codewords that training hardly used to badly quantized rows of a batch.

        Call it after each training step, and no more near the end. It does nothing until there was
        enough use to judge by.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            The present batch.
        optimizer : torch.optim.Optimizer, optional
            Its moments of the replaced codewords are set to zero.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows' errors.
        threshold : float, default=0.1
            A code is dead if its usage is below this share of the level's mean usage.
        window : float, default=10.0
            Mean number of uses of a code from which on a level is judged.

        Returns
        -------
        n_reset : list of int
            Number of codewords replaced at each level.
        """
        if not self.quantizer.judges_usage(window):
            return [0] * self.n_layers
        with torch.no_grad():
            latent = self.encode(x)
        return self.quantizer.reset_dead_codes(
            latent, optimizer, sample_weight, threshold=threshold, window=window
        )

    def anneal(self, progress: float, start: float | None = None, end: float | None = None) -> None:
        """Set the Gumbel-softmax's temperature for a point of the training.

        Parameters
        ----------
        progress : float
            Share of the training that is done, in [0, 1].
        start : float, optional
            Temperature at 0; the constructor's `gumbel_temperature` if not given.
        end : float, optional
            Temperature at 1; a tenth of `start` if not given.
        """
        start = self._config["gumbel_temperature"] if start is None else start
        end = start / 10 if end is None else end
        self.quantizer.temperature.fill_(annealed_temperature(progress, start, end))

    def save_checkpoint(self, path: str | os.PathLike) -> None:
        """Save constructor arguments, parameters and buffers as tensors and plain values.

        A `decoder` of your own is saved by its weights only: pass an equal one to
        `load_from_checkpoint`. The generator isn't saved.

        Parameters
        ----------
        path : str or path-like
            The file; appears whole or not at all.
        """
        write_checkpoint(path, self._config, self.state_dict())

    @classmethod
    def load_from_checkpoint(
        cls,
        path: str | os.PathLike,
        map_location: Any = "cpu",
        *,
        decoder: nn.Module | None = None,
    ) -> Self:
        """Rebuild a module from a file of `save_checkpoint`; no code in the file is run.

        Parameters
        ----------
        path : str or path-like
            The file.
        map_location : str or torch.device, default="cpu"
            Device of the module.
        decoder : Module, optional
            A decoder like the one that was saved, if it wasn't the default one.

        Returns
        -------
        model : RqVae
            The module, of the class that this is called on, in training mode and with the dtype
            of the saved weights.

        Raises
        ------
        CheckpointError
            If the file holds anything but tensors and plain values, they don't make a module of
            this class, or the file is damaged.
        """
        config, state = read_checkpoint(path)
        try:
            check_state(config, state, None if cls is RqVae else cls)
            # Weights drawn here are overwritten: a generator of their own leaves the global one
            # alone.
            parts: dict[str, Any] = {} if decoder is None else {"decoder": decoder}
            model = cls(**config, **parts, generator=torch.Generator())
            model.to(state.get("mean", model.mean).dtype).load_state_dict(state)
        except DAMAGE as error:
            raise CheckpointError(
                f"{os.fspath(path)!r} doesn't fit {cls.__name__}: {error}"
            ) from error
        model.generator = None
        return model.to(map_location)


def _share_components(model: RqVae, _: Any) -> None:
    """Give the decoder the linear map that the encoder has loaded; a loaded scaling stays."""
    model._scaled = model._scaled or model.quantizer.n_starts > 0
    components = model.encoder.components
    if components is None:
        return
    own = model.decoder.components if isinstance(model.decoder, Decoder) else None
    if own is not None and (own.device, own.dtype) != (components.device, components.dtype):
        # A state that was assigned, as to a module on the meta device, brings its own.
        model.decoder.components = torch.empty_like(components)
    model._set_components(components)
