r"""Fit codewords and the interactions of pairs of codes together, in closed form.

A row is reconstructed as :math:`\hat z = \sum_l W_l[c_l] + \sum_{l<m} V_{lm}[c_l, c_m]`: its
codewords, plus a vector for each pair of its codes that enough other rows have too. Given the
codes, :math:`W` and :math:`V` are a ridge regression; given these, each row moves to the codes that
would reconstruct it best had it not taken part in the regression. Without that exception rows stay
where they are, since the vectors of their pairs have learned them by heart. Rows that would share
all their codes move apart where that costs little: two rows with one ID have one reconstruction.
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

from sklearn_rqvae._compute._threads import map_rows
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import distinct_choices, number_tuples
from sklearn_rqvae.quantize._kept import KeptCodes
from sklearn_rqvae.quantize._pairs import PairKeys, find
from sklearn_rqvae.quantize._residual import sum_codewords

__all__ = ["Interactions", "fit_interactions", "one_hot", "solve"]

# Strength of the shrinkage, in rows: a codeword (toward its start) or pair (toward zero) met by
# that many rows goes half way.
CODEWORD_RIDGE = 3.0
PAIR_RIDGE = 2.0

# Codewords have more of a ridge where codes leave much: so many rows for an error as large as what
# codes explain, within limits. Rows left out can't choose: the codewords' start has met them.
_RIDGE_OF_NOISE = 12.0
_MOST_CODEWORD_RIDGE = 24.0

# The other one that pairs may have. It knows more of the rows by heart: with 3 x 256 codes it takes
# 15 % from the error of 3,909 texts and nothing from that of new ones; of 10,891 texts it takes
# 10 %, for .6 % more of new ones.
WEAK_PAIR_RIDGE = 1.0

# Of so many rows, one is left out to choose between both; at least so many are needed for that.
_ONE_LEFT_OUT_OF = 5
_MIN_LEFT_OUT = 32

# A pair met by one row alone would store that row.
MIN_ROWS = 2

# Rows take part with their next best codes too: new rows will land on such. Weights fall with the
# excess of the error over the best one, in units of the mean error; less than MIN_WEIGHT isn't
# worth its time.
SOFT_CODES = 4
SOFT_WEIGHT = 0.2
SOFT_TEMPERATURE = 0.4
MIN_WEIGHT = 0.02

# Regressions; rows move between them.
N_ROUNDS = 3

# Weight of the codes that a row has been given in a refit and wouldn't get, where others have one.
INSISTENCE = 2.0

# What it may cost a row to have codes of its own, in units of the mean error. Without a limit the
# error of 10,000 rows in 65,536 IDs (2 x 256) rises by 15 %; in 3 x 256 it makes no difference.
MAX_MOVE_COST = 0.2

# Leading coordinates that pairs act on: at least this share of all. The last principal coordinates
# hold little.
MIN_DIM_SHARE = 0.6

# What the key of a pair, an integer of 64 bits, counts in numbers of 32 bits.
KEY_FLOATS = 2

# Rows of one step; its temporaries stay in cache.
_CHUNK_ROWS = 128

# Rows whose residuals are in memory at a time.
_BLOCK_ROWS = 16384

# Coordinates in which the pairs' sums of residuals are in memory at a time.
_BLOCK_DIMS = 64


class Interactions(NamedTuple):
    """Codewords, and vectors for pairs of codes."""

    codebooks: list[Tensor]
    keys: Tensor
    vectors: Tensor


class _Ridges(NamedTuple):
    """Strength of the shrinkage, in rows."""

    codewords: float
    pairs: float


RIDGES = _Ridges(CODEWORD_RIDGE, PAIR_RIDGE)


class _SoftCodes(NamedTuple):
    """Some codes of each row, its own first, and their weights, the row's own included."""

    codes: Tensor  # (n_samples, n_soft, n_layers)
    weight: Tensor  # (n_samples, n_soft)


@torch.no_grad()
def fit_interactions(
    z: Tensor,
    codebooks: Sequence[Tensor],
    *,
    max_floats: int,
    sample_weight: Tensor | None = None,
    n_beams: int = 16,
    kept: KeptCodes | None = None,
) -> Interactions:
    """Fit codewords and pair vectors to rows, starting from additive codebooks.

    Parameters
    ----------
    z : Tensor of shape (n_samples, n_dims)
        Distinct rows in principal coordinates, the largest variance first.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        Codebooks whose sums of codewords come close to the rows.
    max_floats : int
        Numbers that the pairs' vectors and keys may have in all.
    sample_weight : Tensor of shape (n_samples,), optional
        Positive weights with a mean of one.
    n_beams : int, default=16
        Candidate codes of each row.
    kept : KeptCodes, optional
        Codes that rows give up for much better ones only.

    Returns
    -------
    interactions : Interactions
        Codebooks; keys of the pairs, ascending, as `PairKeys` numbers them; their vectors, of
        length `dim` at most `n_dims`.
    """
    row_weight = z.new_ones(len(z)) if sample_weight is None else sample_weight
    candidates, errors = beam_search(z, codebooks, n_beams)
    if kept is not None:
        candidates, errors = kept.put_first(z, codebooks, candidates, errors)
    ids = number_tuples(candidates, [len(codebook) for codebook in codebooks])
    ridges = RIDGES._replace(codewords=_codeword_ridge(z, errors, row_weight))
    if kept is None:  # a weak ridge learns rows by heart, and draws them from the codes they had
        ridges = _choose_ridges(
            z, codebooks, candidates, ids, errors, row_weight, max_floats, ridges
        )
    for _ in range(N_ROUNDS - 1):
        soft = _soft_codes(candidates, ids, errors, row_weight, kept)
        fitted = _regress(z, codebooks, soft, max_floats, ridges)
        errors = _leave_one_out_errors(z, fitted, candidates, soft, ridges)
    soft = _soft_codes(candidates, ids, errors, row_weight, kept)
    fitted = _regress(z, codebooks, soft, max_floats, ridges)
    if kept is not None:
        insistent = _insistent(z, fitted, candidates, soft)
        fitted = _regress(z, codebooks, insistent, max_floats, ridges)
    return fitted


def _codeword_ridge(z: Tensor, errors: Tensor, row_weight: Tensor) -> float:
    """Choose the ridge of the codewords by what codes leave beside what they explain."""
    left = float(row_weight @ errors.amin(1))
    explained = float(row_weight @ z.square().sum(1)) - left
    noise = _RIDGE_OF_NOISE * left / explained if explained > 0 else _MOST_CODEWORD_RIDGE
    return min(max(noise, CODEWORD_RIDGE), _MOST_CODEWORD_RIDGE)


def _choose_ridges(
    z: Tensor,
    codebooks: Sequence[Tensor],
    candidates: Tensor,
    ids: Tensor,
    errors: Tensor,
    row_weight: Tensor,
    max_floats: int,
    ridges: _Ridges,
) -> _Ridges:
    """Choose the ridge of the pairs by rows left out: the weak one for a gain beyond doubt.

    Leave-one-out errors can't choose. They take the vectors of all pairs but the row's own as
    given, and always ask for less of a ridge.
    """
    left_out = torch.arange(len(z), device=z.device) % _ONE_LEFT_OUT_OF == 0
    new_weight = row_weight[left_out]
    if len(new_weight) < _MIN_LEFT_OUT or max_floats <= 0:
        return ridges
    weaker = ridges._replace(pairs=WEAK_PAIR_RIDGE)
    rest = ~left_out
    soft = _soft_codes(candidates[rest], ids[rest], errors[rest], row_weight[rest])
    new, options = z[left_out], candidates[left_out]

    def least_errors(tried: _Ridges) -> Tensor:
        fitted = _regress(z[rest], codebooks, soft, max_floats, tried)
        parts = zip(new.split(_CHUNK_ROWS), options.split(_CHUNK_ROWS), strict=True)
        return torch.cat([_errors(x, fitted, some).amin(1) for x, some in parts])

    gain = new_weight * (least_errors(ridges) - least_errors(weaker))
    beyond_doubt = gain.sum() > len(gain) ** 0.5 * gain.std()
    return weaker if beyond_doubt else ridges


def _soft_codes(
    candidates: Tensor,
    ids: Tensor,
    errors: Tensor,
    row_weight: Tensor,
    kept: KeptCodes | None = None,
) -> _SoftCodes:
    """Choose each row's codes, and weigh the next best ones by how much worse they are."""
    smallest = errors.amin(1, keepdim=True)
    mean_error = smallest.mean().clamp(min=torch.finfo(errors.dtype).tiny)
    judged = errors if kept is None else kept.favored(errors, mean_error)
    choice = distinct_choices(ids, judged, row_weight, MAX_MOVE_COST * mean_error)
    ranks = judged.scatter(1, choice[:, None], -torch.inf)
    order = ranks.topk(min(SOFT_CODES, errors.shape[1]), largest=False).indices
    excess = judged.gather(1, order) - judged.amin(1, keepdim=True)
    weight = SOFT_WEIGHT * torch.exp(-excess / (SOFT_TEMPERATURE * mean_error))
    weight[weight < MIN_WEIGHT] = 0
    weight[:, 0] = 1
    codes = candidates.gather(1, order[..., None].expand(-1, -1, candidates.shape[2]))
    return _SoftCodes(codes, weight * row_weight[:, None])


def _insistent(z: Tensor, fitted: Interactions, candidates: Tensor, soft: _SoftCodes) -> _SoftCodes:
    """Give more weight to the own codes of rows that a search would give other codes."""
    weight = soft.weight.clone()
    for start in range(0, len(z), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        options = torch.cat([soft.codes[rows, :1], candidates[rows]], 1)
        errors = _errors(z[rows], fitted, options)
        weight[rows, 0] *= torch.where(errors.argmin(1) > 0, INSISTENCE, 1.0)
    return soft._replace(weight=weight)


def _errors(z: Tensor, fitted: Interactions, codes: Tensor) -> Tensor:
    """Return the squared error of each row with each of its codes."""
    pair_keys = PairKeys([len(codebook) for codebook in fitted.codebooks])
    return (z[:, None] - _reconstruct(codes, fitted, pair_keys)).square_().sum(-1)


def _regress(
    z: Tensor,
    codebooks: Sequence[Tensor],
    soft: _SoftCodes,
    max_floats: int,
    ridges: _Ridges = RIDGES,
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


def _leave_one_out_errors(
    z: Tensor,
    fitted: Interactions,
    candidates: Tensor,
    soft: _SoftCodes,
    ridges: _Ridges = RIDGES,
) -> Tensor:
    """Return each candidate's squared error with the row's own share taken out of the fit.

    In a ridge regression on disjoint groups, a group's mean without one member follows from the
    mean with it: the residual grows by the factor ``weight / (total - weight + ridge)``. Here each
    group is treated as if the others stood still.
    """
    n_layers = candidates.shape[2]
    pair_keys = PairKeys([len(codebook) for codebook in fitted.codebooks])
    totals = _total_weights(soft, fitted, pair_keys)
    dim = fitted.vectors.shape[1]

    def errors_of(rows: slice) -> Tensor:
        own, own_weight, options = soft.codes[rows], soft.weight[rows], candidates[rows]
        own_residual = (z[rows, None] - _reconstruct(own, fitted, pair_keys)) * own_weight[
            ..., None
        ]
        residual = z[rows, None] - _reconstruct(options, fitted, pair_keys)
        by_codewords = z.new_zeros(len(own), options.shape[1], own.shape[1])
        by_pairs = torch.zeros_like(by_codewords)
        for level in range(n_layers):
            by_codewords += _own_share(
                options[..., level],
                own[..., level],
                own_weight,
                totals.codewords[level],
                ridges.codewords,
            )
        option_pairs = _pair_positions(options, fitted.keys, pair_keys)
        own_pairs = _pair_positions(own, fitted.keys, pair_keys)
        for column in range(option_pairs.shape[-1]):
            by_pairs += _own_share(
                option_pairs[..., column],
                own_pairs[..., column],
                own_weight,
                totals.pairs,
                ridges.pairs,
            )
        residual[..., :dim] += (by_codewords + by_pairs) @ own_residual[..., :dim]
        residual[..., dim:] += by_codewords @ own_residual[..., dim:]
        return residual.square().sum(-1)

    def part_errors(part: slice) -> Tensor:
        # Small results among large temporaries would leave holes in memory, 11 KB a row.
        errors = z.new_empty(part.stop - part.start, candidates.shape[1])
        for start in range(part.start, part.stop, _CHUNK_ROWS):
            rows = slice(start, min(start + _CHUNK_ROWS, part.stop))
            errors[start - part.start : rows.stop - part.start] = errors_of(rows)
        return errors

    return torch.cat(map_rows(part_errors, len(z), _CHUNK_ROWS))


class _Totals(NamedTuple):
    """Total weight of the rows with each code of each level, and with each pair.

    The last entry of the pairs, for pairs that aren't stored, is infinite.
    """

    codewords: list[Tensor]
    pairs: Tensor


def _total_weights(soft: _SoftCodes, fitted: Interactions, pair_keys: PairKeys) -> _Totals:
    codes, weight = soft.codes.flatten(0, 1), soft.weight.flatten()
    codewords = [
        torch.bincount(codes[:, level], weights=weight, minlength=len(codebook)).to(weight.dtype)
        for level, codebook in enumerate(fitted.codebooks)
    ]
    positions = find(fitted.keys, pair_keys(codes))
    pairs = torch.zeros(len(fitted.keys) + 1, dtype=weight.dtype, device=weight.device)
    for column in positions.T:
        pairs.index_add_(0, column % len(pairs), weight)  # -1 is the last entry
    pairs[-1] = torch.inf
    return _Totals(codewords, pairs)


def _own_share(
    option: Tensor, own: Tensor, own_weight: Tensor, total: Tensor, ridge: float
) -> Tensor:
    """Return the share of own codes in each option's group: (n_rows, n_options, n_own)."""
    same = (option[:, :, None] == own[:, None, :]).to(own_weight.dtype)
    without = total[option] - (same * own_weight[:, None]).sum(-1) + ridge
    return same / without[..., None]


def _pair_positions(codes: Tensor, keys: Tensor, pair_keys: PairKeys) -> Tensor:
    return find(keys, pair_keys(codes.flatten(0, 1))).unflatten(0, codes.shape[:2])


def _reconstruct(codes: Tensor, fitted: Interactions, pair_keys: PairKeys) -> Tensor:
    """Sum codewords and vectors of codes of shape (n_rows, n_codes, n_layers)."""
    flat = codes.flatten(0, 1)
    sums = sum_codewords(flat, fitted.codebooks)
    pairs = find(fitted.keys, pair_keys(flat))
    if pairs.shape[1] and len(fitted.vectors):
        padded = F.pad(fitted.vectors, (0, 0, 1, 0))
        dim = fitted.vectors.shape[1]
        sums[:, :dim] += F.embedding_bag(pairs + 1, padded, mode="sum")
    return sums.unflatten(0, codes.shape[:2])
