"""The temperature falls while the quantizer trains."""

from types import SimpleNamespace

import numpy as np
import pytest
from skorch.history import History

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.callbacks import AnnealTemperature
from sklearn_rqvae.nn import RqVae


def temperatures(max_epochs, n_warm_up=0, start=2.0):
    """Return the temperature of each epoch."""
    module = RqVae(
        4, embed_dim=2, hidden_dims=[4], codebook_size=4, n_layers=1, gumbel_temperature=start
    )
    net = SimpleNamespace(module_=module, max_epochs=max_epochs, history=History(), quantizing=True)
    callback = AnnealTemperature()
    callback.on_train_begin(net)
    values = []
    for epoch in range(max_epochs):
        net.history.new_epoch()
        net.quantizing = epoch >= n_warm_up
        callback.on_epoch_begin(net)
        values.append(module.quantizer.temperature.item())
    return values


def test_it_falls_from_start_to_a_tenth_of_it():
    assert temperatures(3) == pytest.approx([2.0, 2.0 * 0.1**0.5, 0.2])


def test_a_warm_up_takes_nothing_of_the_annealing():
    # Epochs without quantization draw no noise: the temperature waits for those with it.
    assert temperatures(6, n_warm_up=3) == pytest.approx([2.0] * 3 + temperatures(3))


def test_a_single_epoch_goes_on_where_training_ended():
    assert temperatures(1) == pytest.approx([temperatures(3)[-1]])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_sampling_costs_little_precision(seed):
    # A softmax as cold as the noise, with derivatives multiplied level by level, costs 9 % here.
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(1200, 48)) * np.arange(1, 49) ** -0.7
    error = {
        mode: -RQVAETransformer(
            codebook_mode=mode, linear_path=False, codebook_size=32, hidden_dims=[128, 64],
            embed_dim=16, max_epochs=60, batch_size=128, random_state=seed,
        ).fit(rows).score(rows)
        for mode in ("STE", "GUMBEL_SOFTMAX")
    }  # fmt: skip
    assert error["GUMBEL_SOFTMAX"] < 1.05 * error["STE"]
