"""Samples that share a semantic ID, or a prefix of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._rows._hashing import duplicate_groups
from sklearn_rqvae.metrics._checks import check_codes, check_vectors
from sklearn_rqvae.metrics._sorted_rows import columns_of, first_difference, run_lengths


def prefix_group_sizes(codes: ArrayLike) -> list[NDArray[np.int64]]:
    """Count the samples behind each distinct prefix, by prefix length.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.

    Returns
    -------
    sizes : list of ndarray of shape (n_groups,), dtype=int64
        Entry k holds the sizes of the groups of samples that share their first k + 1 codes, in the
        order of the prefixes; each sums to ``n_samples``. The last entry is about whole semantic
        IDs.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer.

    See Also
    --------
    collision_rate : Share of samples in excess of the distinct semantic IDs.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import prefix_group_sizes
    >>> prefix_group_sizes([[0, 3], [1, 3], [0, 3], [0, 2]])
    [array([3, 1]), array([1, 2, 1])]
    """
    columns = columns_of(check_codes(codes))
    first = first_difference(columns)
    return [run_lengths(first, length) for length in range(1, len(columns) + 1)]


def collision_rate(codes: ArrayLike) -> float:
    r"""Compute the share of samples in excess of the distinct semantic IDs.

    This is :math:`1 - n_\text{unique} / n`, the rate that the field reports [1]_. Of m samples with
    one semantic ID, m − 1 count: `colliding_share` counts all m. It grows with the number of
    samples, so compare models on the same catalog, and not batch by batch. Random codes hardly
    collide: a low rate alone doesn't make good codes.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative. Take the first columns for the rate of a
        prefix.

    Returns
    -------
    rate : float
        From 0 (all semantic IDs differ) to ``1 - 1 / n_samples`` (all are equal).

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer.

    See Also
    --------
    collision_floor : Rate that no function of the vectors can go below.
    colliding_share : Share of the samples whose semantic ID isn't theirs alone.

    References
    ----------
    .. [1] Zheng, B. et al. "Adapting large language models by integrating collaborative semantics
       for recommendation". arXiv:2311.09049, 2023.

    Examples
    --------
    Three distinct semantic IDs for four samples:

    >>> from sklearn_rqvae.metrics import collision_rate
    >>> collision_rate([[0, 3], [1, 3], [0, 3], [0, 2]])
    0.25
    """
    array = check_codes(codes)
    first = first_difference(columns_of(array))
    return float(np.count_nonzero(first == array.shape[1]) / len(array))


def colliding_share(codes: ArrayLike) -> float:
    """Compute the share of samples whose semantic ID is not theirs alone.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative. Take the first columns for the share of a
        prefix.

    Returns
    -------
    share : float
        From 0 (all semantic IDs differ) to 1 (every sample shares its own with another).

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer.

    See Also
    --------
    collision_rate : Share of samples in excess of the distinct IDs; at least half of this share.

    Examples
    --------
    Samples 0 and 2 share theirs:

    >>> from sklearn_rqvae.metrics import colliding_share
    >>> colliding_share([[0, 3], [1, 3], [0, 3], [0, 2]])
    0.5
    """
    sizes = prefix_group_sizes(codes)[-1]
    return float(sizes[sizes > 1].sum() / sizes.sum())


def largest_group(codes: ArrayLike) -> int:
    """Count the samples that share the most frequent semantic ID.

    A suffix that makes semantic IDs unique has to tell this many samples apart.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative. Take the first columns for the largest
        group of a prefix.

    Returns
    -------
    n_samples : int
        From 1 (all semantic IDs differ) to the number of samples.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import largest_group
    >>> largest_group([[0, 3], [1, 3], [0, 3], [0, 2]])
    2
    """
    return int(prefix_group_sizes(codes)[-1].max())


def collision_floor(X: ArrayLike) -> float:
    """Compute the collision rate that duplicate rows enforce.

    Equal vectors have equal codes, so no transformer of `X`, however long its semantic IDs, has a
    lower `collision_rate` than this. Rows are equal when all their values are; rows that differ in
    the last digit only aren't duplicates here, though hardly any codes tell them apart.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors that the codes are made from.

    Returns
    -------
    floor : float
        One minus the share of distinct rows, in [0, 1).

    Raises
    ------
    ValueError
        If `X` is empty, isn't 2-dimensional, or isn't finite.

    See Also
    --------
    collision_rate : The rate to compare with this one.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import collision_floor
    >>> collision_floor([[0.5, 1.0], [0.5, 1.0], [2.0, 0.0], [0.0, 0.0]])
    0.25
    """
    array = check_vectors(X)
    distinct, _ = duplicate_groups(array)
    return 1 - len(distinct) / len(array)
