"""Codebooks in closed form: residual k-means along a beam, then alternating search and least squares."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ._beam import beam_search, sum_codewords
from ._kmeans import progressive_kmeans
from ._refine import refit_codebooks

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
    return refine_codebooks(
        x, codebooks, sample_weight=sample_weight, n_beams=n_beams, max_iter=max_iter, tol=tol
    )


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
) -> list[Tensor]:
    """Alternate between codes for the codebooks and codebooks for the codes; return the best codebooks met."""
    best, candidate, lowest = list(codebooks), list(codebooks), float("inf")
    for _ in range(max_iter + 1):
        codes, errors = beam_search(x, candidate, n_beams)
        error = _total(errors[:, 0], sample_weight)
        improved, gain = error < lowest, 1.0 - error / lowest
        if improved:
            best, lowest = candidate, error
        if gain < tol or error == 0.0:
            break
        candidate = refit_codebooks(x, codes[:, 0], candidate, sample_weight=sample_weight)
    return best


def _total(errors: Tensor, sample_weight: Tensor | None) -> float:
    return float(errors.double().sum() if sample_weight is None else errors.double() @ sample_weight.double())


def _subsample(n_rows: int, n_max: int, generator: Generator) -> Tensor:
    """Return all rows in order, or a random `n_max` of them."""
    return torch.randperm(n_rows, generator=generator)[:n_max] if n_rows > n_max else torch.arange(n_rows)
