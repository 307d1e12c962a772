"""Columns of vectors as matrices, whatever holds them: Arrow, lists, text; and back to Arrow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._rows._source import RowSource

__all__ = [
    "batch_vectors",
    "check_finite",
    "list_column",
    "matrix_of",
    "vector_columns",
    "vectors_of",
]


def vector_columns(names: Sequence[str], column: str, where: object) -> list[str]:
    """Return the columns that hold vectors: the one of that name, or ``<column>_0``, ….

    Parameters
    ----------
    names : sequence of str
        The columns that there are.
    column : str
        The name asked for.
    where : object
        The file, for messages.

    Returns
    -------
    columns : list of str
        One column of lists, or one column of numbers for each entry of a vector.

    Raises
    ------
    ValueError
        If there are no such columns, or one of the numbered ones is missing.
    """
    if column in names:
        return [column]
    ends = [name.removeprefix(f"{column}_") for name in names if name.startswith(f"{column}_")]
    n_columns = sum(end.isdigit() for end in ends)
    numbered = [f"{column}_{number}" for number in range(n_columns)]
    if f"{column}_0" not in names:
        raise ValueError(
            f"{where} has no column {column!r} or {column + '_0'!r}; it has "
            f"{', '.join(map(repr, names))}."
        )
    for name in numbered:
        if name not in names:
            raise ValueError(f"{where} has {n_columns} columns {column}_0, ..., but no {name!r}.")
    return numbered


def batch_vectors(batch: Any, column: str, where: str, first_row: int = 0) -> NDArray[Any]:
    """Return the vectors of an Arrow batch or table as a matrix.

    Parameters
    ----------
    batch : pyarrow.RecordBatch or pyarrow.Table
        The rows.
    column : str
        Name of a column of lists, or of the columns ``<column>_0``, ….
    where : str
        The file, for messages.
    first_row : int, default=0
        Number of the batch's first row in the file, for messages.

    Returns
    -------
    vectors : ndarray of shape (n_rows, n_features)
        The numbers.

    Raises
    ------
    TypeError
        If the column holds no lists of numbers.
    ValueError
        If there is no such column; if a list or a number is missing or not finite, or the lists
        differ in length.
    """
    names = vector_columns(batch.schema.names, column, where)
    if names == [column]:
        return vectors_of(batch.column(column), column, where, first_row)
    return np.stack(
        [_numbers(batch.column(name), name, where, first_row) for name in names], axis=1
    )


def _numbers(column: Any, name: str, where: str, first_row: int) -> NDArray[Any]:
    """Return a column of numbers, none of them missing."""
    types = import_pyarrow().types
    if not (types.is_floating(column.type) or types.is_integer(column.type)):
        raise TypeError(f"column {name!r} of {where} holds {column.type}; it should hold numbers.")
    numbers = column.to_numpy(zero_copy_only=False) if column.null_count == 0 else None
    if numbers is None or not np.isfinite(numbers).all():
        bad = _first(column.is_null()) if numbers is None else int(np.argmin(np.isfinite(numbers)))
        raise ValueError(
            f"row {first_row + bad} of {where} has no finite number in column {name!r}; fill or "
            "drop such rows first."
        )
    return numbers


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
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column.type, pa.BaseExtensionType):  # tensors of one shape
        column = column.storage
    kind = column.type
    is_list = (
        types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    ) and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))
    if not is_list:
        raise TypeError(
            f"column {name!r} of {where} holds {kind}; it should hold lists of numbers, all of one "
            "length."
        )

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


def list_column(matrix: NDArray[Any]) -> Any:
    """Return a matrix as an Arrow column of lists."""
    pa = import_pyarrow()
    n_rows, n_columns = matrix.shape
    large = matrix.size >= 2**31
    lists, integer = (pa.LargeListArray, np.int64) if large else (pa.ListArray, np.int32)
    offsets = np.arange(0, n_rows * n_columns + 1, n_columns, dtype=integer)
    return lists.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(matrix).ravel()))


def matrix_of(table: Mapping[str, Any], column: str, path: object) -> NDArray[Any]:
    """Return a column of lists, or the columns ``<column>_0``, …, as rows of finite numbers.

    Parameters
    ----------
    table : mapping of str to list or pyarrow.ChunkedArray
        Columns by name; in text files lists are JSON.
    column : str
        The name.
    path : object
        The file, for messages.

    Returns
    -------
    matrix : ndarray of shape (n_rows, n_columns)
        The numbers.

    Raises
    ------
    TypeError, ValueError
        If the column isn't there, or doesn't hold finite numbers in lists of one length.
    """
    names = vector_columns(list(table), column, path)
    if not any(isinstance(table[name], list) for name in names):
        pa = import_pyarrow()
        return batch_vectors(pa.table({name: table[name] for name in names}), column, str(path))
    values = [table[name] for name in names]
    parts = [
        _parsed(value if isinstance(value, list) else value.to_pylist(), name, path)
        for name, value in zip(names, values, strict=True)
    ]
    if names == [column]:
        rows = parts[0]
    else:
        rows = [list(row) for row in zip(*parts, strict=True)]
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not row or len(row) != len(rows[0]):
            raise ValueError(
                f"column {column!r} of {path} should hold lists of numbers of one length, but row "
                f"{number} (from 0) holds {_short(row)}."
            )

    def place(entry: int) -> str:
        if names == [column]:
            return f"entry {entry} of column {column!r}"
        return f"column {names[entry]!r}"

    matrix = _as_numbers(rows, path, place)
    check_finite(matrix, path, place)
    return matrix


def _as_numbers(rows: list[list[Any]], path: object, place: Callable[[int], str]) -> NDArray[Any]:
    """Return lists of one length as an array; what is no number in them is an error."""
    try:
        matrix = np.array(rows)
    except ValueError:  # lists in lists
        matrix = np.array(None)
    has_flags = any(bool in map(type, row) for row in rows)  # numpy takes true for 1
    if matrix.ndim == 2 and matrix.dtype.kind in "fiu" and not has_flags:
        return matrix
    for number, row in enumerate(rows):
        for entry, value in enumerate(row):
            number_like = isinstance(value, int | float) and not isinstance(value, bool)
            if not number_like or abs(value) > sys.float_info.max:
                raise _refusal(number, path, _short(value), place(entry))
    return np.array(rows, dtype=np.float64)  # integers of more than 64 bits


def check_finite(matrix: NDArray[Any], path: object, place: Callable[[int], str]) -> None:
    """Refuse NaN, infinity and what float32 can't hold."""
    if matrix.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        for rows, block in RowSource(matrix).blocks():
            finite = np.isfinite(block)
            if not finite.all():
                row, entry = np.argwhere(~finite)[0].tolist()
                row += rows.start
                raise _refusal(row, path, str(matrix[row, entry]), place(entry))


def _refusal(row: int, path: object, value: str, place: str) -> ValueError:
    return ValueError(
        f"row {row} (from 0) of {path} has {value} in {place}, which is no finite number of "
        "float32; fill or drop such rows first."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _parsed(values: Sequence[Any], column: str, path: object) -> list[Any]:
    """Return a column's lists or numbers: text files hold them as JSON."""
    parsed = []
    for number, value in enumerate(values):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise ValueError(
                    f"column {column!r} of {path} should hold numbers, but holds {_short(value)} "
                    f"in row {number} (from 0)."
                ) from error
        parsed.append(value)
    return parsed


def _first(mask: Any) -> int:
    return int(np.flatnonzero(mask.to_numpy(zero_copy_only=False))[0])
