"""Whether samples with one prefix have one label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from sklearn_rqvae.metrics._checks import check_codes, check_labels
from sklearn_rqvae.metrics._information import count_entropy
from sklearn_rqvae.metrics._sorted_rows import columns_of, first_difference, run_lengths

# Bernstein's inequality with exp(-45) leaves less than 1e-19 of a hypergeometric distribution out.
_TAIL_EXPONENT = 45.0
_TERMS_AT_ONCE = 1 << 20


def prefix_purity(codes: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the share of samples that have the most frequent label of their prefix.

    Entry k is :math:`\frac1n \sum_s \max_y n_{sy}` [1]_ over the distinct prefixes :math:`s` of k +
    1 codes, with :math:`n_{sy}` the number of samples with this prefix and label :math:`y`. Purity
    never falls with prefix length, and prefixes of one sample each are pure whatever the labels:
    see `prefix_adjusted_mutual_info` for a measure that allows for chance.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.
    labels : array-like of shape (n_samples,)
        Label of each sample, such as its category: numbers or strings.

    Returns
    -------
    purity : ndarray of shape (n_layers,), dtype=float64
        Purity of the prefixes of 1 to ``n_layers`` codes, from the share of the most frequent label
        to 1.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer;
        if `labels` isn't 1-dimensional, has another length, or lacks values.

    References
    ----------
    .. [1] Manning, C. D., Raghavan, P. and Schütze, H. "Introduction to information retrieval",
       section 16.3. Cambridge University Press, 2008.

    Examples
    --------
    Code 0 at level 0 holds two samples of label "a" and one of "b"; the second
    code tells them apart:

    >>> from sklearn_rqvae.metrics import prefix_purity
    >>> prefix_purity([[0, 1], [0, 1], [0, 2], [1, 0]], ["a", "a", "b", "b"])
    array([0.75, 1.  ])
    """
    codes = check_codes(codes)
    label = check_labels(labels, codes)
    columns = columns_of(codes)
    purity = np.empty(len(columns))
    for level in range(len(columns)):
        first = first_difference([*columns[: level + 1], label])
        per_label = run_lengths(first, level + 2)
        # A prefix starts after each run whose end is also the end of a prefix.
        run_ends = first[first < level + 2]
        prefix_starts = np.concatenate(([0], np.flatnonzero(run_ends < level + 1) + 1))
        purity[level] = np.maximum.reduceat(per_label, prefix_starts).sum() / len(codes)
    return purity


def prefix_adjusted_mutual_info(codes: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the adjusted mutual information between prefixes and labels.

    Entry k is :math:`(I - E[I]) / (\frac12 (H_s + H_y) - E[I])` [1]_ with :math:`I` the mutual
    information between the prefixes of k + 1 codes and the labels, :math:`H` their entropies, and
    :math:`E[I]` what random groups of the same sizes have. The expectation is a sum over all pairs
    of different group sizes; of each pair's hypergeometric distribution only what lies within a
    rigorous bound on its tails is summed, which changes the result by less than rounding does.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.
    labels : array-like of shape (n_samples,)
        Label of each sample, such as its category: numbers or strings.

    Returns
    -------
    information : ndarray of shape (n_layers,), dtype=float64
        For the prefixes of 1 to ``n_layers`` codes: 1 if prefixes and labels are the same groups,
        about 0 (and possibly below) if they have no more to do with each other than by chance.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer;
        if `labels` isn't 1-dimensional, has another length, or lacks values.

    See Also
    --------
    prefix_purity : Easier to explain, but it grows with the number of prefixes by itself.

    References
    ----------
    .. [1] Vinh, N. X., Epps, J. and Bailey, J. "Information theoretic measures for clusterings
       comparison: variants, properties, normalization and correction for chance". JMLR 11, 2010.

    Examples
    --------
    The first code is the label in other words. The second one splits both labels, to no use:

    >>> from sklearn_rqvae.metrics import prefix_adjusted_mutual_info
    >>> prefix_adjusted_mutual_info([[0, 0], [0, 1], [1, 0], [1, 1]], ["a", "a", "b", "b"])
    array([1., 0.])
    """
    codes = check_codes(codes)
    label = check_labels(labels, codes)
    columns = columns_of(codes)
    label_sizes = np.bincount(label)
    label_entropy = count_entropy(label_sizes)
    information = np.empty(len(columns))
    for level in range(len(columns)):
        first = first_difference([*columns[: level + 1], label])
        prefix_sizes = run_lengths(first, level + 1)
        joint_sizes = run_lengths(first, level + 2)
        if len(prefix_sizes) == len(label_sizes) == len(joint_sizes):
            information[level] = (
                1.0  # the same groups, also where chance would find them: one group, or n groups
            )
            continue
        prefix_entropy = count_entropy(prefix_sizes)
        mutual = prefix_entropy + label_entropy - count_entropy(joint_sizes)
        by_chance = expected_mutual_info(prefix_sizes, label_sizes)
        information[level] = _adjust(mutual, by_chance, 0.5 * (prefix_entropy + label_entropy))
    return information


def _adjust(mutual: float, by_chance: float, upper: float) -> float:
    """Put information on the scale from chance (0) to its upper bound (1)."""
    gain = mutual - by_chance
    if abs(gain) < 1e-13 * max(1.0, upper):
        return 0.0  # the rounding of entropies, not information
    return gain / (upper - by_chance)


def expected_mutual_info(sizes_a: NDArray[np.int64], sizes_b: NDArray[np.int64]) -> float:
    """Compute the mean mutual information, in nats, of random partitions with these group sizes.

    This is equation 24 of Vinh et al. (2010), whose terms depend on sizes only: equal sizes are
    summed once.
    """
    total = int(sizes_a.sum())
    a, a_times = np.unique(sizes_a, return_counts=True)
    b, b_times = np.unique(sizes_b, return_counts=True)
    expected = 0.0
    for size, times in zip(a.tolist(), a_times.tolist(), strict=True):
        low, high = _hypergeometric_window(size, b, total)
        widths = np.maximum(high - low + 1, 0)
        cuts = np.concatenate(([0], np.cumsum(widths)))
        begin = 0
        while begin < len(b):  # as many sizes of b as make a bounded number of terms
            end = max(
                begin + 1,
                int(np.searchsorted(cuts, cuts[begin] + _TERMS_AT_ONCE, side="right")) - 1,
            )
            which = np.repeat(np.arange(begin, end), widths[begin:end])
            shared = np.arange(len(which)) - (cuts[which] - cuts[begin]) + low[which]
            terms = _mean_overlap_terms(size, b[which], shared, total)
            expected += times * float((terms * b_times[which]).sum())
            begin = end
    return expected


def _mean_overlap_terms(
    size_a: int, size_b: NDArray[np.int64], shared: NDArray[np.int64], total: int
) -> NDArray[np.float64]:
    """Compute what an overlap of `shared` adds to the information, times its probability."""
    information = shared / total * np.log(shared / size_b * (total / size_a))
    log_probability = (
        (gammaln(size_a + 1) - gammaln(shared + 1) - gammaln(size_a - shared + 1))
        + (gammaln(size_b + 1) - gammaln(size_b - shared + 1))
        + (gammaln(total - size_a + 1) - gammaln(total - size_a - size_b + shared + 1))
        + (gammaln(total - size_b + 1) - gammaln(total + 1))
    )
    return information * np.exp(log_probability)


def _hypergeometric_window(
    size: int, sizes: NDArray[np.int64], total: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last positive overlap of two groups that isn't negligibly rare.

    Bernstein's inequality, P(|N − μ| ≥ t) ≤ 2 exp(−t² / (2 (σ² + t / 3))), holds for draws without
    replacement too (Hoeffding, "Probability inequalities for sums of bounded random variables",
    1963, section 6).
    """
    share = sizes / total
    mean = size * share
    third = _TAIL_EXPONENT / 3
    reach = third + np.sqrt(third**2 + 2 * _TAIL_EXPONENT * size * share * (1 - share))
    low = np.maximum(np.maximum(1, size + sizes - total), np.floor(mean - reach).astype(np.int64))
    high = np.minimum(np.minimum(size, sizes), np.ceil(mean + reach).astype(np.int64))
    return low, high
