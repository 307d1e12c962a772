"""Tables for the command line: columns from JSON lines, CSV, Parquet and NumPy files, and back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date, time
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._replace import check_place, replace_file

__all__ = [
    "FORMATS",
    "check_table",
    "load_array",
    "matrix_of",
    "read_matrix",
    "read_table",
    "writable_ids",
    "write_table",
]

FORMATS = ".jsonl, .csv, .tsv, .parquet or .npy (.jsonl, .csv and .tsv also with .gz)"

Table = dict[str, list[Any]]


def read_table(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> Table:
    """Read a table as a dict of columns.

    Parameters
    ----------
    path : str or path-like
        A file in JSON lines, CSV with a header, tab-separated values with a header, or Parquet.
    columns : sequence of str, default=()
        Columns that the table must have; all columns are read if empty.

    Returns
    -------
    table : dict of str to list
        Values by column; None where a JSON line has no such field.

    Raises
    ------
    ImportError
        If a Parquet file is to be read and pyarrow isn't installed.
    OSError
        If the file can't be read.
    ValueError
        If the format is unknown, the table is empty or a column is missing.
    """
    path = Path(path)
    kind = _format(path)
    if kind == ".parquet":
        table = import_pyarrow().parquet.read_table(path).to_pydict()
    elif kind == ".npy":
        raise ValueError(f"{path} holds an array and has no columns; give a table.")
    else:
        table = _read_text(path, kind)
    if not table or not len(next(iter(table.values()))):
        raise ValueError(f"{path} holds no rows.")
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(repr, table))}."
        )
    return table


def read_matrix(path: str | os.PathLike[str], column: str | None) -> NDArray[Any]:
    """Read rows of numbers: an array, a column of lists, or the columns ``<column>_0``, ….

    Parameters
    ----------
    path : str or path-like
        A NumPy file, or a table as for :func:`read_table`.
    column : str or None
        Name of the column in a table; not used for a NumPy file.

    Returns
    -------
    matrix : ndarray of shape (n_rows, n_columns)
        The numbers.

    Raises
    ------
    ValueError
        If the numbers don't form a matrix, or aren't finite.
    """
    path = Path(path)
    if _format(path) != ".npy":
        if column is None:
            raise ValueError(f"{path} is a table; name its column of vectors with --vector.")
        return matrix_of(read_table(path), column, path)
    matrix = load_array(path)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(
            f"{path} holds an array of shape {matrix.shape}; it should be 2-dimensional and not "
            "empty."
        )
    if matrix.dtype.kind not in "fiub":
        raise ValueError(
            f"{path} holds values of dtype {matrix.dtype}; save real numbers, as float32 say."
        )
    _check_finite(matrix, path, lambda entry: f"column {entry}")
    return matrix


def matrix_of(table: Table, column: str, path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return a column of lists, or the columns ``<column>_0``, …, as rows of finite numbers."""
    if column in table:
        rows = _parsed(table[column], column, path)
        names = None
    elif f"{column}_0" in table:
        ends = (name.removeprefix(f"{column}_") for name in table if name.startswith(f"{column}_"))
        n_columns = sum(end.isdigit() for end in ends)
        names = [f"{column}_{number}" for number in range(n_columns)]
        for name in names:
            if name not in table:
                raise ValueError(
                    f"{path} has {n_columns} columns {column}_0, ..., but no {name!r}."
                )
        parts = [_parsed(table[name], name, path) for name in names]
        rows = [list(row) for row in zip(*parts, strict=True)]
    else:
        raise ValueError(
            f"{path} has no column {column!r} or {column + '_0'!r}; it has "
            f"{', '.join(map(repr, table))}."
        )
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not row or len(row) != len(rows[0]):
            raise ValueError(
                f"column {column!r} of {path} should hold lists of numbers of one length, but row "
                f"{number} (from 0) holds {_short(row)}."
            )

    def place(entry: int) -> str:
        return f"column {names[entry]!r}" if names else f"entry {entry} of column {column!r}"

    matrix = _as_numbers(rows, path, place)
    _check_finite(matrix, path, place)
    return matrix


def _as_numbers(
    rows: list[list[Any]], path: str | os.PathLike[str], place: Callable[[int], str]
) -> NDArray[Any]:
    """Return lists of one length as an array; what is no number in them is an error."""
    try:
        matrix = np.array(rows)
    except ValueError:  # lists in lists
        matrix = np.array(None)
    if matrix.ndim == 2 and matrix.dtype.kind in "fiub":
        return matrix
    for number, row in enumerate(rows):
        for entry, value in enumerate(row):
            if not isinstance(value, int | float) or abs(value) > sys.float_info.max:
                raise _refusal(number, path, _short(value), place(entry))
    return np.array(rows, dtype=np.float64)  # integers of more than 64 bits


def _check_finite(
    matrix: NDArray[Any], path: str | os.PathLike[str], place: Callable[[int], str]
) -> None:
    """Refuse NaN, infinity and what float32 can't hold."""
    from sklearn_rqvae._rows._source import RowSource

    if matrix.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        for rows, block in RowSource(matrix).blocks():
            finite = np.isfinite(block)
            if not finite.all():
                row, entry = np.argwhere(~finite)[0].tolist()
                row += rows.start
                raise _refusal(row, path, str(matrix[row, entry]), place(entry))


def _refusal(row: int, path: str | os.PathLike[str], value: str, place: str) -> ValueError:
    return ValueError(
        f"row {row} (from 0) of {path} has {value} in {place}, which is no finite number of "
        "float32; fill or drop such rows first."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def check_table(path: str | os.PathLike[str]) -> None:
    """Raise the error that `write_table` would raise for this name, before work is done for it.

    Parameters
    ----------
    path : str or path-like
        File to write, or "-".
    """
    if path != "-":
        _format(check_place(path))


def writable_ids(path: str | os.PathLike[str], ids: Sequence[Any]) -> Sequence[Any]:
    """Return ids as `write_table` can write them to this file, before work is done for it.

    In text files dates and times become ISO text.

    Parameters
    ----------
    path : str or path-like
        File to write, or "-".
    ids : sequence
        Identifiers.

    Returns
    -------
    ids : sequence
        The same, or texts.

    Raises
    ------
    ImportError
        If a Parquet file is to be written and pyarrow isn't installed.
    ValueError
        If the file can't hold such ids.
    """
    kind = ".jsonl" if path == "-" else _format(Path(path))
    if kind == ".npy" or isinstance(ids, range):
        return ids
    place = "JSON" if path == "-" else path
    if kind == ".parquet":
        pyarrow = import_pyarrow()
        try:
            pyarrow.array(ids)
        except (pyarrow.ArrowException, OverflowError) as error:
            raise ValueError(
                f"{place} can't hold these ids in one column ({error}); make all of them text."
            ) from error
        return ids
    ids = [value.isoformat() if isinstance(value, date | time) else value for value in ids]
    try:
        json.dumps(ids)
    except TypeError as error:
        raise ValueError(
            f"{place} can't hold these ids ({error}); make them text or integers."
        ) from error
    return ids


def write_table(
    path: str | os.PathLike[str], ids: Sequence[Any], column: str, matrix: NDArray[Any]
) -> None:
    """Write rows of numbers with their ids; the file appears complete or not at all.

    Parameters
    ----------
    path : str or path-like
        File to write; the suffix is the format. "-" writes JSON lines to the standard output.
    ids : sequence of length n_rows
        Identifier of each row, as from :func:`writable_ids`; not written to a NumPy file.
    column : str
        Name of the numbers: a column of lists, or ``<column>_0``, … in CSV.
    matrix : ndarray of shape (n_rows, n_columns)
        The numbers.

    Raises
    ------
    ImportError
        If a Parquet file is to be written and pyarrow isn't installed.
    OSError
        If the file can't be written.
    ValueError
        If the format is unknown.
    """
    if path == "-":
        sys.stdout.writelines(_json_lines(ids, column, matrix))
        return
    path = Path(path)
    kind = _format(path)
    with replace_file(path) as file:
        if kind == ".npy":
            np.save(file, matrix, allow_pickle=False)
        elif kind == ".parquet":
            pyarrow = import_pyarrow()
            columns = {"item_id": list(ids), column: list(np.asarray(matrix))}
            pyarrow.parquet.write_table(pyarrow.table(columns), file)
        else:
            zipped = path.suffix == ".gz"
            with gzip.GzipFile(fileobj=file, mode="wb") if zipped else nullcontext(file) as packed:
                text = io.TextIOWrapper(packed, encoding="utf-8", newline="", write_through=True)
                _write_text(text, kind, ids, column, matrix)
                text.detach()  # it would close the file


def _write_text(
    text: IO[str], kind: str, ids: Sequence[Any], column: str, matrix: NDArray[Any]
) -> None:
    if kind == ".jsonl":
        text.writelines(_json_lines(ids, column, matrix))
        return
    rows = csv.writer(text, delimiter="\t" if kind == ".tsv" else ",")
    rows.writerow(["item_id", *(f"{column}_{i}" for i in range(matrix.shape[1]))])
    rows.writerows([row_id, *row] for row_id, row in zip(ids, matrix.tolist(), strict=True))


def _parsed(values: Sequence[Any], column: str, path: str | os.PathLike[str]) -> list[Any]:
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


def load_array(path: Path) -> NDArray[Any]:
    """Open a file of numpy.save, and say which one it is if that fails."""
    try:
        return np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is no array of numbers that numpy.save wrote, or it is damaged ({error})."
        ) from error


def _format(path: Path) -> str:
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    kind = {".ndjson": ".jsonl"}.get(suffix, suffix)
    if kind in (".jsonl", ".csv", ".tsv") or (
        kind in (".parquet", ".npy") and path.suffix != ".gz"
    ):
        return kind
    raise ValueError(f"the format of {path} is unknown; the name should end in {FORMATS}.")


def _open_text(path: Path) -> IO[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    # Spreadsheets write a byte order mark.
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _read_text(path: Path, kind: str) -> Table:
    try:
        with _open_text(path) as file:
            if kind == ".jsonl":
                return _columns(_json_records(file, path))
            return _columns(_csv_records(file, path, "\t" if kind == ".tsv" else ","))
    except (UnicodeDecodeError, EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no text in UTF-8, or is damaged ({error}).") from error


def _csv_records(file: IO[str], path: Path, delimiter: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(file, delimiter=delimiter)
    records = []
    for record in rows:
        surplus: Any = record.pop(None, ())
        if any(surplus):
            raise ValueError(
                f"line {rows.line_num} of {path} has {len(record) + len(surplus)} fields, but the "
                f"header has {len(record)}; put values that hold a {delimiter!r} in quotes."
            )
        records.append(record)
    return records


def _json_records(file: IO[str], path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:  # no JSON, or an integer of thousands of digits
            raise ValueError(f"line {number} of {path} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} of {path} is JSON but no object with named fields.")
        records.append(record)
    return records


def _columns(records: Sequence[dict[str, Any]]) -> Table:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _json_lines(ids: Sequence[Any], column: str, matrix: NDArray[Any]) -> Iterator[str]:
    for row_id, row in zip(ids, matrix, strict=True):
        yield json.dumps({"item_id": row_id, column: row.tolist()}, ensure_ascii=False) + "\n"
