"""What holds around the calls of an estimator, whoever calls and whatever they have set."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.base import BaseEstimator

__all__ = ["Interrupted", "all_or_nothing", "interruptible", "single_precision", "warn_caller"]


# Where frames lie that are not the user's: ours, scikit-learn's, those of joblib, through which it
# searches and caches, and those of decorators.
_NOT_THE_CALLERS = (
    *(str(Path(module.__file__).parent) + os.sep for module in (sklearn, joblib)),
    str(Path(__file__).parent) + os.sep,
    contextlib.__file__,
)


@contextmanager
def single_precision() -> Iterator[None]:
    """Leave the caller's autocast and inference mode.

    In half precision codes would be others, and what is built on first use would stay so for all
    calls after.
    """
    import torch

    with (
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def all_or_nothing(learn: Callable) -> Callable:
    """Decorate a method that learns: where it fails or is interrupted, nothing has changed.

    Parameters
    ----------
    learn : callable
        A method such as ``fit``.

    Returns
    -------
    method : callable
        The method, in single precision.
    """

    @wraps(learn)
    def method(estimator: BaseEstimator, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(estimator))
        try:
            with single_precision():
                return learn(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return method


class Interrupted(BaseException):
    """A Ctrl-C on its way out of skorch, which takes KeyboardInterrupt for the end of training."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn a Ctrl-C inside the block into `Interrupted`."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Interrupted from interrupt


def warn_caller(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the line, outside this package, scikit-learn and joblib, that led here.

    Parameters
    ----------
    message : str or Warning
        What to say; a warning has a kind of its own.
    category : type, default=UserWarning
        Kind of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_code.co_filename.startswith(_NOT_THE_CALLERS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
