"""Check the callbacks that a user gives, before the work that they are for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from skorch.callbacks import Callback

from sklearn_rqvae._learning._habits import reserved_names

__all__ = ["check_callbacks"]

# Parameters of skorch's nets that the estimator has itself.
ESTIMATORS_OWN = frozenset(
    {"batch_size", "callbacks", "device", "lr", "max_epochs", "module", "verbose"}
)


def check_callbacks(
    callbacks: Iterable[Any] | None, net_params: Mapping[str, Any] | None = None
) -> None:
    """Refuse what skorch could not use, or would take for a callback of the estimator.

    Parameters
    ----------
    callbacks : iterable or None
        Callbacks of skorch: instances or classes, alone or as (name, callback).
    net_params : mapping of str to object, optional
        Parameters of the net, of which some may be for a callback: ``callbacks__<name>__...``.

    Raises
    ------
    TypeError
        If an entry is no callback of skorch, or a name is no string.
    ValueError
        If a name is given twice, or is one of the estimator's own; if a parameter of the net is one
        of the estimator, splits its rows, or is for a callback that isn't there.

    Examples
    --------
    >>> from sklearn_rqvae._learning._given_callbacks import check_callbacks
    >>> check_callbacks(["early"])
    Traceback (most recent call last):
    ...
    TypeError: callbacks[0]='early' should be a callback of skorch, alone or as ...
    """
    named: set[str] = set()
    unnamed: Counter[str] = Counter()
    for place, entry in enumerate(callbacks or ()):
        pair = isinstance(entry, tuple | list) and len(entry) == 2
        name, callback = entry if pair else (None, entry)
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not (isinstance(callback, Callback) or is_class) or (pair and not isinstance(name, str)):
            raise TypeError(
                f"callbacks[{place}]={entry!r} should be a callback of skorch, alone or as "
                "(name, callback); those of scikit-learn are given to set_callbacks."
            )
        if name in reserved_names():
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
        else:
            unnamed[callback.__name__ if is_class else type(callback).__name__] += 1
    for parameter in ESTIMATORS_OWN.intersection(net_params or ()):
        raise ValueError(
            f"net_params has {parameter!r}, which is a parameter of the estimator: set it there."
        )
    if (net_params or {}).get("train_split"):
        raise ValueError(
            "net_params has 'train_split', but the estimator holds rows out itself: set "
            "early_stopping=True, and validation_fraction."
        )
    known = reserved_names() | named | set(_names_of_skorch(unnamed))
    for parameter in net_params or ():
        prefix, _, rest = parameter.partition("__")
        if prefix == "callbacks" and rest.partition("__")[0] not in known:
            raise ValueError(
                f"net_params has {parameter!r}, but there is no callback of that name; there are "
                f"{', '.join(sorted(known))}."
            )


def _names_of_skorch(unnamed: Counter[str]) -> Iterator[str]:
    """Yield the names that skorch gives to callbacks without one: their class's, and a number."""
    for name, count in unnamed.items():
        yield from [name] if count == 1 else (f"{name}_{place + 1}" for place in range(count))
