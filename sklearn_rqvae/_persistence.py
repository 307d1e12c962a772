"""Save a fitted estimator without pickle: arrays and plain values in one file."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from sklearn_rqvae._files import replace_file
from sklearn_rqvae.exceptions import CheckpointError

__all__ = ["FORMAT_VERSION", "read_kind", "read_state", "write_state"]

FORMAT_VERSION = 1
_HEADER = "header.json"


def write_state(path: str | os.PathLike, kind: str, state: dict[str, Any]) -> None:
    """Write a dictionary of plain values and arrays, nested in dictionaries and lists, to one file.

    The file is a zip archive with a JSON header and an ``.npy`` member for each array. It appears
    under its name only when it is complete.

    Parameters
    ----------
    path : str or path-like
        File to write; an old one is replaced.
    kind : str
        Name of the class whose state it is; checked when reading.
    state : dict
        Values: numbers, strings, None, lists, dictionaries with string keys, and numpy arrays of
        numbers.

    Raises
    ------
    TypeError
        If a value is none of these.
    """
    arrays: dict[str, np.ndarray] = {}
    header = {"format": FORMAT_VERSION, "kind": kind, "state": _flatten(state, "state", arrays)}
    text = json.dumps(header, allow_nan=True)
    with replace_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_HEADER, text)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_state(path: str | os.PathLike, kind: str) -> dict[str, Any]:
    """Read what `write_state` wrote; no code from the file is run.

    Parameters
    ----------
    path : str or path-like
        File to read.
    kind : str
        Name of the class whose state is expected.

    Returns
    -------
    state : dict
        The state.

    Raises
    ------
    CheckpointError
        If the file isn't such a file, is of a later format, or holds another class's state.
    """
    with _opened(path) as (header, archive):
        if header["kind"] != kind:
            raise CheckpointError(
                f"{os.fspath(path)!r} holds a {header['kind']}, not a {kind}; call "
                f"{header['kind']}.load."
            )
        return _restore(header["state"], archive)


def read_kind(path: str | os.PathLike) -> str:
    """Return the name of the class whose state is in a file that `write_state` wrote.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    kind : str
        The name.

    Raises
    ------
    CheckpointError
        If the file isn't such a file, or is of a later format.
    """
    with _opened(path) as (header, _):
        return header["kind"]


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[dict[str, Any], zipfile.ZipFile]]:
    """Yield a file's header and the file; whatever is wrong with it becomes a CheckpointError."""
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            if header["format"] > FORMAT_VERSION:
                raise CheckpointError(
                    f"{os.fspath(path)!r} has format {header['format']}, but this version reads up "
                    f"to {FORMAT_VERSION}; upgrade sklearn-rqvae."
                )
            yield header, archive
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        json.JSONDecodeError,
        UnicodeDecodeError,
    ) as error:
        raise CheckpointError(
            f"{os.fspath(path)!r} is not a file that save wrote, or it is damaged ({error}). Files "
            "of joblib.dump are read by joblib.load, torch checkpoints by "
            "sklearn_rqvae.nn.RqVae.load_from_checkpoint."
        ) from error


def _flatten(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Put placeholders where arrays are; collect the arrays."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            if not all(isinstance(item, str) for item in value.ravel()):
                raise TypeError(
                    f"{name} is an array of objects; only arrays of numbers and strings are saved."
                )
            return {"__strings__": value.tolist()}
        arrays[name] = value
        return {"__array__": name}
    if isinstance(value, dict):
        return {
            "__dict__": [
                [key, _flatten(item, f"{name}.{key}", arrays)] for key, item in value.items()
            ]
        }
    if isinstance(value, list | tuple):
        items = [_flatten(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {"__tuple__": items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{name} is of type {type(value).__name__}, which is not saved: only numbers, strings, "
        "None, lists, dictionaries and arrays are. Set that parameter to a plain value, or use "
        "joblib.dump."
    )


def _restore(value: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(value, list):
        return [_restore(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        with archive.open(f"{value['__array__']}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    if "__strings__" in value:
        return np.array(value["__strings__"], dtype=object)
    if "__tuple__" in value:
        return tuple(_restore(item, archive) for item in value["__tuple__"])
    return {key: _restore(item, archive) for key, item in value["__dict__"]}
