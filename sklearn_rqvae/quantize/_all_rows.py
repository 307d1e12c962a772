r"""Fit codewords and pair vectors to more rows than are kept, by sums over blocks of them.

The regression of `_interactions` needs of the rows only their codes, and their residuals added up
by codeword and pair. Residuals and weights are rounded to a grid on which float64 adds without
rounding, so the sums depend neither on the order of the rows nor on how they are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae.quantize._interactions import (
    CODEWORD_RIDGE,
    KEY_FLOATS,
    MIN_DIM_SHARE,
    MIN_ROWS,
    PAIR_RIDGE,
    Interactions,
    one_hot,
    solve,
)
from sklearn_rqvae.quantize._pairs import PairKeys

__all__ = ["add_up", "fit_to_all"]

Sums = tuple[sp.csr_matrix, NDArray[np.float64]]
Apply = Callable[[Callable[..., Sums], Callable[[list[Sums]], Sums]], Sums]

# Pairs whose sums are taken, for each one that is stored: those that explain most are kept.
_PAIRS_LOOKED_AT = 3

# Steps of the grid in a unit of residuals and weights. Float64 adds integers below 2**53 exactly:
# sums of up to 2**33 units.
_GRID = 2.0**20

# Rows whose codes are looked at a time.
_BLOCK_ROWS = 2**16

# Possible pairs up to which each has a place to be counted in; more are counted once they are met.
_COUNTED_IN_PLACE = 2**22


@torch.no_grad()
def fit_to_all(
    blocks: Iterable[Tensor] | Apply,
    codes: Tensor,
    weight: Tensor,
    codebooks: Sequence[Tensor],
    axes: Tensor | None = None,
    *,
    max_floats: int,
) -> Interactions:
    """Fit changes of codewords, and vectors of the most useful pairs, by ridge least squares.

    Parameters
    ----------
    blocks : iterable of Tensor of shape (n_rows, n_features), or callable
        Consecutive blocks of distinct rows with a spread of about one, on the CPU. Read once. A
        callable gets a function of blocks, their codes and weights, and a function that makes one
        of several results; it returns the result for all rows, wherever they are.
    codes : Tensor of int of shape (n_samples, n_layers)
        Codes of all rows, on the CPU.
    weight : Tensor of shape (n_samples,), dtype=float64
        Their weights, with a mean of about one, on the CPU.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        The codewords that the codes stand for.
    axes : Tensor of shape (n_dims, n_features), optional
        What maps rows to the codewords' coordinates, the largest variance first; None leaves them.
    max_floats : int
        Numbers that the pairs' vectors and keys may have in all; 0 for codewords alone.

    Returns
    -------
    interactions : Interactions
        Codebooks, keys and vectors of pairs.
    """
    n_dims, n_codewords = codebooks[0].shape[1], sum(map(len, codebooks))
    weight = _on_grid(weight)
    keys, dim = _frequent_pairs(codes, weight, codebooks, max_floats)
    of_keys = partial(add_up, codebooks=codebooks, keys=keys)
    if callable(blocks):
        meetings, sums = blocks(of_keys, _added)
    else:
        meetings, sums = of_keys(blocks, codes, weight)
    meetings.sort_indices()
    totals = np.asarray(meetings.sum(1)).ravel() / len(codebooks)
    sums = _residuals(sums, meetings, codebooks, axes)
    n_pairs = max_floats // (dim + KEY_FLOATS)
    if len(keys) > n_pairs:
        gain = np.square(sums[n_codewords:, :dim]).sum(1) / (totals[n_codewords:] + PAIR_RIDGE)
        kept = np.sort(np.argpartition(-gain, n_pairs)[:n_pairs])
        keys = keys[torch.from_numpy(kept)]
        sums = np.concatenate([sums[:n_codewords], sums[n_codewords + kept]])

    normal = _meetings(codes, weight, codebooks, keys)
    ridge = np.full(len(sums), PAIR_RIDGE)
    ridge[:n_codewords] = CODEWORD_RIDGE
    solution = solve(normal, sums[:, :dim], ridge)
    change = np.zeros((n_codewords, n_dims))
    change[:, :dim] = solution[:n_codewords]
    if dim < n_dims:  # pairs don't act here, so neither do they disturb the codewords
        alone = slice(n_codewords)
        change[:, dim:] = solve(normal[alone, alone], sums[alone, dim:], ridge[alone])
    changes = torch.from_numpy(change).to(codebooks[0]).split([len(book) for book in codebooks])
    changed = [codebook + delta for codebook, delta in zip(codebooks, changes, strict=True)]
    vectors = torch.from_numpy(solution[n_codewords:]).to(codebooks[0])
    return Interactions(changed, keys.to(vectors.device), vectors)


def _on_grid(numbers: Tensor) -> Tensor:
    return (numbers.double() * _GRID).round_() / _GRID


def _frequent_pairs(
    codes: Tensor, weight: Tensor, codebooks: Sequence[Tensor], max_floats: int
) -> tuple[Tensor, int]:
    """Return the pairs that most of the weight has, and the coordinates that they act on."""
    n_dims = codebooks[0].shape[1]
    if max_floats <= 0 or len(codebooks) < 2:
        return torch.empty(0, dtype=torch.int64), n_dims
    keys, total = _often_met(codes, weight, PairKeys([len(codebook) for codebook in codebooks]))
    affordable = max_floats // max(len(keys), 1) - KEY_FLOATS
    dim = int(min(n_dims, max(MIN_DIM_SHARE * n_dims, affordable, 1)))
    n_looked_at = min(len(keys), _PAIRS_LOOKED_AT * (max_floats // (dim + KEY_FLOATS)))
    heaviest = torch.sort(total, descending=True, stable=True).indices[:n_looked_at]
    return keys[heaviest.sort().values], dim


def _often_met(codes: Tensor, weight: Tensor, pair_keys: PairKeys) -> tuple[Tensor, Tensor]:
    """Return the pairs that several rows have, ascending, and the weight of these rows."""
    n_possible = pair_keys.starts[-1]
    if n_possible > _COUNTED_IN_PLACE:
        keys, inverse = torch.unique(pair_keys(codes.long()), return_inverse=True)
        places = inverse.split(_BLOCK_ROWS)
    else:
        keys = torch.arange(n_possible)
        places = (pair_keys(some.long()) for some in codes.split(_BLOCK_ROWS))
    count = torch.zeros(len(keys), dtype=torch.int64)
    total = torch.zeros(len(keys), dtype=torch.float64)
    for place, some_weight in zip(places, weight.split(_BLOCK_ROWS), strict=True):
        for column in place.T:
            count.index_add_(0, column, torch.ones_like(column))
            total.index_add_(0, column, some_weight)
    often = count >= MIN_ROWS
    return keys[often], total[often]


def _meetings(
    codes: Tensor, weight: Tensor, codebooks: Sequence[Tensor], keys: Tensor
) -> sp.csr_matrix:
    """Return the weight of the rows that have both of any two codewords or pairs."""
    n_columns = sum(map(len, codebooks)) + len(keys)
    total = sp.csr_matrix((n_columns, n_columns))
    for some, some_weight in zip(codes.split(_BLOCK_ROWS), weight.split(_BLOCK_ROWS), strict=True):
        design = one_hot(some.long(), codebooks, keys)[0].astype(np.float64)
        total += design.multiply(some_weight.numpy()[:, None]).tocsr().T @ design
    total.sort_indices()  # else their order is that of the rows
    return total


def add_up(
    blocks: Iterable[Tensor],
    codes: Tensor,
    weight: Tensor,
    codebooks: Sequence[Tensor],
    keys: Tensor,
) -> Sums:
    """Add up weights and rows by codeword and pair: how often columns meet codewords, and rows."""
    n_codewords, weight = sum(map(len, codebooks)), _on_grid(weight)
    meetings = sp.csr_matrix((n_codewords + len(keys), n_codewords))
    sums, start = None, 0
    for x in blocks:
        rows = slice(start, start + len(x))
        start += len(x)
        design = one_hot(codes[rows].long(), codebooks, keys)[0].astype(np.float64)
        weighted = _on_grid(x.double().mul_(weight[rows, None])).numpy()
        meetings += design.multiply(weight[rows, None].numpy()).tocsr().T @ design[:, :n_codewords]
        sums = np.zeros((meetings.shape[0], x.shape[1])) if sums is None else sums
        used = np.unique(design.indices)
        sums[used] += design[:, used].T @ weighted
    assert sums is not None  # there are rows
    return meetings, sums


def _added(parts: list[Sums]) -> Sums:
    """Add up what was added up elsewhere: exactly, on the grid."""
    meetings, sums = zip(*parts, strict=True)
    return sum(meetings[1:], start=meetings[0]), sum(sums[1:], start=sums[0])


def _residuals(
    sums: NDArray[np.float64],
    meetings: sp.csr_matrix,
    codebooks: Sequence[Tensor],
    axes: Tensor | None,
) -> NDArray[np.float64]:
    """Map sums of rows to the codewords' coordinates, and subtract the codewords.

    Rows are added up before: a matrix product may round a row differently at another place.
    """
    codewords = torch.cat(list(codebooks)).double().cpu().numpy()
    residuals = sums if axes is None else np.empty((len(sums), codewords.shape[1]))
    for first in range(0, len(sums), _BLOCK_ROWS // 4):  # a copy of all would be the largest array
        part = slice(first, first + _BLOCK_ROWS // 4)
        mapped = sums[part] if axes is None else sums[part] @ axes.double().cpu().numpy().T
        residuals[part] = mapped - meetings[part] @ codewords
    return residuals
