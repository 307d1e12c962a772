"""What an estimator asks of a way to learn."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from sklearn.base import BaseEstimator

from sklearn_rqvae._guards import warn_caller
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._tasks import FitTasks

__all__ = ["Learner", "ignored_parameters", "warn_of_ignored"]

# The default of `stability`.
_STABILITY = 0.3


class Learner(Protocol):
    """Learn from rows what an estimator stores: arrays and plain values.

    Attributes
    ----------
    ignores : tuple of str
        The estimator's parameters that make no difference to it.
    ignores_because : str
        Why, and the way out.
    n_epochs : int
        Epochs that it takes at most; 0 where it learns in stages.
    held_out : float or None
        Share of the distinct rows that it wants held out.
    device : torch.device
        Where it wants the rows.
    ways_out : str
        What to do about a collapsed level.
    n_fixed : int
        Last features that keep their values wherever the rows lie: categories.
    keeps_units : bool
        Whether it needs rows in the units that they come in, or else in ones that make them alike.
    subsample : int
        Distinct rows that it takes into account at most, if not all at once.
    keeps_rows : bool
        Whether more rows mean to learn anew from all that were kept, or else to go on from what
        was learned.
    """

    ignores: tuple[str, ...]
    ignores_because: str
    n_epochs: int
    held_out: float | None
    device: torch.device
    ways_out: str
    subsample: int
    keeps_rows: bool
    n_fixed: int
    keeps_units: bool

    def max_rows(self, n_features: int) -> int:
        """Return how many distinct rows of this length it gets."""

    def generator(self, random_state: Any) -> torch.Generator:
        """Return what draws all that is random in learning."""

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Return the fitted attributes by name."""


class PassingLearner(Learner, Protocol):
    """Learn by passes over rows, and go on from what was learned."""

    def next_pass(self, estimator: BaseEstimator) -> Learner:
        """Return what passes once over rows, going on from what a fitted estimator stores."""


def ignored_parameters(estimator: BaseEstimator, learner: Learner) -> dict[str, Any]:
    """Return those of an estimator's parameters that were set and make no difference.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are compared with their defaults.
    learner : Learner
        Which learner it has chosen.

    Returns
    -------
    ignored : dict
        Names and values.
    """
    defaults = inspect.signature(type(estimator).__init__).parameters
    return {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name in learner.ignores and not _same(value, defaults[name].default)
    }


def warn_of_ignored(estimator: BaseEstimator, learner: Learner) -> None:
    """Warn once of all parameters that were set and make no difference, with the way out."""
    ignored = ignored_parameters(estimator, learner)
    if ignored:
        listed = ", ".join(f"{name}={value!r}" for name, value in ignored.items())
        verb = "has" if len(ignored) == 1 else "have"
        warn_caller(f"{listed} {verb} no effect: {learner.ignores_because}")
    stability = estimator.get_params(deep=False).get("stability", _STABILITY)
    if stability != _STABILITY and not (estimator.warm_start and learner.keeps_rows):
        warn_caller(
            f"stability={stability!r} has no effect: only a fit in closed form with "
            "warm_start=True has codes to keep, those of the fit before. Training by gradients "
            "goes on from weights, and gives most items other codes."
        )


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default; arrays and the like never are."""
    return value is default or (type(value) is type(default) and bool(value == default))
