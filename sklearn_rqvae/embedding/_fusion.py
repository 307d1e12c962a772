"""ViewFusion: several views of an item to one vector, also where some of them are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_rqvae._compat import StrOptions, fit_context
from sklearn_rqvae._guards import unchanged_by_failure
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.embedding._fill import NeighborFill, RidgeFill
from sklearn_rqvae.embedding._views import check_digits, check_weights, find_columns, present_views

__all__ = ["ViewFusion"]


class ViewFusion(Versioned, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Join views of items to one vector each, with a weight for every view.

    A view is a group of columns that describe an item in one way: the vector of its text, or of how
    users behave towards it. Views come in different units and lengths, so whatever measures
    distances between the joined columns listens to the view with the largest numbers. Here each
    view is centered and divided by one number, so that its columns' variances sum to the square of
    its weight, without a change of the geometry within the view.

    A missing view, which is a row of NaN in all its columns, is filled in from the item's other
    views and the items that have all of them. So an item that nobody has touched yet stands near
    items with similar texts, whose behavior it borrows.

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
    fill : {"neighbors", "ridge"}, default="neighbors"
        How missing views are filled in:

        - "neighbors": with the mean direction of the 5 items whose other views are most similar,
          and the mean of their lengths; the fitted transformer keeps the items that have all views;
        - "ridge": by regressions, which keep only their coefficients. They return what is typical,
          so filled views vary less than others, and share fewer codes with them.

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
    filler_ : object
        What fills in missing views.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Their names, where `fit` was given a data frame with names.

    See Also
    --------
    choose_view_weights : Chooses the weights on what users touched next.
    InteractionEmbedder : Turns interactions into a view.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae.embedding import ViewFusion
    >>> X = np.repeat([[0.0, 10, 0], [2.0, 0, 10]], 6, axis=0)  # a view of 1 column, one of 2
    >>> fusion = ViewFusion(views=[1, 2], weights=[1, 0.5]).fit(X)
    >>> fusion.transform(X[[0, 6]]).round(2)
    array([[-1.  ,  0.35, -0.35],
           [ 1.  , -0.35,  0.35]], dtype=float32)
    >>> fusion.transform([[0.1, np.nan, np.nan]]).round(2)  # near those with 0
    array([[-0.9 ,  0.35, -0.35]], dtype=float32)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "views": ["array-like"],
        "weights": ["array-like", None],
        "fill": [StrOptions({"neighbors", "ridge"})],
    }

    def __init__(
        self,
        views: Sequence[Any],
        *,
        weights: ArrayLike | None = None,
        fill: str = "neighbors",
    ) -> None:
        self.views = views
        self.weights = weights
        self.fill = fill

    @fit_context(prefer_skip_nested_validation=True)
    @unchanged_by_failure
    def fit(self, X: ArrayLike, y: Any = None) -> ViewFusion:
        """Learn each view's center and scale, and what goes together in several views.

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
            views are missing but no item has all of them, or a view lies so far from zero that
            float32 can't tell its rows apart.
        """
        columns_of = X  # names are lost below
        X = self._validate(X, reset=True)
        self.view_columns_ = find_columns(self.views, columns_of, X.shape[1])
        self.weights_ = check_weights(self.weights, len(self.view_columns_))
        views = self._split(X)
        present = present_views(views)
        self._check_learnable(present)
        check_digits(columns_of, self.view_columns_)
        self.means_, scales = [], []
        for view, rows in zip(views, present.T, strict=True):
            mean = view[rows].mean(axis=0, dtype=np.float64)
            variance = ((view[rows] - mean) ** 2).sum(axis=1).mean()
            self.means_.append(mean.astype(np.float32))
            scales.append(np.sqrt(variance) if variance > 0 else 1.0)
        self.scales_ = np.array(scales)
        complete = present.all(axis=1)
        make_filler = NeighborFill if self.fill == "neighbors" else RidgeFill
        self.filler_ = make_filler(self._scale([view[complete] for view in views]))
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
        """Check that each view has an item, and that there are items with all views."""
        empty = np.flatnonzero(~present.any(axis=0))
        if len(empty):
            raise ValueError(
                f"views[{empty[0]}] is missing in all {len(present)} items; leave it out, or give "
                "items that have it."
            )
        if not present.all(axis=1).any():
            raise ValueError(
                f"None of {len(present)} items has all {present.shape[1]} views, but missing ones "
                "are filled in from items that have all; give some of these."
            )

    def _scale(self, views: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the views centered and with a total variance of 1."""
        return [
            (view - mean) / np.float32(scale)
            for view, mean, scale in zip(views, self.means_, self.scales_, strict=True)
        ]

    def _fill(
        self, scaled: list[NDArray[np.float32]], rows: NDArray[np.intp], pattern: NDArray[np.bool_]
    ) -> None:
        """Write the views that some rows lack, all the same ones."""
        filled = self.filler_.fill([view[rows] for view in scaled], pattern.tolist())
        start = 0
        for view in np.flatnonzero(~pattern):
            width = scaled[view].shape[1]
            scaled[view][rows] = filled[:, start : start + width]
            start += width
