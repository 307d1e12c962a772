"""Say when levels have collapsed, or sizes don't suit the rows, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._guards import warn_caller
from sklearn_rqvae.exceptions import CodebookCollapseWarning
from sklearn_rqvae.metrics._evenness import usage_perplexity
from sklearn_rqvae.metrics._usage import usage_utilization
from sklearn_rqvae.semantic_id import expected_collision_rate, suggest_sizes

__all__ = [
    "has_collapsed",
    "warn_of_collapse",
    "warn_of_few_ids",
    "warn_of_spare_codewords",
]

# A level has collapsed when it uses less than half of what it could, or as if it had a tenth of it.
_MIN_UTILIZATION = 0.5
_MIN_PERPLEXITY = 0.1
# Catalogs of fewer rows are of a size that the defaults are made for.
_MANY_ROWS = 100_000
_MANY_COLLISIONS = 0.3


def has_collapsed(n_used: int, perplexity: float, codebook_size: int, n_distinct_rows: int) -> bool:
    """Whether a level uses far fewer codewords than it could.

    Parameters
    ----------
    n_used : int
        Codewords in use.
    perplexity : float
        Number of equally used codewords that the usage amounts to.
    codebook_size : int
        Number of codewords.
    n_distinct_rows : int
        Distinct rows; more codewords than these can't be in use.

    Returns
    -------
    collapsed : bool
        Whether it does.
    """
    possible = min(codebook_size, n_distinct_rows)
    return n_used < _MIN_UTILIZATION * possible or perplexity < _MIN_PERPLEXITY * possible


def warn_of_collapse(
    usage: Sequence[NDArray[np.float64]], n_distinct_rows: int, n_distinct_ids: int, ways_out: str
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
    ways_out : str
        What to do about it, which depends on how the model was learned.
    """
    if n_distinct_ids == n_distinct_rows:
        return
    collapsed = []
    for level, counts in enumerate(usage):
        perplexity, n_used = usage_perplexity(counts), int(np.count_nonzero(counts))
        if has_collapsed(n_used, perplexity, len(counts), n_distinct_rows):
            collapsed.append(
                f"level {level} (utilization {usage_utilization(counts):.2f}, perplexity "
                f"{perplexity:.1f} of {min(len(counts), n_distinct_rows)})"
            )
    if collapsed:
        warn_caller(
            f"Codebook collapse: {', '.join(collapsed)}. The semantic IDs tell fewer items apart "
            f"than their length promises. Ways out: {ways_out}.",
            CodebookCollapseWarning,
        )


def warn_of_spare_codewords(
    codebook_size: Sequence[int], n_distinct_rows: int, subsample: int
) -> None:
    """Warn once if levels have more codewords than there are distinct rows to use them.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords of each level.
    n_distinct_rows : int
        Distinct training rows.
    subsample : int
        The most that there may be.
    """
    levels = [level for level, size in enumerate(codebook_size) if size > n_distinct_rows]
    if levels:
        few = n_distinct_rows >= subsample
        more = f"a larger subsample than {subsample}" if few else "give more rows"
        where = f"level{'s' if len(levels) > 1 else ''} {', '.join(map(str, levels))}"
        warn_caller(
            f"codebook_size={max(codebook_size)} exceeds the {n_distinct_rows} distinct rows at "
            f"{where}: each row can have a codeword of its own, and the others are never used. Set "
            f"a smaller codebook_size, or {more}."
        )


def warn_of_few_ids(codebook_size: Sequence[int], n_rows: int) -> None:
    """Warn once if a third of many rows or more can be expected to share an ID with others.

    Where there are fewer IDs than rows, they are meant to be shared: nobody is warned.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords of each level.
    n_rows : int
        Rows of the fit, whether the codebooks are learned from all of them or from a sample.
    """
    if n_rows < _MANY_ROWS or math.prod(codebook_size) < n_rows:
        return
    rate = expected_collision_rate(n_rows, codebook_size, len(codebook_size))
    if rate < _MANY_COLLISIONS:
        return
    better = suggest_sizes(n_rows)
    warn_caller(
        f"codebook_size={max(codebook_size)} with n_layers={len(codebook_size)} is little for "
        f"{n_rows} rows: about {rate:.0%} of them can be expected to share their ID with a row "
        f"before. codebook_size={better.codebook_size} with n_layers={better.n_layers} leaves "
        f"about {better.collision_rate:.0%}; semantic_id.suggest_sizes({n_rows}) shows more. A "
        "SemanticIDIndex makes IDs unique."
    )
