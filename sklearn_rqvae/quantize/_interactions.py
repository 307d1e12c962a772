"""Fit codewords and the interactions of pairs of codes together, in closed form.

Given the codes, codewords and pair vectors are a ridge regression; given these, each row moves to
the codes that would reconstruct it best had it not taken part in the regression. Without that
exception rows stay where they are, since the vectors of their pairs have learned them by heart.
Rows that would share all their codes move apart where that costs little: two rows with one ID have
one reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._kept import KeptCodes
from sklearn_rqvae.quantize._leave_one_out import leave_one_out_errors
from sklearn_rqvae.quantize._regression import (
    CHUNK_ROWS,
    RIDGES,
    Interactions,
    option_errors,
    regress,
)
from sklearn_rqvae.quantize._ridges import choose_ridges, codeword_ridge
from sklearn_rqvae.quantize._soft_codes import SoftCodes, soft_codes

__all__ = ["fit_interactions"]

# Regressions; rows move between them.
N_ROUNDS = 3

# Weight of the codes that a row has been given in a refit and wouldn't get, where others have one.
INSISTENCE = 2.0


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
    ridges = RIDGES._replace(codewords=codeword_ridge(z, errors, row_weight))
    if kept is None:  # a weak ridge learns rows by heart, and draws them from the codes they had
        ridges = choose_ridges(
            z, codebooks, candidates, ids, errors, row_weight, max_floats, ridges
        )
    for _ in range(N_ROUNDS - 1):
        soft = soft_codes(candidates, ids, errors, row_weight, kept)
        fitted = regress(z, codebooks, soft, max_floats, ridges)
        errors = leave_one_out_errors(z, fitted, candidates, soft, ridges)
    soft = soft_codes(candidates, ids, errors, row_weight, kept)
    fitted = regress(z, codebooks, soft, max_floats, ridges)
    if kept is not None:
        insistent = _insistent(z, fitted, candidates, soft)
        fitted = regress(z, codebooks, insistent, max_floats, ridges)
    return fitted


def _insistent(z: Tensor, fitted: Interactions, candidates: Tensor, soft: SoftCodes) -> SoftCodes:
    """Give more weight to the own codes of rows that a search would give other codes."""
    weight = soft.weight.clone()
    for start in range(0, len(z), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        options = torch.cat([soft.codes[rows, :1], candidates[rows]], 1)
        errors = option_errors(z[rows], fitted, options)
        weight[rows, 0] *= torch.where(errors.argmin(1) > 0, INSISTENCE, 1.0)
    return soft._replace(weight=weight)
