"""Codebooks in closed form: residual k-means along a beam, then alternating search and least squares."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from sklearn_rqvae.quantize._beam import beam_search, sum_codewords
from sklearn_rqvae.quantize._kmeans import progressive_kmeans
from sklearn_rqvae.quantize._refine import refit_codebooks

# Rows per codeword that k-means sees; more of them change codewords little.
_ROWS_PER_CODEWORD = 256


def fit_codebooks(
    x: Tensor,
    codebook_sizes: Sequence[int],
    *,
    sample_weight: Tensor | None = None,
    n_beams: int = 8,
    max_iter: int = 8,
    tol: float = 2e-3,
    generator: Generator,
) -> list[Tensor]:
    """Fit codebooks whose sums of codewords, one per level, come close to the rows.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, centered.
    codebook_sizes : sequence of int
        Number of codewords at each level.
    sample_weight : Tensor of shape (n_samples,), default=None
        Positive weights; None weighs all rows alike.
    n_beams : int, default=8
        Choices kept per level by the searches.
    max_iter : int, default=8
        Largest number of rounds of search and least squares.
    tol : float, default=2e-3
        Stop when a round lowers the squared error by less than this share of it.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_dims)
        The codebooks with the smallest squared error on `x` of all rounds.
    """
    codebooks = initialize_codebooks(
        x, codebook_sizes, sample_weight=sample_weight, n_beams=n_beams, generator=generator
    )
    codebooks, _ = refine_codebooks(
        x, codebooks, sample_weight=sample_weight, n_beams=n_beams, max_iter=max_iter, tol=tol
    )
    return codebooks


def initialize_codebooks(
    x: Tensor,
    codebook_sizes: Sequence[int],
    *,
    sample_weight: Tensor | None = None,
    n_beams: int = 8,
    generator: Generator,
) -> list[Tensor]:
    """Cluster, level by level, the residuals of every choice that the beam keeps.

    The residuals of the second-best choices are no waste: they are more samples of what the next level will meet, and
    codewords fitted to all of them do better on new rows than codewords fitted to the best choices alone.
    """
    codebooks: list[Tensor] = []
    residuals, weight = x, sample_weight
    for codebook_size in codebook_sizes:
        if codebooks:
            codes, _ = beam_search(x, codebooks, n_beams)
            residuals = (x[:, None] - sum_codewords(codes, codebooks)).flatten(0, 1)
            weight = None if sample_weight is None else sample_weight.repeat_interleave(codes.shape[1])
        rows = _subsample(len(residuals), _ROWS_PER_CODEWORD * codebook_size, generator).to(x.device)
        codebooks.append(
            progressive_kmeans(
                residuals[rows],
                codebook_size,
                sample_weight=None if weight is None else weight[rows],
                generator=generator,
            )
        )
    return codebooks


def refine_codebooks(
    x: Tensor,
    codebooks: Sequence[Tensor],
    *,
    sample_weight: Tensor | None = None,
    n_beams: int = 8,
    max_iter: int = 8,
    tol: float = 2e-3,
) -> tuple[list[Tensor], int]:
    """Alternate between codes for the codebooks and codebooks for the codes.

    Returns the codebooks with the smallest squared error of all rounds, the given ones included, and the number of rounds.
    """
    best = list(codebooks)
    codes, lowest = _encode(x, best, sample_weight, n_beams)
    for n_iter in range(1, max_iter + 1):
        candidate = refit_codebooks(x, codes, best, sample_weight=sample_weight)
        codes, error = _encode(x, candidate, sample_weight, n_beams)
        gain = lowest - error
        if gain > 0:
            best, lowest = candidate, error
        if gain <= tol * lowest:
            return best, n_iter
    return best, max_iter


def _encode(
    x: Tensor, codebooks: Sequence[Tensor], sample_weight: Tensor | None, n_beams: int
) -> tuple[Tensor, float]:
    """Return the best codes of each row and the weighted sum of their squared errors."""
    codes, errors = beam_search(x, codebooks, n_beams)
    errors = errors[:, 0].double()
    total = errors.sum() if sample_weight is None else errors @ sample_weight.double()
    return codes[:, 0], float(total)


def _subsample(n_rows: int, n_max: int, generator: Generator) -> Tensor:
    """Return all rows in order, or a random `n_max` of them."""
    if n_rows <= n_max:
        return torch.arange(n_rows)
    return torch.randperm(n_rows, generator=generator)[:n_max]
