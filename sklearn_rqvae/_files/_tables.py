"""Tables in files, as named columns: JSON lines, CSV, tab-separated values, Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._parquet import opened_parquet, part_files
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._vectors import list_column

__all__ = ["FORMATS", "Table", "file_kind", "open_text", "read_table", "write_table"]

FORMATS = ".jsonl, .csv, .tsv, .parquet or .npy (.jsonl, .csv and .tsv also with .gz)"
_TEXT_KINDS = (".jsonl", ".csv", ".tsv")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


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
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        path: str | os.PathLike[str],
        numeric: Sequence[str] = (),
        metadata: dict[bytes, bytes] | None = None,
    ):
        super().__init__(columns)
        self.path = path
        self.numeric = frozenset(numeric)
        self.metadata = metadata or {}

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(super().values()))) if self else 0

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise an error that names the columns that there are, unless it has these."""
        missing = [name for name in names if name not in self]
        if missing:
            raise ValueError(
                f"{self.path} has no column {missing[0]!r}; it has {', '.join(map(repr, self))}."
            )

    def column(self, name: str) -> list[Any]:
        """Return a column as Python values; what is missing is None."""
        self.check_columns([name])
        values = self[name]
        return values if isinstance(values, list) else values.to_pylist()


def file_kind(path: str | os.PathLike[str]) -> str:
    """Return the format that a file's name says, as its plain suffix.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    kind : str
        ``".jsonl"``, ``".csv"``, ``".tsv"``, ``".parquet"`` or ``".npy"``.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    name = Path(path).name.lower()
    plain = name.removesuffix(".gz")
    suffix = Path(plain).suffix
    kind = {".ndjson": ".jsonl"}.get(suffix, suffix)
    if kind in _TEXT_KINDS or (kind in (".parquet", ".npy") and plain == name):
        return kind
    raise ValueError(f"the format of {path} is unknown; the name should end in {FORMATS}.")


def read_table(
    path: str | os.PathLike[str], columns: Sequence[str] = (), *, kind: str | None = None
) -> Table:
    """Read a table, or a directory of part files of one kind.

    Parameters
    ----------
    path : str or path-like
        A file in JSON lines, CSV with a header, tab-separated values with a header, or Parquet; or
        a directory of such files, which are read in the order of their names.
    columns : sequence of str, default=()
        Columns that the table must have; all columns are read.
    kind : str, optional
        The format as a suffix, ``".csv"`` say; by default what the name says.

    Returns
    -------
    table : Table
        Values by column; None where a JSON line has no such field.

    Raises
    ------
    ImportError
        If a Parquet file is to be read and pyarrow isn't installed.
    OSError
        If a file can't be read.
    ValueError
        If the format is unknown, a file is damaged or no text in UTF-8, records have too few or too
        many fields, the table is empty or a column is missing.
    """
    path = Path(path)
    if path.is_dir():
        table = _read_parts(path, kind)
    else:
        kind = file_kind(path) if kind is None else kind
        if kind == ".npy":
            raise ValueError(f"{path} holds an array and has no columns; give a table.")
        table = _read_parquet(path) if kind == ".parquet" else _read_text(path, kind)
    if not table.n_rows:
        raise ValueError(f"{path} holds no rows.")
    table.check_columns(columns)
    return table


def write_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    kind: str | None = None,
    metadata: dict[bytes, bytes] | None = None,
) -> None:
    """Write columns to a file, which appears complete or not at all.

    Parameters
    ----------
    path : str or path-like
        File to write; "-" writes JSON lines to the standard output.
    columns : mapping of str to sequence, or to ndarray of shape (n_rows,) or (n_rows, n_columns)
        Columns by name. A matrix becomes a column of lists, or the columns ``<name>_0``, … in CSV.
    kind : str, optional
        The format as a suffix, ``".csv"`` say; by default what the name says.
    metadata : dict of bytes to bytes, optional
        What a Parquet file says of itself; not written to text.

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
        sys.stdout.writelines(_json_lines(columns))
        return
    path = Path(path)
    kind = file_kind(path) if kind is None else kind
    with replace_file(path) as file:
        if kind == ".parquet":
            _write_parquet(file, columns, metadata)
            return
        zipped = path.name.lower().endswith(".gz")
        packer = gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if zipped else nullcontext(file)
        with packer as packed:
            # Lines end in \n everywhere, so that the same table gives the same bytes.
            text = io.TextIOWrapper(packed, encoding="utf-8", newline="", write_through=True)
            if kind == ".jsonl":
                text.writelines(_json_lines(columns))
            else:
                _write_csv(text, _DELIMITERS[kind], columns)
            text.detach()  # it would close the file


@contextmanager
def open_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a file of text in UTF-8, packed or not, with or without a byte order mark.

    Parameters
    ----------
    path : str or path-like
        The file.

    Yields
    ------
    file : text file
        The file, to be read inside the block.

    Raises
    ------
    ValueError
        If what is read of it in the block is no text in UTF-8, or damaged.
    """
    opener: Any = gzip.open if Path(path).name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except (UnicodeDecodeError, EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is no text in UTF-8, or is damaged ({error}).") from error


def _read_parts(path: Path, kind: str | None) -> Table:
    """Read the files of a directory, all of one kind and with the same columns."""
    if kind is None:
        found = [k for k in (".parquet", *_TEXT_KINDS) if any(path.rglob(f"*{k}"))]
        if len(found) != 1:
            what = "none" if not found else ", ".join(found)
            raise ValueError(
                f"{path} is a directory; it should hold files of one kind among .parquet, .jsonl, "
                f".csv and .tsv, but holds {what}."
            )
        kind = found[0]
    parts = [read_table(part, kind=kind) for part, _ in part_files(path, kind)]
    first = parts[0]
    for part in parts[1:]:
        if set(part) != set(first):
            raise ValueError(
                f"{part.path} has the columns {list(part)}, but {first.path} has {list(first)}; "
                "parts of one table need the same columns."
            )
    if kind == ".parquet":
        pa = import_pyarrow()
        whole = {
            name: pa.chunked_array([chunk for part in parts for chunk in part[name].chunks])
            for name in first
        }
    else:
        whole = {name: [value for part in parts for value in part[name]] for name in first}
    return Table(whole, path, tuple(first.numeric), first.metadata)


def _read_parquet(path: Path) -> Table:
    with opened_parquet(path) as file:
        table = file.read(use_threads=False)
    names = table.column_names
    if len(set(names)) < len(names):
        raise ValueError(f"{path} has two columns of one name among {names}; rename one.")
    columns = {name: table.column(place) for place, name in enumerate(names)}
    return Table(columns, path, metadata=table.schema.metadata)


def _read_text(path: Path, kind: str) -> Table:
    with open_text(path) as file:
        if kind == ".jsonl":
            return _columns_of_records(file, path)
        return _columns_of_csv(file, path, _DELIMITERS[kind])


def _columns_of_csv(file: IO[str], path: Path, delimiter: str) -> Table:
    with _long_fields():
        rows = csv.reader(file, delimiter=delimiter)
        header = next(rows, [])
        if len(set(header)) < len(header):
            raise ValueError(f"{path} has two columns of one name among {header}; rename one.")
        columns: list[list[str]] = [[] for _ in header]
        for row in rows:
            if not row:
                continue  # an empty line
            if len(row) > len(header) and not any(row[len(header) :]):
                row = row[: len(header)]  # spreadsheets pad
            if len(row) != len(header):
                hint = f"put values that hold a {delimiter!r} in quotes"
                raise ValueError(
                    f"line {rows.line_num} of {path} has {len(row)} fields, but the header has "
                    f"{len(header)}; {hint if len(row) > len(header) else 'the record is cut'}."
                )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        numeric = _unquoted(file, header, delimiter)
    return Table(dict(zip(header, columns, strict=True)), path, numeric)


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


def _columns_of_records(file: IO[str], path: Path) -> Table:
    records: list[dict[str, Any]] = []
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
    names = dict.fromkeys(name for record in records for name in record)
    return Table({name: [record.get(name) for record in records] for name in names}, path)


def _write_parquet(
    file: IO[bytes], columns: Mapping[str, Any], metadata: dict[bytes, bytes] | None
) -> None:
    pa = import_pyarrow()
    arrays = {
        name: list_column(value) if _is_matrix(value) else value for name, value in columns.items()
    }
    table = pa.table(arrays).replace_schema_metadata(metadata)
    pa.parquet.write_table(table, file, write_page_checksum=True)


def _write_csv(text: IO[str], delimiter: str, columns: Mapping[str, Any]) -> None:
    # All text in quotes: the writer leaves a lone carriage return bare otherwise.
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    flat: dict[str, Sequence[Any]] = {}
    for name, values in columns.items():
        if _is_matrix(values):
            flat.update({f"{name}_{i}": values[:, i].tolist() for i in range(values.shape[1])})
        else:
            flat[name] = values.tolist() if isinstance(values, np.ndarray) else values
    writer.writerow(flat)
    writer.writerows(zip(*flat.values(), strict=True))


def _json_lines(columns: Mapping[str, Any]) -> Iterator[str]:
    lists = (
        v.tolist() if isinstance(v, np.ndarray) and v.ndim == 1 else v for v in columns.values()
    )
    for row in zip(*lists, strict=True):
        values = (value.tolist() if isinstance(value, np.ndarray) else value for value in row)
        yield json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n"


def _is_matrix(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 2
