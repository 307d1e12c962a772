"""Lower the temperature of the Gumbel-softmax during training."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from sklearn_rqvae.callbacks._epochs import epochs_run

__all__ = ["AnnealTemperature"]


class AnnealTemperature(Callback):
    """Tell the module at each epoch how far the training of its quantizer has come."""

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start counting the epochs without quantization."""
        self.n_warm_up_ = 0

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Set the epoch's temperature."""
        if not net.quantizing:
            self.n_warm_up_ = epochs_run(net)
        n_done = max(0, epochs_run(net) - 1 - self.n_warm_up_)
        n_later = net.max_epochs - 1 - self.n_warm_up_
        # A single epoch goes on with a trained model, at the temperature where its training ended.
        net.module_.anneal(n_done / n_later if n_later > 0 else 1.0)
