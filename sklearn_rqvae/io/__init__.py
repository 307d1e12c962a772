"""Streams of rows: batches from anywhere, and directories of Parquet files.

Everything here takes as much memory for a billion rows as for a million. Parquet files need the
extra ``[arrow]``.
"""

from sklearn_rqvae.io._batches import transform_batches
from sklearn_rqvae.io._parquet import fit_parquet, parquet_array, transform_parquet

__all__ = ["fit_parquet", "parquet_array", "transform_batches", "transform_parquet"]
