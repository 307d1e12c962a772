"""The command line's ``index``: build, extend, search and export a catalog of semantic IDs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sklearn_rqvae._files._arrays import load_array
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._formats import FORMATS, read_codes, typed_items

__all__ = ["add_index_commands"]

_CODES = ".npy, .npz, .parquet, .csv or .jsonl, or a directory of these tables"


class _Input(NamedTuple):
    """Codes and what may come with them."""

    codes: Any
    item_ids: Any
    candidates: tuple[Any, Any] | None = None
    vectors: Any = None


def add_index_commands(subparsers: Any) -> None:
    """Add the command ``index`` and its own commands.

    Each sets the attribute ``run`` of the parsed arguments to a function that takes them.

    Parameters
    ----------
    subparsers : argparse action
        What ``ArgumentParser.add_subparsers`` returned.
    """
    index = subparsers.add_parser("index", help="keep a catalog of unique, stable IDs")
    commands = index.add_subparsers(title="commands", required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build a catalog from codes")
    _add_codes(build)
    build.add_argument("--out", required=True, metavar="CATALOG", help="where to save the catalog")
    build.add_argument(
        "--collisions",
        choices=("suffix", "reassign", "raise", "none"),
        default="suffix",
        help="what to do about equal codes; reassign needs candidates and errors (.npz)",
    )
    build.add_argument(
        "--codebook-sizes", type=int, nargs="+", metavar="K", help="codes of each level"
    )
    build.add_argument("--suffix-size", type=int, help="codes reserved for the suffix")
    build.add_argument("--json", action="store_true", help="print one JSON object")
    build.set_defaults(run=_build)

    append = commands.add_parser("append", help="add items; all others keep their IDs")
    append.add_argument("catalog", metavar="CATALOG")
    _add_codes(append)
    append.add_argument("--out", metavar="CATALOG", help="save here instead of in place")
    append.add_argument("--json", action="store_true", help="print one JSON object")
    append.set_defaults(run=_append)

    lookup = commands.add_parser("lookup", help="print items and their IDs as JSON lines")
    lookup.add_argument("catalog", metavar="CATALOG")
    query = lookup.add_mutually_exclusive_group(required=True)
    query.add_argument("--item", nargs="+", metavar="ITEM", help="item ids")
    query.add_argument("--prefix", metavar="CODES", help="first codes of an ID, or all: 12,5")
    query.add_argument("--near", metavar="ITEM", help="items that share the longest prefix")
    lookup.add_argument("--limit", type=int, default=100, help="most items to print")
    lookup.set_defaults(run=_lookup)

    export = commands.add_parser("export", help="write the IDs in a format that others read")
    export.add_argument("catalog", metavar="CATALOG")
    export.add_argument("--format", required=True, choices=(*FORMATS, "token_ids"))
    export.add_argument("--out", required=True, metavar="FILE")
    export.add_argument("--offset", type=int, default=0, help="first token id (token_ids)")
    export.set_defaults(run=_export)

    drift = commands.add_parser("drift", help="compare two catalogs of the same items")
    drift.add_argument("old", metavar="OLD")
    drift.add_argument("new", metavar="NEW")
    drift.add_argument("--json", action="store_true", help="print one JSON object")
    drift.set_defaults(run=_drift)


def _add_codes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("codes", metavar="CODES", help=f"codes of items: {_CODES}")
    parser.add_argument(
        "--item-ids", metavar="FILE", help="ids for codes without: .npy, or text with one per line"
    )
    parser.add_argument(
        "--item-type", choices=("int", "str"), help="what ids in a text file are; text by default"
    )
    parser.add_argument(
        "--id", metavar="COLUMN", help="column of the ids in a table; item_id or id by default"
    )


def _read_input(args: argparse.Namespace) -> _Input:
    """Read codes, item ids and, from an .npz file, candidates."""
    path = Path(args.codes)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            if "codes" not in arrays:
                raise ValueError(f"{path} has the arrays {arrays.files}, but no codes.")
            if ("candidates" in arrays) != ("errors" in arrays):
                raise ValueError(f"{path} should have both candidates and errors, or neither.")
            candidates = None
            if "candidates" in arrays:
                candidates = arrays["candidates"], arrays["errors"]
            content = _Input(
                arrays["codes"], arrays.get("item_ids"), candidates, arrays.get("vectors")
            )
    elif path.suffix == ".npy":
        content = _Input(np.array(load_array(path)), None)
    else:
        table = read_codes(path, args.item_type, args.id)
        content = _Input(table.ids, table.item_ids)
    if args.item_ids is None:
        return content
    if content.item_ids is not None:
        raise ValueError(f"{path} has item ids, so leave out --item-ids.")
    return content._replace(item_ids=_read_item_ids(Path(args.item_ids), args.item_type))


def _read_item_ids(path: Path, item_type: str | None) -> Any:
    if path.suffix == ".npy":
        return np.array(load_array(path))
    names = path.read_text(encoding="utf-8-sig").split("\n")
    if names[-1] == "":
        # The line break at the end of the file, not an empty id.
        names.pop()
    return typed_items(names, item_type)


def _build(args: argparse.Namespace) -> None:
    content = _read_input(args)
    sizes = args.codebook_sizes
    index = SemanticIDIndex(
        args.collisions,
        codebook_sizes=sizes[0] if sizes is not None and len(sizes) == 1 else sizes,
        suffix_size=args.suffix_size,
    )
    index.fit(
        content.codes, content.item_ids, vectors=content.vectors, candidates=content.candidates
    )
    index.save(args.out)
    _print_report(index, args)


def _append(args: argparse.Namespace) -> None:
    index = SemanticIDIndex.load(args.catalog)
    content = _read_input(args)
    item_ids = content.item_ids
    if item_ids is not None:
        # A text file doesn't tell "7" from 7; the catalog does.
        items = np.asarray(item_ids).tolist()
        is_integer = index.item_ids_.dtype.kind == "i"
        item_ids = typed_items(items, "int") if is_integer else [str(item) for item in items]
    index.append(content.codes, item_ids, vectors=content.vectors, candidates=content.candidates)
    index.save(args.out or args.catalog)
    _print_report(index, args)


def _print_report(index: SemanticIDIndex, args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps({"n_catalog": len(index), **index.report_.to_dict()}))
        return
    print(index.report_)
    print(f"the catalog has {len(index)} items, codes by level: {index.level_sizes_}")


def _lookup(args: argparse.Namespace) -> None:
    index = SemanticIDIndex.load(args.catalog)
    if args.prefix is not None:
        items = index.items(_parse_codes(args.prefix))[: args.limit].tolist()
    elif args.near is not None:
        items = index.prefix_neighbors(_as_item(index, args.near), args.limit)[0].tolist()
    else:
        items = [_as_item(index, item) for item in args.item]
    if not items:
        return
    for item, semantic_id in zip(items, index.ids_of(items).tolist(), strict=True):
        print(json.dumps({"item_id": item, "semantic_id": semantic_id}, ensure_ascii=False))


def _parse_codes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(code) for code in text.split(",") if text)
    except ValueError as error:
        raise ValueError(f"--prefix {text!r} should be codes such as 12,5.") from error


def _as_item(index: SemanticIDIndex, text: str) -> int | str:
    """Return an argument as an item id of the catalog's type."""
    item = typed_items([text], "int")[0] if index.item_ids_.dtype.kind == "i" else text
    if item not in index:
        raise ValueError(f"item {text!r} is not in the catalog.")
    return item


def _export(args: argparse.Namespace) -> None:
    index = SemanticIDIndex.load(args.catalog)
    if args.format == "token_ids":
        with replace_file(args.out) as file:
            np.save(file, index.to_token_ids(args.offset), allow_pickle=False)
    else:
        index.export(args.out, args.format)
    print(f"Wrote the IDs of {len(index)} items to {args.out}.")


def _drift(args: argparse.Namespace) -> None:
    report = SemanticIDIndex.load(args.old).drift(SemanticIDIndex.load(args.new))
    print(json.dumps(report.to_dict()) if args.json else report)
