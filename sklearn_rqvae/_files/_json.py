"""Tables as JSON: an object in each line, or a list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from sklearn_rqvae._files._table import Table

__all__ = ["json_lines", "json_value", "read_json"]


def read_json(file: IO[str], path: Path) -> Table:
    """Read lines of objects; a file that is named .json may hold one list of them."""
    if Path(path.name.lower().removesuffix(".gz")).suffix == ".json":
        text = file.read()
        if text.lstrip()[:1] == "[":
            return _columns_of_records(_records_of_list(text, path), path)
        file.seek(0)
    return _columns_of_records(_records_of_lines(file, path), path)


def _records_of_lines(file: IO[str], path: Path) -> Iterator[Any]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json_value(line)
        except (ValueError, RecursionError) as error:  # no JSON, or thousands of digits or levels
            raise ValueError(f"line {number} of {path} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} of {path} is JSON but no object with named fields.")
        yield record


def _records_of_list(text: str, path: Path) -> list[Any]:
    try:
        records = json_value(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise ValueError(
                f"record {number} (from 0) of {path} is JSON but no object with named fields."
            )
    return records


def _columns_of_records(lines: Iterable[dict[str, Any]], path: Path) -> Table:
    records = list(lines)
    names = dict.fromkeys(name for record in records for name in record)
    return Table({name: [record.get(name) for record in records] for name in names}, path)


def json_value(text: str) -> Any:
    """Return what a JSON text says; an object that names a field twice is an error.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    value : object
        Plain values.

    Raises
    ------
    RecursionError
        If it nests too deeply.
    ValueError
        If it isn't JSON.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has two fields {twice!r}")
    return found


def json_lines(columns: Mapping[str, Any], escaped: bool = False) -> Iterator[str]:
    """Yield an object of each row, as a line; `escaped` has ASCII only."""
    lists = (
        v.tolist() if isinstance(v, np.ndarray) and v.ndim == 1 else v for v in columns.values()
    )
    for row in zip(*lists, strict=True):
        values = (value.tolist() if isinstance(value, np.ndarray) else value for value in row)
        yield json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=escaped) + "\n"
