"""IDs in the forms that trainers, servers and tables take."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._arrays import load_array
from sklearn_rqvae._files._json import json_value
from sklearn_rqvae._files._replace import check_place, replace_file
from sklearn_rqvae._files._table import Table, listed
from sklearn_rqvae._files._tables import open_text, read_table, write_table
from sklearn_rqvae._guards import warn_caller
from sklearn_rqvae._validation import column_names
from sklearn_rqvae._versions import present_versions
from sklearn_rqvae.semantic_id._contract import (
    described_again,
    read_description,
    write_description,
)
from sklearn_rqvae.semantic_id._others import read_grid, read_recbole, write_other
from sklearn_rqvae.semantic_id._tokens import (
    TOKEN_TEMPLATE,
    check_widths,
    ids_to_tokens,
    tokens_to_ids,
)

__all__ = [
    "FORMATS",
    "FileContent",
    "codes_of",
    "errors_naming",
    "export",
    "frame_content",
    "item_column",
    "read",
    "read_codes",
    "to_frame",
    "typed_items",
]

ITEM_COLUMNS = ("item_id", "id")
ID_COLUMNS = ("semantic_id", "codes", "codebook")
_OTHERS = ("sidinspector", "torcheasyrec", "grid", "recbole")
FORMATS = ("index.json", "flashrec", "npy", "parquet", "csv", "jsonl", *_OTHERS)
_TABLES = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_CODE = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
_METADATA = b"sklearn_rqvae"


class FileContent(NamedTuple):
    """What a file says; many formats leave out all but the IDs."""

    ids: NDArray[np.int64]
    item_ids: Any
    level_sizes: Sequence[int] | None = None
    collisions: str | None = None
    model: str | None = None
    suffix_size: int | None = None


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


def frame_content(frame: Any, id_column: str | None = None) -> FileContent:
    """Take item ids and IDs from the columns of a data frame."""
    frame = _with_its_index(frame, id_column)
    names = list(map(str, column_names(frame)))
    if len(set(names)) < len(names):
        raise ValueError(
            f"the frame has two columns of one name among {listed(names)}; rename one."
        )
    columns = {str(name): frame[name] for name in column_names(frame)}
    return _content(columns, "the frame", id_column)


def _with_its_index(frame: Any, id_column: str | None) -> Any:
    """Return a frame of pandas with the item ids of its index, if they aren't in a column."""
    wanted = ITEM_COLUMNS if id_column is None else (id_column,)
    if not hasattr(frame, "index") or not hasattr(frame, "reset_index"):
        return frame
    if any(name in frame.columns for name in wanted):
        return frame
    if any(name in frame.index.names for name in wanted):
        return frame.reset_index()
    if id_column is None and frame.index.tolist() != list(range(len(frame))):
        raise ValueError(
            "the frame has no column item_id, but an index of its own, which may hold the items' "
            'ids; give frame.reset_index(names="item_id"), or frame.reset_index(drop=True) to '
            "number the rows."
        )
    return frame


def export(
    path: str | os.PathLike[str],
    format: str,
    ids: NDArray[np.int64],
    item_ids: NDArray[Any],
    about: Mapping[str, Any],
    template: str = TOKEN_TEMPLATE,
) -> None:
    """Write IDs to a file, and what they are to its metadata or beside it.

    See `SemanticIDIndex.export`. `about` is a description of the levels (`_contract.described`)
    with ``collisions`` and ``catalog_fingerprint``.
    """
    _check_format(format)
    path = Path(path)  # "-" is a name like any other here
    if template != TOKEN_TEMPLATE and format != "index.json":
        raise ValueError(
            f"template={template!r} is for format='index.json'; {format!r} has no tokens."
        )
    check_place(description_path(path))
    _write(path, format, ids, item_ids, about, template)
    if format != "parquet":
        describe_file(path, about)


def describe_file(path: str | os.PathLike[str], about: Mapping[str, Any]) -> None:
    """Write beside a file what its IDs are, and which file it is."""
    rest = {"file_sha256": _sha256(path), "versions": present_versions()}
    write_description(description_path(path), described_again(about, **rest))


def description_path(path: str | os.PathLike[str]) -> str:
    """Return where an export is described that has no room for it.

    The underscore keeps it from being read as data where a directory of parts is.
    """
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f"_{name}.vocabulary.json")


def _sha256(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    path: str | os.PathLike[str],
    format: str,
    ids: NDArray[np.int64],
    item_ids: NDArray[Any],
    about: Mapping[str, Any],
    template: str,
) -> None:
    items, collisions = item_ids.tolist(), about["collisions"]
    level_sizes = [level["n_codes"] for level in about["levels"]]
    if format in _OTHERS:
        write_other(path, format, ids, item_ids, level_sizes)
        return
    if format in ("parquet", "jsonl"):
        if format == "parquet" and max(level_sizes) <= 2**31:
            ids = ids.astype(np.int32)
        meaning = json.dumps(
            {
                "level_sizes": level_sizes,
                "collisions": collisions,
                "fingerprint": about["catalog_fingerprint"],
                "vocabulary": about,
                "versions": present_versions(),
            }
        )
        columns: dict[str, Any] = {"item_id": items, "semantic_id": ids}
        write_table(path, columns, kind=_TABLES[format], metadata={_METADATA: meaning.encode()})
    elif format == "csv":
        names = _column_names(ids.shape[1], collisions == "suffix")
        write_table(path, {"item_id": items, **dict(zip(names, ids.T, strict=True))}, kind=".csv")
    else:
        with replace_file(path) as file:
            if format == "npy":
                np.save(file, ids, allow_pickle=False)
                return
            text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            if format == "index.json":
                _write_object(text, map(str, items), ids_to_tokens(ids, template))
            else:
                _write_flashrec(text, ids, items)
            text.detach()


def read(
    path: str | os.PathLike[str],
    format: str,
    item_type: str | None = None,
    id_column: str | None = None,
) -> FileContent:
    """Read IDs from a file, or from a directory of tables; see `SemanticIDIndex.read`."""
    content = _read(path, format, item_type, id_column)
    return _with_description(content, path)


def _with_description(content: FileContent, path: str | os.PathLike[str]) -> FileContent:
    """Add what stands beside a file that an index wrote."""
    beside = description_path(path)
    if not os.path.exists(beside):
        return content
    about = read_description(beside)
    if about.get("file_sha256") != _sha256(path):
        warn_caller(
            f"{beside} describes an export that another file has replaced; {os.fspath(path)} is "
            "read as it is, without the sizes of its levels and its model. Delete the description, "
            "or export again.",
            UserWarning,
        )
        return content
    return content._replace(
        level_sizes=[level["n_codes"] for level in about["levels"]],
        collisions=about.get("collisions"),
        model=about.get("model_fingerprint"),
        suffix_size=about.get("suffix_size"),
    )


def _read(
    path: str | os.PathLike[str], format: str, item_type: str | None, id_column: str | None
) -> FileContent:
    _check_format(format)
    if item_type not in (None, "int", "str"):
        raise ValueError(f"item_type={item_type!r} should be 'int', 'str' or None.")
    if format == "npy":
        return FileContent(np.array(load_array(path)), None)
    if format == "grid":
        return FileContent(read_grid(path), None)
    if format == "recbole":
        ids, names = read_recbole(path)
        return FileContent(ids, typed_items(names, item_type))
    if format in ("sidinspector", "torcheasyrec"):
        table = read_table(path, kind=".csv" if format == "sidinspector" else ".parquet")
        return _table_content(table, item_type, id_column)
    if format in _TABLES:
        return _table_content(read_table(path, kind=_TABLES[format]), item_type, id_column)
    with open_text(path) as file, _json_errors(path):
        if format == "flashrec":
            return _read_flashrec(json_value(file.read()), path)
        # Pairs instead of a dict: a repeated item must not vanish.
        pairs = json.load(file, object_pairs_hook=list)
    _check_pairs(pairs, path)
    names, tokens = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return FileContent(tokens_to_ids(tokens), typed_items(names, item_type))


def read_codes(
    path: str | os.PathLike[str], item_type: str | None, id_column: str | None
) -> FileContent:
    """Read codes from a table, or a directory of tables, whose name says the format."""
    table = read_table(path)
    with errors_naming(path):
        return _table_content(table, item_type, id_column)


def codes_of(table: Table) -> NDArray[np.int64]:
    """Return the codes in a table, without a suffix."""
    with errors_naming(table.path):
        content = _content(table, table.path, None, items=False)
        collisions = _meaning(table).get("collisions") or content.collisions
        return content.ids[:, :-1] if collisions == "suffix" else content.ids


@contextmanager
def errors_naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what is wrong with the content of a file into a ValueError that names the file."""
    try:
        yield
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, ValueError) and os.fspath(path) in str(error):
            raise
        raise ValueError(f"{os.fspath(path)}: {error}") from error


@contextmanager
def _json_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        if os.fspath(path) in str(error):
            raise
        raise ValueError(f"{os.fspath(path)} is not valid JSON: {error}.") from error


def _table_content(table: Table, item_type: str | None, id_column: str | None) -> FileContent:
    """Take IDs and item ids from a table, and what a Parquet file of `export` says of them."""
    content = _content(table, table.path, id_column)
    column = item_column(table, table.path, id_column)
    if column is not None:
        from_text = table.numeric and column in table.numeric and item_type is None
        if isinstance(content.item_ids, list):
            items = typed_items(content.item_ids, "int" if from_text else item_type)
            content = content._replace(item_ids=items)
    meaning = _meaning(table)
    if meaning:
        content = content._replace(
            level_sizes=meaning.get("level_sizes"),
            collisions=meaning.get("collisions"),
            model=meaning.get("vocabulary", {}).get("model_fingerprint"),
            suffix_size=meaning.get("vocabulary", {}).get("suffix_size"),
        )
    return content


def _meaning(table: Table) -> dict[str, Any]:
    """Return what a Parquet file of `export` says of its IDs."""
    meaning = json.loads(table.metadata.get(_METADATA, b"{}"))
    if not isinstance(meaning, dict):
        raise ValueError(f"{table.path} is damaged: it says {meaning!r} of itself.")
    return meaning


def _content(
    columns: Mapping[str, Any], path: object, id_column: str | None, items: bool = True
) -> FileContent:
    """Take IDs and item ids from columns."""
    lists = next((name for name in ID_COLUMNS if name in columns), None)
    column = item_column(columns, path, id_column) if items else None
    found = None if column is None else _decoded(_plain(columns[column]), column, path)
    if lists is not None:
        return FileContent(_whole_lists(columns[lists], lists, path), found)
    names = _code_columns(list(columns), path)
    ids = np.stack([_whole(columns[name], name, path) for name in names], axis=1)
    return FileContent(ids, found, None, "suffix" if names[-1] == "suffix" else None)


def _whole_lists(values: Sequence[Any], name: str, path: object) -> NDArray[np.int64]:
    """Return lists of codes, all of one length, as an array."""
    if hasattr(values, "combine_chunks"):
        return _arrow_lists(values, name, path)
    rows = []
    for row, value in enumerate(values):
        codes = _as_list(value)
        if not isinstance(codes, list) or not all(type(code) is int for code in codes):
            raise ValueError(
                f"{path}, record {row + 1}: {name!r} holds {value!r}, expected a list of whole "
                'codes, as in {"item_id": …, "semantic_id": [12, 5, 7]}.'
            )
        rows.append(codes)
    check_widths([len(codes) for codes in rows])
    return np.array(rows, dtype=np.int64)


def _as_list(value: Any) -> Any:
    """Return an array, a tuple or a series as a list, and anything else as it is."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return value.to_list() if hasattr(value, "to_list") else value


def _whole(values: Any, name: str, path: object) -> NDArray[Any]:
    """Return a column of codes; text files hold them as text."""
    if hasattr(values, "to_list") and np.asarray(values).dtype.kind in "OUT":
        values = values.to_list()  # a column of a data frame
    if len(values) and isinstance(values[0] if isinstance(values, list) else None, str):
        for row, value in enumerate(values):
            if not (isinstance(value, str) and _CODE.fullmatch(value)):
                raise ValueError(
                    f"{path} has a row without whole codes in {name!r}: {value!r} in record "
                    f"{row + 1}."
                )
        return np.array([int(value) for value in values], dtype=np.int64)
    codes = np.asarray(_plain(values))
    if codes.dtype.kind == "O":
        raise ValueError(f"{path} has a row without a code in {name!r}.")
    return codes


def _arrow_lists(column: Any, name: str, path: object) -> NDArray[Any]:
    """Return an Arrow column of lists of codes as an array."""
    column = column.combine_chunks()
    column = getattr(column, "storage", column)  # of tensors of one shape
    if hasattr(column.type, "list_size"):  # of one length
        width = column.type.list_size
        if column.null_count:
            raise ValueError(f"{path} has {column.null_count} items without an ID.")
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), width)
    if not hasattr(column, "value_lengths"):
        raise ValueError(
            f"{path} holds {column.type} in its column {name!r}; expected lists of codes."
        )
    if column.null_count:
        raise ValueError(f"{path} has {column.null_count} items without an ID.")
    check_widths(column.value_lengths().to_numpy(zero_copy_only=False).tolist())
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _plain(column: Any) -> Any:
    """Return a column of a table as an array or a list; data frames' columns as they are."""
    if not hasattr(column, "combine_chunks"):
        return column
    # As an array, integers beside what is missing would be floats.
    return column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False)


def _decoded(items: Any, name: str, path: object) -> Any:
    """Return ids that a file holds as bytes as text."""
    if not any(isinstance(item, bytes) for item in items):
        return items
    try:
        return [item.decode() if isinstance(item, bytes) else item for item in items]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"column {name!r} of {path} holds bytes that are no text in UTF-8 ({error}); make the "
            "ids text or integers."
        ) from error


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise ValueError(f"format={format!r} should be one of {', '.join(map(repr, FORMATS))}.")


def _column_names(width: int, has_suffix: bool) -> list[str]:
    names = [f"code_{level}" for level in range(width)]
    if has_suffix:
        names[-1] = "suffix"
    return names


def _code_columns(names: Sequence[str], path: object) -> list[str]:
    """List the columns that make up an ID, by level."""
    for stem in ("code", "semantic_id", "sid", "sid_level"):
        numbered = map(f"{stem}_{{}}".format, count())
        codes = list(takewhile(names.__contains__, numbered))
        behind = [name for name in names if re.fullmatch(rf"{stem}_[0-9]+", name)]
        if codes and len(behind) > len(codes):
            last = max(set(behind) - set(codes))
            raise ValueError(
                f"{path} has a column {last!r}, but no '{stem}_{len(codes)}'; give the codes of "
                "all levels, or rename what holds none."
            )
        if codes:
            return [*codes, "suffix"] if "suffix" in names else codes
    raise ValueError(
        f"{path} has no codes among its columns {listed(names)}; name them code_0, code_1, …, "
        "and suffix."
    )


def item_column(names: Iterable[str], path: object, id_column: str | None) -> str | None:
    """Find the column of item ids; None where there is nothing but codes."""
    names = list(names)
    if id_column is not None:
        if id_column not in names:
            raise ValueError(f"{path} has no column {id_column!r}; it has {listed(names)}.")
        return id_column
    known = next((name for name in ITEM_COLUMNS if name in names), None)
    if known is not None:
        return known
    lists = next((name for name in ID_COLUMNS if name in names), None)
    codes = [lists] if lists is not None else _code_columns(names, path)
    others = [name for name in names if name not in codes]
    if others:
        raise ValueError(
            f"{path} has no column item_id, but {listed(others)}; say which one "
            f"holds the items' ids: id_column={others[0]!r}, say (--id on the command line)."
        )
    return None


def typed_items(names: list[Any], item_type: str | None = None) -> list[Any]:
    """Turn item ids that a text format holds as strings into integers, if that is asked for."""
    if item_type != "int" or not all(isinstance(name, str) for name in names):
        return names
    bad = next((name for name in names if not _INTEGER.fullmatch(name)), None)
    if bad is not None:
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
        isinstance(pair, tuple) and isinstance(pair[1], list | str) for pair in pairs
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
    if not isinstance(content, dict) or not content:
        raise ValueError(f'{os.fspath(path)} should hold an object with keys such as "12,5,7".')
    ids: list[list[int]] = []
    items: list[Any] = []
    for key, value in content.items():
        if not all(map(_CODE.fullmatch, key.split(","))):
            raise ValueError(f'{key!r} is not an ID such as "12,5,7".')
        codes = [int(part) for part in key.split(",")]
        if len(codes) < 2:
            raise ValueError(
                f"{key!r} has no comma, which stands for a packed number; unpack it into an ID "
                "such "
                'as "12,5,7" first.'
            )
        # Catalogs of other origin say 1 for "exists" and name no items.
        owners = _owners(value, key, path) if isinstance(value, list) else [None]
        ids += [codes] * len(owners)
        items += owners
    check_widths([len(row) for row in ids])
    named = [item is not None for item in items]
    if any(named) and not all(named):
        raise ValueError(f"{os.fspath(path)} names the items of some IDs only.")
    return FileContent(np.array(ids, dtype=np.int64), items if all(named) else None)


def _owners(entries: list[Any], key: str, path: object) -> list[Any]:
    if not all(isinstance(entry, dict) and "pid" in entry for entry in entries):
        raise ValueError(
            f'{path} should list the items of {key!r} as [{{"pid": …}}], but has {entries!r}.'
        )
    return [entry["pid"] for entry in entries]
