"""A table in memory: named columns, and what messages say of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Table", "is_matrix", "listed"]

# Names of columns that a message lists.
_N_LISTED = 20


class Table(dict[str, Any]):
    """The columns of a file by name: lists of Python values, or Arrow columns.

    Parameters
    ----------
    columns : mapping of str to list or pyarrow.ChunkedArray
        Columns of one length.
    path : str or path-like
        The file, for messages.
    numeric : collection of str
        Columns of a text file whose values stand there without quotes, while texts have them.
    metadata : dict of bytes to bytes
        What a Parquet file says of itself.
    names : sequence of str, optional
        Names of all columns that the file has, where only some were read.
    n_rows : int, optional
        Number of rows, where it isn't the length of the columns since none was read.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        path: str | os.PathLike[str],
        numeric: Sequence[str] = (),
        metadata: dict[bytes, bytes] | None = None,
        names: Sequence[str] | None = None,
        n_rows: int | None = None,
    ):
        super().__init__(columns)
        self.path = path
        self.numeric = frozenset(numeric)
        self.metadata = metadata or {}
        self.names = list(self) if names is None else list(names)
        self._n_rows = n_rows

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if self._n_rows is not None:
            return self._n_rows
        return len(next(iter(super().values()))) if self else 0

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise an error that names the columns that there are, unless it has these."""
        missing = [name for name in names if name not in self]
        if missing:
            raise ValueError(
                f"{self.path} has no column {missing[0]!r}; it has {listed(self.names)}."
            )

    def column(self, name: str) -> list[Any]:
        """Return a column as Python values; what is missing is None."""
        self.check_columns([name])
        values = self[name]
        return values if isinstance(values, list) else values.to_pylist()


def listed(names: Iterable[Any]) -> str:
    """Return names as a message shows them: all, or the first ones and how many more."""
    names = list(names)
    more = f" and {len(names) - _N_LISTED} more" if len(names) > _N_LISTED else ""
    return ", ".join(map(repr, names[:_N_LISTED])) + more


def is_matrix(values: Any) -> bool:
    """Whether a column is a matrix, of a vector for each row."""
    return isinstance(values, np.ndarray) and values.ndim == 2
