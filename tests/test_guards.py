"""Calls are computed in single precision, and a fit that fails leaves the estimator as it was."""

import contextlib
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from sklearn_rqvae import PrefixFeatures, ResidualKMeans, RQVAETransformer, TextEmbedder
from sklearn_rqvae._guards import seeded_draws, single_precision
from sklearn_rqvae.embedding import InteractionEmbedder, ViewFusion

SETTINGS = {"codebook_size": 16, "n_layers": 3, "random_state": 0}
X = np.random.default_rng(0).normal(size=(400, 24)).astype(np.float32)
ESTIMATORS = pytest.mark.parametrize(
    "estimator",
    [
        RQVAETransformer(**SETTINGS),
        RQVAETransformer(**SETTINGS, codebook_mode="STE", hidden_dims=[32], max_epochs=1),
        ResidualKMeans(**SETTINGS),
    ],
    ids=["closed form", "gradients", "k-means"],
)


@ESTIMATORS
def test_the_callers_precision_changes_nothing(estimator):
    fitted = estimator.fit(X)
    codes, score = fitted.transform(X), fitted.score(X)
    loaded = pickle.loads(pickle.dumps(fitted))  # builds its module at the first call
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(loaded.transform(X), codes)
        np.testing.assert_array_equal(estimator.fit(X).transform(X), codes)
    np.testing.assert_array_equal(loaded.transform(X), codes)
    assert loaded.score(X) == score


@pytest.mark.parametrize(
    "setting",
    [
        contextlib.nullcontext,
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
    ],
)
def test_calls_find_torch_as_if_the_caller_had_set_nothing(setting):
    with setting(), single_precision():
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert torch.empty(0).device.type == "cpu"


def test_a_module_built_in_inference_mode_can_be_trained():
    loaded = pickle.loads(pickle.dumps(RQVAETransformer(**SETTINGS).fit(X)))
    with torch.inference_mode():
        loaded.transform(X)
    latent = loaded.net_.requires_grad_(True).encode(torch.from_numpy(X).requires_grad_())
    latent.sum().backward()


@ESTIMATORS
def test_a_fit_that_fails_changes_nothing(estimator, monkeypatch):
    frame = pd.DataFrame(X, columns=[f"x{column}" for column in range(24)])
    fitted = estimator.fit(frame)
    before, codes = dict(vars(fitted)), fitted.transform(frame)
    fitted.set_params(codebook_size=[8])
    with pytest.raises(ValueError, match="codebook_size"):
        fitted.fit(X[:, :5])
    fitted.set_params(codebook_size=16)
    assert vars(fitted) == before

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_rqvae._learning._closed_form.principal_axes", interrupt)
    monkeypatch.setattr("sklearn_rqvae._learning._residual_kmeans.fit_codebooks", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(frame.rename(columns={"x0": "other"}))
    assert fitted.feature_names_in_[0] == "x0"
    np.testing.assert_array_equal(fitted.transform(frame), codes)


TITLES = pd.DataFrame({"title": ["red lamp", "tea pot", "tea cup"], "empty": [""] * 3})
HISTORIES = [["a", "b"], ["b", "c"]]
# Transformers, what they are fitted to, what makes a second fit to other rows fail, and the error.
PREPARING = {
    "texts": (
        TextEmbedder(n_components=2),
        TITLES,
        {"text_columns": ["empty"]},
        TITLES,
        "None of the 1 distinct texts has an n-gram",
    ),
    "behavior": (
        InteractionEmbedder(n_components=2, interactions=HISTORIES),
        ["a", "b"],
        {},
        ["other"],
        "None of the 1 items in X",
    ),
    "views": (ViewFusion([20, 4]), X, {}, X[:, :5], "sum to the 5 columns"),
    "prefixes": (PrefixFeatures(), [[0, 1, 2]], {"levels": [2]}, [[0, 1]], "has the entry 2"),
}


@pytest.mark.parametrize("name", PREPARING)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_what_prepares_rows_is_unchanged_by_a_fit_that_fails(name, method):
    # Half of two fits would be misread: the columns of the second by what the first has learned.
    estimator, rows, params, others, message = PREPARING[name]
    unfitted = clone(estimator).set_params(**params)
    with pytest.raises(ValueError, match=message):
        getattr(unfitted, method)(others)
    assert not [attribute for attribute in vars(unfitted) if attribute.endswith("_")]
    fitted = clone(estimator).fit(rows).set_params(**params)
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(others)
    assert all(vars(fitted)[attribute] is value for attribute, value in before.items())
    assert vars(fitted).keys() == before.keys()


def test_an_unfitted_estimator_stays_unfitted():
    estimator = RQVAETransformer(codebook_size=[8])
    with pytest.raises(ValueError, match="codebook_size"):
        estimator.fit(X)
    assert not hasattr(estimator, "n_features_in_")


def test_threads_that_draw_from_the_global_generator_take_turns():
    def draw(seed):
        with seeded_draws(seed):
            first = float(torch.rand(()))
            time.sleep(0.01)  # another thread would seed now
            return first, float(torch.rand(()))

    before, alone = torch.random.get_rng_state(), [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("params", [{}, {"codebook_mode": "STE", "max_epochs": 1}])
def test_what_numpy_is_told_to_raise_is_no_error(params):
    # What is left of all other rows beside an outlier underflows when squared.
    rows = np.random.default_rng(0).normal(size=(301, 6))
    rows[300] = 1e10
    estimator = RQVAETransformer(n_layers=2, codebook_size=8, random_state=0, **params)
    codes = estimator.fit(rows).transform(rows)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(estimator.fit(rows).transform(rows), codes)
