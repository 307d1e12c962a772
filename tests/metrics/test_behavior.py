"""Pairs of items that users touch, and the prefixes that they share."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from sklearn_rqvae.embedding import Histories
from sklearn_rqvae.metrics import (
    consecutive_sharing,
    cooccurrence_lift,
    next_item_recall,
    popularity_load,
)

CODES = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [1, 1]])
ALL = [cooccurrence_lift, consecutive_sharing, popularity_load]


def test_cooccurrence_worked_by_hand():
    # Pairs: (0,1), (0,3), (1,3), then (3,4). Popularity: 0: 1, 1: 1, 3: 2, 4: 1, of 5.
    # Prefixes of one code: weights 2 and 3; ordered pairs of different items: 25 - 7 = 18, of which
    # 4 - 2 + 9 - 5 = 6 share one code, and 4 - 2 = 2 share both.
    sharing = cooccurrence_lift(CODES, [[0, 1, 3], [3, 4], []])
    np.testing.assert_allclose(sharing.share, [2 / 4, 1 / 4])
    np.testing.assert_allclose(sharing.chance, [6 / 18, 2 / 18])
    np.testing.assert_allclose(sharing.lift, [1.5, 2.25])


def test_consecutive_worked_by_hand():
    # Steps: 0→1, 1→3, then 3→4, and 4→4, which is none.
    sharing = consecutive_sharing(CODES, [[0, 1, 3], [3, 4, 4]])
    np.testing.assert_allclose(sharing.share, [2 / 3, 1 / 3])
    # Popularity 1, 1, 0, 2, 2 of 6: 36 - 10 = 26 ordered pairs; 4 - 2 + 16 - 8 = 10, and 2.
    np.testing.assert_allclose(sharing.chance, [10 / 26, 2 / 26])


def test_popularity_worked_by_hand():
    # Popularity 4, 2, 2, 1, 0 of 9: item 0 holds the first third, 1 and 2 the second, 3 the rest.
    histories = [[0, 0, 0, 0], [1, 1, 2, 2, 3]]
    load = popularity_load(CODES, histories)
    np.testing.assert_allclose(load, [[3, 2], [3, 1.5], [2, 1]])
    assert np.isnan(popularity_load(CODES[:2], [[0, 1]])[1:]).all()


def test_next_item_worked_by_hand():
    decoded = [[1.0, 0], [1, 0], [1, 0], [-1, 0.1], [-1, -0.1]]
    steps = [[0, 1], [3, 4], [0, 3]]
    # 0→1: two items tie, one place; 3→4: nearest; 0→3: far.
    assert next_item_recall(decoded, steps, n_neighbors=1) == pytest.approx((0.5 + 1 + 0) / 3)
    assert next_item_recall(decoded, steps, n_neighbors=4) == pytest.approx(1)
    # One vector for all items is chance.
    same = np.ones((5, 2))
    assert next_item_recall(same, steps, n_neighbors=1) == pytest.approx(1 / 4)


some_histories = st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=6)


@given(histories=some_histories)
@example(histories=[[0, 0, 1], [1, 1]])
def test_shares_are_those_of_all_pairs_counted_one_by_one(histories):
    pairs = [(a, b) for history in histories for a, b in combinations(history, 2) if a != b]
    steps = [(a, b) for history in histories for a, b in pairwise(history) if a != b]
    touched = [item for history in histories for item in history]
    drawn = [(a, b) for a in touched for b in touched if a != b]
    for metric, counted in ((cooccurrence_lift, pairs), (consecutive_sharing, steps)):
        if not counted:
            with pytest.raises(ValueError, match=r"None of \d+ histories|interactions is empty"):
                metric(CODES, histories)
            continue
        sharing = metric(CODES, histories)
        for length in (1, 2):
            for pairs_, result in ((counted, sharing.share), (drawn, sharing.chance)):
                equal = [(CODES[a, :length] == CODES[b, :length]).all() for a, b in pairs_]
                assert result[length - 1] == pytest.approx(np.mean(equal))


@pytest.mark.parametrize("metric", [cooccurrence_lift, consecutive_sharing])
def test_ids_dealt_at_random_share_what_chance_does_on_average(metric):
    histories = [[0, 1, 2, 0], [2, 3, 3], [4, 0], [0, 3]]
    dealt = [metric(CODES[list(order)], histories) for order in permutations(range(5))]
    np.testing.assert_allclose(
        np.mean([sharing.share for sharing in dealt], axis=0),
        np.mean([sharing.chance for sharing in dealt], axis=0),
    )


@pytest.mark.parametrize("metric", ALL)
def test_items_and_codes_may_be_renamed_and_users_reordered(metric):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (30, 3))
    histories = [rng.integers(0, 30, rng.integers(2, 9)).tolist() for _ in range(20)]
    expected = np.array(metric(codes, histories))
    order = rng.permutation(30)
    place = np.argsort(order)
    moved = [[int(place[item]) for item in history] for history in histories[::-1]]
    np.testing.assert_allclose(metric(codes[order], moved), expected)
    renamed = np.stack([rng.permutation(9)[column] for column in codes.T], axis=1)
    np.testing.assert_allclose(metric(renamed, histories), expected)
    # The first k levels are the k-level result.
    np.testing.assert_allclose(
        np.array(metric(codes[:, :2], histories)), np.array(metric(codes, histories))[:, :2]
    )


@pytest.mark.parametrize("metric", ALL)
def test_all_forms_of_histories_are_one(metric):
    names = np.array(["soap", "comb", "brush", "tea", "pot"])
    histories = [[0, 1, 3], [3, 4]]
    expected = metric(CODES, histories)
    named = [names[history].tolist() for history in histories]
    table = pd.DataFrame(
        [(user, item, time) for user, row in enumerate(named) for time, item in enumerate(row)],
        columns=["user", "item", "time"],
    ).sample(frac=1, random_state=0)
    for same in (named, table, Histories.read(named)):
        np.testing.assert_allclose(metric(CODES, same, item_ids=names), expected)
    matrix = csr_matrix(([1] * 5, ([0, 0, 0, 1, 1], [0, 1, 3, 3, 4])), shape=(2, 5))
    if metric is consecutive_sharing:
        with pytest.raises(ValueError, match="consecutive_sharing needs the order"):
            metric(CODES, matrix)
    else:
        np.testing.assert_allclose(metric(CODES, matrix), expected)


@pytest.mark.parametrize("metric", ALL)
def test_items_without_codes_are_named(metric):
    with pytest.raises(
        ValueError, match=r"hold 1 items without a row, such as 7; item_ids is None"
    ):
        metric(CODES, [[0, 7]])
    with pytest.raises(ValueError, match="such as 'x'; give their rows"):
        metric(CODES, [["a", "x"]], item_ids=list("abcde"))
    with pytest.raises(ValueError, match="5 ids, 4 of them distinct"):
        metric(CODES, [["a", "b"]], item_ids=list("abcda"))
    with pytest.raises(ValueError, match="5 samples but item_ids has 2"):
        metric(CODES, [["a", "b"]], item_ids=list("ab"))


def test_untouched_ids_of_histories_need_no_codes():
    histories = Histories.read([["a", "b", "x"], ["b", "c"]]).without_last()
    assert popularity_load([[0], [1]], histories, item_ids=["a", "b"]).shape == (3, 1)


def test_large_codes_and_many_levels_are_exact():
    codes = np.array([[2**31, 1] * 20, [2**31, 1] * 20, [2**31, 2] * 20])
    sharing = cooccurrence_lift(codes, [[0, 1, 2]])
    np.testing.assert_allclose(sharing.share, [1] + [1 / 3] * 39)


@pytest.mark.parametrize("bad", [{"n_neighbors": 5}, {"n_neighbors": 0}, {"n_queries": 0}])
def test_counts_out_of_range_are_named(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}="):
        next_item_recall(np.eye(5), [[0, 1]], **({"n_neighbors": 1} | bad))


def test_drawn_steps_estimate_all():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 4))
    histories = [rng.integers(0, 50, 20).tolist() for _ in range(50)]
    whole = next_item_recall(vectors, histories, n_queries=None)
    drawn = [next_item_recall(vectors, histories, n_queries=400, random_state=s) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert abs(drawn[0] - whole) < 0.06
