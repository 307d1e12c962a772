"""Record the parts of the loss, and the learning rate, once per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

__all__ = ["EpochLosses"]


class EpochLosses(Callback):
    """Write the mean of each part of the loss over the epoch's batches into the history.

    Beside them stands ``lr``, the learning rate of the epoch's last step.

    The parts stay on the device until the epoch ends: reading them out batch by batch would wait
    for it each time.

    Parameters
    ----------
    names : sequence of str
        Fields of the module's output.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget the last epoch."""
        self.parts_: list[torch.Tensor] = []
        self.lr_ = net.lr

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Keep the parts of one training batch, and its number of rows last."""
        if not training:
            return
        output = kwargs["y_pred"]
        # Of the whole batch, also where each process has a part: all write the same history.
        n_rows = batch[1][1]
        net.history.record_batch("train_batch_size", n_rows)
        parts = [getattr(output, name).detach().reshape(()) for name in self.names]
        self.lr_ = float(net.optimizer_.param_groups[-1]["lr"])
        self.parts_.append(torch.stack(parts + [parts[0].new_tensor(n_rows)]))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the means, batches weighted by their rows."""
        net.history.record("lr", self.lr_)
        parts = torch.stack(self.parts_).cpu().double()
        means = (parts[:, :-1] * parts[:, -1:]).sum(0) / parts[:, -1].sum()
        if not torch.isfinite(means).all():
            raise ValueError(
                f"the training has diverged in epoch {len(net.history)}: its losses are not "
                f"finite. Lower the learning rate, lr={net.lr}."
            )
        for name, mean in zip(self.names, means.tolist(), strict=True):
            net.history.record(name, mean)
