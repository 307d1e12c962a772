"""``sklearn-rqvae encode`` and ``decode``: from items to IDs and from IDs to vectors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn_rqvae._cli._items import (
    HelpFormatter,
    add_input,
    check_places,
    in_batches,
    is_array,
    model_columns,
    read_model_items,
    warn,
    write_rows,
)
from sklearn_rqvae._cli._model import MODEL_HELP, load_model, quantizer_of
from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._ids import check_table, missing_row, repeated_row, writable_ids
from sklearn_rqvae._files._tables import FORMATS, read_table
from sklearn_rqvae.semantic_id._formats import codes_of, item_column

__all__ = ["add_decode_command", "add_encode_command"]

_ENCODE_EXAMPLE = """\
example:
  sklearn-rqvae encode model.joblib new_items.csv --out new_ids.csv
"""
_DECODE_EXAMPLE = """\
example:
  sklearn-rqvae decode model.joblib ids.csv --levels 2 --out coarse.npy
"""


def add_encode_command(subparsers: Any) -> None:
    """Add the command ``encode``."""
    encode = subparsers.add_parser(
        "encode",
        help="write the IDs of items",
        formatter_class=HelpFormatter,
        epilog=_ENCODE_EXAMPLE,
    )
    encode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_input(encode)
    encode.add_argument(
        "--out",
        default="-",
        metavar="FILE",
        help=f"{FORMATS}; '-' prints; a directory if ITEMS is one of vectors in Parquet files",
    )
    encode.set_defaults(run=_encode)


def add_decode_command(subparsers: Any) -> None:
    """Add the command ``decode``."""
    decode = subparsers.add_parser(
        "decode",
        help="write the vectors that IDs, or prefixes, stand for",
        formatter_class=HelpFormatter,
        epilog=_DECODE_EXAMPLE,
    )
    decode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    decode.add_argument("input", metavar="IDS", help="what encode wrote, or an array of codes")
    decode.add_argument(
        "--id", metavar="COLUMN", help="column of the ids in a table; else item_id or id"
    )
    decode.add_argument("--levels", type=int, metavar="N", help="decode the first codes only")
    decode.add_argument("--out", default="-", metavar="FILE", help=f"{FORMATS}; '-' prints")
    decode.set_defaults(run=_decode)


def _encode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli._directory import encode_directory, is_streamed

        _, vector = model_columns(args, model)
        if vector is not None and is_streamed(args.input, vector, args.out):
            print(encode_directory(args, model, vector))
            return
    check_places([args.model, args.input], {"--out": args.out})
    check_table(args.out)
    items, ids = read_model_items(args, model, needs_ids=not is_array(args.out))
    _look_at_ids(args, ids)
    ids = writable_ids(args.out, ids)
    codes = in_batches(model["pipeline"].transform, items, "encoding")
    write_rows(args.out, ids, "semantic_id", codes)
    if args.out != "-":
        print(f"Wrote the IDs of {len(codes)} items to {args.out}.")


def _decode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    check_places([args.model, args.input], {"--out": args.out})
    check_table(args.out)
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
    codes = codes[:, : args.levels]
    ids = range(len(codes)) if ids is None else ids
    vectors = in_batches(quantizer_of(model).inverse_transform, codes, "decoding")
    write_rows(args.out, ids, "vector", vectors)
    if args.out != "-":
        print(f"Wrote {len(vectors)} vectors of length {vectors.shape[1]} to {args.out}.")


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
