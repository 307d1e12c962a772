"""Whether nearest neighbors stay neighbors when vectors become codes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae._rows._hashing import duplicate_groups
from sklearn_rqvae.metrics._checks import (
    check_codes,
    check_count,
    check_same_length,
    check_vectors,
    in_safe_units,
)
from sklearn_rqvae.metrics._sorted_rows import columns_of, first_difference, run_lengths, sort_order

_QUERIES_AT_ONCE = 256
_ROWS_AT_ONCE = 4096


def neighbor_recall(
    X: ArrayLike,
    reconstruction: ArrayLike,
    *,
    n_neighbors: int = 10,
    n_queries: int | None = 1000,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    r"""Compute the share of nearest neighbors that are still nearest neighbors after decoding.

    For each query sample, the `n_neighbors` nearest other samples by `X` are compared with the
    nearest by `reconstruction` (recall at k [1]_). Codes make ties by the dozen: all samples with
    one semantic ID decode to one vector. Where a tie stands at the k-th place, on either side, the
    result is the exact expectation over ties broken at random, so it depends on no order of the
    samples. Ties are found by comparing distances that are computed in float64 by direct
    subtraction.

    By default 1000 query samples are drawn, searched among all samples; recall lies in [0, 1], so
    the standard error of the result is at most ``0.5 / sqrt(n_queries)``, 0.016 by default, and
    usually half of that.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors.
    reconstruction : array-like of shape (n_samples, n_dimensions)
        Decoded vectors, or the sums of their codewords: any vectors that stand for the samples'
        codes.
    n_neighbors : int, default=10
        Number of neighbors, k, at most ``n_samples - 1``. A sample is no neighbor of itself; its
        duplicates are.
    n_queries : int or None, default=1000
        Number of query samples; None, or more than there are samples, takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw of query samples.

    Returns
    -------
    recall : float
        From 0 to 1; ``n_neighbors / (n_samples - 1)`` is chance.

    Raises
    ------
    ValueError
        If the arrays differ in length, aren't 2-dimensional or aren't finite, or if `n_neighbors`
        or `n_queries` is out of range.

    See Also
    --------
    prefix_neighbor_recall : The same for samples that share a prefix, without a decoder.

    References
    ----------
    .. [1] Jégou, H., Douze, M. and Schmid, C. "Product quantization for nearest neighbor search".
       IEEE TPAMI 33(1), 2011.

    Examples
    --------
    The nearest of 0 is 1, of 1 it's 0, of 5 it's 6, of 6 it's 5. Decoded, 1, 5
    and 6 are one point, so that the expected hits are 1/3 for query 0, 0 for query 1, and 1/2 each
    for queries 5 and 6:

    >>> from sklearn_rqvae.metrics import neighbor_recall
    >>> X, decoded = [[0.0], [1.0], [5.0], [6.0]], [[0.0], [4.0], [4.0], [4.0]]
    >>> recall = neighbor_recall(X, decoded, n_neighbors=1)
    >>> round(recall, 6)  # (1/3 + 0 + 1/2 + 1/2) / 4
    0.333333
    """
    array = in_safe_units(check_vectors(X))
    reconstruction = in_safe_units(check_vectors(reconstruction, "reconstruction"))
    check_same_length("X", array, "reconstruction", reconstruction)
    queries = _draw_queries(len(array), n_neighbors, n_queries, random_state)
    vectors, decoded = _DistinctRows.of(array), _DistinctRows.of(reconstruction)
    pairs = _JointGroups.of(vectors.group, decoded.group)
    hits = 0.0
    for block in np.array_split(queries, -(-len(queries) // _QUERIES_AT_ONCE)):
        by_code = _nearest(decoded, block, n_neighbors)
        hits += _expected_hits(
            vectors, pairs, block, n_neighbors, by_code.weight_of_pairs(pairs, len(decoded.first))
        )
    return hits / (len(queries) * n_neighbors)


def prefix_neighbor_recall(
    X: ArrayLike,
    codes: ArrayLike,
    *,
    n_neighbors: int = 10,
    n_queries: int | None = 1000,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Compute the share of nearest neighbors that share the longest prefixes.

    As `neighbor_recall`, with the number of leading codes that two samples share in place of the
    distance between decoded vectors: what a lookup by prefix returns. Most such comparisons are
    ties; the result is the exact expectation over ties broken at random.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Vectors.
    codes : array-like of int of shape (n_samples, n_layers)
        Code of each sample at each level, not negative.
    n_neighbors : int, default=10
        Number of neighbors, k, at most ``n_samples - 1``. A sample is no neighbor of itself; its
        duplicates are.
    n_queries : int or None, default=1000
        Number of query samples; None, or more than there are samples, takes all. The standard error
        is at most ``0.5 / sqrt(n_queries)``.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw of query samples.

    Returns
    -------
    recall : float
        From 0 to 1; ``n_neighbors / (n_samples - 1)`` is chance.

    Raises
    ------
    ValueError
        If `X` and `codes` differ in length, `X` isn't finite, `codes` has a value that isn't a
        non-negative integer, or if `n_neighbors` or `n_queries` is out of range.

    See Also
    --------
    neighbor_recall : The same for decoded vectors.

    References
    ----------
    .. [1] Jégou, H., Douze, M. and Schmid, C. "Product quantization for nearest neighbor search".
       IEEE TPAMI 33(1), 2011.

    Examples
    --------
    Samples 1, 5 and 6 have one code. Sample 0 shares none with anyone, so that
    each of the three is its neighbor with probability 1/3:

    >>> from sklearn_rqvae.metrics import prefix_neighbor_recall
    >>> X, codes = [[0.0], [1.0], [5.0], [6.0]], [[0], [1], [1], [1]]
    >>> recall = prefix_neighbor_recall(X, codes, n_neighbors=1)
    >>> round(recall, 6)  # (1/3 + 0 + 1/2 + 1/2) / 4
    0.333333
    """
    array = in_safe_units(check_vectors(X))
    codes = check_codes(codes)
    check_same_length("X", array, "codes", codes)
    queries = _draw_queries(len(array), n_neighbors, n_queries, random_state)
    vectors = _DistinctRows.of(array)
    prefixes = _PrefixSizes.of(codes)
    pairs = _JointGroups.of(vectors.group, prefixes.group)
    hits = 0.0
    for block in np.array_split(queries, -(-len(queries) // _QUERIES_AT_ONCE)):
        hits += _expected_hits(
            vectors, pairs, block, n_neighbors, prefixes.weight_of_pairs(block, n_neighbors, pairs)
        )
    return hits / (len(queries) * n_neighbors)


def _draw_queries(
    n_samples: int,
    n_neighbors: int,
    n_queries: int | None,
    random_state: int | np.random.RandomState | None,
) -> NDArray[np.intp]:
    """Check the counts and return the query samples."""
    generator = check_random_state(random_state)  # also where nothing is drawn
    check_count("n_neighbors", n_neighbors, 1, n_samples - 1, "neighbors are other samples")
    if n_queries is None:
        return np.arange(n_samples)
    check_count("n_queries", n_queries, 1, 2**31 - 1, "None takes all samples")
    if n_queries >= n_samples:
        return np.arange(n_samples)
    return generator.choice(n_samples, n_queries, replace=False)


class _DistinctRows(NamedTuple):
    """Vectors without their repetitions: equal rows tie exactly only if they are one row."""

    samples: NDArray[Any]
    """The vectors of all samples; nothing of this size is held beside them."""
    first: NDArray[np.intp]
    """A sample of each distinct row, ascending: rows are then read from front to back."""
    mean: NDArray[np.float64]
    """Mean of the distinct rows: less it, small norms make the rounding of squares small."""
    squares: NDArray[Any]
    """Squared norm of each centered row."""
    n_samples: NDArray[np.intp]
    """Number of samples with each row."""
    group: NDArray[np.intp]
    """Row of each sample."""

    @classmethod
    def of(cls, X: NDArray[Any]) -> _DistinctRows:
        """Find the distinct rows of `X`."""
        first, group = duplicate_groups(X)
        by_place = np.argsort(first)
        place = np.empty_like(by_place)
        place[by_place] = np.arange(len(first))
        group = place[group]
        first = first[by_place]
        blocks = list(row_chunks(len(first), 8 * X.shape[1]))
        total = sum(X[first[rows]].sum(axis=0, dtype=np.float64) for rows in blocks)
        mean = total / len(first)
        norms = (_squared_norms(_centered(X[first[rows]], mean)) for rows in blocks)
        n_samples = np.bincount(group, minlength=len(first))
        return cls(X, first, mean, np.concatenate(list(norms)), n_samples, group)

    def centered(self, rows: slice | NDArray[np.intp]) -> NDArray[Any]:
        """Return some rows minus the mean."""
        return _centered(self.samples[self.first[rows]], self.mean)


def _centered(rows: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[Any]:
    """Subtract the mean in the precision of the matrix product."""
    single = rows.dtype in (np.float16, np.float32)
    dtype: type[np.floating[Any]] = np.float32 if single else np.float64
    return rows.astype(dtype) - mean.astype(dtype)


def _squared_norms(rows: NDArray[Any]) -> NDArray[Any]:
    norms: NDArray[Any] = np.einsum("ij,ij->i", rows, rows)
    return norms


class _JointGroups(NamedTuple):
    """Samples that agree in both groupings, sorted by the first one."""

    start: NDArray[np.intp]
    """First joint group of each first group, and the number of joint groups as last entry."""
    second: NDArray[np.intp]
    """Second group of each joint group."""
    n_samples: NDArray[np.int64]
    """Number of samples in each joint group."""
    sample: NDArray[np.intp]
    """One sample of each joint group."""
    of_sample: NDArray[np.intp]
    """Joint group of each sample."""

    @classmethod
    def of(cls, first: NDArray[np.intp], second: NDArray[np.intp]) -> _JointGroups:
        """Cross two groupings of the same samples."""
        order = sort_order([first, second])
        count = run_lengths(first_difference([first, second]), 2)
        sample = order[np.cumsum(count) - count]
        of_sample = np.empty(len(first), dtype=np.intp)
        of_sample[order] = np.repeat(np.arange(len(count)), count)
        start = np.searchsorted(first[sample], np.arange(int(first.max()) + 2))
        return cls(start, second[sample], count, sample, of_sample)


class _Neighborhood(NamedTuple):
    """Distinct rows that may be among the k nearest of each query."""

    query: NDArray[np.intp]
    """Position of the query in its block, ascending."""
    row: NDArray[np.intp]
    """Distinct row, ascending within a query."""
    weight: NDArray[np.float64]
    """Probability, ties broken at random, that a sample with this row is among the k nearest."""

    def weight_of_pairs(self, pairs: _JointGroups, n_rows: int) -> Any:
        """Return a function from (query, joint group) to the weight of the group's row."""
        key = self.query * n_rows + self.row

        def weight(query: NDArray[np.intp], joint: NDArray[np.intp]) -> NDArray[np.float64]:
            wanted = query * n_rows + pairs.second[joint]
            place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
            return np.where(key[place] == wanted, self.weight[place], 0.0)

        return weight


def _expected_hits(
    vectors: _DistinctRows,
    pairs: _JointGroups,
    block: NDArray[np.intp],
    k: int,
    weight_by_code: Any,
) -> float:
    """Sum, over queries and samples, the probability of being among the k nearest on both sides."""
    near = _nearest(vectors, block, k)
    width = pairs.start[near.row + 1] - pairs.start[near.row]
    entry = np.repeat(np.arange(len(near.row)), width)
    joint = (
        np.arange(len(entry))
        - np.repeat(np.cumsum(width) - width, width)
        + pairs.start[near.row][entry]
    )
    query = near.query[entry]
    samples = pairs.n_samples[joint] - (
        joint == pairs.of_sample[block[query]]
    )  # a query isn't its own neighbor
    return float(np.sum(samples * near.weight[entry] * weight_by_code(query, joint)))


def _nearest(vectors: _DistinctRows, block: NDArray[np.intp], k: int) -> _Neighborhood:
    """Find the rows up to the k-th nearest sample, and how ties share the last places."""
    query, row, distance = _candidates(vectors, vectors.group[block], k)
    samples = vectors.n_samples[row] - (
        row == vectors.group[block][query]
    )  # a query isn't its own neighbor
    order = np.lexsort((distance, query))
    query, row, distance, samples = query[order], row[order], distance[order], samples[order]
    new_query = np.concatenate(([True], query[1:] != query[:-1]))
    new_tie = new_query.copy()
    new_tie[1:] |= distance[1:] != distance[:-1]
    starts = np.flatnonzero(new_tie)
    tied = np.add.reduceat(samples, starts)
    before = np.cumsum(tied) - tied
    first_tie = np.flatnonzero(new_query[starts])  # of each query
    before -= np.repeat(before[first_tie], np.diff(first_tie, append=len(starts)))
    share = np.clip((k - before) / np.maximum(tied, 1), 0.0, 1.0)
    weight = np.repeat(share, np.diff(starts, append=len(query)))
    kept = np.flatnonzero((weight > 0) & (samples > 0))
    kept = kept[np.lexsort((row[kept], query[kept]))]
    return _Neighborhood(query[kept], row[kept], weight[kept])


def _candidates(
    vectors: _DistinctRows, own: NDArray[np.intp], k: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows that may be among the k + 1 nearest of each query, with exact distances.

    A matrix product finds them up to its rounding; whatever is within that rounding of the limit is
    kept. The limit falls as more rows are seen.
    """
    squares = vectors.squares
    queries = -2 * vectors.centered(own)
    # |fl(x·y) − x·y| <= d u |x||y|, and the squares round alike: 4 covers the sum with a reserve.
    rounding = 4 * (queries.shape[1] + 4) * np.finfo(queries.dtype).eps
    margin = rounding * (squares[own] + squares.max())
    limit = np.full(len(own), np.inf, dtype=queries.dtype)
    query, row = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    height = np.empty(0, dtype=queries.dtype)  # distance without the query's own square
    for start in range(0, len(squares), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        block = queries @ vectors.centered(some).T
        block += squares[some]
        if start == 0 and block.shape[1] > k:
            limit = np.partition(block, k, axis=1)[:, k] + margin
        new_query, column = np.nonzero(block <= limit[:, None])
        query = np.concatenate((query, new_query))
        row = np.concatenate((row, column + start))
        height = np.concatenate((height, block[new_query, column]))
        if len(query) > 8 * (k + 1) * len(own) or start + _ROWS_AT_ONCE >= len(squares):
            order = np.lexsort((height, query))
            query, row, height = query[order], row[order], height[order]
            first = np.searchsorted(query, np.arange(len(own) + 1))
            enough = np.flatnonzero(np.diff(first) > k)
            limit[enough] = height[first[enough] + k] + margin[enough]
            kept = height <= limit[query]
            query, row, height = query[kept], row[kept], height[kept]
    return (
        query,
        row,
        _exact_distances(vectors.samples, vectors.first[own[query]], vectors.first[row]),
    )


def _exact_distances(
    X: NDArray[Any], left: NDArray[np.intp], right: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compute squared distances by subtraction in float64: equal for equal differences."""
    distance = np.empty(len(left))
    step = max(1, (1 << 22) // X.shape[1])
    for start in range(0, len(left), step):
        some = slice(start, start + step)
        distance[some] = (np.subtract(X[left[some]], X[right[some]], dtype=np.float64) ** 2).sum(
            axis=1
        )
    return distance


class _PrefixSizes(NamedTuple):
    """How many samples share how long a prefix with each semantic ID."""

    codes: NDArray[Any]
    """Distinct semantic IDs, sorted."""
    sizes: NDArray[np.int64]
    """Shape (n_distinct, n_layers + 1): samples that share the first 0, 1, … codes."""
    group: NDArray[np.intp]
    """Semantic ID of each sample."""

    @classmethod
    def of(cls, codes: NDArray[Any]) -> _PrefixSizes:
        """Count the samples behind each prefix."""
        columns = columns_of(codes)
        order = sort_order(columns)
        first = first_difference(columns)
        n_layers = len(columns)
        ids = run_lengths(first, n_layers)
        starts = np.cumsum(ids) - ids
        group = np.empty(len(codes), dtype=np.intp)
        group[order] = np.repeat(np.arange(len(ids)), ids)
        sizes = np.empty((len(ids), n_layers + 1), dtype=np.int64)
        for length in range(n_layers + 1):
            runs = run_lengths(first, length) if length else np.array([len(codes)])
            sizes[:, length] = np.repeat(runs, runs)[starts]
        return cls(codes[order[starts]], sizes, group)

    def weight_of_pairs(self, block: NDArray[np.intp], k: int, pairs: _JointGroups) -> Any:
        """Return a function from (query, joint group) to the chance to be among the k nearest."""
        own = self.group[block]
        others = self.sizes[own] - 1  # a query isn't its own neighbor
        limit = np.count_nonzero(others >= k, axis=1) - 1  # the longest prefix that k others share
        rows = np.arange(len(block))
        closer = np.where(
            limit < self.codes.shape[1], others[rows, np.minimum(limit + 1, self.codes.shape[1])], 0
        )
        share = (k - closer) / (others[rows, limit] - closer)

        def weight(query: NDArray[np.intp], joint: NDArray[np.intp]) -> NDArray[np.float64]:
            equal = self.codes[own[query]] == self.codes[pairs.second[joint]]
            shared = np.logical_and.accumulate(equal, axis=1).sum(axis=1)
            return np.where(
                shared > limit[query], 1.0, np.where(shared == limit[query], share[query], 0.0)
            )

        return weight
