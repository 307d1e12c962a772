"""A catalog and its rules as a header and arrays, in one file or in a pickle, and back."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._archive import open_archive, write_archive
from sklearn_rqvae._files._fingerprint import content_hash
from sklearn_rqvae._files._header import check_header, file_header
from sklearn_rqvae.semantic_id._collisions._resolve import (
    Named,
    Rules,
    check_rules,
    level_sizes,
)
from sklearn_rqvae.semantic_id._contract import described
from sklearn_rqvae.semantic_id._item_ids import STRINGS
from sklearn_rqvae.semantic_id._keys import MAX_CODEBOOK_SIZE, KeyLayout
from sklearn_rqvae.semantic_id._level_sizes import check_codebooks
from sklearn_rqvae.semantic_id._ordering import canonical_order, is_increasing
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = [
    "Content",
    "catalog_hash",
    "catalog_of",
    "plain_catalog",
    "read_catalog",
    "write_catalog",
]

KIND = "SemanticIDIndex"
_WHAT = "a saved SemanticIDIndex"
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
_HASH = re.compile("[0-9a-f]{64}")
# Rules that are in the header where they are set.
LIMITS = ("max_items_per_id", "max_items_per_first_code")
# IDs unpacked at a time.
_BLOCK_ROWS = 1 << 20
# Arrays that every catalog has.
_ARRAYS = {"keys", "order", "item_ids", "retired"}


class Content(NamedTuple):
    """What a file holds of a catalog.

    Attributes
    ----------
    rules : Rules
        How items get their IDs.
    named : Named
        The items and their IDs.
    sizes_given : bool
        Whether the sizes are fixed, and don't grow with the codes.
    """

    rules: Rules
    named: Named
    sizes_given: bool


def write_catalog(
    path: str | os.PathLike[str], content: Content, *, supersedes: str | None = None
) -> None:
    """Write a catalog.

    Parameters
    ----------
    path : str or path-like
        File to write.
    content : Content
        The catalog.
    supersedes : str, optional
        Stamp of the file whose journal is of no use any more.
    """
    header, arrays = plain_catalog(content)
    if supersedes is not None:
        header["supersedes"] = supersedes
    write_archive(path, {**file_header(KIND), **header}, arrays)


def read_catalog(path: str | os.PathLike[str]) -> Content:
    """Read what `write_catalog` wrote.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    content : Content
        The catalog.

    Raises
    ------
    CheckpointError
        If the file isn't a catalog, is damaged, or has a later version.
    """
    with open_archive(path, _WHAT) as archive:
        check_header(archive.header, KIND, path)
        arrays = {name: archive.read(name) for name in archive.names}
        return catalog_of(archive.header, arrays)


def plain_catalog(content: Content) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a catalog as plain values, and arrays of numbers and bytes.

    Parameters
    ----------
    content : Content
        The catalog.

    Returns
    -------
    header : dict
        Plain values.
    arrays : dict of str to ndarray
        The arrays.
    """
    rules, named, sizes_given = content
    store, codebooks = named.store, rules.codebooks or []
    arrays = {"keys": store.keys, "order": store.order, "retired": store.retired}
    if store.item_order is not None:
        arrays["item_order"] = store.item_order
    strings = ["item_ids"] if store.item_ids.dtype.kind == "T" else []
    if strings:
        text = [item.encode() for item in store.item_ids.tolist()]
        arrays["item_ids.ends"] = np.cumsum([len(item) for item in text], dtype=np.int64)
        arrays["item_ids.utf8"] = np.frombuffer(b"".join(text), dtype=np.uint8)
    else:
        arrays["item_ids"] = store.item_ids
    for level, codebook in enumerate(codebooks):
        arrays[f"codebook_{level}"] = codebook
    report = named.report
    header = {
        "strings": strings,
        "collisions": rules.collisions,
        "suffix_size": None if rules.suffix_size is None else int(rules.suffix_size),
        "n_candidates": int(rules.n_candidates),
        "sizes": [int(size) for size in rules.sizes],
        "sizes_given": bool(sizes_given),
        "fields": list(store.layout.sizes),
        "report": {field.name: getattr(report, field.name) for field in fields(report)},
        "n_suffixes": int(named.n_suffixes),
        "version": int(named.version),
        "model": rules.model,
        "vocabulary": described(level_sizes(rules, named), rules.collisions == "suffix"),
        "n_codebooks": len(codebooks),
        **{name: int(value) for name in LIMITS if (value := getattr(rules, name)) is not None},
        "codebook_shapes": [list(codebook.shape) for codebook in codebooks],
    }
    return header, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def catalog_of(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Content:
    """Return the catalog that `plain_catalog` turned into a header and arrays.

    Parameters
    ----------
    header : mapping
        Plain values.
    arrays : mapping of str to ndarray
        The arrays.

    Returns
    -------
    content : Content
        The catalog.

    Raises
    ------
    ValueError
        If they don't fit together. Other errors say that values have other types, or are missing.
    """
    missing = sorted(FIELDS - set(header))
    if missing:
        raise ValueError(f"its header lacks {', '.join(missing)}")
    rules, layout = _rules_of(header, arrays)
    store = _store_of(header, arrays, layout)
    _check_codes(rules, store)
    n_suffixes = header["n_suffixes"]
    if not _is_count(n_suffixes, 0, MAX_CODEBOOK_SIZE) or (
        rules.collisions == "suffix" and _largest_codes(store)[-1] >= max(n_suffixes, 1)
    ):
        raise ValueError(f"it has n_suffixes={n_suffixes!r}, and a larger suffix")
    if type(header["sizes_given"]) is not bool:
        raise TypeError(f"sizes_given is {header['sizes_given']!r}")
    version = header.get("version", 0)  # files of before have none
    if not _is_count(version, 0, 2**63):
        raise ValueError(f"it has version={version!r}")
    named = Named(store, n_suffixes, _report_of(header["report"]), version)
    _check_vocabulary(header, rules, named)
    return Content(rules, named, header["sizes_given"])


def catalog_hash(content: Content) -> str:
    """Return a name for what a catalog says of its items, and would say of new ones.

    The order of the rows has no part in it, and neither has how IDs are kept in memory.

    Parameters
    ----------
    content : Content
        The catalog.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    """
    rules, named, sizes_given = content
    store = named.store
    order = canonical_order(store.keys, store.item_ids)
    items = store.item_ids[order]
    hashed: list[Any] = [
        rules.collisions,
        list(map(int, rules.sizes)),
        bool(sizes_given),
        store.layout.unpack(store.keys[order]),
        items if items.dtype.kind == "T" else items.astype(np.int64),
        store.layout.unpack(store.retired),
        rules.codebooks,
    ]
    if rules.collisions == "suffix":
        suffix_size = None if rules.suffix_size is None else int(rules.suffix_size)
        hashed += [suffix_size, int(named.n_suffixes)]
    elif rules.collisions == "reassign":
        hashed.append(int(rules.n_candidates))
    if rules.max_items_per_id is not None:
        # The order of items on an ID is part of the catalog then.
        hashed += [int(rules.max_items_per_id), store.items_at(slice(None)).tolist()]
    if rules.max_items_per_first_code is not None:
        hashed.append(["max_items_per_first_code", int(rules.max_items_per_first_code)])
    return content_hash(hashed)


def _rules_of(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[Rules, KeyLayout]:
    """Return the rules, and how keys are packed."""
    collisions, sizes, places = header["collisions"], header["sizes"], header["fields"]
    limits = [header.get(name) for name in LIMITS]
    check_rules(collisions, header["suffix_size"], header["n_candidates"], *limits)
    n_codes = len(sizes) + (collisions == "suffix")
    for name, counts in (("sizes", sizes), ("fields", places)):
        if not isinstance(counts, list | tuple) or not all(
            _is_count(count, 1, MAX_CODEBOOK_SIZE) for count in counts
        ):
            raise ValueError(f"{name} are {counts!r}")
    if not sizes or len(places) != n_codes or list(places[: len(sizes)]) != list(sizes):
        raise ValueError(f"IDs are packed for {places}, but levels have the sizes {sizes}")
    n_codebooks = header["n_codebooks"]
    if n_codebooks not in (0, len(sizes)):
        raise ValueError(f"it has {n_codebooks!r} codebooks for {len(sizes)} levels")
    codebooks = [arrays[f"codebook_{level}"] for level in range(n_codebooks)]
    shapes = [list(codebook.shape) for codebook in codebooks]
    if header.get("codebook_shapes", shapes) != shapes or len({s[-1] for s in shapes}) > 1:
        raise ValueError(f"it has codebooks of the shapes {shapes}")
    for codebook in codebooks:
        if codebook.dtype.kind not in "fiu" or not np.isfinite(codebook).all():
            raise ValueError("its codebooks hold NaN, infinity or what is no number")
    rules = Rules(
        collisions,
        list(sizes),
        header["suffix_size"],
        header["n_candidates"],
        check_codebooks(codebooks or None, len(sizes)),
        limits[0],
        limits[1],
        header.get("model"),
    )
    if rules.model is not None and not _HASH.fullmatch(rules.model):
        raise ValueError(f"its model is {rules.model!r}")
    return rules, KeyLayout(places)


def _store_of(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], layout: KeyLayout
) -> IDStore:
    """Return keys and items; the index relies on their order."""
    if header["strings"] not in ([], ["item_ids"]):
        raise ValueError(f"strings are {header['strings']!r}")
    arrays = dict(arrays)
    if header["strings"]:
        arrays["item_ids"] = _strings(arrays.pop("item_ids.utf8"), arrays.pop("item_ids.ends"))
    missing = sorted(_ARRAYS - set(arrays))
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    keys, order, item_ids, retired = (
        arrays[name] for name in ("keys", "order", "item_ids", "retired")
    )
    item_order = arrays.get("item_order")
    by_item = np.arange(len(keys)) if item_order is None else item_order
    if {array.ndim for array in (keys, order, item_ids, retired, by_item)} != {1}:
        raise ValueError("it has arrays that aren't 1-dimensional")
    if not len(keys) == len(order) == len(item_ids) == len(by_item):
        raise ValueError("it has arrays of different lengths")
    if not keys.dtype == retired.dtype == layout.dtype:
        raise ValueError("it has keys of the wrong type")
    if item_ids.dtype.kind not in "iT":
        raise ValueError(f"it has item ids of {item_ids.dtype}")
    if not (_is_permutation(order) and _is_permutation(by_item)):
        raise ValueError("it has an order that is no permutation")
    if not is_increasing(retired):
        raise ValueError("it has retired keys out of order")
    if (keys[order[1:]] < keys[order[:-1]]).any():
        raise ValueError("it has keys out of order")
    if (item_ids[by_item[1:]] <= item_ids[by_item[:-1]]).any():
        raise ValueError("it has item ids out of order")
    n_places, by_key = header.get("max_items_per_id") or 1, keys[order]
    too_often = (by_key[n_places:] == by_key[: max(len(keys) - n_places, 0)]).any()
    if header["collisions"] != "none" and too_often:
        raise ValueError("it has an ID twice" if n_places == 1 else "it has an ID too often")
    return IDStore(layout, keys, order, item_ids, item_order, retired)


def _check_codes(rules: Rules, store: IDStore) -> None:
    """Refuse keys of codes that the catalog's levels don't have."""
    layout = store.layout
    for keys in (store.keys, store.retired):
        if layout.as_integer and len(keys) and int(keys.max()) >> layout.n_bits:
            raise ValueError(f"it has keys of more than {layout.n_bits} bits")
    largest = _largest_codes(store)
    for level, (code, size) in enumerate(zip(largest, layout.sizes, strict=True)):
        known = size
        if rules.codebooks is not None and level < len(rules.codebooks):
            known = min(size, len(rules.codebooks[level]))
        if code >= known:
            raise ValueError(f"it has the code {code} at level {level}, beyond its {known} codes")


def _largest_codes(store: IDStore) -> list[int]:
    """Return the largest code at each place, among used and retired keys; -1 without any."""
    largest = [-1] * len(store.layout.sizes)
    for keys in (store.keys, store.retired):
        for start in range(0, len(keys), _BLOCK_ROWS):
            codes = store.layout.unpack(keys[start : start + _BLOCK_ROWS])
            largest = np.maximum(largest, codes.max(0)).tolist()
    return largest


def _check_vocabulary(header: Mapping[str, Any], rules: Rules, named: Named) -> None:
    """Refuse a description of levels other than those that are there."""
    levels = described(level_sizes(rules, named), rules.collisions == "suffix")
    if header.get("vocabulary", levels) != levels:  # files of before have none
        raise ValueError(f"it says of its levels {header['vocabulary']!r}, and has others")


def _report_of(values: Any) -> CollisionReport:
    """Return a report, of counts and errors."""
    report = CollisionReport(**values)
    for field in fields(report):
        value = getattr(report, field.name)
        if field.name.startswith("error_"):
            # Candidates may have errors of any sign, and a sum near 0 rounds to either side.
            good = value is None or (type(value) in (int, float) and value == value)
        else:
            good = _is_count(value, 0, 2**63) or (
                value is None and field.name in ("n_duplicates", "n_ids")
            )
        if not good:
            raise ValueError(f"its report has {field.name}={value!r}")
    return report


def _strings(utf8: NDArray[Any], ends: NDArray[Any]) -> NDArray[Any]:
    """Return strings that lie one after the other."""
    if utf8.dtype != np.uint8 or ends.dtype != np.int64 or utf8.ndim != 1 or ends.ndim != 1:
        raise ValueError("its strings are no bytes, or have no places")
    places = [0, *ends.tolist()]
    if places[-1] != len(utf8) or (np.diff(places) < 0).any():
        raise ValueError("its strings have places outside their bytes")
    text = utf8.tobytes()
    items = [text[start:end].decode() for start, end in pairwise(places)]
    return np.array(items, dtype=STRINGS)


def _is_count(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_permutation(order: NDArray[Any]) -> bool:
    if order.dtype.kind != "i":
        return False
    if not len(order):
        return True
    if order.min() < 0 or order.max() >= len(order):
        return False
    seen = np.zeros(len(order), dtype=bool)
    seen[order] = True
    return bool(seen.all())
