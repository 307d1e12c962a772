"""Item texts from whatever holds them: lists, arrays, series, or columns of a data frame."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from scipy.sparse import issparse

from sklearn_rqvae._validation import column_names

__all__ = ["collect_texts", "field_text", "is_missing", "text_column_names", "texts_or_empty"]


def text_column_names(X: Any, text_columns: Sequence[Any] | None) -> list[Any] | None:
    """Return the columns of `X` that hold text, or None where `X` is a plain sequence of texts.

    Parameters
    ----------
    X : sequence of str, array or data frame
        The texts.
    text_columns : sequence of str or int, optional
        Names of data frame columns or positions of array columns; all columns if not given.

    Returns
    -------
    columns : list or None
        Names (data frame) or positions (2-dimensional array) of the columns to join.

    Raises
    ------
    ValueError
        If `X` lacks a column, repeats a column name, or has no columns although some were asked
        for.
    """
    if hasattr(X, "columns"):
        available = column_names(X)
        if len(set(available)) < len(available):
            raise ValueError("X repeats a column name; rename the columns so that each is unique.")
    elif isinstance(X, np.ndarray) and X.ndim == 2:
        available = list(range(X.shape[1]))
    else:
        return None
    columns = available if text_columns is None else list(text_columns)
    missing = [column for column in columns if column not in available]
    if missing:
        raise ValueError(
            f"X has no column {missing[0]!r}, only {available!r}; name existing columns in "
            "text_columns and give transform the columns that fit was given."
        )
    if not columns:
        raise ValueError("There is no text column to read; name at least one in text_columns.")
    return columns


def collect_texts(X: Any, columns: Sequence[Any] | None = None, sep: str = " ") -> list[str]:
    """Return one string per row of `X`; missing values are empty strings.

    Parameters
    ----------
    X : sequence of str, 1-dimensional array or series, or table of such columns
        The texts.
    columns : sequence of str or int, optional
        Columns of `X` to join, as `text_column_names` returns them.
    sep : str
        Text put between the joined columns. Empty cells are left out.

    Returns
    -------
    texts : list of str
        The texts.

    Raises
    ------
    TypeError
        If `X` isn't an ordered collection of texts or holds a value that is neither text nor
        missing.
    ValueError
        If `X` is a single string or empty.
    """
    if columns is None:
        texts = _column_texts(X, "X")
    else:
        parts = [
            _column_texts(
                X[:, column] if isinstance(X, np.ndarray) else X[column], f"column {column!r}"
            )
            for column in columns
        ]
        texts = [sep.join(filter(None, row)) for row in zip(*parts, strict=True)]
    if not texts:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    return texts


def _column_texts(values: Any, name: str) -> list[str]:
    """Return the texts of one column, called `name` in errors."""
    if isinstance(values, (str, bytes)):
        raise ValueError(
            f"{name} is a single string, but texts should be a list, array or series; "
            f"wrap it in a list: [{values[:20]!r}]."
        )
    if issparse(values) or isinstance(values, (Mapping, Set)) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} should be a list, 1-dimensional array or series of str, or a data frame with "
            f"such columns, got {type(values).__name__}."
        )
    if hasattr(values, "to_pylist"):  # a column of Arrow, whose values are no Python strings
        values = values.to_pylist()
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"{name} should be 1-dimensional, got shape {values.shape}.")
        values = values.tolist()  # Python strings: cheaper to loop over than numpy's
    return [
        value if type(value) is str else _as_text(value, name, row)
        for row, value in enumerate(values)
    ]


def _as_text(value: Any, name: str, row: int) -> str:
    """Return a string subclass as str and a missing value as the empty string."""
    if isinstance(value, str):
        return str(value)
    if is_missing(value):
        return ""
    raise TypeError(
        f"{name} should hold str, got {type(value).__name__} {value!r} in row {row}; "
        "convert it to text, or choose the text columns with text_columns."
    )


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, NaT, pandas.NA, a masked entry.

    An empty text is one already.
    """
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, (list, tuple, np.ndarray)):
        return False
    pandas = sys.modules.get("pandas")  # a value can be pandas.NA only after pandas was imported
    if pandas is not None and value is pandas.NA:
        return True
    try:
        return bool(value != value)  # NaN and NaT of any library
    except (TypeError, ValueError):  # that has no truth
        return False


def texts_or_empty(values: Iterable[Any]) -> list[str]:
    """Return values to be shown or counted as strings, what is missing as empty ones.

    Parameters
    ----------
    values : iterable
        Texts, or whatever has one; a series in the order of its rows, whatever its index.

    Returns
    -------
    texts : list of str
        The texts.

    Raises
    ------
    ValueError
        If they are a table.
    """
    if hasattr(values, "columns"):
        raise ValueError("names and texts are one column, not a table; give one of its columns.")
    return ["" if is_missing(value) else str(value) for value in values]


def field_text(value: Any, name: str, row: int) -> str:
    """Return what a field of a file says as text; what is missing is empty, as in `collect_texts`.

    Files hold more than text: numbers are written out, lists joined by commas, and bytes are UTF-8,
    as in columns of Parquet files that aren't marked as text.

    Parameters
    ----------
    value : object
        The field.
    name : str
        Column and file, for messages.
    row : int
        Its row, for messages.

    Returns
    -------
    text : str
        The text.

    Raises
    ------
    TypeError
        If the field has fields of its own.
    ValueError
        If it holds bytes that are no text in UTF-8.
    """
    if isinstance(value, str):
        return str(value)
    if is_missing(value):
        return ""
    if isinstance(value, (list, tuple, np.ndarray)):
        parts = (field_text(part, name, row) for part in value)
        return ", ".join(part for part in parts if part)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name} holds bytes that are no text in UTF-8 in row {row} (from 0): {error}; "
                "decode them first."
            ) from error
    if isinstance(value, Mapping):
        raise TypeError(
            f"{name} holds fields of its own, such as {next(iter(value), '')!r}, in row {row} "
            "(from 0); it should hold text: write these fields to columns."
        )
    return str(value)
