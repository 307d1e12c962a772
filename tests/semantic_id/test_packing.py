"""A catalog that is packed step by step while it changes answers as a dictionary does."""

import pickle

import numpy as np
import pytest

from sklearn_rqvae.semantic_id import SemanticIDIndex, _packing, _store

SIZES = (4, 5)


class Play:
    """Make random changes, and write down what should be there."""

    def __init__(self, seed, collisions, as_text, n_items=60):
        self.rng = np.random.default_rng(seed)
        self.name = (lambda n: f"{n % 7} {n}") if as_text else (lambda n: n * (-1) ** n)
        self.n_named = n_items
        items = [self.name(n) for n in range(n_items)]
        codes = self.codes(n_items)
        self.index = SemanticIDIndex(collisions, codebook_sizes=SIZES).fit(codes, items)
        self.truth = {item: self.index[item] for item in items}

    def codes(self, n):
        return np.stack([self.rng.integers(size, size=n) for size in SIZES], axis=1)

    def change(self):
        gone = [item for item in list(self.truth) if self.rng.random() < 0.02]
        if self.rng.random() < 0.4 and gone:
            gone = gone[:3]
            release = self.rng.random() < 0.3
            self.index.remove(gone, release=release)
            for item in gone:
                del self.truth[item]
            return
        n_new = int(self.rng.integers(1, 4))
        items = [self.name(self.n_named + n) for n in range(n_new)]
        self.n_named += n_new
        back = [item for item in map(self.name, range(self.n_named)) if item not in self.truth]
        if self.rng.random() < 0.3:  # one that was there comes back
            items[0] = back[int(self.rng.integers(len(back)))]
            items = list(dict.fromkeys(items))
        ids = self.index.append(self.codes(len(items)), items, grow=True)
        self.truth.update(zip(items, map(tuple, ids.tolist()), strict=True))

    def check(self):
        assert len(self.index) == len(self.truth)
        for item, semantic_id in list(self.truth.items())[::7]:
            assert self.index[item] == semantic_id
            assert item in self.index.items(semantic_id).tolist()
        for first in range(SIZES[0]):
            under = sorted(item for item, row in self.truth.items() if row[0] == first)
            assert sorted(self.index.items((first,)).tolist()) == under
            assert self.index.capacity((first,)).n_items == len(under)


@pytest.mark.parametrize("collisions", ["suffix", "none"])
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(("most", "queries"), [(40, 1), (100, 4)])
def test_changes_while_packing_are_kept(collisions, as_text, most, queries, monkeypatch):
    monkeypatch.setattr(_store, "_LEAST_CHANGES", most)
    monkeypatch.setattr(_store, "_CHANGES_PER_ROOT", 0)
    monkeypatch.setattr(_packing, "_QUERIES", queries)
    play, n_packed, n_under_way = Play(most, collisions, as_text), 0, 0
    for _ in range(4 * most):
        before = play.index._store._parts
        play.change()
        now = play.index._store._parts
        n_under_way += now.packing is not None
        if now.base is not before.base:
            n_packed += now.n_changes > 0  # what came while it was packed isn't yet
            play.check()
    assert n_packed > 1
    assert n_under_way > n_packed
    play.check()
    # The same arrays as those that are packed at once.
    parts = play.index._store._parts
    while parts.packing is None:
        play.change()
        parts = play.index._store._parts
    parts.packing.advance(1e9)
    began, done = parts.packing, parts.packing.result
    whole = _store._packed(_store.Parts(began.base, began.recent, began.dead, began.places)).base
    for name in ("keys", "order", "item_ids", "item_order", "retired"):
        one, other = getattr(done, name), getattr(whole, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_copies_and_snapshots_go_on_by_themselves(monkeypatch):
    monkeypatch.setattr(_store, "_LEAST_CHANGES", 40)
    monkeypatch.setattr(_store, "_CHANGES_PER_ROOT", 0)
    play = Play(0, "suffix", as_text=False)
    while play.index._store._parts.packing is None:
        play.change()
    others = [play.index.snapshot(), pickle.loads(pickle.dumps(play.index))]
    assert len(pickle.loads(pickle.dumps(play.index._store))) == len(play.index)
    expected = dict(play.truth)
    for other in others:
        for number in range(60):
            other.append([[0, 0]], [10_000 + number], grow=True)
        other.remove(list(range(10_000, 10_060)))
    for _ in range(60):
        play.change()
    play.check()
    for other in others:
        assert {item: other[item] for item in other.item_ids_.tolist()} == expected
