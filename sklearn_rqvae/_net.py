"""The skorch net that trains a module on batches cut out of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor

__all__ = ["Interrupted", "ModuleLoss", "RqVaeNet", "TensorBatches", "interruptible"]


class Interrupted(BaseException):
    """A Ctrl-C on its way out of skorch, which takes KeyboardInterrupt for the end of training."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn a Ctrl-C inside the block into `Interrupted`."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Interrupted from interrupt


class TensorBatches:
    """Yield shuffled batches of a dictionary of tensors, each cut out by one indexing step.

    A data loader that fetches row by row and stacks the rows costs more than the arithmetic of a
    small model.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Its ``X`` is a dictionary of tensors of equal length.
    batch_size : int
        Rows in each batch; the last one may have fewer.
    generator : torch.Generator or None
        Draws the order of the rows; None keeps it.
    """

    def __init__(self, dataset: Any, batch_size: int, generator: torch.Generator | None = None):
        self.tensors: dict[str, Tensor] = dataset.X
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        n_rows = len(next(iter(self.tensors.values())))
        return -(-n_rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        rows = next(iter(self.tensors.values()))
        if self.generator is None:
            order = torch.arange(len(rows))
        else:
            order = torch.randperm(len(rows), generator=self.generator)
        no_target = torch.zeros(1)
        for batch in order.to(rows.device).split(self.batch_size):
            yield {name: tensor[batch] for name, tensor in self.tensors.items()}, no_target


class ModuleLoss:
    """Stand where skorch wants a criterion: the module computes its loss itself."""


class RqVaeNet(NeuralNet):
    """Train a module whose output has a ``loss``, and let Ctrl-C through.

    Parameters
    ----------
    module : RqVae
        The module, already initialized.
    **kwargs : dict
        Passed to :class:`skorch.NeuralNet`.
    """

    def __init__(self, module: Any, *, criterion: Callable = ModuleLoss, **kwargs: Any):
        super().__init__(module, criterion=criterion, **kwargs)

    @property
    def quantizing(self) -> bool:
        """Whether training batches go through the quantizer; not so during a warm-up."""
        return getattr(self, "quantizing_", True)

    @quantizing.setter
    def quantizing(self, value: bool) -> None:
        self.quantizing_ = value

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Any:
        """Run the module on a batch given as keyword arguments."""
        return self.module_(**x) if self.quantizing else self.module_.autoencode(**x)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss that the module computed."""
        return y_pred.loss

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run one epoch; a Ctrl-C in it leaves as `Interrupted`."""
        with interruptible():
            super().run_single_epoch(*args, **kwargs)
