"""Least squares for codewords of which most never meet: their counts are a sparse matrix.

So they are where rows are few beside the codewords, and where codewords are many: three levels of
8192 have 300 million pairs, and two million rows meet a tenth of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae.quantize._kmeans import cluster_sums

__all__ = ["is_sparse", "solve_ridge", "sparse_normal_equations"]

# Choices of codes per codeword below which most pairs of codewords never meet.
_FEW = 2

# Codewords from which on a matrix of all pairs, and its factors, cost more than a few dozen sparse
# products.
_MANY = 8192

# Share of the right-hand side that may be left, of many codewords such that float32 holds no more,
# and the most steps; ridges keep systems so well conditioned that 30 and 16 are enough.
_TOLERANCE = 1e-12
_TOLERANCE_OF_MANY = 1e-7
_MAX_STEPS = 300

# Choices whose pairs are counted at a time.
_BLOCK_CHOICES = 2**20


def is_sparse(codes: Tensor, sizes: Sequence[int]) -> bool:
    """Whether a matrix of all pairs of codewords is a waste for these choices of codes."""
    return sum(sizes) >= _MANY or len(codes) < _FEW * sum(sizes)


def sparse_normal_equations(
    x: Tensor,
    codes: Tensor,
    sizes: Sequence[int],
    sample_weight: Tensor | None = None,
    row: Tensor | None = None,
) -> tuple[sp.csr_matrix, Tensor]:
    """Return what `normal_equations` does, the counts of pairs as a sparse matrix."""
    weight = torch.ones_like(codes[:, 0], dtype=x.dtype) if sample_weight is None else sample_weight
    starts = torch.tensor([0, *sizes[:-1]], device=codes.device).cumsum(0)
    counts = sp.csr_matrix((sum(sizes), sum(sizes)))
    for some, its_weight in zip(
        codes.split(_BLOCK_CHOICES), weight.split(_BLOCK_CHOICES), strict=True
    ):
        columns = (some + starts).cpu().numpy()
        pointers = np.arange(len(columns) + 1) * columns.shape[1]
        ones = np.ones(columns.size)
        marks = sp.csr_matrix((ones, columns.ravel(), pointers), shape=(len(columns), sum(sizes)))
        counts += (marks.T @ sp.diags(its_weight.cpu().double().numpy()) @ marks).tocsr()
    moments = [
        cluster_sums(x, codes[:, level], size, weight.to(x.dtype), row)[1].double()
        for level, size in enumerate(sizes)
    ]
    return counts, torch.cat(moments)


def solve_ridge(
    counts: sp.csr_matrix, moment: Tensor, ridge: NDArray[np.float64] | float
) -> Tensor:
    r"""Solve :math:`(G + \lambda_j I) c_j = m_j` for each column by conjugate gradients.

    Parameters
    ----------
    counts : sparse matrix of shape (n_codewords, n_codewords)
        Positive semidefinite matrix :math:`G`.
    moment : Tensor of shape (n_codewords, n_dims), dtype=float64
        Right-hand sides.
    ridge : ndarray of shape (n_dims,) or float
        Positive ridges, of all columns or of each.

    Returns
    -------
    solution : Tensor of shape (n_codewords, n_dims), dtype=float64
        The solutions.
    """
    residual = moment.cpu().numpy().copy()
    ridges = np.broadcast_to(np.asarray(ridge), residual.shape[1:])
    scale = 1.0 / (counts.diagonal()[:, None] + ridges)
    solution = np.zeros_like(residual)
    step = scale * residual
    direction = step.copy()
    size = (residual * step).sum(0)
    tolerance = _TOLERANCE_OF_MANY if len(residual) >= _MANY else _TOLERANCE
    enough = tolerance**2 * size
    for _ in range(_MAX_STEPS):
        if (size <= enough).all():
            break
        image = counts @ direction + ridges * direction
        bend = (direction * image).sum(0)
        length = np.divide(size, bend, out=np.zeros_like(size), where=bend > 0)
        solution += length * direction
        residual -= length * image
        step = scale * residual
        previous, size = size, (residual * step).sum(0)
        ratio = np.divide(size, previous, out=np.zeros_like(size), where=previous > 0)
        direction = step + ratio * direction
    return torch.from_numpy(solution).to(moment.device)
