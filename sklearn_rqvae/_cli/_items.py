"""What every command does with items: read texts or vectors and their ids, and show progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._tables import FORMATS, file_kind, read_table, write_table
from sklearn_rqvae._files._vectors import matrix_of

__all__ = [
    "add_input",
    "add_seed",
    "as_text",
    "in_batches",
    "read_items",
    "read_model_items",
    "say",
    "write_rows",
]


# Rows between two steps of a progress bar.
BATCH_ROWS = 1024


def read_items(
    args: argparse.Namespace, text: Sequence[str] | None, vector: str | None, id_column: str | None
) -> tuple[Any, Sequence[Any]]:
    """Return texts or vectors, and ids."""
    if Path(args.input).suffix == ".npy":
        if text or vector:
            raise ValueError(
                f"{args.input} holds an array: --text and --vector name columns of tables."
            )
        vectors = read_matrix(args.input, None)
        return vectors, range(len(vectors))
    table = read_table(args.input, [*(text or ()), *([id_column] if id_column else ())])
    ids = table.column(id_column) if id_column else range(table.n_rows)
    if not text:
        return matrix_of(table, str(vector), args.input), ids
    fields = [[as_text(value) for value in table.column(column)] for column in text]
    return [" ".join(part for part in row if part) for row in zip(*fields, strict=True)], ids


def read_model_items(args: argparse.Namespace, model: dict[str, Any]) -> tuple[Any, Sequence[Any]]:
    """Read the columns named in the arguments, or else those that the model was fitted on."""
    text, vector = args.text or model["text"], args.vector or model["vector"]
    if Path(args.input).suffix == ".npy":
        text, vector = args.text, args.vector
    if bool(text) != bool(model["text"]):
        kind = "texts" if model["text"] else "vectors"
        raise ValueError(f"the model was fitted on {kind}; give it {kind}.")
    if not text and not vector and Path(args.input).suffix != ".npy":
        raise ValueError(f"name the column of {args.input} that holds the vectors with --vector.")
    return read_items(args, text, None if text else vector, args.id or model["id"])


def as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(as_text(part) for part in value)
    return "" if value is None else str(value)


def in_batches(function: Any, rows: Any, what: str) -> NDArray[Any]:
    """Apply a function of rows to a batch of rows at a time, with a progress bar."""
    from tqdm import tqdm

    starts = range(0, len(rows), BATCH_ROWS)
    with tqdm(total=len(rows), desc=what, unit="row", leave=False, disable=None) as bar:
        parts = []
        for start in starts:
            parts.append(function(rows[start : start + BATCH_ROWS]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def say(what: str) -> None:
    """Tell on the standard error what takes time now."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="ITEMS", help=f"{FORMATS}; fit and encode: or a directory of .parquet"
    )
    parser.add_argument(
        "--text", nargs="+", metavar="COLUMN", help="columns joined to the item's text"
    )
    parser.add_argument("--vector", metavar="COLUMN", help="column of the item's vector")
    parser.add_argument(
        "--id", metavar="COLUMN", help="column of the item's id; else its row number"
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="random state")


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
