"""Say when levels have collapsed, or sizes don't suit the rows, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_rqvae._guards import warn_caller
from sklearn_rqvae.exceptions import CodebookCollapseWarning
from sklearn_rqvae.metrics._evenness import usage_perplexity
from sklearn_rqvae.metrics._usage import usage_utilization
from sklearn_rqvae.semantic_id import expected_collision_rate, suggest_sizes

__all__ = [
    "has_collapsed",
    "has_few_ids",
    "warn_of_collapse",
    "warn_of_few_ids",
    "warn_of_narrow_latent",
    "warn_of_spare_codewords",
]

# A level has collapsed when it uses less than half of what it could, or as if it had a tenth of it.
_MIN_UTILIZATION = 0.5
_MIN_PERPLEXITY = 0.1
# Catalogs of fewer rows are of a size that the defaults are made for.
_MANY_ROWS = 100_000
_MANY_COLLISIONS = 0.3
# Sizes that leave no fewer collisions than this share of those expected aren't worth naming.
_WORTH_NAMING = 0.8

# Shares of the variance: a latent that keeps less is narrow; what one would rather keep.
_NARROW, _WIDE = 0.5, 0.8
# Rows from which these shares are estimated.
_VARIANCE_ROWS = 4096


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


def has_few_ids(codebook_size: Sequence[int], n_rows: int) -> bool:
    """Whether a third of many rows or more can be expected to share an ID with others.

    Not where there are fewer IDs than rows: these are meant to be shared.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords of each level.
    n_rows : int
        Rows, as far as is known with different vectors.
    """
    if n_rows < _MANY_ROWS or math.prod(codebook_size) < n_rows:
        return False
    rate = expected_collision_rate(n_rows, codebook_size, len(codebook_size))
    return rate >= _MANY_COLLISIONS


def warn_of_few_ids(codebook_size: Sequence[int], n_rows: int) -> None:
    """Warn once if there are few IDs for so many rows, and name sizes that would do, if any.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codewords of each level.
    n_rows : int
        Rows of the fit, whether the codebooks are learned from all of them or from a sample.
    """
    if not has_few_ids(codebook_size, n_rows):
        return
    rate = expected_collision_rate(n_rows, codebook_size, len(codebook_size))
    better = suggest_sizes(n_rows)
    advice = (
        f"codebook_size={better.codebook_size} with n_layers={better.n_layers} leaves about "
        f"{better.collision_rate:.0%}; semantic_id.suggest_sizes({n_rows}) shows more."
    )
    if better.collision_rate > _WORTH_NAMING * rate:
        advice = "Larger sizes hardly help: so many items are too much alike."
    sizes = ", ".join(map(str, dict.fromkeys(codebook_size)))
    warn_caller(
        f"codebook_size={sizes} with n_layers={len(codebook_size)} is little for {n_rows} rows: "
        f"about {rate:.0%} of them can be expected to share their ID with a row before. {advice} A "
        "SemanticIDIndex makes IDs unique."
    )


def warn_of_narrow_latent(x: torch.Tensor, weight: torch.Tensor, embed_dim: int) -> None:
    """Warn once if principal axes keep less than half of the variance, and name more that do.

    Parameters
    ----------
    x : Tensor of shape (n_rows, n_features)
        Training rows, in an order that is random.
    weight : Tensor of shape (n_rows,)
        Their weights.
    embed_dim : int
        Principal axes that the latent has.
    """
    if embed_dim >= x.shape[1]:
        return
    x, weight = x[:_VARIANCE_ROWS].double(), weight[:_VARIANCE_ROWS].double()
    deviation = (x - weight @ x / weight.sum()) * weight.sqrt()[:, None]
    variance = torch.linalg.eigvalsh(deviation.T @ deviation).flip(0).clamp_min(0)
    kept = variance.cumsum(0) / variance.sum()
    if not kept[embed_dim - 1] < _NARROW:  # nor of rows without variance
        return
    wide = int((kept < _WIDE).sum()) + 1
    warn_caller(
        f"embed_dim={embed_dim} keeps about {kept[embed_dim - 1]:.0%} of the variance of the rows; "
        f"what lies outside is lost. embed_dim={wide} would keep {kept[wide - 1]:.0%}, None all."
    )
