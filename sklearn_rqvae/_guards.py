"""What holds around the calls of an estimator, whatever the caller has set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

__all__ = ["all_or_nothing", "single_precision"]


@contextmanager
def single_precision() -> Iterator[None]:
    """Leave the caller's autocast and inference mode.

    In half precision codes would be others, and what is built on first use would stay so for all
    calls after.
    """
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
    def method(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(estimator))
        try:
            with single_precision():
                return learn(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return method
