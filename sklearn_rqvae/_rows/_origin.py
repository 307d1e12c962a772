"""Where rows lie: a point to count from where they are far from zero."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._rows._source import RowSource

__all__ = ["check_digits", "far_from_zero", "origin_of"]

# Rows whose middle is farther from zero than so many times their reach lose more than four of the
# 24 bits of a float32 to the distance.
_FAR = 16.0

# Share of their reach that rows may lose where they can't be moved.
_MAX_LOSS = 1e-3


def origin_of(
    source: RowSource,
    sample_weight: NDArray[np.float64] | None = None,
    n_columns: int | None = None,
) -> NDArray[np.float64] | None:
    """Return the middle of the rows, or None where zero is near enough.

    The middle of the smallest and the largest value of each feature depends neither on the order of
    the rows nor on how often one is repeated.

    Parameters
    ----------
    source : RowSource
        Rows, of which none has been moved.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights; rows without any don't count.
    n_columns : int, optional
        Features that may be moved, the first ones; all if not given.

    Returns
    -------
    origin : ndarray of shape (n_features,), dtype=float64, or None
        The middle, zero in features that stay where they are.

    Raises
    ------
    ValueError
        If the rows differ by less than float32 holds: they would be one and the same.
    """
    low, high = _range_of(source.wide_blocks(sample_weight))
    middle, reach = low / 2 + high / 2, high / 2 - low / 2
    if 0 < reach.max(initial=0.0) < np.finfo(np.float32).tiny:
        raise ValueError(
            f"the values of each column of X differ by at most {2 * reach.max():.1e}, less than "
            "float32 holds; multiply X by a constant first."
        )
    middle[n_columns:] = 0.0
    farthest = np.abs(middle).max()
    # What float32 can't hold at all is refused where rows are read.
    if farthest > np.finfo(np.float32).max or farthest <= _FAR * reach[:n_columns].max(initial=0):
        return None
    return middle


def check_digits(
    source: RowSource,
    sample_weight: NDArray[np.float64] | None = None,
    others: NDArray[np.float32] | None = None,
) -> None:
    """Refuse rows that lie so far from zero that float32 can't tell them apart.

    Not all rows can be moved to their middle: that of a stream is known at its end only.

    Parameters
    ----------
    source : RowSource
        Rows, of which none has been moved.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights; rows without any don't count.
    others : ndarray of shape (n_others, n_features), optional
        Rows of the stream that have come before.

    Raises
    ------
    ValueError
        If rounding to float32 takes more than a thousandth of the rows' reach.
    """
    if not source.is_wide:
        return
    low, high = _range_of(source.wide_blocks(sample_weight))
    if others is not None and len(others):
        low, high = np.minimum(low, others.min(axis=0)), np.maximum(high, others.max(axis=0))
    far = far_from_zero(low, high)
    if far is not None:
        farthest, reach = far
        raise ValueError(
            f"X has values of up to {farthest:.1e}, but its rows lie within {reach:.1e} of their "
            "middle, and float32 numbers so far from zero can't tell them apart. Subtract a "
            "constant near their mean from all rows first."
        )


def far_from_zero(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Say whether rows lie so far from zero that float32 can't tell them apart.

    Parameters
    ----------
    low, high : ndarray of shape (n_features,)
        The smallest and the largest value of each feature.

    Returns
    -------
    far : tuple of float or None
        The largest absolute value, and the reach on each side of the middle; None if rounding takes
        no more than a thousandth of that reach.
    """
    reach, farthest = float((high - low).max()) / 2, float(np.maximum(-low, high).max())
    return (
        (farthest, reach) if farthest * np.finfo(np.float32).eps > _MAX_LOSS * reach > 0 else None
    )


def _range_of(
    blocks: Iterable[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the largest value of each feature."""
    ranges = [(block.min(axis=0), block.max(axis=0)) for block in blocks]
    lows, highs = zip(*ranges, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
