"""A fitted estimator as a folder of the Hugging Face Hub's layout, here or there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_rqvae._files._archive import damage_as_checkpoint_error
from sklearn_rqvae._files._header import check_header
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._state import flat_state, restored_state

__all__ = ["find_folder", "read_folder", "write_folder"]

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def write_folder(
    folder: str | os.PathLike[str], kind: str, state: dict[str, Any], card: str
) -> None:
    """Write a state as a folder: config.json, model.safetensors and README.md.

    All three are written beside their places and then take them one after the other. A README.md
    that is there stays.

    Parameters
    ----------
    folder : str or path-like
        Folder to write to; it is created.
    kind : str
        Name of the class whose state it is.
    state : dict
        Plain values and arrays of numbers.
    card : str
        Text of the README.md.

    Raises
    ------
    ImportError
        If safetensors isn't installed.
    TypeError
        If a value can't be saved.
    """
    save = _safetensors().save
    header, arrays = flat_state(kind, state)
    weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    # Weights in this layout have no checksums.
    header["sha256"] = {WEIGHTS: hashlib.sha256(weights).hexdigest()}
    config = json.dumps(header, indent=1, ensure_ascii=False) + "\n"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / CONFIG) as config_file, replace_file(folder / WEIGHTS) as file:
        file.write(weights)
        config_file.write(config.encode())
    if not (folder / CARD).exists():
        with replace_file(folder / CARD) as file:
            file.write(card.encode())


def read_folder(folder: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what `write_folder` wrote; no code in the files is run.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    kind : str
        Name of the class whose state is expected.

    Returns
    -------
    state : dict
        The state.

    Raises
    ------
    CheckpointError
        If it isn't such a folder, is damaged, of a later format, or holds another class's state.
    ImportError
        If safetensors isn't installed.
    """
    load = _safetensors().load
    folder = Path(folder)
    text, weights = (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
    with damage_as_checkpoint_error(folder, "a folder that save_pretrained wrote"):
        header = json.loads(text)
        check_header(header, kind, folder)
        if hashlib.sha256(weights).hexdigest() != header["sha256"][WEIGHTS]:
            raise ValueError(f"{WEIGHTS} isn't the one that {CONFIG} was written with")
        return restored_state(header, _writable(load(weights)).__getitem__)


def find_folder(name: str | os.PathLike[str], revision: str | None) -> Path:
    """Return a folder on this machine: the one of that name, or one that the Hub sends.

    Parameters
    ----------
    name : str or path-like
        A folder, or else the id of a repository on the Hub, as in "user/model".
    revision : str or None
        Branch, tag or commit of the repository.

    Returns
    -------
    folder : Path
        Where the files are.

    Raises
    ------
    FileNotFoundError
        If it is neither a folder nor what could be the id of a repository.
    ImportError
        If huggingface_hub isn't installed.
    """
    text = os.fspath(name)
    if text and Path(text).is_dir():
        return Path(text)
    parts = text.split("/")
    if not isinstance(name, str) or len(parts) != 2 or not all(parts) or parts[0] in (".", ".."):
        raise FileNotFoundError(
            f"{text!r} is neither a folder nor the id of a repository such as 'user/model'; give "
            "the folder that save_pretrained wrote."
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{text!r} is no folder here, and reading it from the Hub needs huggingface_hub: "
            "pip install 'sklearn-rqvae[hub]'",
            name="huggingface_hub",
        ) from error
    return Path(snapshot_download(text, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))


def _writable(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays that may be written to, as those of a fit."""
    return {name: np.array(array) for name, array in arrays.items()}


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save_pretrained and from_pretrained need safetensors: "
            "pip install 'sklearn-rqvae[hub]'",
            name="safetensors",
        ) from error
    return safetensors.numpy
