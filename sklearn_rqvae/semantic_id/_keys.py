"""Semantic IDs as keys whose order is the order of the codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CODEBOOK_SIZE", "KeyLayout"]

MAX_CODEBOOK_SIZE = 2**32

# Keys up to which Python's integers cost less than arrays of so few.
_FEW = 4


class KeyLayout:
    """Pack the codes of an ID into one sortable key.

    The first level takes the highest bits, so that all IDs with a common prefix are neighbors in
    the order of keys: the sorted keys are the trie. Up to 64 bits a key is an unsigned integer,
    beyond that a string of bytes.

    Parameters
    ----------
    sizes : sequence of int
        Number of values of the code at each level.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(int(size) for size in sizes)
        bits = [max(1, (size - 1).bit_length()) for size in self.sizes]
        self.as_integer = sum(bits) <= 64
        if self.as_integer:
            self._shifts = [sum(bits[level + 1 :]) for level in range(len(bits))]
            self.dtype: np.dtype[Any] = np.dtype(np.uint64)
        else:
            self._bytes = [(b + 7) // 8 for b in bits]
            self.dtype = np.dtype(f"S{sum(self._bytes)}")
        self._bits = bits
        self.n_bits = sum(bits)

    def packs_like(self, other: KeyLayout) -> bool:
        """Tell whether every ID has the same key in both layouts."""
        if self.as_integer and other.as_integer:
            return self._bits == other._bits
        return not self.as_integer and not other.as_integer and self._bytes == other._bytes

    def pack(self, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Turn one array of codes per level, each of shape (n,), into keys of shape (n,)."""
        n = len(columns[0])
        if self.as_integer and n <= _FEW:
            key_of = self._key_of
            rows = zip(*[column.tolist() for column in columns], strict=True)
            return np.array([key_of(row) for row in rows], dtype=np.uint64)
        if self.as_integer:
            keys = np.zeros(n, dtype=np.uint64)
            for column, shift in zip(columns, self._shifts, strict=True):
                keys |= column.astype(np.uint64) << np.uint64(shift)
            return keys
        raw = np.zeros((n, self.dtype.itemsize), dtype=np.uint8)
        end = 0
        for column, width in zip(columns, self._bytes, strict=True):
            end += width
            rest = column.astype(np.uint64)
            for place in range(end - 1, end - width - 1, -1):
                raw[:, place] = rest & np.uint64(0xFF)
                rest >>= np.uint64(8)
        return raw.view(self.dtype).ravel()

    def _key_of(self, codes: Iterable[int]) -> int:
        """Return the key of the first codes of an ID, the others being 0."""
        key = 0
        for code, shift in zip(codes, self._shifts, strict=False):
            key |= code << shift
        return key

    def unpack(self, keys: NDArray[Any], n_levels: int | None = None) -> NDArray[np.int64]:
        """Turn keys of shape (n,) into codes of the first `n_levels` levels, by default all."""
        n_levels = len(self.sizes) if n_levels is None else n_levels
        if self.as_integer and len(keys) <= _FEW:
            places = list(zip(self._shifts[:n_levels], self._bits, strict=False))
            rows = [[k >> shift & (1 << bits) - 1 for shift, bits in places] for k in keys.tolist()]
            return np.array(rows, dtype=np.int64).reshape(len(rows), n_levels)
        codes = np.empty((len(keys), n_levels), dtype=np.int64)
        if self.as_integer:
            for level in range(n_levels):
                codes[:, level] = self.column(keys, level)
            return codes
        raw = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), self.dtype.itemsize)
        start = 0
        for level, width in enumerate(self._bytes[:n_levels]):
            value = np.zeros(len(keys), dtype=np.int64)
            for place in range(start, start + width):
                value = (value << 8) | raw[:, place]
            codes[:, level] = value
            start += width
        return codes

    def column(self, keys: NDArray[Any], level: int) -> NDArray[np.int64]:
        """Turn keys of shape (n,) into the codes of one level."""
        if self.as_integer:
            mask = np.uint64(2 ** self._bits[level] - 1)
            return ((keys >> np.uint64(self._shifts[level])) & mask).astype(np.int64)
        return self.unpack(keys)[:, level]

    def bounds(self, prefix: Sequence[int]) -> tuple[Any, Any]:
        """Return the lowest and the highest key that an ID with this prefix can have."""
        if self.as_integer:
            low = self._key_of(map(int, prefix))
            free_bits = sum(self._bits[len(prefix) :])
            return low, low | (2**free_bits - 1)
        head = b"".join(
            int(code).to_bytes(width, "big")
            for code, width in zip(prefix, self._bytes, strict=False)
        )
        # numpy drops zero bytes at the end when it hands out a key, so the bound goes without them
        # too.
        return head.rstrip(b"\0"), head + b"\xff" * (self.dtype.itemsize - len(head))

    def truncate(self, keys: NDArray[Any], n_levels: int) -> NDArray[Any]:
        """Set the codes behind the first `n_levels` to zero, in all keys."""
        if self.as_integer:
            free_bits = sum(self._bits[n_levels:])
            return keys & np.uint64((2**64 - 1) ^ (2**free_bits - 1))
        raw = keys.view(np.uint8).reshape(len(keys), self.dtype.itemsize).copy()
        raw[:, sum(self._bytes[:n_levels]) :] = 0
        return raw.view(self.dtype).ravel()
