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
    "check_squares",
    "relative_weight",
]


# The square of a ten-thousandth of it is the smallest number that float32 holds in full precision.
_SMALLEST = 1e-15


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


def check_squares(rows: NDArray[np.float32]) -> None:
    """Check that squares of the numbers, and their sum, neither over- nor underflow in float32.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Finite rows, at least one.

    Raises
    ------
    ValueError
        If they may; errors and variances would be infinite or zero, and all codes equal.
    """
    largest = max(float(rows.max()), -float(rows.min()))
    limit = float(np.sqrt(np.finfo(np.float32).max / rows.size))
    if largest > limit:
        raise ValueError(
            f"X has a value of size {largest:.1e}, but with {rows.size} values in X squares "
            f"overflow above {limit:.1e}; divide X by a constant first."
        )
    if 0 < largest < _SMALLEST:
        raise ValueError(
            f"X has no value larger than {largest:.1e}, but squares of what codes leave of values "
            f"below {_SMALLEST:.0e} underflow; multiply X by a constant first."
        )


def relative_weight(weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale positive weights to a mean of one.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        Positive weights.

    Returns
    -------
    weight : ndarray of shape (n_samples,), dtype=float32
        Positive weights.

    Raises
    ------
    ValueError
        If float32 can't hold them.
    """
    with np.errstate(over="ignore", under="ignore"):
        relative = (weight / weight.mean()).astype(np.float32)
    if not np.isfinite(relative.sum()) or not relative.min() > 0:
        raise ValueError(
            f"sample_weight ranges from {weight.min():.1e} to {weight.max():.1e}, of which float32 "
            "can't hold the sum or the smallest share; divide by a constant, or set weights that "
            "don't matter to zero."
        )
    return relative


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
