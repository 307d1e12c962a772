"""What scikit-learn's checks don't see of RQVAETransformer."""

import pickle
import signal
import sys
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.exceptions import CodebookCollapseWarning
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae

MODES = [mode.name for mode in QuantizeForwardMode]
SMALL = {"codebook_size": 8, "n_layers": 3, "n_beams": 4, "max_epochs": 3, "random_state": 0}
PLAIN = {**SMALL, "linear_path": False, "hidden_dims": (16,), "embed_dim": 4, "n_beams": 1}
ARCHITECTURES = pytest.mark.parametrize("params", [SMALL, PLAIN], ids=["default", "plain"])


def make_rows(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(12, d)) * 3
    return (centers[rng.integers(0, 12, n)] + rng.normal(size=(n, d))).astype(np.float32)


X = make_rows()


class CustomRqVae(RqVae):
    """Module level, so that it can be pickled by reference."""

    def compute_loss(self, x, outputs):
        return super().compute_loss(x, outputs) + 0.01 * outputs.latent.square().mean()


class ShiftedRqVae(RqVae):
    """Encodes otherwise than its base."""

    def _encode_standardized(self, standardized):
        return super()._encode_standardized(standardized + 1)


# --- codes and reconstruction ------------------------------------------------------------------


@ARCHITECTURES
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns(params, mode):
    settings = {**params, "codebook_mode": mode, "max_epochs": 60, "lr": 3e-3, "batch_size": 64}
    estimator = RQVAETransformer(**settings).fit(X)
    assert -estimator.score(X) < 0.5 * X.var()


def test_linear_path_off_alone_gives_the_plain_architecture():
    estimator = RQVAETransformer(linear_path=False, max_epochs=1).fit(X)
    assert estimator.architecture_["embed_dim"] == 32
    assert estimator.architecture_["hidden_dims"] == [512, 256, 128]
    assert estimator.net_.decoder.components is None
    assert len(estimator.history_) == 1
    closed_form = RQVAETransformer().fit(X)
    assert closed_form.history_ == []
    assert closed_form.net_.decoder.mlp is None


def test_a_narrow_closed_form_decodes_what_its_axes_hold():
    wide = RQVAETransformer(codebook_size=32, random_state=0).fit(X)
    narrow = RQVAETransformer(codebook_size=32, embed_dim=2, random_state=0).fit(X)
    assert [codebook.shape for codebook in narrow.codebooks_] == [(32, 2)] * 3
    assert wide.score(X) > narrow.score(X) > -X.var()
    codes, errors = narrow.candidate_codes(X, 3)
    decoded = narrow.inverse_transform(codes[:, 1])
    np.testing.assert_allclose(((X - decoded) ** 2).sum(1), errors[:, 1], rtol=1e-3, atol=1e-3)


def test_codebook_sizes_and_modes_per_level():
    estimator = RQVAETransformer(
        codebook_size=[4, 8], n_layers=2, codebook_mode=["ste", "Sinkhorn"], max_epochs=1
    ).fit(X)
    assert [len(codebook) for codebook in estimator.codebooks_] == [4, 8]


@pytest.mark.parametrize("name", ["CLOSED_FORM", "closed_form", "Closed_Form"])
def test_the_closed_form_has_a_name(name, tmp_path):
    unnamed, named = RQVAETransformer(**SMALL), RQVAETransformer(**SMALL, codebook_mode=name)
    unnamed.fit(X)
    clone(named).fit(X).save(tmp_path / "model")
    loaded = RQVAETransformer.load(tmp_path / "model")
    assert loaded.codebook_mode == clone(named).codebook_mode == name
    for estimator in (clone(named).fit(X), loaded):
        assert estimator.architecture_ == unnamed.architecture_
        assert estimator.state_.keys() == unnamed.state_.keys()
        for key, array in unnamed.state_.items():
            np.testing.assert_array_equal(estimator.state_[key], array)
        np.testing.assert_array_equal(estimator.transform(X), unnamed.transform(X))


@pytest.mark.filterwarnings("ignore:max_epochs=3 has no effect")
def test_a_search_names_the_closed_form():
    grid = {"codebook_mode": ["CLOSED_FORM", "STE"]}
    search = GridSearchCV(RQVAETransformer(**SMALL), grid, cv=2).fit(X)
    column = pd.Series(search.cv_results_["param_codebook_mode"])
    assert column.tolist() == grid["codebook_mode"]
    assert not column.isna().any()
    assert search.best_params_["codebook_mode"] in grid["codebook_mode"]


@pytest.mark.parametrize(
    ("open_form", "named"),
    [
        ({"linear_path": False}, "linear_path=False"),
        ({"n_cat_features": 1}, "n_cat_features=1"),
        ({"module": CustomRqVae}, "module=.*CustomRqVae"),
    ],
)
def test_the_closed_form_is_refused_where_there_is_none(open_form, named):
    estimator = RQVAETransformer(codebook_mode="Closed_Form", **open_form)
    for learn in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=f"codebook_mode='Closed_Form'.*{named}"):
            learn(X)


def test_the_architecture_speaks_of_training_only_where_there_was_some():
    of_training = {"codebook_mode", "codebook_weight", "commitment_weight"}
    assert not of_training & set(RQVAETransformer(**SMALL).fit(X).architecture_)
    for params in ({**SMALL, "codebook_mode": "STE"}, PLAIN):
        assert of_training < set(RQVAETransformer(**params).fit(X).architecture_)


def test_compile_reaches_the_net_and_a_search(monkeypatch):
    seen = []

    def compiled(module, **kwargs):
        seen.append(kwargs)
        return module

    monkeypatch.setattr(torch, "compile", compiled)
    trained = {**PLAIN, "max_epochs": 1}
    by_name = RQVAETransformer(**trained).set_params(compile=True)
    assert by_name.net_params == {"compile": True}
    assert by_name.get_params()["compile"] is True
    for estimator in (clone(by_name), RQVAETransformer(**trained, net_params={"compile": True})):
        estimator.fit(X)
        assert seen
        seen.clear()
    search = GridSearchCV(RQVAETransformer(**trained), {"compile": [False, True]}, cv=2).fit(X)
    assert set(search.best_params_) == {"compile"}
    # Module and criterion, of two splits, and of the refit if it has won.
    assert len(seen) in (4, 6)
    RQVAETransformer(**trained, net_params={"compile": False}).fit(X)


def test_data_parallel_needs_accelerate_in_training_only(monkeypatch, tmp_path):
    for params in (SMALL, PLAIN):
        estimator = RQVAETransformer(**params).fit(X).set_params(device="data_parallel")
        estimator.save(tmp_path / "model")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "accelerate", None)
            loaded = RQVAETransformer.load(tmp_path / "model")
            np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
            loaded.score(X)
            if params is PLAIN:
                with pytest.raises(ImportError, match=r"needs accelerate: pip install"):
                    loaded.fit(X)


# --- state --------------------------------------------------------------------------------------


@ARCHITECTURES
def test_a_pickle_is_as_small_as_the_weights(params):
    estimator = RQVAETransformer(**params).fit(X)
    estimator.transform(X)
    n_bytes = sum(array.nbytes for array in estimator.state_.values())
    assert len(pickle.dumps(estimator)) < 1.5 * n_bytes + 30_000


def test_a_module_of_ones_own_is_not_saved_without_pickle(tmp_path):
    estimator = RQVAETransformer(**PLAIN, module=CustomRqVae).fit(X)
    with pytest.raises(TypeError, match=r"module .*joblib"):
        estimator.save(tmp_path / "model")
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.transform(X), estimator.transform(X))


def test_a_module_of_ones_own_is_trained_where_no_mode_is_given():
    losses = []

    class Watched(RqVae):
        def compute_loss(self, *args, **kwargs):
            losses.append(super().compute_loss(*args, **kwargs))
            return losses[-1]

    estimator = RQVAETransformer(codebook_size=4, max_epochs=2, module=Watched, random_state=0)
    assert estimator.fit(X).n_iter_ == 2
    assert losses


# --- training -----------------------------------------------------------------------------------


class Recorder(Callback):
    """Remember the epochs it saw."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(len(net.history))


class Interrupter(Callback):
    """Press Ctrl-C in the second epoch."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


@ARCHITECTURES
def test_ctrl_c_stops_a_fit(params):
    assert threading.current_thread() is threading.main_thread()
    stop = {"callbacks": [("stop", Interrupter())], "codebook_mode": "STE"}
    estimator = RQVAETransformer(**{**params, **stop})
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert not hasattr(estimator, "codebooks_")


def test_callbacks_are_used_but_not_changed():
    recorder = Recorder()
    callbacks = [("recorder", recorder), ("early", EarlyStopping("train_loss", patience=1))]
    before = joblib.hash(callbacks)
    settings = {**SMALL, "max_epochs": 5, "codebook_mode": "STE"}
    estimator = RQVAETransformer(**settings, callbacks=callbacks).fit(X)
    assert joblib.hash(callbacks) == before
    assert recorder.seen == []
    assert 1 <= len(estimator.history_) <= 5


@ARCHITECTURES
def test_history_is_plain_numbers_for_each_epoch(params):
    estimator = RQVAETransformer(**{**params, "codebook_mode": "STE"}).fit(X)
    assert len(estimator.history_) == 3
    assert estimator.n_iter_ == 3 or (estimator.linear_path and estimator.n_iter_ < 3)
    for epoch in estimator.history_:
        assert {"epoch", "reconstruction_loss", "codebook_loss", "commitment_loss"} <= set(epoch)
        for name in ("utilization", "perplexity"):
            values = epoch.pop(name, [1.0] * 3)  # a warm-up chooses no codes
            assert all(type(value) is float for value in values)
            assert len(values) == 3
        assert all(type(value) in (int, float, bool) for value in epoch.values())


def test_early_stopping_holds_out_rows_and_keeps_the_best_epoch():
    settings = {
        **PLAIN,
        "max_epochs": 60,
        "early_stopping": True,
        "n_iter_no_change": 4,
        "lr": 0.05,
    }
    estimator = RQVAETransformer(**settings).fit(X)
    distortions = [epoch.get("valid_distortion", np.inf) for epoch in estimator.history_]
    assert len(distortions) < 90
    assert min(distortions) < distortions[-1]
    with pytest.raises(ValueError, match="validation_fraction"):
        RQVAETransformer(**{**settings, "validation_fraction": 0.1}).fit(X[:3])


@ARCHITECTURES
def test_training_never_ends_worse_than_it_started(params):
    params = {**params, "codebook_mode": "STE", "lr": 0.5}
    start = RQVAETransformer(**{**params, "max_epochs": 0}).fit(X)
    trained = RQVAETransformer(**{**params, "max_epochs": 5}).fit(X)
    assert trained.score(X) >= start.score(X) - 1e-6


@ARCHITECTURES
def test_a_diverged_training_says_so(params):
    settings = {**params, "codebook_mode": "STE", "lr": 1e12, "max_epochs": 20, "batch_size": 16}
    with pytest.raises(ValueError, match=r"diverged.* Lower the learning rate"):
        RQVAETransformer(**settings, net_params={"callbacks__clip": None}).fit(X)


@ARCHITECTURES
def test_what_is_done_to_the_net_leaves_the_codes(params):
    estimator = RQVAETransformer(**{**params, "codebook_mode": "STE"}).fit(X)
    codes, score = estimator.transform(X), estimator.score(X)
    net = estimator.net_.train().double()
    with torch.no_grad():
        net.mean += 5
        net.quantizer.levels[0].weight.zero_()
    assert estimator.net_ is net
    np.testing.assert_array_equal(estimator.transform(X), codes)
    assert estimator.score(X) == score
    assert estimator.fit(X).net_ is not net


def test_codes_do_not_depend_on_what_was_called_before():
    # What was built for other parameters is not used for these.
    estimator = RQVAETransformer(**PLAIN, module=ShiftedRqVae).fit(X)
    estimator.transform(X)
    estimator.set_params(module=None)
    codes = pickle.loads(pickle.dumps(estimator)).transform(X)
    np.testing.assert_array_equal(estimator.transform(X), codes)
    assert type(estimator.net_) is RqVae


def test_own_module_and_its_loss_are_used():
    settings = {**PLAIN, "max_epochs": 20}
    estimator = RQVAETransformer(**settings, module=CustomRqVae).fit(X)
    plain = RQVAETransformer(**settings).fit(X)
    assert isinstance(estimator.net_, CustomRqVae)
    assert estimator.score(X) != plain.score(X)


@pytest.mark.parametrize("mode", ["STE", "ROTATION_TRICK"])
@ARCHITECTURES
def test_warm_start_goes_on_from_the_last_fit(params, mode):
    estimator = RQVAETransformer(**{**params, "codebook_mode": mode, "max_epochs": 20}).fit(X)
    before = estimator.score(X)
    estimator.set_params(warm_start=True, max_epochs=5).fit(X)
    assert estimator.n_iter_ == 5
    assert estimator.score(X) >= before - 1e-6
    estimator.set_params(commitment_weight=0.5).fit(X)
    with pytest.raises(ValueError, match=r"has changed: codebook_size\..*warm_start=False"):
        estimator.set_params(codebook_size=4).fit(X)


def test_net_params_are_settable_searchable_and_clone_safe():
    estimator = RQVAETransformer(**SMALL, codebook_mode="STE").set_params(
        optimizer__betas=(0.5, 0.9)
    )
    assert estimator.get_params()["optimizer__betas"] == (0.5, 0.9)
    assert clone(estimator).net_params == {"optimizer__betas": (0.5, 0.9)}
    search = GridSearchCV(estimator, {"optimizer__eps": [1e-8, 1e-4]}, cv=2).fit(X)
    assert set(search.best_params_) == {"optimizer__eps"}


def test_every_entry_of_net_params_can_be_set_under_its_name():
    # An attribute of the name would be set in silence, and never read.
    sgd, adam = torch.optim.SGD, torch.optim.Adam
    estimator = RQVAETransformer(net_params={"optimizer": sgd, "predict_nonlinearity": None})
    again = RQVAETransformer().set_params(**estimator.get_params())
    assert again.net_params == estimator.net_params
    again.set_params(optimizer=adam, predict_nonlinearity="auto", batch_size=8)
    assert again.net_params == {"optimizer": adam, "predict_nonlinearity": "auto"}
    assert again.batch_size == 8
    assert RQVAETransformer().set_params(optimizer=sgd).net_params == {"optimizer": sgd}
    with pytest.raises(ValueError, match="Invalid parameter 'optimiser'"):
        again.set_params(optimiser=sgd)


def test_callbacks_in_net_params_are_not_changed():
    schedule = LRScheduler(policy="StepLR", step_size=1)
    before = joblib.hash(schedule)
    net_params = {"callbacks__lr_schedule": schedule}
    RQVAETransformer(**SMALL, codebook_mode="STE", net_params=net_params).fit(X)
    assert joblib.hash(schedule) == before


def test_no_epochs_leave_codebooks_of_latents():
    # Random ones would be returned as if they were learned.
    estimator = RQVAETransformer(**{**PLAIN, "max_epochs": 0}).fit(X)
    latent = estimator.net_.encode(torch.from_numpy(X)).numpy()
    codes = estimator.transform(X)
    quantized = sum(book[c] for book, c in zip(estimator.codebooks_, codes.T, strict=True))
    assert np.square(latent - quantized).sum() < 0.1 * np.square(latent - latent.mean(0)).sum()


def test_going_on_says_that_the_closed_form_has_no_hidden_layers():
    estimator = RQVAETransformer(**SMALL, warm_start=True).fit(X)
    for learn in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match="closed form has no hidden layers"):
            estimator.set_params(codebook_mode="STE") and learn(X)
    trained = RQVAETransformer(**SMALL, codebook_mode="STE").fit(X)
    with pytest.raises(ValueError, match="closed form has no hidden layers"):
        trained.set_params(codebook_mode=None, warm_start=True).fit(X)


def test_a_module_of_ones_own_leaves_the_random_state_of_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", None)
    RQVAETransformer(**{**PLAIN, "max_epochs": 1}, module=CustomRqVae).fit(X).transform(X)


def test_collapse_of_the_closed_form_has_other_ways_out():
    # Rows of wildly different lengths: the few longest take all codewords.
    lengths = np.exp(8 * np.random.default_rng(0).normal(size=(2000, 1)))
    rows = make_rows(2000) * lengths
    with pytest.warns(CodebookCollapseWarning, match="StandardScaler") as record:
        RQVAETransformer(codebook_size=32, n_layers=2, random_state=0).fit(rows)
    assert "commitment_weight" not in str(record[0].message)


# --- inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear_path", [True, False])
def test_more_training_beside_categories_is_judged_alike_in_all_units(linear_path):
    kinds = np.eye(4)[np.random.default_rng(1).integers(4, size=len(X))]
    settings = {**SMALL, "n_cat_features": 4, "linear_path": linear_path, "hidden_dims": (16,)}
    settings["net_params"] = {"callbacks__best__every": 1}
    distortions = []
    for factor in (1, 1e3):
        rows = np.hstack([factor * X, kinds])
        estimator = RQVAETransformer(**settings).fit(rows).partial_fit(rows)
        distortions.append(estimator.history_[-1]["train_distortion"])
    assert distortions[1] == pytest.approx(distortions[0], rel=1e-3)


def test_categories_come_back_as_probabilities():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    rows = np.c_[rng.normal(size=(300, 4)) + 5 * labels[:, None], np.eye(3)[labels]]
    for params in (SMALL, PLAIN):
        settings = {**params, "max_epochs": 40, "lr": 1e-2, "batch_size": 64, "n_cat_features": 3}
        estimator = RQVAETransformer(**settings).fit(rows)
        probability = estimator.inverse_transform(estimator.transform(rows))[:, -3:]
        assert ((probability >= 0) & (probability <= 1)).all()
        assert (probability.argmax(1) == labels).mean() > 0.9
    with pytest.raises(ValueError, match=r"n_cat_features=2 .*range from"):
        RQVAETransformer(n_cat_features=2).fit(X)
    with pytest.raises(ValueError, match="n_cat_features=9"):
        RQVAETransformer(n_cat_features=9).fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"codebook_mode": "nonsense"}, "codebook_mode='nonsense'"),
        ({"codebook_mode": ["STE"]}, "has 1 entries but n_layers=3"),
        ({"hidden_dims": (0,)}, r"hidden_dims=\(0,\) has the entry 0"),
        ({"device": "abacus"}, "device='abacus'"),
        ({"device": "cuda:99"}, "isn't available"),
        ({"lr": -1.0}, "'lr' parameter"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        RQVAETransformer(**params).fit(X)


# --- inside scikit-learn ------------------------------------------------------------------------


def test_pipelines_and_search_with_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        rq = (
            RQVAETransformer(**SMALL)
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True)
        )
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), rq)
        search = GridSearchCV(pipeline, {"rqvaetransformer__codebook_mode": MODES}, cv=2)
        search.fit(X, sample_weight=np.ones(len(X)))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_other_modules_are_refused():
    with pytest.raises(TypeError, match=r"subclass of sklearn_rqvae\.nn\.RqVae"):
        RQVAETransformer(**SMALL, module=dict).fit(X)
