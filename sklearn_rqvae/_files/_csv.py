"""Tables as CSV or tab-separated values, with a header."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sklearn_rqvae._files._table import Table, is_matrix, listed

__all__ = ["DELIMITERS", "read_csv", "write_csv"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}

# How the texts begin that this package writes for items.
_OWN_HEADER = '"item_id"'


def read_csv(file: IO[str], path: Path, delimiter: str, needed: Sequence[str]) -> Table:
    """Read a file with a header, which has to have the needed columns; all values are texts."""
    with _long_fields():
        lines = _Lines(file)
        # Strict: a quote in the middle of a field, or at the end of the file, is no lost quote.
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        records = _checked_rows(rows, path)
        header, _ = next(records, ([], 0))
        if header:  # a missing column is told before millions of rows are read
            Table({name: [] for name in header if name}, path).check_columns(needed)
        columns: list[list[str]] = [[] for _ in header]
        for row, number in records:
            if not row:
                continue  # an empty line
            if len(row) > len(header) and not any(row[len(header) :]):
                row = row[: len(header)]  # spreadsheets pad
            if len(row) != len(header):
                hint = f"put values that hold a {delimiter!r} in quotes"
                raise ValueError(
                    f"line {number} of {path} has {len(row)} fields, but the header has "
                    f"{len(header)}; {hint if len(row) > len(header) else 'the record is cut'}."
                )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        _drop_padding(header, columns)
        if len(set(header)) < len(header):
            names = listed(header)
            raise ValueError(f"{path} has two columns of one name among {names}; rename one.")
        numeric = _unquoted(file, header, delimiter)
    if numeric and lines.first.startswith(_OWN_HEADER) and not lines.last.endswith("\n"):
        raise ValueError(
            f"{path} is cut: files that sklearn-rqvae writes end in a line break, but its last "
            f"line is {lines.last[-40:]!r}; write it again."
        )
    return Table(dict(zip(header, columns, strict=True)), path, numeric)


class _Lines:
    """The lines of a file, of which it remembers the first and the last."""

    def __init__(self, file: IO[str]):
        self._file = file
        self.first = self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.first = self.first or line
            self.last = line
            yield line


def _checked_rows(rows: Any, path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield the records of a file and the numbers of their last lines."""
    n_columns, empty = 0, 0
    while True:
        first = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise ValueError(
                f"the record that begins in line {first} of {path} is damaged ({error}): a value "
                "that begins with a quote ends with one, and has two for each inside."
            ) from error
        if row is None:
            return
        n_columns = n_columns or len(row)
        if row and empty and n_columns == 1:
            raise ValueError(
                f'line {empty} of {path} is empty; write "" for an item whose only value is '
                "missing, or remove the line."
            )
        empty = 0 if row else rows.line_num
        yield row, rows.line_num


def _drop_padding(header: list[str], columns: list[list[str]]) -> None:
    """Drop columns without names and values that a spreadsheet has added at the end."""
    names = len(header)
    while names and header[names - 1] == "":
        names -= 1
    # One column without a name may be somebody's.
    if len(header) - names > 1 and not any(any(column) for column in columns[names:]):
        del header[names:], columns[names:]


def _unquoted(file: IO[str], header: list[str], delimiter: str) -> list[str]:
    """Return the columns without quotes in a file that puts texts, the header's too, in quotes."""
    file.seek(0)
    rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
    try:
        next(rows)
        first = next(rows)
    except (ValueError, StopIteration):
        return []
    return [name for name, value in zip(header, first, strict=False) if isinstance(value, float)]


@contextmanager
def _long_fields() -> Iterator[None]:
    """Read fields of any length; the reader's own limit is 128 KiB, a vector of 7,000 numbers."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def write_csv(text: IO[str], delimiter: str, columns: Mapping[str, Any]) -> None:
    """Write columns, of a matrix one for each of its own, with a header."""
    # All text in quotes: the writer leaves a lone carriage return bare otherwise.
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    flat: dict[str, Sequence[Any]] = {}
    for name, values in columns.items():
        if is_matrix(values):
            flat.update({f"{name}_{i}": values[:, i].tolist() for i in range(values.shape[1])})
        else:
            flat[name] = values.tolist() if isinstance(values, np.ndarray) else values
    writer.writerow(flat)
    writer.writerows(zip(*flat.values(), strict=True))
