"""Parquet files, opened so that an error names the file, and read a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn_rqvae._compat import import_pyarrow

__all__ = ["opened_parquet", "parquet_batches", "part_files"]

# Bytes of a column read at a time.
_BUFFER_BYTES = 2**20


def part_files(src: Path, suffix: str = ".parquet") -> list[tuple[Path, Path]]:
    """Return the files of a directory and their names below it; hidden ones aside.

    Parameters
    ----------
    src : Path
        A directory, also with directories below, or a single file.
    suffix : str, default=".parquet"
        How the names end.

    Returns
    -------
    files : list of (Path, Path)
        Paths and names, in the order of the names.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    if src.is_file():
        return [(src, Path(src.name))]
    names = sorted(path.relative_to(src) for path in src.rglob(f"*{suffix}") if path.is_file())
    found = [
        (src / name, name)
        for name in names
        if not any(part.startswith((".", "_")) for part in name.parts)
    ]
    if not found:
        raise FileNotFoundError(f"{src} is no directory with {suffix} files.")
    return found


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file; where its pages have checksums, they are verified.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    file : pyarrow.parquet.ParquetFile
        The file, to be read inside the block.

    Raises
    ------
    ValueError
        If it is no Parquet file, or what is read of it in the block is damaged.
    """
    pa = import_pyarrow()
    try:
        with pa.parquet.ParquetFile(
            path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as file:
            if not file.metadata.created_by and _names_its_writer(path):
                raise pa.ArrowInvalid("its footer ends early")
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system, which names the file; damage inside it has no number
        raise ValueError(
            f"{path} is no Parquet file, or is damaged ({error}); replace or remove it."
        ) from error


def _names_its_writer(path: Path) -> bool:
    """Tell whether the footer names Arrow, which a reader that found no name hasn't come to see.

    Zeros in a footer end it for a reader: what the file says of itself is lost without an error.
    """
    with open(path, "rb") as file:
        file.seek(-8, os.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        file.seek(-8 - size, os.SEEK_END)
        return b"parquet-cpp" in file.read(size)


def parquet_batches(
    path: Path, columns: Sequence[str], batch_size: int
) -> Iterator[tuple[int, Any]]:
    """Yield record batches and the numbers of their first rows.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Columns to read.
    batch_size : int
        Rows at a time.

    Yields
    ------
    first_row : int
        Number of the batch's first row in the file.
    batch : pyarrow.RecordBatch
        The rows.

    Raises
    ------
    ValueError
        If a column is missing or the file is damaged.
    """
    with opened_parquet(path) as file:
        names = file.schema_arrow.names
        for column in columns:
            if column not in names:
                raise ValueError(
                    f"{path} has no column {column!r}; it has {', '.join(map(repr, names))}."
                )
        first_row = 0
        for batch in file.iter_batches(batch_size, columns=list(columns), use_threads=False):
            if batch.num_rows:
                yield first_row, batch
            first_row += batch.num_rows
