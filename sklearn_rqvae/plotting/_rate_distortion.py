"""RateDistortionDisplay: which model leaves least at how many bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import (
    codebook_sizes,
    codes_of,
    decoded_prefixes,
    invertible_tail,
)
from sklearn_rqvae.metrics import bits_per_item, distortion_by_level
from sklearn_rqvae.plotting._matplotlib import line_look, one_axes, tidy


class RateDistortionDisplay:
    """Show the distortion that models leave against the bits of their semantic IDs.

    The picture to choose a model by: at equal bits, lower is better. Each point of a fit's curve is
    one more level.

    Make it by `from_estimator`, `from_estimators` or `from_cv_results`; the arguments become
    attributes.

    Parameters
    ----------
    bits : list of ndarray of shape (n_points,)
        Bits per item of the points of each curve.
    distortion : list of ndarray of shape (n_points,)
        Distortion of the points of each curve.
    names : list of str
        Name of each curve.
    spread : list of ndarray of shape (n_points,), optional
        Standard deviation of each distortion, drawn as error bars.
    ylabel : str, default="fraction of variance unexplained"
        What distortion means here.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    lines_ : list of matplotlib Line2D
        The curves.
    error_bars_ : list of matplotlib ErrorbarContainer
        Error bars, where there is a spread.

    See Also
    --------
    sklearn_rqvae.metrics.distortion_by_level : The vertical axis.
    sklearn_rqvae.metrics.bits_per_item : The horizontal axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae.plotting import RateDistortionDisplay
    >>> display = RateDistortionDisplay(
    ...     bits=[np.array([8.0, 16.0, 24.0])],
    ...     distortion=[np.array([0.7, 0.5, 0.4])],
    ...     names=["a fit"],
    ... ).plot()
    >>> display.ax_.get_xlabel()
    'bits per item'
    """

    def __init__(
        self,
        *,
        bits: list[np.ndarray],
        distortion: list[np.ndarray],
        names: list[str],
        spread: list[np.ndarray] | None = None,
        ylabel: str = "fraction of variance unexplained",
    ):
        self.bits = bits
        self.distortion = distortion
        self.names = names
        self.spread = spread
        self.ylabel = ylabel

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        curve_kwargs: dict[str, Any] | None = None,
    ) -> RateDistortionDisplay:
        """Show the curve of one fit, a point per level.

        Parameters
        ----------
        estimator : object with ``transform``, ``inverse_transform`` and ``codebooks_``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`, best held out from its fit.
        name : str, optional
            Name of the curve; the class's name if not given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        curve_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : RateDistortionDisplay
            The picture, drawn.
        """
        name = type(estimator).__name__ if name is None else name
        return cls.from_estimators({name: estimator}, X, ax=ax, curve_kwargs=curve_kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: Any,
        *,
        ax: Any = None,
        curve_kwargs: dict[str, Any] | None = None,
    ) -> RateDistortionDisplay:
        """Show the curves of several fits on the same samples.

        Parameters
        ----------
        estimators : mapping of str to fitted transformer
            Fits by name, each with ``transform``, ``inverse_transform`` and ``codebooks_``.
        X : array-like of shape (n_samples, n_features)
            Input of the estimators, best held out from their fits.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        curve_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : RateDistortionDisplay
            The picture, drawn.
        """
        bits, distortion = [], []
        for estimator in estimators.values():
            codes = codes_of(estimator, X)
            tail, vectors = invertible_tail(estimator, X)
            sizes = codebook_sizes(estimator)
            bits.append(np.array([bits_per_item(sizes[:k]) for k in range(1, len(sizes) + 1)]))
            distortion.append(distortion_by_level(vectors, decoded_prefixes(tail, codes)))
        display = cls(bits=bits, distortion=distortion, names=list(estimators))
        return display.plot(ax, curve_kwargs=curve_kwargs)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Any,
        *,
        scoring: str = "neg_fraction_variance_unexplained",
        codebook_size: int | Sequence[int] | None = None,
        n_layers: int | None = None,
        ax: Any = None,
        curve_kwargs: dict[str, Any] | None = None,
    ) -> RateDistortionDisplay:
        """Show the candidates of a search: a curve over the number of levels for all else equal.

        Parameters
        ----------
        cv_results : fitted search, or mapping
            A search over ``codebook_size``, ``n_layers`` and possibly more, or its ``cv_results_``;
            parameters of a pipeline's step (``rq__n_layers``) are found too.
        scoring : str, default="neg_fraction_variance_unexplained"
            Name of the scorer whose negative is the distortion; ``"score"`` for a search with a
            single one.
        codebook_size : int or sequence of int, optional
            Number of codewords; needed with ``cv_results_`` if the search didn't vary it.
        n_layers : int, optional
            Number of levels; needed with ``cv_results_`` if the search didn't vary it and
            `codebook_size` is one number.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        curve_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : RateDistortionDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If the results have no such score, or the bits of a candidate are unknown.
        """
        fixed = {"codebook_size": codebook_size, "n_layers": n_layers}
        if isinstance(cv_results, BaseEstimator):
            given = {name: size for name, size in fixed.items() if size is not None}
            fixed = _sizes_of(cv_results.estimator) | given
            cv_results = cv_results.cv_results_
        if f"mean_test_{scoring}" not in cv_results:
            known = sorted(key[10:] for key in cv_results if key.startswith("mean_test_"))
            raise ValueError(
                f"cv_results has no score {scoring!r}; scoring should be one of {known}."
            )
        curves: dict[str, list[tuple[float, float, float]]] = {}
        means, deviations = cv_results[f"mean_test_{scoring}"], cv_results[f"std_test_{scoring}"]
        for params, mean, deviation in zip(cv_results["params"], means, deviations, strict=True):
            bits, name = _bits_and_name(params, fixed)
            curves.setdefault(name, []).append((bits, -float(mean), float(deviation)))
        columns = [np.array(sorted(points)).T for points in curves.values()]
        known_scores = {"neg_fraction_variance_unexplained": "fraction of variance unexplained"}
        display = cls(
            bits=[column[0] for column in columns],
            distortion=[column[1] for column in columns],
            spread=[column[2] for column in columns],
            names=list(curves),
            ylabel=known_scores.get(scoring, f"− {scoring}"),
        )
        return display.plot(ax, curve_kwargs=curve_kwargs)

    def plot(
        self, ax: Any = None, *, curve_kwargs: dict[str, Any] | None = None
    ) -> RateDistortionDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        curve_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : RateDistortionDisplay
            Itself, with the attributes above.
        """
        self.ax_ = ax = one_axes("RateDistortionDisplay.plot", ax, (5.4, 3.8))
        self.figure_ = ax.figure
        n_before = sum(line.get_gid() == "rate distortion" for line in ax.lines)
        self.lines_, self.error_bars_ = [], []
        for i, (bits, distortion) in enumerate(zip(self.bits, self.distortion, strict=True)):
            look = line_look(n_before + i) | {
                "linewidth": 1.8,
                "markersize": 5.5,
                "gid": "rate distortion",
            }
            (line,) = ax.plot(
                bits, distortion, label=self.names[i], **(look | (curve_kwargs or {}))
            )
            self.lines_.append(line)
            if self.spread is not None:
                bars = ax.errorbar(
                    bits,
                    distortion,
                    self.spread[i],
                    color=line.get_color(),
                    linestyle="none",
                    capsize=3,
                )
                self.error_bars_.append(bars)
        ax.set(xlabel="bits per item", ylabel=self.ylabel)
        ax.locator_params(axis="x", integer=True, steps=[1, 2, 4, 8, 10])
        tidy(ax)
        ax.legend(frameon=False, fontsize="small")
        return self


def _sizes_of(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the sizes of an estimator, or of the step of a pipeline that has them."""
    params = estimator.get_params()
    last = {key.rsplit("__", 1)[-1]: value for key, value in params.items()}
    return {name: last.get(name) for name in ("codebook_size", "n_layers")}


def _bits_and_name(params: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[float, str]:
    """Return the bits of a candidate, and its parameters but the number of levels."""
    found, others = dict(fixed), []
    for key, value in params.items():
        last = key.rsplit("__", 1)[-1]
        if last in found:
            found[last] = value
        if last != "n_layers":
            others.append(f"{last}={getattr(value, 'name', value)}")
    size, n_layers = found["codebook_size"], found["n_layers"]
    if size is None or (isinstance(size, Integral) and n_layers is None):
        raise ValueError(
            f"the bits of the candidate {dict(params)} are unknown: codebook_size={size!r}, "
            f"n_layers={n_layers!r}; "
            "give the one that the search didn't vary, or the fitted search itself."
        )
    bits = bits_per_item(size, n_layers if isinstance(size, Integral) else None)
    return bits, ", ".join(others) or "candidates"
