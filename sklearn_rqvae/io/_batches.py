"""Codes for a stream of batches: what every engine's map calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sklearn.base import BaseEstimator

from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._vectors import batch_vectors, list_column

__all__ = ["transform_batches"]


def transform_batches(
    estimator: BaseEstimator,
    batches: Iterable[Any],
    *,
    id_column: str | None = None,
    vector_column: str | None = None,
) -> Iterator[Any]:
    """Yield the semantic IDs of one batch of rows after the other.

    With `vector_column` batches are Arrow tables or record batches, and so are the results: this is
    the function to map over the partitions of a distributed table.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer whose codes are integers.
    batches : iterable of array-like of shape (n_rows, n_features), or of Arrow tables
        Item vectors; one batch is in memory at a time.
    id_column : str, optional
        Column of the Arrow batches to pass on with the codes.
    vector_column : str, optional
        Column of the Arrow batches that holds the vectors.

    Yields
    ------
    codes : ndarray of shape (n_rows, n_layers), or Arrow batch
        Codes of a batch; from Arrow batches those of the same kind, with the column `id_column`, if
        given, and a column ``semantic_id`` of lists.

    Raises
    ------
    TypeError
        If `vector_column` holds no lists of numbers.
    ValueError
        If an Arrow batch has no such column, or a vector is missing or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae import RQVAETransformer
    >>> from sklearn_rqvae.io import transform_batches
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> rq = RQVAETransformer(codebook_size=4, random_state=0).fit(X)
    >>> [codes.shape for codes in transform_batches(rq, [X[:60], X[60:]])]
    [(60, 3), (40, 3)]
    """
    if id_column == "semantic_id":
        raise ValueError(
            f"id_column={id_column!r} is the name that the column of codes gets; rename that "
            "column, or pass on another one."
        )
    for number, batch in enumerate(batches):
        if vector_column is None:
            yield estimator.transform(batch)
            continue
        pa = import_pyarrow()
        if id_column is not None and id_column not in batch.schema.names:
            raise ValueError(
                f"batch {number} has no column {id_column!r}; it has "
                f"{', '.join(map(repr, batch.schema.names))}."
            )
        vectors = batch_vectors(batch, vector_column, f"batch {number}")
        found = {} if id_column is None else {id_column: batch.column(id_column)}
        found["semantic_id"] = list_column(estimator.transform(vectors))
        kind = pa.Table if isinstance(batch, pa.Table) else pa.RecordBatch
        yield kind.from_arrays(list(found.values()), names=list(found))
