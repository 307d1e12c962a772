"""ClosedForm: principal axes, codebooks by k-means and least squares, and pairs of codes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from sklearn.base import BaseEstimator

from sklearn_rqvae._compute._device import exact_device, resolve_device
from sklearn_rqvae._compute._threads import undivided
from sklearn_rqvae._learning._collapse import warn_of_narrow_latent
from sklearn_rqvae._learning._module import build_module, module_attributes
from sklearn_rqvae._learning._refinement import refine_module
from sklearn_rqvae._learning._rows import Rows, closed_form_rows, generator_of, row_limit
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.quantize._additive import fit_codebooks
from sklearn_rqvae.quantize._interactions import fit_interactions
from sklearn_rqvae.quantize._kmeans import LARGE, principal_axes

__all__ = [
    "SHRINKAGE_BELOW_PAIRS",
    "SHRINKAGE_WITHOUT_PAIRS",
    "ClosedForm",
    "latents_of",
    "pair_floats",
    "start_module",
]

# Numbers that the closed form may store, as a multiple of those in codebooks of the input's width.
# Half of the numbers in the training rows is a limit, too.
_MAX_SIZE = 6

# Shrinkage of the codewords. Below vectors of pairs it can be strong: these give back to the rows
# what the codewords give up, and held-out error falls (Amazon Scientific: by 2 % with 3 x 256 codes
# beside the best strength for codewords alone, by 6 % with 8 x 256).
SHRINKAGE_BELOW_PAIRS = 4.0
SHRINKAGE_WITHOUT_PAIRS = 0.5

# Rows whose squares or latents are computed at a time.
_BLOCK_ROWS = 4096


class ClosedForm:
    """Learn an additive quantizer in closed form: no epochs, no gradients.

    Parameters
    ----------
    codebook_size : list of int
        Number of codewords of each level.
    embed_dim : int or None
        Principal axes to keep; None keeps all.
    codebook_normalize : bool
        Whether the first level compares directions.
    device : torch.device
        Where to compute.
    subsample : int or None
        Distinct rows to take into account at most, all if None.
    """

    n_epochs = 0
    held_out: float | None = None
    keeps_rows = True
    n_fixed = 0
    keeps_units = False
    ways_out = (
        "features and rows of similar scale (StandardScaler, Normalizer), a smaller "
        "codebook_size, fewer levels"
    )
    ignores: tuple[str, ...] = (
        *("hidden_dims", "codebook_sim_vq", "commitment_weight", "codebook_weight"),
        *("max_epochs", "batch_size", "lr", "weight_decay", "lr_schedule"),
        *("early_stopping", "validation_fraction", "n_iter_no_change"),
        *("callbacks", "net_params"),
    )
    ignores_because = (
        "without a quantize mode the model is fitted in closed form. Set codebook_mode='STE', or "
        "another mode, to train by gradients."
    )

    def __init__(
        self,
        codebook_size: list[int],
        embed_dim: int | None,
        codebook_normalize: bool,
        device: torch.device,
        subsample: int | None,
    ):
        self.codebook_size = codebook_size
        self.embed_dim = embed_dim
        self.codebook_normalize = codebook_normalize
        self.device = device
        self.subsample = row_limit(subsample)

    @classmethod
    def of(cls, estimator: BaseEstimator) -> ClosedForm:
        """Return the closed form that an estimator's parameters describe."""
        return cls(
            check_codebook_size(estimator.codebook_size, estimator.n_layers),
            estimator.embed_dim,
            bool(estimator.codebook_normalize),
            resolve_device(estimator.device),
            estimator.subsample,
        )

    def max_rows(self, n_features: int) -> int:
        """Return how many distinct rows codebooks are found on, whatever their length."""
        return min(closed_form_rows(self.codebook_size), self.subsample)

    def generator(self, random_state: Any) -> torch.Generator:
        """Return what draws the starts of k-means."""
        return generator_of(random_state)

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Fit a module, and return it as plain values."""
        architecture = self.architecture(training.x.shape[1])
        warn_of_narrow_latent(training.x, training.weight, architecture["embed_dim"])
        device = exact_device(self.device)
        module = build_module(None, architecture, generator).to(device)
        start_module(
            module,
            training.to(device),
            generator,
            interactions=True,
            keep_rows=False,
            stage=tasks.stage,
        )
        population = training.population
        if population is not None and len(training.x) < self.subsample and module.is_rotation:
            with tasks.stage("all rows"):
                refine_module(module, population.blocks(self.subsample), _max_floats(module))
        return module_attributes(module, architecture, history=[])

    def architecture(self, n_features: int) -> dict[str, Any]:
        """Return those of the module's constructor arguments that are no defaults."""
        return {
            "input_dim": n_features,
            "embed_dim": min(self.embed_dim or n_features, n_features),
            "hidden_dims": None,
            "codebook_size": self.codebook_size,
            "codebook_normalize": self.codebook_normalize,
            "n_layers": len(self.codebook_size),
            "linear_path": True,
        }


@undivided()
@torch.no_grad()
def start_module(
    module: RqVae,
    rows: Rows,
    generator: torch.Generator,
    *,
    interactions: bool,
    keep_rows: bool = True,
    stage: Callable[[str], AbstractContextManager] = nullcontext,
) -> None:
    """Set everything that comes from the data in closed form.

    With a linear path the module becomes an additive quantizer: principal axes, codebooks found
    by k-means and least squares, interactions of pairs of codes; where the first level compares
    directions, codebooks found by k-means alone. Without one only the scale of the input is set;
    the codebooks wait for latents.

    Parameters
    ----------
    module : RqVae
        The module, changed in place.
    rows : Rows
        Training rows.
    generator : torch.Generator
        Draws the starts of k-means.
    interactions : bool
        Whether to fit vectors for pairs of codes.
    keep_rows : bool, default=True
        Whether rows are needed afterwards; else latents may take their place.
    stage : callable
        Called with the name of each stage; returns a context that the stage runs in.
    """
    parts = list(zip(rows.x.split(_BLOCK_ROWS), rows.weight.split(_BLOCK_ROWS), strict=True))
    total_weight = rows.weight.sum()
    mean = sum(weight @ x for x, weight in parts) / total_weight
    variance = sum(weight @ (x - mean).square_() for x, weight in parts) / total_weight
    n_numeric = module.input_dim - module.n_cat_features
    scale = float(variance[:n_numeric].mean().sqrt()) if n_numeric else 0.0
    module.set_scaling(mean, scale if scale > 0 else 1.0)
    if module.linear_path:
        _start_linear_path(module, rows, mean, generator, interactions, keep_rows, stage)


def _start_linear_path(
    module: RqVae,
    rows: Rows,
    mean: torch.Tensor,
    generator: torch.Generator,
    interactions: bool,
    keep_rows: bool,
    stage: Callable[[str], AbstractContextManager],
) -> None:
    n_numeric = module.input_dim - module.n_cat_features

    def deviation(x: torch.Tensor) -> torch.Tensor:
        deviation = x - mean
        deviation[:, n_numeric:] = 0
        return deviation

    with stage("principal axes"):
        axes = principal_axes(rows.x, rows.weight, deviation).T[: module.embed_dim]
        module.set_linear_path(mean, axes)
        latent = latents_of(module, rows.x, keep_rows)
    sizes = [len(codebook) for codebook in module.codebooks]
    max_floats = pair_floats(module, rows.x)
    with_pairs = interactions and max_floats > 0
    with stage("codebooks"):
        if module.codebook_normalize:
            # Least squares would move first codewords off their common length.
            module.quantizer.initialize(latent, rows.weight, generator)
            return
        codebooks = fit_codebooks(
            latent,
            sizes,
            sample_weight=rows.weight,
            shrinkage=SHRINKAGE_BELOW_PAIRS if with_pairs else SHRINKAGE_WITHOUT_PAIRS,
            generator=generator,
        )
    if with_pairs:
        with stage("interactions"):
            fitted = fit_interactions(
                latent, codebooks, max_floats=max_floats, sample_weight=rows.weight
            )
        codebooks = fitted.codebooks
        module.set_interactions(fitted.keys, fitted.vectors)
    module.quantizer.set_codebooks(codebooks)


def latents_of(module: RqVae, x: torch.Tensor, keep_rows: bool = True) -> torch.Tensor:
    """Return the latents of rows, in their place where they aren't kept and are as long."""
    in_place = not keep_rows and module.embed_dim == x.shape[1]
    latent = x if in_place else x.new_empty(len(x), module.embed_dim)
    for rows, z in zip(x.split(_BLOCK_ROWS), latent.split(_BLOCK_ROWS), strict=True):
        z.copy_(module.encoder(module.standardize(rows)))
    return latent


def pair_floats(module: RqVae, x: torch.Tensor) -> int:
    """Return how many numbers the vectors of pairs of codes may have for these rows, if any."""
    if module.n_layers == 1:
        return 0
    return max(min(_max_floats(module), x.numel() // 2), 0)


def _max_floats(module: RqVae) -> int:
    """Return how many numbers are left for pairs of codes, besides codebooks and axes.

    Codes of levels that are all large hardly meet twice, and get none: 32,768 rows have 1,268 pairs
    of 3 x 4096 codes, and to look for them takes as long as three rounds of the codebooks.
    """
    if min(len(codebook) for codebook in module.codebooks) >= LARGE:
        return 0
    n_codewords = sum(len(codebook) for codebook in module.codebooks)
    axes = (module.embed_dim + 4) * module.input_dim
    rest = n_codewords * (module.embed_dim + 1) + axes
    return _MAX_SIZE * n_codewords * module.input_dim - rest
