"""How often each code occurs, and which never do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae.metrics._checks import check_codes_and_size


def count_codes(codes: NDArray[Any], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Count the codes of each level; `codes` and `sizes` have been checked."""
    counts = [np.zeros(size, dtype=np.int64) for size in sizes]
    for rows in row_chunks(len(codes), 8 * codes.shape[1]):
        for level, size in enumerate(sizes):
            counts[level] += np.bincount(codes[rows, level], minlength=size)
    return counts


def usage_utilization(counts: NDArray[Any]) -> float:
    """Compute the share of one level's codewords in use."""
    return float(np.count_nonzero(counts) / len(counts))


def code_usage(codes: ArrayLike, codebook_size: int | Sequence[int]) -> list[NDArray[np.int64]]:
    """Count how often each code occurs at each level.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    usage : list of ndarray of shape (codebook_size,), dtype=int64
        Number of samples with each code, one array per level; each sums to ``n_samples``.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    See Also
    --------
    code_utilization : Share of the codewords that occur at all.
    code_perplexity : How many equally used codewords the usage amounts to.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import code_usage
    >>> code_usage([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    [array([2, 2, 0, 0]), array([0, 0, 0, 4])]
    """
    return count_codes(*check_codes_and_size(codes, codebook_size))


def code_utilization(codes: ArrayLike, codebook_size: int | Sequence[int]) -> NDArray[np.float64]:
    """Compute the share of codewords in use at each level.

    A codeword counts as used when at least one sample has its code, so that the share depends on
    the number of samples: measure it on the whole catalog, and never on codes pooled over levels,
    where collapsed levels with different codes look healthy.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    utilization : ndarray of shape (n_layers,), dtype=float64
        Share of the level's codewords that occur, in (0, 1].

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    References
    ----------
    .. [1] Zhu, Y. et al. "Addressing representation collapse in vector quantized models with one
       linear layer". arXiv:2411.02038, 2024.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import code_utilization
    >>> code_utilization([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    array([0.5 , 0.25])
    """
    return np.array(
        [np.count_nonzero(counts) / len(counts) for counts in code_usage(codes, codebook_size)]
    )


def dead_codes(codes: ArrayLike, codebook_size: int | Sequence[int]) -> list[NDArray[np.intp]]:
    """List the codes that no sample has, at each level.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    dead : list of ndarray of shape (n_dead,), dtype=intp
        Unused codes of each level, ascending.

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    See Also
    --------
    code_utilization : Share of the codewords that do occur.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import dead_codes
    >>> dead_codes([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    [array([2, 3]), array([0, 1, 2])]
    """
    return [np.flatnonzero(counts == 0) for counts in code_usage(codes, codebook_size)]


def largest_bucket(codes: ArrayLike, codebook_size: int | Sequence[int]) -> NDArray[np.int64]:
    """Count the samples that have the most frequent code of each level.

    A level whose largest bucket holds most samples tells them hardly apart, even at full
    utilization.

    Parameters
    ----------
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebook_size : int or sequence of int of length n_layers
        Number of codewords, at all levels or at each.

    Returns
    -------
    largest : ndarray of shape (n_layers,), dtype=int64
        Number of samples, from ``ceil(n_samples / codebook_size)`` (all codes alike) to
        ``n_samples`` (collapsed level).

    Raises
    ------
    ValueError
        If `codes` is empty, isn't 2-dimensional, or has a value that isn't an integer in ``[0,
        codebook_size)``.

    References
    ----------
    .. [1] Kuai, Z. et al. "Breaking the hourglass phenomenon of residual quantization: enhancing
       the upper bound of generative retrieval". arXiv:2407.21488, 2024.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import largest_bucket
    >>> largest_bucket([[0, 3], [1, 3], [0, 3], [1, 3]], codebook_size=4)
    array([2, 4])
    """
    return np.array([counts.max() for counts in code_usage(codes, codebook_size)])
