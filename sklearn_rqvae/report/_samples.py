"""Items that share prefixes, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ItemGroup", "ItemSample", "draw_samples", "largest_collisions"]


@dataclass(frozen=True)
class ItemGroup:
    """Items that share a prefix.

    Attributes
    ----------
    prefix : list of int
        The shared codes.
    n_items : int
        Number of items in the group.
    names : list of str
        Names of some of them.
    n_distinct_rows : int or None
        Number of different vectors among them, where that was counted.
    """

    prefix: list[int]
    n_items: int
    names: list[str]
    n_distinct_rows: int | None = None


@dataclass(frozen=True)
class ItemSample:
    """An item, and others that share its codes.

    Attributes
    ----------
    name : str
        Name of the item.
    semantic_id : list of int
        Its codes.
    groups : list of ItemGroup
        For each prefix length, the longest first: items that share this many codes with it, and
        not one more.
    """

    name: str
    semantic_id: list[int]
    groups: list[ItemGroup]


def draw_samples(
    codes: NDArray[Any],
    names: Sequence[str],
    n_samples: int,
    n_names: int,
    rng: np.random.Generator,
) -> list[ItemSample]:
    """Draw items with different first codes, and for each some items that share its prefixes.

    Items come first that share many codes with others.
    """
    shared = _longest_shared(codes)
    order = rng.permutation(len(codes))
    order = order[np.argsort(-np.minimum(shared[order], 2), kind="stable")]
    samples: list[ItemSample] = []
    seen: set[int] = set()
    for item in order:
        if len(samples) == n_samples or shared[item] == 0:
            break
        if int(codes[item, 0]) in seen:
            continue
        seen.add(int(codes[item, 0]))
        samples.append(_sample(codes, names, int(item), n_names, rng))
    return samples


def largest_collisions(
    codes: NDArray[Any],
    names: Sequence[str],
    row_groups: NDArray[np.intp],
    n_groups: int,
    n_names: int,
) -> list[ItemGroup]:
    """Return the largest groups with one semantic ID, those of most different vectors first."""
    ids, group = np.unique(codes, axis=0, return_inverse=True)
    group = group.reshape(-1)
    pairs = np.unique(np.stack([group, row_groups], axis=1), axis=0)
    n_rows = np.bincount(pairs[:, 0], minlength=len(ids))
    n_items = np.bincount(group, minlength=len(ids))
    order = np.lexsort((-n_items, -n_rows))[:n_groups]
    found = []
    for number in order.tolist():
        if n_items[number] < 2:
            break
        members = np.flatnonzero(group == number)
        some = [names[i] for i in members[:n_names]]
        found.append(
            ItemGroup(ids[number].tolist(), int(n_items[number]), some, int(n_rows[number]))
        )
    return found


def _sample(
    codes: NDArray[Any], names: Sequence[str], item: int, n_names: int, rng: np.random.Generator
) -> ItemSample:
    agree = np.cumprod(codes == codes[item], axis=1).sum(axis=1)
    agree[item] = -1  # an item is no company for itself
    groups = []
    for length in range(codes.shape[1], 0, -1):
        members = np.flatnonzero(agree == length)
        if len(members):
            chosen = rng.permutation(members)[:n_names]
            some = [names[i] for i in chosen.tolist()]
            groups.append(ItemGroup(codes[item, :length].tolist(), len(members), some))
    return ItemSample(names[item], codes[item].tolist(), groups)


def _longest_shared(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many leading codes each item shares with the item closest to it in ID."""
    order = np.lexsort(codes.T[::-1])
    agree = np.cumprod(codes[order[1:]] == codes[order[:-1]], axis=1).sum(axis=1)
    shared = np.zeros(len(codes), dtype=np.int64)
    shared[order[1:]] = agree
    shared[order[:-1]] = np.maximum(shared[order[:-1]], agree)
    return shared
