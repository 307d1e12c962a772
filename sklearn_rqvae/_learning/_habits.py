"""The habits of gradient training: the callbacks of the skorch net, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog, ProgressBar
from torch.optim.lr_scheduler import LambdaLR

from sklearn_rqvae._learning._distortion import distortion_unit, relative_distortion
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._schedule import lr_factor
from sklearn_rqvae._learning._settings import TrainingSettings
from sklearn_rqvae.callbacks import (
    AnnealTemperature,
    EpochLosses,
    EpochUsage,
    KeepBestEpoch,
    ResetDeadCodes,
    WarmUp,
)
from sklearn_rqvae.nn import RqVae

__all__ = ["REPORT", "EpochTable", "own_callbacks", "reserved_names"]

# Training rows that an epoch's distortion is measured on when none are held out.
_SAMPLE_ROWS = 2048

# Epochs per measurement of as many rows as are trained on; fewer rows are measured more often.
# Encoding and decoding a row takes a third to a half of its training step: this adds 2 to 3 % to
# the time. A twentieth of the rows after each epoch would cost as much, and choose worse.
_EPOCHS_PER_MEASUREMENT = 20

# Columns that don't fit into a line of the training's table.
NOT_PRINTED = ("utilization", "perplexity", "train_batch_count", "event_lr")

# Name of the callback that tells the estimator's callbacks of each epoch.
REPORT = "report"


class Training(NamedTuple):
    """What a training's habits depend on."""

    module: RqVae
    training: Rows
    validation: Rows | None
    settings: TrainingSettings


class EpochTable(PrintLog):
    """Print a line for each epoch, with a gap where its distortion wasn't measured."""

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Ask what will be measured, so that the header has it."""
        self.gaps_ = [
            callback.monitor
            for _, callback in net.callbacks_
            if isinstance(callback, KeepBestEpoch)
        ]

    def table(self, row: dict[str, Any]) -> str:
        """Return the line under a header."""
        return super().table({**dict.fromkeys(self.gaps_), **row})


def _warm_up(run: Training) -> Callback | None:
    n_epochs = run.settings.n_warm_up_epochs
    if n_epochs is None:
        return None
    return WarmUp(n_epochs, run.training.x, run.training.weight)


def _losses(run: Training) -> Callback:
    losses = ["reconstruction_loss", "codebook_loss", "commitment_loss"]
    return EpochLosses(losses + ["categorical_loss"] * (run.module.n_cat_features > 0))


def _lr_schedule(run: Training) -> Callback:
    settings = run.settings
    n_steps = settings.max_epochs * -(-len(run.training.x) // settings.batch_size)
    return LRScheduler(
        policy=LambdaLR, lr_lambda=lr_factor(settings.lr_schedule, n_steps), step_every="batch"
    )


def _best(run: Training) -> Callback:
    """Keep the best epoch, on rows held out or else on some of those that are trained on."""
    settings = run.settings
    if run.validation is None:
        name, sample = "train_distortion", _evenly_spaced(run.training, _SAMPLE_ROWS)
        every = -(-_EPOCHS_PER_MEASUREMENT * len(sample.x) // len(run.training.x))
    else:
        name, sample, every = "valid_distortion", run.validation, 1
    unit = distortion_unit(sample)

    def distortion(module: RqVae) -> dict[str, float]:
        # Greedy codes rank epochs like those of a wider search, in a fraction of its time.
        return {name: relative_distortion(module, sample, unit)}

    def in_use(module: RqVae) -> float:
        return relative_distortion(module, sample, unit, settings.n_beams)

    return KeepBestEpoch(
        distortion,
        monitor=name,
        patience=settings.patience,
        every=every,
        # An untrained network is no start that could be better in use.
        in_use=in_use if settings.n_beams > 1 and settings.n_warm_up_epochs is None else None,
    )


# In the order in which they are called. None of a run's own means that it does without.
_HABITS: dict[str, Callable[[Training], Callback | None]] = {
    "warm_up": _warm_up,
    "anneal": lambda run: AnnealTemperature(),
    "losses": _losses,
    "usage": lambda run: EpochUsage(),
    "lr_schedule": _lr_schedule,
    "clip": lambda run: GradientNormClipping(1.0),
    "dead_codes": lambda run: ResetDeadCodes(),
    "best": _best,
    "bar": lambda run: ProgressBar() if run.settings.verbose > 1 else None,
}


def own_callbacks(
    module: RqVae, training: Rows, validation: Rows | None, settings: TrainingSettings
) -> list[tuple[str, Callback]]:
    """Return the callbacks of a training by name."""
    run = Training(module, training, validation, settings)
    built = {name: habit(run) for name, habit in _HABITS.items()}
    return [(name, callback) for name, callback in built.items() if callback is not None]


@cache
def reserved_names() -> frozenset[str]:
    """Return the names of the estimator's own callbacks, and of those of every net of skorch."""
    skorchs = (name for name, _ in NeuralNet(RqVae, criterion=None)._default_callbacks)
    return frozenset({*_HABITS, REPORT, *skorchs})


def _evenly_spaced(rows: Rows, n_rows: int) -> Rows:
    """Return at most `n_rows` of the rows, spread over all of them."""
    step = max(1, -(-len(rows.x) // n_rows))
    return Rows(rows.x[::step], rows.weight[::step])
