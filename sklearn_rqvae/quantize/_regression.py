r"""Ridge regression of rows on their codewords and on the pairs of their codes.

A row is reconstructed as :math:`\hat z = \sum_l W_l[c_l] + \sum_{l<m} V_{lm}[c_l, c_m]`: its
codewords, plus a vector for each pair of its codes that enough other rows have too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae.quantize._pairs import PairKeys, find
from sklearn_rqvae.quantize._residual import sum_codewords
from sklearn_rqvae.quantize._soft_codes import SoftCodes

__all__ = ["Interactions", "Ridges", "one_hot", "option_errors", "reconstruct", "regress", "solve"]

# Strength of the shrinkage, in rows: a codeword (toward its start) or pair (toward zero) met by
# that many rows goes half way.
CODEWORD_RIDGE = 3.0
PAIR_RIDGE = 2.0

# A pair met by one row alone would store that row.
MIN_ROWS = 2

# Leading coordinates that pairs act on: at least this share of all. The last principal coordinates
# hold little.
MIN_DIM_SHARE = 0.6

# What the key of a pair, an integer of 64 bits, counts in numbers of 32 bits.
KEY_FLOATS = 2

# Rows whose options are reconstructed at a time; the temporaries stay in cache.
CHUNK_ROWS = 128

# Rows whose residuals are in memory at a time.
_BLOCK_ROWS = 16384

# Coordinates in which the pairs' sums of residuals are in memory at a time.
_BLOCK_DIMS = 64


class Interactions(NamedTuple):
    """Codewords, and vectors for pairs of codes."""

    codebooks: list[Tensor]
    keys: Tensor
    vectors: Tensor


class Ridges(NamedTuple):
    """Strength of the shrinkage, in rows."""

    codewords: float
    pairs: float


RIDGES = Ridges(CODEWORD_RIDGE, PAIR_RIDGE)


def regress(
    z: Tensor,
    codebooks: Sequence[Tensor],
    soft: SoftCodes,
    max_floats: int,
    ridges: Ridges = RIDGES,
) -> Interactions:
    """Fit changes of codewords, and vectors of the most useful pairs, by ridge least squares."""
    n_dims = z.shape[1]
    row, slot = (soft.weight > 0).nonzero(as_tuple=True)
    codes, weight = soft.codes[row, slot], soft.weight[row, slot]
    rows = _WeightedRows(z, row, codes, weight, codebooks)
    keys, dim = _choose_pairs(rows, max_floats, ridges.pairs)

    design, n_codewords = one_hot(codes, codebooks, keys)
    weights = weight.cpu().numpy()
    weighted = design.multiply(weights[:, None]).tocsr()
    targets = rows.sums(weighted)
    ridge = np.full(design.shape[1], ridges.pairs, dtype=np.float32)
    ridge[:n_codewords] = ridges.codewords
    solution = _ridge(weighted, design, targets[:, :dim], ridge)
    change = np.zeros((n_codewords, n_dims), dtype=np.float32)
    change[:, :dim] = solution[:n_codewords]
    if dim < n_dims:  # pairs don't act here, so neither do they disturb the codewords
        change[:, dim:] = _ridge(
            weighted[:, :n_codewords],
            design[:, :n_codewords],
            targets[:n_codewords, dim:],
            ridge[:n_codewords],
        )
    changes = torch.from_numpy(change).to(z.device).split([len(book) for book in codebooks])
    vectors = torch.from_numpy(solution[n_codewords:]).to(z.device)
    changed = [codebook + delta for codebook, delta in zip(codebooks, changes, strict=True)]
    return Interactions(changed, keys, vectors)


class _WeightedRows(NamedTuple):
    """Rows with codes and weights; their residuals are never in memory all at once."""

    z: Tensor  # (n_samples, n_dims)
    row: Tensor  # (n_codes,): the row that each entry of codes and weight belongs to
    codes: Tensor  # (n_codes, n_layers)
    weight: Tensor  # (n_codes,)
    codebooks: Sequence[Tensor]

    def residuals(self, dims: slice = slice(None)) -> Iterator[tuple[slice, Tensor]]:
        """Yield what the codewords leave of a block of rows, in some coordinates."""
        z, codebooks = self.z[:, dims], [codebook[:, dims] for codebook in self.codebooks]
        for start in range(0, len(self.row), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            yield part, z[self.row[part]] - sum_codewords(self.codes[part], codebooks)

    def sums(self, weighted: sp.csr_matrix) -> NDArray[np.float32]:
        """Return the sums of residuals by column of a matrix of weights."""
        total = np.zeros((weighted.shape[1], self.z.shape[1]), dtype=np.float32)
        for part, residual in self.residuals():
            block = weighted[part]
            columns = np.unique(block.indices)
            total[columns] += block[:, columns].T @ residual.cpu().numpy()
        return total


def _choose_pairs(rows: _WeightedRows, max_floats: int, pair_ridge: float) -> tuple[Tensor, int]:
    """Return the keys of the most useful pairs, and the number of coordinates that they act on."""
    z, row, codes, weight, codebooks = rows
    keys, inverse = torch.unique(PairKeys([len(c) for c in codebooks])(codes), return_inverse=True)
    n_rows = int(row.max()) + 1
    met_by = torch.unique(inverse * n_rows + row[:, None]) // n_rows
    often = torch.bincount(met_by, minlength=len(keys)) >= MIN_ROWS
    n_often = int(often.sum())
    n_dims = z.shape[1]
    affordable = max_floats // max(n_often, 1) - KEY_FLOATS
    dim = int(min(n_dims, max(MIN_DIM_SHARE * n_dims, affordable, 1)))
    n_pairs = max_floats // (dim + KEY_FLOATS)
    if n_often > n_pairs:
        count, size = z.new_zeros(len(keys)), z.new_zeros(len(keys))
        for column in inverse.T:
            count.index_add_(0, column, weight)
        for first in range(0, dim, _BLOCK_DIMS):  # there may be 100 times more pairs than codewords
            dims = slice(first, min(first + _BLOCK_DIMS, dim))
            total = z.new_zeros(len(keys), dims.stop - first)
            for part, residual in rows.residuals(dims):
                weighted = residual.mul_(weight[part, None])
                for column in inverse[part].T:
                    total.index_add_(0, column, weighted)
            size += total.square_().sum(1)
        gain = size / (count + pair_ridge)
        gain[~often] = -1
        often = torch.zeros_like(often)
        often[gain.topk(n_pairs).indices] = True
    return keys[often], dim


def one_hot(codes: Tensor, codebooks: Sequence[Tensor], keys: Tensor) -> tuple[sp.csr_matrix, int]:
    """Return the design matrix, columns for codewords and then pairs, and how many codewords."""
    sizes = [len(codebook) for codebook in codebooks]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    pairs = find(keys, PairKeys(sizes)(codes)).cpu().numpy()
    columns = np.concatenate([codes.cpu().numpy() + starts[:-1], pairs + starts[-1]], axis=1)
    present = np.concatenate([np.ones(codes.shape, dtype=bool), pairs >= 0], axis=1)
    pointers = np.concatenate([[0], np.cumsum(present.sum(1))])
    ones = np.ones(pointers[-1], dtype=np.float32)
    shape = (len(codes), int(starts[-1]) + len(keys))
    return sp.csr_matrix((ones, columns[present], pointers), shape=shape), int(starts[-1])


def _ridge(
    weighted: sp.csr_matrix,
    design: sp.csr_matrix,
    targets: NDArray[np.float32],
    ridge: NDArray[np.float32],
    n_iter: int = 8,
    tol: float = 1e-3,
) -> NDArray[np.float32]:
    r"""Solve :math:`(Z^\top w Z + \mathrm{diag}(\lambda)) B = S` by conjugate gradients.

    :math:`w Z` and :math:`Z` are the matrices given, :math:`S = Z^\top w T` the targets.
    """
    normal = (weighted.T @ design + sp.diags(ridge)).tocsr()
    return solve(normal, targets, n_iter, tol)


def solve(
    normal: sp.csr_matrix, targets: NDArray[Any], n_iter: int = 8, tol: float = 1e-3
) -> NDArray[Any]:
    r"""Solve :math:`N B = S` by conjugate gradients.

    Early iterations hold most of the solution and little of the noise, so few are enough.

    Parameters
    ----------
    normal : sparse matrix of shape (n_columns, n_columns)
        Weights of the rows in both columns, ridges on the diagonal included, :math:`N`.
    targets : ndarray of shape (n_columns, n_dims)
        Sums by column, :math:`S`.
    n_iter : int, default=8
        The most iterations.
    tol : float, default=1e-3
        Share of the targets that may be left.

    Returns
    -------
    solution : ndarray of shape (n_columns, n_dims)
        The solution.
    """
    scale = 1 / normal.diagonal()[:, None]
    residual = targets.copy()
    solution = np.zeros_like(residual)
    step = scale * residual
    direction = step.copy()
    size = (residual * step).sum(0)
    enough = tol**2 * size.sum()
    tiny = np.finfo(np.float32).tiny
    for _ in range(n_iter):
        if size.sum() <= enough:
            break
        image = normal @ direction
        length = size / np.maximum(np.multiply(direction, image, out=step).sum(0), tiny)
        solution += np.multiply(length, direction, out=step)
        residual -= np.multiply(length, image, out=image)
        np.multiply(scale, residual, out=step)
        previous, size = size, np.multiply(residual, step, out=image).sum(0)
        direction *= size / np.maximum(previous, tiny)
        direction += step
    return solution


def option_errors(z: Tensor, fitted: Interactions, codes: Tensor) -> Tensor:
    """Return the squared error of each row with each of its codes."""
    pair_keys = PairKeys([len(codebook) for codebook in fitted.codebooks])
    return (z[:, None] - reconstruct(codes, fitted, pair_keys)).square_().sum(-1)


def reconstruct(codes: Tensor, fitted: Interactions, pair_keys: PairKeys) -> Tensor:
    """Sum codewords and vectors of codes of shape (n_rows, n_codes, n_layers)."""
    flat = codes.flatten(0, 1)
    sums = sum_codewords(flat, fitted.codebooks)
    pairs = find(fitted.keys, pair_keys(flat))
    if pairs.shape[1] and len(fitted.vectors):
        padded = F.pad(fitted.vectors, (0, 0, 1, 0))
        dim = fitted.vectors.shape[1]
        sums[:, :dim] += F.embedding_bag(pairs + 1, padded, mode="sum")
    return sums.unflatten(0, codes.shape[:2])
