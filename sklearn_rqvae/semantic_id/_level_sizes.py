"""How many codes each level of a catalog has, and the keys that this asks for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.exceptions import VocabularyError
from sklearn_rqvae.semantic_id._keys import MAX_CODEBOOK_SIZE, KeyLayout

__all__ = [
    "GrowthNeeded",
    "check_codebooks",
    "check_codewords",
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
    if len({array.shape[1] for array in arrays}) > 1:
        raise ValueError(
            f"codebooks have the shapes {[array.shape for array in arrays]}; give codewords of one "
            "length at all levels, or no codebooks."
        )
    for level, array in enumerate(arrays):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(
                f"the codebook of level {level} is of {array.dtype}, or has NaN or infinity; give "
                "finite numbers, as in codebooks_ of a fitted estimator."
            )
    return arrays


def check_codewords(
    columns: Sequence[NDArray[Any]], codebooks: Sequence[NDArray[Any]] | None
) -> None:
    """Refuse codes without a codeword, where codewords are known."""
    for level, (column, codebook) in enumerate(zip(columns, codebooks or (), strict=False)):
        largest = int(column.max(initial=0))
        if largest >= len(codebook):
            raise ValueError(
                f"codes at level {level} have {largest}, but its codebook has {len(codebook)} "
                "codewords; pass codes and codebooks of the same model."
            )


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
        If `given` isn't as long as there are levels, has a number out of range or below that of
        the codewords, or a code is larger than what its level has.
    """
    n_levels = len(columns)
    if given is not None:
        sizes: list[Any] = [given] * n_levels if np.ndim(given) == 0 else list(given)  # type: ignore[arg-type]
        if len(sizes) != n_levels or not all(map(_is_size, sizes)):
            raise ValueError(
                f"codebook_sizes={given!r} should be one integer in [1, 2**32] or one for each of "
                f"the {n_levels} levels."
            )
        _check_covers(sizes, codebooks or ())
    elif codebooks is not None:
        sizes = [len(codebook) for codebook in codebooks]
    else:
        sizes = grown_sizes([1] * n_levels, columns)
    sizes = [int(size) for size in sizes]
    check_range(columns, sizes)
    check_codewords(columns, codebooks)
    return sizes


def _is_size(size: Any) -> bool:
    is_integer = isinstance(size, Integral) and not isinstance(size, bool)
    return is_integer and 1 <= size <= MAX_CODEBOOK_SIZE


def _check_covers(sizes: Sequence[int], codebooks: Sequence[NDArray[Any]]) -> None:
    """Refuse sizes that leave codewords without a code: items move to IDs of any codeword."""
    for level, (size, codebook) in enumerate(zip(sizes, codebooks, strict=False)):
        if size < len(codebook):
            raise ValueError(
                f"codebook_sizes has {size} for level {level}, whose codebook has {len(codebook)} "
                "codewords; give as many or more, or leave codebook_sizes out."
            )


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
