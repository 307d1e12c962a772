"""Tables in files, as named columns: JSON lines, CSV, tab-separated values, Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._digest import DIGEST, table_digest
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._parquet import opened_parquet
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._vectors import list_column

__all__ = [
    "Table",
    "json_value",
    "listed",
    "open_text",
    "part_tables",
    "read_table",
    "write_table",
]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
# How the texts begin that this package writes for items.
_OWN_HEADER = '"item_id"'
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


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] = (),
    *,
    kind: str | None = None,
    only: Collection[str] | None = None,
) -> Table:
    """Read a table, or a directory of part files of one kind.

    Parameters
    ----------
    path : str or path-like
        A file in JSON lines, CSV with a header, tab-separated values with a header, or Parquet; or
        a directory of such files, which are read in the order of their names: those that begin with
        a point or an underscore aside.
    columns : sequence of str, default=()
        Columns that the table must have.
    kind : str, optional
        The format as a suffix, ``".csv"`` say; by default what the name says.
    only : collection of str, optional
        Columns to take from Parquet files, as far as they are there; by default all, as from text
        files.

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
        many fields, the table is empty or a column is missing; if a CSV file of this package is
        cut, as its last line shows.
    """
    path = Path(path)
    if path.is_dir():
        table = _read_parts(path, kind, only)
    else:
        kind = file_kind(path, reading=True) if kind is None else kind
        if kind == ".npy":
            raise ValueError(f"{path} holds an array and has no columns; give a table.")
        table = _read_file(path, kind, only, columns)
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
        If the format is unknown, or a text isn't valid Unicode.
    """
    if path == "-":
        # Escaped where the terminal or pipe isn't in UTF-8: JSON all the same.
        if sys.stdout is None:
            raise BrokenPipeError("the standard output is closed")
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        try:
            sys.stdout.writelines(_json_lines(columns, escaped=not utf8))
        except OSError as error:
            raise OSError(
                error.errno, f"can't write the standard output: {error.strerror}"
            ) from error
        return
    path = Path(path)
    kind = file_kind(path) if kind is None else kind
    with _unicode_errors(path), replace_file(path) as file:
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


@contextmanager
def _unicode_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise ValueError(
            f"can't write {path}: {error.object[:40]!r} holds half of a character, which is no "
            "text in UTF-8; mend it first."
        ) from error


def _read_file(
    path: Path, kind: str, only: Collection[str] | None, needed: Sequence[str] = ()
) -> Table:
    return _read_parquet(path, only) if kind == ".parquet" else _read_text(path, kind, needed)


def _read_parts(path: Path, kind: str | None, only: Collection[str] | None) -> Table:
    """Read the files of a directory, all of one kind."""
    files = part_tables(path)
    kinds = sorted(set(files.values())) if kind is None else [kind]
    names = [name for name, found in files.items() if found == kinds[0]] if kinds else []
    if len(kinds) != 1 or not names:
        raise ValueError(
            f"{path} is a directory; it should hold files of one kind among .parquet, .jsonl, .csv "
            f"and .tsv, but holds {', '.join(sorted(set(files.values()))) or 'none'}."
        )
    read = [_read_file(name, kinds[0], only) for name in names]
    # Engines write empty parts, some of them without a header.
    parts = [part for part in read if part.n_rows] or read[:1]
    columns = dict.fromkeys(name for part in parts for name in part)
    there = dict.fromkeys(name for part in parts for name in part.names)
    for part in parts:
        if set(part.names) != set(there) and kinds[0] != ".jsonl":  # records may lack fields
            other = next(p for p in parts if set(p.names) != set(part.names))
            raise ValueError(
                f"{part.path} has the columns {listed(part.names)}, but {other.path} has "
                f"{listed(other.names)}; parts of one table need the same columns."
            )
    numeric = [name for name in columns if all(name in part.numeric for part in parts)]
    metadata = parts[0].metadata if all(p.metadata == parts[0].metadata for p in parts) else None
    n_rows = sum(part.n_rows for part in parts)
    joined = {name: _joined(parts, name) for name in columns}
    return Table(joined, path, numeric, metadata, list(there), n_rows)


def part_tables(path: Path) -> dict[Path, str]:
    """Return the tables in a directory, in the order of their names, and their formats.

    Parameters
    ----------
    path : Path
        The directory; what begins with a point or an underscore is left out, in those below too.

    Returns
    -------
    kinds : dict of Path to str
        Formats as suffixes, by file.
    """
    files = {}
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        if hidden or not file.is_file():
            continue
        with suppress(ValueError):
            files[file] = file_kind(file, reading=True)
    return {file: kind for file, kind in files.items() if kind != ".npy"}


def _joined(parts: Sequence[Table], name: str) -> Any:
    """Return the column of all parts: Arrow's where all have one type, else Python values."""
    columns = [part.get(name, [None] * part.n_rows) for part in parts]
    if not any(isinstance(column, list) for column in columns):
        if len({column.type for column in columns}) == 1:
            return import_pyarrow().chunked_array(
                [chunk for column in columns for chunk in column.chunks], columns[0].type
            )
        columns = [column.to_pylist() for column in columns]
    return [value for column in columns for value in column]


def _read_parquet(path: Path, only: Collection[str] | None) -> Table:
    with opened_parquet(path) as file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ValueError(
                f"{path} has two columns of one name among {listed(names)}; rename one."
            )
        metadata = dict(file.schema_arrow.metadata or {})
        taken = [name for name in names if only is None or name in only]
        # A digest is that of all columns.
        table = file.read(columns=None if DIGEST in metadata else taken, use_threads=False)
    digest = metadata.pop(DIGEST, None)
    if digest is not None and digest != table_digest(table):
        raise ValueError(
            f"{path} is damaged, or was changed since it was written: what it holds has another "
            f"digest than it says. Write it again; if the change is yours, without "
            f"{DIGEST.decode()!r} in the metadata."
        )
    columns = {name: table.column(name) for name in taken}
    return Table(columns, path, (), metadata, names, table.num_rows)


def _read_text(path: Path, kind: str, needed: Sequence[str]) -> Table:
    with open_text(path) as file:
        if kind != ".jsonl":
            return _columns_of_csv(file, path, _DELIMITERS[kind], needed)
        if Path(path.name.lower().removesuffix(".gz")).suffix == ".json":
            text = file.read()
            if text.lstrip()[:1] == "[":
                return _columns_of_records(_records_of_list(text, path), path)
            file.seek(0)
        return _columns_of_records(_records_of_lines(file, path), path)


def _columns_of_csv(file: IO[str], path: Path, delimiter: str, needed: Sequence[str]) -> Table:
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


def _records_of_lines(file: IO[str], path: Path) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json_value(line)
        except (ValueError, RecursionError) as error:  # no JSON, or thousands of digits or levels
            raise ValueError(f"line {number} of {path} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} of {path} is JSON but no object with named fields.")
        yield record


def _records_of_list(text: str, path: Path) -> list[Any]:
    try:
        records = json_value(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(
                f"record {number} (from 0) of {path} is JSON but no object with named fields."
            )
    return records


def _columns_of_records(lines: Iterable[dict[str, Any]], path: Path) -> Table:
    records = list(lines)
    names = dict.fromkeys(name for record in records for name in record)
    return Table({name: [record.get(name) for record in records] for name in names}, path)


def json_value(text: str) -> Any:
    """Return what a JSON text says; an object that names a field twice is an error.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    value : object
        Plain values.

    Raises
    ------
    RecursionError
        If it nests too deeply.
    ValueError
        If it isn't JSON.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has two fields {twice!r}")
    return found


def _write_parquet(
    file: IO[bytes], columns: Mapping[str, Any], metadata: dict[bytes, bytes] | None
) -> None:
    pa = import_pyarrow()
    arrays = {
        name: list_column(value) if _is_matrix(value) else value for name, value in columns.items()
    }
    table = pa.table(arrays).replace_schema_metadata(metadata)
    # Pages have checksums; the footer, which says how to read them, has none.
    table = table.replace_schema_metadata({**(metadata or {}), DIGEST: table_digest(table)})
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


def _json_lines(columns: Mapping[str, Any], escaped: bool = False) -> Iterator[str]:
    lists = (
        v.tolist() if isinstance(v, np.ndarray) and v.ndim == 1 else v for v in columns.values()
    )
    for row in zip(*lists, strict=True):
        values = (value.tolist() if isinstance(value, np.ndarray) else value for value in row)
        yield json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=escaped) + "\n"


def _is_matrix(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 2
