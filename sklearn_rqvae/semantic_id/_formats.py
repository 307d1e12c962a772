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

from sklearn_rqvae._files import replace_file
from sklearn_rqvae._optional import import_pyarrow
from sklearn_rqvae._validation import as_array

from ._generate import offset_token_table

__all__ = [
    "FORMATS",
    "TOKEN_TEMPLATE",
    "FileContent",
    "export",
    "frame_columns",
    "ids_to_token_ids",
    "ids_to_tokens",
    "level_letters",
    "read",
    "to_frame",
    "token_ids_to_ids",
    "token_names",
    "typed_items",
]

ITEM_COLUMNS = ("item_id", "id")
ID_COLUMNS = ("semantic_id", "codes")
TOKEN_TEMPLATE = "<{letter}_{code}>"
FORMATS = ("index.json", "flashrec", "npy", "parquet", "csv", "jsonl")

# The code of a token is its last number: "<a_12>" → 12.
_LAST_NUMBER = re.compile(r"(\d+)(?=\D*$)")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_METADATA = b"sklearn_rqvae"


class FileContent(NamedTuple):
    """What a file says; many formats leave out all but the IDs."""

    ids: NDArray[np.int64]
    item_ids: Any
    level_sizes: Sequence[int] | None = None
    collisions: str | None = None


def level_letters(level: int) -> str:
    """Name a level: a, b, …, z, aa, ab, …, as spreadsheets name columns.

    Parameters
    ----------
    level : int
        Level, from 0.

    Returns
    -------
    letters : str
        Its name; all names differ.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import level_letters
    >>> [level_letters(level) for level in (0, 25, 26, 701, 702)]
    ['a', 'z', 'aa', 'zz', 'aaa']
    """
    letters = ""
    level += 1
    while level:
        level, digit = divmod(level - 1, 26)
        letters = chr(ord("a") + digit) + letters
    return letters


def token_names(level_sizes: Sequence[int], template: str = TOKEN_TEMPLATE) -> list[list[str]]:
    """Return the token of each code of each level.

    Parameters
    ----------
    level_sizes : sequence of int
        Number of codes at each level.
    template : str, default="<{letter}_{code}>"
        Format of a token, with ``{letter}`` and ``{code}``.

    Returns
    -------
    names : list of list of str
        ``names[level][code]``.

    Raises
    ------
    ValueError
        If the template doesn't tell codes and levels apart.
    """
    for field in ("{letter}", "{code}"):
        if template.count(field) != 1:
            raise ValueError(f"template={template!r} should contain {field} once.")
    return [
        [template.format(letter=level_letters(level), code=code) for code in range(size)]
        for level, size in enumerate(level_sizes)
    ]


def ids_to_tokens(ids: NDArray[np.int64], template: str = TOKEN_TEMPLATE) -> list[list[str]]:
    """Return the tokens of each ID, shape (n_items, width)."""
    if not len(ids):
        return []
    names = token_names((ids.max(axis=0) + 1).tolist(), template)
    columns = [np.array(names[level], dtype=object)[ids[:, level]] for level in range(ids.shape[1])]
    return np.stack(columns, axis=1).tolist()


def tokens_to_ids(tokens: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Read IDs from tokens such as ``["<a_12>", "<b_5>"]``.

    Parameters
    ----------
    tokens : sequence of sequences of str
        Tokens of each item; a token's last number is its code, and what stands around it must be
        the same for all tokens of a level.

    Returns
    -------
    ids : ndarray of int of shape (n_items, width)
        The codes.

    Raises
    ------
    ValueError
        If a token has no number, IDs differ in length, or tokens of one position come from
        different levels.
    """
    _check_widths([len(row) for row in tokens])
    around: dict[int, str] = {}
    ids = np.empty((len(tokens), len(tokens[0])), dtype=np.int64)
    known: dict[tuple[int, str], int] = {}
    for row, token_row in enumerate(tokens):
        for level, token in enumerate(token_row):
            code = known.get((level, token))
            if code is None:
                found = _LAST_NUMBER.search(token) if isinstance(token, str) else None
                if found is None:
                    raise ValueError(f"{token!r} is not a token with a code, such as '<a_12>'.")
                rest = token[: found.start()] + "*" + token[found.end() :]
                if around.setdefault(level, rest) != rest:
                    raise ValueError(
                        f"{token!r} at position {level} doesn't look like the other tokens there, "
                        f"{around[level]!r}; the IDs mix levels."
                    )
                code = known[level, token] = int(found.group(1))
            ids[row, level] = code
    return ids


def ids_to_token_ids(
    ids: NDArray[np.int64], level_sizes: Sequence[int], offset: int = 0
) -> NDArray[np.int64]:
    """Add to each code the offset and the sizes of all levels before."""
    return ids + _level_starts(level_sizes, offset)


def token_ids_to_ids(
    token_ids: Any, level_sizes: Sequence[int], offset: int = 0
) -> NDArray[np.int64]:
    """Turn token ids with a range for each level back into codes.

    Parameters
    ----------
    token_ids : array-like of int of shape (n_items, width)
        Token ids.
    level_sizes : sequence of int of length width
        Number of codes at each level.
    offset : int, default=0
        Token id of the first code of the first level.

    Returns
    -------
    ids : ndarray of int of shape (n_items, width)
        Codes.

    Raises
    ------
    ValueError
        If the number of columns differs from that of the levels, or a token is outside the range
        of its level.
    """
    token_ids = np.asarray(as_array(token_ids))
    if token_ids.ndim != 2 or token_ids.shape[1] != len(level_sizes):
        raise ValueError(
            f"token_ids have shape {token_ids.shape}, but there are {len(level_sizes)} levels; "
            "give the sizes of "
            "all columns, that of the suffix too."
        )
    ids = token_ids.astype(np.int64) - _level_starts(level_sizes, offset)
    outside = (ids < 0) | (ids >= np.asarray(level_sizes))
    if outside.any():
        row, level = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"token_ids at level {level} have {token_ids[row, level]}, outside the range of that "
            "level; check "
            f"level_sizes={list(level_sizes)} and offset={offset}."
        )
    return ids


def _level_starts(level_sizes: Sequence[int], offset: int) -> NDArray[np.int64]:
    return np.array([table[0] for table in offset_token_table(level_sizes, offset)])


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


def _check_widths(widths: Sequence[int]) -> None:
    """Refuse IDs that differ in length."""
    if not widths:
        raise ValueError("the file has no items.")
    if min(widths) != max(widths) or widths[0] == 0:
        raise ValueError(
            f"the IDs have from {min(widths)} to {max(widths)} codes; an index needs IDs of one "
            "length. Fill up the "
            "shorter ones, e.g. with a suffix 0."
        )


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
    _check_widths([len(row) for row in ids])
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
    _check_widths([len(places)] * len(table))
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
    _check_widths([len(row) for row in ids])
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
    _check_widths(widths.tolist())
    ids = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    metadata = table.schema.metadata or {}
    meaning = json.loads(metadata[_METADATA]) if _METADATA in metadata else {}
    return FileContent(ids, item_ids, meaning.get("level_sizes"), meaning.get("collisions"))
