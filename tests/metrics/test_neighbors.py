"""Neighbors by vectors and neighbors by codes, ties included."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae.metrics import _neighbors as neighbors_module
from sklearn_rqvae.metrics import neighbor_recall, prefix_neighbor_recall


def weights(dissimilarity, k):
    """Return the probability of each sample to be among the k least dissimilar ones."""
    result = np.zeros(len(dissimilarity))
    left = k
    for value in np.unique(dissimilarity):
        tied = dissimilarity == value
        result[tied] = min(1.0, left / tied.sum())
        left -= min(left, tied.sum())
    return result


def expected_recall(by_vector, by_code, k):
    """Average over queries, from full matrices of dissimilarities."""
    n = len(by_vector)
    total = 0.0
    for i in range(n):
        others = np.arange(n) != i
        total += weights(by_vector[i, others], k) @ weights(by_code[i, others], k) / k
    return total / n


def squared_distances(X):
    """Subtract all pairs."""
    return ((X[:, None] - X) ** 2).sum(axis=2)


def unshared(codes):
    """Count the codes after the shared prefix of all pairs."""
    shared = np.logical_and.accumulate(codes[:, None] == codes, axis=2).sum(axis=2)
    return codes.shape[1] - shared


@st.composite
def grids(draw):
    """Small integer vectors, their codes and a number of neighbors: ties everywhere."""
    n = draw(st.integers(2, 14))
    X = draw(hnp.arrays(np.float64, (n, 2), elements=st.integers(0, 3)))
    codes = draw(hnp.arrays(np.int64, (n, 2), elements=st.integers(0, 2)))
    return X, codes, draw(st.integers(1, n - 1))


@given(grids(), st.sampled_from([np.float64, np.float32, np.int64]))
@example((np.zeros((5, 2)), np.zeros((5, 2), dtype=np.int64), 2), np.float64)
@example((np.arange(6.0).reshape(3, 2), np.array([[0, 0], [0, 0], [1, 1]]), 2), np.float32)
def test_recall_of_decoded_vectors_is_the_expectation_over_ties(case, dtype):
    X, decoded, k = case
    recall = neighbor_recall(X.astype(dtype), decoded.astype(dtype), n_neighbors=k)
    expected = expected_recall(squared_distances(X), squared_distances(decoded), k)
    assert recall == pytest.approx(expected, abs=1e-12)


@given(grids())
@example((np.zeros((5, 2)), np.zeros((5, 2), dtype=np.int64), 2))
@example((np.arange(6.0).reshape(3, 2), np.array([[0, 0], [0, 0], [1, 1]]), 2))
def test_recall_by_prefix_is_the_expectation_over_ties(case):
    X, codes, k = case
    recall = prefix_neighbor_recall(X, codes, n_neighbors=k)
    expected = expected_recall(squared_distances(X), unshared(codes), k)
    assert recall == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_blocks_of_queries_and_rows_do_not_show(monkeypatch, dtype):
    # Far from the origin, where the expanded square rounds most; some duplicates and ties.
    rng = np.random.default_rng(0)
    X = (rng.integers(0, 6, (300, 3)) + 100).astype(dtype)
    decoded = (X // 2).astype(dtype)
    whole = neighbor_recall(X, decoded, n_neighbors=7)
    monkeypatch.setattr(neighbors_module, "_QUERIES_AT_ONCE", 11)
    monkeypatch.setattr(neighbors_module, "_ROWS_AT_ONCE", 13)
    assert neighbor_recall(X, decoded, n_neighbors=7) == pytest.approx(whole, abs=1e-12)
    exact = [squared_distances(array.astype(float)) for array in (X, decoded)]
    assert whole == pytest.approx(expected_recall(*exact, 7), abs=1e-12)


def test_order_of_samples_does_not_matter():
    rng = np.random.default_rng(1)
    X, codes = rng.normal(size=(60, 3)), rng.integers(0, 3, (60, 2))
    order = rng.permutation(60)
    assert prefix_neighbor_recall(X[order], codes[order]) == pytest.approx(
        prefix_neighbor_recall(X, codes)
    )
    assert neighbor_recall(X[order], codes[order]) == pytest.approx(neighbor_recall(X, codes))


def test_vectors_find_their_own_neighbors_and_collapsed_codes_are_at_chance():
    X = np.random.default_rng(2).normal(size=(50, 4))
    assert neighbor_recall(X, X) == pytest.approx(1)
    assert neighbor_recall(X, np.zeros((50, 1))) == pytest.approx(10 / 49)
    assert prefix_neighbor_recall(X, np.zeros((50, 2), dtype=int)) == pytest.approx(10 / 49)


def test_a_duplicate_is_a_neighbor_and_the_query_itself_is_none():
    # Dropping the first of the sorted neighbors as "self" drops the duplicate half of the time.
    X = np.array([[0.0], [0.0], [5.0], [5.0]])
    assert neighbor_recall(X, X, n_neighbors=1) == 1
    assert prefix_neighbor_recall(X, np.array([[0], [0], [1], [1]]), n_neighbors=1) == 1


def test_a_sample_of_queries_is_within_its_error():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3000, 8)).astype(np.float32)
    decoded = X + 0.5 * rng.normal(size=X.shape).astype(np.float32)
    whole = neighbor_recall(X, decoded, n_queries=None)
    sampled = [neighbor_recall(X, decoded, n_queries=400, random_state=seed) for seed in range(5)]
    assert max(abs(value - whole) for value in sampled) < 3 * 0.5 / np.sqrt(400)
    assert len(set(sampled)) > 1


def test_more_queries_than_samples_are_all_samples():
    rng = np.random.default_rng(4)
    X, codes = rng.normal(size=(30, 3)), rng.integers(0, 3, (30, 2))
    everything = prefix_neighbor_recall(X, codes, n_queries=None)
    assert prefix_neighbor_recall(X, codes, n_queries=31) == everything


@pytest.mark.parametrize("by", ["decoded", "codes"])
def test_many_vectors_are_not_copied(by):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 512)).astype(np.float32)
    X[:100] = X[100:200]  # distinct rows are found, not gathered
    codes = rng.integers(0, 30, (len(X), 2))
    decoded = np.repeat(X[::10], 10, axis=0)
    tracemalloc.start()
    if by == "decoded":
        neighbor_recall(X, decoded, n_queries=20, random_state=0)
    else:
        prefix_neighbor_recall(X, codes, n_queries=20, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * X.nbytes
