"""Counts of codes."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae.metrics import code_usage, code_utilization, dead_codes, largest_bucket

SIZE = 5
codes_of_three_levels = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.integers(0, SIZE - 1)
)


@given(codes_of_three_levels)
@example(np.zeros((1, 3), dtype=np.int64))
def test_usage_is_what_counting_one_by_one_gives(codes):
    usage = code_usage(codes, SIZE)
    expected = [[(codes[:, level] == code).sum() for code in range(SIZE)] for level in range(3)]
    np.testing.assert_array_equal(usage, expected)


@given(codes_of_three_levels)
@example(np.zeros((7, 3), dtype=np.int64))
def test_dead_codes_utilization_and_largest_bucket_agree_with_usage(codes):
    usage = np.array(code_usage(codes, SIZE))
    np.testing.assert_allclose(code_utilization(codes, SIZE), (usage > 0).mean(axis=1))
    np.testing.assert_array_equal(largest_bucket(codes, SIZE), usage.max(axis=1))
    for level, dead in enumerate(dead_codes(codes, SIZE)):
        assert set(dead) == set(range(SIZE)) - set(codes[:, level])
    assert (code_utilization(codes, SIZE) > 0).all()
    assert (largest_bucket(codes, SIZE) >= np.ceil(len(codes) / SIZE)).all()


def test_levels_may_differ_in_size():
    usage = code_usage([[0, 4], [1, 0]], codebook_size=[2, 5])
    assert [counts.tolist() for counts in usage] == [[1, 1], [1, 0, 0, 0, 1]]
    np.testing.assert_allclose(code_utilization([[0, 4], [1, 0]], [2, 5]), [1.0, 0.4])


def test_collapsed_levels_with_different_codes_look_collapsed():
    # Pooled over levels, three codes are in use; each level has one.
    codes = np.tile([0, 1, 2], (50, 1))
    np.testing.assert_allclose(code_utilization(codes, 3), 1 / 3)
    assert largest_bucket(codes, 3).tolist() == [50, 50, 50]


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_rows_are_counted_over_chunks(order):
    # More rows than one chunk holds, the last chunk not full.
    codes = np.random.default_rng(0).integers(0, 256, (50_001, 2)).astype(np.uint8, order=order)
    usage = code_usage(codes, 256)
    for level in range(2):
        np.testing.assert_array_equal(usage[level], np.bincount(codes[:, level], minlength=256))
