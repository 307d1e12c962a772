"""A catalog takes over a new fit as a plan: who moves is known before, and IDs have one owner."""

import copy

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex
from sklearn_rqvae.exceptions import VocabularyError

X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
NAMES = np.array([f"item {i:03}" for i in range(500)])
OLD = ResidualKMeans(n_layers=2, codebook_size=32, random_state=0).fit(X[:400])
NEAR = copy.deepcopy(OLD).set_params(warm_start=True).fit(X)
OTHER = ResidualKMeans(n_layers=2, codebook_size=32, random_state=1).fit(X)


class Codes:
    """A model whose codes are given, and whose rows are numbers on a line."""

    def __init__(self, codes, sizes=None):
        self.codes = np.array(codes)
        if sizes:
            self.codebooks_ = [np.arange(float(size))[:, None] for size in sizes]

    def transform(self, X):
        return self.codes

    def inverse_transform(self, codes):
        return np.asarray(codes, dtype=float).sum(axis=1, keepdims=True)


def catalog(collisions="suffix", **settings):
    return SemanticIDIndex.from_estimator(OLD, X[:400], NAMES[:400], collisions, **settings)


@pytest.mark.parametrize("new", [NEAR, OTHER], ids=["near", "another"])
@pytest.mark.parametrize("collisions", ["suffix", "reassign", "none"])
def test_who_moves_is_known_before_and_all_others_stay(collisions, new):
    index = catalog(collisions)
    before, ids = index.fingerprint, index.ids_
    plan = index.plan_refit(new, X, NAMES)
    assert index.fingerprint == before
    assert plan.n_kept + plan.n_moved == 400
    assert plan.n_added == 100
    moved = np.isin(NAMES[:400], plan.item_ids)
    index.apply(plan, grow=True)
    assert index.item_ids_.tolist() == NAMES.tolist()
    np.testing.assert_array_equal(index.ids_[:400][~moved], ids[~moved])
    np.testing.assert_array_equal(index.ids_of(plan.item_ids), plan.new_ids)
    np.testing.assert_array_equal(ids[moved], plan.old_ids)
    assert (plan.new_ids != plan.old_ids).any(axis=1).all()
    if collisions == "none":
        np.testing.assert_array_equal(index.codes_, new.transform(X))
        return
    assert len(np.unique(index.ids_, axis=0)) == 500
    given = {tuple(row) for row in index.ids_.tolist()}
    assert not given & {tuple(row) for row in plan.old_ids.tolist()}


def test_codes_are_those_of_the_new_model():
    index = catalog()
    index.apply(index.plan_refit(NEAR, X, NAMES), grow=True)
    np.testing.assert_array_equal(index.codes_, NEAR.transform(X))
    for one, other in zip(index.codebooks_, NEAR.codebooks_, strict=True):
        np.testing.assert_array_equal(one, other)


def test_ids_that_items_have_left_are_kept_from_others_or_released():
    codes = [[0, 0], [1, 1]]
    index = SemanticIDIndex(codebook_sizes=4).fit(codes, ["tea", "cup"])
    swapped = Codes([[1, 1], [0, 0]])
    plan = index.plan_refit(swapped, np.zeros((2, 1)), ["tea", "cup"])
    assert plan.new_ids.tolist() == [[1, 1, 1], [0, 0, 1]]
    released = index.plan_refit(swapped, np.zeros((2, 1)), ["tea", "cup"], release=True)
    assert released.new_ids.tolist() == [[1, 1, 0], [0, 0, 0]]
    index.apply(plan, grow=True)
    assert index.capacity((1, 1)).n_retired == 1
    assert index.append([[1, 1]], ["pot"], grow=True).tolist() == [[1, 1, 2]]


def test_nearly_as_good_codes_are_kept_where_stability_says_so():
    index = SemanticIDIndex(codebook_sizes=9).fit([[1], [4]], [7, 8])
    new = Codes([[2], [8]])
    vectors = np.array([[1.6], [7.0]])  # errors .16 and 1, with the old codes .36 and 9
    assert index.plan_refit(new, vectors, [7, 8]).item_ids.tolist() == [7, 8]
    assert index.plan_refit(new, vectors, [7, 8], stability=0.3).item_ids.tolist() == [7, 8]
    assert index.plan_refit(new, vectors, [7, 8], stability=0.4).item_ids.tolist() == [8]
    assert index.plan_refit(new, vectors, [7, 8], stability=20).n_moved == 0


def test_an_item_that_was_displaced_and_would_be_again_stays():
    index = catalog("reassign")
    displaced = (index.codes_ != OLD.transform(X[:400])).any(axis=1)
    assert displaced.sum() > 5
    plan = index.plan_refit(OLD, X[:400], NAMES[:400])
    assert plan.n_moved == 0


def test_a_plan_for_another_state_is_refused():
    index = catalog()
    plan = index.plan_refit(NEAR, X, NAMES)
    index.remove([NAMES[3]])
    before = index.fingerprint
    with pytest.raises(ValueError, match="has changed since the plan"):
        index.apply(plan, grow=True)
    assert index.fingerprint == before


@pytest.mark.parametrize(
    ("items", "names", "model", "message"),
    [
        (X[1:400], NAMES[1:400], NEAR, "1 items of the catalog are missing, such as 'item 000'"),
        (X[:400], NAMES[[0, *range(399)]], NEAR, "item 000"),
        (X, np.arange(500), NEAR, "integers"),
        (X, NAMES, ResidualKMeans(2, 16, random_state=0).fit(X), "16 codes at level 0"),
        (X, NAMES, ResidualKMeans(3, 32, random_state=0).fit(X), "3"),
    ],
)
def test_what_does_not_fit_the_catalog_is_refused(items, names, model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        catalog().plan_refit(model, items, names)


def test_negative_stability_is_refused():
    with pytest.raises(ValueError, match=r"stability=-1 should be at least 0"):
        catalog().plan_refit(NEAR, X, NAMES, stability=-1)


def test_codebooks_may_grow():
    index = catalog()
    larger = ResidualKMeans(n_layers=2, codebook_size=40, random_state=0).fit(X)
    index.apply(index.plan_refit(larger, X, NAMES), grow=True)
    assert index.level_sizes_[:2] == (40, 40)
    np.testing.assert_array_equal(index.codes_, larger.transform(X))


def test_retired_ids_survive_the_file(tmp_path):
    index = catalog()
    index.apply(index.plan_refit(NEAR, X, NAMES), grow=True)
    index.save(tmp_path / "catalog")
    assert SemanticIDIndex.load(tmp_path / "catalog").fingerprint == index.fingerprint


def test_a_plan_says_what_it_does_in_words_numbers_and_a_frame():
    pytest.importorskip("pandas")
    index = SemanticIDIndex(codebook_sizes=4).fit([[0, 0], [1, 1], [2, 0]], ["tea", "cup", "pen"])
    plan = index.plan_refit(
        Codes([[0, 0], [1, 2], [3, 3], [2, 0]]), np.zeros((4, 1)), ["tea", "cup", "jar", "pen"]
    )
    assert str(plan) == (
        "2 of 3 items keep their ID, 1 move, 1 are new\nkept by prefix: 100.0% 66.7% 66.7%"
    )
    assert plan.to_dict()["n_moved"] == 1
    assert plan.to_frame().values.tolist() == [["cup", (1, 1, 0), (1, 2, 0)]]
    report = index.drift(plan)
    assert (report.n_common, report.n_added, round(report.changed, 3)) == (3, 1, 0.333)


class Meanwhile(Codes):
    """A model during whose work another thread changes the catalog."""

    def __init__(self, change, codes):
        super().__init__(codes)
        self.change = change

    def transform(self, X):
        self.change()
        return self.codes


def test_a_plan_is_for_the_catalog_as_it_was_when_it_began():
    # It left out what was appended meanwhile, and said that it knew it.
    index = SemanticIDIndex("raise").fit([[0, 0], [1, 1]], ["a", "b"])
    model = Meanwhile(lambda: index.append([[2, 2]], ["c"], grow=True), [[0, 1], [1, 1]])
    plan = index.plan_refit(model, np.zeros((2, 1)), ["a", "b"])
    assert plan.n_moved == 1
    with pytest.raises(ValueError, match="the catalog has changed since the plan was made"):
        index.apply(plan, grow=True)
    assert list(index) == ["a", "b", "c"]


def test_codes_of_a_model_that_was_replaced_meanwhile_are_refused():
    index = catalog()
    plan = index.plan_refit(OTHER, X[:400], NAMES[:400])
    slow = copy.deepcopy(OLD)
    slow.transform = lambda rows: (index.apply(plan, grow=True), OLD.transform(rows))[1]
    with pytest.raises(VocabularyError, match="the same code means something else"):
        index.append_from_estimator(slow, X[400:], NAMES[400:], grow=True)
    assert len(index) == 400
