"""A catalog over a long life is what a dictionary says, whatever is done and asked between."""

import pickle
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sklearn_rqvae.semantic_id import SemanticIDIndex, _store

TEXTS = ["", "a", "a\0", "é", "e\u0301", "\u2028", "\U0001f600", "1", "01", "x" * 300, "\n"]
NUMBERS = [0, -1, 2**63 - 1, -(2**63), 2**31, 2**31 - 1, -(2**31), 2**32, 7, 8, 9]
RULES = [
    ("suffix", {}),
    ("suffix", {"codebook_sizes": 4, "suffix_size": 3}),
    ("suffix", {"codebook_sizes": 2**31}),  # IDs of more than 64 bits
    ("raise", {"codebook_sizes": 4, "max_items_per_id": 2}),
    ("none", {"codebook_sizes": 4}),
]
CODES = st.tuples(st.integers(0, 3), st.integers(0, 1))
FORMS = [list, tuple, lambda ids: np.array(ids, dtype=object)]


class LongLife(RuleBasedStateMachine):
    """What a catalog is asked is also asked of a dictionary, a list and a set."""

    @initialize(which=st.sampled_from(RULES), pool=st.sampled_from([TEXTS, NUMBERS]), codes=CODES)
    def build(self, which, pool, codes):
        self.collisions, self.options = which
        self.pool, self.path = pool, Path(mkdtemp(dir=self.folder)) / "catalog"
        self.index = SemanticIDIndex(self.collisions, **self.options).fit([codes], pool[:1])
        self.ids, self.retired = {pool[0]: tuple(self.index.ids_[0].tolist())}, set()
        self.index.save(self.path)
        self.snapshots = []

    def teardown(self):
        if getattr(self, "index", None) is not None and self.index._journal is not None:
            self.index._journal.close()

    def new(self):
        return [item for item in self.pool if item not in self.ids]

    @rule(codes=st.lists(CODES, min_size=1, max_size=4), form=st.sampled_from(FORMS))
    def append(self, codes, form):
        items = self.new()[: len(codes)]
        codes = codes[: len(items)]
        if not items:
            return
        expected = self.expected(items, codes)
        if expected is None:
            with pytest.raises(ValueError, match=r"suffixes are free|taken or retired"):
                self.index.append(codes, form(items), grow=True)
            return
        found = self.index.append(codes, form(items), grow=True)
        assert list(map(tuple, found.tolist())) == expected
        self.ids.update(zip(items, expected, strict=True))

    def expected(self, items, codes):
        """Return the IDs of new items, None where there are too few."""
        used = Counter(self.ids.values())
        if self.collisions == "none":
            return codes
        if self.collisions == "raise":
            after = used + Counter(codes)
            fits = all(after[own] <= 2 and own not in self.retired for own in codes)
            return codes if fits else None
        found = dict.fromkeys(items)
        for own in set(codes):
            crowd = sorted(item for item, code in zip(items, codes, strict=True) if code == own)
            taken = {i[-1] for i in (*used, *self.retired) if i[:-1] == own}
            first = max(taken, default=-1) + 1
            places = list(range(first, first + len(crowd)))
            size = self.options.get("suffix_size")
            if size is not None and places[-1] >= size:
                places = [place for place in range(size) if place not in taken]
            if len(places) < len(crowd):
                return None
            found.update({item: (*own, p) for item, p in zip(crowd, places, strict=False)})
        return list(found.values())

    @rule(n=st.integers(0, 3), release=st.booleans(), form=st.sampled_from(FORMS))
    def remove(self, n, release, form):
        gone = list(self.ids)[-n:] if n else []
        self.index.remove(form(gone + gone[:1]), release=release)
        for item in gone:
            own = self.ids.pop(item)
            if not release and self.collisions != "none":
                self.retired.add(own)

    @rule(journal=st.sampled_from([None, True, False]))
    def save(self, journal):
        self.index.save(self.path, journal=journal)

    @rule(journal=st.booleans())
    def load(self, journal):
        if self.index._journal is None:
            self.index.save(self.path)
        else:
            self.index._journal.close()
        self.index = SemanticIDIndex.load(self.path, journal=journal)

    @rule()
    def pickled(self):
        if self.index._journal is None:
            self.index = pickle.loads(pickle.dumps(self.index))

    @rule()
    def snapshot(self):
        self.snapshots = [(self.index.snapshot(), dict(self.ids))]

    @rule()
    def look_at_all(self):  # which packs the catalog
        assert list(self.index) == list(self.ids)
        assert list(map(tuple, self.index.ids_.tolist())) == list(self.ids.values())
        for index, ids in self.snapshots:
            assert {item: index[item] for item in index} == ids

    @invariant()
    def lookups_agree(self):
        index, ids = self.index, self.ids
        assert len(index) == len(ids)
        assert not any(item in index for item in self.new())
        assert all(index[item] == own for item, own in ids.items())
        for prefix in {(), *(own[:n] for own in ids.values() for n in range(1, len(own) + 1))}:
            inside = {item for item, own in ids.items() if own[: len(prefix)] == prefix}
            assert set(index.items(prefix).tolist()) == inside
            capacity = index.capacity(prefix)
            n_retired = sum(own[: len(prefix)] == prefix for own in self.retired)
            assert (capacity.n_items, capacity.n_retired) == (len(inside), n_retired)
            if len(prefix) < index.width:
                codes = sorted({ids[item][len(prefix)] for item in inside})
                assert index.children(prefix).tolist() == codes


def run(folder, n_lives, n_steps):
    LongLife.folder = folder
    run_state_machine_as_test(
        LongLife,
        settings=settings(
            max_examples=n_lives,
            stateful_step_count=n_steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("few", [2, 1024])
def test_a_catalog_is_what_a_dictionary_says(tmp_path, monkeypatch, few):
    # After each few changes the catalog is packed anew.
    monkeypatch.setattr(_store, "_LEAST_CHANGES", few)
    run(tmp_path, 4, 12)


@pytest.mark.slow
@pytest.mark.parametrize("few", [2, 6, 1024])
def test_a_long_life_leaves_it_so(tmp_path, monkeypatch, few):
    monkeypatch.setattr(_store, "_LEAST_CHANGES", few)
    run(tmp_path, 50, 40)
