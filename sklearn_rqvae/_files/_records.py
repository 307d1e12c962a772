"""A file of checked records that only grows, of which a kill at any time takes none."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from sklearn_rqvae._files._replace import lock_file, sync_folder
from sklearn_rqvae._guards import warn_caller

__all__ = ["RecordFile", "read_records"]

_MAGIC = b"sklearn_rqvae records 1\n"
# The size of a record, its checksum, and the checksum of these two.
_HEAD = struct.Struct("<III")


def read_records(path: str | os.PathLike[str]) -> list[bytes]:
    """Read the records of a file.

    Parameters
    ----------
    path : str or path-like
        File that a `RecordFile` wrote, perhaps while it is being written.

    Returns
    -------
    records : list of bytes
        All that were written completely.

    Raises
    ------
    ValueError
        If it's another file, or damaged before its end.
    """
    return _records(Path(path).read_bytes(), path)[0]


class RecordFile:
    """Add records to a file, which no other process may write meanwhile.

    Parameters
    ----------
    path : str or path-like
        The file; made if it isn't there.

    Raises
    ------
    OSError
        If it can't be written, or another process writes it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._process = os.getpid()
        self._file = os.fdopen(
            os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0
        )
        self._end = 0
        if lock_file(self._file.fileno(), wait=False) is False:
            self.close()
            raise OSError(
                f"can't write {self.path}: another process, or another object of this one, is "
                "writing it; close that first, or take another file."
            )

    def read(self) -> list[bytes]:
        """Return the records; what a killed process left half-written is cut off."""
        self._file.seek(0)
        records, self._end = _records(self._file.read(), self.path)
        self._file.truncate(self._end)
        return records

    def rewrite(self, records: Sequence[bytes]) -> None:
        """Replace all records; a process killed meanwhile leaves none, or some of the first."""
        self._file.truncate(0)
        self._end = 0
        self._write(_MAGIC + b"".join(map(_framed, records)))
        sync_folder(self.path.parent)  # where it is new

    def append(self, record: bytes) -> None:
        """Add a record; when this returns it is on disk. Fails as a whole or not at all."""
        self._write(_framed(record))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let others write the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()

    def _write(self, data: bytes) -> None:
        if os.getpid() != self._process:  # a fork has the file, and with it the lock, too
            raise OSError(
                f"can't write {self.path}: the process that opened it has forked, and one of both "
                "can write it; open it again in a process of its own."
            )
        try:
            self._file.seek(self._end)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            if isinstance(error, OSError) and error.filename is None:
                raise OSError(error.errno, f"can't write {self.path}: {error.strerror}") from error
            raise
        self._end += len(data)


def _framed(record: bytes) -> bytes:
    start = struct.pack("<II", len(record), crc32(record))
    return start + struct.pack("<I", crc32(start)) + record


def _records(data: bytes, path: str | os.PathLike[str]) -> tuple[list[bytes], int]:
    """Return the whole records, and where the last of them ends.

    One that is cut had not been written when its process ended. One that is there in full but wrong
    had, perhaps: that is said.
    """
    if len(data) < len(_MAGIC) and _MAGIC.startswith(data):
        return [], 0
    if not data.startswith(_MAGIC):
        raise ValueError("it doesn't begin as a file of records does")
    records: list[bytes] = []
    start = len(_MAGIC)
    while len(data) - start >= _HEAD.size:
        size, checksum, head_checksum = _HEAD.unpack_from(data, start)
        body = start + _HEAD.size
        if not any(data[start:body]):  # room that the system gave, and nothing came
            break
        if crc32(data[start : start + 8]) != head_checksum:
            raise ValueError(f"record {len(records)} is damaged")
        if body + size > len(data):
            break
        record = data[body : body + size]
        if crc32(record) != checksum:
            if body + size == len(data):
                warn_caller(
                    f"the last change in {os.fspath(path)} is damaged, by a loss of power say, and "
                    "left out; look whether it is missing, and make it again.",
                )
                break
            raise ValueError(f"record {len(records)} is damaged")
        records.append(record)
        start = body + size
    return records, start
