"""Checks of rows, codes and codebook sizes, shared by the estimators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

__all__ = [
    "as_array",
    "as_codes",
    "check_codebook_size",
    "check_codes",
    "column_names",
]

# How types are named that hold no real numbers, by numpy, pandas, polars and Arrow.
_NO_NUMBERS = re.compile(
    r"complex|date|time|duration|period|interval|month_day|\[\(|\(numpy\.record", re.IGNORECASE
)


def as_array(X: Any) -> Any:
    """Return values in numpy's form where numpy wouldn't find it, and anything else as it is.

    Parameters
    ----------
    X : object
        A torch tensor; a column of vectors, as a series, an Arrow array or a frame without another
        column holds them; or anything else.

    Returns
    -------
    X : ndarray, or the object itself
        The values.

    Raises
    ------
    ValueError
        If entries are masked, or are dates, durations, records or complex numbers: no function of
        ours has a meaning for them. If the vectors of a column differ in length, one is missing, or
        there are other columns.
    TypeError
        If it's a lazy frame.
    """
    if type(X) is np.ndarray and X.dtype.kind in "fiub":
        return X
    if hasattr(X, "detach") and hasattr(X, "cpu"):
        X = X.detach().cpu()
        narrow = X.is_floating_point() and X.element_size() < 4  # numpy has no bfloat16
        return X.float().numpy() if narrow else X.numpy()
    if isinstance(X, np.ma.MaskedArray):
        n_masked = int(np.ma.count_masked(X))
        if n_masked:
            raise ValueError(
                f"the array has {n_masked} masked entries, which stand for no numbers; drop their "
                "rows, or fill them first: X.filled(0), SimpleImputer."
            )
        return X.filled()
    _check_collected(X)
    found = ", ".join(sorted(filter(_NO_NUMBERS.match, map(_type_name, _dtypes_of(X)))))
    if found:
        complex_numbers = "Complex data not supported: " if "complex" in found else ""
        raise ValueError(
            f"{complex_numbers}values are of type {found}, but should be real numbers; turn dates "
            "into numbers by X.astype('int64'), complex numbers into two columns, X.real and "
            "X.imag, and records by numpy.lib.recfunctions.structured_to_unstructured."
        )
    return _without_column(X)


def _without_column(X: Any) -> Any:
    """Return a column of vectors as a matrix, and anything else as it is."""
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype != object):
        return X
    if type(X).__module__.startswith("pyarrow"):
        return _arrow_vectors(X)
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return _frame_vectors(X)
    if isinstance(X, np.ndarray) or (hasattr(X, "to_numpy") and hasattr(X, "dtype")):
        return _stacked(X if isinstance(X, np.ndarray) else X.to_numpy(), X)
    return X


def column_names(table: Any) -> list[Any]:
    """Return the names of a table's columns, of a frame, a mapping or an Arrow table.

    Parameters
    ----------
    table : object
        The table. One of Arrow keeps columns under the name under which others keep their names.

    Returns
    -------
    names : list
        The names.

    Raises
    ------
    TypeError
        If it's a lazy frame.
    """
    _check_collected(table)
    return list(getattr(table, "column_names", getattr(table, "columns", table)))


def _check_collected(X: Any) -> None:
    """Refuse a lazy frame of polars, which would look empty."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, which holds no values yet; give X.collect().")


def _type_name(dtype: Any) -> str:
    """Return a type's name, which numpy abbreviates for dates in the other byte order."""
    is_date = isinstance(dtype, np.dtype) and dtype.kind in "mM"
    return str(dtype.newbyteorder("=") if is_date else dtype)


def _dtypes_of(X: Any) -> set[Any]:
    """Return the types of an array's values, or of a data frame's columns."""
    if type(X).__module__.startswith("pyarrow") and hasattr(X, "type"):  # a column
        return {X.type}
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None and hasattr(X, "schema"):  # Arrow's tables
        dtypes = getattr(X.schema, "types", None)
    if dtypes is not None and hasattr(dtypes, "__iter__"):
        return set(dtypes)
    if isinstance(X, list | tuple) and len(X):
        return {np.asarray(X[0]).dtype} if np.ndim(X[0]) <= 1 else set()
    return {X.dtype} if hasattr(X, "dtype") else set()


def _arrow_vectors(X: Any) -> Any:
    """Return an Arrow column of lists or tensors as a matrix, also from a table of this column."""
    column = X
    if getattr(X, "num_columns", None) == 1:
        column = X.column(0)
    if not hasattr(column, "type"):
        return X
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    column = getattr(column, "storage", column)  # of tensors of one shape
    if not hasattr(column, "flatten") or not hasattr(column.type, "value_type"):
        return X
    return _stacked(column.to_numpy(zero_copy_only=False), X)


def _frame_vectors(X: Any) -> Any:
    """Return the column of vectors of a data frame as a matrix, if there is one and no other."""
    kinds = ("object", "list", "fixed_size_list", "List", "Array")
    for name, dtype in zip(X.columns, X.dtypes, strict=False):
        if not str(dtype).startswith(kinds):
            continue
        values = X[name].to_numpy() if hasattr(X[name], "to_numpy") else np.empty(0)
        matrix = _stacked(values, X)
        if matrix is X:
            continue
        if len(X.columns) > 1:
            raise ValueError(
                f"column {name!r} of X holds vectors, but there are {len(X.columns) - 1} other "
                f"columns; give X[[{name!r}]] alone, or numbers in columns of their own."
            )
        return matrix
    return X


def _stacked(values: NDArray[Any], X: Any) -> Any:
    """Return a column of vectors as a matrix; `X` if it holds something else."""
    if values.dtype != object:
        return values if values.ndim == 2 else X
    column = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    # What is missing stands as None or NaN.
    there = (value for value in column if value is not None and not isinstance(value, float))
    first = next(there, None)
    if column.ndim != 1 or not isinstance(first, (list, tuple, np.ndarray)):
        return X
    for row, value in enumerate(column):
        if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != len(first):
            found = f"one of length {len(value)}" if hasattr(value, "__len__") else repr(value)
            raise ValueError(
                f"X should hold vectors of one length, but has {found} in row {row} and one of "
                f"length {len(first)} elsewhere; fill or drop such rows first."
            )
    try:
        matrix = np.array([np.asarray(value) for value in column])
    except ValueError:  # lists of lists
        matrix = np.empty(0)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise ValueError(
            "X holds lists, but not of numbers alone: a number is missing, or there are texts or "
            "lists in them; fill or drop such rows first."
        )
    return matrix


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
    if np.ndim(codebook_size) == 0:
        sizes: list[Any] = [codebook_size] * n_layers
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


def check_codes(
    codes: Any, codebook_sizes: Sequence[int] | None = None, *, n_levels: int | None = None
) -> NDArray[Any]:
    """Return codes as integers after checking their shape and range; uncopied if they are already.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Codes; floats are accepted where they are whole numbers, since data frames turn integers
        into floats.
    codebook_sizes : sequence of int, optional
        Number of codewords at each level of the model; there may be fewer columns.
    n_levels : int, optional
        Number of columns to expect.

    Returns
    -------
    codes : ndarray of int of shape (n_samples, n_levels)
        The codes.

    Raises
    ------
    ValueError
        If `codes` is not 2-dimensional, empty, has another number of columns, or holds a value
        that isn't a code.
    """
    array = as_codes(codes)
    if array.ndim != 2:
        raise ValueError(
            f"codes should be 2-dimensional, (n_samples, n_levels), but have shape {array.shape}; "
            "use codes.reshape(-1, 1) for one level, codes.reshape(1, -1) for one sample."
        )
    if 0 in array.shape:
        raise ValueError(
            f"codes should hold at least one sample and one level, but have shape {array.shape}."
        )
    if n_levels is not None and array.shape[1] != n_levels:
        raise ValueError(
            f"codes have {array.shape[1]} columns, but the index has {n_levels} levels; give codes "
            "without suffix, of the same model."
        )
    if codebook_sizes is not None and array.shape[1] > len(codebook_sizes):
        raise ValueError(
            f"codes have {array.shape[1]} columns, but the model has {len(codebook_sizes)} levels; "
            f"give the codes of the first 1 to {len(codebook_sizes)} levels."
        )
    array = _whole(array)
    for level in range(array.shape[1]):
        column = array[:, level]
        size = None if codebook_sizes is None else codebook_sizes[level]
        if column.min() < 0 or (size is not None and column.max() >= size):
            bad = column.min() if column.min() < 0 else column.max()
            allowed = "at least 0" if size is None else f"in [0, {size})"
            raise ValueError(
                f"codes at level {level} should be {allowed}, got {bad}; pass what transform of "
                "this model returned (semantic IDs with a suffix: drop the suffix column first; "
                "samples without a code: drop them)."
            )
    return array


def as_codes(codes: Any) -> NDArray[Any]:
    """Return codes as an array, of which nothing has been checked; sparse matrices are refused."""
    if issparse(codes):
        raise TypeError(
            f"codes are a sparse matrix of shape {codes.shape}, but should be an array of one "
            "column for each level; give codes.toarray(), or what transform returned."
        )
    return np.asarray(as_array(codes))


def _whole(array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers as integers; booleans and texts are none."""
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "O" and all(
        isinstance(value, Integral) and not isinstance(value, bool) for value in array.ravel()
    ):
        return array.astype(np.int64)
    if array.dtype.kind != "f":
        raise ValueError(
            f"codes should be integers, got dtype {array.dtype}; pass what transform returned, or "
            "convert them first."
        )
    # Beyond 2**53 a float no longer tells neighboring integers apart.
    whole = (array == np.floor(array)) & (np.abs(array) < 2**53)
    if not whole.all():
        raise ValueError(
            f"codes should be whole numbers, got {array[~whole][0]}; pass what transform returned."
        )
    return array.astype(np.int64)
