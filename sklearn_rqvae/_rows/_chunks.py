"""Walk through many rows in little memory."""

from collections.abc import Iterator

__all__ = ["row_chunks"]

# Small enough for a chunk and its float64 copy to stay in a core's cache.
_CHUNK_BYTES = 1 << 19


def row_chunks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut `n_rows` rows into slices of about half a megabyte."""
    step = max(1, _CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
