"""A column of vectors in Parquet files as one matrix, read a batch at a time and held once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._parquet import opened_parquet, parquet_batches, part_files
from sklearn_rqvae._files._tables import part_tables
from sklearn_rqvae._files._vectors import batch_vectors, vector_columns

__all__ = ["is_parquet", "parquet_matrix"]

_BATCH_ROWS = 4096


def is_parquet(path: Path) -> bool:
    """Whether a file, or all tables in a directory, are in Parquet.

    Parameters
    ----------
    path : Path
        The file or directory; a file of another name than tables have is an error.
    """
    if path.is_dir():
        return set(part_tables(path).values()) == {".parquet"}
    return file_kind(path, reading=True) == ".parquet"


def parquet_matrix(path: Path, column: str) -> NDArray[Any]:
    """Read a column of vectors, and no other, into a matrix in its own type of number.

    Parameters
    ----------
    path : Path
        A Parquet file, or a directory of them, which are read in the order of their names.
    column : str
        Name of a column of lists, or of the columns ``<column>_0``, ….

    Returns
    -------
    matrix : ndarray of shape (n_rows, n_columns)
        The numbers; of files whose types differ, in the one that holds them all.

    Raises
    ------
    TypeError
        If the column holds no lists of numbers.
    ValueError
        If there is no such column, a file is damaged, or a vector is missing, not finite or of
        another length than the first.
    """
    files = [file for file, _ in part_files(path)]
    n_rows = sum(map(_n_rows, files))
    matrix: NDArray[Any] | None = None
    filled = 0
    for file, first_row, vectors in _vectors(files, column):
        if matrix is None:
            matrix = np.empty((n_rows, vectors.shape[1]), dtype=vectors.dtype)
        if vectors.shape[1] != matrix.shape[1]:
            raise ValueError(
                f"row {first_row} of {file} has a vector of length {vectors.shape[1]} instead of "
                f"{matrix.shape[1]} in column {column!r}; fill or drop such rows first."
            )
        matrix = matrix.astype(np.result_type(matrix, vectors), copy=False)
        matrix[filled : filled + len(vectors)] = vectors
        filled += len(vectors)
    if matrix is None:
        raise ValueError(f"{path} holds no rows.")
    return matrix


def _vectors(files: list[Path], column: str) -> Iterator[tuple[Path, int, NDArray[Any]]]:
    for file in files:
        with opened_parquet(file) as opened:
            names = vector_columns(opened.schema_arrow.names, column, file)
        for first_row, batch in parquet_batches(file, names, _BATCH_ROWS):
            yield file, first_row, batch_vectors(batch, column, str(file), first_row)


def _n_rows(file: Path) -> int:
    with opened_parquet(file) as opened:
        return int(opened.metadata.num_rows)
