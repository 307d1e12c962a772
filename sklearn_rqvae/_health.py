"""Say when a fitted level has collapsed, and what to do about it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.exceptions import CodebookCollapseWarning

__all__ = ["utilization_and_perplexity", "warn_of_collapse"]

# A level has collapsed when it uses less than half of what it could, or as if it had a tenth of it.
MIN_UTILIZATION = 0.5
MIN_PERPLEXITY = 0.1


def utilization_and_perplexity(usage: NDArray[np.float64]) -> tuple[float, float]:
    """Return the share of codewords in use and the exponential of the usage's entropy.

    Parameters
    ----------
    usage : ndarray of shape (codebook_size,)
        Total weight of the rows with each code.

    Returns
    -------
    utilization : float
        In (0, 1].
    perplexity : float
        In [1, codebook_size].
    """
    share = usage[usage > 0] / usage.sum()
    return len(share) / len(usage), float(np.exp(-(share * np.log(share)).sum()))


def warn_of_collapse(
    usage: Sequence[NDArray[np.float64]],
    n_distinct_rows: int,
    n_distinct_ids: int,
    closed_form: bool,
) -> None:
    """Warn once if levels have collapsed, with the level, its numbers and the ways out.

    A level can't use more codewords than there are distinct rows, and needn't where every row has
    an ID of its own.

    Parameters
    ----------
    usage : sequence of ndarray of shape (codebook_size,)
        Total weight of the training rows with each code, for each level.
    n_distinct_rows, n_distinct_ids : int
        Distinct training rows, and distinct semantic IDs among them.
    closed_form : bool
        Whether the model was fitted without gradients, where other ways lead out.
    """
    if n_distinct_ids == n_distinct_rows:
        return
    collapsed = []
    for level, counts in enumerate(usage):
        utilization, perplexity = utilization_and_perplexity(counts)
        possible = min(len(counts), n_distinct_rows)
        if (
            utilization * len(counts) < MIN_UTILIZATION * possible
            or perplexity < MIN_PERPLEXITY * possible
        ):
            collapsed.append(
                f"level {level} (utilization {utilization:.2f}, perplexity {perplexity:.1f} of "
                f"{possible})"
            )
    if collapsed:
        ways_out = (
            "features and rows of similar scale (StandardScaler, Normalizer), a smaller "
            "codebook_size, fewer levels"
            if closed_form
            else "a larger commitment_weight, another codebook_mode ('ROTATION_TRICK'), a smaller "
            "lr, a smaller codebook_size, or the closed form (codebook_mode=None, linear_path=True)"
        )
        warnings.warn(
            f"Codebook collapse: {', '.join(collapsed)}. The semantic IDs tell fewer items apart "
            f"than their length promises. Ways out: {ways_out}.",
            CodebookCollapseWarning,
            stacklevel=6,
        )
