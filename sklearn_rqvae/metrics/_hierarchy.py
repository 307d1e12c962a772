"""Whether sharing a longer prefix means being closer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae.metrics._checks import (
    check_codes,
    check_count,
    check_same_length,
    check_vectors,
    in_safe_units,
)
from sklearn_rqvae.metrics._sorted_rows import columns_of, sort_order


def hierarchy_consistency(
    X: ArrayLike,
    codes: ArrayLike,
    *,
    n_triplets: int = 10_000,
    random_state: int | np.random.RandomState | None = None,
) -> NDArray[np.float64]:
    r"""Estimate how often the sample with the longer shared prefix is the closer one.

    Entry l is about triplets whose members share their first l codes: an anchor, a mate that also
    has the anchor's code at level l, and another sample that has a different one. The triplet
    agrees if the mate is closer to the anchor than the other sample; equal distances count one
    half. This is the triplet accuracy of [1]_, taken level by level, and a concordance probability
    in the sense of [2]_.

    Triplets are drawn at random: the anchor uniformly among the samples that have both kinds of
    companion, then one of each kind. The standard error of an entry is at most ``0.5 /
    sqrt(n_triplets)``, 0.005 by default, whatever the number of samples.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors; closeness is Euclidean.
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.
    n_triplets : int, default=10_000
        Triplets drawn per level.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws.

    Returns
    -------
    consistency : ndarray of shape (n_layers,), dtype=float64
        Share of agreeing triplets at each level, from 0 to 1; 0.5 if the code says nothing about
        distance. NaN where no triplet exists: the level's code differs within no prefix, or is
        shared within none.

    Raises
    ------
    ValueError
        If `X` and `codes` differ in length, `X` isn't finite, `codes` has a value that isn't a
        non-negative integer, or `n_triplets` isn't a positive integer.

    References
    ----------
    .. [1] Wang, Y. et al. "Understanding how dimension reduction tools work: an empirical approach
       to deciphering t-SNE, UMAP, TriMap, and PaCMAP for data visualization". JMLR 22(201), 2021.
    .. [2] Goodman, L. A. and Kruskal, W. H. "Measures of association for cross classifications". J.
       Am. Stat. Assoc. 49(268), 1954.

    Examples
    --------
    Samples 0 and 1 share their first code and are close. The second code is
    shared within no prefix:

    >>> from sklearn_rqvae.metrics import hierarchy_consistency
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> hierarchy_consistency([[0.0], [0.1], [5.0], [5.2]], codes, random_state=0)
    array([ 1., nan])
    """
    array = in_safe_units(check_vectors(X))
    codes = check_codes(codes)
    check_same_length("X", array, "codes", codes)
    n_triplets = check_count("n_triplets", n_triplets, 1, 2**31 - 1, "every level needs a triplet")
    rng = check_random_state(random_state)
    columns = columns_of(codes)
    order = sort_order(columns)
    outer = _runs(np.zeros(len(codes) - 1, dtype=bool))  # all samples share the empty prefix
    breaks = np.zeros(len(codes) - 1, dtype=bool)
    consistency = np.full(len(columns), np.nan)
    for level, column in enumerate(columns):
        in_order = column[order]
        breaks |= in_order[1:] != in_order[:-1]
        inner = _runs(breaks)
        triplet = _draw_triplets(outer, inner, n_triplets, rng)
        if triplet is not None:
            consistency[level] = _agreement(array, *(order[position] for position in triplet))
        outer = inner
    return consistency


def _runs(breaks: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the run of each sorted position starts and ends."""
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    lengths = np.diff(starts, append=len(breaks) + 1)
    return np.repeat(starts, lengths), np.repeat(starts + lengths, lengths)


def _draw_triplets(
    outer: tuple[NDArray[np.intp], NDArray[np.intp]],
    inner: tuple[NDArray[np.intp], NDArray[np.intp]],
    n_triplets: int,
    rng: np.random.RandomState,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]] | None:
    """Draw anchors, mates from the inner run and others from the rest of the outer run."""
    inner_size = inner[1] - inner[0]
    rest_size = outer[1] - outer[0] - inner_size
    anchors = np.flatnonzero((inner_size > 1) & (rest_size > 0))
    if len(anchors) == 0:
        return None
    anchor = anchors[rng.randint(0, len(anchors), n_triplets)]
    mate = inner[0][anchor] + rng.randint(0, inner_size[anchor] - 1)
    mate += mate >= anchor  # skips the anchor
    other = outer[0][anchor] + rng.randint(0, rest_size[anchor])
    other += np.where(other >= inner[0][anchor], inner_size[anchor], 0)  # skips the inner run
    return anchor, mate, other


def _agreement(
    X: NDArray[Any], anchor: NDArray[np.intp], mate: NDArray[np.intp], other: NDArray[np.intp]
) -> float:
    """Return the share of triplets whose mate is closer; equal distances count one half."""
    agreeing = 0.0
    for rows in row_chunks(len(anchor), 8 * X.shape[1]):
        center = X[anchor[rows]].astype(np.float64)
        to_mate = ((X[mate[rows]] - center) ** 2).sum(axis=1)
        to_other = ((X[other[rows]] - center) ** 2).sum(axis=1)
        agreeing += np.count_nonzero(to_mate < to_other) + 0.5 * np.count_nonzero(
            to_mate == to_other
        )
    return agreeing / len(anchor)
