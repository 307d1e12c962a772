"""How evenly the codes of a level are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae.metrics._usage import code_usage


def usage_perplexity(counts: NDArray[Any]) -> float:
    """Compute the perplexity of one level's counts, or of the total weights of its codes."""
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def usage_gini(counts: NDArray[np.int64]) -> float:
    """Compute the Gini coefficient of one level's counts."""
    ascending = np.sort(counts)
    rank = np.arange(1, len(counts) + 1)
    return float(((2 * rank - len(counts) - 1) @ ascending) / (len(counts) * ascending.sum()))


def code_perplexity(codes: ArrayLike, codebook_size: int | Sequence[int]) -> NDArray[np.float64]:
    r"""Compute the perplexity of the code usage at each level.

    This is the number of equally used codewords that would have the same entropy as the observed
    usage, i.e. :math:`\exp(-\sum_k p_k \ln p_k)` [1]_ with :math:`p_k` the share of samples with
    code :math:`k`. It cannot exceed ``n_samples``: compare models on the same samples only.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    perplexity : ndarray of shape (n_layers,), dtype=float64
        Effective number of codewords in use, from 1 (collapsed level) to `codebook_size` (all used
        alike).

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    See Also
    --------
    code_gini : The same question, answered on a scale from 0 to 1.
    joint_code_entropy : Entropy of whole semantic IDs and their prefixes.

    References
    ----------
    .. [1] Jelinek, F. et al. "Perplexity - a measure of the difficulty of speech recognition
       tasks". J. Acoust. Soc. Am. 62(S1), 1977.

    Examples
    --------
    At level 0 two codes share the samples, at level 1 there is only code 3:

    >>> from sklearn_rqvae.metrics import code_perplexity
    >>> code_perplexity([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    array([2., 1.])
    """
    return np.array([usage_perplexity(counts) for counts in code_usage(codes, codebook_size)])


def code_gini(codes: ArrayLike, codebook_size: int | Sequence[int]) -> NDArray[np.float64]:
    r"""Compute the Gini coefficient of the code usage at each level.

    With the counts in ascending order, :math:`c_1 \le \dots \le c_K`, it is :math:`\sum_k (2k - K -
    1)\, c_k / (K \sum_k c_k)` [1]_: half the mean difference between two codewords' counts, in
    units of the mean count. Unused codewords count.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    gini : ndarray of shape (n_layers,), dtype=float64
        From 0 (all codewords used alike) to ``1 - 1 / codebook_size`` (collapsed level).

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    See Also
    --------
    code_perplexity : The same question, answered as a number of codewords.

    References
    ----------
    .. [1] Damgaard, C. and Weiner, J. "Describing inequality in plant size or fecundity". Ecology
       81(4), 2000.

    Examples
    --------
    At level 0 the counts are 0, 0, 2, 2: (1 · 2 + 3 · 2) / (4 · 4) = 0.5. At
    level 1 they are 0, 0, 0, 4.

    >>> from sklearn_rqvae.metrics import code_gini
    >>> code_gini([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    array([0.5 , 0.75])
    """
    return np.array([usage_gini(counts) for counts in code_usage(codes, codebook_size)])
