"""What every saved file says of itself: its format, what it holds, and which versions wrote it."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from sklearn_rqvae._versions import present_versions, warn_of_versions
from sklearn_rqvae.exceptions import CheckpointError

__all__ = ["FORMAT_VERSION", "Origin", "check_header", "file_header", "origin_of"]

FORMAT = "sklearn_rqvae"
FORMAT_VERSION = 2


class Origin(NamedTuple):
    """Which kind of file it is, in which version of the format."""

    kind: str
    format_version: Any


def file_header(kind: str) -> dict[str, Any]:
    """Return the header of a file to be saved.

    Parameters
    ----------
    kind : str
        Name of the class whose state it is.

    Returns
    -------
    header : dict
        Plain values.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "versions": present_versions(),
    }


def origin_of(header: Any) -> Origin | None:
    """Return what a header says of its file, None if it isn't one of ours.

    Before format 2 there were three headers: a number and a kind in files of estimators, a kind in
    the name of the format in those of indexes and modules.
    """
    if not isinstance(header, dict):
        return None
    name = header.get("format")
    if name == FORMAT:
        return Origin(str(header.get("kind")), header.get("format_version"))
    if isinstance(name, str) and name.startswith(FORMAT + "."):
        version = header.get("version", header.get("format_version"))
        return Origin(name.removeprefix(FORMAT + "."), version)
    if isinstance(name, int) and "kind" in header:
        return Origin(str(header["kind"]), name)
    return None


def check_header(header: Any, kind: str, path: str | os.PathLike[str]) -> None:
    """Refuse a file that holds something else, or is of a version that this one doesn't read.

    Where another version of this package or of scikit-learn wrote it, warn.

    Parameters
    ----------
    header : object
        What stands where the header should.
    kind : str
        Name of the class whose state is expected.
    path : str or path-like
        The file, for messages.

    Raises
    ------
    CheckpointError
        If it is such a file.
    """
    origin = origin_of(header)
    if origin is None:
        raise CheckpointError(f"{os.fspath(path)!r} is not a saved {kind}.")
    if origin.kind != kind:
        raise CheckpointError(
            f"{os.fspath(path)!r} holds a {origin.kind}, not a {kind}; call {origin.kind}.load "
            f"({origin.kind}.load_from_checkpoint for a module)."
        )
    version = origin.format_version
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{os.fspath(path)!r} is damaged: its format version is {version!r}.")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{os.fspath(path)!r} has format version {version}, but this version of sklearn-rqvae "
            f"reads up to {FORMAT_VERSION}; upgrade it."
        )
    versions = header.get("versions", {})
    if not isinstance(versions, dict) or not all(isinstance(v, str) for v in versions.values()):
        raise CheckpointError(f"{os.fspath(path)!r} is damaged: its versions are {versions!r}.")
    warn_of_versions(kind, versions)
