"""Checks of rows, codes and codebook sizes, shared by the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "as_array",
    "check_codebook_size",
    "check_codes",
]


def as_array(X: Any) -> Any:
    """Return a torch tensor's values as a numpy array, and anything else as it is."""
    if hasattr(X, "detach") and hasattr(X, "cpu"):
        X = X.detach().cpu()
        return X.float().numpy() if X.is_floating_point() else X.numpy()
    return X


def check_codebook_size(codebook_size: int | Sequence[int], n_layers: int) -> list[int]:
    """Return the number of codewords of each level.

    Parameters
    ----------
    codebook_size : int or sequence of int
        Number of codewords, at all levels or at each.
    n_layers : int
        Number of levels.

    Returns
    -------
    sizes : list of int of length n_layers
        Number of codewords at each level.

    Raises
    ------
    ValueError
        If a size isn't a positive integer or the number of sizes isn't `n_layers`.
    """
    if isinstance(codebook_size, Integral):
        sizes = [codebook_size] * n_layers
    else:
        sizes = list(codebook_size)  # type: ignore[arg-type]
    if len(sizes) != n_layers:
        raise ValueError(
            f"codebook_size={codebook_size!r} has {len(sizes)} entries but n_layers={n_layers}; "
            "give one integer for all levels, or one for each level."
        )
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"codebook_size={codebook_size!r} has the entry {size!r}; "
                "every level needs a positive integer number of codewords."
            )
    return [int(size) for size in sizes]


def check_codes(codes: Any, codebook_sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return codes as integers after checking their shape and range.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Codes of the first ``n_levels >= 1`` levels; floats are accepted where they are whole
        numbers, since data frames turn integers into floats.
    codebook_sizes : sequence of int
        Number of codewords at each level of the model.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_levels), dtype=int64
        The codes.

    Raises
    ------
    ValueError
        If `codes` is not 2-dimensional, empty, has too many columns, or holds a value that isn't a
        code.
    """
    array = np.asarray(as_array(codes))
    if array.ndim != 2:
        raise ValueError(
            f"codes should be 2-dimensional, (n_samples, n_levels), but have shape {array.shape}; "
            "reshape a single semantic ID with codes.reshape(1, -1)."
        )
    n_samples, n_levels = array.shape
    if n_samples == 0:
        raise ValueError("codes have 0 samples, but a minimum of 1 is required.")
    if not 1 <= n_levels <= len(codebook_sizes):
        raise ValueError(
            f"codes have {n_levels} columns, but the model has {len(codebook_sizes)} levels; "
            f"give the codes of the first 1 to {len(codebook_sizes)} levels."
        )
    if array.dtype.kind not in "iu":
        try:
            numbers = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"codes should be integers, got dtype {array.dtype}.") from error
        whole = np.isfinite(numbers) & (numbers == np.floor(numbers))
        if not whole.all():
            raise ValueError(
                f"codes should be whole numbers, got {numbers[~whole][0]}; pass what transform "
                "returned."
            )
        array = numbers
    for level, size in enumerate(codebook_sizes[:n_levels]):
        column = array[:, level]
        if column.min() < 0 or column.max() >= size:
            bad = column[(column < 0) | (column >= size)][0]
            raise ValueError(
                f"codes at level {level} should be in [0, {size}), got {bad}; pass what transform "
                "of this "
                "model returned (semantic IDs with a suffix: drop the suffix column first)."
            )
    return array.astype(np.int64)
