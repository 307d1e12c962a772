"""scikit-learn's callbacks hear of each epoch, can stop a fit, and get fitted estimators."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._tasks import FitTasks

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")

X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
SMALL = {"codebook_size": 4, "n_layers": 2, "max_epochs": 4, "n_beams": 2, "random_state": 0}
TRAINED = {**SMALL, "codebook_mode": "STE", "hidden_dims": (8,), "embed_dim": 4}
# One training, by all epochs: neither held-out rows nor training rows choose.
ONCE = {**TRAINED, "net_params": {"callbacks__best": None}}


class Listener:
    """Remember what was said; stop after some epochs."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.heard = []
        self.codes = []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(("begin", context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.heard.append(("end", context.estimator_name, context.task_name))
        if context.task_name == "epoch":
            self.codes.append(fitted_estimator.transform(X))
        return self.stop_after is not None and len(self.codes) >= self.stop_after

    def parts(self, name="RQVAETransformer"):
        return [heard[2] for heard in self.heard if heard[:2] == ("end", name)]


def test_each_epoch_is_a_part_and_has_a_fitted_estimator():
    listener = Listener()
    estimator = RQVAETransformer(**ONCE).set_callbacks(listener).fit(X)
    assert listener.heard[0] == "setup"
    assert listener.heard[-1] == "teardown"
    assert listener.parts() == ["epoch"] * 4 + ["fit"]
    assert all(codes.shape == (120, 2) for codes in listener.codes)
    assert estimator.n_iter_ == 4


def test_stages_of_the_closed_form_are_parts():
    listener = Listener()
    RQVAETransformer(**SMALL).set_callbacks(listener).fit(X)
    stages = ["rows", "principal axes", "codebooks", "interactions", "usage"]
    assert listener.parts() == [*stages, "fit"]


def test_a_callback_that_returns_true_stops():
    estimator = RQVAETransformer(**ONCE).set_callbacks(Listener(stop_after=2)).fit(X)
    assert estimator.n_iter_ == 2
    assert estimator.transform(X).shape == (120, 2)


def test_an_epoch_ends_for_callbacks_when_another_callback_has_stopped_it():
    listener = Listener()
    settings = {**TRAINED, "max_epochs": 50, "early_stopping": True, "n_iter_no_change": 1, "lr": 1}
    estimator = RQVAETransformer(**settings).set_callbacks(listener).fit(X)
    assert estimator.n_iter_ < 50
    assert listener.parts() == ["epoch"] * estimator.n_iter_ + ["fit"]


def test_callbacks_change_nothing():
    plain = RQVAETransformer(**TRAINED).fit(X)
    listened = RQVAETransformer(**TRAINED).set_callbacks(Listener()).fit(X)
    for name, array in plain.state_.items():
        np.testing.assert_array_equal(array, listened.state_[name])


def test_callbacks_stay_out_of_saved_files(tmp_path):
    estimator = RQVAETransformer(**SMALL).set_callbacks(Listener()).fit(X)
    estimator.save(tmp_path / "model")
    loaded = RQVAETransformer.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert pickle.loads(pickle.dumps(estimator)).n_iter_ == 0
    assert clone(estimator).fit(X).n_iter_ == 0


def test_pipelines_and_searches_pass_callbacks_on():
    listener = Listener()
    pipeline = make_pipeline(StandardScaler(), RQVAETransformer(**ONCE))
    search = GridSearchCV(pipeline, {"rqvaetransformer__codebook_size": [2, 4]}, cv=2)
    search.set_callbacks(listener).fit(X)
    # Two candidates on two splits, and the refit.
    assert listener.parts().count("epoch") == 5 * 4


def test_progress_bar_nests(capsys):
    pytest.importorskip("rich", reason="ProgressBar needs rich")
    pipeline = make_pipeline(StandardScaler(), RQVAETransformer(**TRAINED))
    pipeline.set_callbacks(callback.ProgressBar()).fit(X)
    printed = capsys.readouterr().out
    assert "Pipeline - fit" in printed
    assert "RQVAETransformer - fit" in printed


def test_scores_can_be_monitored():
    monitor = callback.ScoringMonitor(scoring=lambda estimator, X, y: {"mse": -estimator.score(X)})
    settings = {**TRAINED, "lr": 1e-2, "batch_size": 32}
    RQVAETransformer(**settings).set_callbacks(monitor).fit(X, np.zeros(len(X)))
    scores = [row["mse"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(scores) == 4
    assert len(set(scores)) == 4  # each epoch has weights of its own


def test_without_support_for_callbacks_nobody_is_told():
    tasks = FitTasks(object(), n_epochs=3, X=X, y=None, sample_weight=None)
    tasks.begin("epoch")
    assert not tasks.end()
    with tasks.stage("rows"):
        pass
    tasks.finish()


def test_verbose_prints_the_seconds_of_each_stage(capsys):
    RQVAETransformer(**SMALL, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    stages = ["rows", "principal axes", "codebooks", "interactions", "usage"]
    assert [line.split(":")[0] for line in lines] == stages
    assert all(line.endswith(" s") for line in lines)
    RQVAETransformer(**SMALL).fit(X)
    RQVAETransformer(**TRAINED).fit(X)
    assert capsys.readouterr() == ("", "")
