"""A digest of a table in its Parquet file: the footer, which has no checksum, can't change it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sklearn_rqvae._compat import import_pyarrow

__all__ = ["DIGEST", "table_digest"]

# Key of the digest in a file's metadata.
DIGEST = b"sklearn_rqvae_digest"


def table_digest(table: Any) -> bytes:
    """Return the SHA-256 of names, values and metadata of an Arrow table, however it is chunked.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of numbers, texts, bytes, and lists of them; others count as Python writes them. The
        digest in the metadata doesn't count.

    Returns
    -------
    digest : bytes
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != DIGEST}
    for key in sorted(metadata):
        _add(digest, key, metadata[key])
    for place, name in enumerate(table.column_names):
        _add(digest, name.encode())
        _add_column(digest, table.column(place).combine_chunks())
    return digest.hexdigest().encode()


def _add(digest: Any, *parts: bytes) -> None:
    """Add parts with their lengths, so that no two run together."""
    for part in parts:
        digest.update(b"%d\n" % len(part))
        digest.update(part)


def _add_column(digest: Any, column: Any) -> None:
    pa = import_pyarrow()
    kind = column.type
    if hasattr(column, "chunks"):  # as pyarrow leaves those of one chunk, or too large for one
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = column.value_lengths().fill_null(-1)
        _add(digest, b"list", _bytes_of(lengths, np.int64))
        _add_column(digest, column.flatten())
    elif (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        wide = np.float64 if pa.types.is_floating(kind) else np.int64
        _add(digest, wide.__name__.encode(), _bytes_of(column, wide))
    else:
        values = column.to_pylist()
        texts = [value if isinstance(value, str) else repr(value) for value in values]
        kinds = bytes(isinstance(value, str) for value in values)
        lengths = np.array([len(text) for text in texts], dtype="<i8")
        _add(digest, b"values", kinds, lengths.tobytes(), "".join(texts).encode("utf-8"))


def _bytes_of(column: Any, dtype: type) -> bytes:
    """Return numbers in one type and order of bytes: files keep few values in narrower types."""
    numbers = column.to_numpy(zero_copy_only=False)
    return bytes(numbers.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
