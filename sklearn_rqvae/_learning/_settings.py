"""The settings of gradient training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator

__all__ = ["TrainingSettings"]


class TrainingSettings(NamedTuple):
    """The settings of a training run.

    `patience` counts where rows are held out. With `repeated`, the epochs of a trial that are worth
    repeating, the training ends after as many.
    """

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
    verbose: int
    repeated: list[dict[str, Any]] | None = None

    @classmethod
    def of(cls, estimator: BaseEstimator) -> TrainingSettings:
        """Return the settings among an estimator's parameters, for a training without warm-up."""
        return cls(
            max_epochs=estimator.max_epochs,
            n_warm_up_epochs=None,
            batch_size=estimator.batch_size,
            n_beams=estimator.n_beams,
            lr=estimator.lr,
            weight_decay=estimator.weight_decay,
            lr_schedule=estimator.lr_schedule,
            patience=estimator.n_iter_no_change,
            callbacks=estimator.callbacks or (),
            net_params=estimator.net_params or {},
            verbose=int(estimator.verbose),
        )
