"""A catalog and its rules as a header and arrays in one file, and back."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._archive import damage_as_checkpoint_error, open_archive, write_archive
from sklearn_rqvae._files._header import check_header, file_header
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id._collisions._resolve import Named, Rules, check_rules
from sklearn_rqvae.semantic_id._item_ids import STRINGS
from sklearn_rqvae.semantic_id._keys import KeyLayout
from sklearn_rqvae.semantic_id._level_sizes import check_codebooks
from sklearn_rqvae.semantic_id._ordering import is_increasing
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = ["read_catalog", "write_catalog"]

KIND = "SemanticIDIndex"
FIELDS = {
    "collisions",
    "suffix_size",
    "n_candidates",
    "sizes",
    "sizes_given",
    "fields",
    "report",
    "n_suffixes",
    "n_codebooks",
    "strings",
}


def write_catalog(
    path: str | os.PathLike[str], rules: Rules, named: Named, *, sizes_given: bool
) -> None:
    """Write a catalog.

    Parameters
    ----------
    path : str or path-like
        File to write.
    rules : Rules
        How items get their IDs.
    named : Named
        The catalog.
    sizes_given : bool
        Whether the sizes are fixed, and don't grow with the codes.
    """
    store, codebooks = named.store, rules.codebooks or []
    header = {
        "collisions": rules.collisions,
        "suffix_size": rules.suffix_size,
        "n_candidates": rules.n_candidates,
        "sizes": list(rules.sizes),
        "sizes_given": sizes_given,
        "fields": list(store.layout.sizes),
        "report": {field.name: getattr(named.report, field.name) for field in fields(named.report)},
        "n_suffixes": named.n_suffixes,
        "n_codebooks": len(codebooks),
    }
    arrays = {
        "keys": store.keys,
        "order": store.order,
        "item_ids": store.item_ids,
        "retired": store.retired,
    }
    if store.item_order is not None:
        arrays["item_order"] = store.item_order
    for level, codebook in enumerate(codebooks):
        arrays[f"codebook_{level}"] = codebook
    _save(path, header, arrays)


def read_catalog(path: str | os.PathLike[str]) -> tuple[Rules, Named, bool]:
    """Read what `write_catalog` wrote.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    rules : Rules
        How items get their IDs.
    named : Named
        The catalog.
    sizes_given : bool
        Whether the sizes are fixed.

    Raises
    ------
    CheckpointError
        If the file isn't a catalog, is damaged, or has a later version.
    """
    header, arrays = _load(path)
    with damage_as_checkpoint_error(path, "a saved SemanticIDIndex"):
        codebooks = [arrays[f"codebook_{level}"] for level in range(header["n_codebooks"])]
        rules = Rules(
            header["collisions"],
            list(header["sizes"]),
            header["suffix_size"],
            header["n_candidates"],
            check_codebooks(codebooks or None, len(header["sizes"])),
        )
        check_rules(rules.collisions, rules.suffix_size, rules.n_candidates)
        store = IDStore(
            KeyLayout(header["fields"]),
            arrays["keys"],
            arrays["order"],
            arrays["item_ids"],
            arrays.get("item_order"),
            arrays["retired"],
        )
        report = CollisionReport(**header["report"])
        return rules, Named(store, int(header["n_suffixes"]), report), bool(header["sizes_given"])


def _save(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Write a header and arrays to one file.

    Parameters
    ----------
    path : str or path-like
        File to write.
    header : dict
        Plain values.
    arrays : dict of str to ndarray
        Numbers, bytes or variable-width strings.
    """
    strings = [name for name, array in arrays.items() if array.dtype.kind == "T"]
    content = {**file_header(KIND), "strings": strings, **header}
    members: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if name in strings:
            text = [item.encode() for item in array.tolist()]
            members[f"{name}.ends"] = np.cumsum([len(item) for item in text], dtype=np.int64)
            members[f"{name}.utf8"] = np.frombuffer(b"".join(text), dtype=np.uint8)
        else:
            members[name] = np.ascontiguousarray(array)
    write_archive(path, content, members)


def _load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `_save` wrote.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    header : dict
        Plain values.
    arrays : dict of str to ndarray
        The arrays.

    Raises
    ------
    CheckpointError
        If the file isn't an index, is damaged, or has a later version.
    """
    with open_archive(path, "a saved SemanticIDIndex") as archive:
        header = archive.header
        check_header(header, KIND, path)
        arrays = {name: archive.read(name) for name in archive.names}
        if FIELDS - set(header):
            missing = ", ".join(sorted(FIELDS - set(header)))
            raise CheckpointError(f"{os.fspath(path)} is damaged: its header lacks {missing}.")
        for name in header["strings"]:
            text, ends = arrays.pop(f"{name}.utf8").tobytes(), arrays.pop(f"{name}.ends").tolist()
            starts = [0, *ends[:-1]]
            items = [text[start:end].decode() for start, end in zip(starts, ends, strict=False)]
            arrays[name] = np.array(items, dtype=STRINGS)
        _check(path, header, arrays)
    return header, arrays


def _check(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Refuse arrays that don't fit together; the index relies on their order."""
    missing = {"keys", "order", "item_ids", "retired"} - set(arrays)
    problem = f"lacks {', '.join(sorted(missing))}" if missing else ""
    if not problem:
        keys, order, item_ids = arrays["keys"], arrays["order"], arrays["item_ids"]
        by_item = arrays.get("item_order", np.arange(len(keys)))
        if not len(keys) == len(order) == len(item_ids) == len(by_item):
            problem = "has arrays of different lengths"
        elif not (_is_permutation(order) and _is_permutation(by_item)):
            problem = "has an order that is no permutation"
        elif not keys.dtype == arrays["retired"].dtype == KeyLayout(header["fields"]).dtype:
            problem = "has keys of the wrong type"
        elif not is_increasing(arrays["retired"]):
            problem = "has retired keys out of order"
        elif (keys[order[1:]] < keys[order[:-1]]).any():
            problem = "has keys out of order"
        elif (item_ids[by_item[1:]] <= item_ids[by_item[:-1]]).any():
            problem = "has item ids out of order"
        elif header["collisions"] != "none" and (keys[order[1:]] == keys[order[:-1]]).any():
            problem = "has an ID twice"
    if problem:
        raise CheckpointError(f"{os.fspath(path)} is damaged: it {problem}.")


def _is_permutation(order: NDArray[Any]) -> bool:
    if not len(order):
        return True
    if order.min() < 0 or order.max() >= len(order):
        return False
    seen = np.zeros(len(order), dtype=bool)
    seen[order] = True
    return bool(seen.all())
