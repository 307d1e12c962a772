"""CodeMapDisplay: where the samples of a code lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from sklearn_rqvae._fitted import codes_of, invertible_tail
from sklearn_rqvae.metrics._checks import check_codes, check_same_length, check_vectors
from sklearn_rqvae.plotting._matplotlib import COLORS, MARKERS, one_axes

_MAX_COLORED = 8  # more colors can't be told apart
_TELLING_SHARE = 0.2  # of the variance: a plane with less hides more than it shows


class CodeMapDisplay:
    """Show samples on a plane, with color and marker for the most frequent codes of a level.

    Only the most frequent codes are colored, eight at most; all other samples are grey. The plane
    is that of the first two principal components, unless you give coordinates of your own (of UMAP
    or t-SNE, say). The title warns where it holds less than a fifth of the variance: codes that
    overlap in it may lie far apart.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        Place of each sample.
    codes : ndarray of shape (n_samples,)
        Code of each sample at `level`.
    shown : ndarray of shape (n_shown,)
        Codes to color.
    level : int, default=0
        Level of the codes, for the title.
    axis_names : tuple of str, default=("", "")
        Names of the axes.
    variance_share : float, optional
        Share of the variance that lies in the plane.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    background_ : matplotlib PathCollection
        Samples of all other codes.
    points_ : list of matplotlib PathCollection
        Samples of each code in `shown`.
    legend_ : matplotlib Legend
        Names of the codes.

    See Also
    --------
    CodebookMapDisplay : All first codes, similar ones side by side.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import CodeMapDisplay
    >>> X = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [5.0, 1.0, 0.0], [6.0, 0.0, 0.0]]
    >>> display = CodeMapDisplay.from_codes(X, [[0], [0], [0], [1]])
    >>> display.shown
    array([0, 1])
    """

    def __init__(
        self,
        *,
        coordinates: np.ndarray,
        codes: np.ndarray,
        shown: np.ndarray,
        level: int = 0,
        axis_names: tuple[str, str] = ("", ""),
        variance_share: float | None = None,
    ):
        self.coordinates = coordinates
        self.codes = codes
        self.shown = shown
        self.level = level
        self.axis_names = axis_names
        self.variance_share = variance_share

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        level: int = 0,
        n_codes: int = _MAX_COLORED,
        coordinates: ArrayLike | None = None,
        code_names: Mapping[int, str] | None = None,
        max_samples: int = 5000,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> CodeMapDisplay:
        """Encode samples and show where those of each code lie.

        Parameters
        ----------
        estimator : object with ``transform``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`.
        level : int, default=0
            Level whose codes are shown.
        n_codes : int, default=8
            Number of codes to color, at most 8.
        coordinates : array-like of shape (n_samples, 2), optional
            Place of each sample; the first two principal components if not given.
        code_names : mapping of int to str, optional
            Names of codes, for the legend.
        max_samples : int, default=5000
            Samples drawn at most, at random.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice of samples.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : CodeMapDisplay
            The picture, drawn.
        """
        codes = codes_of(estimator, X)
        return cls.from_codes(
            invertible_tail(estimator, X)[1],
            codes,
            level=level,
            n_codes=n_codes,
            coordinates=coordinates,
            code_names=code_names,
            max_samples=max_samples,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_codes(
        cls,
        X: ArrayLike | None,
        codes: ArrayLike,
        *,
        level: int = 0,
        n_codes: int = _MAX_COLORED,
        coordinates: ArrayLike | None = None,
        code_names: Mapping[int, str] | None = None,
        max_samples: int = 5000,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> CodeMapDisplay:
        """Show where the samples of each code lie.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or None
            Vectors; None if `coordinates` are given.
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level, not negative.
        level : int, default=0
            Level whose codes are shown.
        n_codes : int, default=8
            Number of codes to color, at most 8.
        coordinates : array-like of shape (n_samples, 2), optional
            Place of each sample; the first two principal components of `X` if not given.
        code_names : mapping of int to str, optional
            Names of codes, for the legend.
        max_samples : int, default=5000
            Samples drawn at most, at random.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice of samples.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : CodeMapDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If `level` or `n_codes` is out of range, lengths differ, or there is nothing to place
            the samples by.
        """
        codes = check_codes(codes)
        if not 0 <= level < codes.shape[1]:
            raise ValueError(
                f"level={level} should be in [0, {codes.shape[1]}), the levels of codes."
            )
        if not 1 <= n_codes <= _MAX_COLORED:
            raise ValueError(
                f"n_codes={n_codes} should be in [1, {_MAX_COLORED}]: "
                "more colors can't be told apart."
            )
        column = codes[:, level].astype(np.intp)
        if coordinates is not None:
            places, names, share = check_vectors(coordinates, "coordinates"), ("", ""), None
            if places.shape[1] != 2:
                raise ValueError(f"coordinates should have 2 columns, got shape {places.shape}.")
        elif X is None:
            raise ValueError(
                "X and coordinates are both None; give vectors, or a place for each sample."
            )
        else:
            places, names, share = _principal_plane(check_vectors(X))
        check_same_length("codes", codes, "X" if coordinates is None else "coordinates", places)
        values, counts = np.unique(column, return_counts=True)
        shown = values[np.argsort(-counts, kind="stable")][:n_codes]
        kept = np.arange(len(column))
        if len(kept) > max_samples:
            kept = check_random_state(random_state).choice(len(kept), max_samples, replace=False)
        display = cls(
            coordinates=places[kept],
            codes=column[kept],
            shown=shown,
            level=level,
            axis_names=names,
            variance_share=share,
        )
        return display.plot(ax, code_names=code_names)

    def plot(
        self,
        ax: Any = None,
        *,
        code_names: Mapping[int, str] | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> CodeMapDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        code_names : mapping of int to str, optional
            Names of codes, for the legend.
        scatter_kwargs : dict, optional
            Passed to ``Axes.scatter``.

        Returns
        -------
        display : CodeMapDisplay
            Itself, with the attributes above.
        """
        self.ax_ = ax = one_axes("CodeMapDisplay.plot", ax, (6.4, 4.4))
        self.figure_ = ax.figure
        names = code_names or {}
        look = {"s": 38, "linewidths": 0.5, "edgecolors": "black"} | (scatter_kwargs or {})
        others = ~np.isin(self.codes, self.shown)
        self.background_ = ax.scatter(
            *self.coordinates[others].T, s=4, color="#C4C4C4", linewidths=0, label="other codes"
        )
        self.points_ = []
        for number, code in enumerate(self.shown.tolist()):
            place = self.coordinates[self.codes == code]
            points = ax.scatter(
                *place.T,
                color=COLORS[number],
                marker=MARKERS[number],
                label=names.get(code, f"code {code}"),
                **look,
            )
            self.points_.append(points)
        ax.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xticks=[], yticks=[])
        title = f"most frequent codes of level {self.level}"
        if self.variance_share is not None and self.variance_share < _TELLING_SHARE:
            title += (
                f"\nThis plane holds {self.variance_share:.0%} of the variance: what overlaps "
                "here\nmay lie far apart. CodebookMapDisplay shows which codes are similar."
            )
        ax.set_title(title, fontsize="medium")
        self.legend_ = ax.legend(
            frameon=False,
            fontsize="small",
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            markerscale=1.2,
        )
        for text in self.legend_.get_texts():
            text.set_parse_math(False)  # "$5 to $10" is a name
        return self


def _principal_plane(X: np.ndarray) -> tuple[np.ndarray, tuple[str, str], float]:
    """Project vectors on two principal components; name the axes, with their share of variance."""
    if min(X.shape) < 2:
        raise ValueError(
            f"X has shape {X.shape}, too small for two principal components; give coordinates."
        )
    if not np.ptp(X, axis=0).any():
        raise ValueError(
            f"the {len(X)} rows of X are all equal, so they have no principal components; give "
            "coordinates, or rows that differ."
        )
    pca = PCA(n_components=2, random_state=0).set_output(transform="default")
    places = pca.fit_transform(X)
    first, second = 100 * pca.explained_variance_ratio_
    names = (
        f"first principal component ({first:.0f} %)",
        f"second principal component ({second:.0f} %)",
    )
    return places, names, float((first + second) / 100)
