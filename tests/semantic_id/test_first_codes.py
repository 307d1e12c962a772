"""First codes with so many items each: none has more, and only what doesn't fit moves."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions._first_codes import fill
from tests.semantic_id.test_index import SIZES, candidates_for

CODES = st.lists(st.tuples(*[st.integers(0, size - 1) for size in SIZES]), min_size=1, max_size=20)
CROWD = [(2, 3, 1)] * 20
BESIDE = [(0, 0, 0), *[(1, code, 0) for code in range(4)], (1, 0, 1), (1, 1, 1)]


def build(codes, most, item_ids=None, priority=None, **options):
    index = SemanticIDIndex(
        "reassign", codebook_sizes=SIZES, max_items_per_first_code=most, **options
    )
    return index.fit(codes, item_ids, candidates=candidates_for(codes), priority=priority)


def line_catalog():
    """Return items at 0, 1, 2 and 3 of a line, and IDs at 0 to 3 and at 10 to 13."""
    codes = np.array([[0, 0], [0, 1], [0, 2], [0, 3]])
    grid = np.array([[a, b] for a in (0, 1) for b in range(4)])
    errors = (np.arange(4)[:, None] - (10 * grid[:, 0] + grid[:, 1])) ** 2
    return codes, (np.tile(grid, (4, 1, 1)), errors)


def test_the_nearest_items_move_by_hand():
    # Two have to go. 2 and 3 are the nearest to 10, and both would have it: 2 to 10 and 3 to 11
    # costs 64 + 64, the other way round 81 + 49.
    codes, candidates = line_catalog()
    index = SemanticIDIndex("reassign", codebook_sizes=[2, 4], max_items_per_first_code=2)
    index.fit(codes, candidates=candidates)
    assert index.ids_.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    report = index.report_
    assert (report.n_moved, report.error_before, report.error_after) == (2, 0, 128)


def test_who_has_room_stays_by_hand():
    # 3 has to go, and 10 would be its place. Moving the item that is there to 11 would cost 49 + 1,
    # but it has nothing to do with it: 3 goes to 11, for 64.
    codes = np.array([[0, 1], [0, 2], [0, 3], [1, 0]])
    grid = np.array([[a, b] for a in (0, 1) for b in range(4)])
    errors = (np.array([[1], [2], [3], [10]]) - (10 * grid[:, 0] + grid[:, 1])) ** 2
    index = SemanticIDIndex("reassign", codebook_sizes=[2, 4], max_items_per_first_code=2)
    index.fit(codes, candidates=(np.tile(grid, (4, 1, 1)), errors))
    assert index.ids_.tolist() == [[0, 1], [0, 2], [1, 1], [1, 0]]
    assert index.report_.error_after == 64


def test_those_of_the_largest_numbers_stay_by_hand():
    codes, candidates = line_catalog()
    index = SemanticIDIndex("reassign", codebook_sizes=[2, 4], max_items_per_first_code=2)
    index.fit(codes, candidates=candidates, priority=[1, 5, 2, 9])
    assert (index.ids_[:, 0] == [1, 0, 1, 0]).all()
    assert (index.ids_[[1, 3]] == codes[[1, 3]]).all()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(CODES, st.integers(0, 6), st.sampled_from([None, 1, 3]), st.booleans(), st.integers(0, 99))
@example(CROWD, 0, 1, False, 0)
@example(BESIDE, 1, None, False, 3)
def test_only_what_does_not_fit_moves(codes, spare, shared, with_priority, seed):
    most = -(-len(codes) // SIZES[0]) + spare
    priority = np.random.default_rng(seed).integers(0, 5, len(codes)) if with_priority else None
    options = {"max_items_per_id": shared}
    index = build(codes, most, priority=priority, **options)
    ids, codes = index.ids_, np.array(codes)
    load = np.bincount(codes[:, 0], minlength=SIZES[0])
    assert np.bincount(ids[:, 0]).max() <= most
    assert max(Counter(map(tuple, ids.tolist())).values()) <= (shared or 1)
    # Nor do more items fit under a first code than there are places.
    n_fitting = min(most, int(np.prod(SIZES[1:])) * (shared or 1))
    kept = load[codes[:, 0]] <= n_fitting
    assert (ids[kept, 0] == codes[kept, 0]).all()
    counts = Counter(map(tuple, codes.tolist()))
    alone = np.array([counts[tuple(own)] <= (shared or 1) for own in codes.tolist()])
    assert (ids[kept & alone] == codes[kept & alone]).all()
    if with_priority:  # those that come first keep their first code
        for code in np.flatnonzero(load > n_fitting):
            rows = np.flatnonzero(codes[:, 0] == code)
            rows = sorted(rows, key=lambda row: (-priority[row], row))
            assert (ids[rows[:n_fitting], 0] == code).all()
    else:
        assert index.report_.n_moved == (ids != codes).any(1).sum()
    # In any order of rows.
    shuffle = np.random.default_rng(seed).permutation(len(codes))
    other = build(
        codes[shuffle], most, shuffle, None if priority is None else priority[shuffle], **options
    )
    assert other.fingerprint == index.fingerprint


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(CODES, CODES, st.sets(st.integers(0, 19), max_size=3), st.booleans())
@example(CROWD[:8], CROWD[:8], {0, 1}, False)
def test_new_items_find_the_room_that_is_left(codes, more, gone, release):
    most = 6
    codes, more = codes[:10], more[:6]
    index = build(codes, most)
    gone = [item for item in gone if item < len(codes)]
    index.remove(gone, release=release)
    before = dict(zip(index.item_ids_.tolist(), index.ids_.tolist(), strict=True))
    new = np.arange(len(more)) + 100
    index.append(more, new, candidates=candidates_for(more))
    assert np.bincount(index.ids_[:, 0]).max() <= most
    after = dict(zip(index.item_ids_.tolist(), index.ids_.tolist(), strict=True))
    assert {item: after[item] for item in before} == before
    assert len(set(map(tuple, after.values()))) == len(after) == len(before) + len(new)


@pytest.mark.parametrize("seed", range(5))
def test_filling_costs_hardly_more_than_the_exact_assignment(seed):
    rng = np.random.default_rng(seed)
    room = rng.integers(3, 12, size=12)
    n_items = int(room.sum()) - 5
    costs = rng.gamma(2.0, size=(n_items, 12)) + rng.gamma(2.0, size=12)
    columns = np.argsort(rng.random(costs.shape), axis=1)
    shuffled = np.take_along_axis(costs, columns, axis=1)
    choice, gap = fill(columns, shuffled, room)
    served = np.flatnonzero(choice >= 0)
    chosen = columns[served, choice[served]]
    assert (np.bincount(chosen, minlength=12) <= room).all()
    exact = costs[:, np.repeat(np.arange(12), room)]
    row, column = linear_sum_assignment(exact)
    assert len(served) > 0.9 * n_items
    if len(served) == n_items:
        least = exact[row, column].sum()
        paid = shuffled[served, choice[served]].sum()
        assert least - 1e-9 <= paid <= least + gap + 1e-9
        assert paid <= 1.05 * least


@pytest.mark.parametrize("model", [RQVAETransformer, ResidualKMeans])
def test_an_estimator_finds_ids_under_other_first_codes(model, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)) * rng.gamma(0.5, size=(400, 1))
    quantizer = model(n_layers=2, codebook_size=[8, 64], random_state=0).fit(X)
    codes, errors = quantizer.candidate_codes(X[:20], 3, first_codes=np.arange(20) % 8)
    assert (codes[:, :, 0] == np.arange(20)[:, None] % 8).all()
    decoded = quantizer.inverse_transform(codes[:, 0])
    np.testing.assert_allclose(errors[:, 0], ((X[:20] - decoded) ** 2).sum(1), rtol=1e-4)
    own = quantizer.transform(X)
    most = 55
    index = SemanticIDIndex.from_estimator(
        quantizer, X, collisions="reassign", max_items_per_first_code=most
    )
    assert np.bincount(own[:, 0]).max() > most >= np.bincount(index.ids_[:, 0]).max()
    assert len(np.unique(index.ids_, axis=0)) == len(X)
    report = index.report_
    for codes, error in ((own, report.error_before), (index.ids_, report.error_after)):
        decoded = quantizer.inverse_transform(codes)
        assert error == pytest.approx(((X - decoded) ** 2).sum(), rel=1e-5)
    index.save(tmp_path / "catalog")
    for other in (SemanticIDIndex.load(tmp_path / "catalog"), pickle.loads(pickle.dumps(index))):
        assert other.max_items_per_first_code == most
        assert other.fingerprint == index.fingerprint
        other.append_from_estimator(quantizer, X[:40], np.arange(40) + 400)
        assert np.bincount(other.ids_[:, 0]).max() <= most


class Foreign:
    """A quantizer whose search can't be given first codes."""

    def transform(self, X):
        return np.zeros((len(X), 2), dtype=int)

    def candidate_codes(self, X, n_candidates):
        return np.zeros((len(X), 1, 2), dtype=int), np.ones((len(X), 1))

    def inverse_transform(self, codes):
        return np.zeros((len(codes), 1))


def test_what_can_not_be_done_is_said():
    codes, candidates = line_catalog()
    with pytest.raises(ValueError, match=r"leaves room for 2 items .* raise it by at least 1"):
        SemanticIDIndex("reassign", codebook_sizes=[2, 4], max_items_per_first_code=1).fit(
            codes, candidates=candidates
        )
    index = SemanticIDIndex("reassign", codebook_sizes=[2, 4], max_items_per_first_code=2)
    with pytest.raises(ValueError, match="use from_estimator"):
        index.fit(codes)
    few = candidates[0][:, :4], candidates[1][:, :4]
    with pytest.raises(ValueError, match="2 items have no candidate whose first code"):
        index.fit(codes, candidates=few)
    lacking = candidates[0][:, 4:], candidates[1][:, 4:]
    with pytest.raises(ValueError, match="lack its own codes"):
        index.fit(codes, candidates=lacking)
    with pytest.raises(ValueError, match='no meaning with collisions="suffix"'):
        SemanticIDIndex(max_items_per_first_code=2).fit(codes)
    with pytest.raises(ValueError, match="max_items_per_first_code=0 should be a positive"):
        SemanticIDIndex("reassign", max_items_per_first_code=0).fit(codes)
    with pytest.raises(TypeError, match="candidate_codes takes first_codes"):
        SemanticIDIndex.from_estimator(
            Foreign(), np.zeros((4, 1)), collisions="reassign", codebook_sizes=[2, 4],
            max_items_per_first_code=2,
        )  # fmt: skip


@pytest.mark.parametrize("first_codes", [[0, 1], [0.0, 1.0, 2.0], [0, 1, 8], [-1, 0, 0]])
def test_first_codes_that_are_none_are_refused(first_codes):
    X = np.random.default_rng(0).normal(size=(60, 4))
    quantizer = ResidualKMeans(2, 8, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"first_codes .* first level"):
        quantizer.candidate_codes(X[:3], 2, first_codes=first_codes)


@pytest.mark.parametrize("second", [(2, 2, 0, 0, 1, 1), (0, 2, 1, 1, 2, 2)])
def test_errors_before_that_were_0_are_0(tmp_path, second):
    # As a difference of two sums they came out as -4e-16: the report said minus infinity, and the
    # file wasn't read again.
    codes = np.array([[0, code] for code in second])
    grid = np.array([[a, b] for a in range(3) for b in range(3)])
    errors = np.abs(grid - codes[:, None]).sum(axis=2) + 0.01 * np.arange(9)
    errors[(grid == codes[:, None]).all(axis=2)] = 0
    index = SemanticIDIndex("reassign", codebook_sizes=3, max_items_per_first_code=6)
    priority = [2, 1, 0, 0, 1, 1] if second[0] else [2, 2, 0, 1, 1, 1]
    index.fit(codes, candidates=(np.tile(grid, (6, 1, 1)), errors), priority=priority)
    assert index.report_.error_before == 0
    assert index.report_.added_error == np.inf
    index.save(tmp_path / "catalog")
    assert SemanticIDIndex.load(tmp_path / "catalog").report_ == index.report_
