"""How many codes each level of a catalog has, and the keys that this asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.exceptions import VocabularyError
from sklearn_rqvae.semantic_id._keys import MAX_CODEBOOK_SIZE, KeyLayout

__all__ = [
    "GrowthNeeded",
    "check_codebooks",
    "check_growth",
    "check_range",
    "decide_sizes",
    "grown_sizes",
    "layout_with_suffix",
]


class GrowthNeeded(VocabularyError):
    """Raised when new items need codes that no level has; `what` says which."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what}. Reserve room when the catalog is built, with suffix_size or codebook_sizes; "
            "or append with grow=True, and teach the generator the new tokens (add_tokens)."
        )


def check_growth(before: Sequence[int], after: Sequence[int]) -> None:
    """Refuse levels that have more codes than before."""
    for level, (old, new) in enumerate(zip(before, after, strict=True)):
        if new > old:
            raise GrowthNeeded(
                f"the new items need {new} codes at level {level}, which has {old}: a generator "
                f"trained on {tuple(before)} codes by level lacks tokens for the others"
            )


def check_codebooks(
    codebooks: Sequence[Any] | None, n_levels: int
) -> list[NDArray[np.floating]] | None:
    """Return codebooks as arrays, one per level; None stays None."""
    if codebooks is None:
        return None
    arrays = [np.array(as_array(codebook)) for codebook in codebooks]
    if len(arrays) != n_levels or any(array.ndim != 2 for array in arrays):
        raise ValueError(
            f"codebooks have the shapes {[array.shape for array in arrays]}, but codes have "
            f"{n_levels} columns; give one array (codebook_size, embed_dim) per level."
        )
    return arrays


def decide_sizes(
    given: int | Sequence[int] | None,
    codebooks: Sequence[NDArray[Any]] | None,
    columns: Sequence[NDArray[Any]],
) -> list[int]:
    """Return the number of codes at each level, and check the codes against it.

    Parameters
    ----------
    given : int, sequence of int or None
        Numbers that the user gave; None follows the codebooks or else the codes.
    codebooks : sequence of ndarray of shape (codebook_size, embed_dim), or None
        Codewords of each level.
    columns : sequence of ndarray of int of shape (n_items,)
        Codes at each level.

    Returns
    -------
    sizes : list of int of length n_levels
        Number of codes at each level.

    Raises
    ------
    ValueError
        If `given` isn't as long as there are levels, has a number out of range, or a code is
        larger than what its level has.
    """
    n_levels = len(columns)
    if given is not None:
        sizes = [int(given)] * n_levels if isinstance(given, (int, np.integer)) else list(given)
        if len(sizes) != n_levels or any(not 1 <= size <= MAX_CODEBOOK_SIZE for size in sizes):
            raise ValueError(
                f"codebook_sizes={given!r} should be one number in [1, 2**32] or one for each of "
                f"the {n_levels} levels."
            )
    elif codebooks is not None:
        sizes = [len(codebook) for codebook in codebooks]
    else:
        sizes = grown_sizes([1] * n_levels, columns)
    sizes = [int(size) for size in sizes]
    check_range(columns, sizes)
    return sizes


def grown_sizes(sizes: Sequence[int], columns: Sequence[NDArray[Any]]) -> list[int]:
    """Return sizes, enlarged where a code asks for it."""
    largest = (int(column.max(initial=0)) for column in columns)
    return [max(size, code + 1) for size, code in zip(sizes, largest, strict=True)]


def check_range(columns: Sequence[NDArray[Any]], sizes: Sequence[int]) -> None:
    """Refuse codes that are larger than what their level has."""
    for level, (column, size) in enumerate(zip(columns, sizes, strict=True)):
        largest = int(column.max(initial=0))
        if largest >= MAX_CODEBOOK_SIZE:
            raise ValueError(f"codes at level {level} have {largest}, above 2**32 - 1.")
        if largest >= size:
            raise ValueError(
                f"codes at level {level} should be in [0, {size}), got {largest}; raise "
                "codebook_sizes, or pass codes of the same model."
            )


def layout_with_suffix(
    sizes: Sequence[int], suffix_size: int | None, largest_suffix: int
) -> KeyLayout:
    """Choose the bits of each level; the suffix gets what is left of 64, to grow."""
    used = sum(max(1, (size - 1).bit_length()) for size in sizes)
    left = min(32, 64 - used)
    if suffix_size is not None:
        field = suffix_size
    elif left >= max(8, largest_suffix.bit_length()):
        field = 2**left
    else:
        field = MAX_CODEBOOK_SIZE
    return KeyLayout([*sizes, field])
