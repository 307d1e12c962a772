"""The IDs that no further item can have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._ordering import is_among, rank_one
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = ["TakenIDs"]


class TakenIDs:
    """Those of a store, and those given since; nothing of the store is copied.

    Parameters
    ----------
    keys : ndarray of shape (n_keys,)
        Sorted keys beside the store.
    store : IDStore, optional
        Its keys, used and retired, are taken; they differ.
    """

    def __init__(self, keys: NDArray[Any], store: IDStore | None = None) -> None:
        self._keys = keys
        self._store = store

    def __len__(self) -> int:
        """Return the number of IDs."""
        n_stored = 0 if self._store is None else len(self._store) + self._store.count_retired(())
        return len(self._keys) + n_stored

    def among(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which of some keys are taken."""
        found = is_among(keys, self._keys)
        if self._store is None:
            return found
        return found | (self._store.count(keys, keys) > 0) | self._store.is_retired(keys)

    def count(self, prefix: tuple[int, ...], low: Any, high: Any) -> int:
        """Count the IDs with a prefix, whose keys go from `low` to `high`."""
        n_keys = rank_one(self._keys, None, high, side="right") - rank_one(self._keys, None, low)
        if self._store is None:
            return n_keys
        start, stop = self._store.range(prefix)
        return n_keys + stop - start + self._store.count_retired(prefix)

    def with_keys(self, keys: NDArray[Any]) -> TakenIDs:
        """Return these IDs and more."""
        return TakenIDs(np.sort(np.concatenate([self._keys, keys])), self._store)
