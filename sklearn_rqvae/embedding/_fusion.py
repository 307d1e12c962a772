"""ViewFusion: several views of an item to one vector, also where some of them are missing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.linear_model import RidgeCV
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_rqvae._compat import fit_context
from sklearn_rqvae.embedding._views import check_weights, find_columns, present_views

__all__ = ["ViewFusion"]

# Strengths of the regressions that fill in views, as shares of the predictors' mean sum of squares
# per direction.
STRENGTHS = np.logspace(-3, 3, 13)


class ViewFusion(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Join views of items to one vector each, with a weight for every view.

    A view is a group of columns that describe an item in one way: the vector of its text, or of how
    users behave towards it. Views come in different units and lengths, so whatever measures
    distances between the joined columns listens to the view with the largest numbers. Here each
    view is centered and divided by one number, so that its columns' variances sum to the square of
    its weight, without a change of the geometry within the view.

    A missing view, which is a row of NaN in all its columns, is filled in from the item's other
    views by a ridge regression that was fitted on the items with all views. So an item that nobody
    has touched yet stands near items with similar texts, whose behavior it borrows.

    Parameters
    ----------
    views : sequence
        The groups of columns, in the order of the output. Either their widths, as ints that sum to
        the number of columns (-1, once, for what the others leave), or columns as
        :class:`~sklearn.compose.ColumnTransformer` selects them: lists of names or positions,
        slices, or callables of `X`.
    weights : array-like of shape (n_views,), default=None
        Weights of the views, not negative; all 1 if None. :func:`choose_view_weights` finds them by
        what users touched next.

    Attributes
    ----------
    view_columns_ : list of ndarray of int
        Positions of each view's columns in `X`.
    weights_ : ndarray of shape (n_views,)
        Weights of the views.
    means_ : list of ndarray
        Means of each view's columns over the items that have the view.
    scales_ : ndarray of shape (n_views,)
        What each centered view is divided by: the root of the sum of its columns' variances; 1 for
        a constant view.
    imputers_ : dict
        Fitted regressions, by which views an item has (a tuple of bool).
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Their names, where `fit` was given a data frame with names.

    See Also
    --------
    choose_view_weights : Chooses the weights on what users touched next.
    InteractionEmbedder : Turns interactions into a view.

    Notes
    -----
    A regression is fitted for each combination of views that an item can have, `2 ** n_views - 2`
    of them; its strength is chosen by generalized cross-validation. Regressions return what is
    typical of similar items, so filled views vary less than others.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae.embedding import ViewFusion
    >>> nan = np.nan
    >>> X = np.array([[0.0, 10, 0], [2.0, 0, 10], [0.1, nan, nan], [1.9, 0, 10], [0.2, 10, 0]])
    >>> fused = ViewFusion(views=[1, 2], weights=[1, 0.5]).fit_transform(X)
    >>> fused.round(1)
    array([[-0.9,  0.4, -0.4],
           [ 1.3, -0.4,  0.4],
           [-0.8,  0.3, -0.3],
           [ 1.2, -0.4,  0.4],
           [-0.7,  0.4, -0.4]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "views": ["array-like"],
        "weights": ["array-like", None],
    }

    def __init__(self, views: Sequence[Any], *, weights: ArrayLike | None = None) -> None:
        self.views = views
        self.weights = weights

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> ViewFusion:
        """Learn each view's center and scale, and regressions between the views.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The views side by side. A row may be NaN in all columns of a view, but not of all views.
        y : None
            Ignored.

        Returns
        -------
        self : ViewFusion
            The fitted transformer.

        Raises
        ------
        ValueError
            If `views` or `weights` doesn't fit `X`, a view is missing in part, an item has no view,
            or views are missing but no item has all of them.
        """
        columns_of = X  # names are lost below
        X = self._validate(X, reset=True)
        self.view_columns_ = find_columns(self.views, columns_of, X.shape[1])
        self.weights_ = check_weights(self.weights, len(self.view_columns_))
        views = self._split(X)
        present = present_views(views)
        self._check_learnable(present)
        self.means_, scales = [], []
        for view, rows in zip(views, present.T, strict=True):
            mean = view[rows].mean(axis=0, dtype=np.float64)
            variance = ((view[rows] - mean) ** 2).sum(axis=1).mean()
            self.means_.append(mean.astype(np.float32))
            scales.append(np.sqrt(variance) if variance > 0 else 1.0)
        self.scales_ = np.array(scales)
        self.imputers_ = self._fit_imputers(views, present)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the joined, scaled and weighted views.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The views side by side, NaN where an item lacks one.

        Returns
        -------
        fused : ndarray of shape (n_samples, n_features_out), dtype=float32
            The views in the order of `views`, without NaN.

        Raises
        ------
        ValueError
            If `X` doesn't have the columns of `fit`, a view is missing in part, an item has no
            view, or lacks one although `fit` saw no item that has all of them.
        """
        check_is_fitted(self)
        views = self._split(self._validate(X, reset=False))
        present = present_views(views)
        scaled = self._scale(views)
        for pattern in np.unique(present, axis=0):
            rows = np.flatnonzero((present == pattern).all(axis=1))
            if not pattern.all():
                self._fill(scaled, rows, pattern)
        return np.hstack([w * view for w, view in zip(self.weights_, scaled, strict=True)]).astype(
            np.float32
        )

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return joined views, such as reconstructions from semantic IDs, in their first units.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Joined views, as `transform` returns them.

        Returns
        -------
        views : ndarray of shape (n_samples, n_features_in), dtype=float32
            The views in the columns that they came from; NaN in columns of no view. A view of
            weight 0 comes back as its mean.

        Raises
        ------
        ValueError
            If `X` has another number of columns.
        """
        check_is_fitted(self)
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has shape {X.shape}, but the views have {self._n_features_out} columns in all; "
                "give what transform returned, or its reconstruction."
            )
        views = np.full((len(X), self.n_features_in_), np.nan, dtype=np.float32)
        start = 0
        for columns, mean, scale, weight in zip(
            self.view_columns_, self.means_, self.scales_, self.weights_, strict=True
        ):
            joined = X[:, start : start + len(columns)]
            unit = scale / weight if weight > 0 else 0.0
            views[:, columns] = joined * np.float32(unit) + mean
            start += len(columns)
        return views

    @property
    def _n_features_out(self) -> int:
        """Number of names that `get_feature_names_out` makes."""
        return sum(len(columns) for columns in self.view_columns_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _validate(self, X: ArrayLike, *, reset: bool) -> NDArray[np.float32]:
        return validate_data(self, X, dtype=np.float32, ensure_all_finite="allow-nan", reset=reset)

    def _split(self, X: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [X[:, columns] for columns in self.view_columns_]

    def _check_learnable(self, present: NDArray[np.bool_]) -> None:
        """Check that each view has an item, and that regressions have items to learn from."""
        empty = np.flatnonzero(~present.any(axis=0))
        if len(empty):
            raise ValueError(
                f"views[{empty[0]}] is missing in all {len(present)} items; leave it out, or give "
                "items that have it."
            )
        if not present.all(axis=1).any():
            raise ValueError(
                f"None of {len(present)} items has all {present.shape[1]} views, but missing ones "
                "are filled in by a regression on items that have all; give some of these."
            )

    def _scale(self, views: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the views centered and with a total variance of 1."""
        return [
            (view - mean) / np.float32(scale)
            for view, mean, scale in zip(views, self.means_, self.scales_, strict=True)
        ]

    def _fit_imputers(
        self, views: list[NDArray[np.float32]], present: NDArray[np.bool_]
    ) -> dict[tuple[bool, ...], RidgeCV]:
        """Fit a regression from each combination of views to those that it lacks."""
        complete = present.all(axis=1)
        scaled = self._scale([view[complete] for view in views])
        imputers = {}
        for pattern in product([True, False], repeat=len(views)):
            if all(pattern) or not any(pattern):
                continue
            given, lacking = _sides(scaled, pattern)
            # The views' total variances are 1 each, shared by as many directions as they have.
            unit = len(given) * sum(pattern) / given.shape[1]
            imputers[pattern] = RidgeCV(alphas=unit * STRENGTHS).fit(given, lacking)
        return imputers

    def _fill(
        self, scaled: list[NDArray[np.float32]], rows: NDArray[np.intp], pattern: NDArray[np.bool_]
    ) -> None:
        """Write the views that some rows lack, all the same ones."""
        given, _ = _sides([view[rows] for view in scaled], pattern)
        filled = self.imputers_[tuple(pattern.tolist())].predict(given).reshape(len(rows), -1)
        start = 0
        for view in np.flatnonzero(~pattern):
            width = scaled[view].shape[1]
            scaled[view][rows] = filled[:, start : start + width]
            start += width


def _sides(
    scaled: list[NDArray[np.float32]], pattern: Sequence[Any] | NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the columns of the views that a pattern has, and of those that it lacks."""
    given = [view for view, there in zip(scaled, pattern, strict=True) if there]
    lacking = [view for view, there in zip(scaled, pattern, strict=True) if not there]
    return np.hstack(given), np.hstack(lacking)
