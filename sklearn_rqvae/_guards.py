"""What holds around the calls of an estimator, whoever calls and whatever they have set."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.base import BaseEstimator

__all__ = [
    "Interrupted",
    "all_or_nothing",
    "interruptible",
    "seeded_draws",
    "single_precision",
    "unchanged_by_failure",
    "warn_caller",
]


# Where frames lie that are not the user's: ours, scikit-learn's, those of joblib, through which it
# searches and caches, and those of decorators.
_NOT_THE_CALLERS = (
    *(str(Path(module.__file__).parent) + os.sep for module in (sklearn, joblib)),
    str(Path(__file__).parent) + os.sep,
    contextlib.__file__,
)


@contextmanager
def single_precision() -> Iterator[None]:
    """Leave what the caller has set for torch: autocast, inference mode, default dtype and device.

    In another precision codes would be others, and what is built on first use would stay so for all
    calls after. In a forked process, all is computed on one thread. Numbers may underflow, as numpy
    lets them: weights of choices that hardly count do.
    """
    import torch

    if _is_single_precision():  # a tenth of the time of a single row
        with np.errstate(under="ignore"):
            yield
        return
    with (
        np.errstate(under="ignore"),
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        _float32_by_default(),
        torch.device("cpu"),
        _threads_that_exist(),
    ):
        yield


def _is_single_precision() -> bool:
    """Whether the caller has set nothing, as usual."""
    import torch

    with _DTYPE.lock:  # another call could borrow it, or give it back, between both questions
        is_float32 = not _DTYPE.n_users and torch.get_default_dtype() == torch.float32
    return is_float32 and not (
        torch.is_inference_mode_enabled()
        or not torch.is_grad_enabled()  # `inference_mode(False)` enables gradients
        or torch.is_autocast_enabled("cpu")
        or torch.is_autocast_enabled("cuda")
        or torch.empty(0).device.type != "cpu"  # torch 2.6's default leaves blocks out
        or _FORKED
    )


@contextmanager
def _float32_by_default() -> Iterator[None]:
    """Set torch's default dtype, which all threads share, until the last call is through."""
    import torch

    with _DTYPE.lock:
        borrows = _DTYPE.n_users > 0 or torch.get_default_dtype() != torch.float32
        if borrows:
            if not _DTYPE.n_users:
                _DTYPE.callers = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            _DTYPE.n_users += 1
    try:
        yield
    finally:
        if borrows:
            with _DTYPE.lock:
                _DTYPE.n_users -= 1
                if not _DTYPE.n_users:
                    torch.set_default_dtype(_DTYPE.callers)


class _Borrowed:
    """What torch's default dtype was, and how many calls have it changed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_users = 0
        self.callers: Any = None


_DTYPE = _Borrowed()


@contextmanager
def _threads_that_exist() -> Iterator[None]:
    """Compute on one thread in a forked process, which has none of its parent's threads.

    OpenMP would wait for them forever, as soon as the parent has used them.
    """
    if not _FORKED:
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def seeded_draws(seed: int) -> Iterator[None]:
    """Have the block draw from torch's global generator, seeded, and give it back as it was.

    Threads take turns: each would seed, and draw from, what another has seeded. The generators of
    devices aren't touched.

    Parameters
    ----------
    seed : int
        The seed.
    """
    import torch

    with _DRAWS.lock, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class _Turns:
    """Whose turn it is to draw from torch's global generator; a block may hold others."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_DRAWS = _Turns()


# Holds one entry in a process that was forked after torch was imported.
_FORKED: list[bool] = []


def _note_fork() -> None:
    for held in (_DTYPE, _DRAWS):  # another thread may have held the lock
        held.__init__()  # type: ignore[misc]
    if "torch" in sys.modules:
        _FORKED.append(True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def all_or_nothing(learn: Callable) -> Callable:
    """Decorate a method that learns by torch: where it fails, nothing has changed.

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
        with single_precision():
            return learn(estimator, *args, **kwargs)

    return unchanged_by_failure(method)


def unchanged_by_failure(learn: Callable) -> Callable:
    """Decorate a method that learns: where it fails or is interrupted, nothing has changed.

    Parameters
    ----------
    learn : callable
        A method such as ``fit``.

    Returns
    -------
    method : callable
        The method.
    """

    @wraps(learn)
    def method(estimator: BaseEstimator, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(estimator))
        try:
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
