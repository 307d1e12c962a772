"""What every command does with items: read texts or vectors and their ids, and show progress."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._parquet_matrix import is_parquet, parquet_matrix
from sklearn_rqvae._files._replace import check_place, replace_file
from sklearn_rqvae._files._table import Table, listed
from sklearn_rqvae._files._tables import read_table, write_table
from sklearn_rqvae._files._vectors import matrix_of

__all__ = [
    "check_places",
    "in_batches",
    "is_array",
    "model_columns",
    "print_json",
    "read_items",
    "read_model_items",
    "say",
    "texts_of",
    "warn",
    "write_rows",
]


# Columns of ids that need no option.
ITEM_COLUMNS = ("item_id", "id")
# Rows between two steps of a progress bar.
BATCH_ROWS = 1024


def read_items(
    args: argparse.Namespace,
    text: Sequence[str] | None,
    vector: str | None,
    id_column: str | None,
    *,
    needs_ids: bool = False,
) -> tuple[Any, Sequence[Any]]:
    """Return texts or vectors, and ids; these are a range where no column holds them."""
    if is_array(args.input):
        if text or vector or args.id:
            raise ValueError(
                f"{args.input} holds an array: --text, --vector and --id name columns of tables."
            )
        vectors = read_matrix(args.input, None)
        return vectors, range(len(vectors))
    named = [*(text or ()), *([id_column] if id_column else ())]
    streamed = not text and is_parquet(Path(args.input))
    only = [*named, *ITEM_COLUMNS] if text or streamed else None
    table = read_table(args.input, named, only=only)
    if id_column is None:
        known = (name for name in ITEM_COLUMNS if name in table)
        id_column = next((name for name in known if name not in (*(text or ()), vector)), None)
    if needs_ids and not id_column:
        _number_rows(table, text or (), vector)
    ids = table.column(id_column) if id_column else range(table.n_rows)
    if streamed:
        return parquet_matrix(Path(args.input), str(vector)), ids
    if not text:
        return matrix_of(table, str(vector), args.input), ids
    fields = [texts_of(table, column, args.input) for column in text]
    return [" ".join(part for part in row if part) for row in zip(*fields, strict=True)], ids


def model_columns(
    args: argparse.Namespace, model: dict[str, Any]
) -> tuple[Sequence[str] | None, str | None]:
    """Return the columns of texts and of vectors: those named, or those that the model knows."""
    text, vector = args.text or model["text"], args.vector or model["vector"]
    if is_array(args.input):
        text, vector = args.text, args.vector
    if bool(text) != bool(model["text"]) or (args.vector and model["text"]):
        kind = "texts" if model["text"] else "vectors"
        raise ValueError(f"the model was fitted on {kind}; give it {kind}.")
    if not text and not vector and not is_array(args.input):
        raise ValueError(f"name the column of {args.input} that holds the vectors with --vector.")
    return text, None if text else vector


def _number_rows(table: Table, text: Sequence[str], vector: str | None) -> None:
    """Refuse to number rows where another column may hold their ids, and say so elsewhere."""
    pattern = None if vector is None else re.compile(rf"{re.escape(vector)}(_\d+)?")
    read = {name for name in table.names if pattern is not None and pattern.fullmatch(name)}
    others = [name for name in table.names if name not in {*text, *read}]
    if others:
        raise ValueError(
            f"{table.path} has no column item_id or id, but {listed(others)}; name the column of "
            "its ids with --id. If there is none, add one, or write .npy, which holds no ids."
        )
    warn(f"the ids are row numbers of {table.path}, which has no other columns.")


def read_model_items(
    args: argparse.Namespace, model: dict[str, Any], *, needs_ids: bool = False
) -> tuple[Any, Sequence[Any]]:
    """Read the columns named in the arguments, or else those that the model was fitted on."""
    text, vector = model_columns(args, model)
    items, ids = read_items(args, text, vector, args.id or model["id"], needs_ids=needs_ids)
    length = model["pipeline"].n_features_in_
    if not text and items.shape[1] != length:
        raise ValueError(
            f"{args.input} holds vectors of length {items.shape[1]}, but the model was fitted to "
            f"length {length}; give vectors of the same kind."
        )
    return items, ids


def is_array(path: str) -> bool:
    """Whether a file's name says that it holds an array, which has no columns."""
    return Path(path).suffix.lower() == ".npy"


def texts_of(table: Table, column: str, path: str) -> list[str]:
    """Return the fields of a column as text, by the rule that every command has for them."""
    from sklearn_rqvae.embedding._texts import field_text

    name = f"column {column!r} of {path}"
    return [field_text(value, name, row) for row, value in enumerate(table.column(column))]


def check_places(
    inputs: Sequence[str | None], outputs: dict[str, str | None], *, prints: bool = False
) -> None:
    """Look at where a command would write, before the work that is done for it.

    Parameters
    ----------
    inputs : sequence of str or None
        Files that the command reads, None for those that aren't given.
    outputs : dict of str to str or None
        Files that it writes, by their options.
    prints : bool, default=False
        Whether the command prints what goes to "-".

    Raises
    ------
    OSError, ValueError
        If "-" isn't printed, or a file can't be written there, or would take the place of one that
        is read or of another output.
    """
    read = [os.path.realpath(path) for path in inputs if path is not None]
    taken = dict.fromkeys(read, "a file that is read")
    for option, path in outputs.items():
        if path is None or (path == "-" and prints):
            continue
        if path == "-":
            raise ValueError(
                f"{option} - would be printed, which only encode and decode do; name a file."
            )
        place = os.path.realpath(path)
        if place in taken:
            raise ValueError(f"{option} {path} would overwrite {taken[place]}; give another name.")
        around = next((folder for folder in read if place.startswith(folder + os.sep)), None)
        if around is not None:
            raise ValueError(
                f"{option} {path} would be among the files of {around}, which are read; give a "
                "place outside."
            )
        taken[place] = f"the file of {option}"
        check_place(path)


def in_batches(function: Any, rows: Any, what: str) -> NDArray[Any]:
    """Apply a function of rows to a batch of rows at a time, with a progress bar."""
    from tqdm import tqdm

    results: NDArray[Any] | None = None
    with tqdm(total=len(rows), desc=what, unit="row", leave=False, disable=None) as bar:
        for start in range(0, len(rows), BATCH_ROWS):
            part = function(rows[start : start + BATCH_ROWS])
            if results is None:
                results = np.empty((len(rows), *part.shape[1:]), dtype=part.dtype)
            results[start : start + len(part)] = part
            bar.update(len(part))
    assert results is not None  # there is a row
    return results


def print_json(values: Any) -> None:
    """Print one JSON object, in which null stands for what doesn't exist: NaN is no JSON."""
    print(json.dumps(_with_nulls(values)))


def _with_nulls(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _with_nulls(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_with_nulls(value) for value in values]
    return None if isinstance(values, float) and not isfinite(values) else values


def say(what: str) -> None:
    """Tell on the standard error what takes time now."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def warn(what: str) -> None:
    """Say on the standard error what may be otherwise than meant."""
    print(f"sklearn-rqvae: warning: {what}", file=sys.stderr, flush=True)


def write_rows(path: str, ids: Sequence[Any], column: str, matrix: NDArray[Any]) -> None:
    """Write rows of numbers with their ids, which a NumPy file has no place for.

    Parameters
    ----------
    path : str
        File to write; "-" prints.
    ids : sequence of length n_rows
        Identifier of each row, as from `writable_ids`.
    column : str
        Name of the numbers.
    matrix : ndarray of shape (n_rows, n_columns)
        The numbers.
    """
    if path != "-" and file_kind(path) == ".npy":
        with replace_file(path) as file:
            np.save(file, matrix, allow_pickle=False)
    else:
        write_table(path, {"item_id": list(ids), column: matrix})
