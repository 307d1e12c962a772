"""Rows of a matrix that may be larger than memory, read, checked and cast a block at a time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from sklearn_rqvae._rows._no_vectors import no_vectors_as_error
from sklearn_rqvae._validation import as_array

__all__ = ["RowSource", "blocks_of", "is_wide", "validated_rows", "validated_weight"]

# Numbers in a block: small beside any matrix that is worth cutting up, large beside what cutting
# costs.
_BLOCK_FLOATS = 2**20
# Blocks are a multiple of this many rows, so that whole steps of inference fit in.
_BLOCK_MULTIPLE = 256
# Threads that share the memory of one block; more of them take more.
_MOST_SHARES = 4
# Rows gathered from a memory map before its pages are given back. Each may bring 64 KiB with it,
# since the kernel maps neighboring pages that it has cached.
_GATHERED_ROWS = 256


class RowSource:
    """Rows of an array that is never copied or cast as a whole.

    Parameters
    ----------
    array : ndarray of shape (n_samples, n_features)
        Numbers, possibly a memory map.
    estimator : estimator, optional
        Named in error messages about the rows. None if they have been checked.

    Attributes
    ----------
    origin : ndarray of shape (n_features,), dtype=float64, or None
        Point that is subtracted from the rows before they are cast to float32, so that rows far
        from zero stay apart. None at first.
    """

    # Whether the rows lie elsewhere: in `_shards`, functions come to them.
    is_sharded = False
    distinct: Callable[..., Any]
    gathered: Callable[..., RowSource]
    map: Callable[..., list[Any]]

    def __init__(self, array: NDArray[Any], estimator: Any = None):
        self.array = np.asarray(array)
        self.estimator = estimator
        self.origin: NDArray[np.float64] | None = None
        self._mapping = _shared_mapping(array)

    @property
    def is_wide(self) -> bool:
        """Whether the numbers may have more digits than float32 holds."""
        return is_wide(self.array.dtype)

    def __len__(self) -> int:
        return len(self.array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and of features."""
        return self.array.shape

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield consecutive blocks of rows, checked and in float32.

        Yields
        ------
        rows : slice
            Position of the block.
        block : ndarray of shape (n_rows, n_features), dtype=float32
            Its rows, C-contiguous. Not to be written to: it may be the array itself.

        Raises
        ------
        ValueError
            If a row holds NaN, infinity, or what is too large for float32.
        """
        for rows in blocks_of(len(self), self.shape[1]):
            yield rows, self.read(rows)
            self.give_back()

    def read(self, rows: slice) -> NDArray[np.float32]:
        """Return consecutive rows as `blocks` does."""
        block = self.array[rows]
        if self.origin is None:
            return self._checked(block, np.float32)
        return self._checked(self._checked(block, np.float64) - self.origin, np.float32)

    def read_wide(self, rows: slice) -> NDArray[np.float64]:
        """Return consecutive rows as `blocks` does, but in float64."""
        block = self._checked(self.array[rows], np.float64)
        return block if self.origin is None else block - self.origin

    def wide_blocks(
        self, sample_weight: NDArray[np.float64] | None
    ) -> Iterator[NDArray[np.float64]]:
        """Yield the rows with a positive weight in float64."""
        for rows in blocks_of(len(self), self.shape[1]):
            block = self.read_wide(rows)
            block = block if sample_weight is None else block[sample_weight[rows] > 0]
            if len(block):
                yield block
            self.give_back()

    def _checked(self, block: NDArray[Any], dtype: type) -> NDArray[Any]:
        """Return rows in another type, checked unless they have been."""
        with np.errstate(over="ignore", invalid="ignore"):
            rows: NDArray[Any] = np.ascontiguousarray(block, dtype=dtype)
            if self.estimator is None or np.isfinite(rows.sum()):
                return rows
        # Says what is wrong, unless it is only the sum that isn't finite.
        return check_array(block, dtype=dtype, order="C", estimator=self.estimator, input_name="X")

    def take(self, index: NDArray[np.intp], dtype: type = np.float32) -> NDArray[Any]:
        """Return the rows at some positions, in float32 or float64 but not checked."""
        if self._mapping is None:
            return self._moved(self.array[index]).astype(dtype, copy=False)
        gathered: NDArray[Any] = np.empty((len(index), self.shape[1]), dtype=dtype)
        forward = np.argsort(index, kind="stable")  # disks read forward
        for start in range(0, len(index), _GATHERED_ROWS):
            part = forward[start : start + _GATHERED_ROWS]
            gathered[part] = self._moved(self.array[index[part]])
            self.give_back()
        return gathered

    def _moved(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows if self.origin is None else rows.astype(np.float64) - self.origin

    def give_back(self) -> None:
        """Drop a memory map's pages from this process; the file, or its cache, still has them."""
        if self._mapping is not None:
            self._mapping.madvise(mmap.MADV_DONTNEED)


def validated_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> RowSource:
    """Check what can be told without reading the rows, and leave the rest to the blocks.

    An array of numbers stays where it is. Anything else, or what fits into one block, is checked
    whole.

    Parameters
    ----------
    estimator : estimator
        Whose number and names of features are set or compared.
    X : array-like of shape (n_samples, n_features)
        Rows.
    reset : bool
        Whether to set the number and names of features, as `fit` does.

    Returns
    -------
    source : RowSource
        The rows.

    Raises
    ------
    TypeError
        If `X` is sparse.
    ValueError
        If `X` is no matrix, holds texts, is empty, has another number of features, or, where it was
        checked whole, isn't finite.
    """
    in_place = (
        type(X) in (np.ndarray, np.memmap)
        and X.ndim == 2
        and X.dtype.kind in "fiub"
        and X.shape[1] > 0
    )
    if in_place and len(X) > _block_rows(X.shape[1]):
        validate_data(estimator, X[:1], dtype=np.float32, order="C", reset=reset)
        return RowSource(X, estimator)
    if not reset and in_place and _is_plain(X, estimator):
        return RowSource(X)
    with no_vectors_as_error(X, estimator):
        X = validate_data(estimator, X, dtype=[np.float64, np.float32], order="C", reset=reset)
    return RowSource(X, None if X.dtype == np.float32 else estimator)


def _is_plain(X: NDArray[Any], estimator: BaseEstimator) -> bool:
    """Whether rows are such that scikit-learn's checks, a tenth of a millisecond, find nothing.

    It checks what isn't plain, to say what is wrong or to convert it.
    """
    if X.dtype != np.float32 or not X.flags.c_contiguous or len(X) == 0:
        return False
    if hasattr(estimator, "feature_names_in_") or X.shape[1] != estimator.n_features_in_:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def validated_weight(
    sample_weight: ArrayLike | None, source: RowSource
) -> NDArray[np.float64] | None:
    """Check the weights of rows; None, for equal ones, stays None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        Weights.
    source : RowSource
        The rows.

    Returns
    -------
    weight : ndarray of shape (n_samples,), dtype=float64, or None
        The weights: finite, non-negative and not all zero.

    Raises
    ------
    ValueError
        If they are not.
    """
    if sample_weight is None:
        return None
    weight = _check_sample_weight(
        as_array(sample_weight), source.array, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():  # newer versions of scikit-learn say so themselves
        raise ValueError(
            "sample_weight is zero for all rows; give at least one of them a positive weight."
        )
    return weight


def is_wide(dtype: np.dtype) -> bool:
    """Whether numbers of a type may have more digits than float32 holds: integers of 32 bits do."""
    return dtype.itemsize >= (8 if dtype.kind == "f" else 4)


def blocks_of(n_samples: int, n_features: int, n_threads: int = 1) -> Iterator[slice]:
    """Yield the consecutive blocks that rows of this length are handled in.

    Several threads get smaller blocks, equally many each.
    """
    size = _block_rows(n_features)
    if n_threads > 1:
        size = max(size // min(n_threads, _MOST_SHARES), 1)
        n_rounds = -(-n_samples // (size * n_threads))
        size = -(-n_samples // (n_rounds * n_threads))
        size += -size % _BLOCK_MULTIPLE
    for start in range(0, n_samples, size):
        yield slice(start, min(start + size, n_samples))


def _block_rows(n_features: int) -> int:
    n_rows = _BLOCK_FLOATS // n_features
    return max(n_rows - n_rows % _BLOCK_MULTIPLE, _BLOCK_MULTIPLE)


def _shared_mapping(array: Any) -> mmap.mmap | None:
    """Return the map of a file behind an array, if dropping its pages loses nothing.

    A map in the mode "c" has its changes nowhere else: it is left alone, and so is a map that isn't
    numpy's, of which the mode can't be told.
    """
    shared = False
    while array is not None:
        if isinstance(array, mmap.mmap):
            return array if shared and hasattr(mmap, "MADV_DONTNEED") else None
        if isinstance(array, np.memmap):
            shared = array.mode in ("r", "r+", "w+")
        array = getattr(array, "base", None)
    return None
