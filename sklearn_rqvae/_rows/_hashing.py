"""Equal rows of real vectors, by hashing and an exact check."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._rows._chunks import row_chunks

__all__ = ["duplicate_groups", "hash_rows"]

_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def duplicate_groups(X: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the distinct rows of `X`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows; 0.0 and -0.0 are equal.

    Returns
    -------
    first : ndarray of shape (n_distinct,)
        Position of one row of each group.
    group : ndarray of shape (n_samples,)
        Group of each row, so that ``X[first[group]]`` equals `X`.
    """
    X = np.asarray(X)
    if X.dtype.itemsize not in _WORD:
        X = X.astype(np.float64)
    key = hash_rows(X)
    order = np.argsort(key, kind="stable")
    starts = np.concatenate(([True], key[order[1:]] != key[order[:-1]]))
    run = np.cumsum(starts)
    same_hash = np.flatnonzero(~starts)
    for rows in row_chunks(len(same_hash), X.shape[1] * X.dtype.itemsize):
        later = same_hash[rows]
        starts[later] = (X[order[later]] != X[order[later - 1]]).any(axis=1)
    unlike = run[same_hash[starts[same_hash]]]
    if len(unlike) > 0:  # unequal rows of one hash: sort these rows whole
        mixed = np.isin(run, unlike)
        members = order[mixed]
        rank = np.unique(X[members], axis=0, return_inverse=True)[1].reshape(-1)
        inner = np.lexsort((rank, run[mixed]))
        order[mixed] = members[inner]
        starts[mixed] = np.diff(rank[inner], prepend=-1) != 0
    group = np.empty(len(X), dtype=np.intp)
    group[order] = np.cumsum(starts) - 1
    return order[starts], group


def hash_rows(X: NDArray[Any]) -> NDArray[np.uint64]:
    """Hash each row to 64 bits: a sum of products with fixed random odd numbers, then mixed.

    The sum is nearly universal [1]_; the mixing makes the leading bits depend on all others, so
    that rows in the order of their hashes are in a random order. Equal numbers of one type have
    equal hashes, 0.0 and -0.0 among them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows of numbers of 1, 2, 4 or 8 bytes.

    Returns
    -------
    key : ndarray of shape (n_samples,), dtype=uint64
        The hashes.

    References
    ----------
    .. [1] Carter, J. L. and Wegman, M. N. "Universal classes of hash functions". J. Comput. Syst.
       Sci. 18(2), 1979.
    """
    factors = np.random.default_rng(0).integers(0, 2**63, X.shape[1], dtype=np.uint64)
    factors = factors * np.uint64(2) + np.uint64(1)
    key = np.empty(len(X), dtype=np.uint64)
    for rows in row_chunks(len(X), 8 * X.shape[1]):
        chunk = np.ascontiguousarray(X[rows])
        if chunk.dtype.kind == "f":
            chunk = chunk + chunk.dtype.type(0)  # no -0.0: equal numbers have equal words
        words = chunk.view(_WORD[chunk.dtype.itemsize]).astype(np.uint64)
        # Round numbers end in zero bits, which a product keeps: fold the leading bits onto them.
        words ^= words >> np.uint64(5 * chunk.dtype.itemsize)
        key[rows] = np.einsum("ij,j->i", words, factors)  # matmul of integers is ten times slower
    key ^= key >> np.uint64(32)
    key *= np.uint64(0x9E3779B97F4A7C15)
    key ^= key >> np.uint64(29)
    return key
