"""CodebookUsageDisplay: how evenly each level uses its codewords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import codebook_sizes, codes_of
from sklearn_rqvae.metrics import code_perplexity, code_usage
from sklearn_rqvae.plotting._matplotlib import COLORS, GREY, panels, tidy


class CodebookUsageDisplay:
    """Show how evenly each level uses its codewords.

    One panel per level: codewords from the most to the least used one, and how often each is used
    in multiples of equal use. An even level is a flat line at 1; dead codes are hatched.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    usage : list of ndarray of shape (codebook_size,)
        Number of samples with each code, one array per level.
    perplexity : ndarray of shape (n_layers,)
        Effective number of codewords in use at each level.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that bound all panels.
    axes_ : ndarray of shape (n_layers,)
        Axes of each panel.
    figure_ : matplotlib Figure
        Figure of the panels.
    lines_ : list of matplotlib Line2D
        Curve of each level.
    texts_ : list of matplotlib Text
        Utilization and perplexity, one text per level.

    See Also
    --------
    sklearn_rqvae.metrics.code_usage : The counts.
    sklearn_rqvae.metrics.code_perplexity : The summary.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae.plotting import CodebookUsageDisplay
    >>> codes = np.random.default_rng(0).integers(0, 8, (100, 2))
    >>> display = CodebookUsageDisplay.from_codes(codes, codebook_size=8)
    >>> len(display.axes_)
    2
    """

    def __init__(self, *, usage: list[np.ndarray], perplexity: np.ndarray):
        self.usage = usage
        self.perplexity = perplexity

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> CodebookUsageDisplay:
        """Encode samples and show the usage of their codes.

        Parameters
        ----------
        estimator : object with ``transform`` and ``codebooks_``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`; the whole catalog, if it is usage in the catalog that you want to
            see.
        ax : matplotlib Axes or array of n_layers of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.step``.

        Returns
        -------
        display : CodebookUsageDisplay
            The picture, drawn.
        """
        codes = codes_of(estimator, X)
        sizes = codebook_sizes(estimator)
        return cls.from_codes(codes, codebook_size=sizes, ax=ax, line_kwargs=line_kwargs)

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        *,
        codebook_size: int | Sequence[int],
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> CodebookUsageDisplay:
        """Show the usage of given codes.

        Parameters
        ----------
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level, in ``[0, codebook_size)``.
        codebook_size : int or sequence of int of length n_layers
            Number of codewords, at all levels or at each.
        ax : matplotlib Axes or array of n_layers of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.step``.

        Returns
        -------
        display : CodebookUsageDisplay
            The picture, drawn.
        """
        display = cls(
            usage=code_usage(codes, codebook_size), perplexity=code_perplexity(codes, codebook_size)
        )
        return display.plot(ax, line_kwargs=line_kwargs)

    def plot(
        self, ax: Any = None, *, line_kwargs: dict[str, Any] | None = None
    ) -> CodebookUsageDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or array of n_layers of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.step``.

        Returns
        -------
        display : CodebookUsageDisplay
            Itself, with the attributes above.
        """
        self.ax_, self.axes_ = panels(
            "CodebookUsageDisplay.plot", ax, len(self.usage), max_columns=4, panel_size=(2.7, 2.8)
        )
        self.figure_ = self.ax_.figure
        self.lines_: list[Any] = []
        self.texts_: list[Any] = []
        relative = [np.sort(counts)[::-1] * (len(counts) / counts.sum()) for counts in self.usage]
        highest = 1.6 * max(values[0] for values in relative)
        lowest = 0.6 * min(1.0, *(values[values > 0].min() for values in relative))
        for level, (panel, values) in enumerate(zip(self.axes_, relative, strict=True)):
            self._plot_level(panel, level, values, line_kwargs or {})
            panel.set(yscale="log", ylim=(lowest, highest))
            if highest < 30 * lowest:  # hardly a power of ten on the axis
                panel.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10])
                panel.set_ylim(lowest, highest)
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_formatter("")
            if level % 4 == 0:
                panel.set_ylabel("usage / equal usage")
            else:
                panel.tick_params(labelleft=False)
        return self

    def _plot_level(
        self, panel: Any, level: int, values: np.ndarray, line_kwargs: dict[str, Any]
    ) -> None:
        """Draw one panel."""
        size, n_used = len(values), int(np.count_nonzero(values))
        rank = np.arange(n_used + 1)
        steps = np.append(values[:n_used], values[n_used - 1])
        look = {"color": COLORS[0], "linewidth": 1.8, "where": "post"} | line_kwargs
        self.lines_ += panel.step(rank, steps, **look)
        panel.axhline(1, color=GREY, linewidth=1, linestyle="--")
        if n_used < size:
            panel.axvspan(
                n_used, size, facecolor="#EEEEEE", edgecolor="#999999", hatch="///", linewidth=0
            )
            panel.text(
                (n_used + size) / 2,
                0.5,
                f"{size - n_used} dead",
                rotation=90,
                ha="center",
                va="center",
                transform=panel.get_xaxis_transform(),
                fontsize="small",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )
        if n_used * 30 < size:  # a step of a few pixels: mark it
            panel.plot(
                rank[:-1] + 0.5,
                values[:n_used],
                linestyle="none",
                marker="o",
                markersize=4,
                color=self.lines_[-1].get_color(),
                clip_on=False,
            )
        perplexity = f"{self.perplexity[level]:.{1 if self.perplexity[level] < 100 else 0}f}"
        title = f"level {level}\n{n_used} of {size} used, perplexity {perplexity}"
        self.texts_.append(panel.set_title(title, fontsize=9))
        panel.set(xlim=(0, size), xlabel="codewords, most used first")
        tidy(panel)
