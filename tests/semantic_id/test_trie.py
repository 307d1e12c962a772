"""The numpy trie against sets of prefixes."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex, SemanticIDTrie

IDS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 3)] * width), min_size=1, max_size=20)
)


@given(IDS)
@example([(3, 3), (3, 3), (0, 0)])
def test_children_equal_those_of_a_set_of_ids(ids):
    trie = SemanticIDTrie(ids)
    width = len(ids[0])
    assert trie.width == width
    for depth in range(width + 1):
        prefixes = {row[:depth] for row in ids}
        if depth:
            assert trie.n_nodes[depth - 1] == len(prefixes)
        for prefix in prefixes:
            assert prefix in trie
            following = {row[depth] for row in ids if depth < width and row[:depth] == prefix}
            assert trie.children(prefix).tolist() == sorted(following)
    unused = (4,) * width
    assert unused not in trie
    assert not trie.children(unused).size


@given(IDS, st.integers(0, 10**6))
@example([(3, 3, 3, 3), (3, 3, 3, 3), (0, 0, 0, 0)], 11)  # asks for (0, 3) too
def test_masks_of_a_batch_equal_children_one_by_one(ids, seed):
    trie = SemanticIDTrie(ids, [5] * len(ids[0]))
    rng = np.random.default_rng(seed)
    for depth in range(trie.width):
        prefixes = np.concatenate(
            [np.array([row[:depth] for row in ids]), rng.integers(0, 6, size=(5, depth))]
        ).astype(int)
        mask = trie.allowed(prefixes)
        assert mask.shape == (len(ids) + 5, 5)
        for row, prefix in zip(mask, prefixes.tolist(), strict=True):
            assert np.flatnonzero(row).tolist() == trie.children(prefix).tolist()


def test_greedy_decoding_with_the_mask_ends_in_ids():
    # What a decoder of any framework does: add scores, forbid the rest, take the best.
    rng = np.random.default_rng(0)
    index = SemanticIDIndex("none").fit(rng.integers(0, 50, size=(300, 3)))
    trie = index.trie()
    prefixes = np.empty((40, 0), dtype=int)
    while prefixes.shape[1] < trie.width:
        mask = trie.allowed(prefixes)
        scores = np.where(mask, rng.normal(size=mask.shape), -np.inf)
        prefixes = np.concatenate([prefixes, scores.argmax(axis=1)[:, None]], axis=1)
    existing = set(map(tuple, index.ids_.tolist()))
    assert set(map(tuple, prefixes.tolist())) <= existing


def test_an_empty_trie_allows_nothing():
    trie = SemanticIDTrie(np.empty((0, 2), dtype=int), [3, 4])
    assert not trie.children().size
    assert () not in trie
    assert not trie.allowed(np.empty((2, 0), dtype=int)).any()
    assert not trie.allowed([[1], [2]]).any()


@pytest.mark.parametrize(
    ("ids", "sizes", "match"),
    [
        ([1, 2], None, "shape"),
        ([[0.5]], None, "integers"),
        ([[3]], [3], "level_sizes"),
        ([[0, -1]], None, "level_sizes"),
        ([[0, 1]], [2], "2 columns"),
    ],
)
def test_malformed_ids_are_errors(ids, sizes, match):
    with pytest.raises(ValueError, match=match):
        SemanticIDTrie(ids, sizes)


def test_prefixes_of_whole_ids_are_errors_in_masks():
    with pytest.raises(ValueError, match="n_levels < 2"):
        SemanticIDTrie([[0, 1]]).allowed([[0, 1]])
