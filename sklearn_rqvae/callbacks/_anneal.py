"""Lower the temperature of the Gumbel-softmax during training."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback

__all__ = ["AnnealTemperature"]


class AnnealTemperature(Callback):
    """Tell the module at each epoch how far the training has come."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the epoch's temperature."""
        net.module_.anneal((len(net.history) - 1) / max(1, net.max_epochs - 1))
