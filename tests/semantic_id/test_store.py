"""A store with changes beside its packed arrays answers as one that is packed at once."""

import contextlib
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex, _store

SIZES = (3, 4, 2)
CODES = st.tuples(*[st.integers(0, size - 1) for size in SIZES])
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(CODES, min_size=1, max_size=4)),
    st.tuples(st.just("remove"), st.lists(st.integers(0, 40), min_size=1, max_size=3)),
    st.tuples(st.just("release"), st.lists(st.integers(0, 40), min_size=1, max_size=3)),
)
# An item goes and comes back, with a new ID behind that of a neighbor.
COMES_BACK = [("add", [(2, 3, 1)] * 3), ("release", [1]), ("add", [(2, 3, 1)]), ("remove", [0])]


def play(steps, collisions, as_text, packed):
    """Make changes one by one; with `packed` all arrays are built anew after each."""
    index = SemanticIDIndex(collisions, codebook_sizes=SIZES)
    name = (lambda number: f"item {number % 7}{number}") if as_text else (lambda number: -number)
    index.fit([(0, 0, 0), (2, 3, 1)], [name(100), name(101)])
    n_added = 0
    for kind, what in steps:
        if kind == "add":
            items = [name(n_added + i) for i in range(len(what))]
            # Of codes that are taken, none is added.
            with contextlib.suppress(*[ValueError] if collisions == "raise" else []):
                index.append(what, items, grow=True)
            n_added += len(what)
        else:
            items = [name(number) for number in what if name(number) in index]
            index.remove(items + items[:1], release=kind == "release")
        if packed:
            assert len(index._store.keys) == len(index)
            assert not index._store._parts.n_changes
    return index


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(STEP, max_size=12),
    st.sampled_from(["suffix", "raise", "none"]),
    st.booleans(),
    st.sampled_from([1, 3, 12, 1000]),
)
@example(COMES_BACK, "suffix", True, 1000)
@example(COMES_BACK, "none", False, 3)
def test_changes_beside_packed_arrays_make_no_difference(steps, collisions, as_text, room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_store, "_LEAST_CHANGES", room)
        patch.setattr(_store, "_CHANGES_PER_ROOT", 0)
        index = play(steps, collisions, as_text, packed=False)
    expected = play(steps, collisions, as_text, packed=True)
    assert len(index) == len(expected)
    items = expected.item_ids_.tolist()
    prefixes = {tuple(row[:depth]) for row in expected.ids_.tolist() for depth in range(5)}
    prefixes |= {(0,), (1, 1), (2, 3, 1)}
    for prefix in prefixes:
        if len(prefix) > expected.width:
            continue
        assert index.items(prefix).tolist() == expected.items(prefix).tolist()
        assert index.children(prefix).tolist() == expected.children(prefix).tolist()
        assert index.capacity(prefix) == expected.capacity(prefix)
        assert index._store.range(prefix) == expected._store.range(prefix)
        got, want = (np.sort(i._store.keys_with(prefix)) for i in (index, expected))
        assert got.tolist() == want.tolist()
    assert [index[item] for item in items] == [expected[item] for item in items]
    assert np.array_equal(index.ids_of(items), expected.ids_of(items))
    keys = np.sort(expected._store.keys)
    assert index._store.count(keys, keys).tolist() == expected._store.count(keys, keys).tolist()
    # Only now all of them at once, which packs.
    assert index.item_ids_.tolist() == items
    assert np.array_equal(index.ids_, expected.ids_)
    assert index.items().tolist() == expected.items().tolist()
    assert index._store.retired.tolist() == expected._store.retired.tolist()
    assert index.fingerprint == expected.fingerprint


def test_children_of_a_crowded_prefix_are_counted_across_changes():
    # More items than codes: counts decide, not the codes of all items.
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, size=(200, 2))
    index = SemanticIDIndex("none", codebook_sizes=4).fit(codes)
    gone = np.flatnonzero((codes == (1, 2)).all(1))
    index.remove(gone).append([(1, 3)], [1000], grow=True)
    assert index._store._parts.n_changes
    assert index.children((1,)).tolist() == [0, 1, 3]
    assert index.children().tolist() == [0, 1, 2]
    assert index._store._parts.n_changes


def test_a_single_change_copies_no_packed_array():
    index = SemanticIDIndex().fit(np.random.default_rng(0).integers(0, 50, size=(5000, 3)))
    before = index._store._parts.base
    index.append([(1, 2, 3)], [9000], grow=True).tolist()
    index.remove([9000, 17])
    assert index._store._parts.base is before
    assert 17 not in index
    assert len(index) == 4999


def test_a_snapshot_does_not_follow():
    index = SemanticIDIndex().fit([[3, 1], [3, 1]], ["tea", "cup"])
    now = index.snapshot()
    index.append([[3, 1]], ["pot"], grow=True)
    index.remove(["tea"])
    assert now.items().tolist() == ["cup", "tea"]
    assert index.items().tolist() == ["cup", "pot"]
    now.append([[0, 0]], ["pen"], grow=True)
    assert "pen" not in index


def test_readers_see_one_state_while_others_write():
    # Items come and go in pairs, in one call each. A reader never sees half a pair, and the
    # answers of a snapshot fit together.
    n_pairs, stop, failures = 40, threading.Event(), []
    codes = np.random.default_rng(0).integers(0, 20, size=(3000, 2))
    index = SemanticIDIndex("none", codebook_sizes=30).fit(codes)

    def write(own):
        pair, where = [10_000 + own, 20_000 + own], [(25, 1), (25, 2)]
        while not stop.is_set():
            index.append(where, pair, grow=True)
            index.remove(pair)

    def read(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            found = index.items((25,))
            if len(found) % 2 or len(np.unique(found % 10_000)) != len(found) // 2:
                failures.append(("half a pair", found))
            row = int(rng.integers(3000))
            if index[row] != tuple(codes[row].tolist()) or row not in index.items(codes[row]):
                failures.append(("a wrong ID", row))
            now = index.snapshot()
            if len(now) != len(now.items()) or len(now.ids_) != len(now.item_ids_):
                failures.append(("a snapshot that doesn't fit", len(now)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_store, "_LEAST_CHANGES", 16)  # so that packing happens all the time
        patch.setattr(_store, "_CHANGES_PER_ROOT", 0)
        work = [threading.Thread(target=write, args=(own,)) for own in range(2)]
        work += [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for thread in work:
            thread.start()
        stop.wait(n_pairs / 20)
        stop.set()
        for thread in work:
            thread.join()
    assert not failures, failures[:3]
    assert len(index) == 3000


def test_writers_in_threads_lose_nothing():
    index = SemanticIDIndex(codebook_sizes=4).fit([[0, 0]], [-1])

    def write(own):
        for number in range(100):
            index.append([[1, 2]], [own * 100 + number], grow=True)

    work = [threading.Thread(target=write, args=(own,)) for own in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(index.items((1, 2)).tolist()) == list(range(400))
    assert index.ids_[:, 2].max() == 399
