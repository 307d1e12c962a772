r"""Fit codewords and pair vectors to more rows than are kept, by sums over blocks of them.

The regression of `_regression` needs of the rows only their codes, and their residuals added up
by codeword and pair. Residuals and weights are rounded to a grid on which float64 adds without
rounding, so the sums depend neither on the order of the rows nor on how they are cut into blocks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae.quantize._pairs import PairKeys
from sklearn_rqvae.quantize._regression import (
    CODEWORD_RIDGE,
    KEY_FLOATS,
    MIN_DIM_SHARE,
    MIN_ROWS,
    PAIR_RIDGE,
    Interactions,
    one_hot,
    solve,
)

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

# Rows whose meetings are counted at a time. To add matrices takes a copy of what is there, but for
# 800,000 texts that is 30 MB, and all their rows at once would take 130 MB more on the way.
_MET_ROWS = 2**17

# Coordinates of sums that are added to at a time.
_BLOCK_DIMS = 64

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
    del meetings
    n_pairs = max_floats // (dim + KEY_FLOATS)
    if len(keys) > n_pairs:
        gain = _squares(sums[n_codewords:, :dim]) / (totals[n_codewords:] + PAIR_RIDGE)
        kept = np.sort(np.argpartition(-gain, n_pairs)[:n_pairs])
        keys = keys[torch.from_numpy(kept)]
        sums = np.concatenate([sums[:n_codewords], sums[n_codewords + kept]])

    ridge = np.full(len(sums), PAIR_RIDGE)
    ridge[:n_codewords] = CODEWORD_RIDGE
    normal = _normal_equations(codes, weight, codebooks, keys, ridge)
    solution = solve(normal, sums[:, :dim])
    change = np.zeros((n_codewords, n_dims))
    change[:, :dim] = solution[:n_codewords]
    if dim < n_dims:  # pairs don't act here, so neither do they disturb the codewords
        alone = slice(n_codewords)
        change[:, dim:] = solve(normal[alone, alone], sums[alone, dim:])
    changes = torch.from_numpy(change).to(codebooks[0]).split([len(book) for book in codebooks])
    changed = [codebook + delta for codebook, delta in zip(codebooks, changes, strict=True)]
    vectors = torch.from_numpy(solution[n_codewords:]).to(codebooks[0])
    return Interactions(changed, keys.to(vectors.device), vectors)


def _on_grid(numbers: Tensor) -> Tensor:
    return (numbers.double() * _GRID).round_().div_(_GRID)


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


def _normal_equations(
    codes: Tensor,
    weight: Tensor,
    codebooks: Sequence[Tensor],
    keys: Tensor,
    ridge: NDArray[np.float64],
) -> sp.csr_matrix:
    """Return the weight of the rows that have both of any two codewords or pairs, and the ridges.

    A ridge is the weight of one more row, which has its column alone: to add it to the finished
    matrix, the largest of the fit, would take a copy.
    """
    total, alone = None, sp.identity(len(ridge), np.float32, format="csr")
    for design, its_weight in _designs(codes, weight, codebooks, keys):
        if total is None:
            design = sp.vstack([design, alone], format="csr")
            total = _met(design, np.concatenate([its_weight, ridge]))
        else:
            total += _met(design, its_weight)
    assert total is not None  # there are rows
    total.sort_indices()  # else their order is that of the rows
    return total


def _designs(
    codes: Tensor, weight: Tensor, codebooks: Sequence[Tensor], keys: Tensor
) -> Iterator[tuple[sp.csr_matrix, NDArray[np.float64]]]:
    """Yield the codewords and pairs of blocks of rows, and the rows' weights."""
    for some, its_weight in zip(codes.split(_MET_ROWS), weight.split(_MET_ROWS), strict=True):
        yield one_hot(some.long(), codebooks, keys)[0], its_weight.numpy()


def _met(
    design: sp.csr_matrix, weight: NDArray[np.float64], n_others: int | None = None
) -> sp.csr_matrix:
    """Return the weight of the rows that have both of a column and one of the first others."""
    each = np.repeat(weight, np.diff(design.indptr))
    weighted = sp.csr_matrix((each, design.indices, design.indptr), shape=design.shape)
    return design.T.tocsr() @ (weighted if n_others is None else weighted[:, :n_others])


def add_up(
    blocks: Iterable[Tensor],
    codes: Tensor,
    weight: Tensor,
    codebooks: Sequence[Tensor],
    keys: Tensor,
) -> Sums:
    """Add up weights and rows by codeword and pair: how often columns meet codewords, and rows."""
    n_codewords, weight = sum(map(len, codebooks)), _on_grid(weight)
    parts = _designs(codes, weight, codebooks, keys)
    meetings: sp.csr_matrix = reduce(
        operator.add, (_met(design, its_weight, n_codewords) for design, its_weight in parts)
    )
    sums, start = None, 0
    for x in blocks:
        rows = slice(start, start + len(x))
        start += len(x)
        design = one_hot(codes[rows].long(), codebooks, keys)[0].astype(np.float64)
        on_grid = x.double().mul_(weight[rows, None]).mul_(_GRID).round_().div_(_GRID)
        weighted = on_grid.numpy()
        sums = np.zeros((design.shape[1], x.shape[1])) if sums is None else sums
        used = np.unique(design.indices)
        marks = design[:, used].T
        for first in range(0, x.shape[1], _BLOCK_DIMS):  # copies of all would be large
            dims = slice(first, first + _BLOCK_DIMS)
            sums[used, dims] += marks @ weighted[:, dims]
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
    n_dims = codewords.shape[1]
    residuals = sums if sums.shape[1] == n_dims else np.empty((len(sums), n_dims))
    for part in _row_blocks(sums):  # a copy of all would be the largest array
        mapped = sums[part] if axes is None else sums[part] @ axes.double().cpu().numpy().T
        residuals[part] = mapped - meetings[part] @ codewords
    return residuals


def _squares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared length of each sum."""
    return np.concatenate([np.square(sums[part]).sum(1) for part in _row_blocks(sums)])


def _row_blocks(sums: NDArray[np.float64]) -> Iterator[slice]:
    for first in range(0, len(sums), _BLOCK_ROWS // 4):
        yield slice(first, first + _BLOCK_ROWS // 4)
