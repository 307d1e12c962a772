"""Save a module as tensors and plain values, and refuse to load anything else."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from inspect import signature
from itertools import pairwise
from math import prod
from typing import IO, Any

import torch
from torch import Tensor, nn

from sklearn_rqvae._files._archive import DAMAGE, damage_as_checkpoint_error
from sklearn_rqvae._files._header import check_header, file_header, origin_of
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn._config import plain_config
from sklearn_rqvae.quantize._pairs import PairKeys

__all__ = ["check_state", "check_tensors", "load_plain", "read_checkpoint", "write_checkpoint"]

KIND = "RqVae"
_CODEWORDS = re.compile(r"quantizer\.levels\.\d+\.weight")

# Numbers that parts may have of which a file holds no weights: 64 MiB.
_MOST_UNSEEN = 1 << 24


def write_checkpoint(
    path: str | os.PathLike, config: dict[str, Any], state: dict[str, Tensor]
) -> None:
    """Write constructor arguments and weights to a file, which appears whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file.
    config : dict
        Constructor arguments: numbers, strings, None, and lists of them.
    state : dict of str to Tensor
        Parameters and buffers.
    """
    checkpoint = {
        **file_header(KIND),
        "config": config,
        "state": {name: tensor.detach().cpu().clone() for name, tensor in state.items()},
    }
    with replace_file(path) as file:
        torch.save(checkpoint, file)


def load_plain(path: str | os.PathLike, way_out: str) -> Any:
    """Load a file of `torch.save` to the CPU; no code in the file is run.

    The checksums in the file, which torch doesn't look at, are compared with its content; files as
    torch wrote them before it wrote zip archives have none.

    Parameters
    ----------
    path : str or path-like
        The file.
    way_out : str
        What to do about a file that holds other objects, for the message.

    Returns
    -------
    content : object
        Tensors and plain values.

    Raises
    ------
    CheckpointError
        If the file holds anything else, or is damaged.
    """
    with open(path, "rb") as file:  # that it can't be opened is no damage
        try:
            _check_members(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # Its message is left out: it advises to run what the file holds.
            raise CheckpointError(
                f"{os.fspath(path)!r} holds more than tensors and plain values, or isn't a file of "
                f"torch.save; nothing else is loaded. {way_out}"
            ) from error
        # The last two come from reading files as torch wrote them before it wrote zip archives.
        except (*DAMAGE, struct.error, AssertionError) as error:
            raise CheckpointError(
                f"{os.fspath(path)!r} can't be read as tensors and plain values: it isn't a file "
                f"of torch.save, or it is cut or damaged ({error})."
            ) from error


def _check_members(file: IO[bytes]) -> None:
    """Compare what an archive holds with its checksums, and go back to the start of the file."""
    if file.read(2) == b"PK":
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:  # it may unpack to any size
                    raise ValueError(f"{member.filename} is compressed")
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} differs from its checksum")
    file.seek(0)


def check_tensors(tensors: Mapping[str, Tensor], n_bytes: int) -> None:
    """Refuse tensors that are larger than their file, or that no module could work with.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        What a file holds, by name.
    n_bytes : int
        Size of the file.

    Raises
    ------
    ValueError
        If there are such tensors.
    """
    total = 0
    for name, tensor in tensors.items():
        if (
            type(tensor) not in (Tensor, nn.Parameter)
            or tensor.layout is not torch.strided
            or tensor.device.type != "cpu"
            or tensor.is_quantized
        ):
            raise ValueError(f"{name} is no plain tensor of numbers")
        size = tensor.numel() * tensor.element_size()
        total += size
        if size > tensor.untyped_storage().nbytes() or total > n_bytes:
            shape = tuple(tensor.shape)
            raise ValueError(f"{name} has the shape {shape}, more numbers than the file holds")
        if tensor.dtype.is_complex:
            raise ValueError(f"{name} holds complex numbers")
        if tensor.dtype.is_floating_point and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinity")


def read_checkpoint(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read constructor arguments and weights; no code in the file is run.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    config : dict
        Constructor arguments.
    state : dict of str to Tensor
        Parameters and buffers.

    Raises
    ------
    CheckpointError
        If the file holds anything but tensors and plain values, isn't one of ours, or has a newer
        format.
    """
    checkpoint = load_plain(path, "Load a file that save_checkpoint wrote.")
    if origin_of(checkpoint) is None:
        raise CheckpointError(
            f"{os.fspath(path)!r} isn't a saved RqVae; load a file that save_checkpoint wrote, "
            "and weights from elsewhere with load_state_dict."
        )
    check_header(checkpoint, KIND, path)
    config, state = checkpoint.get("config"), checkpoint.get("state")
    if not isinstance(config, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{os.fspath(path)!r} lacks its configuration or its weights.")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{os.fspath(path)!r} has the entry {name!r} of type {type(tensor).__name__} among "
                "its weights; all should be tensors."
            )
    with damage_as_checkpoint_error(path, "a saved RqVae"):
        check_tensors(state, os.path.getsize(path))
    return config, state


def check_state(
    config: dict[str, Any], state: Mapping[str, Any], module: type | None = None
) -> None:
    """Compare sizes in constructor arguments with weights, before anything of such a size is built.

    The decoder mirrors the encoder and needs no look. A subclass may have put parts of its own in
    the place of ours: sizes that no weights tell of then have to be moderate.

    Parameters
    ----------
    config : dict
        Constructor arguments of `RqVae`; those that are missing have its defaults.
    state : mapping of str to Tensor or ndarray
        Parameters and buffers.
    module : type, optional
        Subclass of `RqVae` that they are for.

    Raises
    ------
    ValueError
        If they differ, or weights have values that no module has.
    TypeError
        If an argument isn't one of the constructor's.
    """
    config = _whole_config(config, state, module)
    shapes = _shapes(config)
    missing = [name for name in shapes if name not in state]
    if missing and module is None:
        raise ValueError(f"Missing key {missing[0]} among the weights")
    if sum(prod(shapes[name]) for name in missing) > _MOST_UNSEEN:
        raise ValueError(f"weights of {missing[0]} are missing, and would be large")
    for name, shape in shapes.items():
        if name in state and tuple(state[name].shape) != shape:
            raise ValueError(
                f"size mismatch: {name} has the shape {tuple(state[name].shape)}, but should have "
                f"{shape}"
            )
    scales = ["scale", "quantizer.temperature"]
    scales += [f"quantizer.levels.{level}.radius" for level in range(config["n_layers"])]
    for name in scales:
        if name in state and not bool((state[name] > 0).all()):
            raise ValueError(f"{name} should be positive")
    keys = state.get("decoder.interactions.keys")
    if keys is not None and config["interactions"] is not None:
        _check_keys(keys, PairKeys(config["codebook_size"]).starts[-1])


def _whole_config(
    config: dict[str, Any], state: Mapping[str, Any], module: type | None
) -> dict[str, Any]:
    """Return all constructor arguments of `RqVae`, checked."""
    known = {
        name: parameter.default for name, parameter in signature(plain_config).parameters.items()
    }
    unknown = [str(name) for name in config if name not in known]
    if module is None and unknown:
        raise TypeError(f"there is no argument {', '.join(sorted(unknown))}")
    config = {name: config.get(name, default) for name, default in known.items()}
    n_levels = sum(re.fullmatch(_CODEWORDS, name) is not None for name in state)
    if config["n_layers"] != n_levels:
        raise ValueError(
            f"Missing key among the weights, or one too many: n_layers={config['n_layers']!r}, but "
            f"there are codewords of {n_levels} levels"
        )
    return plain_config(**config)


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters and buffers that everything else mirrors."""
    n_features, n_latent = config["input_dim"], config["embed_dim"]
    shapes: dict[str, tuple[int, ...]] = {"mean": (n_features,), "scale": (n_features,)}
    if config["hidden_dims"] is not None:
        widths = [n_features, *config["hidden_dims"], n_latent]
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            shapes[f"encoder.mlp.{2 * layer}.weight"] = (fan_out, fan_in)
            shapes[f"encoder.mlp.{2 * layer}.bias"] = (fan_out,)
    if config["linear_path"]:
        shapes["encoder.components"] = (n_latent, n_features)
    for level, size in enumerate(config["codebook_size"]):
        shapes[f"quantizer.levels.{level}.weight"] = (size, n_latent)
        if config["codebook_sim_vq"]:
            shapes[f"quantizer.levels.{level}.projection"] = (n_latent, n_latent)
    if config["interactions"] is not None:
        n_pairs, dim = config["interactions"]["n_pairs"], config["interactions"]["dim"]
        shapes["decoder.interactions.keys"] = (n_pairs,)
        shapes["decoder.interactions.vectors"] = (1 + n_pairs, dim)
    return shapes


def _check_keys(keys: Any, n_pairs: int) -> None:
    """Refuse numbers of pairs that are none, or out of order."""
    keys = torch.as_tensor(keys)
    if keys.dtype != torch.int64:
        raise ValueError(f"pairs of codes are numbered in {keys.dtype}, not in int64")
    if len(keys) and (
        bool((keys[1:] <= keys[:-1]).any()) or int(keys[0]) < 0 or int(keys[-1]) >= n_pairs
    ):
        raise ValueError(f"pairs of codes should have rising numbers in [0, {n_pairs})")
