"""Training ends with the weights of the epoch that measured best."""

from types import SimpleNamespace

import pytest
import torch
from skorch.history import History

from sklearn_rqvae.callbacks import KeepBestEpoch


def train(distortions, n_epochs=None, **settings):
    """Let the weight be the epoch's number and its distortion be given; return what is left."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    history = History()
    net = SimpleNamespace(
        module_=module, quantizing=True, max_epochs=len(distortions) - 1,
        history=history,
    )  # fmt: skip
    callback = KeepBestEpoch(
        lambda module: {"distortion": distortions[round(module.weight.item())]},
        monitor="distortion", **settings,
    )  # fmt: skip
    callback.on_train_begin(net)
    try:
        for epoch in range(1, (n_epochs or len(distortions) - 1) + 1):
            history.new_epoch()
            with torch.no_grad():
                module.weight.fill_(epoch)
            callback.on_epoch_end(net)
    except KeyboardInterrupt:
        pass
    callback.on_train_end(net)
    return round(module.weight.item()), history


@pytest.mark.parametrize(
    ("distortions", "best"),
    [([0.5, 0.4, 0.3], 2), ([0.5, 0.2, 0.3], 1), ([0.1, 0.2, 0.3], 0), ([0.5, 0.4, 0.4], 1)],
)
def test_the_best_epoch_stays_the_start_included(distortions, best):
    assert train(distortions)[0] == best


@pytest.mark.parametrize(
    ("in_use", "best"), [([0.2, 0.4, 0.19], 2), ([0.2, 0.1, 0.2], 2), ([0.2, 0.1, 0.21], 0)]
)
def test_the_start_comes_back_where_it_is_better_in_use(in_use, best):
    def measure(module):
        return in_use[round(module.weight.item())]

    assert train([0.5, 0.4, 0.3], in_use=measure)[0] == best


@pytest.mark.parametrize(
    ("gain", "best"), [([0.1, 0.2, 0.1, 0.2], 2), ([0.6, -0.5, 0.6, -0.5], 0), ([0.1], 0)]
)
def test_by_rows_the_start_comes_back_unless_the_gain_is_beyond_doubt(gain, best):
    # The second one gains in sum 0.2, with a standard error of 2 * 0.635.
    def measure(module):
        start = torch.full((len(gain),), 0.7)
        return start - torch.tensor(gain) * (module.weight.item() > 0)

    assert train([0.5, 0.4, 0.3], in_use=measure)[0] == best


def test_patience_counts_epochs_without_improvement():
    best, history = train([0.5, 0.4, 0.45, 0.46, 0.1], patience=2)
    assert (best, len(history)) == (1, 3)
    # An improvement in the fifth digit is none, but its weights are kept.
    best, history = train([0.5, 0.499999, 0.499998, 0.1], patience=2)
    assert (best, len(history)) == (2, 2)


def test_every_other_epoch_and_the_last_are_measured():
    _, history = train([0.5, 0.4, 0.3, 0.2], every=2)
    assert ["distortion" in epoch for epoch in history] == [False, True, True]


@pytest.mark.parametrize(("n_epochs", "best"), [(1, 1), (2, 2), (3, 2)])
def test_the_last_epoch_is_measured_where_another_callback_ends_the_training(n_epochs, best):
    left, history = train([0.5, 0.4, 0.3, 0.6, 0.2, 0.1], n_epochs=n_epochs, every=2)
    assert left == best
    assert "distortion" in history[-1]
