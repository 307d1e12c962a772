"""A JSON header and plain arrays in one file, replaced as a whole; nothing in it is run."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.exceptions import CheckpointError

__all__ = ["DAMAGE", "Archive", "damage_as_checkpoint_error", "open_archive", "write_archive"]

_HEADER = "header.json"

# What reading a damaged or foreign file, or using its content, raises. Among the ValueErrors are
# those of JSON, UTF-8 and numpy.
DAMAGE = (
    *(zipfile.BadZipFile, EOFError, OSError),  # the archive
    *(RuntimeError, MemoryError),  # its features that are not used, endless nesting, sizes
    *(LookupError, TypeError, ValueError, AttributeError, OverflowError),  # its content
)


class Archive:
    """An open file of `write_archive`.

    Parameters
    ----------
    file : zipfile.ZipFile
        The file.

    Attributes
    ----------
    header : dict
        The header.
    names : list of str
        Names of the arrays.
    stamp : str
        Tells this content from any other: a hash of the names, sizes and checksums of its parts.
    """

    def __init__(self, file: zipfile.ZipFile):
        self._file = file
        for member in file.infolist():
            if member.compress_type != zipfile.ZIP_STORED:  # it may unpack to any size
                raise ValueError(f"{member.filename} is compressed")
        self.header: dict[str, Any] = json.loads(file.read(_HEADER))
        parts = [(part.filename, part.file_size, part.CRC) for part in file.infolist()]
        self.stamp = sha256(repr(parts).encode()).hexdigest()
        self.names = [name[:-4] for name in file.namelist() if name.endswith(".npy")]

    def read(self, name: str) -> NDArray[Any]:
        """Return an array; one of Python objects is an error, since it would hold a pickle."""
        with self._file.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)


def write_archive(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a header and arrays to a file, which appears under its name only when complete.

    The file is a zip archive with a JSON header and an ``.npy`` member for each array.

    Parameters
    ----------
    path : str or path-like
        File to write; an old one is replaced.
    header : dict
        Plain values; NaN and infinities are allowed.
    arrays : mapping of str to ndarray
        Arrays of numbers or bytes.
    """
    text = json.dumps(header)
    # Stored, not deflated: packed numbers hardly compress, and loading is as fast as reading.
    with replace_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(_HEADER), text)
        for name, array in arrays.items():
            with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _member(name: str) -> zipfile.ZipInfo:
    """Return an entry that holds no time: the same content gives the same bytes."""
    return zipfile.ZipInfo(name)


@contextmanager
def open_archive(path: str | os.PathLike[str], what: str, hint: str = "") -> Iterator[Archive]:
    """Open a file of `write_archive`; whatever is wrong with it becomes a CheckpointError.

    Parameters
    ----------
    path : str or path-like
        File to read.
    what : str
        What the file should be, for messages.
    hint : str, default=""
        What else it may be, for messages.

    Yields
    ------
    archive : Archive
        The file, to be read inside the block.

    Raises
    ------
    CheckpointError
        If the file isn't such a file, lacks a part that is read, or is damaged.
    """
    with (
        open(path, "rb") as stream,  # that it can't be opened is no damage
        damage_as_checkpoint_error(path, what, hint),
        zipfile.ZipFile(stream) as file,
    ):
        yield Archive(file)


@contextmanager
def damage_as_checkpoint_error(
    path: str | os.PathLike[str], what: str, hint: str = ""
) -> Iterator[None]:
    """Turn what reading a damaged or foreign file, or using its content, raises to CheckpointError.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    what : str
        What it should be, for messages.
    hint : str, default=""
        What else it may be, for messages.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    CheckpointError
        If the block raises what damage makes it raise.
    """
    try:
        yield
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise CheckpointError(
            f"{os.fspath(path)!r} is not {what}, or it is damaged ({error}).{hint}"
        ) from error
