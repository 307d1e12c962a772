"""Squared Euclidean distance, and the nearest codeword, in chunks."""

import torch
from torch import Tensor

from sklearn_rqvae._compute._join import join
from sklearn_rqvae._compute._largest import largest
from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae._compute._threads import map_rows

# A chunk's scores (1024 x 256 floats are 1 MiB) stay in a core's cache between the product and the
# maximum: 128 rows cost 15 % more, 4096 rows of 1024 scores 35 %.
CHUNK_SIZE = 1024

# Scores of a chunk beyond which fewer rows make one.
_CHUNK_SCORES = 2**22


def half_squared_norms(codebook: Tensor) -> Tensor:
    """Return half the squared norm of each codeword, the constant part of its score."""
    return codebook.square().sum(1).mul_(0.5)


def squared_distances(x: Tensor, codebook: Tensor) -> Tensor:
    r"""Compute all squared Euclidean distances between rows and codewords.

    The square is expanded, :math:`\|x\|^2 - 2 x^\top c + \|c\|^2`, so the work is one matrix
    product; rounding is relative to the norms, not to the distance, and negative results of it are
    cut at zero.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    codebook : Tensor of shape (codebook_size, n_dims)
        Codewords.

    Returns
    -------
    distances : Tensor of shape (n_samples, codebook_size)
        Squared distances, in squared units of `x`; differentiable in both arguments.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._distance import squared_distances
    >>> squared_distances(torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
    tensor([[ 9., 25.]])
    """
    norms = x.square().sum(1, keepdim=True) + codebook.square().sum(1)
    return torch.addmm(norms, x, codebook.T, alpha=-2.0).clamp_min(0.0)


def nearest_codewords(x: Tensor, codebook: Tensor, chunk_size: int = CHUNK_SIZE) -> Tensor:
    r"""Find the nearest codeword of each row.

    The nearest codeword has the largest score :math:`x^\top c - \|c\|^2 / 2`: neither the norm of
    the row nor a square root is needed, and no (n_samples, codebook_size, n_dims) array is formed.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    codebook : Tensor of shape (codebook_size, n_dims)
        Codewords.
    chunk_size : int, default=1024
        Rows per matrix product at most. A row's code can depend on it only through rounding.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples,)
        Index of the nearest codeword; the lowest one among ties.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._distance import nearest_codewords
    >>> nearest_codewords(torch.tensor([[0.1], [0.8], [0.5]]), torch.tensor([[0.0], [1.0]]))
    tensor([0, 1, 0])
    """
    offsets = -half_squared_norms(codebook)

    n_rows = max(min(chunk_size, _CHUNK_SCORES // len(codebook)), 1)

    def nearest(part: slice) -> Tensor:
        chunks = x[part].split(n_rows)
        found = ((largest(linear(rows, codebook, offsets), 1)[1][:, 0],) for rows in chunks)
        return join(found, len(x[part]))[0]

    codes = map_rows(nearest, len(x), n_rows)
    return codes[0] if len(codes) == 1 else torch.cat(codes)
