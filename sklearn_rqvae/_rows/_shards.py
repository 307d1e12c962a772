"""Rows that lie in shards on a Dask cluster: what is learned of them comes to the shards.

Only a sample of rows leaves the workers. Of all others hashes, codes and sums do, and the sums are
added up on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae._rows._hashing import hash_rows
from sklearn_rqvae._rows._source import RowSource

__all__ = ["ShardedRows", "is_dask", "sharded_rows"]

# Results that are merged by one task.
_FAN_IN = 8

# Bytes up to which an array may as well travel in the graph.
_SMALL = 2**14


class ShardedRows(RowSource):
    """Rows of several arrays, each of which is known to a cluster only.

    Parameters
    ----------
    shards : sequence of dask.delayed.Delayed
        Matrices, in the order of their rows.
    lengths : sequence of int
        Number of rows of each.
    n_features : int
        Their length.
    dtype : dtype
        Their type.
    estimator : str
        Named in error messages about the rows.
    """

    is_sharded = True

    def __init__(
        self,
        shards: Sequence[Any],
        lengths: Sequence[int],
        n_features: int,
        dtype: Any,
        estimator: str,
    ):
        shape = (int(sum(lengths)), n_features)
        super().__init__(np.broadcast_to(np.zeros((), dtype), shape), estimator)  # has no memory
        self.shards = list(shards)
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)

    def wide_blocks(
        self, sample_weight: NDArray[np.float64] | None
    ) -> Iterator[NDArray[np.float64]]:
        """Yield two rows for each shard: its smallest and its largest values."""
        for block in self._on_shards(_extremes, [(part,) for part in self._parts(sample_weight)]):
            if block is not None:
                yield block

    def read(self, rows: slice) -> NDArray[np.float32]:
        """Return consecutive rows, checked: they leave the workers."""
        return self.gathered(np.arange(*rows.indices(len(self)))).read(slice(None))

    def read_wide(self, rows: slice) -> NDArray[np.float64]:
        """Return consecutive rows in float64, checked: they leave the workers."""
        return self.gathered(np.arange(*rows.indices(len(self)))).read_wide(slice(None))

    def distinct(
        self, sample_weight: NDArray[np.float64] | None, max_rows: int | None
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return what `canonical_rows` does; rows with two equal hashes are taken for equal."""
        places = zip(self._parts(sample_weight), self.starts[:-1].tolist(), strict=True)
        arguments = [(weight, self.origin, start, max_rows) for weight, start in places]
        found = self._on_shards(_distinct_rows, arguments, lambda lists: _merged(lists, max_rows))
        return found[0].position, found[0].weight

    def take(self, index: NDArray[np.intp], dtype: type = np.float32) -> NDArray[Any]:
        """Return the rows at some positions: they leave the workers."""
        return self.gathered(index).take(np.arange(len(index)), dtype)

    def gathered(self, index: NDArray[np.intp]) -> RowSource:
        """Return the rows at some positions as a source of their own, in the order of `index`."""
        order = np.argsort(index, kind="stable")
        parts = self._on_shards(_taken, [(local,) for local in self._local(index[order])])
        rows = np.empty((len(index), self.shape[1]), dtype=self.array.dtype)
        rows[order] = np.concatenate(parts)
        source = RowSource(rows, self.estimator)
        source.origin = self.origin
        return source

    def map(
        self,
        index: NDArray[np.intp],
        function: Callable[..., Any],
        *aligned: NDArray[Any],
        merge: Callable[[list[Any]], Any] | None = None,
    ) -> list[Any]:
        """Call a function for the rows of each shard, on a worker.

        Parameters
        ----------
        index : ndarray of shape (n_rows,)
            Positions of rows, ascending.
        function : callable
            Gets a source, positions in it, and what belongs to them of each of `aligned`.
        *aligned : ndarray of shape (n_rows, ...)
            More about the rows.
        merge : callable, optional
            Makes one of several results; None returns one for each shard with rows.

        Returns
        -------
        results : list
            In the order of the shards, or a single one.
        """
        cuts = np.searchsorted(index, self.starts)
        local = self._local(index)
        arguments = [
            (_Held(function), self.origin, local[shard], *(a[low:high] for a in aligned))
            for shard, (low, high) in enumerate(pairwise(cuts))
        ]
        used = [shard for shard, part in enumerate(local) if len(part)]
        return self._on_shards(_applied, arguments, merge, used)

    def _parts(self, weight: NDArray[np.float64] | None) -> list[NDArray[np.float64] | None]:
        """Cut weights like the shards."""
        if weight is None:
            return [None] * len(self.shards)
        return [*np.split(weight, self.starts[1:-1])]

    def _local(self, index: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Cut ascending positions like the shards, and count them from the start of each."""
        parts = np.split(index, np.searchsorted(index, self.starts[1:-1]))
        return [part - start for part, start in zip(parts, self.starts[:-1], strict=True)]

    def _on_shards(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        merge: Callable[[list[Any]], Any] | None = None,
        used: Sequence[int] | None = None,
    ) -> list[Any]:
        """Call a function with each shard on a worker; merge the results a few at a time."""
        from dask import compute, delayed

        used = range(len(self.shards)) if used is None else used
        send = _sender()
        run = delayed(function, pure=False)
        results = [
            run(self.shards[shard], self.estimator, *map(send, arguments[shard])) for shard in used
        ]
        while merge is not None and len(results) > 1:
            several = [results[i : i + _FAN_IN] for i in range(0, len(results), _FAN_IN)]
            results = [delayed(merge, pure=False)(some) for some in several]
        return list(compute(*results))


class _Held(NamedTuple):
    """A function as a value, which Dask doesn't call."""

    function: Callable[..., Any]


class _Distinct(NamedTuple):
    """Distinct rows by position, with two hashes and their weights."""

    key: NDArray[np.uint64]
    check: NDArray[np.uint64]
    position: NDArray[np.intp]
    weight: NDArray[np.float64]


def is_dask(X: Any) -> bool:
    """Whether something is a collection of Dask, an array or a data frame."""
    return type(X).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(X, "dask")


def sharded_rows(estimator: BaseEstimator, X: Any, reset: bool = True) -> ShardedRows:
    """Return the rows of a Dask array or data frame; set or check an estimator's features.

    Parameters
    ----------
    estimator : estimator
        Whose number and names of features are set, or known.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Rows; where their number is unknown, it is counted.
    reset : bool, default=True
        Whether to set number and names of features, or else to check them.

    Returns
    -------
    rows : ShardedRows
        A shard for each chunk or partition.

    Raises
    ------
    TypeError
        If entries aren't numbers.
    ValueError
        If `X` isn't two-dimensional, has no rows, or has other features than those known.
    """
    names = getattr(X, "columns", None)
    if names is not None:
        X = X.to_dask_array(lengths=True)
    if X.ndim != 2:
        raise ValueError(
            f"X has {X.ndim} dimensions, but a matrix was expected, a row for each item."
        )
    if X.dtype.kind not in "fiub":
        raise TypeError(f"X has dtype {X.dtype}, but numbers were expected.")
    X = X.rechunk({1: -1})
    if np.isnan(X.shape[0]):
        X = X.copy()
        X.compute_chunk_sizes()
    one = np.zeros((1, X.shape[1]), dtype=X.dtype)
    if names is not None:
        from pandas import DataFrame

        one = DataFrame(one, columns=names)
    validate_data(estimator, one, dtype=None, reset=reset)
    if not X.shape[0]:
        raise ValueError("X has no rows; at least one was expected.")
    shards = X.to_delayed().ravel()
    kept = [(shard, n) for shard, n in zip(shards, X.chunks[0], strict=True) if n]
    shards, lengths = zip(*kept, strict=True)
    return ShardedRows(shards, lengths, X.shape[1], X.dtype, type(estimator).__name__)


def _sender() -> Callable[[Any], Any]:
    """Return what takes arrays and functions to the workers without the graph, if there are any."""
    try:
        from distributed import get_client

        client = get_client()
    except (ImportError, ValueError):
        return lambda value: value
    sent: dict[int, Any] = {}

    def send(value: Any) -> Any:
        if not isinstance(value, _Held) and (
            not isinstance(value, np.ndarray) or value.nbytes <= _SMALL
        ):
            return value
        of = value.function if isinstance(value, _Held) else value
        if id(of) not in sent:
            sent[id(of)] = client.scatter([value], hash=False, broadcast=value is not of)[0]
        return sent[id(of)]

    return send


def _source(shard: Any, estimator: str | None, origin: NDArray[np.float64] | None) -> RowSource:
    source = RowSource(np.asarray(shard), estimator)
    source.origin = origin
    return source


def _extremes(
    shard: Any, estimator: str, weight: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    blocks = list(_source(shard, estimator, None).wide_blocks(weight))
    if not blocks:
        return None
    return np.stack(
        [np.min([b.min(0) for b in blocks], axis=0), np.max([b.max(0) for b in blocks], axis=0)]
    )


def _distinct_rows(
    shard: Any,
    estimator: str,
    weight: NDArray[np.float64] | None,
    origin: NDArray[np.float64] | None,
    start: int,
    max_rows: int | None,
) -> _Distinct:
    """Return the distinct rows of a shard, the lowest hashes first."""
    source = _source(shard, estimator, origin)
    index, total = canonical_rows(source, weight, max_rows)
    keys = np.empty((2, len(index)), dtype=np.uint64)
    for first in range(0, len(index), 2**14):
        part = slice(first, first + 2**14)
        rows = source.take(index[part])
        # Reversed, columns meet other factors: the second hash has nothing to do with the first.
        keys[:, part] = hash_rows(rows), hash_rows(rows[:, ::-1])
    return _Distinct(keys[0], keys[1], index + start, total)


def _merged(lists: list[_Distinct], max_rows: int | None) -> _Distinct:
    """Add up the weights of equal rows, and keep the lowest hashes."""
    key, check, position, weight = (np.concatenate(parts) for parts in zip(*lists, strict=True))
    order = np.lexsort((position, check, key))
    key, check, position, weight = key[order], check[order], position[order], weight[order]
    starts = np.append(True, (key[1:] != key[:-1]) | (check[1:] != check[:-1]))[: len(key)]
    total = np.bincount(np.cumsum(starts) - 1, weights=weight).astype(np.float64)
    kept = np.flatnonzero(starts)[:max_rows]
    return _Distinct(key[kept], check[kept], position[kept], total[:max_rows])


def _taken(shard: Any, estimator: str, index: NDArray[np.intp]) -> NDArray[Any]:
    return np.asarray(shard)[index]


def _applied(
    shard: Any,
    estimator: str,
    held: _Held,
    origin: NDArray[np.float64] | None,
    index: NDArray[np.intp],
    *aligned: NDArray[Any],
) -> Any:
    return held.function(_source(shard, None, origin), index, *aligned)
