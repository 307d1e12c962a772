"""Build a module from plain values, and start it from data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from sklearn_rqvae._rows import Rows
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.quantize._additive import fit_codebooks
from sklearn_rqvae.quantize._interactions import fit_interactions
from sklearn_rqvae.quantize._kmeans import principal_axes

__all__ = ["build_module", "start_module"]

# Numbers that the closed form may store, as a multiple of those in codebooks of the input's width.
# Half of the numbers in the training rows is a limit, too.
_MAX_SIZE = 6

# Shrinkage of the codewords. Below vectors of pairs it can be strong: these give back to the rows
# what the codewords give up, and held-out error falls (Amazon Scientific: by 2 % with 3 x 256 codes
# beside the best strength for codewords alone, by 6 % with 8 x 256).
_SHRINKAGE_BELOW_PAIRS = 4.0
_SHRINKAGE_WITHOUT_PAIRS = 0.5

# Rows whose squares or latents are computed at a time.
_BLOCK_ROWS = 4096


def build_module(
    module: type | None, architecture: dict[str, Any], generator: torch.Generator
) -> Any:
    """Build a module from its class and constructor arguments.

    Parameters
    ----------
    module : type or None
        `RqVae` or a subclass of it; None is `RqVae`.
    architecture : dict
        Plain constructor arguments.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    module : RqVae
        The module, its weights drawn.

    Raises
    ------
    TypeError
        If `module` is another class.
    """
    if module is not None and not issubclass(module, RqVae):
        raise TypeError(
            f"module={module!r} should be a subclass of sklearn_rqvae.nn.RqVae, or None for that."
        )
    if module is None:
        return RqVae(**architecture, generator=generator).float()
    # Layers of a subclass's own draw from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31 - 1, (), generator=generator)))
        return module(**architecture, generator=generator).float()


@torch.no_grad()
def start_module(
    module: Any,
    rows: Rows,
    generator: torch.Generator,
    *,
    interactions: bool,
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
        _start_linear_path(module, rows, mean, generator, interactions, stage)


def _start_linear_path(
    module: Any,
    rows: Rows,
    mean: torch.Tensor,
    generator: torch.Generator,
    interactions: bool,
    stage: Callable[[str], AbstractContextManager],
) -> None:
    with stage("principal axes"):
        deviation = rows.x - mean
        deviation[:, module.input_dim - module.n_cat_features :] = 0
        axes = principal_axes(deviation, rows.weight).T[: module.embed_dim]
        module.set_linear_path(mean, axes)
        del deviation  # as large as the rows; so are the latents
        latent = rows.x.new_empty(len(rows.x), module.embed_dim)
        for x, z in zip(rows.x.split(_BLOCK_ROWS), latent.split(_BLOCK_ROWS), strict=True):
            z.copy_(module.encoder(module._standardize(x)))
    sizes = [len(codebook) for codebook in module.codebooks]
    rest = sum(sizes) * (module.embed_dim + 1) + axes.numel() + 4 * module.input_dim
    max_floats = min(_MAX_SIZE * sum(sizes) * module.input_dim - rest, rows.x.numel() // 2)
    with_pairs = interactions and module.n_layers > 1 and max_floats > 0
    with stage("codebooks"):
        if module.codebook_normalize:
            # Least squares would move first codewords off their common length.
            module.quantizer.initialize(latent, rows.weight, generator)
            return
        codebooks = fit_codebooks(
            latent,
            sizes,
            sample_weight=rows.weight,
            shrinkage=_SHRINKAGE_BELOW_PAIRS if with_pairs else _SHRINKAGE_WITHOUT_PAIRS,
            generator=generator,
        )
    if with_pairs:
        with stage("interactions"):
            fitted = fit_interactions(
                latent, codebooks, max_floats=max_floats, sample_weight=rows.weight
            )
        codebooks = fitted.codebooks
        module.set_interactions(fitted.keys, fitted.vectors)
    for level, codebook in zip(module.quantizer.levels, codebooks, strict=True):
        level.initialize(codebook)
