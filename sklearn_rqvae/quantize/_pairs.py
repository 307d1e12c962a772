"""Pairs of codes from two levels, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

__all__ = ["PairKeys", "find"]


class PairKeys:
    """Number the pairs of codes of any two levels.

    Pairs among the first levels have the lowest numbers, so that a prefix of the codes needs only
    the first columns.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords at each level.

    Attributes
    ----------
    level_pairs : list of tuple of int
        The pairs of levels, in order of the columns of keys: (0, 1), (0, 2), (1, 2), (0, 3), ...

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._pairs import PairKeys
    >>> keys = PairKeys([2, 3])
    >>> keys(torch.tensor([[0, 0], [1, 2]]))
    tensor([[0],
            [5]])
    """

    def __init__(self, codebook_size: Sequence[int]):
        self.codebook_size = [int(size) for size in codebook_size]
        self.level_pairs = sorted(
            combinations(range(len(self.codebook_size)), 2), key=lambda pair: (pair[1], pair[0])
        )
        self.starts = [0]
        for first, second in self.level_pairs:
            self.starts.append(
                self.starts[-1] + self.codebook_size[first] * self.codebook_size[second]
            )

    def __call__(self, codes: Tensor) -> Tensor:
        """Return the keys of all pairs among the given levels.

        Parameters
        ----------
        codes : Tensor of int64 of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels.

        Returns
        -------
        keys : Tensor of int64 of shape (n_samples, n_level_pairs)
            One column for each pair of these levels.
        """
        columns = [
            start + codes[:, first] * self.codebook_size[second] + codes[:, second]
            for start, (first, second) in zip(self.starts[:-1], self.level_pairs, strict=True)
            if second < codes.shape[1]
        ]
        return torch.stack(columns, 1) if columns else codes.new_zeros(len(codes), 0)


def find(stored: Tensor, keys: Tensor) -> Tensor:
    """Return the position of each key among ascending stored ones, -1 where it isn't there."""
    if not len(stored):
        return torch.full_like(keys, -1)
    position = torch.searchsorted(stored, keys).clamp_(max=len(stored) - 1)
    return torch.where(stored[position] == keys, position, -1)
