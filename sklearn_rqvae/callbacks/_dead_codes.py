"""Give dead codewords new places during training."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from sklearn_rqvae.callbacks._epochs import epochs_run

__all__ = ["ResetDeadCodes"]


class ResetDeadCodes(Callback):
    """Move codewords that are hardly used to badly quantized rows, except near the end of training.

    A codeword that moves late is used without having been trained.

    Parameters
    ----------
    until : float
        Share of the epochs after which codewords stay.
    window : float
        Mean number of uses of a level's codes from which on they are judged.
    """

    def __init__(self, until: float = 0.8, window: float = 10.0):
        self.until = until
        self.window = window

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Let the module look at its usage, and count what it replaced."""
        if not training or not net.quantizing or epochs_run(net) > self.until * net.max_epochs:
            return
        if net.module_.quantizer.judges_usage(self.window):
            # The latents of the step just made: those of the new weights hardly differ.
            replaced = net.module_.quantizer.reset_dead_codes(
                kwargs["y_pred"].latent.detach().float(),
                net.optimizer_,
                batch[0]["sample_weight"],
                window=self.window,
            )
            self.replaced_ += sum(replaced)
            net.agree_on_codebooks()

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start counting."""
        self.replaced_ = 0

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record how many codewords were replaced."""
        net.history.record("codes_reset", self.replaced_)
