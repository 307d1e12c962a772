"""The auction against exact solvers, and the index where it is used."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions import _assignment, _reassign
from sklearn_rqvae.semantic_id._collisions._assignment import assign_free, numbered
from sklearn_rqvae.semantic_id._collisions._auction import auction
from sklearn_rqvae.semantic_id._collisions._candidates import EstimatorCandidates
from sklearn_rqvae.semantic_id._collisions._reassign import _searches


def market(n_items, n_columns, n_candidates, seed):
    """Draw items whose candidates are the nearest columns in a plane, most in a few places."""
    rng = np.random.default_rng(seed)
    towns = rng.normal(size=(8, 2))
    share = 1 / np.arange(1, 9)
    items = towns[rng.choice(8, n_items, p=share / share.sum())] + rng.normal(
        size=(n_items, 2), scale=0.3
    )
    places = towns[rng.integers(8, size=n_columns)] + rng.normal(size=(n_columns, 2), scale=0.5)
    squares = ((items[:, None] - places) ** 2).sum(-1)
    columns = np.argsort(squares, axis=1)[:, :n_candidates]
    costs = np.take_along_axis(squares, columns, axis=1)
    costs -= costs.min(axis=1, keepdims=True)
    return columns.astype(np.int32), costs, 2 * costs.max(axis=1) + 0.01


def least_total(columns, costs, way_out):
    """Return the total of the cheapest assignment: one dense matrix, ways out on its right."""
    n_items, n_columns = len(columns), columns.max() + 1
    matrix = np.full((n_items, n_columns + n_items), 1e9)
    matrix[np.arange(n_items)[:, None], columns] = costs
    matrix[np.arange(n_items), n_columns + np.arange(n_items)] = way_out
    return matrix[linear_sum_assignment(matrix)].sum()


def total(costs, way_out, choice):
    return np.where(choice >= 0, costs[np.arange(len(costs)), choice], way_out).sum()


@pytest.mark.parametrize("tolerance", [0.1, 0.02, 0.001])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_items", "n_columns"), [(40, 60), (300, 320), (300, 150)])
def test_total_is_within_the_proven_gap_and_the_tolerance(n_items, n_columns, seed, tolerance):
    # The bound holds with enough columns and with too few.
    columns, costs, way_out = market(n_items, n_columns, 16, seed)
    choice, gap = auction(columns, costs, way_out, tolerance)
    taken = columns[choice >= 0, choice[choice >= 0]]
    assert len(np.unique(taken)) == len(taken)
    paid, least = total(costs, way_out, choice), least_total(columns, costs, way_out)
    assert least - 1e-9 <= paid <= least + gap + 1e-9
    assert gap <= tolerance * paid


@pytest.mark.parametrize("seed", range(3))
def test_gap_to_the_sparse_solver_at_medium_size(seed):
    columns, costs, way_out = market(2000, 2500, 12, seed)
    n_items, n_columns = len(columns), 2500
    every = np.arange(n_items)
    edges = (np.repeat(every, 12), columns.ravel())
    graph = csr_array(
        (
            np.concatenate([costs.ravel(), way_out]) + 1.0,  # a stored zero would be no edge
            (np.append(edges[0], every), np.append(edges[1], n_columns + every)),
        ),
        shape=(n_items, n_columns + n_items),
    )
    # scipy 1.13 matches with narrow indices alone.
    graph.indices, graph.indptr = graph.indices.astype(np.int32), graph.indptr.astype(np.int32)
    least = graph[min_weight_full_bipartite_matching(graph)].sum() - n_items
    paid = total(costs, way_out, auction(columns, costs, way_out).choice)
    assert least - 1e-6 <= paid <= 1.02 * least


def test_equal_items_and_free_candidates_end():
    # Nobody can gain by anything: all costs are zero, and there are more items than columns.
    columns = np.tile(np.arange(5, dtype=np.int32), (40, 1))
    choice, _ = auction(columns, np.zeros((40, 5)), np.ones(40))
    assert sorted(choice[choice >= 0]) == [0, 1, 2, 3, 4]


def test_by_hand():
    # Both want column 0. It's worth 5 to the first and 1 to the second, who goes to column 1.
    columns = np.array([[0, 1], [0, 1]], dtype=np.int32)
    costs = np.array([[0.0, 5.0], [0.0, 1.0]])
    choice, gap = auction(columns, costs, np.array([9.0, 9.0]))
    assert choice.tolist() == [0, 1]
    assert gap <= 0.02


def catalog(seed, n_items=400):
    """Draw codes of which many are equal, the candidates of each item, and their errors."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 65)
    codes = rng.choice(64, size=(n_items, 1), p=share / share.sum())
    points = rng.normal(size=(1024, 3))
    vectors = points[codes[:, 0]] + rng.normal(size=(n_items, 3), scale=0.1)
    squares = ((vectors[:, None] - points) ** 2).sum(-1)
    squares[np.arange(n_items), codes[:, 0]] = 0.0
    ids = np.argsort(squares, axis=1)[:, :48]
    return codes, (ids[..., None], np.take_along_axis(squares, ids, axis=1))


@pytest.fixture
def always_auction(monkeypatch):
    monkeypatch.setattr(_assignment, "EXACT_ITEMS", 1)


@pytest.mark.parametrize("seed", range(8))
def test_added_error_is_at_most_a_tenth_above_the_exact_one(seed, monkeypatch):
    codes, candidates = catalog(seed)
    exact = SemanticIDIndex("reassign", codebook_sizes=1024).fit(codes, candidates=candidates)
    assert exact.report_.error_gap == 0.0
    monkeypatch.setattr(_assignment, "EXACT_ITEMS", 1)
    index = SemanticIDIndex("reassign", codebook_sizes=1024).fit(codes, candidates=candidates)
    assert len(np.unique(index.ids_)) == len(codes)
    assert index.report_.error_gap > 0.0
    if exact.report_.n_fallback == index.report_.n_fallback == 0:
        added = [i.report_.error_after - i.report_.error_before for i in (exact, index)]
        assert added[1] <= 1.1 * added[0]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
@example(0, 0)
def test_permuting_the_rows_changes_no_id(seed, other_seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_assignment, "EXACT_ITEMS", 1)
        codes, candidates = catalog(seed, n_items=80)
        index = SemanticIDIndex("reassign", codebook_sizes=1024).fit(codes, candidates=candidates)
        assert len(np.unique(index.ids_)) == len(codes)
        # An item alone on its ID keeps it.
        alone = np.bincount(codes[:, 0], minlength=64)[codes[:, 0]] == 1
        np.testing.assert_array_equal(index.ids_[alone], codes[alone])
        order = np.random.default_rng(other_seed).permutation(len(codes))
        permuted = SemanticIDIndex("reassign", codebook_sizes=1024).fit(
            codes[order], order, candidates=tuple(part[order] for part in candidates)
        )
        np.testing.assert_array_equal(permuted.ids_of(np.arange(len(codes))), index.ids_)


def test_append_by_auction_keeps_old_and_retired_ids(always_auction):
    codes, candidates = catalog(1, n_items=120)
    index = SemanticIDIndex("reassign", codebook_sizes=1024)
    index.fit(codes[:60], np.arange(60), candidates=tuple(part[:60] for part in candidates))
    retired = index.ids_of(np.arange(10)).ravel()
    index.remove(np.arange(10))
    kept = index.ids_.copy()
    new = index.append(
        codes[60:], np.arange(60, 120), candidates=tuple(part[60:] for part in candidates)
    )
    np.testing.assert_array_equal(index.ids_[:50], kept)
    assert not np.isin(new, retired).any()
    assert len(np.unique(index.ids_)) == 110


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, "S5"])
def test_keys_are_numbered_range_by_range_as_by_unique(monkeypatch, dtype):
    monkeypatch.setattr(_assignment, "RANGE_KEYS", 50)
    candidates = np.random.default_rng(0).integers(90, size=(60, 7)).astype(dtype)
    keys, columns = numbered(candidates)
    expected = np.unique(candidates, return_inverse=True)
    np.testing.assert_array_equal(keys, expected[0])
    np.testing.assert_array_equal(columns, expected[1].reshape(columns.shape))
    one = np.full((40, 5), 7, dtype=dtype)  # no bound between equal keys
    assert [part.tolist() for part in numbered(one)] == [one[0, :1].tolist(), [[0] * 5] * 40]


def test_only_the_rows_given_take_part():
    columns, costs, way_out = market(60, 70, 8, seed=0)
    rows = np.flatnonzero(np.arange(60) % 3)
    found = auction(columns, costs + 5.0, way_out, rows=rows)
    alone = auction(columns[rows], costs[rows] + 5.0, way_out[rows])
    np.testing.assert_array_equal(found.choice[rows], alone.choice)
    assert (found.choice[::3] == -1).all()
    np.testing.assert_allclose(found.gap, alone.gap)


def test_twins_are_found_by_content_among_equal_checksums():
    # Two equal rows, and one that differs in an error: the twins' choices come in order of cost.
    candidates = np.array([[1, 2], [1, 2], [1, 2]], dtype=np.uint64)
    errors = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 9.0]])
    keys, columns = numbered(candidates)
    choice = assign_free(columns, errors, np.zeros(len(keys), dtype=bool)).choice
    assert choice.tolist() == [1, -1, 0]


def test_a_crowded_space_is_warned_about_with_numbers_and_ways_out():
    codes = np.zeros((1200, 2), dtype=int)
    candidates = codes[:, None], np.zeros((1200, 1))
    index = SemanticIDIndex("reassign", codebook_sizes=64)
    with pytest.warns(UserWarning, match=r"1200 of 1200 items collide \(100%\).*n_layers") as seen:
        index.fit(codes, candidates=candidates)
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_verbose_estimator_shows_the_progress_of_the_search(verbose, capsys):
    X = np.random.default_rng(0).normal(size=(60, 4))
    model = ResidualKMeans(n_layers=2, codebook_size=8, random_state=0).fit(X)
    model.verbose = verbose
    SemanticIDIndex.from_estimator(model, X, collisions="reassign")
    assert ("candidates, round 1" in capsys.readouterr().err) == bool(verbose)


class Recorded:
    """An estimator that counts the rows for which candidates are asked."""

    def __init__(self, model):
        self.model, self.asked = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def candidate_codes(self, X, n_candidates):
        self.asked.append(len(X))
        return self.model.candidate_codes(X, n_candidates)


class Plane:
    """A quantizer whose IDs are the unit squares of a plane, by row and column."""

    def __init__(self, side):
        self.side = side

    def transform(self, X):
        return X.astype(np.int64)

    def candidate_codes(self, X, n_candidates):
        squares = np.stack(np.meshgrid(*2 * [np.arange(self.side)], indexing="ij"), -1)
        squares = squares.reshape(-1, 2)
        errors = ((X[:, None] - squares - 0.5) ** 2).sum(-1)
        nearest = np.argsort(errors, axis=1)[:, :n_candidates]
        return squares[nearest], np.take_along_axis(errors, nearest, axis=1)

    def inverse_transform(self, codes):
        return np.asarray(codes) + 0.5


def crowds():
    """Draw a crowd of near twins, a few of another kind, and rows that stand alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    model = ResidualKMeans(n_layers=3, codebook_size=16, random_state=0).fit(X)
    near = X[[0] * 30 + [1] * 5] + rng.normal(size=(35, 4), scale=1e-4)
    return model, np.concatenate([near, X[2:60]])


def test_a_crowd_shares_its_search_and_few_search_alone():
    model, X = crowds()
    recorded = Recorded(model)
    index = SemanticIDIndex.from_estimator(recorded, X, collisions="reassign")
    n_colliding, n_crowd = index.report_.n_colliding, index.report_.largest_group
    assert n_crowd >= 30
    assert recorded.asked[:2] == [n_colliding - n_crowd, 1]
    assert len(np.unique(index.ids_, axis=0)) == len(X)


def test_shared_searches_know_nothing_of_the_order_of_rows():
    model, X = crowds()
    index = SemanticIDIndex.from_estimator(model, X, collisions="reassign")
    order = np.random.default_rng(1).permutation(len(X))
    permuted = SemanticIDIndex.from_estimator(model, X[order], order, "reassign")
    np.testing.assert_array_equal(permuted.ids_of(np.arange(len(X))), index.ids_)


@pytest.mark.parametrize("asked", [1, 100, 10**6])
def test_shared_and_lone_searches_stay_with_their_rows(monkeypatch, asked):
    # Every candidate's error is that of its row: the squared distance to its reconstruction.
    model, X = crowds()
    source = EstimatorCandidates(model, X)
    groups = np.repeat([3, 1, 2], [30, 5, 58])
    shared = np.repeat([True, False, True], [30, 5, 58])
    monkeypatch.setattr(_reassign, "ASKED_CANDIDATES", asked)
    codes, errors = np.empty((93, 8, 3), dtype=int), np.empty((93, 8))
    for places, *found in _searches(source, np.arange(93), groups, shared, 8):
        codes[places], errors[places] = found
    for place in range(8):
        expected = ((X - model.inverse_transform(codes[:, place])) ** 2).sum(axis=1)
        np.testing.assert_allclose(errors[:, place], expected, rtol=1e-5, atol=1e-6)


def test_rounds_together_cost_hardly_more_than_the_exact_solver(monkeypatch):
    # Items in a crowded part of a plane: whoever is left to the next round has to go far.
    rng = np.random.default_rng(0)
    model = Plane(64)
    X = np.concatenate([rng.normal(32, 9, size=(750, 2)), rng.uniform(0, 64, size=(400, 2))])
    X = X.clip(0, 63.9)
    added = {}
    for size in (2**62, 1):
        monkeypatch.setattr(_assignment, "EXACT_ITEMS", size)
        report = SemanticIDIndex.from_estimator(model, X, collisions="reassign").report_
        assert report.n_fallback == 0
        added[size] = report.error_after - report.error_before
    assert added[1] <= 1.1 * added[2**62]
