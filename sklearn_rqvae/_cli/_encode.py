"""``sklearn-rqvae encode`` and ``decode``: from items to IDs and from IDs to vectors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn_rqvae._cli._items import (
    check_places,
    in_batches,
    is_array,
    model_columns,
    read_model_items,
    warn,
    write_rows,
)
from sklearn_rqvae._cli._model import check_model, load_model, quantizer_of
from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._ids import check_table, missing_row, repeated_row, writable_ids
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._tables import read_table
from sklearn_rqvae.semantic_id._formats import codes_of, item_column

__all__ = ["decode", "encode"]


def encode(args: argparse.Namespace) -> None:
    """Run the command ``encode``."""
    if not Path(args.input).is_dir():
        _check_files(args)
    model = load_model(args.model)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli._directory import encode_directory, is_streamed

        _, vector = model_columns(args, model)
        if vector is not None and is_streamed(args.input, vector, args.out):
            print(encode_directory(args, model, vector))
            return
        _check_files(args)
    items, ids = read_model_items(args, model, needs_ids=not is_array(args.out))
    _look_at_ids(args, ids)
    ids = writable_ids(args.out, ids)
    codes = in_batches(model["pipeline"].transform, items, "encoding")
    write_rows(args.out, ids, "semantic_id", codes)
    if args.out != "-":
        print(f"Wrote the IDs of {len(codes)} items to {args.out}.")


def decode(args: argparse.Namespace) -> None:
    """Run the command ``decode``."""
    _check_files(args)
    ids: Sequence[Any] | None = None
    if is_array(args.input):
        codes = read_matrix(args.input, None)
    else:
        table = read_table(args.input)
        codes, column = codes_of(table), item_column(table, args.input, args.id)
        if column is not None:
            ids = writable_ids(args.out, table.column(column))
    if args.levels is not None and not 1 <= args.levels <= codes.shape[1]:
        raise ValueError(
            f"--levels {args.levels} should be between 1 and {codes.shape[1]}, the number of codes "
            f"in {args.input}."
        )
    model = load_model(args.model)
    codes = codes[:, : args.levels]
    ids = range(len(codes)) if ids is None else ids
    vectors = in_batches(quantizer_of(model).inverse_transform, codes, "decoding")
    write_rows(args.out, ids, "vector", vectors)
    if args.out != "-":
        print(f"Wrote {len(vectors)} vectors of length {vectors.shape[1]} to {args.out}.")


def _check_files(args: argparse.Namespace) -> None:
    """Look at the names of the files, and whether the first is a model, before any is read."""
    check_model(args.model)
    if not Path(args.input).is_dir():
        file_kind(args.input, reading=True)
    check_places([args.model, args.input], {"--out": args.out}, prints=True)
    check_table(args.out)


def _look_at_ids(args: argparse.Namespace, ids: Sequence[Any]) -> None:
    """Refuse rows without an id, and say if ids repeat: a catalog takes each once."""
    if is_array(args.out):
        return
    row = missing_row(ids)
    if row is not None:
        raise ValueError(
            f"row {row} (from 0) of {args.input} has no id; fill it in, or name another column "
            "with --id."
        )
    row, n_repeated = repeated_row(ids)
    if row is not None:
        warn(
            f"{n_repeated} ids of {args.input} repeat an earlier one, such as {ids[row]!r} in row "
            f"{row} (from 0); index build takes each id once."
        )
