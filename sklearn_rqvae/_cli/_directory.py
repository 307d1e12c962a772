"""Directories of Parquet files on the command line: fitted and encoded in bounded memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_rqvae._files._parquet import opened_parquet
from sklearn_rqvae._files._tables import listed
from sklearn_rqvae.io import fit_parquet, transform_parquet
from sklearn_rqvae.io._parquet import planned_files

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["encode_directory", "fit_directory"]


def fit_directory(
    args: argparse.Namespace,
    quantizer: BaseEstimator,
    save: Callable[[argparse.Namespace, Any], None],
) -> str:
    """Fit to the vectors in a directory, save the model, and write the IDs if asked for.

    Returns
    -------
    summary : str
        What was done.

    Raises
    ------
    ValueError
        If the arguments name texts, or no columns that are needed, or a place for the IDs among
        the items.
    """
    _refuse_texts(args, args.text)
    _require_id(args, args.id, "--ids" if args.ids else None)
    if args.ids:
        for path, _ in planned_files(args.input, args.ids, args.id):
            _check_column(path, args.id)
    started = time.monotonic()
    fit_parquet(quantizer, args.input, vector_column=args.vector)
    save(args, quantizer)
    summary = f"Fitted {args.input} in {time.monotonic() - started:.0f} s and saved {args.out}."
    if args.ids:
        summary += " " + _encode(quantizer, args.input, args.ids, args.id, args.vector)
    return summary


def encode_directory(args: argparse.Namespace, model: dict[str, Any]) -> str:
    """Write the IDs of the items in a directory to another one.

    Returns
    -------
    summary : str
        What was done.

    Raises
    ------
    ValueError
        If the model was fitted on texts, or a column or the output isn't named.
    """
    _refuse_texts(args, model["text"] or args.text)
    if args.out == "-":
        raise ValueError(f"{args.input} is a directory; name one for the IDs with --out.")
    id_column, vector_column = args.id or model["id"], args.vector or model["vector"]
    if vector_column is None:
        raise ValueError(f"name the column of {args.input} that holds the vectors with --vector.")
    _require_id(args, id_column, "a directory")
    return _encode(model["pipeline"], args.input, args.out, id_column, vector_column)


def _check_column(path: Path, column: str) -> None:
    with opened_parquet(path) as file:
        names = file.schema_arrow.names
    if column not in names:
        raise ValueError(f"{path} has no column {column!r}; it has {listed(names)}.")


def _refuse_texts(args: argparse.Namespace, columns: list[str] | None) -> None:
    if columns:
        raise ValueError(
            f"{args.input} is a directory: vectors are read from it, not texts; embed these first, "
            "or give a file."
        )


def _require_id(args: argparse.Namespace, id_column: str | None, needed_by: str | None) -> None:
    if needed_by and not id_column:
        raise ValueError(
            f"name the column of the ids in {args.input} with --id; {needed_by} needs it."
        )


def _encode(
    quantizer: BaseEstimator, src: str, dst: str, id_column: str, vector_column: str
) -> str:
    done = transform_parquet(quantizer, src, dst, id_column=id_column, vector_column=vector_column)
    summary = f"Wrote the IDs of {done.n_rows} items to {done.n_files} files in {dst}"
    return summary + (f"; {done.n_skipped} were there." if done.n_skipped else ".")
