"""Arrays in files of numpy.save, and matrices from whatever file holds them."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._tables import read_table
from sklearn_rqvae._files._vectors import check_finite, matrix_of

__all__ = ["load_array", "load_arrays", "read_matrix"]

# Damaged headers are parsed as Python literals, which fail in ways of their own.
_DAMAGE = (
    *(ValueError, EOFError, SyntaxError, TypeError, LookupError, OverflowError, MemoryError),
    *(AttributeError, RecursionError, tokenize.TokenError),
)
_ARCHIVE_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError)


def load_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Open a file of numpy.save as a memory map, and say which one it is if that fails.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    array : ndarray
        Its array, of no Python objects.

    Raises
    ------
    ValueError
        If it isn't such a file.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(len(np.lib.format.MAGIC_PREFIX))
        if magic != np.lib.format.MAGIC_PREFIX:  # numpy would open an archive, or unpickle
            raise ValueError("it begins otherwise")
        return np.load(path, allow_pickle=False, mmap_mode="r")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is no array of numbers that numpy.save wrote, or it is damaged ({error})."
        ) from error


def load_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read a file of numpy.savez, and say which one it is if that fails.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
        Its arrays by name, of no Python objects.

    Raises
    ------
    ValueError
        If it isn't such a file.
    """
    with open(path, "rb") as file:  # that it can't be opened is no damage
        try:
            if file.read(2) != b"PK":  # numpy would read an array, or unpickle
                raise ValueError("it is no archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (*_DAMAGE, *_ARCHIVE_DAMAGE) as error:
            raise ValueError(
                f"{path} holds no arrays that numpy.savez wrote, or it is damaged ({error})."
            ) from error


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
    if file_kind(path, reading=True) != ".npy":
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
    check_finite(matrix, path, lambda entry: f"column {entry}")
    return matrix
