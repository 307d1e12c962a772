"""End with the best epoch's weights, those of the start included; stop when nothing improves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_rqvae._guards import interruptible
from sklearn_rqvae.callbacks._epochs import epochs_run
from sklearn_rqvae.nn import RqVae

__all__ = ["KeepBestEpoch"]


class KeepBestEpoch(Callback):
    """Measure the distortion after each epoch and end with the weights where it was lowest.

    The total loss can't choose: it holds commitment and codebook terms, which may rise while the
    reconstruction gets better.

    Parameters
    ----------
    distortion : callable
        ``distortion(module) -> dict`` of numbers to record; the one under `monitor` decides.
    monitor : str
        The number that decides, lower is better.
    patience : int or None
        Epochs without improvement after which training stops; None never stops early.
    tol : float
        An epoch improves when it is better than the best one by this share of it.
    every : int
        Epochs between two measurements; the last epoch is always measured, also where another
        callback ends the training.
    in_use : callable or None
        ``in_use(module)``, the distortion by the search that the model will be used with, which may
        be wider than that of `distortion`: one number, or a tensor of each row's share. If the best
        epoch has more of it than the start, training ends with the weights of the start; given the
        rows' shares, also if it gains no more than the standard error of their sum. That one of
        many epochs is a little better on some rows says nothing of others.
    """

    def __init__(
        self,
        distortion: Callable[[RqVae], dict[str, Any]],
        monitor: str,
        patience: int | None = None,
        tol: float = 1e-4,
        every: int = 1,
        in_use: Callable[[RqVae], float | Tensor] | None = None,
    ):
        self.distortion = distortion
        self.monitor = monitor
        self.patience = patience
        self.tol = tol
        self.every = every
        self.in_use = in_use

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Measure the starting point."""
        with interruptible():
            self.best_epoch_ = 0
            self.start_ = self.distortion(net.module_)
            self.best_ = self.start_[self.monitor]
            self.best_weights_ = self.start_weights_ = _copy_of_weights(net.module_)
            self.start_in_use_ = self.in_use(net.module_) if self.in_use else float("inf")
        self.epochs_waited_ = 0

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Measure, keep the weights if they are the best so far, and stop if they stay worse."""
        epoch = epochs_run(net)
        if not net.quantizing:
            return
        if epoch % self.every and epoch != net.max_epochs:
            return
        improved = self._measure(net)
        self.epochs_waited_ = 0 if improved else self.epochs_waited_ + self.every
        if self.patience is not None and self.epochs_waited_ >= self.patience:
            raise KeyboardInterrupt  # skorch's own way to end training

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Go back to the best weights, or to the start if that is better in use."""
        # Another callback may have ended the training after an epoch that wasn't measured.
        if net.quantizing and len(net.history) and self.monitor not in net.history[-1]:
            self._measure(net)
        net.module_.load_state_dict(self.best_weights_)
        if (
            self.in_use
            and self.best_epoch_
            and not _gains(self.start_in_use_, self.in_use(net.module_))
        ):
            self.best_epoch_ = 0
            net.module_.load_state_dict(self.start_weights_)

    def _measure(self, net: NeuralNet) -> bool:
        """Record the distortion, keep the weights if they are the best; say if they improved."""
        with interruptible():
            numbers = self.distortion(net.module_)
            for name, number in numbers.items():
                net.history.record(name, number)
            now = numbers[self.monitor]
            improved = now < self.best_ * (1 - self.tol)
            if now < self.best_:
                self.best_, self.best_epoch_ = now, epochs_run(net)
                self.best_weights_ = _copy_of_weights(net.module_)
            net.history.record(f"{self.monitor}_best", now == self.best_)
        return improved


def _gains(start: Any, end: Any) -> bool:
    """Say whether the end is no worse than the start, or by rows, better beyond doubt."""
    if not isinstance(end, Tensor):
        return end <= start
    gain = start - end
    return len(gain) > 1 and bool(gain.sum() > len(gain) ** 0.5 * gain.std())


def _copy_of_weights(module: RqVae) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
