"""Files as SIDInspector, TorchEasyRec, GRID and RecBole have them, written and read."""

from __future__ import annotations

import os
import pickle
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._tables import open_text, write_table
from sklearn_rqvae.semantic_id._ordering import position_in_group
from sklearn_rqvae.semantic_id._tokens import ids_to_tokens, offset_token_table, tokens_to_ids

__all__ = ["read_grid", "read_recbole", "write_other"]

# What torch.load raises for files that aren't its own, or are damaged.
_DAMAGE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
)
_RECBOLE_HEADER = ("item_id:token", "semantic_id:token_seq")


def write_other(
    path: str | os.PathLike[str],
    format: str,
    ids: NDArray[np.int64],
    item_ids: NDArray[Any],
    level_sizes: list[int],
) -> None:
    """Write IDs to a file of another project; see `SemanticIDIndex.export`."""
    if format == "sidinspector":
        columns = {f"sid_{level}": codes for level, codes in enumerate(ids.T)}
        write_table(path, {"item_id": item_ids.tolist(), **columns}, kind=".csv")
    elif format == "torcheasyrec":
        starts = [table[0] for table in offset_token_table(level_sizes)]
        columns = {
            "item_id": item_ids.tolist(),
            "codebook": ids,
            "offset_codebook": ids + starts,
            "index": _place_among_equals(ids),
        }
        write_table(path, columns, kind=".parquet")
    elif format == "grid":
        _write_grid(path, ids, item_ids)
    else:
        _write_recbole(path, ids, item_ids)


def _place_among_equals(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the items with one ID from 0."""
    _, group = np.unique(ids, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = position_in_group(group.ravel()[order])
    return place


def _write_grid(
    path: str | os.PathLike[str], ids: NDArray[np.int64], item_ids: NDArray[Any]
) -> None:
    """Write a tensor (n_levels, n_items) whose column i is the ID of item i."""
    import torch

    if item_ids.dtype.kind != "i" or not np.array_equal(np.sort(item_ids), np.arange(len(ids))):
        raise ValueError(
            "format='grid' has the ID of item i in column i, so that item ids should be 0, 1, …, "
            f"{len(ids) - 1}; build the catalog with row numbers, or use another format."
        )
    columns = np.empty(ids.T.shape, dtype=np.int64)
    columns[:, item_ids] = ids.T
    with replace_file(path) as file:
        torch.save(torch.from_numpy(columns), file)


def read_grid(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Return the IDs in a tensor (n_levels, n_items); runs no code from the file."""
    import torch

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise ValueError(
            f"{os.fspath(path)} is no tensor that torch.save wrote: {error}"
        ) from error
    if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2 or tensor.is_floating_point():
        found = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise ValueError(
            f"{os.fspath(path)} holds {found}; expected a tensor of integers (n_levels, n_items)."
        )
    return np.ascontiguousarray(tensor.numpy().T.astype(np.int64))


def _write_recbole(
    path: str | os.PathLike[str], ids: NDArray[np.int64], item_ids: NDArray[Any]
) -> None:
    """Write an atomic file: a column of tokens, and one of sequences of tokens."""
    lines = ["\t".join(_RECBOLE_HEADER)]
    for item, tokens in zip(map(str, item_ids.tolist()), ids_to_tokens(ids), strict=True):
        if not item or any(character in item for character in '\t\n\r"'):
            raise ValueError(
                f"format='recbole' can't hold the item id {item!r}: it has no quotes, and ends a "
                "field with a tab; use ids that have text, but no tabs, line breaks and quotes."
            )
        lines.append(f"{item}\t{' '.join(tokens)}")
    with replace_file(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def read_recbole(path: str | os.PathLike[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return IDs and item ids of an atomic file with a ``token_seq`` of codes."""
    with open_text(path) as file:
        # Ids may hold what ends a line elsewhere, such as "\x85" and "\u2028".
        lines = re.split("\r\n|\n|\r", file.read())
    header = lines[0].split("\t") if lines else []
    kinds = [name.rpartition(":")[2] for name in header]
    names = [name.rpartition(":")[0] for name in header]
    if "item_id" not in names or "semantic_id" not in names or "token_seq" not in kinds:
        raise ValueError(
            f"{os.fspath(path)} has the columns {header}; expected {list(_RECBOLE_HEADER)}."
        )
    rows = [line.split("\t") for line in lines[1:] if line]
    bad = next((row for row in rows if len(row) != len(header)), None)
    if bad is not None:
        raise ValueError(f"{os.fspath(path)} has a line of {len(bad)} fields: {bad!r:.80}.")
    items = [row[names.index("item_id")] for row in rows]
    return tokens_to_ids([row[names.index("semantic_id")].split(" ") for row in rows]), items
