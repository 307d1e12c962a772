"""Of more rows than codebooks are found on, all count."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._learning import _refinement

MODELS = [
    RQVAETransformer(codebook_size=16, device="cpu", random_state=0),
    RQVAETransformer(n_layers=1, codebook_size=16, device="cpu", random_state=0),
    RQVAETransformer(codebook_size=16, embed_dim=6, device="cpu", random_state=0),
    ResidualKMeans(codebook_size=16, random_state=0),
]
IDS = ["pairs", "one level", "some axes", "kmeans"]
each_model = pytest.mark.parametrize("model", MODELS, ids=IDS)


@pytest.fixture(autouse=True)
def small_sample(monkeypatch):
    """Find codebooks on 300 rows; read rows in blocks of 256."""
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", 300)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    monkeypatch.setattr("sklearn_rqvae._rows._source._BLOCK_FLOATS", 8 * 256)


def make_rows(n=3000, d=8, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(200, d))
    return (centers[rng.integers(0, 200, n)] + 0.3 * rng.normal(size=(n, d))).astype(np.float32)


def on_the_sample(model, X):
    """Fit to the sample alone: a stream keeps no more."""
    return clone(model).partial_fit(X)


def assert_same(one, other, X):
    for a, b in zip(one.codebooks_, other.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(
        one.inverse_transform(one.transform(X)), other.inverse_transform(one.transform(X))
    )


@each_model
def test_new_rows_gain_by_all_rows(model):
    X, new = make_rows(), make_rows(seed=1)
    refined, sampled = clone(model).fit(X), on_the_sample(model, X)
    assert refined.score(new) > 0.98 * sampled.score(new)
    assert refined.score(X) > 0.98 * sampled.score(X)


def test_gradients_start_from_all_rows():
    X, new = make_rows(), make_rows(seed=1)
    closed_form = RQVAETransformer(codebook_size=16, device="cpu", random_state=0)
    start = clone(closed_form).set_params(codebook_mode="STE", max_epochs=0).fit(X)
    sampled = on_the_sample(closed_form, X)
    for rows in (X, new):
        assert start.score(rows) > 0.98 * sampled.score(rows)
        assert start.score(rows) == pytest.approx(closed_form.fit(X).score(rows), rel=0.03)


@each_model
def test_neither_order_nor_copies_nor_rows_without_weight_change_a_bit(model):
    X = make_rows(1000)
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    one = clone(model).fit(X, sample_weight=weight)
    order = np.random.default_rng(1).permutation(weight.sum())
    other = clone(model).fit(np.repeat(X, weight, axis=0)[order])
    assert_same(one, other, X)


@each_model
def test_copies_of_the_sample_are_no_more_rows(model, monkeypatch):
    X = make_rows(300)
    monkeypatch.setattr(_refinement, "fit_to_all", None)  # isn't called
    assert_same(clone(model).fit(X), clone(model).fit(np.tile(X, (3, 1))), X)


def test_a_memory_map_is_refined_as_an_array(tmp_path):
    X = make_rows()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_same(clone(MODELS[0]).fit(X), clone(MODELS[0]).fit(mapped), X)


def test_rows_far_from_zero_are_refined_alike():
    X = np.round(make_rows().astype(np.float64) * 2**10) / 2**10
    near, far = clone(MODELS[0]).fit(X), clone(MODELS[0]).fit(X + 2**20)
    assert hasattr(far, "origin_")
    # Another sample, since hashes are those of other numbers: as good, not the same.
    assert far.score(X + 2**20) == pytest.approx(near.score(X), rel=0.05)


@each_model
@pytest.mark.parametrize(("subsample", "n_used"), [(600, 600), (None, 3000), (3000, 3000)])
def test_passes_use_as_many_rows_as_are_asked_for(model, subsample, n_used, monkeypatch):
    seen = []
    original = _refinement.fit_to_all

    def fit_to_all(blocks, codes, *args, **kwargs):
        seen.append(len(codes))
        return original(blocks, codes, *args, **kwargs)

    monkeypatch.setattr(_refinement, "fit_to_all", fit_to_all)
    clone(model).set_params(subsample=subsample).fit(make_rows())
    assert seen == [n_used, n_used]


def test_a_subsample_is_that_of_the_set_of_rows():
    X = make_rows()
    model = clone(MODELS[0]).set_params(subsample=600)
    order = np.random.default_rng(1).permutation(len(X))
    assert_same(clone(model).fit(X), clone(model).fit(X[order]), X)
    kept = clone(MODELS[0]).set_params(subsample=301).fit(X)
    assert (kept.codebooks_[0] != clone(model).fit(X).codebooks_[0]).any()


@each_model
def test_a_row_outside_the_sample_whose_square_overflows_is_named(model):
    X = make_rows()
    X[:100] *= 1e20  # most of them aren't in the sample, some are
    with pytest.raises(ValueError, match="squares overflow"):
        clone(model).fit(X)


@each_model
@pytest.mark.parametrize("subsample", [300, 100])
def test_no_passes_follow_over_no_more_rows_than_codebooks_are_found_on(model, subsample):
    X = make_rows()
    model = clone(model).set_params(subsample=subsample)
    fitted = clone(model).fit(X)
    assert fitted.code_usage_[0].sum() == pytest.approx(subsample)
    assert_same(fitted, on_the_sample(model, X), X)
