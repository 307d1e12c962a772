"""Data whose true codes are known: blobs within blobs within blobs."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.utils import check_random_state

from sklearn_rqvae._validation import check_codebook_size

__all__ = ["make_residual_blobs"]

# Candidates per codeword among which codewords are chosen far apart.
_CANDIDATES = 8


@overload
def make_residual_blobs(
    n_samples: int = ...,
    n_features: int = ...,
    *,
    n_layers: int = ...,
    codebook_size: int | Sequence[int] = ...,
    spread: float = ...,
    noise: float = ...,
    return_codebooks: Literal[False] = ...,
    random_state: Any = ...,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...


@overload
def make_residual_blobs(
    n_samples: int = ...,
    n_features: int = ...,
    *,
    n_layers: int = ...,
    codebook_size: int | Sequence[int] = ...,
    spread: float = ...,
    noise: float = ...,
    return_codebooks: Literal[True],
    random_state: Any = ...,
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[NDArray[np.float64]]]: ...


def make_residual_blobs(
    n_samples: int = 1000,
    n_features: int = 16,
    *,
    n_layers: int = 3,
    codebook_size: int | Sequence[int] = 8,
    spread: float = 0.3,
    noise: float = 0.1,
    return_codebooks: bool = False,
    random_state: Any = None,
) -> Any:
    r"""Generate samples that are sums of one codeword per level, with known codes.

    Each sample draws a code :math:`c_l` at every level, all codes being equally likely, and is
    :math:`x = \sum_l e^l_{c_l} + \varepsilon` with Gaussian noise :math:`\varepsilon`. The
    codewords of a level are so much smaller than the distances within the level above that
    quantizing the residuals greedily, level by level, finds the codes again.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples.
    n_features : int, default=16
        Number of features.
    n_layers : int, default=3
        Number of levels.
    codebook_size : int or sequence of int, default=8
        Number of codewords, at all levels or at each.
    spread : float, default=0.3
        Largest norm of a level's codewords, in units of half the smallest distance between two
        codewords of the level above. Below 0.5 the nearest codeword is the right one at every
        level, as long as there is no noise; the larger, the more the blobs overlap.
    noise : float, default=0.1
        Root mean square norm of the noise, in units of half the smallest distance between two
        codewords of the last level.
    return_codebooks : bool, default=False
        Whether to return the codebooks too.
    random_state : int, RandomState instance or None, default=None
        Determines codewords, codes and noise.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Samples. The codewords of level 0 have a mean square of 1 per feature.
    codes : ndarray of shape (n_samples, n_layers), dtype=int64
        Code of each sample at each level, in ``[0, codebook_size)``.
    codebooks : list of ndarray of shape (codebook_size, n_features)
        Codewords of each level, centered at zero. Only returned if `return_codebooks` is true.

    Raises
    ------
    ValueError
        If a size isn't a positive integer, `spread` isn't positive, or `noise` is negative.

    Examples
    --------
    >>> from sklearn_rqvae.datasets import make_residual_blobs
    >>> X, codes = make_residual_blobs(n_samples=200, n_layers=2, codebook_size=4, random_state=0)
    >>> X.shape, codes.shape
    ((200, 16), (200, 2))
    """
    for name, value in (
        ("n_samples", n_samples),
        ("n_features", n_features),
        ("n_layers", n_layers),
    ):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r} should be a positive integer.")
    if not isinstance(spread, Real) or not 0 < spread < np.inf:
        raise ValueError(
            f"spread={spread!r} should be a positive number; below 0.5 separates the blobs."
        )
    if not isinstance(noise, Real) or not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise!r} should be a number >= 0.")
    sizes = check_codebook_size(codebook_size, n_layers)
    rng = check_random_state(random_state)

    codebooks = []
    half_distance = 0.0
    for level, size in enumerate(sizes):
        codebook = _separated_codewords(size, n_features, rng)
        if level == 0:
            rms = np.sqrt(np.mean(codebook**2))
            codebook /= rms if rms > 0 else 1.0
        else:
            largest = np.linalg.norm(codebook, axis=1).max()
            codebook *= spread * half_distance / largest if largest > 0 else 0.0
        # A level of one codeword splits nothing: its blob is as wide as that of the level above.
        half_distance = _smallest_distance(codebook) / 2 if size > 1 else half_distance or 1.0
        codebooks.append(codebook)

    codes = np.column_stack([rng.randint(size, size=n_samples) for size in sizes]).astype(np.int64)
    X = rng.normal(scale=noise * half_distance / np.sqrt(n_features), size=(n_samples, n_features))
    for level, codebook in enumerate(codebooks):
        X += codebook[codes[:, level]]
    return (X, codes, codebooks) if return_codebooks else (X, codes)


def _separated_codewords(
    size: int, n_features: int, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """Draw Gaussian candidates and keep those farthest from each other, centered at zero."""
    candidates = rng.normal(size=(_CANDIDATES * size, n_features))
    chosen = [0]
    distance = np.linalg.norm(candidates - candidates[0], axis=1)
    for _ in range(size - 1):
        chosen.append(int(distance.argmax()))
        np.minimum(
            distance, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1), out=distance
        )
    codebook = candidates[rng.permutation(chosen)]
    return codebook - codebook.mean(axis=0)


def _smallest_distance(codebook: NDArray[np.float64]) -> float:
    """Return the smallest Euclidean distance between two rows."""
    return float(pdist(codebook).min())
