"""Binary search through a permutation equals search in the sorted array."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id._ordering import (
    canonical_order,
    in_group,
    insert_sorted,
    is_among,
    position_in_group,
    rank,
    rank_one,
)

NUMBERS = st.lists(st.integers(-4, 4), max_size=30).map(lambda x: np.array(x, dtype=np.int64))
TEXTS = st.lists(st.sampled_from(["", "a", "a\0", "b", "é", "\U0001f600"]), max_size=20).map(
    lambda x: np.array(x, dtype=np.dtypes.StringDType())
)
NOTHING, EQUAL = np.empty(0, dtype=np.int64), np.full(30, -4)
HARD_TEXTS = np.array(["a\0", "\U0001f600", "", "a", "é", "a\0"], np.dtypes.StringDType())


@given(st.one_of(NUMBERS, TEXTS), st.sampled_from(["left", "right"]), st.booleans())
@example(HARD_TEXTS, "right", False)
@example(EQUAL, "left", False)
@example(NOTHING, "left", True)
def test_rank_counts_what_is_below(values, side, in_order):
    order = None if in_order else np.argsort(values).astype(np.int32)
    if in_order:
        values = np.sort(values)
    queries = values[::-1]
    below = [
        sum(v < q or (side == "right" and v == q) for v in values.tolist())
        for q in queries.tolist()
    ]
    assert rank(values, order, queries, side).tolist() == below
    assert [rank_one(values, order, q, side) for q in queries.tolist()] == below
    if len(values) and order is not None:
        start, stop = min(below), max(below)
        assert rank(values, order, queries, side, within=(start, stop)).tolist() == below


@given(NUMBERS, st.integers(0, 10**6))
@example(EQUAL, 0)
@example(NOTHING, 0)
def test_canonical_order_ignores_the_order_of_rows(keys, seed):
    rng = np.random.default_rng(seed)
    ties = rng.permutation(len(keys))
    order = canonical_order(keys, ties)
    expected = sorted(zip(keys.tolist(), ties.tolist(), strict=True))
    assert list(zip(keys[order].tolist(), ties[order].tolist(), strict=True)) == expected


@given(NUMBERS, NUMBERS)
@example(EQUAL, EQUAL)
@example(NOTHING, EQUAL)
@example(EQUAL, NOTHING)
def test_inserted_values_are_in_order(old, new):
    values = np.concatenate([old, new])
    order = insert_sorted(values, np.argsort(old, kind="stable"), len(old), np.argsort(new))
    assert sorted(order.tolist()) == list(range(len(values)))
    assert values[order].tolist() == sorted(values.tolist())


@given(NUMBERS, NUMBERS)
@example(EQUAL, NOTHING)
@example(NOTHING, EQUAL)
@example(np.array([4, -4, 4]), np.array([-4, -3]))
def test_groups_and_membership_equal_counting(values, others):
    order = np.argsort(values, kind="stable")
    listed = values.tolist()
    assert in_group(values, order).tolist() == [listed.count(v) > 1 for v in listed]
    assert is_among(values, np.sort(others)).tolist() == [v in others.tolist() for v in listed]
    ordered = sorted(listed)
    expected = [ordered[:place].count(value) for place, value in enumerate(ordered)]
    assert position_in_group(values[order]).tolist() == expected
