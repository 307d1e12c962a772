"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["check_place", "replace_file"]


def check_place(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to write, after looking at where it would go.

    Call it before long work whose result goes there.

    Parameters
    ----------
    path : str or path-like
        File to write, which may exist.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    FileNotFoundError
        If the folder doesn't exist.
    IsADirectoryError
        If `path` is a folder itself.
    PermissionError
        If files can't be written to the folder.

    Examples
    --------
    >>> from sklearn_rqvae._files._replace import check_place
    >>> check_place("no such folder/model")
    Traceback (most recent call last):
    ...
    FileNotFoundError: can't write no such folder/model: the folder doesn't exist; make it first.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"can't write {path}: the folder doesn't exist; make it first.")
    if path.is_dir():
        raise IsADirectoryError(f"can't write {path}: it is a folder; name a file in it.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"can't write {path}: the folder is read-only for you; name a file in another."
        )
    return path


@contextmanager
def replace_file(
    path: str | os.PathLike[str], *, draft: str | os.PathLike[str] | None = None
) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends without error.

    Parameters
    ----------
    path : str or path-like
        File to write.
    draft : str or path-like, optional
        The temporary file, in the folder of `path`. By default a name that no other call has; with
        a fixed one, where one process writes at a time, a later call overwrites what a killed one
        has left.

    Yields
    ------
    file : binary file
        The temporary file; deleted if the block fails.
    """
    path = check_place(path)
    mode = "wb"
    if draft is None:
        # "x": a new file, with the permissions that any file of this user gets.
        draft, mode = path.with_name(f".{path.name}.{secrets.token_hex(8)}"), "xb"
    temporary = Path(draft)
    try:
        with open(temporary, mode) as file:
            yield file
            file.flush()
            # The rename must not reach the disk before the content.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
