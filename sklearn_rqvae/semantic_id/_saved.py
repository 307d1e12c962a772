"""A catalog and its rules as a header and arrays in one file, and back."""

from __future__ import annotations

import os
from dataclasses import fields

from sklearn_rqvae._archive import damage_as_checkpoint_error

from . import _storage
from ._keys import KeyLayout
from ._level_sizes import check_codebooks
from ._report import CollisionReport
from ._resolve import Named, Rules, check_rules
from ._store import IDStore

__all__ = ["read_catalog", "write_catalog"]


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
    _storage.save(path, header, arrays)


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
    header, arrays = _storage.load(path)
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
