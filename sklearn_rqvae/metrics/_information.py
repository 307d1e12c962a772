"""Bits: how many a semantic ID has, and how many it says."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.metrics._collisions import prefix_group_sizes


def bits_per_item(codebook_size: int | Sequence[int], n_layers: int | None = None) -> float:
    r"""Compute the length of a semantic ID in bits.

    This is :math:`\sum_l \log_2 K_l` over the levels, the rate at which models should be compared:
    distortion falls with every further bit, whoever spends it.

    Parameters
    ----------
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.
    n_layers : int, optional
        Number of levels; needed when `codebook_size` is one number.

    Returns
    -------
    bits : float
        Bits of one semantic ID, if every code costs the same.

    Raises
    ------
    ValueError
        If `codebook_size` is an integer and `n_layers` isn't given, or if the two don't fit each
        other.

    See Also
    --------
    joint_code_entropy : Bits that the semantic IDs really carry.

    References
    ----------
    .. [1] Cover, T. M. and Thomas, J. A. "Elements of information theory", chapter 10. Wiley, 2nd
       edition, 2006.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import bits_per_item
    >>> bits_per_item(256, n_layers=3)
    24.0
    >>> bits_per_item([16, 16, 4])
    10.0
    """
    if n_layers is None:
        if not isinstance(codebook_size, Sequence | np.ndarray):
            raise ValueError(
                f"n_layers should be given with codebook_size={codebook_size!r}; "
                "or give codebook_size as one number per level."
            )
        n_layers = len(codebook_size)
    elif not isinstance(n_layers, Integral) or isinstance(n_layers, bool) or n_layers < 1:
        raise ValueError(f"n_layers={n_layers!r} should be a positive integer.")
    return float(np.log2(check_codebook_size(codebook_size, n_layers)).sum())


def joint_code_entropy(codes: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the entropy of the semantic IDs' prefixes, in bits.

    Entry k is :math:`-\sum_s p_s \log_2 p_s` [1]_ over the distinct prefixes :math:`s` of k + 1
    codes; the last entry is the entropy of whole semantic IDs. Differences between entries say what
    a level adds given those before it: levels that repeat each other have a high perplexity each,
    and add nothing together.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.

    Returns
    -------
    entropy : ndarray of shape (n_layers,), dtype=float64
        Bits of the first k + 1 codes, ascending, from 0 to the smaller of ``log2(n_samples)`` and
        `bits_per_item`.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't a non-negative integer.

    See Also
    --------
    bits_per_item : Bits that the semantic IDs have room for.
    code_perplexity : Evenness of each level by itself.

    References
    ----------
    .. [1] Shannon, C. E. "A mathematical theory of communication". Bell Syst. Tech. J. 27, 1948.

    Examples
    --------
    The first code splits four samples in two halves (one bit); the second one repeats the first:

    >>> from sklearn_rqvae.metrics import joint_code_entropy
    >>> joint_code_entropy([[0, 1], [0, 1], [1, 0], [1, 0]])
    array([1., 1.])
    """
    return np.array([count_entropy(sizes) / np.log(2) for sizes in prefix_group_sizes(codes)])


def count_entropy(counts: NDArray[np.int64]) -> float:
    """Compute the entropy of counts in nats, log n − Σ c log c / n, exactly 0 for one group."""
    total = counts.sum()
    return (
        max(0.0, float(np.log(total) - counts @ np.log(counts) / total)) if len(counts) > 1 else 0.0
    )
