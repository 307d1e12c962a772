"""IDs that so many items may share: none has more, and only what doesn't fit moves."""

import contextlib
import itertools
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex
from tests.semantic_id.test_index import SIZES, candidates_for

CODES = st.lists(st.tuples(*[st.integers(0, size - 1) for size in SIZES]), min_size=1, max_size=24)
CROWD = [(2, 3, 1)] * 24


def build(codes, n_places, priority=None, **options):
    index = SemanticIDIndex("reassign", codebook_sizes=SIZES, max_items_per_id=n_places, **options)
    return index.fit(codes, candidates=candidates_for(codes), priority=priority)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(CODES, st.integers(1, 5), st.booleans(), st.integers(0, 99))
@example(CROWD, 2, True, 0)
@example(CROWD, 1, False, 0)
@example([(0, 0, 1)] * 2 + [(1, 0, 0)] * 3, 1, False, 0)
def test_only_what_does_not_fit_moves(codes, n_places, with_priority, seed):
    priority = np.random.default_rng(seed).integers(0, 5, len(codes)) if with_priority else None
    index = build(codes, n_places, priority)
    counts = Counter(map(tuple, index.ids_.tolist()))
    assert max(counts.values()) <= n_places
    moved = (index.ids_ != codes).any(1)
    crowds = Counter(codes)
    too_many = sum(max(0, n - n_places) for n in crowds.values())
    assert moved.sum() == index.report_.n_moved >= too_many
    # Items of two crowds may change places at no cost; nobody else makes room.
    assert not moved[[crowds[own] <= n_places for own in codes]].any()
    if with_priority:  # those that stay come first
        assert moved.sum() == too_many
        for own in set(codes):
            rows = [row for row, other in enumerate(codes) if other == own]
            rows.sort(key=lambda row: (-priority[row], row))
            assert not moved[rows[:n_places]].any()
    for own in counts:
        found = index.items(own).tolist()
        order = [(0 if priority is None else -priority[row], row) for row in found]
        assert order == sorted(order)
    # In any order of rows.
    shuffle = np.random.default_rng(seed).permutation(len(codes))
    other = SemanticIDIndex("reassign", codebook_sizes=SIZES, max_items_per_id=n_places)
    some = [codes[row] for row in shuffle]
    other.fit(
        some, shuffle, candidates=candidates_for(some),
        priority=None if priority is None else priority[shuffle],
    )  # fmt: skip
    assert other.fingerprint == index.fingerprint


@given(CODES)
@example(CROWD)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=20)
def test_one_item_for_each_id_is_what_no_number_means(codes):
    index = SemanticIDIndex("reassign", codebook_sizes=SIZES)
    index.fit(codes, candidates=candidates_for(codes))
    one = build(codes, 1)
    assert one.report_.error_after == pytest.approx(index.report_.error_after)
    assert len(np.unique(one.ids_, axis=0)) == len(codes)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(CODES, CODES, st.integers(1, 4), st.sets(st.integers(0, 23), max_size=3), st.booleans())
@example(CROWD[:5], CROWD[:8], 2, {0, 1}, False)
def test_new_items_take_the_places_that_are_left(codes, more, n_places, gone, release):
    index = build(codes, n_places)
    before = index.ids_
    gone = [row for row in gone if row < len(codes)]
    index.remove(gone, release=release)
    retired = set() if release else {tuple(before[row]) for row in gone}
    kept = Counter(index[row] for row in range(len(codes)) if row in index)
    n_free = 24 * n_places - sum(
        n_places if i in retired else kept[i] for i in kept | Counter(retired)
    )
    if len(more) > n_free:
        return
    items = [100 + i for i in range(len(more))]
    new = index.append(more, items, candidates=candidates_for(more), grow=True)
    for row in range(len(codes)):
        assert row in gone or index[row] == tuple(before[row])
    after = Counter(map(tuple, index.ids_.tolist()))
    assert max(after.values()) <= n_places
    assert not retired & set(map(tuple, new.tolist()))
    stays = sum(
        min(n, 0 if own in retired else n_places - kept[own]) for own, n in Counter(more).items()
    )
    n_stayed = (new == more).all(1).sum()
    assert n_stayed <= stays
    left = {own: 0 if own in retired else n_places - kept[own] for own in set(more)}
    if sum(n > left[own] for own, n in Counter(more).items()) == 1:
        # Where two IDs have too many, it can cost less in all if an item of one takes the other.
        assert n_stayed == stays
    for own in after:  # behind those that are there
        assert index.items(own).tolist() == sorted(index.items(own).tolist())


def test_the_most_popular_stay_and_come_first():
    codes, popularity = [[0, 0], [0, 0], [0, 0], [0, 1]], [5, 9, 7, 1]
    grid = np.array([[[0, 0], [0, 1], [1, 0]]] * 4)
    errors = np.array([[0.0, 1.0, 5.0]] * 3 + [[1.0, 0.0, 5.0]])
    index = SemanticIDIndex("reassign", codebook_sizes=2, max_items_per_id=2)
    index.fit(codes, ["a", "b", "c", "d"], candidates=(grid, errors), priority=popularity)
    assert index.items((0, 0)).tolist() == ["b", "c"]
    assert index.items((0, 1)).tolist() == ["a", "d"]
    assert index.capacity((0,)) == (4, 0, 4, 0)
    assert index.capacity() == (4, 0, 8, 4)
    with pytest.raises(KeyError, match="2 items share"):
        index.item((0, 0))
    more = (np.array([[[0, 0], [1, 1]]] * 2), np.array([[0.0, 1.0]] * 2))
    index.append([[0, 0]] * 2, ["e", "f"], candidates=more, priority=[1, 2], grow=True)
    assert index.items((1, 1)).tolist() == ["f", "e"]


def test_priority_orders_suffixes_and_shared_ids_too():
    codes = [[0], [0], [1], [0]]
    assert SemanticIDIndex().fit(codes, priority=[1, 3, 0, 2]).ids_[:, 1].tolist() == [2, 0, 0, 1]
    shared = SemanticIDIndex("none").fit(codes, priority=np.array([1, 3, 0, 2], dtype=np.uint8))
    assert shared.items((0,)).tolist() == [1, 3, 0]
    read = SemanticIDIndex.from_ids(codes, collisions="none", priority=[1, 3, 0, 2])
    assert read.items((0,)).tolist() == [1, 3, 0]


def test_raise_allows_as_many_as_it_is_told(tmp_path):
    index = SemanticIDIndex("raise", codebook_sizes=2, max_items_per_id=2)
    with pytest.raises(ValueError, match="3 of 3 items share"):
        index.fit([[0, 0]] * 3)
    index.fit([[0, 0]] * 2, priority=[1, 2])
    with pytest.raises(ValueError, match="taken or retired"):
        index.append([[0, 0]], [5], grow=True)
    index.append([[0, 1]] * 2, [5, 6], priority=[1, 2], grow=True)
    assert index.items().tolist() == [1, 0, 6, 5]
    index.save(tmp_path / "catalog.sid", journal=True)
    index.append([[1, 1]] * 2, [7, 8], priority=[1, 2], grow=True)
    for other in (
        SemanticIDIndex.load(tmp_path / "catalog.sid"),
        pickle.loads(pickle.dumps(index)),
    ):
        assert other.max_items_per_id == 2
        assert other.items().tolist() == [1, 0, 6, 5, 8, 7]
        assert other.fingerprint == index.fingerprint
        with pytest.raises(ValueError, match="taken or retired"):
            other.append([[1, 1]], [9], grow=True)
    final = SemanticIDIndex.from_ids(index.ids_, max_items_per_id=2)
    assert final.items((1, 1)).tolist() == [4, 5]
    with pytest.raises(ValueError, match="share their ID"):
        SemanticIDIndex.from_ids([[0, 0]] * 3, max_items_per_id=2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"collisions": "suffix"}, "suffix_size limits"),
        ({"collisions": "none"}, "any number of items"),
        ({"collisions": "raise", "max_items_per_id": 0}, "positive integer"),
        ({"collisions": "raise", "max_items_per_id": 2**33}, r"at most 2\*\*32"),
    ],
)
def test_what_makes_no_sense_is_named(options, match):
    with pytest.raises(ValueError, match=match):
        SemanticIDIndex(**{"max_items_per_id": 2, **options}).fit([[0]])


@pytest.mark.parametrize("priority", [[1.0], [[1], [2]], ["a", "b"], [1.0, np.nan]])
def test_priority_wants_a_number_for_each_item(priority):
    with pytest.raises(ValueError, match=r"one number for each|finite"):
        SemanticIDIndex().fit([[0], [1]], priority=priority)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 6), st.randoms(use_true_random=False))
@example(3, 3, None)
def test_capacity_counts_the_places_that_can_be_taken(n_places, n_removed, random):
    # A retired ID has no place, whoever is left on it.
    codes = [(0, 0)] * n_places + [(1, 1)] + [(0, 1)] * (n_places - 1)
    index = SemanticIDIndex("raise", codebook_sizes=2, max_items_per_id=n_places).fit(codes)
    gone = list(range(len(codes))) if random is None else random.sample(range(50), 50)
    index.remove([item for item in gone if item < len(codes)][:n_removed])
    prefixes = [(), *itertools.product((0, 1)), *itertools.product((0, 1), repeat=2)]
    told = {prefix: index.capacity(prefix).n_free for prefix in prefixes}
    found = Counter()
    for own in itertools.product((0, 1), repeat=2):
        for number in range(n_places):
            with contextlib.suppress(ValueError):
                index.append([own], [1000 * number + 10 * own[0] + own[1] + 100])
                found.update([(), own[:1], own])
    assert told == {prefix: found[prefix] for prefix in prefixes}
    assert all(index.capacity(prefix).n_free == 0 for prefix in prefixes)


def test_a_retired_id_with_an_item_left_on_it_takes_its_places_once():
    # Three places are left under the code 0, and one under 1.
    grid = np.array(list(itertools.product((0, 1), repeat=2)))

    def any_of_them(n_items):
        return np.tile(grid, (n_items, 1, 1)), np.ones((n_items, 4))

    index = SemanticIDIndex(
        "reassign", codebook_sizes=2, max_items_per_id=2, max_items_per_first_code=4
    ).fit([[0, 0], [0, 0], [1, 1]], candidates=any_of_them(3))
    index.remove([0])
    index.append([[0, 0]] * 5, range(10, 15), candidates=any_of_them(5))
    assert sorted(map(tuple, index.ids_.tolist())) == [
        (0, 0), (0, 1), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1)
    ]  # fmt: skip
    assert index.capacity().n_free == 0


@pytest.mark.parametrize("look", [lambda index: None, lambda index: index.ids_])
def test_an_id_is_retired_once_whatever_was_asked_between(look):
    # ids_ packs the catalog; the second removal had counted the ID again then.
    index = SemanticIDIndex("raise", codebook_sizes=2, max_items_per_id=3)
    index.fit([[0, 0]] * 3 + [[1, 1]], list("abcd"))
    for n_left, item in ((2, "a"), (1, "b"), (0, "c")):
        index.remove([item])
        assert index.capacity((0, 0)) == (n_left, 1, 3, 0)
        assert index.capacity() == (n_left + 1, 1, 12, 8)
        look(index)
