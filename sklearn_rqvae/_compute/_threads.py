"""Blocks of rows on all of torch's threads: a thread for each block, not all for each product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from sklearn import config_context, get_config
from threadpoolctl import ThreadpoolController

__all__ = ["in_threads"]

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Part], Result], parts: Sequence[Part], n_threads: int
) -> Iterator[Result]:
    """Yield what `work` returns for each part, in order, while the next parts are worked on.

    Threads that share a product wait for each other, and for all that isn't a product. Threads with
    rows of their own don't.

    Parameters
    ----------
    work : callable
        Gets a part. It runs on a thread that torch does not divide further, under the caller's
        scikit-learn settings.
    parts : sequence
        What to work on.
    n_threads : int
        Parts at a time; with one, `work` runs on the caller's thread.

    Yields
    ------
    result : object
        The result of a part. The first part that fails, in their order, raises its error, and the
        parts that haven't begun are given up.
    """
    if n_threads == 1 or len(parts) < 2:
        yield from map(work, parts)
        return
    settings = get_config()

    def alone(part: Part) -> Result:
        torch.get_num_threads()  # a new thread takes torch's number first, and would do so later
        with _controller().limit(limits=1, user_api="openmp"), config_context(**settings):
            return work(part)

    with ThreadPoolExecutor(min(n_threads, len(parts))) as pool:
        yield from pool.map(alone, parts)


@cache
def _controller() -> ThreadpoolController:
    """Return a handle on the libraries' threads; looking for these takes milliseconds."""
    return ThreadpoolController()
