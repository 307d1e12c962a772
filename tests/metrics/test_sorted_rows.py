"""One sort tells which rows and prefixes are equal."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae.metrics._sorted_rows import (
    columns_of,
    first_difference,
    run_lengths,
    sort_order,
)

# Codes of 1, 8, 20 and 63 bits: one word of 32 bits, one of 64, several of them.
HIGHEST = [1, 255, 2**20, 2**63 - 1]


@st.composite
def rows(draw):
    n_columns = draw(st.integers(1, 6))
    pool = draw(st.lists(st.integers(0, draw(st.sampled_from(HIGHEST))), min_size=1, max_size=3))
    shape = (draw(st.integers(1, 20)), n_columns)
    return draw(hnp.arrays(np.int64, shape, elements=st.sampled_from(pool)))


def expected_first_difference(codes):
    """Compare sorted tuples one by one."""
    ordered = sorted(map(tuple, codes.tolist()))
    return [
        next((i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b), len(one))
        for one, two in pairwise(ordered)
    ]


@given(rows())
@example(np.array([[0]]))
@example(np.full((4, 3), 2**63 - 1))
@example(np.array([[2**40, 2**40, 1], [2**40, 2**40, 0], [2**40, 0, 1], [0, 2**40, 1]]))
def test_first_difference_is_that_of_sorted_tuples(codes):
    assert first_difference(columns_of(codes)).tolist() == expected_first_difference(codes)


@given(rows())
@example(np.array([[2**62, 2**62], [2**62, 0], [0, 1]]))
def test_order_sorts_like_tuples_and_keeps_equal_rows_in_place(codes):
    order = sort_order(columns_of(codes))
    expected = sorted(range(len(codes)), key=lambda i: tuple(codes[i].tolist()))
    assert order.tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64])
def test_columns_of_any_width_pack_without_loss(dtype):
    # Shifting a column of 8 bits by 8 in its own type would lose it.
    codes = np.array([[200, 7], [200, 8], [100, 7], [200, 7]]).astype(dtype)
    first = first_difference(columns_of(codes))
    assert run_lengths(first, 1).tolist() == [1, 3]
    assert run_lengths(first, 2).tolist() == [1, 2, 1]


def test_input_is_left_as_it_was():
    # A single column of 32 or 64 bits could be sorted in place by mistake.
    for dtype in (np.uint32, np.uint64):
        codes = np.array([[3], [1], [2]], dtype=dtype)
        first_difference(columns_of(codes))
        assert codes.ravel().tolist() == [3, 1, 2]
