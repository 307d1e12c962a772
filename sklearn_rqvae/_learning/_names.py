"""Other names for the codes of a fitted model, such as those that an older model has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator

from sklearn_rqvae.quantize._pairs import PairKeys

__all__ = ["input_codewords", "matching_names", "names_by_codewords", "names_by_rows", "renamed"]

# Rounds over all levels; three or four are the rule.
_ROUNDS = 20


def names_by_rows(
    codes: NDArray[Any], sizes: Sequence[int], old: NDArray[Any]
) -> list[NDArray[np.intp]]:
    """Name codes such that rows keep as many as possible of their first codes.

    Level by level, codes are matched by the rows that have kept all codes before: what the others
    keep doesn't save their IDs. Then each level is matched again, given all others, until no row
    gains. Beams of such matchings find next to nothing more.

    Parameters
    ----------
    codes : ndarray of int of shape (n_samples, n_layers)
        New codes of rows.
    sizes : sequence of int
        Number of new codewords at each level.
    old : ndarray of int of shape (n_samples, n_layers)
        Old codes of the same rows.

    Returns
    -------
    names : list of ndarray of int of shape (codebook_size,)
        Name of each code.
    """
    names = [np.arange(size) for size in sizes]
    kept = np.zeros(codes.shape, dtype=bool)
    tie = 1 / (len(codes) + 1)  # all rows together weigh less than one that gains
    most = -1
    for _ in range(_ROUNDS):
        for level, size in enumerate(sizes):
            kept[:, level] = True
            # How many prefixes a row keeps, if it keeps its code at this level, that it else loses.
            gain = np.logical_and.accumulate(kept, axis=1)[:, level:].sum(axis=1)
            common = np.zeros((size, max(int(old[:, level].max(initial=0)) + 1, size)))
            np.add.at(common, (codes[:, level], old[:, level]), gain + tie)
            names[level] = matching_names(-common)
            kept[:, level] = names[level][codes[:, level]] == old[:, level]
        total = int(np.logical_and.accumulate(kept, axis=1).sum())
        if total <= most:
            break
        most = total
    return names


def names_by_codewords(
    codewords: Sequence[NDArray[Any]], old: Sequence[NDArray[Any]]
) -> list[NDArray[np.intp]]:
    """Name the codes of each level such that codewords are near those of the same name.

    Parameters
    ----------
    codewords, old : sequence of ndarray of shape (codebook_size, n_features)
        New and old codewords in the same space.

    Returns
    -------
    names : list of ndarray of int of shape (codebook_size,)
        Name of each code.
    """
    names = []
    for new, other in zip(codewords, old, strict=True):
        # Far from zero the expanded square would be rounding alone.
        middle = other.mean(axis=0)
        new, other = new - middle, other - middle
        squares = (new**2).sum(1)[:, None] + (other**2).sum(1)
        names.append(matching_names(squares - 2 * new @ other.T))
    return names


def matching_names(cost: NDArray[Any]) -> NDArray[np.intp]:
    """Match new codes to old ones at the least total cost; what is left takes the names left.

    Parameters
    ----------
    cost : ndarray of shape (n_new, n_old)
        Cost of calling each new code like each old one. Old codes from `n_new` on are no names.

    Returns
    -------
    names : ndarray of int of shape (n_new,)
        A permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae._learning._names import matching_names
    >>> matching_names(np.array([[9.0, 1.0], [1.0, 2.0], [5.0, 5.0]]))
    array([1, 0, 2])
    """
    n_codes = len(cost)
    names = np.full(n_codes, -1)
    matched, called = linear_sum_assignment(cost[:, :n_codes])
    names[matched] = called
    names[names < 0] = np.setdiff1d(np.arange(n_codes), called)
    return names


def input_codewords(estimator: BaseEstimator) -> list[NDArray[np.float64]] | None:
    """Return the codewords in the space of the rows, or None if the decoder isn't linear."""
    codebooks = [np.asarray(book, dtype=np.float64) for book in estimator.codebooks_]
    origin = getattr(estimator, "origin_", None)  # the mean, with all of its digits
    if not hasattr(estimator, "state_"):
        return [codebooks[0] + (estimator.mean_ if origin is None else origin), *codebooks[1:]]
    plan, state = estimator.architecture_, estimator.state_
    is_linear = plan["linear_path"] and plan["hidden_dims"] is None and estimator.module is None
    if not is_linear:
        return None
    axes = state["encoder.components"].astype(np.float64)
    decoded = [book @ axes * state["scale"] for book in codebooks]
    return [decoded[0] + (state["mean"] if origin is None else origin), *decoded[1:]]


def renamed(learned: dict[str, Any], names: Sequence[NDArray[np.intp]]) -> dict[str, Any]:
    """Return fitted attributes with the codes of each level called otherwise.

    Parameters
    ----------
    learned : dict
        Fitted attributes by name.
    names : sequence of ndarray of int of shape (codebook_size,)
        New name of each code, a permutation for each level.

    Returns
    -------
    learned : dict
        All those that depend on names.
    """
    orders = [np.argsort(name) for name in names]
    changed: dict[str, Any] = {
        name: [array[order] for array, order in zip(learned[name], orders, strict=True)]
        for name in ("codebooks_", "code_usage_")
    }
    if "state_" in learned:
        changed["state_"] = _renamed_state(learned["state_"], names, orders)
    return changed


def _renamed_state(
    state: dict[str, NDArray[Any]],
    names: Sequence[NDArray[np.intp]],
    orders: Sequence[NDArray[np.intp]],
) -> dict[str, NDArray[Any]]:
    """Return the state of a module with its codewords, their usage and pairs in another order."""
    state = dict(state)
    for level, order in enumerate(orders):
        for part in ("weight", "usage"):
            key = f"quantizer.levels.{level}.{part}"
            state[key] = state[key][order]
    keys = state.get("decoder.interactions.keys")
    if keys is not None:
        renamed_keys = _renamed_keys(keys, names)
        order = np.argsort(renamed_keys)
        vectors = state["decoder.interactions.vectors"]  # the first one is that of no pair
        state["decoder.interactions.keys"] = renamed_keys[order]
        state["decoder.interactions.vectors"] = vectors[np.append(0, 1 + order)]
    return state


def _renamed_keys(keys: NDArray[np.int64], names: Sequence[NDArray[np.intp]]) -> NDArray[np.int64]:
    """Return the keys of the same pairs under other names."""
    numbering = PairKeys([len(name) for name in names])
    starts = np.array(numbering.starts)
    column = np.searchsorted(starts, keys, side="right") - 1
    found = keys.copy()
    for place, (first, second) in enumerate(numbering.level_pairs):
        here = column == place
        one, other = np.divmod(keys[here] - starts[place], len(names[second]))
        found[here] = starts[place] + names[first][one] * len(names[second]) + names[second][other]
    return found
