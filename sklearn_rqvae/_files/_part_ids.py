"""Ids in part files: what is missing or repeated, found in eight bytes for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sklearn_rqvae._files._ids import missing_row
from sklearn_rqvae._files._parquet import parquet_batches

__all__ = ["RepeatedIds", "repeated_part_ids"]

_BATCH_ROWS = 65536


class RepeatedIds(NamedTuple):
    """How many ids repeat an earlier one, and where the first of them is."""

    n_repeated: int
    first: Any
    path: Path
    row: int


def repeated_part_ids(paths: Iterable[Path], column: str) -> RepeatedIds | None:
    """Look for ids that repeat an earlier one, in the same Parquet file or in another.

    Ids are compared by hashes, and only those of equal hashes by themselves, in a second pass.

    Parameters
    ----------
    paths : iterable of Path
        The files.
    column : str
        Their column of ids.

    Returns
    -------
    found : RepeatedIds or None
        None if each id is there once.

    Raises
    ------
    ValueError
        If a file has no such column or is damaged, or a row has no id.
    """
    paths = list(paths)
    parts = [_hashes(ids, path, row, column) for path, row, ids in _batches(paths, column)]
    hashes = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    alike = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if not alike:
        return None
    seen: set[Any] = set()
    n_repeated, first = 0, None
    for path, start, ids in _batches(paths, column):
        for row, key in enumerate(map(_key, ids)):
            if hash(key) in alike and key in seen:
                n_repeated += 1
                first = first or (ids[row], path, start + row)
            elif hash(key) in alike:
                seen.add(key)
    return None if first is None else RepeatedIds(n_repeated, *first)


def _batches(paths: list[Path], column: str) -> Iterator[tuple[Path, int, list[Any]]]:
    for path in paths:
        for first_row, batch in parquet_batches(path, [column], _BATCH_ROWS):
            yield path, first_row, batch.column(0).to_pylist()


def _hashes(ids: list[Any], path: Path, first_row: int, column: str) -> Any:
    missing = missing_row(ids)
    if missing is not None:
        raise ValueError(
            f"row {first_row + missing} (from 0) of {path} has no id in column {column!r}; fill it "
            "in, or name another column with --id."
        )
    return np.fromiter((hash(_key(id_)) for id_ in ids), np.int64, len(ids))


def _key(id_: Any) -> Any:
    return repr(id_) if isinstance(id_, list | dict) else id_
