"""Arrow columns as matrices, and codes as Arrow columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._compat import import_pyarrow

__all__ = ["codes_column", "vectors_of"]


def vectors_of(column: Any, name: str, where: str, first_row: int = 0) -> NDArray[Any]:
    """Return a column of lists of numbers as a matrix.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Lists, large lists or lists of fixed size, of floats or integers.
    name : str
        The column's name, for messages.
    where : str
        The file, for messages.
    first_row : int, default=0
        Number of the column's first row in the file, for messages.

    Returns
    -------
    vectors : ndarray of shape (n_rows, n_features)
        The numbers.

    Raises
    ------
    TypeError
        If the column holds no lists of numbers.
    ValueError
        If a list or a number is missing or not finite, or the lists differ in length.
    """
    pa = import_pyarrow()
    types = pa.types
    kind = column.type
    is_list = (
        types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    ) and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))
    if not is_list:
        raise TypeError(
            f"column {name!r} of {where} holds {kind}; it should hold lists of numbers, all of one "
            "length."
        )
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()

    def refuse(row: int, what: str) -> ValueError:
        return ValueError(
            f"row {first_row + row} of {where} has {what} in column {name!r}; fill or drop such "
            "rows first."
        )

    if column.null_count:
        raise refuse(_first(column.is_null()), "no vector")
    if types.is_fixed_size_list(kind):
        length = kind.list_size
    else:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        length = int(lengths[0]) if len(lengths) else 0
        if (lengths != length).any():
            row = int(np.flatnonzero(lengths != length)[0])
            raise refuse(row, f"a vector of length {lengths[row]} instead of {length}")
    if not length:
        raise refuse(0, "an empty vector")
    values = column.flatten()
    if values.null_count:
        raise refuse(_first(values.is_null()) // length, "a vector with a missing number")
    numbers = values.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        finite = numbers.dtype.kind != "f" or bool(np.isfinite(numbers.sum(dtype=np.float64)))
    if not finite and not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0]) // length
        raise refuse(row, "a vector with NaN or infinity")
    return numbers.reshape(len(column), length)


def codes_column(codes: NDArray[np.int64]) -> Any:
    """Return codes as an Arrow column of lists."""
    pa = import_pyarrow()
    n_rows, n_layers = codes.shape
    offsets = np.arange(0, n_rows * n_layers + 1, n_layers, dtype=np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.ascontiguousarray(codes).ravel())
    )


def _first(mask: Any) -> int:
    return int(np.flatnonzero(mask.to_numpy(zero_copy_only=False))[0])
