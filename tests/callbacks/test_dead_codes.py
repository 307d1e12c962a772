"""Dead codes move while there is time left to train them."""

from types import SimpleNamespace

import pytest
import torch
from skorch.history import History

from sklearn_rqvae.callbacks import ResetDeadCodes
from sklearn_rqvae.nn import RqVae


def net_at(epoch, max_epochs=10, quantizing=True):
    """A net in some epoch, whose first code was used by all rows."""
    generator = torch.Generator().manual_seed(0)
    module = RqVae(
        4, embed_dim=2, hidden_dims=[4], codebook_size=4, n_layers=1, generator=generator
    )
    module.quantizer.set_codebooks([codebook.detach() for codebook in module.codebooks])
    module.quantizer.levels[0].usage.copy_(torch.tensor([60.0, 20.0, 20.0, 0.0]))
    history = History()
    for _ in range(epoch):
        history.new_epoch()
    return SimpleNamespace(
        module_=module, quantizing=quantizing, max_epochs=max_epochs, history=history,
        optimizer_=torch.optim.AdamW(module.parameters()),
        agree_on_codebooks=lambda: None,
    )  # fmt: skip


def after_a_batch(net, training=True):
    callback = ResetDeadCodes(until=0.8)
    callback.on_epoch_begin(net)
    rows = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    batch = ({"x": rows, "sample_weight": torch.ones(30)}, None)
    output = net.module_(rows)
    callback.on_batch_end(net, batch=batch, training=training, y_pred=output)
    callback.on_epoch_end(net)
    return net.history[-1, "codes_reset"]


def test_a_dead_code_moves():
    net = net_at(epoch=8)
    before = net.module_.quantizer.levels[0].weight.detach().clone()
    assert after_a_batch(net) == 1
    moved = (net.module_.quantizer.levels[0].weight != before).any(1)
    assert moved.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("settings", "training"),
    [
        ({"epoch": 9}, True),  # too late to train it
        ({"epoch": 1, "quantizing": False}, True),
        ({"epoch": 1}, False),
    ],
)
def test_else_codes_stay(settings, training):
    assert after_a_batch(net_at(**settings), training) == 0
