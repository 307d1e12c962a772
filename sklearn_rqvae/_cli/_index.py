"""The command line's ``index``: build, extend, search and export a catalog of semantic IDs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sklearn_rqvae._cli._catalog_items import EncodedItems, add_items, encoded_items
from sklearn_rqvae._cli._items import HelpFormatter, check_places, count
from sklearn_rqvae._files._arrays import load_array, load_arrays
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._tables import open_text, write_table
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions._candidates import CandidatesNeeded
from sklearn_rqvae.semantic_id._formats import (
    FORMATS,
    describe_file,
    errors_naming,
    read_codes,
    typed_items,
)
from sklearn_rqvae.semantic_id._level_sizes import GrowthNeeded
from sklearn_rqvae.semantic_id._tokens import TOKEN_TEMPLATE

__all__ = ["add_index_commands"]

_CODES = ".npy, .npz, .parquet, .csv or .jsonl, or a directory of these tables"
# Formats by the names that their files have elsewhere.
_SUFFIXES = {
    "index.json": (".json",), "flashrec": (".json",), "npy": (".npy",), "token_ids": (".npy",),
    "parquet": (".parquet",), "csv": (".csv",), "jsonl": (".jsonl", ".ndjson"),
    "sidinspector": (".csv",), "torcheasyrec": (".parquet",), "grid": (".pt",),
    "recbole": (".item",),
}  # fmt: skip
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
    build.set_defaults(run=_build)

    append = add("append", "add items; all others keep their IDs", _APPEND_EXAMPLE)
    append.add_argument("catalog", metavar="CATALOG")
    _add_codes(append)
    add_items(append)
    _add_place(append)
    _add_grow(append)
    append.add_argument("--json", action="store_true", help="print one JSON object")
    append.set_defaults(run=_append)

    refit = add("refit", "take over a new model; items move where it says so", _REFIT_EXAMPLE)
    refit.add_argument("catalog", metavar="CATALOG")
    add_items(refit)
    refit.add_argument("--id", metavar="COLUMN", help="column of the ids of the items")
    refit.add_argument(
        "--stability",
        type=float,
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
    refit.set_defaults(run=_refit, item_ids=None, item_type=None, codes=None)

    remove = add("remove", "take items out; all others keep their IDs", _REMOVE_EXAMPLE)
    remove.add_argument("catalog", metavar="CATALOG")
    remove.add_argument("--item", nargs="+", required=True, metavar="ITEM", help="item ids")
    remove.add_argument(
        "--release", action="store_true", help="let later items have the IDs; else they are retired"
    )
    _add_place(remove)
    remove.set_defaults(run=_remove)

    lookup = add("lookup", "print items and their IDs as JSON lines", _LOOKUP_EXAMPLE)
    lookup.add_argument("catalog", metavar="CATALOG")
    query = lookup.add_mutually_exclusive_group(required=True)
    query.add_argument("--item", nargs="+", metavar="ITEM", help="item ids")
    query.add_argument("--prefix", metavar="CODES", help="first codes of an ID, or all: 12,5")
    query.add_argument("--near", metavar="ITEM", help="items that share the longest prefix")
    lookup.add_argument("--limit", type=count, default=100, metavar="N", help="most items to print")
    lookup.set_defaults(run=_lookup)

    export = add("export", "write the IDs in a format that others read", _EXPORT_EXAMPLE)
    export.add_argument("catalog", metavar="CATALOG")
    export.add_argument(
        "--format",
        required=True,
        choices=(*FORMATS, "token_ids"),
        help="npy and token_ids are arrays of NumPy, without item ids",
    )
    export.add_argument("--out", required=True, metavar="FILE")
    export.add_argument("--offset", type=int, default=0, help="first token id (token_ids)")
    export.add_argument(
        "--template",
        default=TOKEN_TEMPLATE,
        help="form of the tokens (index.json): lc-rec, minionerec, openonerec, or a format with "
        "{letter} and {code}",
    )
    export.set_defaults(run=_export)

    drift = add("drift", "compare two catalogs of the same items", _DRIFT_EXAMPLE)
    drift.add_argument("old", metavar="OLD")
    drift.add_argument("new", metavar="NEW")
    drift.add_argument("--json", action="store_true", help="print one JSON object")
    drift.set_defaults(run=_drift)


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


def _read_input(args: argparse.Namespace) -> _Input:
    """Read codes, item ids and, from an .npz file, candidates."""
    path, suffix = Path(args.codes), Path(args.codes).suffix.lower()
    if suffix == ".npz":
        content = _archive_content(path)
    elif suffix == ".npy":
        content = _Input(np.array(load_array(path)), None)
    else:
        table = read_codes(path, args.item_type, args.id if args.items is None else None)
        content = _Input(table.ids, table.item_ids)
    if args.item_ids is None:
        return content
    if content.item_ids is not None:
        raise ValueError(f"{path} has item ids, so leave out --item-ids.")
    return content._replace(item_ids=_read_item_ids(Path(args.item_ids), args.item_type))


def _archive_content(path: Path) -> _Input:
    arrays = load_arrays(path)
    if "codes" not in arrays:
        raise ValueError(f"{path} has the arrays {list(arrays)}, but no codes.")
    if ("candidates" in arrays) != ("errors" in arrays):
        raise ValueError(f"{path} should have both candidates and errors, or neither.")
    candidates = None
    if "candidates" in arrays:
        candidates = arrays["candidates"], arrays["errors"]
    return _Input(arrays["codes"], arrays.get("item_ids"), candidates, arrays.get("vectors"))


def _read_item_ids(path: Path, item_type: str | None) -> Any:
    if path.suffix.lower() == ".npy":
        return np.array(load_array(path))
    with open_text(path) as file:
        names = file.read().replace("\r\n", "\n").split("\n")
    if names[-1] == "":
        # The line break at the end of the file, not an empty id.
        names.pop()
    return typed_items(names, item_type)


def _sources(args: argparse.Namespace) -> tuple[_Input | None, EncodedItems | None]:
    """Read codes, or encode items, or both: then the codes say which items there are."""
    content = None if args.codes is None else _read_input(args)
    items = encoded_items(args, content) if args.items or args.model else None
    if content is None and items is None:
        raise ValueError("give CODES, or --model MODEL and --items ITEMS.")
    return content, items


def _inputs(args: argparse.Namespace) -> list[str | None]:
    return [args.codes, args.item_ids, args.model, args.items]


def _build(args: argparse.Namespace) -> None:
    check_places(_inputs(args), {"--out": args.out})
    content, items = _sources(args)
    sizes = args.codebook_sizes
    settings: dict[str, Any] = {
        "codebook_sizes": sizes[0] if sizes is not None and len(sizes) == 1 else sizes,
        "suffix_size": args.suffix_size,
        "max_items_per_id": args.max_items_per_id,
        "max_items_per_first_code": args.max_items_per_first_code,
    }
    with errors_naming(args.codes or args.items), _options_named():
        if items is not None:
            index = SemanticIDIndex.from_estimator(
                items.quantizer, items.vectors, items.item_ids, args.collisions, **settings
            )
        else:
            assert content is not None
            index = SemanticIDIndex(args.collisions, **settings)
            index.fit(
                content.codes,
                content.item_ids,
                vectors=content.vectors,
                candidates=content.candidates,
            )
    index.save(args.out)
    _print_report(index, args)


def _append(args: argparse.Namespace) -> None:
    check_places(_inputs(args), {"--out": args.out or args.catalog})
    index = SemanticIDIndex.load(args.catalog, journal=args.journal)
    content, items = _sources(args)
    with errors_naming(args.codes or args.items), _options_named():
        if items is not None:
            item_ids = _as_in_catalog(index, items.item_ids)
            index.append_from_estimator(items.quantizer, items.vectors, item_ids, grow=args.grow)
        else:
            assert content is not None
            index.append(
                content.codes,
                _as_in_catalog(index, content.item_ids),
                vectors=content.vectors,
                candidates=content.candidates,
                grow=args.grow,
            )
    if not args.journal:
        index.save(args.out or args.catalog)
    _print_report(index, args)


def _refit(args: argparse.Namespace) -> None:
    out = None if args.dry_run else args.out or args.catalog
    check_places([args.model, args.items], {"--out": out, "--moves": args.moves})
    index = SemanticIDIndex.load(args.catalog)
    items = encoded_items(args)
    with errors_naming(args.items), _options_named():
        plan = index.plan_refit(
            items.quantizer,
            items.vectors,
            _as_in_catalog(index, items.item_ids),
            stability=args.stability,
            release=args.release,
        )
        if out is not None:
            index.apply(plan, grow=args.grow)
    if args.moves:
        moved = {"item_id": plan.item_ids.tolist(), "old_id": plan.old_ids, "new_id": plan.new_ids}
        write_table(args.moves, moved)
    if out is not None:
        index.save(out)
    print(json.dumps(plan.to_dict()) if args.json else plan)


def _remove(args: argparse.Namespace) -> None:
    check_places([], {"--out": args.out or args.catalog})
    index = SemanticIDIndex.load(args.catalog, journal=args.journal)
    items = [_as_item(index, item) for item in args.item]
    index.remove(items, release=args.release)
    if not args.journal:
        index.save(args.out or args.catalog)
    print(f"the catalog has {len(index)} items.")


def _as_in_catalog(index: SemanticIDIndex, item_ids: Any) -> Any:
    """Return item ids of the catalog's type: a text file doesn't tell "7" from 7."""
    if item_ids is None:
        raise ValueError(
            "the new items have no ids, and numbers from 0 may be other items' in the catalog; "
            "name their column with --id, or give --item-ids FILE."
        )
    items = np.asarray(item_ids, dtype=object).tolist()
    if index.item_ids_.dtype.kind != "i":
        return [str(item) for item in items]
    try:
        return typed_items(items, "int")
    except ValueError as error:
        bad = next(item for item in items if not _is_integer(item))
        raise ValueError(
            f"the ids in the catalog are integers, but {bad!r} is none; build the catalog with "
            "--item-type str to have ids of any kind."
        ) from error


def _is_integer(item: Any) -> bool:
    try:
        typed_items([item], "int")
    except ValueError:
        return False
    return True


@contextmanager
def _options_named() -> Iterator[None]:
    """Name options where the error of the index names functions of Python."""
    try:
        yield
    except CandidatesNeeded as error:
        raise ValueError(
            f"{str(error).partition(',')[0]}, and reassign moves them to free IDs near them: give "
            "--model MODEL and --items ITEMS, or an .npz file with codes, candidates and errors; "
            "or build with --collisions suffix.\nIn Python: SemanticIDIndex.from_estimator."
        ) from error
    except GrowthNeeded as error:
        raise ValueError(
            f"{error.what}. Reserve room when the catalog is built, with --suffix-size or "
            "--codebook-sizes; or pass --grow, and train the generator on."
        ) from error


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
    if items:
        write_table("-", {"item_id": items, "semantic_id": index.ids_of(items)})


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
    check_places([args.catalog], {"--out": args.out})
    _check_suffix(args)
    index = SemanticIDIndex.load(args.catalog)
    if args.format == "token_ids":
        vocabulary = index.vocabulary(args.offset)
        with replace_file(args.out) as file:
            np.save(file, vocabulary.encode(index.ids_), allow_pickle=False)
        describe_file(args.out, vocabulary.to_dict())
    else:
        index.export(args.out, args.format, template=args.template)
    print(f"Wrote the IDs of {len(index)} items to {args.out}.")


def _check_suffix(args: argparse.Namespace) -> None:
    """Refuse a name that says another format than the one to be written."""
    suffix = Path(args.out).suffix.lower()
    known = {suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}
    if suffix in known and suffix not in _SUFFIXES[args.format]:
        raise ValueError(
            f"--out {args.out} ends in {suffix}, but --format {args.format} writes another format; "
            f"let it end in {_SUFFIXES[args.format][0]}."
        )


def _drift(args: argparse.Namespace) -> None:
    report = SemanticIDIndex.load(args.old).drift(SemanticIDIndex.load(args.new))
    print(json.dumps(report.to_dict()) if args.json else report)
