"""A name for content: equal for equal content, on every machine and in every process."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Any

import numpy as np

__all__ = ["content_hash"]


def content_hash(value: Any) -> str:
    """Return the SHA-256 of plain values and arrays, whatever holds them in memory.

    Parameters
    ----------
    value : object
        Numbers, strings, None, arrays of numbers or strings, classes and members of enumerations
        (by their names), and lists, tuples and dictionaries of them.

    Returns
    -------
    digest : str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        If a value is none of these.

    Examples
    --------
    >>> from sklearn_rqvae._files._fingerprint import content_hash
    >>> content_hash({"a": 1, "b": [2.0]}) == content_hash({"b": (2.0,), "a": 1})
    True
    """
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    """Add a value with its kind and its length, so that no two values run together."""
    if isinstance(value, np.ndarray):
        _add_array(digest, value)
    elif isinstance(value, dict):
        digest.update(b"dict %d\n" % len(value))
        for key in sorted(value):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(b"list %d\n" % len(value))
        for item in value:
            _add(digest, item)
    elif isinstance(value, Enum):
        _add(digest, value.name)
    elif isinstance(value, type):
        _add(digest, f"{value.__module__}.{value.__qualname__}")
    elif isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        digest.update(b"str %d\n" % len(text))
        digest.update(text)
    elif value is None or isinstance(value, bool | int | float | np.generic):
        plain = value.item() if isinstance(value, np.generic) else value
        digest.update(f"{type(plain).__name__} {plain!r}\n".encode())
    else:
        raise TypeError(f"{value!r} of type {type(value).__name__} has no content to be hashed.")


def _add_array(digest: Any, array: np.ndarray) -> None:
    if array.dtype.kind in "OTU":
        _add(digest, list(array.shape))
        _add(digest, array.ravel().tolist())
        return
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    digest.update(f"array {array.dtype.str} {array.shape}\n".encode())
    digest.update(array.reshape(-1).view(np.uint8))
