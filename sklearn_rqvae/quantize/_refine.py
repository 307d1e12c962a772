"""Codewords for given codes, by least squares over all levels at once."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.quantize._kmeans import cluster_sums, principal_axes
from sklearn_rqvae.quantize._residual import sum_codewords
from sklearn_rqvae.quantize._sparse import (
    is_sparse,
    solve_ridge,
    sparse_normal_equations,
)

# Rows whose residuals are in memory at a time.
_BLOCK_SIZE = 8192


def refit_codebooks(
    x: Tensor,
    codes: Tensor,
    codebooks: Sequence[Tensor],
    *,
    sample_weight: Tensor | None = None,
    row: Tensor | None = None,
    ridge: float = 3.0,
) -> list[Tensor]:
    r"""Fit the codewords of all levels jointly to rows whose codes are known.

    Residual quantization fits each level as if it were the last. Given the codes, the best
    codewords of all levels together solve a linear least-squares problem, here with a ridge that
    draws them to their previous values:

    .. math:: C = (B^\top W B + \lambda I)^{-1} (B^\top W X + \lambda C_\text{prev})

    where row i of :math:`B` marks the codes of row i, one per level, and :math:`W` holds the
    weights [1]_. A codeword that no row uses keeps its value, and so does the split of a constant
    between levels, which the data don't determine.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    codes : Tensor of int64 of shape (n_samples, n_layers)
        Codes of each row.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        Previous codewords, one codebook per level.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights; None weighs all rows alike.
    row : Tensor of int64, default=None
        Row of `x` that each entry of `codes` and `sample_weight` belongs to, where they are not
        one for each row.
    ridge : float, default=3.0
        Pull to the previous value, in rows of weight one; positive.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_dims)
        Fitted codewords, in the order and sizes of `codebooks`.

    References
    ----------
    .. [1] Babenko, A. and Lempitsky, V. "Additive quantization for extreme vector compression".
           CVPR 2014.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._refine import refit_codebooks
    >>> x, codes = torch.tensor([[1.0], [3.0]]), torch.tensor([[0], [0]])
    >>> refit_codebooks(x, codes, [torch.zeros(2, 1)], ridge=1e-9)
    [tensor([[2.],
            [0.]])]
    """
    sizes = [len(codebook) for codebook in codebooks]
    previous = torch.cat(list(codebooks)).double()
    # The normal equations square the condition number: they are formed and solved in float64.
    # The unknown is the change of the codewords: its right-hand side is small, and so is its
    # rounding.
    if is_sparse(codes, sizes):
        counts, moment = sparse_normal_equations(x, codes, sizes, sample_weight, row)
        moment -= torch.from_numpy(counts @ previous.cpu().numpy()).to(moment.device)
        change = solve_ridge(counts, moment, ridge)
        return list((previous + change).to(x.dtype).split(sizes))
    gram, moment = normal_equations(x, codes, sizes, sample_weight, row)
    gram.diagonal().add_(ridge)
    moment -= gram @ previous
    moment += ridge * previous
    change = torch.cholesky_solve(moment, torch.linalg.cholesky(gram, out=gram))
    return list((previous + change).to(x.dtype).split(sizes))


def shrink_codebooks(
    x: Tensor,
    codes: Tensor,
    codebooks: Sequence[Tensor],
    *,
    sample_weight: Tensor | None = None,
    row: Tensor | None = None,
    strength: float = 1.0,
) -> list[Tensor]:
    r"""Refit the codewords with a ridge toward zero, stronger in coordinates that carry more noise.

    Codewords are means of few rows, and fit these better than new ones. If the codewords of a level
    have variance :math:`\tau_j^2` in a coordinate, and the rows :math:`\sigma_j^2` around their
    sums of codewords, the best estimate is a ridge of :math:`\sigma_j^2 / \tau_j^2` rows [1]_. It
    is taken per principal coordinate: there is much more noise in the trailing ones.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, centered.
    codes : Tensor of int64 of shape (n_samples, n_layers)
        Codes of each row.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        Codewords fitted to the rows, one codebook per level.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights; None weighs all rows alike.
    row : Tensor of int64, default=None
        Row of `x` that each entry of `codes` and `sample_weight` belongs to, where they are not
        one for each row.
    strength : float, default=1.0
        Factor on the ridge.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_dims)
        Codewords of the same sizes; one without rows keeps its value.

    References
    ----------
    .. [1] Efron, B. and Morris, C. "Stein's estimation rule and its competitors - an empirical
           Bayes
           approach". Journal of the American Statistical Association 68(341), 1973.
    """
    sizes = [len(codebook) for codebook in codebooks]
    weight = torch.ones_like(codes[:, 0], dtype=x.dtype) if sample_weight is None else sample_weight
    of_rows = weight if row is None else weight.new_zeros(len(x)).index_add_(0, row, weight)
    axes = principal_axes(x, of_rows)
    sparse = is_sparse(codes, sizes)
    equations: Any = sparse_normal_equations if sparse else normal_equations
    gram, moment = equations(x, codes, sizes, sample_weight, row)
    moment = moment @ axes.double()
    previous = torch.cat(list(codebooks)).double() @ axes.double()
    usage = torch.from_numpy(gram.diagonal()).to(x.device) if sparse else gram.diagonal().clone()
    signal = usage @ previous.square() / usage.sum()
    noise = _residual_variance(x, codes, codebooks, weight, row, axes)
    ridges = strength * noise / signal.clamp_min(torch.finfo(torch.float64).tiny)
    # Powers of two: a handful of factorizations for all coordinates. The lower bound keeps them
    # definite.
    ridges = torch.exp2(torch.log2(ridges.clamp(2.0**-10, 2.0**30)).round())
    if sparse:
        shrunk = solve_ridge(gram, moment, ridges.cpu().numpy())
        shrunk = torch.where((usage > 0)[:, None], shrunk, previous)
        return list((shrunk @ axes.T.double()).to(x.dtype).split(sizes))
    shrunk = torch.empty_like(previous)
    for ridge in torch.unique(ridges):
        columns = torch.nonzero(ridges == ridge)[:, 0]
        factor = gram.clone()
        factor.diagonal().add_(ridge)
        torch.linalg.cholesky(factor, out=factor)
        shrunk[:, columns] = torch.cholesky_solve(moment[:, columns], factor)
    shrunk = torch.where((usage > 0)[:, None], shrunk, previous)
    return list((shrunk @ axes.T.double()).to(x.dtype).split(sizes))


def _residual_variance(
    x: Tensor,
    codes: Tensor,
    codebooks: Sequence[Tensor],
    weight: Tensor,
    row: Tensor | None,
    axes: Tensor,
) -> Tensor:
    """Return the mean squared residual along each axis, in float64."""
    total = torch.zeros(axes.shape[1], dtype=torch.float64, device=x.device)
    for start in range(0, len(codes), _BLOCK_SIZE):
        part = slice(start, start + _BLOCK_SIZE)
        residual = (x[part] if row is None else x[row[part]]) - sum_codewords(
            codes[part], codebooks
        )
        total += weight[part].double() @ linear(residual, axes.T).square().double()
    return total / weight.double().sum()


def center_codebooks(
    codebooks: Sequence[Tensor], codes: Tensor, *, sample_weight: Tensor | None = None
) -> list[Tensor]:
    """Move the mean codeword of every later level into the first level.

    The sums of codewords stay the same, but the first levels alone come closer to the rows: what is
    left to the later levels is zero on average.

    Parameters
    ----------
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        One codebook per level.
    codes : Tensor of int64 of shape (n_samples, n_layers)
        Codes in use, over which the means are taken.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights; None weighs all rows alike.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_dims)
        Shifted codewords.
    """
    weight = None if sample_weight is None else sample_weight.double()
    shifts = []
    for level, codebook in enumerate(codebooks):
        usage = torch.bincount(codes[:, level], weights=weight, minlength=len(codebook)).double()
        shifts.append((usage / usage.sum()) @ codebook.double())
    shifts[0] = -sum(shifts[1:], torch.zeros_like(shifts[0]))
    return [
        (codebook.double() - shift).to(codebook.dtype)
        for codebook, shift in zip(codebooks, shifts, strict=True)
    ]


def normal_equations(
    x: Tensor,
    codes: Tensor,
    sizes: Sequence[int],
    sample_weight: Tensor | None = None,
    row: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the weighted counts of code pairs and sums of rows per code, both in float64.

    Neither needs the (n_samples, sum of sizes) matrix of marks: counts are histograms of code
    pairs, sums are over clusters.

    Returns
    -------
    gram : Tensor of shape (n_codewords, n_codewords)
        Weight of the rows that use both codewords; `n_codewords` is the sum of `sizes`.
    moment : Tensor of shape (n_codewords, n_dims)
        Weighted sum of the rows that use the codeword.
    """
    n_codewords = sum(sizes)
    weight = (
        torch.ones(len(codes), dtype=torch.float64, device=x.device)
        if sample_weight is None
        else sample_weight.double()
    )
    starts = torch.tensor([0, *sizes[:-1]], device=x.device).cumsum(0)
    stacked_codes = codes + starts
    gram = torch.zeros(n_codewords * n_codewords, dtype=torch.float64, device=x.device)
    moments = []
    for level, size in enumerate(sizes):
        moments.append(cluster_sums(x, codes[:, level], size, weight.to(x.dtype), row)[1].double())
        for other in range(level, len(sizes)):
            pair = stacked_codes[:, level] * n_codewords + stacked_codes[:, other]
            gram.index_add_(0, pair, weight)
    gram = gram.view(n_codewords, n_codewords)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    for upper, lower in combinations(parts, 2):
        gram[lower, upper] = gram[upper, lower].T
    return gram, torch.cat(moments)
