"""Save a fitted estimator without pickle: arrays and plain values in one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_rqvae._files._archive import open_archive, write_archive
from sklearn_rqvae._files._header import check_header, file_header, origin_of

__all__ = [
    "check_array",
    "check_attributes",
    "flat_state",
    "read_kind",
    "read_state",
    "restored_state",
    "write_state",
]

_WHAT = "a file that save wrote"
# What a state may hold beside parameters and what was fitted: what set_output sets, and parameters
# that version 0.1.0 had.
_KEPT = {"_sklearn_output_config", "compile", "data_parallel"}
# What set_fit_request, set_score_request and the like set.
_REQUESTS = "_metadata_request"
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
    write_archive(path, *flat_state(kind, state))


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
        return restored_state(archive.header, archive.read)


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


def flat_state(kind: str, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a state as a header of plain values and the arrays that it speaks of.

    Parameters
    ----------
    kind : str
        Name of the class whose state it is.
    state : dict
        As for `write_state`.

    Returns
    -------
    header : dict
        Plain values, for JSON.
    arrays : dict of str to ndarray
        Arrays of numbers.

    Raises
    ------
    TypeError
        If a value can't be saved.
    """
    arrays: dict[str, np.ndarray] = {}
    return {**file_header(kind), "state": _flatten(state, "state", arrays)}, arrays


def restored_state(header: dict[str, Any], read: Callable[[str], np.ndarray]) -> dict[str, Any]:
    """Return the state that a header and arrays of `flat_state` hold.

    Parameters
    ----------
    header : dict
        The header.
    read : callable
        Returns the array of a name.

    Returns
    -------
    state : dict
        The state.
    """
    seen: set[str] = set()

    def read_once(name: str) -> np.ndarray:
        if name in seen:  # a short header could ask for more than memory holds
            raise ValueError(f"the array {name} is used twice")
        seen.add(name)
        return read(name)

    state = _restore(header["state"], read_once)
    if not isinstance(state, dict):
        raise TypeError("its state is no dictionary")
    return state


def check_attributes(estimator: BaseEstimator, state: dict[str, Any]) -> None:
    """Refuse a state with names that no fitted estimator has, such as those of its methods.

    Call it before a state is written, too: what can't be read should not be saved.

    Parameters
    ----------
    estimator : estimator
        Of the class whose state it should be.
    state : dict
        What a file holds.

    Raises
    ------
    ValueError
        If there is such a name.
    """
    known = {*estimator.get_params(deep=False), *_KEPT}
    if _REQUESTS in state:
        raise ValueError(
            f"{type(estimator).__name__} has requests of metadata, which set_fit_request and the "
            f"like set, and which no such file holds; del estimator.{_REQUESTS} first and set them "
            "again after loading, or use joblib.dump, which keeps them"
        )
    for name in state:
        fitted = name.isidentifier() and name.endswith("_") and not name.startswith("_")
        if name not in known and (not fitted or hasattr(type(estimator), name)):
            raise ValueError(
                f"{name!r} is neither a parameter nor a fitted attribute of "
                f"{type(estimator).__name__}; delete that attribute, or keep it elsewhere"
            )


def check_array(array: Any, name: str, dtype: type, ndim: int) -> None:
    """Refuse what isn't an array of finite numbers of a dtype and a number of dimensions.

    Parameters
    ----------
    array : object
        What a file holds.
    name : str
        Its name, for messages.
    dtype : type
        Of its entries.
    ndim : int
        Number of dimensions.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is no array")
    if array.dtype != dtype or array.ndim != ndim:
        raise ValueError(
            f"{name} has {array.ndim} dimensions of {array.dtype}, but should have {ndim} of "
            f"{np.dtype(dtype)}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")


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


def _restore(value: Any, read: Callable[[str], np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_restore(item, read) for item in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return read(value["__array__"])
    if "__strings__" in value:
        return np.array(value["__strings__"], dtype=object)
    if "__tuple__" in value:
        return tuple(_restore(item, read) for item in value["__tuple__"])
    return {key: _restore(item, read) for key, item in value["__dict__"]}
