"""The command line's ``index``: build, extend, search and export a catalog of semantic IDs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sklearn_rqvae._cli._catalog_items import EncodedItems, encoded_items
from sklearn_rqvae._cli._index_commands import EXPORTS
from sklearn_rqvae._cli._items import check_places, print_json, say
from sklearn_rqvae._files._arrays import load_array, load_arrays
from sklearn_rqvae._files._ids import check_table, missing_row
from sklearn_rqvae._files._replace import in_turn, replace_file
from sklearn_rqvae._files._tables import open_text, write_table
from sklearn_rqvae._fitted import model_of
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions._candidates import CandidatesNeeded
from sklearn_rqvae.semantic_id._formats import (
    describe_file,
    errors_naming,
    read_codes,
    typed_items,
)
from sklearn_rqvae.semantic_id._item_ids import without_objects
from sklearn_rqvae.semantic_id._level_sizes import GrowthNeeded

__all__ = ["append", "build", "drift", "export", "lookup", "refit", "remove"]


class _Input(NamedTuple):
    """Codes and what may come with them."""

    codes: Any
    item_ids: Any
    candidates: tuple[Any, Any] | None = None
    vectors: Any = None


def _read_input(args: argparse.Namespace) -> _Input:
    """Read codes, item ids and, from an .npz file, candidates."""
    path, suffix = Path(args.codes), Path(args.codes).suffix.lower()
    if suffix == ".npz":
        content = _archive_content(path)
    elif suffix == ".npy":
        content = _Input(np.array(load_array(path)), None)
    else:
        table = read_codes(path, args.item_type, args.id if args.items is None else None)
        content = _Input(table.ids, without_objects(table.item_ids))
        del table
    if args.item_ids is None:
        _check_none_missing(content.item_ids, path)
        return content
    if content.item_ids is not None:
        raise ValueError(f"{path} has item ids, so leave out --item-ids.")
    item_ids = _read_item_ids(Path(args.item_ids), args.item_type)
    _check_none_missing(item_ids, Path(args.item_ids))
    return content._replace(item_ids=item_ids)


def _check_none_missing(item_ids: Any, path: Path) -> None:
    row = None if item_ids is None else missing_row(item_ids)
    if row is not None:
        raise ValueError(f"row {row} (from 0) of {path} has no item id; fill it in, or drop it.")


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


def _sources(
    args: argparse.Namespace, check: Callable[[Any, Any], None] | None = None
) -> tuple[_Input | None, EncodedItems | None]:
    """Read codes, or encode items, or both: then the codes say which items there are."""
    if args.codes is None and args.items is None and args.model is None:
        raise ValueError("give CODES, or --model MODEL and --items ITEMS.")
    content = None if args.codes is None else _read_input(args)
    items = encoded_items(args, content, check) if args.items or args.model else None
    return content, items


def _inputs(args: argparse.Namespace) -> list[str | None]:
    return [args.codes, args.item_ids, args.model, args.items]


def build(args: argparse.Namespace) -> None:
    """Run the command ``index build``."""
    check_places(_inputs(args), {"--out": args.out})
    sizes = args.codebook_sizes
    settings: dict[str, Any] = {
        "codebook_sizes": sizes[0] if sizes is not None and len(sizes) == 1 else sizes,
        "suffix_size": args.suffix_size,
        "max_items_per_id": args.max_items_per_id,
        "max_items_per_first_code": args.max_items_per_first_code,
    }
    if args.suffix_size is not None and args.collisions != "suffix":
        raise ValueError(
            f"--suffix-size is for --collisions suffix; --collisions {args.collisions} adds none."
        )
    with _options_named():
        SemanticIDIndex(args.collisions, **settings)._check_parameters()
    content, items = _sources(args)
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


def _in_turn(command: Callable[[argparse.Namespace], None]) -> Callable[..., None]:
    """Let commands that change a catalog in its place wait for each other."""

    @wraps(command)
    def run(args: argparse.Namespace) -> None:
        out = args.out or args.catalog
        elsewhere = Path(out).resolve() != Path(args.catalog).resolve()
        if elsewhere or getattr(args, "dry_run", False):
            command(args)
            return
        with in_turn(args.catalog, partial(say, f"waiting for who changes {args.catalog}")):
            command(args)

    return run


@_in_turn
def append(args: argparse.Namespace) -> None:
    """Run the command ``index append``."""
    check_places(_inputs(args), {"--out": args.out or args.catalog})
    index = SemanticIDIndex.load(args.catalog, journal=args.journal)

    def check(quantizer: Any, item_ids: Any) -> None:
        known = index.model_fingerprint
        if None not in (known, model_of(quantizer)) and known != model_of(quantizer):
            raise ValueError(
                f"{args.catalog} has codes of another model than {args.model}; the same code means "
                "something else there. Give the catalog's own model, or take over the new one by "
                "sklearn-rqvae index refit."
            )
        ids = _as_in_catalog(index, item_ids)
        index._store.check_new(ids, len(ids))

    content, items = _sources(args, check)
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


@_in_turn
def refit(args: argparse.Namespace) -> None:
    """Run the command ``index refit``."""
    out = None if args.dry_run else args.out or args.catalog
    check_places([args.model, args.items], {"--out": out, "--moves": args.moves})
    if args.moves:
        check_table(args.moves)
    index = SemanticIDIndex.load(args.catalog)
    items = encoded_items(args, check=lambda _, item_ids: _as_in_catalog(index, item_ids))
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
    if args.json:
        print_json(plan.to_dict())
    else:
        print(plan)


@_in_turn
def remove(args: argparse.Namespace) -> None:
    """Run the command ``index remove``."""
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
    bad = [item for item in items if type(item) not in (str, int)]
    if bad:
        raise ValueError(
            f"the new items have the id {bad[0]!r}, but ids are text or integers; convert them "
            "first, and fill in missing ones."
        )
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
        print_json({"n_catalog": len(index), **index.report_.to_dict()})
        return
    print(index.report_)
    print(f"the catalog has {len(index)} items, codes by level: {index.level_sizes_}")


def lookup(args: argparse.Namespace) -> None:
    """Run the command ``index lookup``."""
    prefix = None if args.prefix is None else _parse_codes(args.prefix)
    index = SemanticIDIndex.load(args.catalog)
    if prefix is not None:
        items = index.items(prefix)[: args.limit].tolist()
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


def export(args: argparse.Namespace) -> None:
    """Run the command ``index export``."""
    check_places([args.catalog], {"--out": args.out})
    _check_suffix(args)
    if args.offset and args.format != "token_ids":
        raise ValueError(f"--offset belongs to --format token_ids; {args.format} has no tokens.")
    index = SemanticIDIndex.load(args.catalog)
    if args.format == "token_ids":
        vocabulary = index.vocabulary(args.offset)
        with replace_file(args.out) as file:
            np.save(file, vocabulary.encode(index.ids_), allow_pickle=False)
        describe_file(args.out, vocabulary.to_dict())
    else:
        template = {} if args.template is None else {"template": args.template}
        index.export(args.out, args.format, **template)
    print(f"Wrote the IDs of {len(index)} items to {args.out}.")


def _check_suffix(args: argparse.Namespace) -> None:
    """Refuse a name that says another format than the one to be written."""
    suffix = Path(args.out).suffix.lower()
    known = {suffix for suffixes in EXPORTS.values() for suffix in suffixes}
    if suffix in known and suffix not in EXPORTS[args.format]:
        raise ValueError(
            f"--out {args.out} ends in {suffix}, but --format {args.format} writes another format; "
            f"let it end in {EXPORTS[args.format][0]}."
        )


def drift(args: argparse.Namespace) -> None:
    """Run the command ``index drift``."""
    report = SemanticIDIndex.load(args.old).drift(SemanticIDIndex.load(args.new))
    if args.json:
        print_json(report.to_dict())
    else:
        print(report)
