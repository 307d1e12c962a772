"""Learning rate schedules, as factors of the base rate by step."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["SCHEDULES", "lr_factor"]

SCHEDULES = ("one_cycle", "cosine", "step", "constant")


def lr_factor(schedule: str, n_steps: int) -> Callable[[int], float]:
    r"""Return the factor on the learning rate as a function of the step.

    - ``"one_cycle"``: a rise over the first 30 % of the steps, then a cosine down to zero [1]_.
    - ``"cosine"``: a warm-up over the first 5 %, then a cosine down to zero.
    - ``"step"``: a first phase at the full rate for half of the steps, then a tenth of it.
    - ``"constant"``: 1.

    Parameters
    ----------
    schedule : {"one_cycle", "cosine", "step", "constant"}
        Shape of the schedule.
    n_steps : int
        Steps of the whole training.

    Returns
    -------
    factor : callable
        ``factor(step)``, in [0, 1].

    References
    ----------
    .. [1] Smith, L. N. and Topin, N. "Super-convergence: very fast training of neural networks
       using large learning rates". arXiv:1708.07120, 2017.
    """
    if schedule == "constant":
        return lambda step: 1.0
    if schedule == "step":
        return lambda step: 1.0 if step < n_steps / 2 else 0.1
    rise = {"one_cycle": 0.3, "cosine": 0.05}[schedule] * n_steps

    def factor(step: int) -> float:
        if step < rise:
            # Starts above zero, so that the first step isn't lost.
            return 0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2
        progress = min(1.0, (step - rise) / max(1.0, n_steps - rise))
        return (1 + math.cos(math.pi * progress)) / 2

    return factor
