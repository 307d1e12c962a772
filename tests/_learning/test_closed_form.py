"""Modules start from the data: what is found in closed form fits together."""

import numpy as np
import pytest
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.nn import RqVae

SETTINGS = {"codebook_size": 16, "n_layers": 3, "random_state": 0}


def make_rows(n=1000, d=16, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(30, d))
    return (centers[rng.integers(0, 30, n)] + 0.4 * rng.normal(size=(n, d))).astype(np.float32)


def unexplained(model, X):
    return -model.score(X) / X.var(0).mean()


@pytest.mark.parametrize("unit_length", [True, False])
@pytest.mark.parametrize("mode", [None, "STE"])
def test_directions_are_compared_at_the_length_of_the_rows(unit_length, mode):
    X = make_rows()
    if unit_length:
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    params = {**SETTINGS, "codebook_mode": mode, "embed_dim": 16, "max_epochs": 0}
    positions = RQVAETransformer(**params).fit(X)
    directions = RQVAETransformer(**params, codebook_normalize=True).fit(X)
    lengths = np.linalg.norm(directions.codebooks_[0], axis=1)
    expected = np.linalg.norm(X - X.mean(0), axis=1).mean() / directions.state_["scale"][0]
    np.testing.assert_allclose(lengths, expected, rtol=0.05)
    assert unexplained(directions, X) < 2 * unexplained(positions, X)


def test_categories_have_a_loss_of_their_own_in_the_history():
    X = np.hstack([make_rows(200), np.eye(4)[np.arange(200) % 4]])
    params = {**SETTINGS, "codebook_mode": "STE", "hidden_dims": [8], "max_epochs": 2}
    model = RQVAETransformer(**params, n_cat_features=4, commitment_weight=0.5).fit(X)
    for epoch in model.history_:
        total = (
            epoch["reconstruction_loss"] + epoch["categorical_loss"]
            + epoch["codebook_loss"] + 0.5 * epoch["commitment_loss"]
        )  # fmt: skip
        assert total == pytest.approx(epoch["train_loss"], rel=1e-4)
    assert "categorical_loss" not in RQVAETransformer(**params).fit(X).history_[0]


def test_the_closed_form_learns_from_all_rows_with_early_stopping_too():
    X = make_rows(400)
    stopping = RQVAETransformer(**SETTINGS, early_stopping=True).fit(X)
    assert sum(stopping.code_usage_[0]) == pytest.approx(400)
    np.testing.assert_array_equal(
        stopping.transform(X), RQVAETransformer(**SETTINGS).fit(X).transform(X)
    )


class WithAHead(RqVae):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = torch.nn.Linear(self.embed_dim, 1)

    def compute_loss(self, x, outputs):
        return super().compute_loss(x, outputs) + self.head(outputs.latent).square().mean()


def test_layers_of_a_module_of_ones_own_are_drawn_from_the_random_state():
    params = {**SETTINGS, "module": WithAHead, "hidden_dims": [8], "max_epochs": 1}
    before = torch.get_rng_state()
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        states.append(RQVAETransformer(**params).fit(make_rows(100)).state_)
        assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def test_the_default_dtype_of_torch_does_not_matter():
    X, params = make_rows(100), {**SETTINGS, "hidden_dims": [8], "max_epochs": 1}
    for mode in (None, "STE"):
        expected = RQVAETransformer(**params, codebook_mode=mode).fit(X).score(X)
        torch.set_default_dtype(torch.float64)
        try:
            found = RQVAETransformer(**params, codebook_mode=mode).fit(X).score(X)
        finally:
            torch.set_default_dtype(torch.float32)
        assert found == pytest.approx(expected, rel=0.2)  # what is drawn has other digits


def test_modes_may_come_in_an_array():
    params = {**SETTINGS, "hidden_dims": [8], "max_epochs": 1}
    modes = ["STE", "SINKHORN", "STE"]
    one, other = (
        RQVAETransformer(**params, codebook_mode=given).fit(make_rows(100)).architecture_
        for given in (modes, np.array(modes))
    )
    assert one == other


def test_codewords_are_shrunk_strongly_only_where_pairs_make_up_for_it():
    X = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    alone, additive = (
        estimator.set_params(n_layers=1, codebook_size=32, random_state=0).fit(X)
        for estimator in (RQVAETransformer(), ResidualKMeans())
    )
    assert alone.score(X) > additive.score(X)  # half its shrinkage
