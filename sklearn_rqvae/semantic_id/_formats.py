"""IDs in the forms that trainers, servers and tables take."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, takewhile
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.semantic_id._tokens import check_widths, ids_to_tokens, tokens_to_ids

__all__ = [
    "FORMATS",
    "FileContent",
    "export",
    "frame_columns",
    "read",
    "to_frame",
    "typed_items",
]

ITEM_COLUMNS = ("item_id", "id")
ID_COLUMNS = ("semantic_id", "codes")
FORMATS = ("index.json", "flashrec", "npy", "parquet", "csv", "jsonl")

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_METADATA = b"sklearn_rqvae"


class FileContent(NamedTuple):
    """What a file says; many formats leave out all but the IDs."""

    ids: NDArray[np.int64]
    item_ids: Any
    level_sizes: Sequence[int] | None = None
    collisions: str | None = None


def to_frame(ids: NDArray[np.int64], item_ids: NDArray[Any], has_suffix: bool) -> Any:
    """Return a pandas DataFrame with one row per item."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas") from error
    columns = {"item_id": item_ids}
    names = _column_names(ids.shape[1], has_suffix)
    columns.update({name: ids[:, level] for level, name in enumerate(names)})
    return pd.DataFrame(columns)


def frame_columns(frame: Any) -> FileContent:
    """Take item ids and IDs from the columns of a data frame."""
    names = [str(name) for name in frame.columns]
    codes = _code_columns(names)
    ids = np.stack([np.asarray(frame[name]) for name in codes], axis=1)
    item_column = _item_column(names)
    item_ids = None if item_column is None else frame[item_column]
    return FileContent(ids, item_ids, None, "suffix" if codes[-1] == "suffix" else None)


def export(
    path: str | os.PathLike[str],
    format: str,
    ids: NDArray[np.int64],
    item_ids: NDArray[Any],
    level_sizes: Sequence[int],
    collisions: str,
) -> None:
    """Write IDs to a file; see `SemanticIDIndex.export`."""
    _check_format(format)
    with replace_file(path) as file:
        if format == "npy":
            np.save(file, ids, allow_pickle=False)
        elif format == "parquet":
            _write_parquet(file, ids, item_ids, level_sizes, collisions)
        else:
            # Lines end in \n everywhere, so that the same catalog gives the same bytes.
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            items = item_ids.tolist()
            if format == "index.json":
                _write_object(text, map(str, items), ids_to_tokens(ids))
            elif format == "flashrec":
                _write_flashrec(text, ids, items)
            elif format == "csv":
                # All text in quotes: the writer leaves a lone carriage return bare otherwise.
                writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
                writer.writerow(["item_id", *_column_names(ids.shape[1], collisions == "suffix")])
                writer.writerows(
                    [item, *row] for item, row in zip(items, ids.tolist(), strict=True)
                )
            else:
                for item, row in zip(items, ids.tolist(), strict=True):
                    text.write(json.dumps({"item_id": item, "semantic_id": row}) + "\n")
            text.flush()
            text.detach()


def read(path: str | os.PathLike[str], format: str, item_type: str | None = None) -> FileContent:
    """Read IDs from a file; see `SemanticIDIndex.read`."""
    _check_format(format)
    if item_type not in (None, "int", "str"):
        raise ValueError(f"item_type={item_type!r} should be 'int', 'str' or None.")
    if format == "npy":
        return FileContent(np.load(path, allow_pickle=False), None)
    if format == "parquet":
        return _read_parquet(path)
    with open(path, encoding="utf-8", newline="") as file:
        try:
            if format == "index.json":
                # Pairs instead of a dict: a repeated item must not vanish.
                pairs = json.load(file, object_pairs_hook=list)
                _check_pairs(pairs, path)
                names, tokens = [p[0] for p in pairs], [p[1] for p in pairs]
                return FileContent(tokens_to_ids(tokens), typed_items(names, item_type))
            if format == "flashrec":
                return _read_flashrec(json.load(file), path)
            if format == "csv":
                return _read_csv(file, path, item_type)
            rows = [json.loads(line) for line in file if line.strip()]
        except json.JSONDecodeError as error:
            raise ValueError(f"{os.fspath(path)} is not valid JSON: {error}.") from error
    return _read_records(rows, path)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise ValueError(f"format={format!r} should be one of {', '.join(map(repr, FORMATS))}.")


def _column_names(width: int, has_suffix: bool) -> list[str]:
    names = [f"code_{level}" for level in range(width)]
    if has_suffix:
        names[-1] = "suffix"
    return names


def _code_columns(names: Sequence[str]) -> list[str]:
    """List the columns that make up an ID, by level."""
    for stem in ("code", "semantic_id"):
        numbered = map(f"{stem}_{{}}".format, count())
        codes = list(takewhile(names.__contains__, numbered))
        if codes:
            return [*codes, "suffix"] if "suffix" in names else codes
    raise ValueError(
        f"the columns {list(names)} have no codes; name them code_0, code_1, …, and suffix."
    )


def _item_column(names: Iterable[str]) -> str | None:
    """Find the column of item ids."""
    return next((name for name in ITEM_COLUMNS if name in names), None)


def typed_items(names: list[str], item_type: str | None = None) -> list[Any]:
    """Turn item ids that a text format holds as strings into integers, if they're meant so."""
    if item_type == "str":
        return names
    look_so = all(_INTEGER.fullmatch(name) for name in names)
    if item_type is None and not look_so:
        return names
    if not look_so:
        bad = next(name for name in names if not _INTEGER.fullmatch(name))
        raise ValueError(f"item_type='int', but {bad!r} is no integer; use item_type='str'.")
    return [int(name) for name in names]


def _write_object(text: IO[str], keys: Iterable[str], values: Iterable[Any]) -> None:
    """Write a JSON object piece by piece: as one string it'd take several times the memory."""
    text.write("{")
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        text.write(f"{', ' if place else ''}{json.dumps(key)}: {json.dumps(value)}")
    text.write("}")


def _check_pairs(pairs: Any, path: str | os.PathLike[str]) -> None:
    good = isinstance(pairs, list) and all(
        isinstance(pair, tuple) and isinstance(pair[1], list) for pair in pairs
    )
    if not good:
        raise ValueError(
            f"{os.fspath(path)} should hold an object of item → list of tokens, such as "
            '{"0": ["<a_1>", "<b_2>"]}.'
        )


def _write_flashrec(text: IO[str], ids: NDArray[np.int64], items: list[Any]) -> None:
    if ids.shape[1] < 2:
        raise ValueError(
            'format="flashrec" takes a key without a comma for a packed number, so IDs need 2 '
            "codes or more."
        )
    groups: dict[str, list[dict[str, Any]]] = {}
    for row, item in zip(ids.tolist(), items, strict=True):
        groups.setdefault(",".join(map(str, row)), []).append({"pid": item})
    _write_object(text, groups.keys(), groups.values())


def _read_flashrec(content: Any, path: str | os.PathLike[str]) -> FileContent:
    if not isinstance(content, dict):
        raise ValueError(f'{os.fspath(path)} should hold an object with keys such as "12,5,7".')
    ids: list[list[int]] = []
    items: list[Any] = []
    for key, value in content.items():
        try:
            codes = [int(part) for part in key.split(",")]
        except ValueError as error:
            raise ValueError(f'{key!r} is not an ID such as "12,5,7".') from error
        if len(codes) < 2:
            raise ValueError(
                f"{key!r} has no comma, which stands for a packed number; unpack it into an ID "
                "such "
                'as "12,5,7" first.'
            )
        # Catalogs of other origin say 1 for "exists" and name no items.
        owners = [entry["pid"] for entry in value] if isinstance(value, list) else [None]
        ids += [codes] * len(owners)
        items += owners
    check_widths([len(row) for row in ids])
    named = [item is not None for item in items]
    if any(named) and not all(named):
        raise ValueError(f"{os.fspath(path)} names the items of some IDs only.")
    return FileContent(np.array(ids, dtype=np.int64), items if all(named) else None)


def _read_csv(
    file: Iterable[str], path: str | os.PathLike[str], item_type: str | None
) -> FileContent:
    rows: Iterator[list[str]] = csv.reader(file)
    header = next(rows, [])
    codes = _code_columns(header)
    places = [header.index(name) for name in codes]
    table = list(rows)
    try:
        ids = np.array([[int(row[place]) for place in places] for row in table], dtype=np.int64)
        item_column = _item_column(header)
        item_place = None if item_column is None else header.index(item_column)
        names = None if item_place is None else [row[item_place] for row in table]
    except (ValueError, IndexError) as error:
        raise ValueError(f"{os.fspath(path)} has a row without whole codes: {error}.") from error
    check_widths([len(places)] * len(table))
    items = None if names is None else typed_items(names, item_type)
    return FileContent(ids, items, None, "suffix" if codes[-1] == "suffix" else None)


def _read_records(rows: list[Any], path: str | os.PathLike[str]) -> FileContent:
    """Take IDs from JSON lines."""
    ids, items = [], []
    for line, row in enumerate(rows, start=1):
        record = row if isinstance(row, dict) else {}
        semantic_id = next((record[name] for name in ID_COLUMNS if name in record), None)
        if not isinstance(semantic_id, list) or not all(type(code) is int for code in semantic_id):
            raise ValueError(
                f"{os.fspath(path)}, record {line}: expected "
                f'{{"item_id": …, "semantic_id": [12, 5, 7]}}.'
            )
        ids.append(semantic_id)
        item_column = _item_column(record)
        items.append(None if item_column is None else record[item_column])
    check_widths([len(row) for row in ids])
    unnamed = all(item is None for item in items)
    return FileContent(np.array(ids, dtype=np.int64), None if unnamed else items)


def _write_parquet(
    file: IO[bytes],
    ids: NDArray[np.int64],
    item_ids: NDArray[Any],
    level_sizes: Sequence[int],
    collisions: str,
) -> None:
    pyarrow = import_pyarrow()
    code_type = pyarrow.int32() if max(level_sizes) <= 2**31 else pyarrow.int64()
    offsets = np.arange(0, ids.size + 1, ids.shape[1])
    lists = pyarrow.LargeListArray if ids.size >= 2**31 else pyarrow.ListArray
    offset_type = pyarrow.int64() if ids.size >= 2**31 else pyarrow.int32()
    semantic_id = lists.from_arrays(
        pyarrow.array(offsets, type=offset_type), pyarrow.array(ids.ravel(), type=code_type)
    )
    item_type = pyarrow.int64() if item_ids.dtype.kind == "i" else pyarrow.string()
    table = pyarrow.table(
        {"item_id": pyarrow.array(item_ids, type=item_type), "semantic_id": semantic_id}
    )
    meaning = json.dumps({"level_sizes": list(level_sizes), "collisions": collisions})
    table = table.replace_schema_metadata({_METADATA: meaning})
    pyarrow.parquet.write_table(table, file)


def _read_parquet(path: str | os.PathLike[str]) -> FileContent:
    pyarrow = import_pyarrow()
    table = pyarrow.parquet.read_table(path)
    names = table.column_names
    item_ids = None
    item_column = _item_column(names)
    if item_column is not None:
        item_ids = table[item_column].to_numpy(zero_copy_only=False)
    lists = next((name for name in ID_COLUMNS if name in names), None)
    if lists is None:
        codes = _code_columns(names)
        ids = np.stack([table[name].to_numpy(zero_copy_only=False) for name in codes], axis=1)
        return FileContent(ids, item_ids, None, "suffix" if codes[-1] == "suffix" else None)
    column = table[lists].combine_chunks()
    if column.null_count:
        raise ValueError(f"{os.fspath(path)} has {column.null_count} items without an ID.")
    widths = column.value_lengths().to_numpy(zero_copy_only=False)
    check_widths(widths.tolist())
    ids = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    metadata = table.schema.metadata or {}
    meaning = json.loads(metadata[_METADATA]) if _METADATA in metadata else {}
    return FileContent(ids, item_ids, meaning.get("level_sizes"), meaning.get("collisions"))
