r"""The recursion over levels: each quantizes what the ones before have left.

:math:`r_0 = z`, :math:`c_l = \arg\min_k \|r_l - C_l[k]\|^2`, :math:`r_{l+1} = r_l - C_l[c_l]`; the
latent is quantized as the sum of its codewords.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_rqvae.quantize._distance import CHUNK_SIZE, nearest_codewords

__all__ = ["residual_codes", "sum_codewords"]


def residual_codes(
    latent: Tensor, codebooks: Sequence[Tensor], chunk_size: int = CHUNK_SIZE
) -> Tensor:
    """Quantize greedily: at each level the codeword nearest to the residual.

    Parameters
    ----------
    latent : Tensor of shape (n_samples, embed_dim)
        Rows to quantize.
    codebooks : sequence of Tensor of shape (codebook_size, embed_dim)
        The codewords of each level; sizes may differ.
    chunk_size : int, default=1024
        Rows handled at a time.

    Returns
    -------
    codes : Tensor of int64 of shape (n_samples, n_levels)
        Code of each row at each level; the lowest one among ties.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._residual import residual_codes
    >>> codebooks = [torch.tensor([[0.0], [10.0]]), torch.tensor([[-1.0], [0.0], [1.0]])]
    >>> residual_codes(torch.tensor([[8.8], [1.1]]), codebooks)
    tensor([[1, 0],
            [0, 2]])
    """
    chunks = []
    for residual in latent.split(chunk_size):
        codes = [nearest_codewords(residual, codebooks[0], chunk_size)]
        for before, codebook in pairwise(codebooks):
            residual = residual - F.embedding(codes[-1], before)
            codes.append(nearest_codewords(residual, codebook, chunk_size))
        chunks.append(torch.stack(codes, 1))
    return torch.cat(chunks)


def sum_codewords(codes: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Add up the codewords of each row's codes.

    Parameters
    ----------
    codes : Tensor of int64 of shape (..., n_levels)
        Codes of the first ``n_levels`` levels.
    codebooks : sequence of Tensor of shape (codebook_size, embed_dim)
        The codewords of each level, at least ``n_levels`` of them.

    Returns
    -------
    quantized : Tensor of shape (..., embed_dim)
        Sum of the codewords; differentiable in the codebooks.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._residual import sum_codewords
    >>> codebooks = [torch.tensor([[0.0], [10.0]]), torch.tensor([[-1.0], [0.0], [1.0]])]
    >>> sum_codewords(torch.tensor([[1, 0]]), codebooks)
    tensor([[9.]])
    """
    quantized = F.embedding(codes[..., 0], codebooks[0])
    for level in range(1, codes.shape[-1]):
        quantized = quantized + F.embedding(codes[..., level], codebooks[level])
    return quantized
