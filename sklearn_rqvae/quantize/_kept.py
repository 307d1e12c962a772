"""Codebooks for more rows, while rows keep the codes that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_rqvae.quantize._additive import good_choices
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._refine import center_codebooks, refit_codebooks, shrink_codebooks
from sklearn_rqvae.quantize._residual import sum_codewords

__all__ = ["KeptCodes", "refit_near"]

# Weight of a row's other choices, where its own has one: that of the last round of a first fit.
_SHARE = 0.1


class KeptCodes(NamedTuple):
    """Codes that rows give up only for others that lower their squared error by enough.

    Parameters
    ----------
    codes : Tensor of int64 of shape (n_samples, n_layers)
        Codes of each row.
    stability : float
        How much is enough, as a multiple of the mean squared error of all rows.
    """

    codes: Tensor
    stability: float

    def put_first(
        self, x: Tensor, codebooks: Sequence[Tensor], candidates: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put each row's own codes before its other candidates.

        They change places with the first candidate. Where they are none of the candidates, the
        last one makes room.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_dims)
            Rows.
        codebooks : sequence of Tensor of shape (codebook_size, n_dims)
            Codebooks that `errors` are of.
        candidates : Tensor of int64 of shape (n_samples, n_candidates, n_layers)
            Distinct codes, the best ones first; two at least, or all that there are.
        errors : Tensor of shape (n_samples, n_candidates)
            Their squared errors.

        Returns
        -------
        candidates, errors : Tensor
            Of the same shapes.

        Examples
        --------
        >>> import torch
        >>> from sklearn_rqvae.quantize._kept import KeptCodes
        >>> x, codebook = torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0], [2.0]])
        >>> candidates, errors = torch.tensor([[[1], [0]]]), torch.tensor([[0.01, 0.81]])
        >>> codes, errors = KeptCodes(torch.tensor([[2]]), 0.3).put_first(
        ...     x, [codebook], candidates, errors
        ... )
        >>> codes.flatten().tolist(), errors
        ([2, 1], tensor([[1.2100, 0.0100]]))
        """
        own = (candidates == self.codes[:, None]).all(2)
        own[:, -1] |= ~own.any(1)
        row, place = torch.arange(len(own), device=own.device), own.int().argmax(1)
        own_errors = (x - sum_codewords(self.codes, codebooks)).square_().sum(1)
        candidates, errors = candidates.clone(), errors.clone()
        for array, first in ((candidates, self.codes), (errors, own_errors)):
            array[row, place] = array[:, 0].clone()
            array[:, 0] = first
        return candidates, errors

    def favored(self, errors: Tensor, mean_error: Tensor) -> Tensor:
        """Return errors of which the first candidate's are less by what it may cost."""
        errors = errors.clone()
        errors[:, 0] -= self.stability * mean_error
        return errors


def refit_near(
    x: Tensor,
    codebooks: Sequence[Tensor],
    kept: KeptCodes,
    *,
    sample_weight: Tensor | None = None,
    n_beams: int = 5,
    n_iter: int = 4,
    shrinkage: float = 1.0,
) -> list[Tensor]:
    """Refit codebooks to rows, starting from the old ones, with as few changes of codes as pay.

    Rounds of search and least squares as in a first fit, but a row whose kept codes are nearly as
    good as the best ones counts as one of theirs. Each round draws codewords to where they were.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows, in the coordinates of the codebooks.
    codebooks : sequence of Tensor of shape (codebook_size, n_dims)
        Old codewords, one codebook per level.
    kept : KeptCodes
        Codes of the rows so far.
    sample_weight : Tensor of shape (n_samples,), default=None
        Positive weights; None weighs all rows alike.
    n_beams : int, default=5
        Choices kept per level by the searches.
    n_iter : int, default=4
        Rounds; the first does most of it.
    shrinkage : float, default=1.0
        How far codewords are shrunk at the end; see `fit_codebooks`.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_dims)
        Codewords; one that no row uses is where it was, up to a shift of its level.
    """
    weight = torch.ones_like(x[:, 0]) if sample_weight is None else sample_weight
    current = list(codebooks)
    chosen = _choices(x, current, kept, weight, n_beams)
    for step in range(n_iter):
        row, codes, row_weight = chosen
        current = refit_codebooks(x, codes, current, sample_weight=row_weight, row=row)
        if step == n_iter - 1:
            current = shrink_codebooks(
                x, codes, current, sample_weight=row_weight, row=row, strength=shrinkage
            )
        current = center_codebooks(current, codes, sample_weight=row_weight)
        chosen = _choices(x, current, kept, weight, n_beams)
    return current


def _choices(
    x: Tensor, codebooks: Sequence[Tensor], kept: KeptCodes, weight: Tensor, n_beams: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, codes and weights: each row's own codes, or better ones, and the next best."""
    codes, errors = beam_search(x, codebooks, max(n_beams, 2))
    mean_error = (errors[:, 0] @ weight) / weight.sum()
    codes, errors = kept.put_first(x, codebooks, codes, errors)
    first = kept.favored(errors, mean_error).argmin(1)
    row = torch.arange(len(x), device=x.device)
    for array in (codes, errors):
        array[row, first], array[:, 0] = array[:, 0].clone(), array[row, first]
    # A choice that is better than the row's own, but not by enough, counts as one as good.
    return good_choices(codes, errors.maximum(errors[:, :1]), weight, _SHARE)
