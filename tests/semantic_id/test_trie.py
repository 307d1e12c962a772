"""The numpy trie against sets of prefixes."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex, SemanticIDTrie, _trie, _trie_level

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


@pytest.mark.parametrize("kind", ["u1", "u4", "u8", "i1", "i2"])
def test_ids_of_any_integers_make_the_same_trie(kind):
    # 127 + 1 is -128 in eight bits, and no unsigned type has -1.
    ids = np.array([[0, 127], [2, 1], [2, 0]])
    trie = SemanticIDTrie(ids.astype(kind))
    assert trie.level_sizes == (3, 128)
    np.testing.assert_array_equal(trie.ids(), SemanticIDTrie(ids).ids())
    assert trie.allowed(np.array([[0], [1], [2]], dtype=kind)).sum(axis=1).tolist() == [1, 0, 2]
    assert SemanticIDTrie(ids[:0].astype(kind), (3, 128)).children().tolist() == []


@pytest.mark.parametrize("prefixes", [[[0.0]], [[np.nan]], [["0"]], [0]])
def test_prefixes_that_are_no_codes_are_errors(prefixes):
    with pytest.raises(ValueError, match=r"prefixes .*shape"):
        SemanticIDTrie([[0, 1]]).allowed(prefixes)
    with pytest.raises(ValueError, match="prefixes should be integers of shape"):
        SemanticIDTrie([[0, 1]]).nodes(prefixes)


def test_prefixes_of_whole_ids_are_errors_in_masks():
    with pytest.raises(ValueError, match="n_levels < 2"):
        SemanticIDTrie([[0, 1]]).allowed([[0, 1]])


def sets_of(ids):
    return {tuple(row[:depth]) for row in ids for depth in range(len(ids[0]) + 1)}


def both(trie, prefixes):
    """Return the mask, after checking that tensors and single steps say the same."""
    mask = trie.allowed(prefixes)
    tensors = trie.to_torch()
    prefixes = torch.from_numpy(np.asarray(prefixes))
    assert np.array_equal(tensors.allowed(prefixes).numpy(), mask)
    assert np.array_equal(tensors.nodes(prefixes).numpy(), trie.nodes(prefixes))
    # Batches may have more axes than one.
    more = tensors.mask(tensors.nodes(prefixes)[None, :, None], prefixes.shape[1])
    assert np.array_equal(more[0, :, 0].numpy(), mask)
    return mask


@pytest.mark.parametrize("size", [5, 8, 300, 70_000])
@pytest.mark.parametrize("dense", [0, 16, 10**9])
@pytest.mark.parametrize("most_rows", [0, 3, 1024])
def test_dense_and_sparse_levels_say_the_same_restricted_or_not(
    size, dense, most_rows, monkeypatch
):
    monkeypatch.setattr(_trie, "_MOST_ROWS", most_rows)
    monkeypatch.setattr(_trie_level, "_DENSE_BYTES", dense if size < 1000 else min(dense, 16))
    rng = np.random.default_rng(size + dense % 7)
    ids = rng.integers(0, min(size, 9), size=(60, 3)) * ((size - 1) // 8 or 1)
    ids = np.minimum(ids, size - 1)
    ids = np.concatenate([ids, ids[:20]])[rng.permutation(80)]
    whole = SemanticIDTrie(ids, [size] * 3)
    wanted = [np.ones(80, bool), np.zeros(80, bool), *(rng.random((3, 80)) < 0.3)]
    for allowed in wanted:
        trie = whole.restrict(allowed)
        some = ids[allowed].tolist()
        paths = sets_of(some) if some else set()
        expected = sorted({tuple(row) for row in some})
        assert trie.ids().tolist() == [list(row) for row in expected]
        assert trie.n_nodes == tuple(len({p for p in paths if len(p) == d}) for d in (1, 2, 3))
        for depth in range(3):
            prefixes = np.concatenate([ids[:, :depth], rng.integers(-1, size + 1, (20, depth))])
            mask = both(trie, prefixes)
            for row, prefix in zip(mask, prefixes.tolist(), strict=True):
                following = sorted(p[-1] for p in paths if p[:-1] == tuple(prefix) and p)
                assert np.flatnonzero(row).tolist() == following
                assert trie.children(prefix).tolist() == following
        for prefix in [*map(tuple, ids.tolist()), (0, 0, 1), (0,)]:
            assert (prefix in trie) == (prefix in paths)
        found = trie.nodes(ids) >= 0
        assert found.tolist() == [tuple(row) in paths for row in ids.tolist()]
    assert whole.allowed(ids[:, :2]).any(1).all()  # a restriction leaves the whole as it was


def test_a_restriction_stays_when_the_flags_change():
    allowed = np.array([True, False, True])
    trie = SemanticIDTrie([[0, 900], [1, 7], [1, 30]], [2, 1000])
    some = trie.restrict(allowed)
    allowed[:] = False
    assert some.ids().tolist() == [[0, 900], [1, 30]]
    assert pickle.loads(pickle.dumps(some)).ids().tolist() == [[0, 900], [1, 30]]


def test_an_index_restricts_by_the_order_of_its_items():
    rng = np.random.default_rng(1)
    index = SemanticIDIndex("none", codebook_sizes=6).fit(
        rng.integers(0, 6, size=(200, 3)), [f"item {i}" for i in rng.permutation(200)]
    )
    index.append([[5, 5, 5]], ["new"]).tolist()
    stock = np.isin(index.item_ids_, index.item_ids_[[3, 50, 200]])
    trie = index.trie().restrict(stock)
    expected = index.ids_of(index.item_ids_[stock])
    assert trie.ids().tolist() == sorted(expected.tolist())
    with pytest.raises(ValueError, match="201 times True or False"):
        index.trie().restrict(stock[:-1])
    with pytest.raises(ValueError, match=r"np\.isin"):
        index.trie().restrict(index.item_ids_)


@given(IDS)
@example([(3, 3), (3, 3), (0, 0)])
def test_compressed_rows_walk_to_the_same_ids(ids):
    trie = SemanticIDTrie(ids)
    indptr, codes, level_starts = trie.to_csr()
    found = []

    def walk(node, path):
        if node >= level_starts[-2]:
            found.append(path)
            return
        for edge in range(indptr[node], indptr[node + 1]):
            walk(edge + 1, (*path, int(codes[edge])))

    walk(0, ())
    assert found == sorted(set(ids))
    assert np.diff(level_starts).tolist() == [1, *trie.n_nodes]
    assert len(codes) == len(indptr) - 1 + trie.n_nodes[-1] - 1


def slow_static(ids, vocab_size, n_dense):
    """Number states and list edges as STATIC documents it, with dictionaries."""
    ids, width = sorted(set(map(tuple, ids))), len(ids[0])
    state = {row[:1]: row[0] + 1 for row in ids}
    number = vocab_size + 1
    for depth in range(2, width):
        for prefix in sorted({row[:depth] for row in ids}):
            state[prefix], number = number, number + 1
    edges = {}
    for depth in range(2, width + 1):
        for prefix in sorted({row[:depth] for row in ids}):
            to = state[prefix] if depth < width else 0
            edges.setdefault(state[prefix[:-1]], []).append((prefix[-1], to))
    csr, indptr = [], [0]
    for node in range(number):
        csr += edges.get(node, [])
        indptr.append(len(csr))
    csr += [(vocab_size, 0)] * vocab_size
    indptr.append(len(csr))
    by_depth = [{row[:depth] for row in ids} for depth in range(width)]
    branches = tuple(
        max(len({row[depth] for row in ids if row[:depth] == prefix}) for prefix in by_depth[depth])
        for depth in range(width)
    )
    start = [token in {row[0] for row in ids} for token in range(vocab_size)]
    dense = np.zeros((vocab_size,) * n_dense, dtype=np.int32)
    for row in ids:
        dense[row[:n_dense]] = state[row[:n_dense]]
    return csr, indptr, branches, start, dense > 0, dense


@given(IDS.filter(lambda ids: len(ids[0]) > 1), st.integers(4, 6), st.integers(1, 2))
@example([(0, 1, 1), (0, 2, 0), (2, 1, 1), (2, 1, 2)], 4, 2)
def test_the_arrays_of_static_are_equal_bit_for_bit(ids, vocab_size, n_dense):
    n_dense = min(n_dense, len(ids[0]) - 1)
    found = SemanticIDTrie(ids).to_static(vocab_size, n_dense=n_dense)
    expected = slow_static(ids, vocab_size, n_dense)
    for array, list_, dtype in zip(
        [part for part in found if not isinstance(part, tuple)],
        [part for part in expected if not isinstance(part, tuple)],
        [np.int32, np.int32, bool, bool, np.int32],
        strict=True,
    ):
        assert array.dtype == dtype
        assert np.array_equal(array, list_)
        assert array.flags.c_contiguous
    assert found.layer_max_branches == expected[2]


def test_the_arrays_of_static_by_hand():
    # Tokens 2 and 0 begin IDs: states 3 and 1. Of two codes there are (0, 1), (0, 2) and (2, 1):
    # states 4 to 6, behind the three tokens and the end.
    index = SemanticIDTrie([[2, 1, 2], [0, 1, 1], [0, 2, 0], [2, 1, 1]]).to_static(3)
    assert index.packed_csr[:7].tolist() == [[1, 4], [2, 5], [1, 6], [1, 0], [0, 0], [1, 0], [2, 0]]
    assert index.packed_csr[7:].tolist() == [[3, 0]] * 3
    assert index.indptr.tolist() == [0, 0, 2, 2, 3, 4, 5, 7, 10]
    assert index.layer_max_branches == (2, 2, 2)
    assert index.start_mask.tolist() == [True, False, True]
    assert index.dense_states.tolist() == [[0, 4, 5], [0, 0, 0], [0, 6, 0]]


def test_static_takes_tokens_of_a_model_and_names_what_it_cannot_do():
    trie = SemanticIDTrie([[0, 1], [1, 0]])
    tokens = [[9, 5], [2, 7]]  # not in the order of codes
    index = trie.to_static(token_ids=tokens, n_dense=1)
    assert index.start_mask.nonzero()[0].tolist() == [5, 9]
    assert index.packed_csr[:2, 0].tolist() == [2, 7]
    with pytest.raises(ValueError, match="vocab_size=3 should be above the largest token, 9"):
        trie.to_static(3, tokens)
    with pytest.raises(ValueError, match=r"n_dense=2 should be in \[1, 2\)"):
        trie.to_static(10)
    with pytest.raises(ValueError, match="n_dense=1"):
        SemanticIDTrie([[0, 1, 2]]).to_static(150_000)
    with pytest.raises(ValueError, match="no IDs"):
        trie.restrict([False, False]).to_static()
