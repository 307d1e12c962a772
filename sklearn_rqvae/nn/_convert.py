"""Modules of other projects, from their checkpoints, where they compute what ours can."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sklearn_rqvae._files._archive import damage_as_checkpoint_error
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn._checkpoint import check_tensors, load_plain
from sklearn_rqvae.nn._modes import QuantizeForwardMode
from sklearn_rqvae.nn._rqvae import RqVae

__all__ = ["convert_checkpoint"]

# What BatchNorm1d adds to the variance by default; the checkpoints don't say.
_BATCH_NORM_EPSILON = 1e-5


def convert_checkpoint(
    path: str | os.PathLike,
    *,
    activation: str | None = None,
    normalize: bool | None = None,
) -> RqVae:
    """Rebuild the model of an LC-Rec or RQ-VAE-Recommender checkpoint as a module of ours.

    Only tensors and plain values are read, and no code in the file is run. The files that these
    projects write hold more than that; save the weights alone first, in an environment where you
    trust them::

        content = torch.load("best_collision_model.pth", weights_only=False)
        torch.save(content["state_dict"], "weights.pt")  # LC-Rec; "model" for the other one

    The module computes the same codes and reconstructions in evaluation mode. Its losses are ours,
    and rows are not standardized.

    Two layouts are known, and told apart by the names of their weights. That of LC-Rec [1]_, which
    MiniOneRec shares, is converted as it is; batch normalization becomes part of the layer before
    it. That of RQ-VAE-Recommender [2]_ and genrec says too little: layers have no bias there, and
    their activation and normalization aren't saved, so that you have to say them. As published
    they are SiLU and a decoder whose output has length one, which our module has not: codes then
    have to be computed by their own code. So only a model that was changed to ReLU and a plain
    decoder can be converted.

    Parameters
    ----------
    path : str or path-like
        The file: a dictionary with the weights under "state_dict" or "model", or the weights alone.
    activation : {"relu", "silu"}, optional
        What stands between the layers in the layout of RQ-VAE-Recommender.
    normalize : bool, optional
        Whether that model's decoder scales its output to length one.

    Returns
    -------
    model : RqVae
        The module, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file holds other objects, has none of the two layouts, or describes a model that
        `RqVae` can't be.

    References
    ----------
    .. [1] Zheng, B. et al. "Adapting large language models by integrating collaborative semantics
       for recommendation". arXiv:2311.09049, 2023.
    .. [2] Botta, E. "RQ-VAE Recommender". https://github.com/EdoardoBotta/RQ-VAE-Recommender
    """
    content = load_plain(
        path,
        "Where you trust it, load it in its own environment and save the weights alone: "
        "torch.save(torch.load(path, weights_only=False)['state_dict'], 'weights.pt') for LC-Rec, "
        "['model'] for RQ-VAE-Recommender.",
    )
    with damage_as_checkpoint_error(path, "a checkpoint of LC-Rec or RQ-VAE-Recommender"):
        return _convert(content, activation, normalize, os.fspath(path))


def _convert(content: Any, activation: str | None, normalize: bool | None, name: str) -> RqVae:
    """Build the module from what a file of any known layout holds."""
    weights = _weights_by_name(content, name)
    if "rq.vq_layers.0.embedding.weight" in weights:
        parts = {
            "encoder": _linear_layers(weights, "encoder.mlp_layers.", name),
            "decoder": _linear_layers(weights, "decoder.mlp_layers.", name),
        }
        codebooks = _codebooks(weights, r"rq\.vq_layers\.(\d+)\.embedding\.weight", name)
    elif "layers.0.embedding.weight" in weights:
        _check_recommender(weights, activation, normalize, name)
        parts = {
            "encoder": _linear_layers(weights, "encoder.mlp.", name),
            "decoder": _linear_layers(weights, "decoder.mlp.", name),
        }
        codebooks = _codebooks(weights, r"layers\.(\d+)\.embedding\.weight", name)
        # A learned map of a codebook becomes part of it.
        for level, codebook in enumerate(codebooks):
            projection = weights.get(f"layers.{level}.out_proj.0.weight")
            if projection is not None:
                if projection.shape != (codebook.shape[-1],) * 2:
                    raise CheckpointError(
                        f"{name!r} has a map of the codebook of level {level} of the shape "
                        f"{tuple(projection.shape)}, but codewords have {codebook.shape[-1]} "
                        "coordinates."
                    )
                codebooks[level] = codebook @ projection.T
    else:
        raise CheckpointError(
            f"{name!r} has weights named {sorted(weights)[:3]}, ...: neither the layout of LC-Rec "
            "(rq.vq_layers.0.embedding.weight) nor that of RQ-VAE-Recommender "
            "(layers.0.embedding.weight)."
        )
    return _build(parts, codebooks, name)


def _weights_by_name(content: Any, name: str) -> dict[str, Tensor]:
    """Return the weights, wherever they stand."""
    weights = content
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            weights = content[key]
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise CheckpointError(
            f"{name!r} holds no dictionary of weights by name; save the model's state_dict()."
        )
    check_tensors(weights, os.path.getsize(name))
    # Wrappers for compiling and for several devices put their name before that of each weight.
    prefixes = ("_orig_mod.", "module.")
    return {
        re.sub(f"^({'|'.join(map(re.escape, prefixes))})+", "", key): value.float()
        for key, value in weights.items()
    }


def _check_recommender(
    weights: dict[str, Tensor], activation: str | None, normalize: bool | None, name: str
) -> None:
    """Refuse what our module isn't."""
    if activation is None or normalize is None:
        raise CheckpointError(
            f"{name!r} has the layout of RQ-VAE-Recommender and genrec, whose weights don't tell "
            "their activation and normalization: give activation ('relu' or 'silu') and normalize "
            "(whether the decoder's output has length one)."
        )
    if activation != "relu":
        raise CheckpointError(
            f"activation={activation!r} can't be converted: RqVae has ReLU. Compute the codes with "
            "the model's own code and give them to SemanticIDIndex, or fit anew."
        )
    if normalize:
        raise CheckpointError(
            "normalize=True can't be converted: RqVae doesn't scale its reconstructions to length "
            "one. Compute the codes with the model's own code, or fit anew on rows of length one."
        )


def _codebooks(weights: dict[str, Tensor], pattern: str, name: str) -> list[Tensor]:
    """Return the codebooks in the order of their levels."""
    found = {
        int(match[1]): value
        for key, value in weights.items()
        if (match := re.fullmatch(pattern, key))
    }
    levels = sorted(found)
    if levels != list(range(len(levels))):
        raise CheckpointError(
            f"{name!r} has codebooks of the levels {levels}, which should count from 0 without a "
            "gap; save all weights of the model."
        )
    return [found[level] for level in levels]


def _linear_layers(
    weights: dict[str, Tensor], prefix: str, name: str
) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each linear layer, batch normalization included."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.weight")
    numbers = sorted(int(match[1]) for key in weights if (match := pattern.fullmatch(key)))
    layers: list[tuple[Tensor, Tensor]] = []
    for number in numbers:
        weight = weights[f"{prefix}{number}.weight"]
        bias = weights.get(f"{prefix}{number}.bias")
        if weight.ndim == 2:
            layers.append((weight, weight.new_zeros(len(weight)) if bias is None else bias))
            continue
        mean = weights.get(f"{prefix}{number}.running_mean")
        variance = weights.get(f"{prefix}{number}.running_var")
        if not layers or mean is None or variance is None or bias is None:
            raise CheckpointError(
                f"{name!r} has a layer {prefix}{number} that is neither linear nor batch "
                "normalization; RqVae has no others."
            )
        if {part.shape for part in (weight, bias, mean, variance)} != {layers[-1][1].shape}:
            raise CheckpointError(
                f"{name!r} has a batch normalization {prefix}{number} of another width than the "
                "layer before it."
            )
        factor = weight / (variance + _BATCH_NORM_EPSILON).sqrt()
        before, shift = layers[-1]
        layers[-1] = (before * factor[:, None], (shift - mean) * factor + bias)
    if not layers:
        raise CheckpointError(f"{name!r} has no weights named {prefix}*.")
    return layers


def _build(
    parts: dict[str, list[tuple[Tensor, Tensor]]], codebooks: list[Tensor], name: str
) -> RqVae:
    encoder = parts["encoder"]
    _check_chain(encoder, parts["decoder"], codebooks, name)
    model = RqVae(
        input_dim=encoder[0][0].shape[1],
        embed_dim=encoder[-1][0].shape[0],
        hidden_dims=[len(weight) for weight, _ in encoder[:-1]],
        codebook_size=[len(codebook) for codebook in codebooks],
        n_layers=len(codebooks),
        codebook_mode=QuantizeForwardMode.STE,
        generator=torch.Generator(),
    )
    model.to(codebooks[0].dtype)
    state = model.state_dict()
    for part, layers in parts.items():
        for number, layer in enumerate(layers):
            # Activations, without weights, stand between the layers.
            state |= {
                f"{part}.mlp.{2 * number}.{kind}": value
                for kind, value in zip(("weight", "bias"), layer, strict=True)
            }
    for level, codebook in enumerate(codebooks):
        state[f"quantizer.levels.{level}.weight"] = codebook
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{name!r} doesn't fit RqVae, whose decoder mirrors the encoder: {error}"
        ) from error
    model.generator = None
    return model.eval()


def _check_chain(
    encoder: list[tuple[Tensor, Tensor]],
    decoder: list[tuple[Tensor, Tensor]],
    codebooks: list[Tensor],
    name: str,
) -> None:
    """Refuse layers that don't follow on each other, before a module of their sizes is built."""
    widths = [encoder[0][0].shape[1], *(len(weight) for weight, _ in encoder)]
    wanted = [(fan_out, fan_in) for fan_in, fan_out in pairwise(widths)]
    wanted += [(fan_in, fan_out) for fan_out, fan_in in reversed(wanted)]
    found = [tuple(weight.shape) for weight, _ in (*encoder, *decoder)]
    if wanted != found:
        raise CheckpointError(
            f"{name!r} doesn't fit RqVae, whose decoder mirrors the encoder: its layers have the "
            f"shapes {found}, but should have {wanted}."
        )
    for level, codebook in enumerate(codebooks):
        if codebook.ndim != 2 or codebook.shape[1] != widths[-1] or not len(codebook):
            raise CheckpointError(
                f"{name!r} doesn't fit RqVae: the codebook of level {level} has the shape "
                f"{tuple(codebook.shape)}, but latents have {widths[-1]} coordinates."
            )
    for values in (*(part for layer in (*encoder, *decoder) for part in layer), *codebooks):
        if not bool(values.isfinite().all()):
            raise CheckpointError(f"{name!r} has weights beyond the range of float32.")
