"""Check the callbacks that a user gives, before the work that they are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skorch.callbacks import Callback

__all__ = ["RESERVED_NAMES", "check_callbacks"]

# Names of the estimator's own callbacks, and of those that every net of skorch has.
RESERVED_NAMES = frozenset(
    {
        "anneal",
        "bar",
        "best",
        "clip",
        "dead_codes",
        "epoch_timer",
        "losses",
        "lr_schedule",
        "print_log",
        "report",
        "train_loss",
        "usage",
        "valid_loss",
        "warm_up",
    }
)


def check_callbacks(callbacks: Iterable[Any] | None) -> None:
    """Refuse what skorch could not use, or would take for a callback of the estimator.

    Parameters
    ----------
    callbacks : iterable or None
        Callbacks of skorch: instances or classes, alone or as (name, callback).

    Raises
    ------
    TypeError
        If an entry is no callback of skorch, or a name is no string.
    ValueError
        If a name is given twice, or is one of the estimator's own.

    Examples
    --------
    >>> from sklearn_rqvae.callbacks._given import check_callbacks
    >>> check_callbacks(["early"])
    Traceback (most recent call last):
    ...
    TypeError: callbacks[0]='early' should be a callback of skorch, alone or as ...
    """
    named = set()
    for place, entry in enumerate(callbacks or ()):
        pair = isinstance(entry, tuple | list) and len(entry) == 2
        name, callback = entry if pair else (None, entry)
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not (isinstance(callback, Callback) or is_class) or (pair and not isinstance(name, str)):
            raise TypeError(
                f"callbacks[{place}]={entry!r} should be a callback of skorch, alone or as "
                "(name, callback); those of scikit-learn are given to set_callbacks."
            )
        if name in RESERVED_NAMES:
            raise ValueError(
                f"callbacks[{place}] has the name {name!r}, which one of the estimator's own "
                "callbacks has; give it another one. To change the estimator's, set "
                f"net_params={{'callbacks__{name}__...': ...}}, or {{'callbacks__{name}': None}} "
                "to drop it."
            )
        if name in named:
            raise ValueError(
                f"callbacks[{place}] has the name {name!r}, which another one has; give each a "
                "name of its own, or none."
            )
        if name is not None:
            named.add(name)
