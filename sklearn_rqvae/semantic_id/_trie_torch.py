"""A trie in tensors on any device: all beams of a batch at once, in a fixed number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sklearn_rqvae.semantic_id._trie_level import TrieLevel

__all__ = ["TorchTrie"]


class _Level(NamedTuple):
    """The arrays of a `TrieLevel` as tensors."""

    size: int
    codes: Tensor
    starts: Tensor
    longest: int
    table: Tensor | None
    bits: Tensor | None
    alive: Tensor | None


class TorchTrie:
    """What a `SemanticIDTrie` says, in tensors; `SemanticIDTrie.to_torch` makes it.

    The shapes of what comes out, and the steps it takes, depend on the shapes of what goes in and
    on the trie only, never on values: nothing waits for the device, and the methods can be traced
    or captured.

    Parameters
    ----------
    levels : sequence of TrieLevel
        The levels of a `SemanticIDTrie`.
    device : str or torch.device
        Where the tensors go.

    Attributes
    ----------
    width : int
        Number of codes in each ID.
    level_sizes : tuple of int
        Number of codes at each level.
    """

    def __init__(self, levels: Sequence[TrieLevel], device: Any) -> None:
        self._levels = [_to_tensors(level, device) for level in levels]
        self._device = torch.device(device)
        self.width = len(levels)
        self.level_sizes = tuple(level.size for level in levels)

    def nodes(self, prefixes: Tensor) -> Tensor:
        """Find the nodes of prefixes of one length.

        Parameters
        ----------
        prefixes : Tensor of int of shape (..., n_levels)
            Codes of the first ``n_levels <= width`` levels.

        Returns
        -------
        nodes : Tensor of int of shape (...)
            Numbers of the nodes within their level, -1 where a prefix leads to no ID.
        """
        root = -1 if not len(self._levels[0].codes) else 0
        nodes = torch.full(prefixes.shape[:-1], root, dtype=torch.int64, device=self._device)
        for level in range(prefixes.shape[-1]):
            nodes = self.step(nodes, prefixes[..., level], level)
        return nodes

    def step(self, nodes: Tensor, codes: Tensor, level: int) -> Tensor:
        """Go on from nodes by one code each.

        Parameters
        ----------
        nodes : Tensor of int of shape (...)
            Nodes of prefixes of length `level`, -1 for none.
        codes : Tensor of int of shape (...)
            Codes at `level`, also such as the level doesn't have.
        level : int
            Number of codes before.

        Returns
        -------
        nodes : Tensor of int of shape (...)
            Nodes of the longer prefixes.
        """
        here = self._levels[level]
        if not len(here.codes):
            return torch.full_like(nodes, -1)
        there = (nodes >= 0) & (codes >= 0) & (codes < here.size)
        parents, codes = torch.where(there, nodes, 0).long(), torch.where(there, codes, 0).long()
        if here.table is None:
            found = _search(here, parents, codes)
        else:
            found = here.table[parents, codes].long()
        if here.bits is not None:
            bit = here.bits[parents, codes >> 3] >> (7 - (codes & 7)).to(torch.uint8)
            there = there & (bit & 1).bool()
        elif here.alive is not None:
            there = there & here.alive[found.clamp(min=0)]
        return torch.where(there, found, -1)

    def mask(self, nodes: Tensor, level: int) -> Tensor:
        """Tell which codes follow nodes.

        Parameters
        ----------
        nodes : Tensor of int of shape (...)
            Nodes of prefixes of length `level`, -1 for none.
        level : int
            Number of codes before, below `width`.

        Returns
        -------
        mask : Tensor of bool of shape (..., level_sizes[level])
            True where a code leads to an ID.
        """
        here = self._levels[level]
        there = (nodes >= 0)[..., None]
        parents = nodes.clamp(min=0)
        if not len(here.codes):
            return torch.zeros((*nodes.shape, here.size), dtype=torch.bool, device=nodes.device)
        if here.bits is not None:
            shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=nodes.device)
            flags = ((here.bits[parents][..., None] >> shifts) & 1).bool()
            return flags.flatten(-2)[..., : here.size] & there
        starts = here.starts[parents].long()[..., None]
        stops = here.starts[parents + 1].long()[..., None]
        children = starts + torch.arange(here.longest, device=nodes.device)
        follows = (children < stops) & there
        children = torch.where(follows, children, 0)
        if here.alive is not None:
            follows = follows & here.alive[children]
        # What doesn't follow goes to a column of its own.
        codes = torch.where(follows, here.codes[children].long(), here.size)
        shape = (*nodes.shape, here.size + 1)
        found = torch.zeros(shape, dtype=torch.bool, device=nodes.device)
        return found.scatter_(-1, codes, True)[..., : here.size]

    def allowed(self, prefixes: Tensor) -> Tensor:
        """Return a mask over the next codes, for prefixes of one length.

        Parameters
        ----------
        prefixes : Tensor of int of shape (..., n_levels)
            Codes of the first ``n_levels < width`` levels.

        Returns
        -------
        mask : Tensor of bool of shape (..., level_sizes[n_levels])
            True where a code leads to an ID.
        """
        return self.mask(self.nodes(prefixes), prefixes.shape[-1])


def _to_tensors(level: TrieLevel, device: Any) -> _Level:
    def tensor(array: Any) -> Any:
        if array is None:
            return None
        array = np.asarray(array)
        # There is one unsigned type that can be computed with, and bits and small codes are of it.
        if array.dtype.kind == "u" and array.dtype != np.uint8:
            array = array.astype(np.int64 if array.dtype.itemsize > 2 else np.int32)
        return torch.from_numpy(np.array(array)).to(device)

    dense = (tensor(level.table), tensor(level.bits), tensor(level.alive))
    codes, starts = tensor(level.codes), tensor(level.starts)
    return _Level(level.size, codes, starts, level.longest, *dense)


def _search(level: _Level, parents: Tensor, codes: Tensor) -> Tensor:
    """Find codes among those of parents by halving, all at once; -1 where they aren't."""
    last = len(level.codes) - 1
    low = level.starts[parents].long()
    stop = level.starts[parents + 1].long()
    high = stop
    for _ in range(level.longest.bit_length()):
        middle = (low + high) >> 1
        below = (low < high) & (level.codes[middle.clamp(max=last)].long() < codes)
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
    found = (low < stop) & (level.codes[low.clamp(max=last)].long() == codes)
    return torch.where(found, low, -1)
