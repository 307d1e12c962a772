"""Equal rows and equal prefixes of integer rows, by one sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def columns_of(codes: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the levels of `codes` as a list of columns."""
    return [codes[:, level] for level in range(codes.shape[1])]


def sort_order(columns: Sequence[NDArray[Any]]) -> NDArray[np.intp]:
    """Return the stable order that sorts the rows lexicographically, first column first."""
    words, _ = _pack(columns)
    return np.argsort(words[0], kind="stable") if len(words) == 1 else np.lexsort(words[::-1])


def first_difference(columns: Sequence[NDArray[Any]]) -> NDArray[np.uint16]:
    """Sort the rows and return the first column in which each row differs from the next one.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n_rows,)
        Non-negative integers.

    Returns
    -------
    first : ndarray of shape (n_rows - 1,), dtype=uint16
        Entry i compares sorted rows i and i + 1; ``len(columns)`` where they are equal. A run of
        rows that share their first k columns ends where ``first < k``.
    """
    words, layout = _pack(columns)
    if len(words) == 1:
        words[0].sort()
    else:
        order = np.lexsort(words[::-1])
        words = [word[order] for word in words]
    first = np.zeros(len(words[0]) - 1, dtype=np.uint16)
    equal_so_far: NDArray[np.bool_] | bool = True
    for word, shifts in zip(words, layout, strict=True):
        change = word[1:] ^ word[:-1]
        for shift in shifts:
            # Columns above the shift agree exactly when no bit at or above it has changed.
            first += equal_so_far & (change < np.uint64(1 << shift) if shift else change == 0)
        if len(words) > 1:
            equal_so_far = equal_so_far & (change == 0)
    return first


def run_lengths(first: NDArray[np.uint16], n_columns: int) -> NDArray[np.int64]:
    """Count the rows behind each distinct prefix of `n_columns` columns, in sorted order."""
    ends = np.flatnonzero(first < n_columns)
    return np.diff(ends, prepend=-1, append=len(first)).astype(np.int64, copy=False)


def _pack(columns: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], list[list[int]]]:
    """Pack consecutive columns into integers of 32 or 64 bits, whose order is the rows' order.

    Returns the packed integers and, for each of them, the position of each column's lowest bit.
    """
    bits = [max(1, int(column.max()).bit_length()) for column in columns]
    groups: list[list[int]] = [[]]
    for column, width in enumerate(bits):
        if sum(bits[member] for member in groups[-1]) + width > 64:
            groups.append([])
        groups[-1].append(column)
    words, layout = [], []
    for group in groups:
        width = sum(bits[column] for column in group)
        dtype = np.uint32 if width <= 32 else np.uint64  # half the memory sorts in half the time
        word: NDArray[Any] = columns[group[0]].astype(dtype)
        for column in group[1:]:
            np.left_shift(word, dtype(bits[column]), out=word)
            np.bitwise_or(word, columns[column].astype(dtype), out=word)
        words.append(word)
        shifts, shift = [], width
        for column in group:
            shift -= bits[column]
            shifts.append(shift)
        layout.append(shifts)
    return words, layout
