"""Equal rows are found by hashing, and only these."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae._rows import _hashing
from sklearn_rqvae._rows._hashing import duplicate_groups, hash_rows

some_vectors = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8]),
    st.tuples(st.integers(1, 20), st.integers(1, 3)),
    elements=st.integers(0, 2),
)


@given(some_vectors)
@example(np.array([[0.0], [1.0], [0.0]]))
def test_duplicate_groups_index_rows_that_are_equal(X):
    first, group = duplicate_groups(X)
    np.testing.assert_array_equal(X[first[group]], X)
    assert len(np.unique(X[first], axis=0)) == len(first)


@pytest.mark.parametrize("n_hashes", [1, 3])
def test_rows_with_one_hash_are_still_told_apart(monkeypatch, n_hashes):
    # A hash of few values puts unequal rows in one bucket; the comparison of rows has to notice.
    def poor_hash(X):
        return (X.sum(axis=1) % n_hashes).astype(np.uint64)

    monkeypatch.setattr(_hashing, "hash_rows", poor_hash)
    X = np.random.default_rng(0).integers(0, 4, (200, 3)).astype(np.float64)
    first, group = duplicate_groups(X)
    np.testing.assert_array_equal(X[first[group]], X)
    assert len(first) == len(np.unique(X, axis=0))
    assert (np.diff(np.sort(group)) <= 1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("scale", [1, 2**10])
def test_round_numbers_hash_apart(dtype, scale):
    # Most bits of such numbers are zero; a hash that keeps those zeros collides.
    X = np.stack(np.meshgrid(*[np.arange(8)] * 5), axis=-1).reshape(-1, 5).astype(dtype) * scale
    assert len(np.unique(hash_rows(X.astype(dtype)))) == len(X)


@pytest.mark.parametrize(
    "X",
    [
        np.arange(100_000, dtype=np.float32)[:, None],
        2.0 ** np.arange(-100, 100, dtype=np.float32)[:, None],
        np.indices((2,) * 16, dtype=np.float32).reshape(16, -1).T,
    ],
    ids=["whole numbers", "powers of two", "zeros and ones"],
)
def test_hashes_of_round_rows_differ_and_spread(X):
    key = hash_rows(np.ascontiguousarray(X))
    assert len(np.unique(key)) == len(X)
    share = np.bincount((key >> np.uint64(60)).astype(int), minlength=16) / len(X)
    assert abs(share - 1 / 16).max() < 4 * np.sqrt(1 / 16 / len(X))
