"""Ids and places of a table to write, checked before the work that it is written for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._replace import check_place
from sklearn_rqvae._files._tables import file_kind

__all__ = ["check_table", "writable_ids"]


def check_table(path: str | os.PathLike[str]) -> None:
    """Raise the error that `write_table` would raise for this name, before work is done for it.

    Parameters
    ----------
    path : str or path-like
        File to write, or "-".
    """
    if path != "-":
        file_kind(check_place(path))


def writable_ids(path: str | os.PathLike[str], ids: Sequence[Any]) -> Sequence[Any]:
    """Return ids as `write_table` can write them to this file, before work is done for it.

    In text files dates and times become ISO text.

    Parameters
    ----------
    path : str or path-like
        File to write, or "-".
    ids : sequence
        Identifiers.

    Returns
    -------
    ids : sequence
        The same, or texts.

    Raises
    ------
    ImportError
        If a Parquet file is to be written and pyarrow isn't installed.
    ValueError
        If the file can't hold such ids.
    """
    kind = ".jsonl" if path == "-" else file_kind(Path(path))
    if kind == ".npy" or isinstance(ids, range):
        return ids
    place = "JSON" if path == "-" else path
    if kind == ".parquet":
        pyarrow = import_pyarrow()
        try:
            pyarrow.array(ids)
        except (pyarrow.ArrowException, OverflowError) as error:
            raise ValueError(
                f"{place} can't hold these ids in one column ({error}); make all of them text."
            ) from error
        return ids
    ids = [value.isoformat() if isinstance(value, date | time) else value for value in ids]
    try:
        json.dumps(ids)
    except TypeError as error:
        raise ValueError(
            f"{place} can't hold these ids ({error}); make them text or integers."
        ) from error
    for row, value in enumerate(ids):
        if isinstance(value, str) and not _is_unicode(value):
            raise ValueError(
                f"{place} can't hold the id {value!r} of row {row} (from 0): half of a character "
                "is no text in UTF-8; mend it first."
            )
    return ids


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
