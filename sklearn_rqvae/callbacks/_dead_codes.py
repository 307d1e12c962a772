"""Give dead codewords new places during training."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback

from sklearn_rqvae._distributed import state_tensors

__all__ = ["ResetDeadCodes"]


class ResetDeadCodes(Callback):
    """Move codewords that are hardly used to badly quantized rows, except near the end of training.

    A codeword that moves late is used without having been trained.

    Parameters
    ----------
    until : float
        Share of the epochs after which codewords stay.
    """

    def __init__(self, until: float = 0.8):
        self.until = until

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Let the module look at its usage, and count what it replaced."""
        if training and net.quantizing and len(net.history) <= self.until * net.max_epochs:
            rows = batch[0]
            replaced = net.module_.reset_dead_codes(
                rows["x"], net.optimizer_, rows["sample_weight"]
            )
            self.replaced_ += sum(replaced)
            if net.parallel is not None and any(replaced):
                # Each process has drawn from its own rows.
                net.parallel.share(state_tensors(net.module_.quantizer))

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start counting."""
        self.replaced_ = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record how many codewords were replaced."""
        net.history.record("codes_reset", self.replaced_)
