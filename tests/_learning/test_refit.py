"""A warm start in closed form describes new items, and leaves the others their codes."""

import copy
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer

SMALL = {"n_layers": 2, "codebook_size": 16, "random_state": 0}
BOTH = pytest.mark.parametrize("cls", [RQVAETransformer, ResidualKMeans])


def items(seed=0, n=1500, d=8):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(1.5, 0.3, d)).astype(np.float32)


def warm(old, X, **params):
    return copy.deepcopy(old).set_params(warm_start=True, **params).fit(X)


def kept(old, new, X):
    return (old.transform(X) == new.transform(X)).all(axis=1).mean()


@BOTH
@pytest.mark.parametrize("seed", range(2))
def test_old_items_keep_their_codes_at_little_more_error_than_a_new_fit(cls, seed):
    X, held_out = items(seed), items(100 + seed)
    older = X[:1000]
    old, fresh = cls(**SMALL).fit(older), cls(**SMALL).fit(X)
    new = warm(old, X)
    assert kept(old, fresh, older) < 0.2
    assert kept(old, new, older) > 0.9
    assert new.score(held_out) > 1.03 * fresh.score(held_out)  # scores are negative
    assert new.score(X) > old.score(X)


@BOTH
def test_more_stability_keeps_more(cls):
    X = items()
    old = cls(**SMALL).fit(X[:700])
    shares = [kept(old, warm(old, X, stability=s), X[:700]) for s in (0.0, 0.1, 1.0)]
    assert shares[0] < shares[1] < shares[2]


@BOTH
def test_the_first_fit_of_a_warm_start_is_a_fit(cls):
    X = items()
    for one, other in zip(
        cls(**SMALL).fit(X).codebooks_,
        cls(**SMALL, warm_start=True, stability=1.0).fit(X).codebooks_,
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@BOTH
def test_order_and_repetition_of_rows_change_nothing(cls):
    X = items()
    old = cls(**SMALL).fit(X[:1000])
    new = warm(old, X)
    again = warm(old, np.concatenate([X, X])[np.random.default_rng(0).permutation(2 * len(X))])
    for one, other in zip(new.codebooks_, again.codebooks_, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert (new.transform(X) == again.transform(X)).all()


@BOTH
def test_rows_far_from_zero_are_counted_from_the_same_origin(cls):
    X = items().astype(np.float64) + 1e7
    old = cls(**SMALL).fit(X[:1000])
    new = warm(old, X)
    np.testing.assert_array_equal(new.origin_, old.origin_)
    assert kept(old, new, X[:1000]) > 0.9
    assert new.score(X) > old.score(X)


@BOTH
def test_axes_and_units_stay(cls):
    X = items()
    old = cls(**SMALL).fit(X[:1000])
    new = warm(old, X)
    if cls is ResidualKMeans:
        np.testing.assert_array_equal(new.mean_, old.mean_)
    else:
        for name in ("mean", "scale", "encoder.components"):
            np.testing.assert_array_equal(new.state_[name], old.state_[name])


@BOTH
def test_a_refit_is_saved_and_goes_on(cls, tmp_path):
    X = items()
    new = warm(cls(**SMALL).fit(X[:1000]), X, stability=0.5)
    new.save(tmp_path / "model")
    loaded = cls.load(tmp_path / "model")
    assert loaded.fingerprint == new.fingerprint
    assert loaded.stability == 0.5
    assert kept(new, loaded.fit(items(1)), X) > 0.6


@BOTH
@pytest.mark.parametrize("changed", [{"codebook_size": 8}, {"n_layers": 3}])
def test_a_model_of_another_shape_is_refused_and_stays(cls, changed):
    X = items()
    model = cls(**SMALL).fit(X)
    before = model.fingerprint
    with pytest.raises(ValueError, match=r"has changed: .*warm_start=False"):
        model.set_params(warm_start=True, **changed).fit(X)
    assert model.fingerprint == before
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 8"):
        model.set_params(**SMALL).fit(X[:, :5])


def test_directions_have_no_warm_start_in_closed_form():
    X = items()
    model = RQVAETransformer(**SMALL, codebook_normalize=True, warm_start=True).fit(X)
    with pytest.raises(ValueError, match="codebook_normalize=True"):
        model.fit(X)


def test_a_single_level_and_few_rows_have_no_pairs():
    X = items(n=60)
    old = RQVAETransformer(n_layers=1, codebook_size=6, random_state=0).fit(X[:40])
    assert kept(old, warm(old, X), X[:40]) > 0.8
    assert warm(old, X).architecture_["interactions"] is None


@BOTH
def test_stability_without_a_warm_start_is_named(cls):
    with pytest.warns(UserWarning, match=r"stability=0\.5 has no effect: .*warm_start=True"):
        cls(**SMALL, stability=0.5).fit(items())


@BOTH
@pytest.mark.parametrize("stability", [-0.1, float("inf"), float("nan"), None])
def test_stability_is_a_finite_number(cls, stability):
    with pytest.raises(ValueError, match="'stability' parameter"):
        cls(**SMALL, warm_start=True, stability=stability).fit(items())


@pytest.mark.filterwarnings("ignore:Trying to unpickle")
def test_a_model_that_was_pickled_before_there_was_stability_goes_on():
    model = joblib.load(Path(__file__).parents[1] / "old_files" / "0.1.0" / "closed.joblib")
    assert model.stability == 0.3
    X = items(d=model.n_features_in_)
    assert np.isfinite(model.set_params(warm_start=True).fit(X).score(X))


@pytest.mark.parametrize(
    "model",
    [
        ResidualKMeans(**SMALL),
        RQVAETransformer(**SMALL),
        RQVAETransformer(**SMALL, linear_path=False, hidden_dims=(8,), max_epochs=2),
    ],
)
def test_a_warm_start_wants_the_features_of_the_last_fit(model):
    # Columns in another order would be taken for those that stood in their places.
    frame = pd.DataFrame(items(n=300), columns=list("abcdefgh"))
    model = clone(model).set_params(warm_start=True).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        model.fit(frame[list("hgfedcba")])
    with pytest.raises(ValueError, match="feature names should match"):
        model.fit(frame.drop(columns="h"))
    with (
        pytest.raises(ValueError, match=r"X has 7 features, but .* is expecting 8"),
        pytest.warns(UserWarning, match="valid feature names"),
    ):
        model.fit(items(n=300)[:, :7])
    assert model.fit(frame).feature_names_in_.tolist() == list("abcdefgh")
    assert model.set_params(warm_start=False).fit(frame.drop(columns="h")).n_features_in_ == 7
