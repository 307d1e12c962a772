"""What can be typed after ``index``: each command, its options and an example."""

from __future__ import annotations

import argparse
from typing import Any

from sklearn_rqvae._cli._arguments import HelpFormatter, add_items, count, runs, share_of_error

__all__ = ["EXPORTS", "add_index_commands"]

_CODES = ".npy, .npz, .parquet, .csv or .jsonl, or a directory of these tables"
# What export writes, and how such files are named elsewhere.
EXPORTS = {
    "index.json": (".json",), "flashrec": (".json",), "npy": (".npy",), "token_ids": (".npy",),
    "parquet": (".parquet",), "csv": (".csv",), "jsonl": (".jsonl", ".ndjson"),
    "sidinspector": (".csv",), "torcheasyrec": (".parquet",), "grid": (".pt",),
    "recbole": (".item",),
}  # fmt: skip
# Files that codes and items come from.
_READ = ("codes", "item_ids", "model", "items")
_BUILD_EXAMPLE = """\
examples:
  sklearn-rqvae index build ids.csv --out catalog.sid
  sklearn-rqvae index build --model model.joblib --items items.csv --id sku \\
      --collisions reassign --out catalog.sid
"""
_APPEND_EXAMPLE = """\
examples:
  sklearn-rqvae index append catalog.sid new_ids.csv
  sklearn-rqvae index append catalog.sid --model model.joblib --items new_items.csv
  sklearn-rqvae index append catalog.sid new_ids.csv --journal
"""
_REMOVE_EXAMPLE = """\
example:
  sklearn-rqvae index remove catalog.sid --item sku-17 sku-23
"""
_LOOKUP_EXAMPLE = """\
examples:
  sklearn-rqvae index lookup catalog.sid --item sku-17
  sklearn-rqvae index lookup catalog.sid --prefix 12,5 --limit 20
"""
_EXPORT_EXAMPLE = """\
example:
  sklearn-rqvae index export catalog.sid --format index.json --out items.index.json
"""
_DRIFT_EXAMPLE = """\
example:
  sklearn-rqvae index drift old.sid catalog.sid
"""
_REFIT_EXAMPLE = """\
examples:
  sklearn-rqvae index refit catalog.sid --model new_model.joblib --items all_items.csv --dry-run
  sklearn-rqvae index refit catalog.sid --model new_model.joblib --items all_items.csv \\
      --moves moved.csv
"""


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

    def add(name: str, what: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=what, formatter_class=HelpFormatter, epilog=example)

    build = add("build", "build a catalog from codes, or from a model and items", _BUILD_EXAMPLE)
    _add_codes(build)
    add_items(build)
    build.add_argument("--out", required=True, metavar="CATALOG", help="where to save the catalog")
    build.add_argument(
        "--collisions",
        choices=("suffix", "reassign", "raise", "none"),
        default="suffix",
        help="what to do about equal codes; reassign moves items to free IDs near them, and needs "
        "--model and --items (or an .npz file with codes, candidates and errors)",
    )
    build.add_argument(
        "--codebook-sizes",
        type=count,
        nargs="+",
        metavar="K",
        help="codes of each level; else those of the model, or the largest seen",
    )
    build.add_argument(
        "--suffix-size", type=count, metavar="N", help="codes reserved for the suffix"
    )
    build.add_argument(
        "--max-items-per-id", type=count, metavar="N", help="most items that share an ID"
    )
    build.add_argument(
        "--max-items-per-first-code",
        type=count,
        metavar="N",
        help="most items with the same first code; reassign moves those that are too many",
    )
    build.add_argument("--json", action="store_true", help="print one JSON object")
    build.set_defaults(run=runs("_index:build", *_READ))

    append = add("append", "add items; all others keep their IDs", _APPEND_EXAMPLE)
    append.add_argument("catalog", metavar="CATALOG")
    _add_codes(append)
    add_items(append)
    _add_place(append)
    _add_grow(append)
    append.add_argument("--json", action="store_true", help="print one JSON object")
    append.set_defaults(run=runs("_index:append", "catalog", *_READ))

    refit = add("refit", "take over a new model; items move where it says so", _REFIT_EXAMPLE)
    refit.add_argument("catalog", metavar="CATALOG")
    add_items(refit)
    refit.add_argument("--id", metavar="COLUMN", help="column of the ids of the items")
    refit.add_argument(
        "--stability",
        type=share_of_error,
        default=0.0,
        metavar="S",
        help="an item keeps its ID all the same if that costs at most so many times the mean "
        "squared error; 0 by default",
    )
    refit.add_argument(
        "--release", action="store_true", help="let other items have the IDs that items move from"
    )
    refit.add_argument("--dry-run", action="store_true", help="say what would move, change nothing")
    refit.add_argument("--moves", metavar="FILE", help="write the items that move to a table")
    refit.add_argument("--out", metavar="CATALOG", help="save here instead of in place")
    refit.add_argument("--json", action="store_true", help="print one JSON object")
    _add_grow(refit)
    refit.set_defaults(
        run=runs("_index:refit", "catalog", "model", "items"),
        item_ids=None,
        item_type=None,
        codes=None,
    )

    remove = add("remove", "take items out; all others keep their IDs", _REMOVE_EXAMPLE)
    remove.add_argument("catalog", metavar="CATALOG")
    remove.add_argument("--item", nargs="+", required=True, metavar="ITEM", help="item ids")
    remove.add_argument(
        "--release", action="store_true", help="let later items have the IDs; else they are retired"
    )
    _add_place(remove)
    remove.set_defaults(run=runs("_index:remove", "catalog"))

    lookup = add("lookup", "print items and their IDs as JSON lines", _LOOKUP_EXAMPLE)
    lookup.add_argument("catalog", metavar="CATALOG")
    query = lookup.add_mutually_exclusive_group(required=True)
    query.add_argument("--item", nargs="+", metavar="ITEM", help="item ids")
    query.add_argument("--prefix", metavar="CODES", help="first codes of an ID, or all: 12,5")
    query.add_argument("--near", metavar="ITEM", help="items that share the longest prefix")
    lookup.add_argument("--limit", type=count, default=100, metavar="N", help="most items to print")
    lookup.set_defaults(run=runs("_index:lookup", "catalog"))

    export = add("export", "write the IDs in a format that others read", _EXPORT_EXAMPLE)
    export.add_argument("catalog", metavar="CATALOG")
    export.add_argument(
        "--format",
        required=True,
        choices=tuple(EXPORTS),
        help="npy and token_ids are arrays of NumPy, without item ids",
    )
    export.add_argument("--out", required=True, metavar="FILE")
    export.add_argument("--offset", type=int, default=0, help="first token id (token_ids)")
    export.add_argument(
        "--template",
        help="form of the tokens (index.json): lc-rec, minionerec, openonerec, or a format with "
        "{letter} and {code}; lc-rec by default",
    )
    export.set_defaults(run=runs("_index:export", "catalog"))

    drift = add("drift", "compare two catalogs of the same items", _DRIFT_EXAMPLE)
    drift.add_argument("old", metavar="OLD")
    drift.add_argument("new", metavar="NEW")
    drift.add_argument("--json", action="store_true", help="print one JSON object")
    drift.set_defaults(run=runs("_index:drift", "old", "new"))


def _add_grow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grow",
        action="store_true",
        help="let levels, and the suffix, have more codes than before: a generator that was "
        "trained on the catalog lacks the new ones",
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--out", metavar="CATALOG", help="save here instead of in place")
    place.add_argument(
        "--journal",
        action="store_true",
        help="write only the change, to CATALOG.journal, which later commands read with CATALOG",
    )


def _add_codes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "codes",
        nargs="?",
        metavar="CODES",
        help=f"codes of items: {_CODES}; not needed with --model and --items",
    )
    parser.add_argument(
        "--item-ids", metavar="FILE", help="ids for codes without: .npy, or text with one per line"
    )
    parser.add_argument(
        "--item-type", choices=("int", "str"), help="what ids in a text file are; text by default"
    )
    parser.add_argument(
        "--id", metavar="COLUMN", help="column of the ids in a table; item_id or id by default"
    )
