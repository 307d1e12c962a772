"""What vectors of pairs of codes change in the errors of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.quantize._pairs import PairKeys
from sklearn_rqvae.quantize._rerank import RERANK_ROWS, row_parts

__all__ = ["MAX_IN_TABLE", "PairErrors"]

# Entries up to which a table is made: of the places of all possible pairs, in place of a search
# among the stored ones, which takes five times longer; of products of vectors and sums of
# codewords, in place of these sums.
MAX_IN_TABLE = 1 << 24

# Rows or candidates below which finding equal candidates takes longer than their products.
_FEW = 8


class PairErrors:
    r"""Compute what vectors of pairs of codes change in squared errors.

    .. math:: \|z - q - v\|^2 - \|z - q\|^2 = 2 v^\top (v / 2 + q - z)

    with :math:`q` the sum of the codewords and :math:`v` that of the pairs' vectors.

    Parameters
    ----------
    interactions : PairInteractions
        Pairs and vectors.
    codewords : Tensor of shape (n_codewords, embed_dim)
        The codewords of all levels.
    axes : Tensor of shape (embed_dim, n_features), optional
        The rotation from rows to latents. If given, rows come as they were before it, so that
        nobody needs to compute latents, and :math:`v^\top q` comes from a table: see `has_table`.
    """

    def __init__(self, interactions: Any, codewords: Tensor, axes: Tensor | None = None):
        self.interactions = interactions
        self.vectors: Tensor = interactions.vectors
        dim = self.vectors.shape[1]
        self.codewords = codewords[:, :dim].contiguous()
        pair_keys: PairKeys = interactions.pair_keys
        sizes = pair_keys.codebook_size
        self.starts = torch.tensor([0, *sizes[:-1]], device=codewords.device).cumsum(0)
        self.places = None
        if pair_keys.starts[-1] <= MAX_IN_TABLE:
            places = torch.arange(1, len(self.vectors), dtype=torch.int32, device=codewords.device)
            self.places = places.new_zeros(pair_keys.starts[-1])
            self.places[interactions.keys] = places
        self._firsts, self._seconds = np.array(pair_keys.level_pairs).reshape(-1, 2).T
        self._sizes = np.array(sizes)[self._seconds]
        self._starts = np.array(pair_keys.starts[:-1])
        self.products = None
        if axes is not None:
            self.products = self._products(pair_keys)
            self.vectors = linear(self.vectors, axes[:dim].T)

    @staticmethod
    def has_table(interactions: Any) -> bool:
        """Whether a pair and one code more are all codes, and a table of these isn't too large.

        Parameters
        ----------
        interactions : PairInteractions
            Pairs and vectors.
        """
        sizes = interactions.pair_keys.codebook_size
        return len(sizes) <= 3 and len(interactions.vectors) * max(sizes) <= MAX_IN_TABLE

    def _products(self, pair_keys: PairKeys) -> Tensor:
        """Return the inner product of each vector with the sum of codewords, by the third code."""
        sizes, keys = pair_keys.codebook_size, self.interactions.keys
        products = self.vectors.new_zeros(len(self.vectors), max(sizes))
        books = self.codewords.split(sizes)
        starts = pair_keys.starts
        for column, (first, second) in enumerate(pair_keys.level_pairs):
            pairs = ((keys >= starts[column]) & (keys < starts[column + 1])).nonzero()[:, 0]
            key = keys[pairs] - starts[column]
            vectors = self.vectors[1 + pairs]
            both = books[first][key // sizes[second]] + books[second][key % sizes[second]]
            products[1 + pairs] = (vectors * both).sum(1, keepdim=True)
            for third in {0, 1, 2}.intersection(range(len(sizes))) - {first, second}:
                products[1 + pairs, : sizes[third]] += linear(vectors, books[third])
        return products

    def add_to_errors(self, errors: Tensor, codes: Tensor, rows: Tensor) -> None:
        """Add the changes to errors in place.

        Parameters
        ----------
        errors : Tensor of shape (n_samples, n_candidates)
            Errors without pairs.
        codes : Tensor of int64 of shape (n_samples, n_candidates, n_layers)
            Candidates.
        rows : Tensor of shape (n_samples, n_features) or (n_samples, dim)
            Standardized rows; without `axes`, the first coordinates of their latents.
        """
        has_tables = self.products is not None and self.places is not None
        if has_tables and errors.device.type == "cpu":
            self._add_from_arrays(errors.numpy(), codes.numpy(), rows.numpy())
            return
        for some_errors, some_codes, some_rows in row_parts(errors, codes, rows):
            flat = some_codes.flatten(0, 1)
            places = self._places(flat)
            vectors = F.embedding_bag(places, self.vectors, mode="sum")
            vectors = vectors.view(*some_errors.shape, -1)
            if self.products is None:
                quantized = F.embedding_bag(flat + self.starts, self.codewords, mode="sum")
                difference = quantized.view_as(vectors).sub_(some_rows[:, None])
                change = _inner(difference.add_(vectors, alpha=0.5), vectors)
            else:
                change = self._from_table(places, flat).view_as(some_errors)
                change += _inner(vectors, vectors).mul_(0.5)
                change -= _inner(vectors, some_rows[:, None])
            some_errors.add_(change, alpha=2.0)

    @np.errstate(over="ignore", invalid="ignore")  # as torch does
    def _add_from_arrays(
        self, errors: NDArray[Any], codes: NDArray[np.int64], rows: NDArray[Any]
    ) -> None:
        """Add the changes with the table and numpy: of a single row, in a third of the time."""
        assert self.products is not None
        for start in range(0, len(errors), RERANK_ROWS):
            part = slice(start, start + RERANK_ROWS)
            places = self._places_of(codes[part])
            index = places.astype(np.int64) * self.products.shape[1]
            if codes.shape[2] == 3:  # as in `_from_table`
                index += codes[part, :, ::-1]
            change = self.products.numpy().take(index).sum(2)
            squares, inner = self._inner_products(places, rows[part])
            change += 0.5 * squares
            change -= inner
            errors[part] += 2.0 * change

    def _inner_products(
        self, places: NDArray[np.int32], rows: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return those of each candidate's vector, the sum of its pairs', with itself and the row.

        Of 16 candidates some 5 have different pairs: others have their products.
        """
        n_rows, n_candidates, n_pairs = places.shape
        if min(n_rows, n_candidates) < _FEW:
            vectors = self._sums(places.ravel(), n_pairs).reshape(n_rows, n_candidates, -1)
            return np.vecdot(vectors, vectors), np.vecdot(vectors, rows[:, None])
        keys = np.arange(n_rows)[:, None]
        for column in range(n_pairs):
            keys = keys * len(self.vectors) + places[:, :, column]  # with `has_table` below 2^60
        _, first, number = np.unique(keys, return_index=True, return_inverse=True)
        number = number.reshape(n_rows, n_candidates)
        vectors = self._sums(places.reshape(-1, n_pairs)[first].ravel(), n_pairs)
        squares = np.vecdot(vectors, vectors)
        inner = np.vecdot(vectors, rows[first // n_candidates])
        return squares[number], inner[number]

    def _sums(self, places: NDArray[np.int32], n_pairs: int) -> NDArray[Any]:
        """Return the sum of the vectors at each `n_pairs` of the places."""
        bags = torch.from_numpy(places)
        offsets = torch.arange(0, len(bags), n_pairs, dtype=bags.dtype)
        bag = torch.embedding_bag(self.vectors, bags, offsets, False, 0)[0]  # mode 0 is "sum"
        return bag.numpy()

    def add_to_latents(self, latent: Tensor, codes: Tensor) -> None:
        """Add the vectors of each row's pairs to the first coordinates of its latent, in place.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Sums of codewords.
        codes : Tensor of int64 of shape (n_samples, n_layers)
            Their codes.
        """
        places = self._places(codes)
        changed = places.sum(1).nonzero()[:, 0]
        vectors = F.embedding_bag(places[changed], self.interactions.vectors, mode="sum")
        latent[:, : vectors.shape[1]].index_add_(0, changed, vectors)

    def _from_table(self, places: Tensor, codes: Tensor) -> Tensor:
        """Return the inner products of each row's sums of vectors and of codewords."""
        products = self.products
        assert products is not None
        index = places.long() * products.shape[1]
        if codes.shape[1] == 3:  # pairs (0, 1), (0, 2) and (1, 2) leave levels 2, 1 and 0
            index += codes.flip(1)
        return products.take(index).sum(1)

    def _places_of(self, codes: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return `_places` of an array of codes, of shape (n_samples, n_candidates, n_pairs)."""
        assert self.places is not None
        keys = codes[:, :, self._firsts] * self._sizes
        keys += codes[:, :, self._seconds]
        keys += self._starts
        return self.places.numpy().take(keys)

    def _places(self, codes: Tensor) -> Tensor:
        """Return where in the vectors each row's pairs stand."""
        if self.places is None:
            return self.interactions.rows(codes)
        return self.places[self.interactions.pair_keys(codes)]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return inner products along the last axis."""
    if a.device.type != "cpu":
        return (a * b).sum(-1)
    # Without a product in memory: two fifths of the time.
    return torch.from_numpy(np.vecdot(a.numpy(), b.numpy()))
