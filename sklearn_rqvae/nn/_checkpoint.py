"""Save a module as tensors and plain values, and refuse to load anything else."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sklearn_rqvae._files._archive import DAMAGE
from sklearn_rqvae._files._header import check_header, file_header, origin_of
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.exceptions import CheckpointError

__all__ = ["check_state", "load_plain", "read_checkpoint", "write_checkpoint"]

KIND = "RqVae"


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
    return config, state


def check_state(config: dict[str, Any], state: Mapping[str, Any]) -> None:
    """Compare sizes in constructor arguments with weights, before anything of such a size is built.

    Parameters
    ----------
    config : dict
        Constructor arguments of `RqVae`.
    state : mapping of str to Tensor or ndarray
        Parameters and buffers.

    Raises
    ------
    ValueError
        If they differ.
    KeyError
        If one is missing.
    """
    widths = [config["input_dim"], config["embed_dim"]]
    stored = [state["mean"].shape[0], state["quantizer.levels.0.weight"].shape[1]]
    if config["hidden_dims"] is not None:
        hidden = list(config["hidden_dims"])
        layers = range(0, 2 * len(hidden) + 2, 2)
        widths += [*hidden, config["embed_dim"]]
        stored += [state[f"encoder.mlp.{layer}.bias"].shape[0] for layer in layers]
    sizes = config["codebook_size"]
    widths += sizes
    stored += [state[f"quantizer.levels.{i}.weight"].shape[0] for i in range(len(sizes))]
    if widths != stored:
        raise ValueError(f"layers and codebooks of {widths} have weights of {stored}")
