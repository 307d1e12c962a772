"""Views as groups of columns: which columns they are, and which items have them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._compat import column_positions
from sklearn_rqvae._rows._origin import far_from_zero
from sklearn_rqvae._rows._source import is_wide

__all__ = ["check_digits", "check_weights", "find_columns", "present_views"]


def find_columns(views: Sequence[Any], X: Any, n_features: int) -> list[NDArray[np.intp]]:
    """Return the positions of each view's columns."""
    views = list(views)
    if not views:
        raise ValueError("views=[] has no view; give the widths or the columns of at least one.")
    if not all(isinstance(view, Integral) and not isinstance(view, bool) for view in views):
        selected = [view(X) if callable(view) else view for view in views]
        columns = [np.asarray(column_positions(X, view), dtype=np.intp) for view in selected]
        empty = [number for number, positions in enumerate(columns) if len(positions) == 0]
        if empty:
            raise ValueError(
                f"views[{empty[0]}]={views[empty[0]]!r} selects no column of X; leave it out."
            )
        return columns
    widths = [int(view) for view in views]
    if widths.count(-1) == 1:
        widths[widths.index(-1)] = n_features - (sum(widths) + 1)
    if min(widths) < 1 or sum(widths) != n_features:
        raise ValueError(
            f"views={views} should be widths of at least 1 that sum to the {n_features} columns of "
            "X; give -1 for one of them to take what the others leave."
        )
    return np.split(np.arange(n_features), np.cumsum(widths)[:-1])


def check_weights(weights: ArrayLike | None, n_views: int) -> NDArray[np.float64]:
    """Return one weight per view."""
    if weights is None:
        return np.ones(n_views)
    checked = np.asarray(weights, dtype=np.float64)
    if checked.shape != (n_views,):
        raise ValueError(f"weights={weights!r} should have one number for each of {n_views} views.")
    if not np.isfinite(checked).all() or checked.min() < 0 or checked.max() == 0:
        raise ValueError(
            f"weights={weights!r} should be finite, not negative and not all zero; give 0 to "
            "leave out a view."
        )
    return checked


def check_digits(X: Any, columns: list[NDArray[np.intp]]) -> None:
    """Refuse views so far from zero that float32 can't tell their rows apart."""
    wide = np.asarray(X)
    if wide.dtype.kind not in "iuf" or not is_wide(wide.dtype):
        return
    for number, positions in enumerate(columns):
        view = wide[:, positions].astype(np.float64)
        far = far_from_zero(np.nanmin(view, axis=0), np.nanmax(view, axis=0))
        if far is not None:
            farthest, reach = far
            raise ValueError(
                f"views[{number}] has values of up to {farthest:.1e} that lie within {reach:.1e} "
                "of their middle, and float32 numbers so far from zero can't tell them apart; "
                "put a StandardScaler before the fusion, or subtract a constant near their mean."
            )


def present_views(views: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Return which items have which views, of shape (n_samples, n_views)."""
    missing = np.column_stack([np.isnan(view).all(axis=1) for view in views])
    for number, view in enumerate(views):
        partial = np.isnan(view).any(axis=1) & ~missing[:, number]
        if partial.any():
            row = int(np.flatnonzero(partial)[0])
            raise ValueError(
                f"views[{number}] has {int(np.isnan(view[row]).sum())} NaN among its "
                f"{view.shape[1]} columns in row {row}; a view is there or missing as a whole, so "
                "impute single values first."
            )
    lost = np.flatnonzero(missing.all(axis=1))
    if len(lost):
        raise ValueError(
            f"{len(lost)} items have no view at all, the first in row {lost[0]}; drop them, or "
            "give a view that all items have, such as their texts."
        )
    return ~missing
