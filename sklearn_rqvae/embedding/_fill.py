"""What an item's missing views probably are, given its other views and items that have all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

__all__ = ["NeighborFill", "RidgeFill"]

N_NEIGHBORS = 5
# Strengths of ridge regressions, as multiples of the predictors' mean sum of squares per direction.
STRENGTHS = np.logspace(-3, 3, 13)

Views = list[NDArray[np.float32]]
Pattern = Sequence[bool]


class NeighborFill:
    """Fill in the mean of the most similar items, with the mean of their lengths.

    A mean alone is shorter than what it is the mean of, so the item would stand where no item with
    all views stands, and get a semantic ID that it shares with nobody.

    Parameters
    ----------
    views : list of ndarray of shape (n_items, n_columns)
        Centered views of items that have all of them.
    """

    def __init__(self, views: Views) -> None:
        self.views = views

    def fill(self, views: Views, pattern: Pattern) -> NDArray[np.float32]:
        """Return the missing views side by side, by the cosine between those that are there.

        Parameters
        ----------
        views : list of ndarray of shape (n_items, n_columns)
            Centered views of items that lack the same ones.
        pattern : sequence of bool
            Which views these items have.

        Returns
        -------
        filled : ndarray of shape (n_items, n_missing_columns)
            The views that they lack.
        """
        known, _ = sides(self.views, pattern)
        given, _ = sides(views, pattern)
        search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(known)), metric="cosine")
        neighbors = search.fit(known).kneighbors(given, return_distance=False)
        parts = []
        for view, there in zip(self.views, pattern, strict=True):
            if there:
                continue
            nearest = view[neighbors]
            mean = nearest.mean(axis=1)
            length = np.linalg.norm(nearest, axis=2).mean(axis=1)
            shrunk = np.linalg.norm(mean, axis=1)
            # Opposite neighbors cancel; rounding has no direction to be stretched.
            stretch = np.where(shrunk > 1e-3 * length, length / np.maximum(shrunk, 1e-30), 1)
            parts.append(mean * stretch[:, None])
        return np.hstack(parts)


class RidgeFill:
    """Fill in by ridge regressions, one for each combination of views that an item can have.

    Parameters
    ----------
    views : list of ndarray of shape (n_items, n_columns)
        Centered views of items that have all of them, with a total variance of 1 each.
    """

    def __init__(self, views: Views) -> None:
        self.regressions: dict[tuple[bool, ...], RidgeCV] = {}
        for pattern in product([True, False], repeat=len(views)):
            if all(pattern) or not any(pattern):
                continue
            given, lacking = sides(views, pattern)
            unit = len(given) * sum(pattern) / given.shape[1]
            self.regressions[pattern] = RidgeCV(alphas=unit * STRENGTHS).fit(given, lacking)

    def __getstate__(self) -> dict[str, Any]:
        # Not every way of saving takes tuples for keys.
        return {"regressions": list(self.regressions.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.regressions = dict(state["regressions"])

    def fill(self, views: Views, pattern: Pattern) -> NDArray[np.float32]:
        """Return the missing views side by side, as `NeighborFill.fill` does.

        Parameters
        ----------
        views : list of ndarray of shape (n_items, n_columns)
            Centered views of items that lack the same ones.
        pattern : sequence of bool
            Which views these items have.

        Returns
        -------
        filled : ndarray of shape (n_items, n_missing_columns)
            The views that they lack.
        """
        given, _ = sides(views, pattern)
        return self.regressions[tuple(pattern)].predict(given).reshape(len(given), -1)


def sides(views: Views, pattern: Pattern) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the columns of the views that a pattern has, and of those that it lacks."""
    given = [view for view, there in zip(views, pattern, strict=True) if there]
    lacking = [view for view, there in zip(views, pattern, strict=True) if not there]
    return np.hstack(given), np.hstack(lacking)
