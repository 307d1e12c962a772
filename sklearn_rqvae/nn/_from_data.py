"""What a module takes from data: scaling, linear map, codebooks, vectors of pairs of codes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sklearn_rqvae._compat import uncompiled
from sklearn_rqvae.nn._config import check_interactions
from sklearn_rqvae.nn._decoder import Decoder
from sklearn_rqvae.nn._encoder import Encoder
from sklearn_rqvae.nn._interactions import PairInteractions
from sklearn_rqvae.nn._residual_quantizer import ResidualQuantizer
from sklearn_rqvae.nn._start import FirstRows, check_finite

__all__ = ["CHUNK_SIZE", "FromDataMixin"]

# Rows encoded or decoded at a time outside training: activations then stay in cache.
CHUNK_SIZE = 2048


class FromDataMixin(nn.Module):
    """Set a module's parts from data: each by a step of its name, or all that a loop starts from.

    Parameters
    ----------
    *args, **kwargs : object
        As `torch.nn.Module` takes them.

    Attributes
    ----------
    mean, scale : buffers of shape (input_dim,)
        Standardization of the input.
    encoder, quantizer, decoder : Module
        The parts that are set.
    """

    mean: Tensor
    scale: Tensor
    encoder: Encoder
    quantizer: ResidualQuantizer
    decoder: Any
    input_dim: int
    embed_dim: int
    n_cat_features: int
    linear_path: bool
    _config: dict[str, Any]
    # Modules pickled by version 0.1.0 have neither: what they hold is from data.
    _first_rows: FirstRows | None = None
    _scaled = True

    @property
    def _n_numeric(self) -> int:
        return self.input_dim - self.n_cat_features

    def _check_columns(self, x: Tensor, sample_weight: Tensor | None = None) -> None:
        for name, given in (("x", x), ("sample_weight", sample_weight)):
            if given is not None and not isinstance(given, Tensor):
                raise TypeError(
                    f"{name} is a {type(given).__name__}, but should be a tensor: torch.as_tensor("
                    f"{name}) of an array, batch[0] of a batch of a TensorDataset."
                )
        if x.ndim != 2 or x.shape[1] != self.input_dim:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but should have shape "
                f"(n_samples, input_dim={self.input_dim})."
            )
        if sample_weight is not None and sample_weight.shape != x.shape[:1]:
            raise ValueError(
                f"sample_weight has shape {tuple(sample_weight.shape)}, but should have shape "
                f"(n_samples,)={tuple(x.shape[:1])}."
            )

    def _check_start(self, x: Tensor, sample_weight: Tensor | None) -> None:
        """Refuse rows from which nothing can start, before anything has been set."""
        self._check_columns(x, sample_weight)
        if not len(x) or (sample_weight is not None and not bool((sample_weight > 0).any())):
            raise ValueError(
                "x has no row with a positive weight to start from; give at least one."
            )
        check_finite(x)

    def standardize(self, x: Tensor) -> Tensor:
        """Return rows as the encoder gets them, ``(x - mean) / scale``.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Rows, in the input's units; any floating dtype.

        Returns
        -------
        standardized : Tensor of shape (n_samples, input_dim)
            The rows in the units of `scale`, and in the module's dtype.
        """
        return (x.to(self.mean.dtype) - self.mean).div_(self.scale)

    @torch.no_grad()
    def set_scaling(self, mean: Tensor, scale: float | Tensor) -> None:
        """Set the standardization of the numerical columns, ``(x - mean) / scale``.

        Categories stay as they are.

        Parameters
        ----------
        mean : Tensor of shape (input_dim,)
            Subtracted; the entries of categorical columns are ignored.
        scale : float or Tensor of shape (input_dim,)
            Divides, positive. One number keeps the geometry of the rows.

        Raises
        ------
        ValueError
            If `mean` isn't finite, or `scale` not positive and finite.
        """
        mean, scale = torch.as_tensor(mean), torch.as_tensor(scale)
        if not bool(((scale > 0) & scale.isfinite()).all()):
            raise ValueError(f"scale={scale!r} should be positive and finite.")
        if not bool(mean.isfinite().all()):
            raise ValueError(f"mean={mean!r} should be finite.")
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.mean[self._n_numeric :] = 0
        self.scale[self._n_numeric :] = 1
        self._scaled = True

    @torch.no_grad()
    def set_linear_path(self, mean: Tensor, components: Tensor) -> None:
        r"""Set the linear map between standardized features and latents, as from a PCA.

        The encoder is then :math:`A s + \mathrm{MLP}(s)` and the default decoder :math:`A^\top q +
        \mathrm{MLP}(q)`, where :math:`s` are the standardized features.

        Parameters
        ----------
        mean : Tensor of shape (input_dim,)
            Mean of the input; replaces that of `set_scaling`. The entries of categorical columns
            are ignored.
        components : Tensor of shape (embed_dim, input_dim)
            :math:`A`, with orthonormal (or zero) rows; the entries of categorical columns are
            ignored.

        Raises
        ------
        ValueError
            If there is no linear path, or `components` have another shape.
        """
        if self.encoder.components is None:
            raise ValueError(
                "linear_path=False has no linear map to set; construct with linear_path=True."
            )
        components, expected = torch.as_tensor(components), self.encoder.components.shape
        if components.shape != expected:  # torch would repeat a single row
            raise ValueError(
                f"components have shape {tuple(components.shape)}, but should have shape "
                f"(embed_dim, input_dim)={tuple(expected)}."
            )
        self.mean.copy_(torch.as_tensor(mean))
        self.mean[self._n_numeric :] = 0
        self._scaled = True
        self._set_components(components)

    @torch.no_grad()
    def set_interactions(self, keys: Tensor, vectors: Tensor) -> None:
        """Add vectors for pairs of codes to the quantized latents before decoding.

        Parameters
        ----------
        keys : Tensor of int64 of shape (n_pairs,)
            The pairs, ascending, as `sklearn_rqvae.quantize._pairs.PairKeys` numbers them.
        vectors : Tensor of shape (n_pairs, dim)
            Their vectors, for the first ``dim <= embed_dim`` coordinates of the latents.

        Raises
        ------
        ValueError
            If there is no linear path, or `vectors` have more than `embed_dim` columns.
        """
        sizes = {"n_pairs": len(keys), "dim": vectors.shape[1]}
        check_interactions(sizes, self.linear_path, self.embed_dim)
        interactions = PairInteractions(self.quantizer.codebook_size, **sizes)
        interactions.to(keys.device, self.mean.dtype)
        interactions.keys.copy_(keys)
        interactions.vectors[1:] = vectors
        self.decoder.interactions = interactions
        self._config["interactions"] = sizes

    def start_as(self, other: FromDataMixin) -> None:
        """Take over what another module with a linear path has from data.

        Parameters
        ----------
        other : module
            A module of the same input and latents, whose first level compares distances.
        """
        self.set_scaling(other.mean, other.scale)
        assert other.encoder.components is not None
        self.set_linear_path(other.mean, other.encoder.components)
        self.quantizer.set_codebooks(other.quantizer.codebooks)
        interactions = getattr(other.decoder, "interactions", None)
        if interactions is not None:
            self.set_interactions(interactions.keys, interactions.vectors[1:])

    @torch.no_grad()
    def _set_components(self, components: Tensor) -> None:
        # Categories have logits, which are no linear function of the features.
        components = components.clone()
        components[:, self._n_numeric :] = 0
        for module in (self.encoder, self.decoder):
            if isinstance(module, Encoder | Decoder) and module.components is not None:
                module.components.copy_(components)

    @torch.no_grad()
    def initialize_codebooks(
        self,
        x: Tensor,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Set the codebooks by k-means, each level on what the levels before leave of the latents.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Training rows, all or a sample; there may be fewer than codewords.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows.
        generator : torch.Generator, optional
            Draws the starts; the module's own generator if not given.
        """
        self._check_start(x, sample_weight)
        latent = [self.encoder(self.standardize(rows)) for rows in x.split(CHUNK_SIZE)]
        self.quantizer.initialize(torch.cat(latent), sample_weight, generator)

    @torch.no_grad()
    def start(
        self,
        x: Tensor,
        sample_weight: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Set from data what a training loop starts from: the scaling, and the codebooks.

        A scaling that was set before stays. The first steps of a training loop call this by
        themselves, with the rows they have seen, unless codebooks have been set or loaded.

        Parameters
        ----------
        x : Tensor of shape (n_samples, input_dim)
            Training rows, all or a sample.
        sample_weight : Tensor of shape (n_samples,), optional
            Weights of the rows.
        generator : torch.Generator, optional
            Draws the starts; the module's own generator if not given.
        """
        self._check_start(x, sample_weight)
        if not self._scaled:
            rows = x.to(self.mean.dtype)
            weight = rows.new_ones(len(x)) if sample_weight is None else sample_weight.to(rows)
            share = weight / weight.sum().clamp(min=torch.finfo(rows.dtype).tiny)
            mean = share @ rows
            variance = (share @ (rows - mean).square())[: self._n_numeric].sum()
            scale = (variance / max(self._n_numeric, 1)).sqrt()
            self.set_scaling(mean, scale if scale > 0 else 1.0)
        self.initialize_codebooks(x, sample_weight, generator)

    @uncompiled
    @torch.no_grad()
    def _start_from(self, x: Tensor, sample_weight: Tensor | None) -> None:
        """Start from the rows of the first training steps, unless codebooks have been set."""
        first = self._first_rows
        if first is None or first.n_starts != self.quantizer.n_starts:
            self._first_rows = None
        elif first.add(x, sample_weight):
            rows, weight = first.rows
            if bool(weight.any()):
                with torch.autocast(x.device.type, enabled=False):
                    self.start(rows, weight)
            if dist.is_available() and dist.is_initialized():
                for tensor in (self.mean, self.scale, *self.quantizer.state_dict().values()):
                    dist.broadcast(tensor, src=0)
            first.n_starts = self.quantizer.n_starts
            if first.enough:
                self._first_rows = None
