"""Product quantization: a rotation, and k-means in each block of the rotated coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._kmeans import cluster_sums, principal_axes, progressive_kmeans
from sklearn_rqvae.quantize._refine import shrink_codebooks

__all__ = ["balanced_axes", "block_slices", "fit_product", "nearest_in_blocks"]

# Nearest codewords of a row that a round takes into account, and the weight of all but the nearest
# in the first and the last round, where that has one.
_N_CHOICES = 5
_FIRST_SHARE = 1.0
_LAST_SHARE = 0.1


def block_slices(n_dims: int, n_blocks: int) -> list[slice]:
    """Cut coordinates into consecutive blocks whose lengths differ by one at most.

    Examples
    --------
    >>> from sklearn_rqvae.quantize._product import block_slices
    >>> block_slices(5, 2)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    length, rest = divmod(n_dims, n_blocks)
    starts = [block * length + min(block, rest) for block in range(n_blocks + 1)]
    return [slice(start, stop) for start, stop in pairwise(starts)]


def balanced_axes(x: Tensor, n_blocks: int, sample_weight: Tensor | None = None) -> Tensor:
    """Return the principal axes in an order that gives each block as much to say.

    The largest variance left goes to the block whose product of variances is the smallest so far:
    this is the best rotation for normally distributed rows at high rates [1]_.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, centered.
    n_blocks : int
        Number of blocks, at most `n_dims`.
    sample_weight : Tensor of shape (n_samples,), default=None
        Weights; None weighs all rows alike.

    Returns
    -------
    rotation : Tensor of shape (n_dims, n_dims)
        Orthonormal columns; those of a block stand side by side.

    References
    ----------
    .. [1] Ge, T., He, K., Ke, Q. and Sun, J. "Optimized product quantization for approximate
           nearest neighbor search". CVPR 2013.
    """
    weight = torch.ones_like(x[:, 0]) if sample_weight is None else sample_weight
    axes = principal_axes(x, weight)
    variance = weight.double() @ linear(x, axes.T).double().square()
    # Axes without any variance say nothing: a floor keeps logarithms finite.
    logs = torch.log(variance.clamp_min(1e-12 * float(variance.max()) or 1.0)).tolist()
    free = [block.stop - block.start for block in block_slices(x.shape[1], n_blocks)]
    products, members = [0.0] * n_blocks, [list[int]() for _ in range(n_blocks)]
    for axis, log in enumerate(logs):
        open_blocks = [block for block in range(n_blocks) if len(members[block]) < free[block]]
        block = min(open_blocks, key=lambda candidate: products[candidate])
        members[block].append(axis)
        products[block] += log - logs[-1]
    return axes[:, [axis for block in members for axis in block]]


def fit_product(
    x: Tensor,
    codebook_sizes: Sequence[int],
    *,
    sample_weight: Tensor | None = None,
    n_iter: int = 30,
    generator: Generator,
) -> tuple[Tensor, list[Tensor]]:
    r"""Fit a rotation, and a codebook for each block of the rotated coordinates.

    A round finds the codewords :math:`q` near the rotated rows, moves the codewords to the means of
    these, and rotates anew, by the orthogonal matrix that brings rows nearest to their codewords:
    the one of the polar decomposition of :math:`X^\top Q` [1]_.

    With the nearest codewords alone this soon stops at a poor optimum. So the next ones take part,
    with a weight that falls from round to round: on 10,891 rows of Amazon Beauty 8 x 256 codes
    leave 4 % less of new rows.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, centered.
    codebook_sizes : sequence of int
        Number of codewords of each block; at most `n_dims` blocks.
    sample_weight : Tensor of shape (n_samples,), default=None
        Positive weights; None weighs all rows alike.
    n_iter : int, default=30
        Number of rounds; without any, blocks are of principal axes.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    rotation : Tensor of shape (n_dims, n_dims)
        Orthonormal columns: ``x @ rotation`` is what is cut into blocks, by `block_slices`.
    codebooks : list of Tensor of shape (codebook_size, block length)
        Codewords of each block.

    References
    ----------
    .. [1] Ge, T., He, K., Ke, Q. and Sun, J. "Optimized product quantization for approximate
           nearest neighbor search". CVPR 2013.
    """
    weight = torch.ones_like(x[:, 0]) if sample_weight is None else sample_weight
    rotation = balanced_axes(x, len(codebook_sizes), weight)
    blocks = block_slices(x.shape[1], len(codebook_sizes))
    rotated = linear(x, rotation.T)
    codebooks = [
        progressive_kmeans(
            rotated[:, block].contiguous(), size, sample_weight=weight, generator=generator
        )
        for block, size in zip(blocks, codebook_sizes, strict=True)
    ]
    for share in torch.linspace(_FIRST_SHARE, _LAST_SHARE, n_iter).tolist():
        for level, block in enumerate(blocks):
            codebooks[level], near = _moved(rotated[:, block], codebooks[level], weight, share)
            rotated[:, block] = near  # from here on what the rows are to come near to
        rotation = _nearest_rotation(x, rotated, weight)
        rotated = linear(x, rotation.T)
    return rotation, [
        _shrunk(rotated[:, block].contiguous(), codebook, weight)
        for block, codebook in zip(blocks, codebooks, strict=True)
    ]


def nearest_in_blocks(
    x: Tensor, rotation: Tensor, codebooks: Sequence[Tensor], offsets: Sequence[Tensor]
) -> Tensor:
    """Return the code of the nearest codeword in each block of rotated rows.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, centered.
    rotation : Tensor of shape (n_dims, n_dims)
        Orthonormal columns.
    codebooks : sequence of Tensor of shape (codebook_size, block length)
        Codewords of each block.
    offsets : sequence of Tensor of shape (codebook_size,)
        Minus half the squared norm of each codeword.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples, n_blocks)
        The codes; the lowest one among ties.
    """
    rotated = linear(x, rotation.T)
    blocks = block_slices(x.shape[1], len(codebooks))
    codes = [
        linear(rotated[:, block].contiguous(), codebook, offset).argmax(1)
        for block, codebook, offset in zip(blocks, codebooks, offsets, strict=True)
    ]
    return torch.stack(codes, 1)


def _moved(x: Tensor, codebook: Tensor, weight: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Move codewords to the means of the rows near them; return the mean codeword of each row too.

    A codeword without rows stays.
    """
    x = x.contiguous()
    codes, errors = beam_search(x, [codebook], _N_CHOICES)
    codes = codes[:, :, 0]
    unit = float(errors[:, 0].double() @ weight.double() / weight.double().sum())
    chance = share * torch.exp((errors[:, :1] - errors) / max(unit, torch.finfo(x.dtype).tiny))
    chance[:, 0] = 1.0
    row = torch.arange(len(x)).repeat_interleave(codes.shape[1])
    mass, sums = cluster_sums(
        x, codes.flatten(), len(codebook), (chance * weight[:, None]).flatten(), row
    )
    means = sums / mass.clamp_min(torch.finfo(mass.dtype).tiny)[:, None]
    moved = torch.where((mass > 0)[:, None], means, codebook)
    chance /= chance.sum(1, keepdim=True)
    near = torch.zeros_like(x)
    for choice in range(codes.shape[1]):
        near += chance[:, choice, None] * moved[codes[:, choice]]
    return moved, near


def _nearest_rotation(x: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Return the orthogonal matrix that brings rows nearest to their targets."""
    crossed = linear((x * weight[:, None]).T.contiguous(), targets.T.contiguous())
    left, _, right = torch.linalg.svd(crossed.double())
    return (left @ right).to(x.dtype)


def _shrunk(x: Tensor, codebook: Tensor, weight: Tensor) -> Tensor:
    """Shrink the codewords of a block where they follow the noise of few rows."""
    codes = beam_search(x, [codebook], 1)[0][:, 0]
    return shrink_codebooks(x, codes, [codebook], sample_weight=weight)[0]
