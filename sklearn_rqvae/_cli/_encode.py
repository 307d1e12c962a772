"""``sklearn-rqvae encode`` and ``decode``: from items to IDs and from IDs to vectors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn_rqvae._cli._items import add_input, in_batches, read_model_items, write_rows
from sklearn_rqvae._cli._model import MODEL_HELP, load_model, quantizer_of
from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._ids import check_table, writable_ids
from sklearn_rqvae._files._tables import FORMATS, read_table

__all__ = ["add_decode_command", "add_encode_command"]


def add_encode_command(subparsers: Any) -> None:
    """Add the command ``encode``."""
    encode = subparsers.add_parser("encode", help="write the IDs of items")
    encode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_input(encode)
    encode.add_argument(
        "--out", default="-", metavar="FILE", help=f"{FORMATS}, or a directory; '-' prints"
    )
    encode.set_defaults(run=_encode)


def add_decode_command(subparsers: Any) -> None:
    """Add the command ``decode``."""
    decode = subparsers.add_parser(
        "decode", help="write the vectors that IDs, or prefixes, stand for"
    )
    decode.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    decode.add_argument("input", metavar="IDS", help="what encode wrote, or an array of codes")
    decode.add_argument("--levels", type=int, help="decode the first codes only")
    decode.add_argument("--out", default="-", metavar="FILE", help=f"{FORMATS}; '-' prints")
    decode.set_defaults(run=_decode)


def _encode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    if Path(args.input).is_dir():
        from sklearn_rqvae._cli._directory import encode_directory

        print(encode_directory(args, model))
        return
    check_table(args.out)
    items, ids = read_model_items(args, model)
    ids = writable_ids(args.out, ids)
    codes = in_batches(model["pipeline"].transform, items, "encoding")
    write_rows(args.out, ids, "semantic_id", codes)
    if args.out != "-":
        print(f"Wrote the IDs of {len(codes)} items to {args.out}.")


def _decode(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    check_table(args.out)
    codes = read_matrix(args.input, "semantic_id")
    if args.levels is not None and not 1 <= args.levels <= codes.shape[1]:
        raise ValueError(
            f"--levels {args.levels} should be between 1 and {codes.shape[1]}, the number of codes "
            f"in {args.input}."
        )
    codes = codes[:, : args.levels]
    if Path(args.input).suffix == ".npy":
        ids: Sequence[Any] = range(len(codes))
    else:
        table = read_table(args.input)
        column = next((name for name in ("item_id", "id") if name in table), None)
        ids = range(len(codes)) if column is None else table.column(column)
        ids = writable_ids(args.out, ids)
    vectors = in_batches(quantizer_of(model).inverse_transform, codes, "decoding")
    write_rows(args.out, ids, "vector", vectors)
    if args.out != "-":
        print(f"Wrote {len(vectors)} vectors of length {vectors.shape[1]} to {args.out}.")
