"""Rows on all of torch's threads: a thread for each block of rows, not all for each product.

OpenMP's threads wait for each other by spinning: at the end of every operation that they share, and
between operations. Where others keep the machine busy, most of the time is spent on that: a fit on
two threads took 20 times the CPU time of one on one thread. Threads with rows of their own don't
wait.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from sklearn import config_context, get_config
from threadpoolctl import ThreadpoolController

__all__ = ["available_threads", "in_threads", "map_rows", "undivided"]

Part = TypeVar("Part")
Result = TypeVar("Result")


class _Shares(threading.local):
    """How many threads the rows of this thread's work may be divided among."""

    n_threads: int | None = None


_SHARES = _Shares()


def available_threads() -> int:
    """Return how many threads there are for the work of this one: torch's number."""
    return _SHARES.n_threads or torch.get_num_threads()


@contextmanager
def undivided() -> Iterator[None]:
    """Divide no operation of this thread in the block among OpenMP's threads.

    `map_rows` and `in_threads` divide rows among as many instead. What the user has set for other
    threads, and for this one after the block, stays.
    """
    n_threads, before = available_threads(), _SHARES.n_threads
    if n_threads == 1:
        yield
        return
    with _alone():
        _SHARES.n_threads = n_threads
        try:
            yield
        finally:
            _SHARES.n_threads = before


def map_rows(work: Callable[[slice], Result], n_rows: int, multiple: int) -> list[Result]:
    """Return what `work` returns for consecutive rows: in `undivided`, a part for each thread.

    Parameters
    ----------
    work : callable
        Gets the position of some rows.
    n_rows : int
        Number of all rows.
    multiple : int
        Parts, but for the last one, have a multiple of this many rows.

    Returns
    -------
    results : list
        The results, in order.
    """
    n_threads = _SHARES.n_threads or 1
    size = -(-n_rows // (n_threads * multiple)) * multiple
    parts = [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size or 1)]
    return list(in_threads(work, parts or [slice(0, 0)], n_threads))


def in_threads(
    work: Callable[[Part], Result], parts: Sequence[Part], n_threads: int
) -> Iterator[Result]:
    """Yield what `work` returns for each part, in order, while the next parts are worked on.

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
        for part in parts:
            with undivided():
                result = work(part)
            yield result
        return
    settings, with_gradients = get_config(), torch.is_grad_enabled()

    def on_thread(part: Part) -> Result:
        torch.get_num_threads()  # a new thread takes torch's number first, and would do so later
        with _alone(), config_context(**settings), torch.set_grad_enabled(with_gradients):
            return work(part)

    with ThreadPoolExecutor(min(n_threads, len(parts))) as pool:
        yield from pool.map(on_thread, parts)


@contextmanager
def _alone() -> Iterator[None]:
    """Have OpenMP, and MKL inside torch, which counts by itself, use the present thread only."""
    set_mkl = _mkl_setter()
    with _controller().limit(limits=1, user_api="openmp"):
        before = set_mkl(1)
        try:
            yield
        finally:
            set_mkl(before)


@cache
def _mkl_setter() -> Callable[[int], int]:
    """Return what sets MKL's number of threads for the present thread, and returns the last one."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        setter: Any = ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):  # torch without MKL, or another system
        return lambda _: 0
    return setter


@cache
def _controller() -> ThreadpoolController:
    """Return a handle on the libraries' threads; looking for these takes milliseconds."""
    return ThreadpoolController()
