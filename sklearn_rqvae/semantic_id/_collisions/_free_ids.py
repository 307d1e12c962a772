"""The free IDs around an ID, nearest first, for items whose candidates ran out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.semantic_id._collisions._taken import TakenIDs
from sklearn_rqvae.semantic_id._keys import KeyLayout

__all__ = ["FreeIDs"]


class FreeIDs:
    """Walk the tree of codes from an ID outwards and hand out what is free.

    An ID that shares a longer prefix is nearer. Among IDs with the same shared prefix the code at
    the first level that differs decides: the nearer codeword comes first if codebooks are given,
    else the nearer number. A prefix whose IDs are all in use is skipped, so the walk spills to the
    next one.

    Parameters
    ----------
    layout : KeyLayout
        How IDs are packed.
    taken : TakenIDs
        IDs that aren't free.
    sizes : sequence of int
        Number of codes at each level.
    codebooks : sequence of ndarray of shape (codebook_size, embed_dim), optional
        Codewords of each level.
    """

    def __init__(
        self,
        layout: KeyLayout,
        taken: TakenIDs,
        sizes: Sequence[int],
        codebooks: Sequence[NDArray[Any]] | None = None,
    ) -> None:
        self._layout = layout
        self._taken = taken
        self._sizes = tuple(sizes)
        self._codebooks = codebooks
        self._given: Counter[tuple[int, ...]] = Counter()

    def around(self, semantic_id: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Yield free IDs, nearest to `semantic_id` first, and mark each as taken."""
        own = tuple(int(code) for code in semantic_id)
        for depth in range(len(own) - 1, -1, -1):
            yield from self._below(own[:depth], own, skip=own[depth])

    def take(self, semantic_id: Sequence[int]) -> None:
        """Mark an ID as taken."""
        own = tuple(int(code) for code in semantic_id)
        self._given.update(own[:depth] for depth in range(len(own) + 1))

    def _below(
        self, prefix: tuple[int, ...], own: tuple[int, ...], skip: int | None
    ) -> Iterator[tuple[int, ...]]:
        level = len(prefix)
        if level == len(own):
            self.take(prefix)
            yield prefix
            return
        for code in self._by_distance(level, own[level]):
            child = prefix + (code,)
            if code != skip and self._n_taken(child) < prod(self._sizes[level + 1 :]):
                yield from self._below(child, own, skip=None)

    def _n_taken(self, prefix: tuple[int, ...]) -> int:
        return self._taken.count(prefix, *self._layout.bounds(prefix)) + self._given[prefix]

    def _by_distance(self, level: int, code: int) -> list[int]:
        """List the codes of a level, the nearest to `code` first, the lower of equals."""
        if self._codebooks is None:
            distance = np.abs(np.arange(self._sizes[level]) - code).astype(float)
        else:
            codebook = np.asarray(self._codebooks[level], dtype=np.float64)
            distance = ((codebook - codebook[code]) ** 2).sum(axis=1)
        return np.argsort(distance, kind="stable").tolist()
