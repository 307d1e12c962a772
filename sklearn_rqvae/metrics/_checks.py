"""Checks of codes, vectors and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from sklearn_rqvae._validation import as_array, check_codebook_size, check_codes
from sklearn_rqvae.embedding._texts import is_missing


def check_codes_and_size(
    codes: ArrayLike, codebook_size: int | Sequence[int]
) -> tuple[NDArray[Any], list[int]]:
    """Return checked codes and the size of each level, which its codes lie below."""
    array = check_codes(codes)
    sizes = check_codebook_size(codebook_size, array.shape[1])
    return check_codes(array, sizes), sizes


def check_vectors(X: ArrayLike, name: str = "X") -> NDArray[Any]:
    """Return finite numbers of shape (n_samples, n_features), uncopied where they are."""
    return check_array(as_array(X), dtype="numeric", input_name=name)


def check_pair(X: ArrayLike, reconstruction: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vectors and their reconstruction, which have one shape."""
    X = check_vectors(X, "X")
    reconstruction = check_vectors(reconstruction, "reconstruction")
    if X.shape != reconstruction.shape:
        raise ValueError(
            f"X has shape {X.shape} but reconstruction has {reconstruction.shape}; "
            "give one reconstructed row for each row of X, in the same order."
        )
    return X, reconstruction


def check_same_length(first_name: str, first: Any, second_name: str, second: Any) -> None:
    """Raise unless both arrays have one entry per sample."""
    if len(first) != len(second):
        raise ValueError(
            f"{first_name} has {len(first)} samples but {second_name} has {len(second)}; "
            "give one entry for each sample, in the same order."
        )


def check_labels(labels: ArrayLike, codes: NDArray[Any]) -> NDArray[np.intp]:
    """Return labels as integers from 0, one for each sample."""
    values = as_array(labels)
    if isinstance(values, (list, tuple)):
        # As one array, numpy would turn [1, "1"] into ["1", "1"], and ["a", "a\0"] into ["a", "a"].
        values = np.fromiter(values, dtype=object, count=len(values))
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"labels should be 1-dimensional, (n_samples,), got shape {array.shape}.")
    check_same_length("codes", codes, "labels", array)
    no_label = np.isnan(array).any() if array.dtype.kind == "f" else False
    if array.dtype.kind == "O":
        no_label = any(map(is_missing, array))
    if no_label:
        raise ValueError(
            "labels should not hold None or NaN; "
            "drop the samples without a label from codes and labels, or give them one of their own."
        )
    if array.dtype.kind != "O":
        return np.unique(array, return_inverse=True)[1]
    numbers: dict[Any, int] = {}
    try:
        found = [numbers.setdefault(label, len(numbers)) for label in array.tolist()]
    except TypeError as error:
        raise ValueError(
            f"labels should be 1-dimensional, (n_samples,), of numbers or strings ({error})."
        ) from error
    return np.array(found, dtype=np.intp)


def check_count(name: str, value: Any, low: int, high: int, reason: str) -> int:
    """Return an integer in ``[low, high]``, or raise with the reason for that range."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} should be an integer, got {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} should be in [{low}, {high}]: {reason}.")
    return int(value)


def in_safe_units(X: NDArray[Any]) -> NDArray[Any]:
    """Scale vectors by a power of two where their squares would over- or underflow.

    Neighbors are the same in all units.
    """
    if X.dtype.kind != "f":
        return X
    largest = float(max(X.max(), -X.min()))
    limits = np.finfo(np.float64 if X.dtype.itemsize > 4 else np.float32)
    if limits.tiny**0.25 < largest < limits.max**0.25 or largest == 0:
        return X
    return np.ldexp(X, -int(np.frexp(largest)[1]))
