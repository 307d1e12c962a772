"""Keys sort as IDs do, in 64 bits and beyond."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id._keys import KeyLayout


@st.composite
def layouts(draw):
    sizes = draw(
        st.lists(st.sampled_from([1, 2, 3, 255, 256, 257, 2**16, 2**32]), min_size=1, max_size=9)
    )
    n = draw(st.integers(1, 12))
    codes = [
        [draw(st.one_of(st.integers(0, k - 1), st.just(k - 1))) for k in sizes] for _ in range(n)
    ]
    return sizes, np.array(codes, dtype=np.int64)


# All 64 bits in use, and a level more, of one codeword or of two.
FULL = ([2**32, 2**32], np.array([[2**32 - 1, 2**32 - 1], [2**32 - 1, 0], [0, 2**32 - 1]]))
FULL_AND_ONE = ([*FULL[0], 1], np.pad(FULL[1], ((0, 0), (0, 1))))
OVERFULL = ([*FULL[0], 2], np.column_stack([FULL[1], [1, 0, 1]]))


@given(layouts())
@example(FULL)
@example(FULL_AND_ONE)
@example(OVERFULL)
def test_keys_round_trip_and_sort_as_tuples(case):
    sizes, codes = case
    layout = KeyLayout(sizes)
    keys = layout.pack(list(codes.T))
    np.testing.assert_array_equal(layout.unpack(keys), codes)
    for level in range(len(sizes)):
        np.testing.assert_array_equal(layout.column(keys, level), codes[:, level])
        np.testing.assert_array_equal(layout.unpack(keys, level), codes[:, :level])
    by_key = codes[np.argsort(keys, kind="stable")].tolist()
    assert by_key == sorted(codes.tolist())


@given(layouts(), st.integers(0, 9), st.integers(0, 11))
@example(FULL, 2, 0)
@example(FULL, 0, 0)
@example(OVERFULL, 3, 0)
@example(OVERFULL, 2, 1)
def test_bounds_enclose_exactly_the_ids_with_a_prefix(case, depth, row):
    sizes, codes = case
    layout = KeyLayout(sizes)
    keys = layout.pack(list(codes.T))
    depth = min(depth, len(sizes))
    prefix = codes[row % len(codes), :depth].tolist()
    low, high = layout.bounds(prefix)
    inside = [low <= key <= high for key in keys.tolist()]
    assert inside == [row[:depth] == prefix for row in codes.tolist()]
    kept = layout.unpack(layout.truncate(keys, depth))
    np.testing.assert_array_equal(kept[:, :depth], codes[:, :depth])
    assert not kept[:, depth:].any()


@pytest.mark.parametrize(
    ("sizes", "kind"), [((2**32, 2**32), "u"), ((2**32, 2**32, 2), "S"), ((256,) * 27, "S")]
)
def test_a_key_is_an_integer_as_long_as_it_fits(sizes, kind):
    layout = KeyLayout(sizes)
    assert layout.dtype.kind == kind
    top = [np.array([size - 1]) for size in sizes]
    assert layout.unpack(layout.pack(top)).tolist() == [[size - 1 for size in sizes]]
