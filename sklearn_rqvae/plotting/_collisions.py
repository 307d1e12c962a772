"""CollisionDisplay: how many samples still share their prefix, by its length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import codes_of, invertible_tail
from sklearn_rqvae.metrics import collision_floor, prefix_group_sizes
from sklearn_rqvae.plotting._matplotlib import COLORS, one_axes, tidy


class CollisionDisplay:
    """Show how many samples share their prefix with another sample, by prefix length.

    Bars are the share of samples whose first k codes aren't theirs alone; the last bar is about
    whole semantic IDs. Diamonds are the collision rate, one minus the share of distinct prefixes.
    Below each bar stands the size of the largest group. A dashed line marks the rate that duplicate
    rows enforce, where it is known.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    colliding_share : ndarray of shape (n_layers,)
        Share of the samples that share their prefix.
    collision_rate : ndarray of shape (n_layers,)
        One minus the share of distinct prefixes.
    largest_group : ndarray of shape (n_layers,)
        Number of samples with the most frequent prefix.
    floor : float, optional
        Collision rate that duplicate rows enforce.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    bars_ : matplotlib BarContainer
        Share of samples that share their prefix.
    line_ : matplotlib Line2D
        Collision rates.
    floor_line_ : matplotlib Line2D or None
        Rate that duplicate rows enforce.

    See Also
    --------
    sklearn_rqvae.metrics.collision_rate : The usual number.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import CollisionDisplay
    >>> display = CollisionDisplay.from_codes([[0, 3], [1, 3], [0, 3], [0, 2]])
    >>> display.colliding_share
    array([0.75, 0.5 ])
    """

    def __init__(
        self,
        *,
        colliding_share: np.ndarray,
        collision_rate: np.ndarray,
        largest_group: np.ndarray,
        floor: float | None = None,
    ):
        self.colliding_share = colliding_share
        self.collision_rate = collision_rate
        self.largest_group = largest_group
        self.floor = floor

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        ax: Any = None,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> CollisionDisplay:
        """Encode samples and show the collisions of their codes.

        Parameters
        ----------
        estimator : object with ``transform``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`: the whole catalog, since fewer samples collide less.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        bar_kwargs : dict, optional
            Passed to ``Axes.bar``.

        Returns
        -------
        display : CollisionDisplay
            The picture, drawn.
        """
        codes = codes_of(estimator, X)
        vectors = invertible_tail(estimator, X)[1]
        return cls.from_codes(codes, X=vectors, ax=ax, bar_kwargs=bar_kwargs)

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        *,
        X: ArrayLike | None = None,
        ax: Any = None,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> CollisionDisplay:
        """Show the collisions of given codes.

        Parameters
        ----------
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level, not negative.
        X : array-like of shape (n_samples, n_features), optional
            Vectors that the codes are made from, to mark the rate that duplicates enforce.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        bar_kwargs : dict, optional
            Passed to ``Axes.bar``.

        Returns
        -------
        display : CollisionDisplay
            The picture, drawn.
        """
        sizes = prefix_group_sizes(codes)
        n_samples = sizes[0].sum()
        display = cls(
            colliding_share=np.array([group[group > 1].sum() for group in sizes]) / n_samples,
            collision_rate=1 - np.array([len(group) for group in sizes]) / n_samples,
            largest_group=np.array([group.max() for group in sizes]),
            floor=None if X is None else collision_floor(X),
        )
        return display.plot(ax, bar_kwargs=bar_kwargs)

    def plot(self, ax: Any = None, *, bar_kwargs: dict[str, Any] | None = None) -> CollisionDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        bar_kwargs : dict, optional
            Passed to ``Axes.bar``.

        Returns
        -------
        display : CollisionDisplay
            Itself, with the attributes above.
        """
        n_layers = len(self.colliding_share)
        width = max(4.2, 1.1 * n_layers + 1)
        self.ax_ = ax = one_axes("CollisionDisplay.plot", ax, (width, 3.4))
        self.figure_ = ax.figure
        length = np.arange(1, n_layers + 1)
        look = {"color": "#A9CCE3", "edgecolor": COLORS[0], "width": 0.65} | (bar_kwargs or {})
        self.bars_ = ax.bar(
            length, 100 * self.colliding_share, label="items that share their prefix", **look
        )
        ax.bar_label(
            self.bars_, [f"{_percent(share)} %" for share in self.colliding_share], padding=3
        )
        (self.line_,) = ax.plot(
            length,
            100 * self.collision_rate,
            linestyle="none",
            marker="D",
            markersize=6,
            color=COLORS[2],
            label="collision rate",
        )
        self.floor_line_ = None
        if self.floor is not None:
            self.floor_line_ = ax.axhline(
                100 * self.floor,
                color=COLORS[4],
                linestyle="--",
                linewidth=1.5,
                label=f"floor: duplicate rows ({_percent(self.floor)} %)",
            )
        names = ["1 code", *(f"{k} codes" for k in length[1:])]
        ticks = [
            f"{name}\nlargest {m:,}" for name, m in zip(names, self.largest_group, strict=True)
        ]
        ax.set_xticks(length, ticks)
        ax.set(
            ylim=(0, 140),
            yticks=range(0, 101, 25),
            ylabel="% of items",
            xlabel="length of the prefix",
        )
        tidy(ax)
        ax.legend(frameon=False, fontsize="small", loc="upper right")
        return self


def _percent(share: float) -> str:
    """Write a share as a percentage of two or three digits."""
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
