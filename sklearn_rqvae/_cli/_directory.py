"""Vectors in a directory of Parquet files on the command line: taken in bounded memory.

All else in a directory of part files, texts say, is read as the table that a file would hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn_rqvae._cli._items import ITEM_COLUMNS, warn
from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._parquet import opened_parquet, part_files
from sklearn_rqvae._files._part_ids import RepeatedIds, repeated_part_ids
from sklearn_rqvae._files._table import listed
from sklearn_rqvae._files._tables import part_tables
from sklearn_rqvae.io import fit_parquet, transform_parquet
from sklearn_rqvae.io._parquet import planned_files

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["encode_directory", "fit_directory", "is_streamed"]


def is_streamed(path: str, vector: str | None, out: str | None) -> bool:
    """Whether rows pass in batches: vectors in Parquet files, and IDs, if any, to a directory.

    Parameters
    ----------
    path : str
        Where the items are.
    vector : str or None
        Their column of vectors, if it isn't texts that are read.
    out : str or None
        Where the IDs go, if they are written.
    """
    if vector is None or not Path(path).is_dir() or (out is not None and _is_file(out)):
        return False
    return set(part_tables(Path(path)).values()) == {".parquet"}


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
        If ids are needed and there are none, or some are missing or repeated, or the IDs would go
        among the items.
    """
    column = args.id
    if args.ids:
        column = _id_column(args.input, args.id)
        planned_files(args.input, args.ids, column)
    if column:
        found = _repeated(args.input, column)
        if found is not None:
            raise ValueError(
                f"{_what_repeats(found, args.input)}; an item needs an id of its own: drop these "
                "rows, or name another column with --id."
            )
    started = time.monotonic()
    fit_parquet(quantizer, args.input, vector_column=args.vector)
    save(args, quantizer)
    summary = f"Fitted {args.input} in {time.monotonic() - started:.0f} s and saved {args.out}."
    if args.ids:
        summary += " " + _encode(quantizer, args.input, args.ids, column, args.vector)
    return summary


def encode_directory(args: argparse.Namespace, model: dict[str, Any], vector_column: str) -> str:
    """Write the IDs of the items in a directory to another one.

    Returns
    -------
    summary : str
        What was done.

    Raises
    ------
    ValueError
        If there are no ids, or some are missing.
    """
    column = _id_column(args.input, args.id or model["id"])
    planned_files(args.input, args.out, column)
    found = _repeated(args.input, column)
    if found is not None:
        warn(f"{_what_repeats(found, args.input)}; index build takes each id once.")
    return _encode(model["pipeline"], args.input, args.out, column, vector_column)


def _is_file(out: str) -> bool:
    """Whether a name is that of a table, and no directory has it."""
    if out == "-":
        return True
    try:
        file_kind(out)
    except ValueError:
        return False
    return not Path(out).is_dir()


def _id_column(path: str, named: str | None) -> str:
    """Return the column of ids: the one named, or one that needs no option, as in a file."""
    if named:
        return named
    first = part_files(Path(path))[0][0]
    with opened_parquet(first) as file:
        names = file.schema_arrow.names
    for name in ITEM_COLUMNS:
        if name in names:
            return name
    raise ValueError(f"{first} has no column item_id or id; name the column of its ids with --id.")


def _repeated(path: str, column: str) -> RepeatedIds | None:
    files = [file for file, _ in part_files(Path(path))]
    kinds = {_id_kind(file, column): file for file in files}
    kinds.pop("", None)
    if len(kinds) > 1:
        raise ValueError(
            f"column {column!r} holds text in {kinds['text']} and integers in {kinds['integers']}; "
            "the ids of one catalog are all of one kind: convert those of one file."
        )
    return repeated_part_ids(files, column)


def _id_kind(path: Path, column: str) -> str:
    """Return what the ids of a file are, "text" or "integers", or "" for a part without rows.

    No catalog takes other ids from a file: those of a column are passed on as they are.
    """
    types = import_pyarrow().types
    with opened_parquet(path) as file:
        names = file.schema_arrow
    if column not in names.names:
        raise ValueError(f"{path} has no column {column!r}; it has {listed(names.names)}.")
    kind = names.field(column).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_null(kind):
        return ""
    if types.is_integer(kind):
        return "integers"
    if str(kind).removeprefix("large_").removesuffix("_view") in ("string", "binary"):
        return "text"
    raise ValueError(
        f"column {column!r} of {path} holds {kind}, but ids are text or integers; convert them "
        "first, or name another column with --id."
    )


def _what_repeats(found: RepeatedIds, path: str) -> str:
    return (
        f"{found.n_repeated} ids of {path} repeat an earlier one, such as {found.first!r} in row "
        f"{found.row} (from 0) of {found.path}"
    )


def _encode(
    quantizer: BaseEstimator, src: str, dst: str, id_column: str, vector_column: str
) -> str:
    done = transform_parquet(quantizer, src, dst, id_column=id_column, vector_column=vector_column)
    summary = f"Wrote the IDs of {done.n_rows} items to {done.n_files} files in {dst}"
    return summary + (f"; {done.n_skipped} were there." if done.n_skipped else ".")
