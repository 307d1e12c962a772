"""SemanticIDIndex against a dictionary, and laws that hold for any catalog."""

import copy
import pickle
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import SemanticIDIndex, last_level_candidates
from sklearn_rqvae.semantic_id._collisions import _assignment

HOSTILE = [
    "",
    "<a_1>",
    "a\0",
    "a",
    "\0",
    "0",
    "00",
    "é",
    "é",
    "\U0001f600",
    "x" * 5000,
    "1,2",
    '"\n',
]
SIZES = (3, 4, 2)

# As many items as there are IDs, all with the same one, the last.
CROWD = dict.fromkeys(range(24), (2, 3, 1))


def rows_of(n_levels=3, sizes=SIZES):
    return st.tuples(*[st.integers(0, size - 1) for size in sizes[:n_levels]])


def item_ids(as_text):
    if as_text:
        return st.one_of(st.sampled_from(HOSTILE), st.text(max_size=6))
    return st.one_of(st.integers(-5, 30), st.integers(-(2**63), 2**63 - 1))


@st.composite
def catalogs(draw, min_size=1, max_size=24):
    """Draw a dictionary of item → codes, and some more of both for later."""
    as_text = draw(st.booleans())
    items = draw(st.lists(item_ids(as_text), unique=True, min_size=min_size, max_size=max_size))
    codes = [draw(rows_of()) for _ in items]
    return dict(zip(items, codes, strict=True))


def suffix_oracle(catalog):
    """Number the items with the same codes in the order of their ids."""
    groups = {}
    for item in sorted(catalog):
        groups.setdefault(catalog[item], []).append(item)
    return {item: (*codes, n) for codes, group in groups.items() for n, item in enumerate(group)}


def candidates_for(codes, sizes=SIZES, n_candidates=None, seed=0):
    """List all IDs as candidates, with the squared distance of random codewords as error."""
    rng = np.random.default_rng(seed)
    books = [rng.normal(size=(size, 2)) / (level + 1) for level, size in enumerate(sizes)]
    grid = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, len(sizes))
    points = sum(book[column] for book, column in zip(books, grid.T, strict=True))
    own = sum(book[column] for book, column in zip(books, np.asarray(codes).T, strict=True))
    errors = ((own[:, None] - points) ** 2).sum(-1)
    nearest = np.argsort(errors, axis=1, kind="stable")[:, :n_candidates]
    return grid[nearest], np.take_along_axis(errors, nearest, axis=1)


def build(catalog, collisions, order=None, **options):
    items = list(catalog)
    items = [items[place] for place in order] if order is not None else items
    codes = [catalog[item] for item in items]
    if collisions == "reassign":
        options.setdefault("candidates", candidates_for(codes))
    index = SemanticIDIndex(collisions, codebook_sizes=SIZES)
    return index.fit(codes, items, **options)


def as_dict(index):
    return {
        item: tuple(row)
        for item, row in zip(index.item_ids_.tolist(), index.ids_.tolist(), strict=True)
    }


@given(catalogs(), st.randoms())
@example(dict.fromkeys(HOSTILE, (0, 0, 0)), Random(0))
def test_suffix_equals_oracle_in_any_row_order(catalog, random):
    order = list(range(len(catalog)))
    random.shuffle(order)
    index = build(catalog, "suffix", order)
    assert as_dict(index) == suffix_oracle(catalog)
    assert index.item_ids_.tolist() == [list(catalog)[place] for place in order]


@given(catalogs(max_size=24), st.randoms())
@example(CROWD, Random(0))
def test_reassign_is_unique_order_independent_and_idempotent(catalog, random):
    order = list(range(len(catalog)))
    random.shuffle(order)
    index = build(catalog, "reassign")
    assert as_dict(build(catalog, "reassign", order)) == as_dict(index)
    assert len(set(as_dict(index).values())) == len(catalog)
    again = build(as_dict(index), "reassign")
    assert as_dict(again) == as_dict(index)
    assert again.report_.n_moved == 0
    assert again.report_.n_colliding == 0


@given(catalogs(max_size=24))
@example({**CROWD, 0: (0, 0, 0)})
def test_reassign_moves_colliding_items_only_and_reports_what_it_cost(catalog):
    index = build(catalog, "reassign")
    shared = {codes for codes in catalog.values() if list(catalog.values()).count(codes) > 1}
    final = as_dict(index)
    for item, codes in catalog.items():
        if codes not in shared:
            assert final[item] == codes
    report = index.report_
    assert report.n_moved == sum(final[item] != codes for item, codes in catalog.items())
    listed, errors = candidates_for(list(catalog.values()))
    cost = 0.0
    for row, semantic_id in enumerate(final.values()):
        cost += errors[row][(listed[row] == semantic_id).all(axis=1)].item()
    np.testing.assert_allclose(report.error_after, cost, atol=1e-9)
    np.testing.assert_allclose(report.error_before, errors[:, 0].sum(), atol=1e-12)


@given(catalogs(min_size=2), st.integers(1, 23), st.sampled_from(["suffix", "reassign", "none"]))
@example(CROWD, 1, "reassign")
@example(CROWD, 23, "reassign")
def test_append_keeps_old_ids_and_gives_new_ones(catalog, n_old, collisions):
    items = list(catalog)
    n_old = min(n_old, len(items) - 1)
    old = {item: catalog[item] for item in items[:n_old]}
    new = {item: catalog[item] for item in items[n_old:]}
    index = build(old, collisions)
    before = as_dict(index)
    options = {}
    if collisions == "reassign":
        options["candidates"] = candidates_for(list(new.values()))
    ids = index.append(list(new.values()), list(new), grow=True, **options)
    after = as_dict(index)
    assert {item: after[item] for item in old} == before
    assert [tuple(row) for row in ids.tolist()] == [after[item] for item in new]
    assert list(after) == items
    if collisions != "none":
        assert len(set(after.values())) == len(items)
    if collisions != "reassign":
        assert all(after[item][:3] == catalog[item] for item in items)
    for item, semantic_id in after.items():
        assert index[item] == semantic_id
        assert item in index.items(semantic_id).tolist()


@given(catalogs(min_size=2), st.lists(st.integers(0, 23), min_size=1), st.booleans())
@example(CROWD, list(range(23, -1, -1)), False)
def test_removed_items_are_gone_and_their_ids_retire_unless_released(catalog, places, release):
    index = build(catalog, "suffix")
    before = as_dict(index)
    gone = list(dict.fromkeys(list(catalog)[place % len(catalog)] for place in places))
    index.remove(gone, release=release)
    after = as_dict(index)
    assert after == {item: before[item] for item in catalog if item not in gone}
    for item in gone:
        assert item not in index
        assert not index.items(before[item]).size
    # The same items come back: as other IDs if the old ones are retired.
    index.append([catalog[item] for item in gone], gone, grow=True)
    returned = as_dict(index)
    assert len(set(returned.values())) == len(catalog)
    if not release:
        assert not {returned[item] for item in gone} & {before[item] for item in gone}
    else:
        assert index.capacity(()).n_retired == 0


def test_suffix_fills_gaps_once_its_size_is_reached():
    index = SemanticIDIndex(suffix_size=3).fit([[0], [0], [0]], [1, 2, 3])
    index.remove([2], release=True)
    assert index.append([[0]], [4]).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="suffix_size=3"):
        index.append([[0]], [5])
    index.remove([1])
    with pytest.raises(ValueError, match="0 of suffix_size"):
        index.append([[0]], [5])
    assert as_dict(index) == {3: (0, 2), 4: (0, 1)}
    assert index.capacity((0,)) == (2, 1, 3, 0)
    with pytest.raises(ValueError, match="suffix_size=2"):
        SemanticIDIndex(suffix_size=2).fit([[0], [0], [0]])


@given(catalogs(min_size=2))
@example({"new " * 9: (0, 0, 0), "a\0": (2, 3, 1), "a": (2, 3, 0)})
@example({2**63 - 1: (0, 0, 0), -(2**63): (0, 0, 0)})
def test_raise_and_failed_append_leave_the_index_alone(catalog):
    codes = list(catalog.values())
    if len(set(codes)) < len(codes):
        with pytest.raises(ValueError, match="share their ID"):
            build(catalog, "raise")
        return
    index = build(catalog, "raise")
    before = as_dict(index)
    new_item = "new " * 10 if isinstance(next(iter(catalog)), str) else -77
    if new_item in catalog:
        return
    with pytest.raises(ValueError, match="taken or retired"):
        index.append([codes[0]], [new_item])
    with pytest.raises(ValueError, match=r"in \[0, 2\), got 9"):
        index.append([(0, 0, 9)], [new_item])
    with pytest.raises(ValueError, match="in the index already"):
        index.append([codes[0]], [next(iter(catalog))])
    assert as_dict(index) == before
    assert new_item not in index


def test_more_items_than_ids_is_an_error_that_names_a_way_out():
    codes = [[0, 0]] * 5
    candidates = candidates_for(codes, (2, 2))
    index = SemanticIDIndex("reassign", codebook_sizes=2)
    with pytest.raises(ValueError, match=r'5 items need an ID each, .*collisions="suffix"'):
        index.fit(codes, candidates=candidates)


def test_a_full_prefix_spills_to_the_next_one():
    # Six items on one ID, two IDs under its prefix, and the item itself as only candidate.
    codes = np.zeros((6, 2), dtype=int)
    candidates = codes[:, None], np.zeros((6, 1))
    codebooks = [[[0.0], [9.0], [1.0]], [[0.0], [0.5]]]
    index = SemanticIDIndex("reassign").fit(codes, candidates=candidates, codebooks=codebooks)
    # The codeword 1.0 (code 2) is nearer to 0.0 than 9.0 (code 1) is.
    assert index.ids_.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1], [1, 0], [1, 1]]
    assert index.report_.n_fallback == 5
    without = SemanticIDIndex("reassign", codebook_sizes=(3, 2)).fit(codes, candidates=candidates)
    assert without.ids_.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]


@given(catalogs(max_size=24), st.integers(1, 3))
@example({0: (0, 0, 0), 1: (0, 0, 0), 2: (0, 0, 0), 3: (0, 0, 1), 4: (0, 0, 1)}, 1)
def test_ids_stay_unique_when_the_candidates_of_several_groups_run_out(catalog, n_candidates):
    # Groups next to each other spill into the same free IDs.
    codes = list(catalog.values())
    candidates = candidates_for(codes, n_candidates=n_candidates)
    index = build(catalog, "reassign", candidates=candidates)
    assert len(np.unique(index.ids_, axis=0)) == len(catalog)
    order = range(len(codes) - 1, -1, -1)
    candidates = tuple(part[::-1] for part in candidates)
    assert as_dict(build(catalog, "reassign", order, candidates=candidates)) == as_dict(index)


def test_more_candidates_are_asked_for_before_falling_back():
    # Nine equal items and nine IDs: one candidate each isn't enough, nine are.
    vectors = np.zeros((9, 2))
    asked = []

    class Counting(Quantizer):
        def candidate_codes(self, X, n_candidates):
            asked.append((len(X), n_candidates))
            return super().candidate_codes(X, n_candidates)

    index = SemanticIDIndex.from_estimator(
        Counting(), vectors, collisions="reassign", n_candidates=1
    )
    assert len(np.unique(index.ids_, axis=0)) == 9
    assert index.report_.n_fallback == 0
    # The first call is that of transform. All share one ID, and so the second search.
    assert asked == [(9, 1), (9, 1), (1, 8), (1, 9)]


def test_last_level_candidates_spread_a_group_over_the_last_codebook():
    rng = np.random.default_rng(0)
    books = [rng.normal(size=(4, 2)), rng.normal(size=(8, 2)) / 4]
    latents = books[0][np.arange(32) % 4] + rng.normal(size=(32, 2)) / 100
    first = np.arange(32) % 4
    residual = latents - books[0][first]
    last = ((residual[:, None] - books[1]) ** 2).sum(-1).argmin(1)
    codes = np.stack([first, last], axis=1)
    candidates = last_level_candidates(latents, codes, books)
    np.testing.assert_array_equal(candidates[0][:, 0], codes)
    index = SemanticIDIndex("reassign", codebook_sizes=(4, 8)).fit(codes, candidates=candidates)
    assert len(np.unique(index.ids_, axis=0)) == 32
    np.testing.assert_array_equal(index.ids_[:, 0], first)


def test_reassign_without_a_source_of_distances_names_the_ways_out():
    with pytest.raises(ValueError, match=r"from_estimator.*candidates=.*suffix"):
        SemanticIDIndex("reassign", codebook_sizes=2).fit([[0], [0]])
    assert SemanticIDIndex("reassign").fit([[0], [1]]).ids_.tolist() == [[0], [1]]


def test_candidates_must_contain_the_own_codes():
    with pytest.raises(ValueError, match="row 1 lack its own codes"):
        SemanticIDIndex("reassign", codebook_sizes=2).fit(
            [[0], [0]], candidates=([[[0]], [[1]]], [[0.0], [1.0]])
        )


class Quantizer:
    """A scalar residual quantizer in two dimensions: all that the index asks of an estimator."""

    codebooks_ = (
        np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]),
        np.array([[0.0, 0.0], [1.0, 1.0], [-1, 1]]),
    )

    def candidate_codes(self, X, n_candidates):
        grid = np.stack(np.meshgrid([0, 1, 2], [0, 1, 2], indexing="ij"), -1).reshape(-1, 2)
        errors = ((np.asarray(X)[:, None] - self.inverse_transform(grid)) ** 2).sum(-1)
        nearest = np.argsort(errors, axis=1, kind="stable")[:, :n_candidates]
        return grid[nearest], np.take_along_axis(errors, nearest, axis=1)

    def transform(self, X):
        return self.candidate_codes(X, 1)[0][:, 0]

    def inverse_transform(self, codes):
        columns = np.asarray(codes).T
        pairs = zip(self.codebooks_, columns, strict=False)
        return sum(book[column] for book, column in pairs)


X = np.array([[0, 0], [0.1, 0], [4, 0], [0, 0], [5, 1], [-0.0, 0], [0.2, 0.9]])


@pytest.mark.parametrize("collisions", ["suffix", "reassign", "none"])
def test_from_estimator_is_fit_of_what_the_estimator_returns(collisions):
    quantizer = Quantizer()
    items = list("gfedcba")
    index = SemanticIDIndex.from_estimator(quantizer, X, items, collisions)
    options = {}
    if collisions == "reassign":
        options["candidates"] = quantizer.candidate_codes(X, 32)
    other = SemanticIDIndex(collisions).fit(
        quantizer.transform(X), items, vectors=X, codebooks=quantizer.codebooks_, **options
    )
    assert as_dict(index) == as_dict(other)
    assert index.report_ == other.report_
    assert index.report_.n_duplicates == 2
    assert index.level_sizes_[:2] == (3, 3)
    new = index.append_from_estimator(quantizer, X[:1], ["h"], grow=True)
    if collisions == "suffix":
        assert new.tolist() == [[0, 0, 4]]
    if collisions == "reassign":
        assert len(np.unique(index.ids_, axis=0)) == 8


def test_reassign_by_hand():
    # Items at 0, 0.4 and 1, all with the codeword 0; free are the codewords 1 and 3.
    book = np.array([[0.0], [1.0], [3.0]])
    x = np.array([[0.0], [0.4], [1.0]])
    codes = np.zeros((3, 1), dtype=int)
    candidates = last_level_candidates(x, codes, [book])
    index = SemanticIDIndex("reassign", codebook_sizes=3).fit(codes, candidates=candidates)
    # The codes (0, 1, 2) cost 0 + .36 + 4, (0, 2, 1) cost 0 + 6.76 + 0, (1, 0, 2) cost 1 + .16 + 4,
    # (2, 0, 1) cost 9 + .16 + 0, and the two others more.
    assert index.ids_.ravel().tolist() == [0, 1, 2]
    np.testing.assert_allclose(index.report_.error_before, 0.16 + 1.0)
    np.testing.assert_allclose(index.report_.error_after, 0.36 + 4.0)


def test_report_counts_by_hand():
    report = SemanticIDIndex().fit([[0], [0], [0], [1], [2], [2]]).report_
    assert (report.n_items, report.n_distinct, report.n_colliding) == (6, 3, 5)
    assert (report.largest_group, report.n_duplicates, report.n_moved) == (3, None, 0)
    assert report.collision_rate == 0.5
    assert report.added_error is None
    assert "collision rate 50.00%" in str(report)


@pytest.mark.parametrize("n_levels", [9, 30])
def test_ids_beyond_64_bits_behave_alike(n_levels):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, size=(200, n_levels)) * rng.choice([1, 255, 256], size=n_levels)
    codes = codes[rng.integers(0, 40, size=200)]
    index = SemanticIDIndex(codebook_sizes=300).fit(codes)
    oracle = suffix_oracle(dict(enumerate(map(tuple, codes.tolist()))))
    assert as_dict(index) == oracle
    for item, semantic_id in oracle.items():
        assert index.item(semantic_id) == item
    assert index.children(codes[0][:3].tolist()).tolist() == sorted(
        {row[3] for row in map(tuple, codes.tolist()) if row[:3] == tuple(codes[0][:3])}
    )
    index.append(codes[:50], np.arange(200, 250), grow=True)
    assert len(np.unique(index.ids_, axis=0)) == 250
    np.testing.assert_array_equal(index.codes_[:200], codes)


def test_appended_codes_beyond_those_seen_widen_inferred_levels_and_keep_ids():
    index = SemanticIDIndex().fit([[0, 1], [1, 0], [0, 1]], [5, 6, 7])
    before = index.ids_
    index.append([[700, 70000]], [1], grow=True)
    np.testing.assert_array_equal(index.ids_[:3], before)
    assert index[1] == (700, 70000, 0)
    assert index.level_sizes_ == (701, 70001, 2)
    assert index.items((0, 1)).tolist() == [5, 7]


def test_a_failed_append_does_not_widen_inferred_levels():
    index = SemanticIDIndex("raise").fit([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="taken or retired"):
        index.append([[700, 5], [0, 1]], [8, 9], grow=True)
    assert index.level_sizes_ == (2, 2)
    assert index.ids_.tolist() == [[0, 1], [1, 0]]


def test_a_suffix_outgrows_the_bits_left_for_it():
    # 56 bits of codes leave 8 for the suffix; the 300th item needs more.
    sizes = (2**28, 2**28)
    index = SemanticIDIndex(codebook_sizes=sizes).fit([[3, 2**28 - 1]] * 200)
    before = index.ids_
    assert index.nbytes <= 200 * 20
    index.append([[3, 2**28 - 1]] * 100, np.arange(200, 300), grow=True)
    np.testing.assert_array_equal(index.ids_[:200], before)
    assert index.ids_[:, 2].tolist() == list(range(300))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_are_independent(copier):
    index = SemanticIDIndex().fit([[0], [0]], ["a", "b\0"])
    other = copier(index)
    other.append([[0]], ["c"], grow=True)
    assert len(index) == 2
    assert as_dict(other) == {"a": (0, 0), "b\0": (0, 1), "c": (0, 2)}


@pytest.mark.parametrize(
    ("ids", "error", "match"),
    [
        ([1, "a"], TypeError, "int, str"),
        ([1.0, 2.0], TypeError, "float"),
        ([True, False], TypeError, "bool"),
        ([None, "a"], TypeError, "NoneType"),
        ([1, 1], ValueError, "unique.*1"),
        (["a", "a"], ValueError, "unique.*'a'"),
        ([1, 2, 3], ValueError, "one id per row"),
        ([2**70, 1], ValueError, "64 bits"),
        (np.array([2**63, 1], dtype=np.uint64), ValueError, "above 2"),
        (["\ud800", "a"], ValueError, "valid Unicode"),
    ],
)
def test_bad_item_ids_are_errors(ids, error, match):
    with pytest.raises(error, match=match):
        SemanticIDIndex().fit([[0], [1]], ids)


@pytest.mark.parametrize(
    ("codes", "match"),
    [
        ([0, 1], "shape"),
        (np.empty((0, 3), int), "at least one"),
        ([[0.5]], "whole"),
        ([[np.nan]], "whole"),
        ([[-1]], "at least 0, got -1"),
        ([["a"]], "integers"),
        ([[2**32]], r"2\*\*32"),
    ],
)
def test_bad_codes_are_errors(codes, match):
    with pytest.raises(ValueError, match=match):
        SemanticIDIndex().fit(codes)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"collisions": "digit"}, "suffix"),
        ({"suffix_size": 0}, "suffix_size=0"),
        ({"n_candidates": 1.5}, "n_candidates=1.5"),
        ({"codebook_sizes": (2, 2)}, "codebook_sizes"),
        ({"codebook_sizes": 1}, r"in \[0, 1\), got 1"),
    ],
)
def test_bad_parameters_are_errors(options, match):
    with pytest.raises(ValueError, match=match):
        SemanticIDIndex(**options).fit([[0], [1]])


def test_an_emptied_index_still_works():
    index = SemanticIDIndex().fit([[0, 1]], [7]).remove([7])
    assert len(index) == 0
    assert index.items().size == 0
    assert index.children().size == 0
    assert index.trie().children().size == 0
    assert index.append([[0, 1]], [8], grow=True).tolist() == [[0, 1, 1]]
    assert index[8] == (0, 1, 1)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6))
@example(4)  # one item alone, whose ID the other four may not take
@example(17)  # all on one ID
def test_exactness_of_reassignment_against_all_permutations(seed):
    # Five items on two IDs; the best of all injective maps to eight IDs is found.
    from itertools import permutations

    rng = np.random.default_rng(seed)
    errors = rng.random((5, 8))
    ids = np.arange(8)[:, None]
    codes = rng.integers(0, 2, size=(5, 1))
    crowded = np.bincount(codes.ravel(), minlength=8)[codes.ravel()] > 1
    index = SemanticIDIndex("reassign", codebook_sizes=8).fit(
        codes, candidates=(np.broadcast_to(ids, (5, 8, 1)), errors)
    )
    best = min(
        sum(errors[row, place] for row, place in enumerate(permutation))
        for permutation in permutations(range(8), 5)
        if all(permutation[row] == codes[row, 0] for row in np.flatnonzero(~crowded))
    )
    np.testing.assert_allclose(index.report_.error_after, best)


@given(st.integers(0, 10**6))
@example(3795)  # a row all of whose candidates are taken
def test_sparse_and_dense_solvers_cost_the_same(seed):
    # A crowd large enough for the sparse solver is forced by moving the border between both.
    rng = np.random.default_rng(seed)
    candidates = rng.integers(0, 40, size=(30, 6)).astype(np.uint64)
    errors = np.round(rng.random((30, 6)), 1)
    taken = np.arange(0, 40, 7, dtype=np.uint64)
    costs, served = [], []
    keys, columns = _assignment.numbered(candidates)
    for border in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_assignment, "DENSE_CELLS", border)
            is_taken = np.isin(keys, taken)
            choice = _assignment.assign_free(columns, errors.copy(), is_taken).choice
        rows = np.flatnonzero(choice >= 0)
        chosen = candidates[rows, choice[rows]]
        assert len(np.unique(chosen)) == len(chosen)
        assert not np.isin(chosen, taken).any()
        costs.append(errors[rows, choice[rows]].sum())
        served.append(len(rows))
    assert served[0] == served[1]
    np.testing.assert_allclose(costs[0], costs[1])


@given(catalogs(min_size=2), st.randoms(), st.sampled_from(["suffix", "reassign"]))
@example(CROWD, Random(0), "reassign")
def test_append_does_not_depend_on_the_order_of_new_rows(catalog, random, collisions):
    items = list(catalog)
    old, new = items[:1], items[1:]
    results = []
    for _ in range(2):
        index = build({item: catalog[item] for item in old}, collisions)
        codes = [catalog[item] for item in new]
        options = {"candidates": candidates_for(codes)} if collisions == "reassign" else {}
        index.append(codes, new, grow=True, **options)
        results.append(as_dict(index))
        random.shuffle(new)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("candidates", "match"),
    [
        (([[0], [1]], [[0.0], [1.0]]), "expected: some IDs per item"),
        (([[[0.0]], [[1.0]]], [[0.0], [1.0]]), "should be integers"),
        (([[[0]], [[0]]], [[0.0, 1.0]]), "one error per candidate"),
        (([[[0]], [[0]]], [[0.0], [np.nan]]), "NaN"),
        (([[[0], [5]], [[0], [1]]], [[0.0, 1.0], [0.0, 1.0]]), r"in \[0, 2\), got 5"),
        ([[[[0]], [[0]]]], r"should be a pair \(codes, errors\)"),
        (np.zeros((2, 1, 1)), r"should be a pair \(codes, errors\)"),
    ],
)
def test_malformed_candidates_are_errors(candidates, match):
    with pytest.raises(ValueError, match=match):
        SemanticIDIndex("reassign", codebook_sizes=2).fit([[0], [0]], candidates=candidates)


def test_entries_with_infinite_error_are_no_candidates():
    candidates = [[[0], [-1]], [[0], [1]]], [[0.0, np.inf], [0.0, 3.0]]
    index = SemanticIDIndex("reassign", codebook_sizes=2).fit([[0], [0]], candidates=candidates)
    assert index.ids_.tolist() == [[0], [1]]
    assert index.report_.error_after == 3.0


def test_estimators_without_candidates_are_refused_by_name():
    class Plain:
        def transform(self, X):
            return np.zeros((len(X), 1), dtype=int)

    assert len(SemanticIDIndex.from_estimator(Plain(), X)) == len(X)
    with pytest.raises(TypeError, match="candidate_codes, which Plain lacks"):
        SemanticIDIndex.from_estimator(Plain(), X, collisions="reassign")


@pytest.mark.slow
def test_beauty_reassigned_at_less_than_two_percent_more_error(load_catalog):
    # Residual k-means on the first principal components, candidates by a small beam.
    from sklearn.cluster import MiniBatchKMeans

    original = load_catalog("beauty")
    vectors = original - original.mean(axis=0)
    vectors = vectors @ np.linalg.eigh(vectors.T @ vectors)[1][:, -64:]
    residual, books = vectors.copy(), []
    for level in range(3):
        model = MiniBatchKMeans(256, n_init=1, max_iter=5, random_state=level, batch_size=2048)
        books.append(model.fit(residual).cluster_centers_)
        residual = residual - books[-1][model.predict(residual)]
    codes, errors = beam(vectors, books, 16)
    index = SemanticIDIndex("reassign").fit(
        codes[:, 0], vectors=original, candidates=(codes, errors), codebooks=books
    )
    # The catalog's description counts 12,070 distinct vectors among 12,101.
    assert index.report_.n_duplicates == 31
    assert len(np.unique(index.ids_, axis=0)) == len(vectors)
    assert 0.0 < index.report_.added_error < 0.02


def beam(vectors, books, size):
    """Keep the `size` best prefixes at each level."""
    codes = np.zeros((len(vectors), 1, 0), dtype=np.int64)
    residual = vectors[:, None]
    for book in books:
        scores = (residual**2).sum(-1)[..., None] - 2 * residual @ book.T + (book**2).sum(1)
        flat = scores.reshape(len(vectors), -1)
        top = np.argpartition(flat, size, axis=1)[:, :size]
        top = np.take_along_axis(top, np.argsort(np.take_along_axis(flat, top, 1), axis=1), 1)
        parent, code = np.divmod(top, len(book))
        codes = np.concatenate(
            [np.take_along_axis(codes, parent[..., None], 1), code[..., None]], axis=2
        )
        residual = np.take_along_axis(residual, parent[..., None], 1) - book[code]
    return codes, (residual.astype(np.float64) ** 2).sum(-1)


def test_what_fails_leaves_the_index_as_it_was():
    codebooks = [np.eye(4), np.eye(4)]
    index = SemanticIDIndex("raise").fit([[0, 1], [2, 3]], codebooks=codebooks)
    for again in (
        lambda: index.fit([[1], [1]]),  # collide
        lambda: index.fit([[1], [2]], codebooks=codebooks),  # one level, two codebooks
        lambda: index.append([[3, 3], [0, 1]], [7, 8]),  # the second ID is taken
        lambda: index.append([[4, 0]], [7]),  # out of range
    ):
        with pytest.raises(ValueError, match=r"share their ID|codebooks have|taken|in \[0, 4\)"):
            again()
        assert index.ids_.tolist() == [[0, 1], [2, 3]]
        assert index.level_sizes_ == (4, 4)
        assert len(index.codebooks_) == 2
    assert index.append([[3, 3]], [7]).tolist() == [[3, 3]]


def own_codes_alone(codes):
    return np.asarray(codes)[:, None, :], np.zeros((len(codes), 1))


@pytest.mark.parametrize(
    ("options", "codes", "codebooks", "match"),
    [
        ({"codebook_sizes": 3}, [[0, 0]] * 4, [np.eye(8)] * 2, "3 for level 0, whose codebook"),
        ({"codebook_sizes": 16}, [[0, 9], [1, 1]], [np.eye(8)] * 2, "level 1 have 9, but its code"),
        ({}, [[0, 0], [1, 1]], [np.eye(2), np.eye(2) * np.nan], "the codebook of level 1"),
        ({}, [[0, 0], [1, 1]], [np.eye(2), np.eye(2).astype(object)], "the codebook of level 1"),
        ({}, [[0, 0], [1, 1]], [np.eye(2), np.ones((2, 3))], "of one length at all levels"),
        ({"codebook_sizes": [4.7, 4]}, [[0, 0], [1, 1]], None, "codebook_sizes.*one integer"),
        ({"codebook_sizes": 4.0}, [[0, 0], [1, 1]], None, "codebook_sizes=4.0 should be one int"),
        ({"codebook_sizes": "44"}, [[0, 0], [1, 1]], None, "codebook_sizes='44' should be one int"),
        ({"codebook_sizes": True}, [[0, 0], [0, 0]], None, "codebook_sizes=True should be one int"),
    ],
)
@pytest.mark.parametrize("collisions", ["suffix", "reassign"])
def test_sizes_and_codebooks_that_do_not_fit_are_errors(
    options, codes, codebooks, match, collisions
):
    # Items moved to codes beyond the levels, and catalogs were saved that couldn't be loaded.
    index = SemanticIDIndex(collisions, **options)
    with pytest.raises(ValueError, match=match):
        index.fit(codes, codebooks=codebooks, candidates=own_codes_alone(codes))


def test_appended_codes_have_a_codeword_where_codewords_are_known(tmp_path):
    index = SemanticIDIndex(codebook_sizes=16).fit([[0, 1], [1, 1]], codebooks=[np.eye(8)] * 2)
    with pytest.raises(ValueError, match="level 0 have 12, but its codebook has 8 codewords"):
        index.append([[12, 1]], [7], grow=True)
    assert len(index) == 2
    index.save(tmp_path / "catalog")
    assert SemanticIDIndex.load(tmp_path / "catalog").level_sizes_ == index.level_sizes_


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e-17])
def test_errors_of_any_sign_are_saved_and_loaded(tmp_path, shift):
    # Such as negative likelihoods. The report's sum below 0 had made a file that was never read.
    codes = [(0, 0, 0)] * 3 + [(1, 0, 0)]
    grid, errors = candidates_for(codes)
    index = SemanticIDIndex("reassign", codebook_sizes=SIZES)
    index.fit(codes, candidates=(grid, errors - shift))
    index.save(tmp_path / "catalog")
    loaded = SemanticIDIndex.load(tmp_path / "catalog")
    assert loaded.report_ == index.report_ == pickle.loads(pickle.dumps(index)).report_
    if shift == 3.0:
        before, after = index.report_.error_before, index.report_.error_after
        assert before == -12 < after
        assert index.report_.added_error == pytest.approx((after + 12) / 12)
