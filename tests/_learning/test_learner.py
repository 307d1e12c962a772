"""Parameters that make no difference are named, and another learner needs no change elsewhere."""

import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EarlyStopping

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._base import SemanticIDMixin
from sklearn_rqvae._coders import CodebookCoder
from sklearn_rqvae._guards import all_or_nothing
from sklearn_rqvae._learning._closed_form import ClosedForm
from sklearn_rqvae._learning._learner import ignored_parameters
from sklearn_rqvae._learning._rows import generator_of
from sklearn_rqvae.nn import QuantizeForwardMode

SMALL = {"n_layers": 2, "codebook_size": 4, "n_beams": 2, "random_state": 0}
X = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)

# Each parameter that the closed form ignores, with a value that isn't its default.
SET = {
    "hidden_dims": (16,),
    "codebook_sim_vq": True,
    "commitment_weight": 1.0,
    "codebook_weight": 0.5,
    "max_epochs": 7,
    "batch_size": 32,
    "lr": 1e-2,
    "weight_decay": 0.0,
    "lr_schedule": "step",
    "early_stopping": True,
    "validation_fraction": 0.2,
    "n_iter_no_change": 3,
    "callbacks": [EarlyStopping("train_loss")],
    "net_params": {"optimizer__betas": (0.5, 0.9)},
}
WAYS_TO_FIT = {
    "fit": lambda estimator: estimator.fit(X),
    "partial_fit": lambda estimator: estimator.partial_fit(X),
    "fit_transform": lambda estimator: estimator.fit_transform(X),
    "pipeline": lambda estimator: make_pipeline("passthrough", estimator).fit(X),
    "search": lambda estimator: GridSearchCV(estimator, {"n_layers": [1, 2]}, cv=2, n_jobs=1).fit(
        X
    ),
}


def warnings_of(call, *args):
    """Return what a call warns of; all the fits of a search may say the same."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args)
    return caught


def test_every_ignored_parameter_is_tried():
    assert set(SET) == set(ClosedForm.ignores)
    assert set(SET) < set(RQVAETransformer().get_params(deep=False))


@pytest.mark.parametrize("name", SET)
def test_a_parameter_without_effect_has_none(name):
    plain, changed = RQVAETransformer(**SMALL), RQVAETransformer(**SMALL, **{name: SET[name]})
    plain.fit(X)
    with pytest.warns(UserWarning, match=f"^{name}=.* has no effect"):
        changed.fit(X)
    for one, other in zip(plain.codebooks_, changed.codebooks_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert plain.architecture_ == changed.architecture_


@pytest.mark.parametrize("name", SET)
@pytest.mark.parametrize("way", WAYS_TO_FIT.values(), ids=WAYS_TO_FIT)
def test_a_parameter_without_effect_is_named_once_where_it_was_called(way, name):
    caught = warnings_of(way, RQVAETransformer(**SMALL, **{name: SET[name]}))
    n_fits = 5 if way is WAYS_TO_FIT["search"] else 1
    assert len(caught) == n_fits
    assert {warning.category for warning in caught} == {UserWarning}
    assert {(warning.filename, warning.lineno) for warning in caught} == {
        (__file__, way.__code__.co_firstlineno)
    }
    message = str(caught[0].message)
    assert message.startswith(f"{name}=")
    if name != "callbacks":  # whose text tells its copies apart
        assert {str(warning.message) for warning in caught} == {message}
        assert message.startswith(f"{name}={SET[name]!r} has no effect: ")
    assert "codebook_mode='STE'" in message


def test_several_parameters_share_one_warning():
    (caught,) = warnings_of(
        RQVAETransformer(**SMALL, lr=1.0, max_epochs=7, n_iter_no_change=3).fit, X
    )
    assert str(caught.message).startswith(
        "lr=1.0, max_epochs=7, n_iter_no_change=3 have no effect: "
    )


@pytest.mark.parametrize("way", WAYS_TO_FIT.values(), ids=WAYS_TO_FIT)
@pytest.mark.parametrize("cls", [RQVAETransformer, ResidualKMeans])
def test_defaults_give_no_warning(cls, way):
    assert not warnings_of(way, cls(**SMALL))


@pytest.mark.parametrize("mode", [mode.name for mode in QuantizeForwardMode])
def test_gradient_training_ignores_only_losses_that_it_lacks(mode):
    estimator = RQVAETransformer(**SMALL, **SET, codebook_mode=mode)
    lacking = {"commitment_weight", "codebook_weight"} if mode == "STE" else set()
    assert ignored_parameters(estimator, estimator._learner()).keys() == lacking
    estimator.set_params(linear_path=False)
    assert not ignored_parameters(estimator, estimator._learner())
    settings = {"max_epochs": 1, "hidden_dims": (8,), "lr": 1e-3}
    fitted = RQVAETransformer(**SMALL, **settings, codebook_mode=mode)
    assert not [w for w in warnings_of(fitted.fit, X) if "no effect" in str(w.message)]


# --- another learner ----------------------------------------------------------------------------


class Corners:
    """Take the first distinct rows for codewords: a learner as plain as the contract allows."""

    ignores = ("n_beams",)
    ignores_because = "corners are found, not searched."
    n_epochs = 0
    held_out = None
    keeps_rows = True
    keeps_units = True
    n_fixed = 0
    device = torch.device("cpu")
    ways_out = "other rows"
    subsample = 1000

    def __init__(self, size):
        self.size = size

    def max_rows(self, n_features):
        return self.subsample

    def generator(self, random_state):
        return generator_of(random_state)

    def learn(self, training, validation, generator, tasks):
        with tasks.stage("corners"):
            codebook = training.x[: self.size].numpy().copy()
        return {"codebooks_": [codebook], "mean_": np.zeros(codebook.shape[1], np.float32)}


class CornersTransformer(SemanticIDMixin, BaseEstimator):
    """An estimator of its own."""

    _parameter_constraints: ClassVar[dict] = {}

    def __init__(self, size=4, n_beams=1, random_state=None):
        self.size = size
        self.n_beams = n_beams
        self.random_state = random_state

    @all_or_nothing
    def fit(self, X, y=None, sample_weight=None):
        self._fit(X, y, sample_weight)
        return self

    def _learner(self):
        return Corners(self.size)

    def _coder(self):
        return CodebookCoder(self.mean_, self.codebooks_, self.n_beams)

    def _check_state(self):
        pass

    def _codes_depend_on(self):
        return [self.codebooks_]


class CornersKMeans(ResidualKMeans):
    """An estimator of ours that learns in another way."""

    def _learner(self):
        return Corners(self.codebook_size)


THIRD = [CornersTransformer(random_state=0), CornersKMeans(1, 4, random_state=0)]


@pytest.mark.parametrize("estimator", THIRD)
def test_another_learner_needs_one_method(estimator, tmp_path):
    fitted = clone(estimator).fit(X)
    codes = fitted.transform(X)
    squared = np.square(X[:, None] - fitted.codebooks_[0]).sum(2)
    np.testing.assert_array_equal(codes[:, 0], squared.argmin(1))
    assert fitted.score(X) == pytest.approx(-squared.min(1).mean() / X.shape[1], rel=1e-5)
    assert sum(fitted.code_usage_[0]) == pytest.approx(len(X))
    stream = clone(estimator).partial_fit(X[:30]).partial_fit(X[30:])
    np.testing.assert_array_equal(stream.transform(X), codes)
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(type(fitted).load(tmp_path / "model").transform(X), codes)
    with pytest.warns(UserWarning, match="n_beams=7 has no effect: corners are found") as caught:
        clone(estimator).set_params(n_beams=7).fit(X)
    assert caught[0].filename == __file__


class Moved:
    """Learn as another learner does, in the rows' own units, and move what it has learned."""

    keeps_units = True

    def __init__(self, learner, distance):
        self.learner = learner
        self.distance = distance

    def __getattr__(self, name):
        return getattr(self.learner, name)

    def learn(self, training, validation, generator, tasks):
        learned = self.learner.learn(training, validation, generator, tasks)
        learned["state_"]["mean"] = learned["state_"]["mean"] + self.distance
        return learned


class KeptTransformer(RQVAETransformer):
    def _learner(self):
        return Moved(super()._learner(), 0)


class MovedTransformer(RQVAETransformer):
    def _learner(self):
        return Moved(super()._learner(), 1)


def test_a_learner_may_change_what_another_has_learned():
    plain, moved = KeptTransformer(**SMALL).fit(X), MovedTransformer(**SMALL).fit(X)
    codes = plain.transform(X)
    np.testing.assert_array_equal(moved.transform(X + 1), codes)
    expected = plain.inverse_transform(codes) + 1
    np.testing.assert_allclose(moved.inverse_transform(codes), expected, rtol=1e-5, atol=1e-5)
