"""The habits of gradient training: the callbacks of the skorch net, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, PrintLog, ProgressBar
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from sklearn_rqvae._learning._distortion import (
    comparable,
    distortion_unit,
    relative_distortion,
    row_distortions,
)
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._schedule import lr_factor
from sklearn_rqvae._learning._settings import TrainingSettings
from sklearn_rqvae.callbacks import (
    AnnealTemperature,
    EpochLosses,
    EpochUsage,
    KeepBestEpoch,
    ResetDeadCodes,
    SearchCodes,
    WarmUp,
)
from sklearn_rqvae.callbacks._epochs import epochs_run
from sklearn_rqvae.nn import Decoder, QuantizeForwardMode, RqVae

__all__ = [
    "BEST",
    "END",
    "REPORT",
    "EndAfter",
    "EpochTable",
    "own_callbacks",
    "reserved_names",
    "searches_codes",
]

# Training rows that an epoch's distortion is measured on when none are held out.
_SAMPLE_ROWS = 2048

# Epochs per measurement of as many rows as are trained on; fewer rows are measured more often.
# Encoding and decoding a row takes a third to a half of its training step: this adds 2 to 3 % to
# the time. A twentieth of the rows after each epoch would cost as much, and choose worse.
_EPOCHS_PER_MEASUREMENT = 20

# Columns that don't fit into a line of the training's table.
NOT_PRINTED = ("utilization", "perplexity", "train_batch_count", "event_lr")

# Name of the callback that decides which epoch's weights stay.
BEST = "best"

# Name of the callback that tells the estimator's callbacks of each epoch.
REPORT = "report"

# Name of the callback that ends a training which repeats a trial.
END = "end"


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


class EndAfter(Callback):
    """End training after some epochs, when all other callbacks have heard of the last one."""

    def __init__(self, n_epochs: int):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """End."""
        if epochs_run(net) >= self.n_epochs:
            raise KeyboardInterrupt  # skorch's own way to end training


class RepeatTrial(KeepBestEpoch):
    """Repeat the numbers of a trial on held-out rows, epoch by epoch.

    It measures nothing: the rows that the trial held out are trained on now. Those who monitor
    epochs see what the trial has measured after as many.

    Parameters
    ----------
    repeated : list of dict
        Numbers of the trial's epochs up to the best one.
    monitor : str
        The number that decided.
    every, patience, tol : object
        As the trial had them.
    """

    def __init__(
        self,
        repeated: list[dict[str, Any]],
        monitor: str,
        every: int = 1,
        patience: int | None = None,
        tol: float = 1e-4,
    ):
        super().__init__(lambda module: {}, monitor, patience, tol, every)
        self.repeated = repeated

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Nothing has been trained yet."""
        self.best_epoch_ = 0

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record what the trial has measured after as many epochs."""
        self.best_epoch_ = epochs_run(net)
        numbers = [epoch.get(self.monitor, float("inf")) for epoch in self.repeated]
        now = numbers[self.best_epoch_ - 1]
        if now < float("inf"):
            net.history.record(self.monitor, now)
            net.history.record(f"{self.monitor}_best", now == min(numbers[: self.best_epoch_]))

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Keep the weights as they are."""


def _warm_up(run: Training) -> Callback | None:
    n_epochs = run.settings.n_warm_up_epochs
    if n_epochs is None:
        return None
    return WarmUp(n_epochs, run.training.x, run.training.weight)


def searches_codes(module: RqVae) -> bool:
    """Say whether a module trains on codes of beam searches: by STE, from the closed form.

    The other modes choose for themselves, and where there are categories the encoder has to learn.
    A module of the user's own has a forward pass of its own.
    """
    return (
        module.linear_path
        and type(module) is RqVae
        and isinstance(module.decoder, Decoder)
        and set(module.quantizer.modes) == {QuantizeForwardMode.STE}
        and not module.n_cat_features
    )


def _search(run: Training) -> Callback | None:
    return SearchCodes(run.settings.n_beams) if searches_codes(run.module) else None


def _losses(run: Training) -> Callback:
    losses = ["reconstruction_loss", "codebook_loss", "commitment_loss"]
    return EpochLosses(losses + ["categorical_loss"] * (run.module.n_cat_features > 0))


def _lr_schedule(run: Training) -> Callback:
    settings = run.settings
    n_steps = settings.max_epochs * -(-len(run.training.x) // settings.batch_size)
    return LRScheduler(
        policy=LambdaLR, lr_lambda=lr_factor(settings.lr_schedule, n_steps), step_every="batch"
    )


def _dead_codes(run: Training) -> Callback | None:
    """Move dead codewords, unless vectors of pairs were fitted to them where they are."""
    has_pairs = getattr(run.module.decoder, "interactions", None) is not None
    return None if has_pairs else ResetDeadCodes()


def _best(run: Training) -> Callback:
    """Keep the best epoch, on rows held out or else on some of those that are trained on."""
    settings = run.settings
    if settings.repeated is not None:
        return RepeatTrial(settings.repeated, "valid_distortion")
    n_beams, patience = 1, None
    if run.validation is None:
        name, sample = "train_distortion", _evenly_spaced(run.training, _SAMPLE_ROWS)
        every = -(-_EPOCHS_PER_MEASUREMENT * len(sample.x) // len(run.training.x))
    else:
        name, sample, every, patience = "valid_distortion", run.validation, 1, settings.patience
        if run.module.linear_path:
            n_beams = settings.n_beams  # pairs of codes are of use to a wide search only
    unit = distortion_unit(sample._replace(x=comparable(run.module, sample.x)))

    def distortion(module: RqVae) -> dict[str, float]:
        # Without pairs, greedy codes rank epochs like those of a wider search, in less time.
        return {name: relative_distortion(module, sample, unit, n_beams)}

    def in_use(module: RqVae) -> float | Tensor:
        if by_rows:
            return row_distortions(module, sample, unit, settings.n_beams)
        return relative_distortion(module, sample, unit, settings.n_beams)

    # What the closed form leaves of rows held out is to be beaten beyond doubt. An untrained
    # network is no start that could be better in use.
    by_rows = run.validation is not None and run.module.linear_path
    compares = by_rows or (settings.n_beams > n_beams and settings.n_warm_up_epochs is None)
    return KeepBestEpoch(
        distortion,
        monitor=name,
        patience=patience,
        every=every,
        in_use=in_use if compares else None,
    )


# In the order in which they are called. None of a run's own means that it does without.
_HABITS: dict[str, Callable[[Training], Callback | None]] = {
    "warm_up": _warm_up,
    "search": _search,
    "anneal": lambda run: AnnealTemperature(),
    "losses": _losses,
    "usage": lambda run: EpochUsage(),
    "lr_schedule": _lr_schedule,
    "clip": lambda run: GradientNormClipping(1.0),
    "dead_codes": _dead_codes,
    BEST: _best,
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
    return frozenset({*_HABITS, REPORT, END, *skorchs})


def _evenly_spaced(rows: Rows, n_rows: int) -> Rows:
    """Return at most `n_rows` of the rows, spread over all of them."""
    step = max(1, -(-len(rows.x) // n_rows))
    return Rows(rows.x[::step], rows.weight[::step])
