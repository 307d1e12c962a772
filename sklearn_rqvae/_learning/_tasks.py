"""From a fit to scikit-learn's callbacks: progress bars, scores of unfinished fits, stopping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.base import BaseEstimator
from skorch import NeuralNet
from skorch.callbacks import Callback

from sklearn_rqvae._guards import interruptible
from sklearn_rqvae._learning._units import Units

__all__ = ["FitTasks", "ReportEpochs"]


# The most stages of a fit in closed form: rows, principal axes, codebooks, interactions, all rows,
# usage.
_N_STAGES = 6


class FitTasks:
    """Tell the callbacks of an estimator about its fit and, one after the other, the fit's parts.

    The parts are the epochs of gradient training, or else the stages of the closed form. Before
    version 1.9 scikit-learn has no callbacks, and nobody is told.

    Parameters
    ----------
    estimator : estimator
        Whose :meth:`fit` runs. With its parameter `verbose` it is printed how many seconds each
        stage took.
    n_epochs : int
        The most epochs that it may have; 0 in closed form.
    X, y, sample_weight : object
        Arguments of the fit, passed to callbacks that ask for them.

    Attributes
    ----------
    units : Units or None
        In which what a fit learns has to be undone.
    """

    def __init__(self, estimator: BaseEstimator, n_epochs: int, X: Any, y: Any, sample_weight: Any):
        start = getattr(estimator, "_init_callback_context", None)
        self.fit = None if start is None else start(max_subtasks=n_epochs or _N_STAGES)
        self.part: Any = None
        self.n_epochs = n_epochs
        self.units: Units | None = None
        self.verbose = int(getattr(estimator, "verbose", 0))
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        if self.fit is not None:
            self.fit.call_on_fit_task_begin(**self.arguments)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage of the fit; in closed form it is a part, too."""
        if not self.n_epochs:
            self.begin(name)
        start = time.perf_counter()
        yield
        if self.verbose:
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
        if not self.n_epochs:
            self.end()

    def begin(self, name: str) -> None:
        """Say that a part begins."""
        if self.fit is not None:
            self.part = self.fit.subcontext(task_name=name)
            self.part.call_on_fit_task_begin(**self.arguments)

    def end(self, fitted: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Say that the part ends; return whether a callback wants the fit to stop.

        Parameters
        ----------
        fitted : callable, optional
            Returns the fitted attributes that the estimator would have if it stopped now; called
            only where a callback asks for a fitted estimator.

        Returns
        -------
        stop : bool
            Whether to stop.
        """
        if self.part is None:
            return False
        part, self.part = self.part, None
        whole = None if fitted is None else lambda: self.undone(fitted())
        return bool(part.call_on_fit_task_end(**self.arguments, reconstruction_attributes=whole))

    def undone(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Return fitted attributes for rows in the units that they came in."""
        return learned if self.units is None else self.units.undone(learned)

    def finish(self) -> None:
        """Say that the fit ends; the estimator is fitted."""
        if self.fit is not None:
            self.fit.call_on_fit_task_end(**self.arguments, reconstruction_attributes={})


class ReportEpochs(Callback):
    """Report each epoch as a part of the fit, and stop where a callback wants to.

    Parameters
    ----------
    tasks : FitTasks
        Who is told.
    fitted : callable
        ``fitted(net)`` returns the estimator's fitted attributes after an epoch.
    """

    def __init__(self, tasks: FitTasks, fitted: Callable[[Any], dict[str, Any]]):
        self.tasks = tasks
        self.fitted = fitted

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Say that an epoch begins."""
        with interruptible():
            self.tasks.begin("epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Say that it ends."""
        with interruptible():
            stop = self.tasks.end(lambda: self.fitted(net))
        if stop:
            raise KeyboardInterrupt  # skorch's own way to end training

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Say so of an epoch after which another callback has ended the training."""
        self.tasks.end(lambda: self.fitted(net))
