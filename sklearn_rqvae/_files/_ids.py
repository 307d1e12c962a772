"""Ids and places of a table to write, checked before the work that it is written for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import date, time
from typing import Any

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._replace import check_place

__all__ = ["check_ids", "check_table", "missing_row", "repeated_row", "writable_ids"]


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
    """Return ids as a catalog takes them from this file, before work is done for it.

    Dates and times become ISO text, and bytes the text that they are in UTF-8.

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
        If they are no ids of a catalog, which are all text or all integers of 64 bits.
    """
    kind = ".jsonl" if path == "-" else file_kind(path)
    if kind == ".npy" or isinstance(ids, range):
        return ids
    if kind == ".parquet":
        import_pyarrow()
    place = "JSON" if path == "-" else path
    if ids and all(isinstance(value, bytes) for value in ids):
        ids = [_decoded(value, place, row) for row, value in enumerate(ids)]
    ids = [value.isoformat() if isinstance(value, date | time) else value for value in ids]
    _check_kinds(ids, place)
    _check_unicode(ids, place)
    return ids


def check_ids(ids: Sequence[Any], source: str | os.PathLike[str], column: str | None) -> None:
    """Refuse ids that are missing or repeated: an item needs one of its own.

    Parameters
    ----------
    ids : sequence
        Identifiers.
    source : str or path-like
        The file that they are from, for messages.
    column : str or None
        Their column, for messages; None for item_id or id.

    Raises
    ------
    ValueError
        If an id is missing or repeats an earlier one.
    """
    place = "item_id or id" if column is None else repr(column)
    row = missing_row(ids)
    if row is not None:
        raise ValueError(
            f"row {row} (from 0) of {source} has no id in column {place}; fill it in, or name "
            "another column with --id."
        )
    row, n_repeated = repeated_row(ids)
    if row is not None:
        raise ValueError(
            f"column {place} of {source} has {n_repeated} ids that repeat an earlier one, such "
            f"as {ids[row]!r} in row {row} (from 0); an item needs an id of its own: drop these "
            "rows, or name another column with --id."
        )


def missing_row(ids: Sequence[Any]) -> int | None:
    """Return the first row without an id: None, NaN or an empty text; None if there is none."""
    if isinstance(ids, range):
        return None
    return next((row for row, id_ in enumerate(ids) if _is_missing(id_)), None)


def repeated_row(ids: Sequence[Any]) -> tuple[int | None, int]:
    """Return the first row whose id is an earlier row's, if there is one, and their number."""
    if isinstance(ids, range):
        return None, 0
    seen: set[Any] = set()
    first, n_repeated = None, 0
    for row, id_ in enumerate(ids):
        key = json.dumps(id_, default=repr) if isinstance(id_, list | dict) else id_
        if key in seen:
            first = row if first is None else first
            n_repeated += 1
        seen.add(key)
    return first, n_repeated


def _is_missing(id_: Any) -> bool:
    return id_ is None or (isinstance(id_, float) and id_ != id_) or id_ in ("", b"")


def _check_kinds(ids: Sequence[Any], place: object) -> None:
    """Refuse what no catalog takes as ids: neither text nor integers, or both."""
    for row, value in enumerate(ids):
        kind = type(value)
        if not issubclass(kind, str | int) or kind is bool or kind is not type(ids[0]):
            found = repr(value) if len(repr(value)) < 40 else kind.__name__
            beside = f" beside {ids[0]!r}" if row else ""
            raise ValueError(
                f"{place} can't hold the id {found} of row {row} (from 0){beside}: ids are all "
                "text or all integers; convert them first."
            )
        if issubclass(kind, int) and not -(2**63) <= value < 2**63:
            raise ValueError(
                f"{place} can't hold the id {value} of row {row} (from 0) for a catalog, whose "
                "integers have 64 bits; make the ids text."
            )


def _decoded(value: bytes, place: object, row: int) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place} can't hold the id {value!r} of row {row} (from 0), which is no text in UTF-8 "
            f"({error}); make the ids text, in hexadecimal say."
        ) from error


def _check_unicode(ids: Sequence[Any], place: object) -> None:
    for row, value in enumerate(ids):
        if isinstance(value, str) and not _is_unicode(value):
            raise ValueError(
                f"{place} can't hold the id {value!r} of row {row} (from 0): half of a character "
                "is no text in UTF-8; mend it first."
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
