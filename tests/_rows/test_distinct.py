"""Distinct rows are found by their hashes, in an order that depends on them alone."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae._rows import _distinct
from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae._rows._hashing import hash_rows

rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 3)),
    elements=st.sampled_from([0.0, -0.0, 1.0, -2.5, 3.0]),
)


@given(X=rows, seed=st.integers(0, 100))
@example(X=np.array([[0.0], [-0.0]], dtype=np.float32), seed=0)
def test_canonical_rows_do_not_depend_on_the_order_of_rows(X, seed):
    weight = np.random.default_rng(seed).integers(0, 3, len(X)).astype(float)
    permutation = np.random.default_rng(seed + 1).permutation(len(X))
    index, total = canonical_rows(X, weight)
    index_2, total_2 = canonical_rows(X[permutation], weight[permutation])
    np.testing.assert_array_equal(X[index], X[permutation][index_2])
    np.testing.assert_array_equal(total, total_2)


@given(X=rows, seed=st.integers(0, 100))
@example(X=np.array([[3.0], [0.0], [-0.0]], dtype=np.float32), seed=14)  # weights 0, 2 and 1
def test_weights_equal_repetition(X, seed):
    weight = np.random.default_rng(seed).integers(0, 3, len(X))
    repeated = np.repeat(X, weight, axis=0)
    if not len(repeated):
        return
    index, total = canonical_rows(X, weight.astype(float))
    index_2, total_2 = canonical_rows(repeated)
    np.testing.assert_array_equal(X[index], repeated[index_2])
    np.testing.assert_array_equal(total, total_2)


def test_negative_zero_is_zero():
    index, weight = canonical_rows(np.array([[0.0], [-0.0]], dtype=np.float32))
    assert len(index) == 1
    assert weight.tolist() == [2.0]


@pytest.fixture(params=["hash", "poor hash", "no hash"])
def any_hash(request, monkeypatch):
    """Replace the hash by ones under which different rows collide, often and always."""
    if request.param == "poor hash":
        monkeypatch.setattr(_distinct, "hash_rows", lambda X: hash_rows(X) % np.uint64(5))
    elif request.param == "no hash":
        monkeypatch.setattr(_distinct, "hash_rows", lambda X: np.zeros(len(X), dtype=np.uint64))


@pytest.mark.parametrize("max_rows", [None, 20])
def test_rows_of_equal_hashes_are_merged_only_if_equal(any_hash, monkeypatch, max_rows):
    monkeypatch.setattr(_distinct, "_LEAST_PENDING", 50)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (400, 4)).astype(np.float32)
    expected = {row.tobytes(): 0.0 for row in X}
    weight = rng.integers(0, 3, len(X)).astype(float)
    for row, row_weight in zip(X, weight, strict=True):
        expected[row.tobytes()] += row_weight
    present = {row: total for row, total in expected.items() if total}
    permutation = rng.permutation(len(X))
    found = []
    for order in (np.arange(len(X)), permutation):
        index, total = canonical_rows(X[order], weight[order], max_rows)
        found.append((X[order][index], total))
        assert len(index) == (len(present) if max_rows is None else max_rows)
        for row, row_total in zip(X[order][index], total, strict=True):
            assert present[row.tobytes()] == row_total
        assert len(np.unique(X[order][index], axis=0)) == len(index)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_sample_is_the_beginning_of_all_whatever_the_blocks(monkeypatch):
    X = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    index, weight = canonical_rows(X)
    monkeypatch.setattr("sklearn_rqvae._rows._source._BLOCK_FLOATS", 5 * 256)
    monkeypatch.setattr(_distinct, "_LEAST_PENDING", 300)
    sample, sample_weight = canonical_rows(X, max_rows=100)
    np.testing.assert_array_equal(sample, index[:100])
    np.testing.assert_array_equal(sample_weight, weight[:100])


def test_sums_of_fractions_do_not_depend_on_the_order_of_rows():
    weight = np.array([0.1, 0.2, 0.3, 0.7, 1e-9])
    X = np.zeros((5, 2), dtype=np.float32)
    totals = {
        canonical_rows(X, weight[np.random.default_rng(seed).permutation(5)])[1].item()
        for seed in range(20)
    }
    assert len(totals) == 1
