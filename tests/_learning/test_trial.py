"""With a linear path, gradients start from the whole closed form and stay where new rows gain."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae._learning._rows import Rows, last_rows_held_out
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.nn import RqVae

MODES = ["STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX", "SINKHORN"]
DATA = Path(__file__).parents[3] / "shared/data"
SMALL = {
    "codebook_size": 16,
    "n_layers": 2,
    "hidden_dims": [16],
    "batch_size": 64,
    "lr": 1e-2,
    "max_epochs": 20,
    "n_iter_no_change": 4,
    "n_beams": 4,
    "device": "cpu",
}


def texts_like(seed, n_rows=500, n_features=24):
    """Return rows of unit length in clusters, with a spectrum that falls as that of texts does."""
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.sqrt(1 + np.arange(n_features))
    centers = np.random.default_rng(99).normal(size=(40, n_features)) * spectrum
    rows = centers[rng.integers(40, size=n_rows)] + rng.normal(size=(n_rows, n_features)) * spectrum
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def texts(catalog):
    """Return the vectors of a catalog's texts."""
    if catalog == "api_docs":
        return TextEmbedder(random_state=0).fit_transform(load_api_docs().data)
    path = DATA / catalog / "emb_minilm_384_f16.npy"
    if not path.exists():
        pytest.skip("the catalog isn't there")
    return np.load(path).astype(np.float32)


def curved(seed, n_rows=600):
    """Return rows on a surface that no plane comes near, where an MLP has something to learn."""
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, size=n_rows)
    waves = np.arange(1, 7)
    return np.hstack([np.sin(np.outer(angles, waves)), np.cos(np.outer(angles, waves))]).astype(
        "f4"
    )


def unexplained(estimator, X):
    error = X - estimator.inverse_transform(estimator.transform(X))
    return float(np.square(error).sum() / np.square(X - X.mean(axis=0)).sum())


def against_start(train, held_out, seed, **params):
    """Return the held-out error of a training's start and of its end."""
    settings = {**SMALL, **params, "random_state": seed}
    start = RQVAETransformer(**{**settings, "max_epochs": 0}).fit(train)
    return unexplained(start, held_out), unexplained(
        RQVAETransformer(**settings).fit(train), held_out
    )


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_ends_worse_than_its_start_on_new_rows(mode):
    pairs = [
        against_start(texts_like(seed), texts_like(seed + 10), seed, codebook_mode=mode)
        for seed in range(2)
    ]
    starts = [start for start, _ in pairs]
    spread = max(starts) / min(starts) - 1
    for start, end in pairs:
        assert end <= start * (1 + spread)


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_ends_worse_than_its_start_on_new_images(mode):
    X = load_digits().data.astype(np.float32)
    held_out = np.arange(len(X)) % 5 == 0
    settings = {"codebook_mode": mode, "n_layers": 3, "hidden_dims": [256], "lr": 4e-3}
    start, end = against_start(X[~held_out], X[held_out], 0, **settings)
    assert end <= 1.01 * start  # starts of other seeds differ by as much
    if mode == "STE":  # on codes of beam searches it learns how the images are curved
        assert end <= 0.99 * start


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("catalog", "n_seeds"), [("scientific", 3), ("beauty", 1), ("api_docs", 1)]
)
def test_no_mode_ends_worse_than_its_start_on_new_texts(catalog, n_seeds, mode):
    X = texts(catalog)
    for seed in range(n_seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        defaults = {"codebook_size": 256, "n_layers": 3, "hidden_dims": None, "batch_size": 512}
        defaults |= {"lr": 4e-3, "max_epochs": 100, "n_iter_no_change": 10, "n_beams": 16}
        start, end = against_start(
            X[order[434:]], X[order[:434]], seed, codebook_mode=mode, **defaults
        )
        assert end <= 1.01 * start  # starts of other seeds differ by as much


def test_the_start_has_full_width_and_pairs_of_codes():
    X = texts_like(0)
    settings = {**SMALL, "max_epochs": 0, "codebook_mode": "STE", "random_state": 0}
    start = RQVAETransformer(**settings).fit(X)
    assert start.architecture_["embed_dim"] == X.shape[1]
    assert start.architecture_["interactions"]["n_pairs"] > 0
    closed = RQVAETransformer(codebook_size=16, n_layers=2, n_beams=4, random_state=0).fit(X)
    for name, array in closed.state_.items():
        np.testing.assert_array_equal(start.state_[name], array)
    # An MLP of zeros changes nothing but the rounding.
    assert unexplained(start, X) == pytest.approx(unexplained(closed, X), rel=1e-3)


def test_a_hopeless_trial_ends_with_the_start_after_its_patience():
    X = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    settings = {**SMALL, "lr": 3.0, "codebook_mode": "STE", "random_state": 0}
    trained = RQVAETransformer(**settings).fit(X)
    start = RQVAETransformer(**{**settings, "max_epochs": 0}).fit(X)
    assert trained.n_iter_ == 0
    assert len(trained.history_) == 4
    assert all(epoch["valid_distortion"] > 0 for epoch in trained.history_)
    for name, array in start.state_.items():
        np.testing.assert_array_equal(trained.state_[name], array)


def test_what_the_trial_finds_is_trained_on_all_rows():
    X = curved(0)
    epochs = []

    class Watch(Callback):
        def on_epoch_end(self, net, dataset_train=None, **kwargs):
            epochs.append((len(dataset_train), dict(net.history[-1])))

    settings = {**SMALL, "codebook_mode": "STE", "random_state": 0, "embed_dim": 2}
    trained = RQVAETransformer(**settings, callbacks=[("watch", Watch)]).fit(X)
    start = RQVAETransformer(**{**settings, "max_epochs": 0}).fit(X)
    assert trained.n_iter_ > 0
    assert unexplained(trained, curved(1)) < unexplained(start, curved(1))
    assert trained.code_usage_[0].sum() == pytest.approx(600)
    n_trial = len(trained.history_)
    heard = [n_rows for n_rows, _ in epochs]
    n_heard = heard.count(540)  # the epoch that patience ends at isn't told of
    assert n_trial - n_heard <= 1
    assert heard == [540] * n_heard + [600] * trained.n_iter_
    # The best epoch ends the second training, in the same course of the learning rate.
    measured = [epoch["valid_distortion"] for epoch in trained.history_]
    assert trained.n_iter_ == 1 + int(np.argmin(measured))
    for (_, again), epoch in zip(epochs[n_heard:], trained.history_, strict=False):
        assert again["valid_distortion"] == epoch["valid_distortion"]
        assert again["lr"] == pytest.approx(epoch["lr"], abs=1e-3)


def test_without_the_choice_all_epochs_are_trained():
    settings = {**SMALL, "codebook_mode": "STE", "random_state": 0, "max_epochs": 5}
    trained = RQVAETransformer(**settings, net_params={"callbacks__best": None}).fit(curved(0))
    assert trained.n_iter_ == len(trained.history_) == 5


def test_a_loss_of_ones_own_has_no_trial():
    class Own(RqVae):
        pass

    settings = {**SMALL, "random_state": 0, "max_epochs": 5}
    trained = RQVAETransformer(**settings, module=Own).fit(curved(0))
    assert trained.n_iter_ == len(trained.history_) == 5


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_a_handful_of_rows_can_be_fitted(n_rows):
    X = curved(0)[:n_rows]
    settings = {**SMALL, "codebook_size": 2, "codebook_mode": "STE", "random_state": 0}
    assert RQVAETransformer(**settings).fit(X).transform(X).shape == (n_rows, 2)


def test_each_side_has_a_row_and_weights_of_mean_one():
    rows = Rows(torch.arange(20.0).reshape(10, 2), torch.arange(1.0, 11))
    for fraction, n_held_out in ((0.01, 1), (0.3, 3), (0.99, 9)):
        kept, held_out = last_rows_held_out(rows, fraction)
        assert len(held_out.x) == n_held_out
        assert torch.equal(torch.cat([kept.x, held_out.x]), rows.x)
        assert float(kept.weight.mean()) == pytest.approx(1)
        assert float(held_out.weight.mean()) == pytest.approx(1)
    assert last_rows_held_out(Rows(rows.x[:1], rows.weight[:1]), 0.5) is None


def test_pairs_survive_saving(tmp_path):
    X = curved(0)
    settings = {**SMALL, "codebook_mode": "STE", "random_state": 0, "max_epochs": 3}
    trained = RQVAETransformer(**settings, net_params={"callbacks__best": None}).fit(X)
    assert trained.architecture_["interactions"]["n_pairs"] > 0
    trained.save(tmp_path / "model")
    loaded = RQVAETransformer.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(X), trained.transform(X))
    trained.net_.save_checkpoint(tmp_path / "module.pt")
    module = RqVae.load_from_checkpoint(tmp_path / "module.pt")
    codes = torch.from_numpy(trained.transform(X))
    with torch.no_grad():
        assert torch.allclose(module.eval().decode(codes), trained.net_.decode(codes), atol=1e-6)
