"""Build a module from plain values, and start it from data."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sklearn_rqvae._rows import Rows
from sklearn_rqvae.nn import InteractionDecoder, RqVae
from sklearn_rqvae.quantize._additive import fit_codebooks

__all__ = ["build_module", "start_module"]


def build_module(
    module: type[nn.Module] | None, architecture: dict[str, Any], generator: torch.Generator
) -> Any:
    """Build a module from its class and constructor arguments.

    Parameters
    ----------
    module : type or None
        `RqVae` or a subclass of it; None is `RqVae`.
    architecture : dict
        Plain constructor arguments; with a linear path, those of the interaction decoder under ``"decoder"``.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    module : RqVae
        The module, its weights drawn.
    """
    arguments = dict(architecture)
    decoder = arguments.pop("decoder")
    if decoder is not None:
        decoder = InteractionDecoder(**decoder, generator=generator)
    return (module or RqVae)(**arguments, decoder=decoder, generator=generator)


@torch.no_grad()
def start_module(module: Any, rows: Rows, n_beams: int, generator: torch.Generator) -> None:
    """Set everything that comes from the data in closed form.

    With a linear path these are the mean and the codebooks, found by k-means and least squares: the module then is an
    additive quantizer, and training starts from there. Without one it is the scale of the input; the codebooks
    wait for latents.

    Parameters
    ----------
    module : RqVae
        The module, changed in place.
    rows : Rows
        Training rows.
    n_beams : int
        Beams that the model will encode with.
    generator : torch.Generator
        Draws the starts of k-means.
    """
    mean = (rows.x * rows.weight[:, None]).sum(0) / rows.weight.sum()
    deviation = rows.x - mean
    variance = (deviation.square() * rows.weight[:, None]).sum(0) / rows.weight.sum()
    n_numeric = module.input_dim - module.n_cat_features
    scale = float(variance[:n_numeric].mean().sqrt()) if n_numeric else 0.0
    module.set_scaling(mean, scale if scale > 0 else 1.0)
    if not module.linear_path:
        return
    module.set_linear_path(mean, torch.eye(module.embed_dim))
    sizes = [len(codebook) for codebook in module.codebooks]
    latent = module.encode(rows.x)
    codebooks = fit_codebooks(latent, sizes, sample_weight=rows.weight, generator=generator)
    for level, codebook in zip(module.quantizer.levels, codebooks, strict=True):
        level.initialize(codebook)
