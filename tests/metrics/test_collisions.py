"""Semantic IDs and prefixes that samples share."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae.metrics import (
    colliding_share,
    collision_floor,
    collision_rate,
    largest_group,
    prefix_group_sizes,
)

some_codes = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 3)
)
some_vectors = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8]),
    st.tuples(st.integers(1, 20), st.integers(1, 3)),
    elements=st.integers(0, 2),
)


@given(some_codes)
@example(np.zeros((5, 2), dtype=np.int64))
@example(np.arange(4).reshape(-1, 1))
def test_all_measures_agree_with_a_dictionary_of_tuples(codes):
    groups = Counter(map(tuple, codes.tolist()))
    n = len(codes)
    assert collision_rate(codes) == pytest.approx(1 - len(groups) / n)
    assert colliding_share(codes) == pytest.approx(sum(m for m in groups.values() if m > 1) / n)
    assert largest_group(codes) == max(groups.values())
    for length, sizes in enumerate(prefix_group_sizes(codes), start=1):
        prefixes = Counter(map(tuple, codes[:, :length].tolist()))
        assert sizes.tolist() == [prefixes[key] for key in sorted(prefixes)]


@given(some_codes)
@example(np.zeros((5, 2), dtype=np.int64))
def test_rates_fall_with_prefix_length_and_the_share_bounds_the_rate(codes):
    lengths = range(1, codes.shape[1] + 1)
    rates = [collision_rate(codes[:, :length]) for length in lengths]
    shares = [colliding_share(codes[:, :length]) for length in lengths]
    assert rates == sorted(rates, reverse=True)
    assert shares == sorted(shares, reverse=True)
    for rate, share in zip(rates, shares, strict=True):
        assert rate <= share <= 2 * rate + 1e-12


@given(some_codes, st.randoms(use_true_random=False))
@example(np.array([[0, 1], [1, 0], [0, 1]]), None)
def test_neither_names_of_codes_nor_order_of_samples_matter(codes, random):
    renamed = np.array([5, 0, 300, 2])[codes][::-1]
    if random is not None:
        renamed = renamed[random.sample(range(len(codes)), len(codes))]
    assert collision_rate(renamed) == collision_rate(codes)
    assert colliding_share(renamed) == colliding_share(codes)
    assert largest_group(renamed) == largest_group(codes)


def test_distinct_semantic_ids_do_not_collide():
    codes = np.indices((6, 6, 6)).reshape(3, -1).T
    assert collision_rate(codes) == 0
    assert colliding_share(codes) == 0
    assert largest_group(codes) == 1


def test_long_numbers_are_not_cut():
    # Identifiers kept as fixed-width strings lose their end: 1-200 becomes 1-2.
    assert collision_rate([[1, 2], [1, 20], [1, 200], [12, 0]]) == 0


@given(some_vectors)
@example(np.zeros((3, 2), dtype=np.float32))
def test_the_floor_counts_distinct_rows(X):
    assert collision_floor(X) == pytest.approx(1 - len(set(map(tuple, X.tolist()))) / len(X))


def test_negative_zero_is_zero():
    assert collision_floor([[0.0, 1.0], [-0.0, 1.0]]) == 0.5


def test_rows_that_differ_in_the_last_bit_are_not_duplicates():
    X = np.ones((3, 4), dtype=np.float32)
    X[1, 2] = np.nextafter(np.float32(1), np.float32(2))
    assert collision_floor(X) == pytest.approx(1 / 3)


def test_a_function_of_the_vectors_collides_at_least_as_often_as_its_duplicates(load_catalog):
    X = load_catalog("beauty")
    codes = (X[:, :24] > 0).astype(np.int64)
    assert collision_floor(X) == pytest.approx(1 - 12_070 / 12_101)
    assert collision_rate(codes) >= collision_floor(X)
