"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # no Unix: there an open file can't be removed, which says the same
    fcntl = None  # type: ignore[assignment]

__all__ = ["check_place", "in_turn", "lock_file", "replace_file", "sync_folder"]

# A file's name has room for this many bytes, less the point and the random end of its draft.
_LONGEST_STEM = 255 - 18


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
    OSError
        If `path` is a device, a pipe, or a name of an open file such as ``/dev/stdout``: what a
        shell appends to would be lost.
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
    target = _behind_links(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"can't write {path}: the folder doesn't exist; make it first.")
    if _is_opened(path) or (target.exists() and not target.is_file() and not target.is_dir()):
        raise OSError(
            f"can't write {path}: it is a device or a pipe, or was opened by the shell, and what "
            "is written here takes the place of a file as a whole; name a file."
        )
    if target.is_dir():
        raise IsADirectoryError(f"can't write {path}: it is a folder; name a file in it.")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(
            f"can't write {path}: the folder is read-only for you; name a file in another."
        )
    return path


@contextmanager
def replace_file(
    path: str | os.PathLike[str], *, draft: str | os.PathLike[str] | None = None
) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends without error.

    A process that is killed meanwhile leaves its draft, ``.<name>.<16 hexadecimal digits>``. The
    next one that writes a file of this name removes it, but no draft that is being written: a
    writer holds a lock on its own, which ends with the process.

    Parameters
    ----------
    path : str or path-like
        File to write; where it is a link, the file that the link names.
    draft : str or path-like, optional
        The temporary file, in the folder of `path`. By default a name that no other call has; with
        a fixed one, where one process writes at a time, a later call overwrites what a killed one
        has left.

    Yields
    ------
    file : binary file
        The temporary file; deleted if the block fails.

    Raises
    ------
    OSError
        If the file can't be written; the error names it.
    """
    path = check_place(path)
    target = _behind_links(path)
    if draft is None:
        _remove_stale_drafts(target)
        opened = _new_draft(target, path)
    else:
        opened = _only_draft(draft, path)
    try:
        with opened:
            yield opened
            opened.flush()
            # The rename must not reach the disk before the content.
            os.fsync(opened.fileno())
            if fcntl is not None:  # still locked: nobody takes it for stale now
                os.replace(opened.name, target)
        if fcntl is None:
            os.replace(opened.name, target)
        sync_folder(target.parent)
    except BaseException as error:
        opened.discard()
        cause = _cause(error, opened)
        if cause is None:
            raise
        raise _naming(cause, path) from error


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the names of a folder's files on disk, after one has changed.

    Else a loss of power could undo that, while what was written since to other files is there.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    """
    with contextlib.suppress(OSError):  # not every system can, and the files are whole anyway
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Draft(io.BufferedWriter):
    """A file that remembers why it couldn't be written.

    Libraries that write to it in ways of their own tell it in ways of their own, if at all.

    Parameters
    ----------
    place : str or path-like
        The file itself.
    mode : {"ab", "xb"}
        Whether it may exist.
    path : Path
        The file whose place it is to take, for messages.
    """

    def __init__(self, place: str | os.PathLike[str], mode: str, path: Path):
        self.failure: OSError | None = None
        try:
            super().__init__(io.FileIO(place, mode))
        except OSError as error:
            raise _naming(error, path, always=True) from error

    def write(self, data: Any) -> int:
        """Write bytes."""
        with self._remembered():
            return super().write(data)

    def flush(self) -> None:
        """Hand all that was written to the system."""
        with self._remembered():
            super().flush()

    def discard(self) -> None:
        """Close and remove the file; what its buffer holds is given up."""
        with contextlib.suppress(OSError):
            self.raw.close()
        with contextlib.suppress(OSError):
            os.unlink(self.name)

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def _is_opened(path: Path) -> bool:
    """Whether a path, or a link that it names, stands for a file that a process has open."""
    for _ in range(40):  # as many links as systems follow
        if re.fullmatch(r"/proc/[^/]+(/task/\d+)?/fd", os.path.realpath(path.parent)):
            return True
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return False


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _cause(error: BaseException, draft: _Draft) -> OSError | None:
    """Return the error of writing behind another, if there is one and it names no file."""
    if isinstance(error, OSError):
        return error if error.filename is None else None
    return draft.failure if isinstance(error, Exception) else None


def _naming(error: OSError, path: Path, always: bool = False) -> OSError:
    """Return the same error with the name of the file in its message."""
    if error.errno is not None:
        return OSError(error.errno, f"can't write {path}: {error.strerror}")
    if str(path) in str(error) and not always:
        return error
    return type(error)(f"can't write {path}: {error}")


def _stem(target: Path) -> str:
    """Return how the names of a file's drafts begin, where the whole name would be too long."""
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONGEST_STEM else hashlib.sha256(name).hexdigest()


def _new_draft(target: Path, path: Path) -> _Draft:
    """Open a draft that no other call has, and lock it as long as it is open."""
    while True:
        # "x": a new file, with the permissions that any file of this user gets.
        draft = _Draft(target.with_name(f".{_stem(target)}.{secrets.token_hex(8)}"), "xb", path)
        if lock_file(draft.fileno(), wait=True) is None:
            return draft  # no locks here, so nobody removes it either
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(draft.name), os.fstat(draft.fileno())):
                return draft
        # Another process took it for stale between the two steps.
        draft.discard()


def _only_draft(draft: str | os.PathLike[str], path: Path) -> _Draft:
    """Open a draft of a fixed name, unless another process is writing it."""
    opened = _Draft(draft, "ab", path)
    if lock_file(opened.fileno(), wait=False) is False:
        opened.close()
        raise OSError(
            f"can't write {path}: another process is writing it; wait for it, or give each "
            "process a place of its own."
        )
    opened.truncate(0)
    opened.seek(0)
    return opened


def _remove_stale_drafts(target: Path) -> None:
    """Remove the drafts of a file that no process is writing."""
    form = re.compile(rf"\.{re.escape(_stem(target))}\.[0-9a-f]{{16}}")
    stale: list[str] = []
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        stale = [entry.path for entry in entries if form.fullmatch(entry.name)]
    for name in stale:
        with contextlib.suppress(OSError):
            _remove_if_stale(name)


def _remove_if_stale(name: str) -> None:
    if fcntl is None:
        os.unlink(name)  # fails where it is open
        return
    with open(name, "rb") as file:
        if lock_file(file.fileno(), wait=False):
            os.unlink(name)


@contextmanager
def in_turn(
    path: str | os.PathLike[str], waits: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Wait until no other process is inside such a block with this file, and keep others waiting.

    For a file that is read, changed and written as a whole: of two at once, one would be undone.

    Parameters
    ----------
    path : str or path-like
        A file that exists, and that `replace_file` replaces inside the block.
    waits : callable, optional
        Called where there is another, before the wait.
    """
    while True:
        with open(path, "rb") as file:
            locked = lock_file(file.fileno(), wait=False)
            if locked is False:
                waits()
                locked = lock_file(file.fileno(), wait=True)
            if not locked:
                break
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield
                return
            # Replaced while we waited: the next one in turn holds the new file.
    yield  # without locks; the file is closed, since an open one can't be replaced everywhere


def lock_file(descriptor: int, wait: bool) -> bool | None:
    """Lock an open file for this process, until it is closed.

    Parameters
    ----------
    descriptor : int
        The open file.
    wait : bool
        Whether to wait until the file is free.

    Returns
    -------
    locked : bool or None
        Whether that could be done; None where files have no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
