"""Codes as columns of whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array

__all__ = ["check_columns"]


def check_columns(codes: Any, n_levels: int | None = None) -> list[NDArray[Any]]:
    """Return the columns of codes after checking that they're whole and not negative.

    Parameters
    ----------
    codes : array-like of int of shape (n_items, n_levels)
        Codes; floats are accepted where they are whole numbers, since data frames turn integers
        into floats.
    n_levels : int, optional
        Number of columns to expect.

    Returns
    -------
    columns : list of ndarray of int of shape (n_items,)
        One array per level.

    Raises
    ------
    ValueError
        If `codes` isn't 2-dimensional, is empty, or holds anything but whole numbers from 0.
    """
    array = np.asarray(as_array(codes))
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"codes should have the shape (n_items, n_levels) with at least one of each, got "
            f"{array.shape}."
        )
    if n_levels is not None and array.shape[1] != n_levels:
        raise ValueError(
            f"codes have {array.shape[1]} columns, but the index has {n_levels} levels; give "
            "codes without suffix, of "
            "the same model."
        )
    if array.dtype.kind not in "iu":
        try:
            numbers = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"codes should be integers, got dtype {array.dtype}.") from error
        # Beyond 2**53 a float no longer tells neighboring integers apart.
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
        if not whole.all():
            raise ValueError(f"codes should be whole numbers, got {numbers[~whole][0]!r}.")
        array = numbers.astype(np.int64)
    columns = list(array.T)
    for level, column in enumerate(columns):
        if column.min() < 0:
            raise ValueError(f"codes at level {level} should not be negative, got {column.min()}.")
    return columns
