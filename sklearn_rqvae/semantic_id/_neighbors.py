"""Items near an item: by shared prefixes, or by decoded vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._collisions._candidates import chunks
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = ["decoded_neighbors", "prefix_neighbors", "sum_codewords"]


def prefix_neighbors(
    store: IDStore, row: int, n_neighbors: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return places in the order of keys, longest shared prefix first, and its length for each."""
    own = store.layout.unpack(store.keys[row : row + 1])[0].tolist()
    places: list[NDArray[np.intp]] = []
    shared: list[int] = []
    inner_start = inner_stop = 0
    for depth in range(len(own), -1, -1):
        start, stop = store.range(own[:depth])
        if depth == len(own):
            found = np.arange(start, min(stop, start + n_neighbors + 1))
            found = found[store.order[found] != row]
        else:
            before = np.arange(start, min(inner_start, start + n_neighbors))
            after = np.arange(inner_stop, min(stop, inner_stop + n_neighbors))
            found = np.concatenate([before, after])
        found = found[: n_neighbors - len(shared)]
        places.append(found)
        shared += [depth] * len(found)
        inner_start, inner_stop = start, stop
        if len(shared) == n_neighbors:
            break
    return np.concatenate(places), np.array(shared, dtype=np.int64)


def decoded_neighbors(
    store: IDStore,
    row: int,
    n_neighbors: int,
    n_levels: int,
    decode: Callable[[NDArray[np.int64]], Any],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return places in the order of keys, nearest decoded vector first, and the distances."""

    def vectors(keys: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(as_array(decode(store.layout.unpack(keys, n_levels))), dtype=np.float64)

    own = vectors(store.keys[row : row + 1])[0]
    keys = store.sorted_keys()
    squared = np.empty(len(keys))
    for chunk in chunks(len(keys)):
        squared[chunk] = ((vectors(keys[chunk]) - own) ** 2).sum(axis=1)
    squared[store.order == row] = np.inf
    n_neighbors = min(n_neighbors, len(keys) - 1)
    if n_neighbors == 0:
        return np.empty(0, dtype=np.intp), np.empty(0)
    # All at the border are sorted, so that equal distances keep the order of keys.
    border = np.partition(squared, n_neighbors - 1)[n_neighbors - 1]
    near = np.flatnonzero(squared <= border)
    near = near[np.argsort(squared[near], kind="stable")][:n_neighbors]
    return near, np.sqrt(squared[near])


def sum_codewords(
    codebooks: Sequence[NDArray[Any]], codes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Decode codes to the sum of their codewords."""
    pairs = zip(codebooks, codes.T, strict=True)
    return np.sum([codebook[column] for codebook, column in pairs], axis=0)
