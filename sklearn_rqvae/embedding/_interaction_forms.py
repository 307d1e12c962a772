"""Interactions and item ids, read from a matrix, a table or lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import datetime
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils import check_array

from sklearn_rqvae._validation import as_array, column_names

__all__ = ["InteractionArrays", "item_keys", "read_lists", "read_matrix", "read_table"]

WAYS_OUT = (
    "give a sparse users x items matrix, a data frame with the columns named in columns, or a "
    "list with one sequence of item ids per user"
)


class InteractionArrays(NamedTuple):
    """Interactions as arrays, with the meaning that they have in `Histories`."""

    items: NDArray[np.intp]
    starts: NDArray[np.intp]
    item_ids: NDArray[Any]
    is_ordered: bool = True


def item_keys(X: Any, item_column: str, name: str = "X") -> list[Any]:
    """Return the item ids of a table's rows as Python values, None where they are missing.

    Parameters
    ----------
    X : sequence, 1-dimensional array or series, or table
        The ids, a table of one column of ids, or one with the column `item_column`.
    item_column : str
        Name of the ids' column where there are several.
    name : str
        What `X` is called in errors.

    Returns
    -------
    keys : list
        One id per row.

    Raises
    ------
    TypeError
        If `X` isn't an ordered collection of ids.
    ValueError
        If `X` has several columns and none has the name, or has no rows.
    """
    if hasattr(X, "columns"):
        available = column_names(X)
        if item_column not in available and len(available) != 1:
            raise ValueError(
                f"{name} has no column {item_column!r}, only {available!r}; name the column of "
                "item ids in columns, or select it alone by a ColumnTransformer."
            )
        X = X[item_column if item_column in available else available[0]]
    keys = _as_list(X, name)
    if not keys:
        raise ValueError(f"{name} has 0 sample(s) while a minimum of 1 is required.")
    return [None if key is None or key != key else key for key in map(_plain, keys)]


def _plain(key: Any) -> Any:
    """Return pandas' missing values as None: comparing them gives neither true nor false."""
    return None if type(key).__name__ in ("NAType", "NaTType") else key


def _as_list(values: Any, name: str) -> list[Any]:
    """Return ids as Python values, whose equality and hash don't depend on numpy's types."""
    values = as_array(values)
    unordered = (str, bytes, Mapping, Set)
    if isinstance(values, unordered) or issparse(values) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} should be a list, array or series of item ids, got "
            f"{type(values).__name__} {values!r:.40}."
        )
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(f"{name} should hold one id per item, but has shape {values.shape}.")
        return values.tolist()
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def read_matrix(matrix: Any, item_ids: Any) -> InteractionArrays:
    """Read the positive entries of a sparse matrix."""
    matrix = check_array(matrix, accept_sparse="csr", input_name="interactions")
    matrix = csr_matrix(matrix, copy=True)
    matrix.sum_duplicates()
    if matrix.nnz and matrix.data.min() < 0:
        raise ValueError(
            f"interactions has the negative entry {matrix.data.min()}; entries count or mark "
            "interactions, so drop those that mean dislike."
        )
    matrix.eliminate_zeros()
    if item_ids is None:
        ids = np.arange(matrix.shape[1])
    else:
        ids = id_array(_as_list(item_ids, "item_ids"))
    if len(ids) != matrix.shape[1] or len(np.unique(ids)) < len(ids):
        raise ValueError(
            f"item_ids has {len(ids)} ids, {len(np.unique(ids))} of them distinct, but "
            f"interactions has {matrix.shape[1]} columns; give one id of its own to each."
        )
    starts = matrix.indptr.astype(np.intp)
    return InteractionArrays(matrix.indices.astype(np.intp), starts, ids, is_ordered=False)


def read_table(table: Any, columns: Sequence[str]) -> InteractionArrays:
    """Read one interaction per row, in the order of times, else of rows."""
    if len(columns) not in (2, 3):
        raise ValueError(
            f"columns={tuple(columns)!r} should name the columns of user, item and time, or of "
            "user and item alone where rows are in order."
        )
    available = column_names(table)
    missing = [column for column in columns if column not in available]
    if missing:
        raise ValueError(
            f"interactions has no column {missing[0]!r}, only {available!r}; name existing "
            "columns in columns, as user, item, time."
        )
    repeated = [column for column in columns if available.count(column) > 1]
    if repeated:
        raise ValueError(
            f"interactions has several columns {repeated[0]!r}; rename all but the one to read."
        )
    users, keys = (
        item_keys(table[column], column, f"interactions[{column!r}]") for column in columns[:2]
    )
    _, user_rows = _distinct(users, "user")
    item_ids, items = _distinct(keys, "item")
    times = _times(table[columns[2]], columns[2]) if len(columns) == 3 else np.arange(len(keys))
    if not len(users) == len(keys) == len(times):
        raise ValueError(
            f"The columns {', '.join(map(repr, columns))} of interactions have {len(users)}, "
            f"{len(keys)} and {len(times)} rows; give one row for each interaction."
        )
    try:
        order = np.argsort(times, kind="stable")
    except TypeError as error:
        raise ValueError(
            f"interactions[{columns[2]!r}] mixes values that have no order ({error}); convert them "
            "all to one type."
        ) from error
    order = order[np.argsort(user_rows[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(user_rows))])
    return InteractionArrays(items[order], starts, item_ids)


def _times(values: Any, column: str) -> NDArray[Any]:
    """Return times in a form that sorts as they do: text holds numbers or ISO dates."""
    times = np.asarray(values)
    if times.dtype.kind in "OUT":
        keys = item_keys(times.tolist(), column, f"interactions[{column!r}]")
        missing = np.array([key is None for key in keys])
        if not missing.any():
            times = _parsed(keys, column)
            missing = times != times  # text may say "nan"
    else:
        missing = times != times  # NaN and NaT
    if missing.any():
        raise ValueError(
            f"interactions has no {column!r} in row {int(np.argmax(missing))}, so the order of "
            "that user's items isn't known; drop rows without a time."
        )
    return times


def _parsed(times: list[Any], column: str) -> NDArray[Any]:
    """Return what text says; other objects are left as they are."""
    if not any(isinstance(time, str) for time in times):
        return np.array(times, dtype=object)
    try:  # nanoseconds have more digits than floats
        whole = [int(time) if isinstance(time, str) else index(time) for time in times]
        return np.array(whole, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return np.array([float(time) for time in times])
    except (TypeError, ValueError):
        pass
    try:
        dates = [datetime.fromisoformat(time) for time in times]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"interactions[{column!r}] holds text that is neither numbers nor ISO dates "
            f"({times[0]!r}), and would sort letter by letter; give numbers, or dates such as "
            "2024-01-31 or 2024-01-31T23:30."
        ) from error
    zoned = [date.utcoffset() is not None for date in dates]
    if len(set(zoned)) > 1:
        raise ValueError(
            f"interactions[{column!r}] names a time zone in row {zoned.index(True)} and none in "
            f"row {zoned.index(False)}, so their order isn't known; give all times with a zone, or "
            "all without."
        )
    return np.array(dates, dtype=object)


def read_lists(lists: Any) -> InteractionArrays:
    """Read one sequence of ids per user."""
    if isinstance(lists, (str, bytes, Set)) or not isinstance(lists, Iterable):
        raise TypeError(f"interactions is a {type(lists).__name__}; {WAYS_OUT}.")
    if isinstance(lists, np.ndarray) and lists.dtype != object:
        raise TypeError(
            f"interactions is a dense array of shape {lists.shape}, which may be a matrix or "
            f"a table; {WAYS_OUT}."
        )
    histories = [_as_list(history, f"interactions[{user}]") for user, history in enumerate(lists)]
    starts = np.concatenate([[0], np.cumsum([len(history) for history in histories], dtype=int)])
    keys = [key for history in histories for key in history]
    item_ids, items = _distinct(keys, "item")
    return InteractionArrays(items, starts.astype(np.intp), item_ids)


def _distinct(keys: list[Any], what: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct ids in sorted order, and each key's position among them."""
    if None in keys:
        raise ValueError(
            f"interactions has no {what} id in row {keys.index(None)}; drop rows without {what}."
        )
    kinds = sorted({"a number" if not isinstance(key, str) else "str" for key in keys})
    if len(kinds) > 1:
        raise ValueError(
            f"interactions mixes {what} ids that are str with others; convert them all to one type."
        )
    try:
        ids, positions = np.unique(id_array(keys), return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"interactions mixes {what} ids that have no order, such as {keys[0]!r} ({error}); "
            "convert them all to one type."
        ) from error
    return ids, positions.astype(np.intp)


def id_array(keys: list[Any]) -> NDArray[Any]:
    """Return ids as an array of numbers or text, or of objects where these would be other ids.

    One type for all would make one id of integers beside fractions, or drop zero characters.
    """
    with suppress(ValueError):  # of pairs beside numbers
        array = np.asarray(keys)
        if array.ndim == 1 and array.tolist() == keys:
            return array
    array = np.empty(len(keys), dtype=object)
    for row, key in enumerate(keys):
        array[row] = key
    return array
