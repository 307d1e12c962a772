"""The parts of the loss stand in the history beside their weighted sum."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.callbacks import EpochLosses


def trained(**params):
    X = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
    X[:, -2:] = X[:, -2:] > 0
    return RQVAETransformer(
        codebook_size=8, n_layers=2, codebook_mode="STE", linear_path=False, hidden_dims=(8,),
        embed_dim=4, max_epochs=4, batch_size=64, n_beams=1, random_state=0, **params,
    ).fit(X)  # fmt: skip


@pytest.mark.parametrize("n_cat_features", [0, 2])
@pytest.mark.parametrize("commitment_weight", [0.25, 2.0])
def test_the_total_is_the_weighted_sum_of_the_parts(commitment_weight, n_cat_features):
    history = trained(
        commitment_weight=commitment_weight, codebook_weight=0.5, n_cat_features=n_cat_features
    ).history_
    for epoch in history:
        total = (
            epoch["reconstruction_loss"]
            + 0.5 * epoch["codebook_loss"]
            + commitment_weight * epoch["commitment_loss"]
        )
        if n_cat_features:
            total += epoch["categorical_loss"]
        assert epoch["train_loss"] == pytest.approx(total, rel=1e-5)
    # After the epochs without a quantizer the reconstruction is a part only.
    quantizing = [epoch for epoch in history if epoch["codebook_loss"]]
    assert len(quantizing) >= 2
    for epoch in quantizing:
        assert epoch["commitment_loss"] > 0
        assert epoch["reconstruction_loss"] < 0.999 * epoch["train_loss"]


def test_means_are_over_rows_and_of_training_only():
    # Three rows at 1, one at 5: their mean is 2, that of the batches 3.
    records, in_batches = {}, []
    history = SimpleNamespace(
        record=records.__setitem__, record_batch=lambda name, value: in_batches.append(value)
    )
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.5}])
    net = SimpleNamespace(lr=1.0, history=history, optimizer_=optimizer)
    callback = EpochLosses(["part"])
    callback.on_epoch_begin(net)
    for n_rows, value, training in ((3, 1.0, True), (1, 5.0, True), (9, 100.0, False)):
        batch = {"x": torch.zeros(n_rows, 2)}, (torch.ones(()), n_rows)
        output = SimpleNamespace(part=torch.tensor(value))
        callback.on_batch_end(net, batch=batch, training=training, y_pred=output)
    callback.on_epoch_end(net)
    assert records == {"lr": 0.5, "part": 2.0}
    assert in_batches == [3, 1]
