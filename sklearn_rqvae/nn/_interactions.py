"""What two levels' codes mean together: vectors for pairs of codes, added to the codewords."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_rqvae.quantize._pairs import PairKeys, find

__all__ = ["PairInteractions"]


class PairInteractions(nn.Module):
    r"""Hold a vector for each pair of codes that training met often enough.

    .. math:: v(c) = \sum_{l<m} V_{lm}[c_l, c_m]

    with zero for pairs that aren't stored. A codeword says what its code means in general; a
    pair's vector, what it means beside a certain code of another level.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords at each level.
    n_pairs : int
        Number of pairs stored.
    dim : int
        Length of a vector.

    Attributes
    ----------
    keys : buffer of int64 of shape (n_pairs,)
        The pairs, numbered by `PairKeys`, ascending.
    vectors : buffer of shape (1 + n_pairs, dim)
        Their vectors, after a first one of zeros.

    Raises
    ------
    ValueError
        If `n_pairs` isn't an integer of at least 0, or `dim` one of at least 1.
    """

    keys: Tensor
    vectors: Tensor

    def __init__(self, codebook_size: Sequence[int], n_pairs: int, dim: int):
        super().__init__()
        for name, value, least in (("n_pairs", n_pairs, 0), ("dim", dim, 1)):
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name}={value!r} should be an integer of at least {least}.")
        self.pair_keys = PairKeys(codebook_size)
        self.register_buffer("keys", torch.zeros(n_pairs, dtype=torch.int64))
        self.register_buffer("vectors", torch.zeros(1 + n_pairs, dim))

    @property
    def sizes(self) -> dict[str, int]:
        """The constructor's `n_pairs` and `dim`."""
        return {"n_pairs": len(self.keys), "dim": self.vectors.shape[1]}

    def rows(self, codes: Tensor) -> Tensor:
        """Return where in `vectors` each row's pairs stand.

        Parameters
        ----------
        codes : Tensor of int64 of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels.

        Returns
        -------
        rows : Tensor of int64 of shape (n_samples, n_level_pairs)
            Positions, 0 for pairs that aren't stored.
        """
        return 1 + find(self.keys, self.pair_keys(codes))

    def forward(self, codes: Tensor) -> Tensor:
        """Add up the vectors of each row's pairs.

        Parameters
        ----------
        codes : Tensor of int64 of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels; pairs with later levels are left out.

        Returns
        -------
        vectors : Tensor of shape (n_samples, dim)
            Sums.
        """
        rows = self.rows(codes)
        if not rows.shape[1]:
            return self.vectors.new_zeros(len(codes), self.vectors.shape[1])
        return F.embedding_bag(rows, self.vectors, mode="sum")
