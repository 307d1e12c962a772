"""From a started module to a trained one: a skorch net, its callbacks, the history."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog, ProgressBar
from torch.optim.lr_scheduler import LambdaLR

from sklearn_rqvae._distributed import DataParallel, state_tensors
from sklearn_rqvae._encode import Search
from sklearn_rqvae._net import Interrupted, RqVaeNet, TensorBatches
from sklearn_rqvae._rows import Rows
from sklearn_rqvae._schedule import lr_factor
from sklearn_rqvae.callbacks import (
    AnnealTemperature,
    EpochLosses,
    EpochUsage,
    KeepBestEpoch,
    ResetDeadCodes,
    WarmUp,
)

# Training rows that an epoch's distortion is measured on when none are held out.
_SAMPLE_ROWS = 2048

# Epochs per measurement of as many rows as are trained on; fewer rows are measured more often.
# Encoding and decoding a row takes a third to a half of its training step: this adds 2 to 3 % to
# the time. A twentieth of the rows after each epoch would cost as much, and choose worse.
_EPOCHS_PER_MEASUREMENT = 20

# Features of processors that multiply bfloat16 in vector or matrix units.
_BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16")

# Columns that don't fit into a line of the training's table.
_NOT_PRINTED = ("utilization", "perplexity", "train_batch_count", "event_lr")

__all__ = [
    "TrainingSettings",
    "distortion_unit",
    "fast_precision",
    "relative_distortion",
    "train",
    "training_net",
]


class EpochTable(PrintLog):
    """Print a line for each epoch, with a gap where its distortion wasn't measured."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Ask what will be measured, so that the header has it."""
        self.gaps_ = [
            callback.monitor
            for _, callback in net.callbacks_
            if isinstance(callback, KeepBestEpoch)
        ]

    def table(self, row: dict[str, Any]) -> str:
        """Return the line under a header."""
        return super().table({**dict.fromkeys(self.gaps_), **row})


class TrainingSettings(NamedTuple):
    """The settings of a training run."""

    max_epochs: int
    n_warm_up_epochs: int | None
    batch_size: int
    n_beams: int
    lr: float
    weight_decay: float
    lr_schedule: str
    patience: int | None
    callbacks: Sequence[Any]
    net_params: dict[str, Any]
    compile: bool
    verbose: int


def distortion_unit(rows: Rows) -> float:
    """Return what distortions are relative to: the weighted sum of squared distances to the mean.

    Where the rows don't vary, it is the sum of the weights.
    """
    mean = (rows.x * rows.weight[:, None]).sum(0) / rows.weight.sum()
    variance = float(((rows.x - mean).square().sum(1) * rows.weight).sum())
    return variance if variance > 0 else float(rows.weight.sum())


@torch.no_grad()
def relative_distortion(
    module: Any, rows: Rows, unit: float, n_beams: int = 1, chunk_rows: int = 1024
) -> float:
    """Return the weighted squared reconstruction error over `unit`.

    In the unit that `distortion_unit` returns, it is 0 if perfect, and 1 if no better than the
    mean.
    """
    was_training = module.training
    module.eval()
    encode = module.get_semantic_ids
    if n_beams > 1:
        encode = partial(Search(module).encode, n_beams=n_beams)
    errors = []
    for x, weight in zip(rows.x.split(chunk_rows), rows.weight.split(chunk_rows), strict=True):
        reconstruction = module.decode(encode(x))
        errors.append(((x - reconstruction).square_().sum(1) * weight).sum())
    module.train(was_training)
    return float(torch.stack(errors).cpu().double().sum()) / unit


def train(
    module: Any,
    training: Rows,
    validation: Rows | None,
    generator: torch.Generator,
    settings: TrainingSettings,
    report: Callback | None = None,
    parallel: DataParallel | None = None,
) -> list[dict[str, Any]]:
    """Train the module in place and return the history.

    Parameters
    ----------
    module : RqVae
        The module, started from the data.
    training, validation : Rows
        Rows to fit, and rows held out to choose the best epoch by; without these the training rows
        choose.
    generator : torch.Generator
        Draws the order of the rows.
    settings : TrainingSettings
        How to train.
    report : Callback, optional
        Told of each epoch after all other callbacks.
    parallel : DataParallel, optional
        The processes that train together; all of them call this function with the same arguments.

    Returns
    -------
    history : list of dict
        Plain numbers of each epoch.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts the training.
    """
    if not settings.max_epochs:
        return []
    if parallel is not None:
        parallel.share(state_tensors(module))
        # Noise is drawn by each process for itself, the order of the rows by all alike.
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        module.generator = torch.Generator().manual_seed(seed + parallel.rank)
    net = training_net(module, training, validation, generator, settings, report, parallel)
    net.initialize()
    try:
        net.partial_fit({"x": training.x, "sample_weight": training.weight})
    except Interrupted:
        raise KeyboardInterrupt from None
    return plain_history(net.history)


def training_net(
    module: Any,
    training: Rows,
    validation: Rows | None,
    generator: torch.Generator,
    settings: TrainingSettings,
    report: Callback | None = None,
    parallel: DataParallel | None = None,
) -> RqVaeNet:
    """Return the net that `train` trains, not yet initialized; the parameters are its."""
    return RqVaeNet(
        module,
        **{
            **_optimizer(training.x.device, settings),
            "lr": settings.lr,
            "max_epochs": settings.max_epochs,
            "batch_size": settings.batch_size,
            "iterator_train": TensorBatches,
            "iterator_train__generator": generator,
            "iterator_train__parallel": parallel,
            "parallel": parallel,
            "precision": fast_precision(training.x.device),
            "train_split": None,
            "device": None,
            "compile": settings.compile,
            "callbacks": [
                *_own_callbacks(module, training, validation, settings),
                *copy.deepcopy(list(settings.callbacks)),
                *([] if report is None else [("report", report)]),
            ],
            **_printing(settings.verbose),
            **settings.net_params,
        },
    )


def fast_precision(device: torch.device) -> torch.dtype | None:
    """Return the half precision that the device multiplies faster without overflows, if it has one.

    Mixed precision leaves the weights, the quantizer and the losses in float32; codes are searched
    in float32 after training.
    """
    if device.type == "cuda":
        has_units = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        has_units = device.type == "cpu" and any(map(_cpu_features().get, _BFLOAT16_UNITS))
    return torch.bfloat16 if has_units else None


def _cpu_features() -> dict[str, Any]:
    """Return what the processor can do; nothing is known to older versions of torch."""
    asked = getattr(torch.cpu, "get_capabilities", dict)
    return asked()


def _optimizer(device: torch.device, settings: TrainingSettings) -> dict[str, Any]:
    """Return the optimizer and its settings, unless the user has chosen another one."""
    if "optimizer" in settings.net_params:
        return {}
    return {
        "optimizer": torch.optim.AdamW,
        "optimizer__fused": device.type in ("cpu", "cuda"),
        "optimizer__weight_decay": settings.weight_decay,
        # Codewords are positions: pulling them to zero would only make them worse.
        "optimizer__param_groups": [("*quantizer.*", {"weight_decay": 0.0})],
    }


def _printing(verbose: int) -> dict[str, Any]:
    """Return what the net prints: nothing, a line for each epoch, or a bar over its batches too."""
    if not verbose:
        return {"verbose": 0, "callbacks__print_log": None}
    return {"verbose": verbose, "callbacks__print_log": EpochTable(list(_NOT_PRINTED))}


def _own_callbacks(
    module: Any, training: Rows, validation: Rows | None, settings: TrainingSettings
) -> list[tuple[str, Callback]]:
    """Return the training habits of the module's architecture."""
    if validation is None:
        sample = _evenly_spaced(training, _SAMPLE_ROWS)
        every = -(-_EPOCHS_PER_MEASUREMENT * len(sample.x) // len(training.x))
    else:
        sample, every = validation, 1
    unit = distortion_unit(sample)
    losses = ["reconstruction_loss", "codebook_loss", "commitment_loss"]
    losses += ["categorical_loss"] * (module.n_cat_features > 0)
    name = "train_distortion" if validation is None else "valid_distortion"
    n_steps = settings.max_epochs * -(-len(training.x) // settings.batch_size)
    schedule = LRScheduler(
        policy=LambdaLR, lr_lambda=lr_factor(settings.lr_schedule, n_steps), step_every="batch"
    )

    def distortion(module: Any) -> dict[str, float]:
        # Greedy codes rank epochs like those of a wider search, in a fraction of its time.
        return {name: relative_distortion(module, sample, unit)}

    def in_use(module: Any) -> float:
        return relative_distortion(module, sample, unit, settings.n_beams)

    best = KeepBestEpoch(
        distortion,
        monitor=name,
        patience=settings.patience,
        every=every,
        # An untrained network is no start that could be better in use.
        in_use=in_use if settings.n_beams > 1 and settings.n_warm_up_epochs is None else None,
    )
    habits = [
        ("anneal", AnnealTemperature()),
        ("losses", EpochLosses(losses)),
        ("usage", EpochUsage()),
        ("lr_schedule", schedule),
        ("clip", GradientNormClipping(1.0)),
        ("dead_codes", ResetDeadCodes()),
        ("best", best),
    ]
    if settings.verbose > 1:
        habits.append(("bar", ProgressBar()))
    if settings.n_warm_up_epochs is not None:
        warm_up = WarmUp(settings.n_warm_up_epochs, training.x, training.weight)
        habits.insert(0, ("warm_up", warm_up))
    return habits


def _evenly_spaced(rows: Rows, n_rows: int) -> Rows:
    """Return at most `n_rows` of the rows, spread over all of them."""
    step = max(1, -(-len(rows.x) // n_rows))
    return Rows(rows.x[::step], rows.weight[::step])


def plain_history(history: Any) -> list[dict[str, Any]]:
    """Return skorch's history without its batches, as numbers and lists of numbers only."""
    return [
        {
            name: value.item() if hasattr(value, "item") else value
            for name, value in epoch.items()
            if name not in ("batches", "event_lr") and not name.endswith("_best")
        }
        for epoch in history
    ]
