"""Tell scikit-learn's callbacks how far an embedding is: a progress bar sees it in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["BatchTasks"]


class BatchTasks:
    """The batches of a fit as parts of it; before scikit-learn 1.9 nobody is told.

    Parameters
    ----------
    estimator : estimator
        Whose :meth:`fit` runs.
    n_batches : int
        How many parts it has.
    X : object
        What it is fitted to, for callbacks that ask.
    """

    def __init__(self, estimator: Any, n_batches: int, X: Any):
        start = getattr(estimator, "_init_callback_context", None)
        self.fit = None if start is None else start(max_subtasks=n_batches)
        self.arguments = {"estimator": estimator, "X": X, "y": None, "metadata": {}}
        if self.fit is not None:
            self.fit.call_on_fit_task_begin(**self.arguments)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Say that a batch begins, and after the block that it ends."""
        if self.fit is None:
            yield
            return
        part = self.fit.subcontext(task_name="batch")
        part.call_on_fit_task_begin(**self.arguments)
        yield
        part.call_on_fit_task_end(**self.arguments, reconstruction_attributes=None)

    def finish(self) -> None:
        """Say that the fit ends."""
        if self.fit is not None:
            self.fit.call_on_fit_task_end(**self.arguments, reconstruction_attributes={})
