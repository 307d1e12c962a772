"""From a directory of Parquet files to a fitted model, and to a directory of semantic IDs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._base import SemanticIDMixin
from sklearn_rqvae._compat import import_pyarrow
from sklearn_rqvae._files._parquet import opened_parquet, parquet_batches, part_files
from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._files._vectors import batch_vectors, list_column, vector_columns
from sklearn_rqvae._learning._collapse import has_few_ids, warn_of_few_ids
from sklearn_rqvae._learning._rows import file_rows
from sklearn_rqvae._rows._reservoir import Reservoir
from sklearn_rqvae._validation import check_codebook_size

__all__ = ["fit_parquet", "parquet_array", "planned_files", "transform_parquet"]

# Column of the codes in an output file.
_CODES_COLUMN = "semantic_id"
# Key of what an output file says of its origin.
_ORIGIN = b"sklearn_rqvae"


class TransformedFiles(NamedTuple):
    """What `transform_parquet` did: files and rows written, and files found complete."""

    n_files: int
    n_rows: int
    n_skipped: int


def transform_parquet(
    estimator: BaseEstimator,
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
        Directory to write to, outside `src`; it is created. Files of another model in it are an
        error: the metadata name the model, by its `fingerprint` where it is an estimator of this
        package. A model is the same after saving and loading, and after changes of parameters that
        its codes don't depend on, such as ``verbose``.
    id_column : str
        Column to pass on, of another name than ``semantic_id``.
    vector_column : str
        Column of the vectors: lists of numbers, of fixed size or not, or tensors of one shape; or
        the name before the numbers of columns ``<vector_column>_0``, ….
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
        If a file is damaged, a column or a vector is missing, a vector isn't finite in float32 or
        has another length than those that the estimator was fitted on, `dst` lies in `src` or holds
        files of another model, or `id_column` is ``"semantic_id"``.
    """
    check_is_fitted(estimator)
    pa = import_pyarrow()
    files = planned_files(src, dst, id_column)
    model = _codes_depend_on(estimator)
    if not isinstance(model, str):
        # Arrays that were loaded as memory maps are the same arrays.
        model = joblib.hash(model, coerce_mmap=True)
    n_files = n_rows = n_skipped = 0
    for path, target in files:
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
    estimator: BaseEstimator,
    src: str | os.PathLike[str],
    *,
    vector_column: str,
    weight_column: str | None = None,
    batch_size: int = 16384,
) -> Any:
    """Fit an estimator to the vectors in a directory of Parquet files, whatever their number.

    The files are read once, and no more rows are kept than ``fit`` would use. The result is that of
    ``fit`` on all rows in one array; in closed form, where that would make passes over more than
    256 MiB of distinct rows, whatever `subsample` is, it is that of ``fit`` on a sample of so many.

    Parameters
    ----------
    estimator : RQVAETransformer, ResidualKMeans or ProductQuantizer
        The estimator to fit.
    src : str or path-like
        Directory of ``.parquet`` files, also in directories below, or a single file.
    vector_column : str
        Column of the vectors: lists of numbers, of fixed size or not, or tensors of one shape; or
        the name before the numbers of columns ``<vector_column>_0``, ….
    weight_column : str, optional
        Column of non-negative weights of the rows.
    batch_size : int, default=16384
        Rows read at a time.

    Returns
    -------
    estimator : RQVAETransformer, ResidualKMeans or ProductQuantizer
        The estimator, fitted.

    Raises
    ------
    FileNotFoundError
        If there are no Parquet files.
    ImportError
        If pyarrow isn't installed.
    TypeError
        If `vector_column` holds no lists of numbers, `weight_column` holds no numbers, or the
        estimator is another one.
    ValueError
        If a file is damaged, a column, a vector or a weight is missing, a vector isn't finite in
        float32, vectors differ in length, or weights are negative or all zero.
    """
    if not isinstance(estimator, SemanticIDMixin):
        raise TypeError(
            f"fit_parquet fits RQVAETransformer, ResidualKMeans and ProductQuantizer, not "
            f"{type(estimator).__name__}; transform the vectors first if they need it."
        )
    import_pyarrow()
    reservoir = n_features = None
    n_rows = 0
    for path, _ in part_files(Path(src)):
        columns = _columns_of(path, vector_column)
        columns += [] if weight_column is None else [weight_column]
        for first_row, batch in parquet_batches(path, columns, batch_size):
            vectors = _vectors(batch, vector_column, path, first_row, n_features)
            if reservoir is None:
                n_features = vectors.shape[1]
                learner = estimator._learner()
                in_passes = min(learner.subsample, file_rows(n_features))
                reservoir = Reservoir(max(learner.max_rows(n_features), in_passes))
            n_rows += len(vectors)
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
    sizes = check_codebook_size(estimator.codebook_size, estimator.n_layers)
    if len(rows) == reservoir.max_rows and not has_few_ids(sizes, len(rows)):
        warn_of_few_ids(sizes, n_rows)  # of so many a fit to these rows knows nothing
    return estimator.fit(rows, sample_weight=weight)


def parquet_array(src: str | os.PathLike[str], *, vector_column: str) -> Any:
    """Return the vectors in a directory of Parquet files as a Dask array, a chunk for each file.

    Only names and numbers of rows are read here: each worker opens the files that it needs, so all
    machines have to see them under the same name, and a file's vectors have to fit into a worker.
    An estimator's ``fit`` takes the array, and its rows stay where they are read.

    Parameters
    ----------
    src : str or path-like
        Directory of ``.parquet`` files, also in directories below, or a single file.
    vector_column : str
        Column of the vectors: lists of numbers, of fixed size or not, or tensors of one shape; or
        the name before the numbers of columns ``<vector_column>_0``, ….

    Returns
    -------
    X : dask.array.Array of shape (n_samples, n_features), dtype=float32
        The vectors, in the order of the files' names.

    Raises
    ------
    FileNotFoundError
        If there are no Parquet files.
    ImportError
        If pyarrow or dask isn't installed.
    TypeError
        If `vector_column` holds no lists of numbers.
    ValueError
        If a file is damaged, or the files hold no rows. When a file is read: if a vector is
        missing, isn't finite in float32, or has another length than the first one.
    """
    import_pyarrow()
    da, delayed = _import_dask()
    n_features = 0
    parts: list[Any] = []
    for path, _ in part_files(Path(src).absolute()):
        with opened_parquet(path) as file:
            n_rows = file.metadata.num_rows
        if n_rows and not parts:
            _, batch = next(parquet_batches(path, _columns_of(path, vector_column), 1))
            n_features = _vectors(batch, vector_column, path, 0, None).shape[1]
        if n_rows:
            vectors = delayed(_file_vectors, pure=True)(path, vector_column, n_features)
            parts.append(da.from_delayed(vectors, (n_rows, n_features), np.float32))
    if not parts:
        raise ValueError(f"the Parquet files in {src} hold no rows.")
    return da.concatenate(parts)


def _import_dask() -> tuple[Any, Any]:
    try:
        import dask.array as da
        from dask import delayed
    except ImportError as error:
        raise ImportError(
            "parquet_array needs Dask; run pip install 'sklearn-rqvae[dask]'."
        ) from error
    return da, delayed


def _file_vectors(path: Path, column: str, n_features: int) -> NDArray[np.float32]:
    """Return all vectors of a file."""
    batches = parquet_batches(path, _columns_of(path, column), 16384)
    return np.concatenate(
        [
            _vectors(batch, column, path, first_row, n_features).astype(np.float32)
            for first_row, batch in batches
        ]
    )


def planned_files(
    src: str | os.PathLike[str], dst: str | os.PathLike[str], id_column: str
) -> list[tuple[Path, Path]]:
    """Return the files that `transform_parquet` would read, each with the one that it would write.

    Call it before long work whose result goes there.

    Parameters
    ----------
    src : str or path-like
        Directory of ``.parquet`` files, also in directories below, or a single file.
    dst : str or path-like
        Directory to write to.
    id_column : str
        Column to pass on.

    Returns
    -------
    files : list of (Path, Path)
        Source and output.

    Raises
    ------
    FileNotFoundError
        If there are no Parquet files.
    NotADirectoryError
        If `dst` is a file.
    ValueError
        If `dst` lies in `src`, or `id_column` is the name of the codes' column.
    """
    src, dst = Path(src), Path(dst)
    if id_column == _CODES_COLUMN:
        raise ValueError(
            f"id_column={id_column!r} is the name that the column of codes gets; rename that "
            f"column of {src}, or pass on another one."
        )
    files = [(path, dst / name) for path, name in part_files(src)]
    if dst.exists() and not dst.is_dir():
        raise NotADirectoryError(f"can't write to {dst}: it is a file; name a directory.")
    root = src.resolve()
    for _, target in files:
        if target.resolve().is_relative_to(root):
            raise ValueError(
                f"the output {target} would be among the sources in {src}; give a directory "
                "outside it."
            )
    return files


def _codes_depend_on(estimator: BaseEstimator) -> Any:
    """Return what determines an estimator's codes; of one that isn't ours, all of it."""
    if isinstance(estimator, Pipeline):
        return [_codes_depend_on(step) for _, step in estimator.steps]
    if isinstance(estimator, SemanticIDMixin):
        return estimator.fingerprint
    return estimator


def _columns_of(path: Path, vector_column: str) -> list[str]:
    with opened_parquet(path) as file:
        return vector_columns(file.schema_arrow.names, vector_column, path)


def _vectors(
    batch: Any, column: str, path: Path, first_row: int, n_features: int | None
) -> NDArray[Any]:
    """Return a batch's vectors, of the given length and within the range of float32."""
    vectors = batch_vectors(batch, column, str(path), first_row)
    if n_features is not None and vectors.shape[1] != n_features:
        raise ValueError(
            f"vectors in {path} have length {vectors.shape[1]}, but {n_features} was expected from "
            "the files before it or the fit."
        )
    if vectors.dtype == np.float64:
        with np.errstate(over="ignore"):
            outside = np.isinf(vectors.astype(np.float32))
        if outside.any():
            row, entry = np.argwhere(outside)[0].tolist()
            raise ValueError(
                f"row {first_row + row} of {path} has {vectors[row, entry]} in column {column!r}, "
                "which is beyond the range of float32; scale or drop such rows first."
            )
    return vectors


def _transform_file(
    pa: Any,
    estimator: BaseEstimator,
    path: Path,
    target: Path,
    origin: dict[str, Any],
    batch_size: int,
) -> int:
    """Transform one file and return its number of rows."""
    id_column, vector_column = origin["columns"]
    with opened_parquet(path) as file:
        names = file.schema_arrow
        id_type = names.field(id_column).type if id_column in names.names else pa.null()
    schema = pa.schema(
        [(id_column, id_type), (_CODES_COLUMN, pa.list_(pa.int64()))],
        metadata={_ORIGIN: json.dumps(origin)},
    )
    n_rows = 0
    with (
        replace_file(target, draft=target.with_name(f".{target.name}.part")) as file,
        pa.parquet.ParquetWriter(file, schema, write_page_checksum=True) as writer,
    ):
        columns = [id_column, *_columns_of(path, vector_column)]
        for first_row, batch in parquet_batches(path, columns, batch_size):
            vectors = _vectors(batch, vector_column, path, first_row, estimator.n_features_in_)
            codes = list_column(estimator.transform(vectors))
            writer.write_batch(
                pa.RecordBatch.from_arrays([batch.column(id_column), codes], schema=schema)
            )
            n_rows += len(vectors)
    return n_rows


def _is_complete(target: Path, origin: dict[str, Any]) -> bool:
    """Whether a file holds the codes of this source; those of another model are an error."""
    with opened_parquet(target) as file:
        metadata = file.schema_arrow.metadata or {}
    found = json.loads(metadata.get(_ORIGIN, b"{}"))
    for part, what in (("model", "model"), ("columns", "columns")):
        if found.get(part) != origin[part]:
            raise ValueError(
                f"{target} wasn't written with this {what}; give another directory, or remove its "
                "files to write them anew."
            )
    return found == origin


def _weights_of(column: Any, name: str, path: Path, first_row: int) -> NDArray[np.float64]:
    types = import_pyarrow().types
    kinds = (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal)
    if not any(is_kind(column.type) for is_kind in kinds):  # texts and times could be cast
        raise TypeError(
            f"column {name!r} of {path} holds {column.type}; weights should be numbers."
        )
    weight = column.to_numpy(zero_copy_only=False).astype(np.float64)
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"row {first_row + row} of {path} has the weight {weight[row]} in column {name!r}; "
            "weights should be non-negative numbers."
        )
    return weight
