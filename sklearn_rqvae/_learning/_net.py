"""The skorch net that trains a module on batches cut out of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from skorch import NeuralNet
from skorch.exceptions import SkorchException
from torch import Tensor, nn

from sklearn_rqvae._guards import interruptible
from sklearn_rqvae._learning._distributed import DataParallel, state_tensors

__all__ = ["ModuleLoss", "RqVaeNet", "TensorBatches"]


class TensorBatches:
    """Yield shuffled batches of a dictionary of tensors, each cut out by one indexing step.

    A data loader that fetches row by row and stacks the rows costs more than the arithmetic of a
    small model. In the place of a target stand this process's share of the batch's weight, and the
    number of the batch's rows.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Its ``X`` is a dictionary of tensors of equal length, ``sample_weight`` among them.
    batch_size : int
        Rows in each batch; the last one may have fewer.
    generator : torch.Generator or None
        Draws the order of the rows; None keeps it.
    parallel : DataParallel or None
        The processes that share each batch. All of them draw the same order.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        generator: torch.Generator | None = None,
        parallel: DataParallel | None = None,
    ):
        self.tensors: dict[str, Tensor] = dataset.X
        self.batch_size = batch_size
        self.generator = generator
        self.parallel = parallel

    def __len__(self) -> int:
        n_rows = len(next(iter(self.tensors.values())))
        return -(-n_rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], tuple[Tensor, int]]]:
        rows = next(iter(self.tensors.values()))
        if self.generator is None:
            order = torch.arange(len(rows))
        else:
            device = self.generator.device
            order = torch.randperm(len(rows), generator=self.generator, device=device)
        whole = torch.ones(())
        for batch in order.to(rows.device).split(self.batch_size):
            if self.parallel is None:
                yield self._cut(batch), (whole, len(batch))
            else:
                part, share = self._part(batch, self.parallel)
                yield part, (share, len(batch))

    def _cut(self, batch: Tensor) -> dict[str, Tensor]:
        return {name: tensor[batch] for name, tensor in self.tensors.items()}

    def _part(self, batch: Tensor, parallel: DataParallel) -> tuple[dict[str, Tensor], Tensor]:
        part = batch[parallel.rank :: parallel.n_ranks]
        weight = self.tensors["sample_weight"]
        share = weight[part].sum() / weight[batch].sum()
        # A process for which no row is left takes the first one, with no weight.
        return self._cut(part if len(part) else batch[:1]), share


class ModuleLoss(nn.Module):
    """Stand where skorch wants a criterion: the module computes its loss itself.

    It is a module, without weights, because skorch's checkpoints save a criterion as one.
    """


class RqVaeNet(NeuralNet):
    """Train a module whose output has a ``loss``, and let Ctrl-C through.

    Parameters
    ----------
    module : RqVae
        The module, already initialized.
    precision : torch.dtype or None
        Precision of the products in mixed-precision training; None trains in that of the weights.
    parallel : DataParallel or None
        The processes that train together.
    **kwargs : dict
        Passed to :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        criterion: Callable = ModuleLoss,
        precision: torch.dtype | None = None,
        parallel: DataParallel | None = None,
        **kwargs: Any,
    ):
        super().__init__(module, criterion=criterion, **kwargs)
        self.precision = precision
        self.parallel = parallel

    @property
    def quantizing(self) -> bool:
        """Whether training batches go through the quantizer; not so during a warm-up."""
        return getattr(self, "quantizing_", True)

    @quantizing.setter
    def quantizing(self, value: bool) -> None:
        self.quantizing_ = value

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Any:
        """Run the module on a batch given as keyword arguments."""
        if "codes" in x:
            run = self._compiled("reconstruct")
        else:
            run = self.module_ if self.quantizing else self._compiled("autoencode")
        if self.precision is None:
            return run(**x)
        # Inside another autocast, torch's cache of cast weights would outlive the step, and threads
        # share it.
        with torch.autocast(x["x"].device.type, self.precision, cache_enabled=False):
            return run(**x)

    def _compiled(self, name: str) -> Callable:
        """Return a method of the module, compiled if the module is: that covers `forward` alone."""
        method: Callable = getattr(self.module_, name)
        if not self.compile:
            return method
        known: dict[str, Callable] = self.__dict__.setdefault("compiled_", {})
        if name not in known:
            known[name] = torch.compile(method, **self.get_params_for("compile"))
        return known[name]

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss that the module computed."""
        return y_pred.loss

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch, of which each process may have a part."""
        if self.parallel is None:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        rows, (share, _) = batch
        counted = [level.usage for level in self.module_.quantizer.levels]
        before = [usage.clone() for usage in counted]
        output = self.infer(rows)
        (output.loss * share).backward()
        for usage, old in zip(counted, before, strict=True):
            usage.sub_(old).mul_(share > 0)  # a part without weight stands for no rows
        losses = {name: getattr(output, name) for name in output._fields if name.endswith("loss")}
        losses = {name: loss.detach().float() * share for name, loss in losses.items()}
        gradients = [p.grad for p in self.module_.parameters() if p.grad is not None]
        self.parallel.add_up([*gradients, *counted, *losses.values()])
        for usage, old in zip(counted, before, strict=True):
            usage += old
        return {"loss": losses["loss"], "y_pred": output._replace(**losses)}

    def agree_on_codebooks(self) -> None:
        """Give all processes the first one's codebooks, after each has drawn some for itself."""
        if self.parallel is not None:
            self.parallel.share(state_tensors(self.module_.quantizer))

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train for some epochs; those of a history that was loaded have been before."""
        self.n_epochs_before_ = len(self.history)
        return super().fit_loop(*args, **kwargs)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; where one looks for what isn't recorded, say what is."""
        try:
            super().notify(method_name, **cb_kwargs)
        except (KeyError, SkorchException) as error:
            message = str(error.args[0]) if error.args else ""
            if "not found in history" not in message:
                raise
            raise type(error)(f"{message} {self._what_is_recorded()}") from error

    def _what_is_recorded(self) -> str:
        recorded = self.history[-1] if len(self.history) else {}
        names = sorted(
            name
            for name, value in recorded.items()
            if isinstance(value, (int, float)) and not name.startswith("event_")
        )
        return (
            f"This epoch has recorded {', '.join(names)}: monitor one of these. 'valid_distortion' "
            "is recorded with early_stopping=True or a linear path, and else 'train_distortion', "
            "from time to time; after each epoch with net_params={'callbacks__best__every': 1}."
        )

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run one epoch; a Ctrl-C in it leaves as `Interrupted`."""
        with interruptible():
            super().run_single_epoch(*args, **kwargs)
