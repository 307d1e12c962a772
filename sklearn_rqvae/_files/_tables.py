"""Tables in files, as named columns: JSON lines, CSV, tab-separated values, Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._csv import DELIMITERS, read_csv, write_csv
from sklearn_rqvae._files._digest import DIGEST, table_digest
from sklearn_rqvae._files._json import json_lines, read_json
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._parquet import opened_parquet
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._table import Table, is_matrix, listed
from sklearn_rqvae._files._vectors import list_column

__all__ = ["open_text", "part_tables", "read_table", "write_table"]


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
            sys.stdout.writelines(json_lines(columns, escaped=not utf8))
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
                text.writelines(json_lines(columns))
            else:
                write_csv(text, DELIMITERS[kind], columns)
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


def _read_text(path: Path, kind: str, needed: Sequence[str]) -> Table:
    with open_text(path) as file:
        if kind == ".jsonl":
            return read_json(file, path)
        return read_csv(file, path, DELIMITERS[kind], needed)


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


def _write_parquet(
    file: IO[bytes], columns: Mapping[str, Any], metadata: dict[bytes, bytes] | None
) -> None:
    pa = import_pyarrow()
    arrays = {
        name: list_column(value) if is_matrix(value) else value for name, value in columns.items()
    }
    table = pa.table(arrays).replace_schema_metadata(metadata)
    # Pages have checksums; the footer, which says how to read them, has none.
    table = table.replace_schema_metadata({**(metadata or {}), DIGEST: table_digest(table)})
    pa.parquet.write_table(table, file, write_page_checksum=True)
