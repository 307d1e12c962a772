"""From a directory of Parquet files to a fitted model, and to a directory of semantic IDs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._distinct_rows import Reservoir
from sklearn_rqvae._files import replace_file
from sklearn_rqvae._optional import import_pyarrow
from sklearn_rqvae.io._arrow import codes_column, vectors_of

__all__ = ["fit_parquet", "transform_parquet"]

# Key of what an output file says of its origin.
_ORIGIN = b"sklearn_rqvae"
# Bytes of a column read at a time.
_BUFFER_BYTES = 2**20


class TransformedFiles(NamedTuple):
    """What `transform_parquet` did: files and rows written, and files found complete."""

    n_files: int
    n_rows: int
    n_skipped: int


def transform_parquet(
    estimator: Any,
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    id_column: str,
    vector_column: str,
    batch_size: int = 16384,
) -> TransformedFiles:
    """Write the semantic IDs of the items in a directory of Parquet files to another directory.

    Each file becomes one of the same name, with the column `id_column` and a column
    ``semantic_id`` of lists. It is written under a hidden name and renamed when complete: after a
    crash call the function again, and it goes on with the first file that isn't there. A file that
    has changed since is transformed anew. One process may write to a directory at a time; give
    several machines different directories.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer whose codes are integers.
    src : str or path-like
        Directory of ``.parquet`` files, also in directories below, or a single file.
    dst : str or path-like
        Directory to write to; it is created. Files of another model in it are an error.
    id_column : str
        Column to pass on.
    vector_column : str
        Column of the vectors: lists of numbers, of fixed size or not.
    batch_size : int, default=16384
        Rows in memory at a time.

    Returns
    -------
    done : TransformedFiles
        Numbers of files and rows written, ``n_files`` and ``n_rows``, and of files that were
        complete already, ``n_skipped``.

    Raises
    ------
    FileNotFoundError
        If there are no Parquet files.
    ImportError
        If pyarrow isn't installed.
    TypeError
        If `vector_column` holds no lists of numbers.
    ValueError
        If a column or a vector is missing, a vector isn't finite or has another length than those
        that the estimator was fitted on, or `dst` holds files of another model.
    """
    check_is_fitted(estimator)
    pa = import_pyarrow()
    src, dst = Path(src), Path(dst)
    if dst.exists() and src.exists() and src.resolve() == dst.resolve():
        raise ValueError(
            f"src and dst are the same directory, {dst}; give another one to write to."
        )
    model = joblib.hash(estimator)
    n_files = n_rows = n_skipped = 0
    for path, name in _files(src):
        target = dst / name
        stat = path.stat()
        origin = {
            "model": model,
            "columns": [id_column, vector_column],
            "bytes": stat.st_size,
            "modified": stat.st_mtime_ns,
        }
        if target.exists() and _is_complete(target, origin):
            n_skipped += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        n_rows += _transform_file(pa, estimator, path, target, origin, batch_size)
        n_files += 1
    return TransformedFiles(n_files, n_rows, n_skipped)


def fit_parquet(
    estimator: Any,
    src: str | os.PathLike[str],
    *,
    vector_column: str,
    weight_column: str | None = None,
    batch_size: int = 16384,
) -> Any:
    """Fit an estimator to the vectors in a directory of Parquet files, whatever their number.

    The result is that of ``fit`` on all rows in one array: the files are read once, and no more
    rows are kept than ``fit`` would use.

    Parameters
    ----------
    estimator : RQVAETransformer or ResidualKMeans
        The estimator to fit.
    src : str or path-like
        Directory of ``.parquet`` files, also in directories below, or a single file.
    vector_column : str
        Column of the vectors: lists of numbers, of fixed size or not.
    weight_column : str, optional
        Column of non-negative weights of the rows.
    batch_size : int, default=16384
        Rows read at a time.

    Returns
    -------
    estimator : RQVAETransformer or ResidualKMeans
        The estimator, fitted.

    Raises
    ------
    FileNotFoundError
        If there are no Parquet files.
    ImportError
        If pyarrow isn't installed.
    TypeError
        If `vector_column` holds no lists of numbers, or the estimator is another one.
    ValueError
        If a column, a vector or a weight is missing, a vector isn't finite, vectors differ in
        length, or weights are negative or all zero.
    """
    if not hasattr(estimator, "_max_training_rows"):
        raise TypeError(
            f"fit_parquet fits RQVAETransformer and ResidualKMeans, not "
            f"{type(estimator).__name__}; transform the vectors first if they need it."
        )
    import_pyarrow()
    reservoir = None
    for path, _ in _files(Path(src)):
        columns = [vector_column] if weight_column is None else [vector_column, weight_column]
        for first_row, batch in _batches(path, columns, batch_size):
            vectors = vectors_of(batch.column(vector_column), vector_column, str(path), first_row)
            if reservoir is None:
                n_features = vectors.shape[1]
                reservoir = Reservoir(estimator._max_training_rows(n_features))
            _check_length(vectors, n_features, path)
            weight = None
            if weight_column is not None:
                weight = _weights_of(batch.column(weight_column), weight_column, path, first_row)
            reservoir.add(np.ascontiguousarray(vectors, dtype=np.float32), weight)
    if reservoir is None:
        raise ValueError(f"the Parquet files in {src} hold no rows.")
    rows, weight = reservoir.merge()
    if not len(rows):
        raise ValueError(
            f"the weights in column {weight_column!r} of {src} are all zero; at least one row "
            "needs a positive weight."
        )
    return estimator.fit(rows, sample_weight=weight)


def _files(src: Path) -> list[tuple[Path, Path]]:
    """Return paths of the Parquet files, and their names below the directory; hidden ones aside."""
    if src.is_file():
        return [(src, Path(src.name))]
    names = sorted(path.relative_to(src) for path in src.rglob("*.parquet") if path.is_file())
    found = [
        (src / name, name)
        for name in names
        if not any(part.startswith((".", "_")) for part in name.parts)
    ]
    if not found:
        raise FileNotFoundError(f"{src} is no directory with .parquet files.")
    return found


def _batches(path: Path, columns: list[str], batch_size: int) -> Iterator[tuple[int, Any]]:
    """Yield record batches and the numbers of their first rows."""
    parquet = import_pyarrow().parquet
    with parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        names = file.schema_arrow.names
        for column in columns:
            if column not in names:
                raise ValueError(
                    f"{path} has no column {column!r}; it has {', '.join(map(repr, names))}."
                )
        first_row = 0
        for batch in file.iter_batches(batch_size, columns=columns, use_threads=False):
            if batch.num_rows:
                yield first_row, batch
            first_row += batch.num_rows


def _transform_file(
    pa: Any, estimator: Any, path: Path, target: Path, origin: dict[str, Any], batch_size: int
) -> int:
    """Transform one file and return its number of rows."""
    id_column, vector_column = origin["columns"]
    with pa.parquet.ParquetFile(path) as file:
        names = file.schema_arrow
        id_type = names.field(id_column).type if id_column in names.names else pa.null()
    schema = pa.schema(
        [(id_column, id_type), ("semantic_id", pa.list_(pa.int64()))],
        metadata={_ORIGIN: json.dumps(origin)},
    )
    n_rows = 0
    with (
        replace_file(target, draft=target.with_name(f".{target.name}.part")) as file,
        pa.parquet.ParquetWriter(file, schema) as writer,
    ):
        for first_row, batch in _batches(path, [id_column, vector_column], batch_size):
            vectors = vectors_of(batch.column(vector_column), vector_column, str(path), first_row)
            _check_length(vectors, estimator.n_features_in_, path)
            codes = codes_column(estimator.transform(vectors))
            writer.write_batch(
                pa.RecordBatch.from_arrays([batch.column(id_column), codes], schema=schema)
            )
            n_rows += len(vectors)
    return n_rows


def _is_complete(target: Path, origin: dict[str, Any]) -> bool:
    """Whether a file holds the codes of this source; those of another model are an error."""
    pa = import_pyarrow()
    try:
        metadata = pa.parquet.read_schema(target).metadata or {}
    except pa.ArrowInvalid as error:
        raise ValueError(f"{target} is no Parquet file ({error}); remove it.") from error
    found = json.loads(metadata.get(_ORIGIN, b"{}"))
    for part, what in (("model", "model"), ("columns", "columns")):
        if found.get(part) != origin[part]:
            raise ValueError(
                f"{target} wasn't written with this {what}; give another directory, or remove its "
                "files to write them anew."
            )
    return found == origin


def _check_length(vectors: NDArray[Any], n_features: int, path: Path) -> None:
    if vectors.shape[1] != n_features:
        raise ValueError(
            f"vectors in {path} have length {vectors.shape[1]}, but {n_features} was expected from "
            "the files before it or the fit."
        )


def _weights_of(column: Any, name: str, path: Path, first_row: int) -> NDArray[np.float64]:
    weight = column.to_numpy(zero_copy_only=False).astype(np.float64)
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"row {first_row + row} of {path} has the weight {weight[row]} in column {name!r}; "
            "weights should be non-negative numbers."
        )
    return weight
