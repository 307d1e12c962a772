"""The callbacks that skorch brings do in a fit what skorch's documentation says."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Checkpoint, EarlyStopping, LoadInitState, TrainEndCheckpoint
from skorch.exceptions import SkorchException

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning._choice import choose_learner
from sklearn_rqvae._learning._habits import EndAfter
from sklearn_rqvae.nn import RqVae

# A curve, which an MLP describes better than the axes that it starts from.
ANGLES = np.outer(np.random.default_rng(0).uniform(0, 2 * np.pi, size=300), np.arange(1, 5))
X = np.hstack([np.sin(ANGLES), np.cos(ANGLES)]).astype(np.float32)
EVERY_EPOCH = {"callbacks__best__every": 1}


def fitted(*callbacks, **params):
    small = {"codebook_size": 8, "codebook_mode": "STE", "max_epochs": 4, "hidden_dims": [8]}
    small |= {"embed_dim": 2, "module": RqVae}  # one training, without a trial before
    small |= params
    return RQVAETransformer(**small, random_state=0, callbacks=list(callbacks)).fit(X)


@pytest.mark.parametrize(
    ("monitor", "params"),
    [
        ("train_loss_best", {}),
        ("train_distortion_best", {"net_params": EVERY_EPOCH}),
        ("valid_distortion_best", {"early_stopping": True, "lr": 0.02, "batch_size": 16}),
    ],
)
def test_a_checkpoint_ends_the_training_with_its_best_weights(tmp_path, monitor, params):
    checkpoint = Checkpoint(dirname=tmp_path, monitor=monitor, load_best=True)
    estimator = fitted(checkpoint, **params)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    for name in ("encoder.mlp.0.weight", "quantizer._levels.0.weight"):
        if name in saved:
            np.testing.assert_array_equal(estimator.state_[name], saved[name].numpy())
    some = next(name for name, value in saved.items() if value.ndim == 2)
    np.testing.assert_array_equal(estimator.state_[some], saved[some].numpy())
    assert (tmp_path / "criterion.pt").exists()


def test_training_goes_on_from_a_checkpoint(tmp_path):
    def run():
        checkpoint = Checkpoint(dirname=tmp_path, monitor=None)
        return fitted(("to", checkpoint), ("from", LoadInitState(checkpoint)))

    first, second = run(), run()
    assert (first.n_iter_, second.n_iter_) == (4, 8)
    assert second.history_[4]["train_loss"] < 1.5 * first.history_[-1]["train_loss"]


@pytest.mark.parametrize("form", [tuple, list])
def test_there_is_no_trial_before_a_checkpoint_is_loaded(tmp_path, form):
    loads = form(("from", LoadInitState(Checkpoint(dirname=tmp_path))))
    estimator = RQVAETransformer(codebook_mode="STE", callbacks=[loads])
    assert not choose_learner(estimator).has_trial


def test_a_warm_up_goes_on_from_a_checkpoint(tmp_path):
    # Codebooks are random until it ends: nothing is to be trained through them.
    checkpoint = Checkpoint(dirname=tmp_path, monitor=None)
    textbook = {"module": None, "linear_path": False, "max_epochs": 9}  # three of them without
    first = fitted(("to", checkpoint), ("stop", EndAfter(1)), **textbook)
    second = fitted(("from", LoadInitState(checkpoint)), **textbook)
    assert ["utilization" in epoch for epoch in first.history_] == [False]
    assert ["utilization" in epoch for epoch in second.history_[:4]] == [False] * 3 + [True]


def test_the_end_of_training_is_saved(tmp_path):
    fitted(TrainEndCheckpoint(dirname=tmp_path))
    assert (tmp_path / "train_end_params.pt").exists()


def test_early_stopping_of_skorch_stops():
    assert fitted(EarlyStopping(monitor="train_loss", patience=1, threshold=10.0)).n_iter_ == 2


@pytest.mark.parametrize(
    ("callback", "error"),
    [
        (EarlyStopping(), KeyError),
        (EarlyStopping(monitor="valid_distortion"), KeyError),
        (Checkpoint(), SkorchException),
        (Checkpoint(monitor=lambda net: net.history[-1, "loss"] > 0), KeyError),
    ],
    ids=["default", "valid", "checkpoint", "function"],
)
def test_a_missing_key_names_those_that_there_are_and_what_records_more(callback, error):
    with pytest.raises(error, match=r"train_loss.*early_stopping=True.*'callbacks__best__every'"):
        fitted(("mine", callback))
