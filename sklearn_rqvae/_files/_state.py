"""Save a fitted estimator without pickle: arrays and plain values in one file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sklearn_rqvae._files._archive import Archive, open_archive, write_archive
from sklearn_rqvae._files._header import check_header, file_header, origin_of

__all__ = ["read_kind", "read_state", "write_state"]

_WHAT = "a file that save wrote"
_HINT = (
    " Files of joblib.dump are read by joblib.load, torch checkpoints by "
    "sklearn_rqvae.nn.RqVae.load_from_checkpoint."
)


def write_state(path: str | os.PathLike, kind: str, state: dict[str, Any]) -> None:
    """Write a dictionary of plain values and arrays, nested in dictionaries and lists, to one file.

    The file appears under its name only when it is complete.

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
    header = {**file_header(kind), "state": _flatten(state, "state", arrays)}
    write_archive(path, header, arrays)


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
    with open_archive(path, _WHAT, _HINT) as archive:
        check_header(archive.header, kind, path)
        return _restore(archive.header["state"], archive)


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
    with open_archive(path, _WHAT, _HINT) as archive:
        origin = origin_of(archive.header)
        if origin is None:
            raise ValueError("it has another header")
        return origin.kind


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


def _restore(value: Any, archive: Archive) -> Any:
    if isinstance(value, list):
        return [_restore(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return archive.read(value["__array__"])
    if "__strings__" in value:
        return np.array(value["__strings__"], dtype=object)
    if "__tuple__" in value:
        return tuple(_restore(item, archive) for item in value["__tuple__"])
    return {key: _restore(item, archive) for key, item in value["__dict__"]}
