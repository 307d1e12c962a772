"""Train the autoencoder first, then set the codebooks from the latents that it has learned."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_rqvae._guards import interruptible

__all__ = ["WarmUp"]


class WarmUp(Callback):
    """Leave the quantizer out of the first epochs, then initialize the codebooks by k-means.

    Latents of an untrained encoder say nothing about where codewords should lie.

    Parameters
    ----------
    n_epochs : int
        Epochs without quantization.
    x, sample_weight : Tensor
        Training rows, of shape (n_samples, n_features), and their weights.
    """

    def __init__(self, n_epochs: int, x: Tensor, sample_weight: Tensor):
        self.n_epochs = n_epochs
        self.x = x
        self.sample_weight = sample_weight

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Switch the quantizer off at the start, and on when the warm-up is over."""
        epoch = len(net.history) - 1
        if epoch <= self.n_epochs:  # also of a history that was loaded in the warm-up
            net.quantizing = epoch >= self.n_epochs
        if epoch == self.n_epochs:
            self._initialize_codebooks(net)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Set the codebooks, too, if another callback has ended the training in the warm-up."""
        if not net.quantizing:
            net.quantizing = True
            self._initialize_codebooks(net)

    def _initialize_codebooks(self, net: NeuralNet) -> None:
        with interruptible():
            net.module_.initialize_codebooks(self.x, self.sample_weight)
            net.agree_on_codebooks()
