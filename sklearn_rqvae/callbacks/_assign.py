"""Fix the codes of the training rows for some epochs, and look for better ones in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback
from torch import Tensor

from sklearn_rqvae._net import interruptible

__all__ = ["AssignCodes"]


class AssignCodes(Callback):
    """Search the training rows' codes as `transform` does, every few epochs; the batches carry them.

    Parameters
    ----------
    assign : callable
        ``assign(module) -> Tensor`` of shape (n_samples, n_layers).
    tensors : dict of Tensor
        What the batches are cut from; the codes go under ``"codes"``.
    every : int
        Epochs between two searches.
    """

    def __init__(self, assign: Callable[[Any], Tensor], tensors: dict[str, Tensor], every: int):
        self.assign = assign
        self.tensors = tensors
        self.every = every

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Search again if it is time."""
        if (len(net.history) - 1) % self.every == 0:
            with interruptible():
                self.tensors["codes"] = self.assign(net.module_)
