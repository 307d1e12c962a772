"""TrainingCurveDisplay: how a fit went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_rqvae.plotting._matplotlib import GREY, line_look, panels, tidy

# Each panel: its title, the axis label, the keys it may show, and whether its axis is logarithmic.
_PANELS = (
    ("distortion", "share of variance", ("train_distortion", "valid_distortion"), False),
    (
        "losses",
        "loss",
        ("train_loss", "valid_loss", "reconstruction_loss", "codebook_loss", "commitment_loss"),
        True,
    ),
    ("perplexity", "codewords", ("perplexity",), False),
    ("learning rate", "learning rate", ("lr",), True),
)


class TrainingCurveDisplay:
    """Show a fit's distortion, losses, perplexity and learning rate by epoch.

    Panels appear for what the history holds. A vertical line marks the epoch of the lowest held-out
    distortion. The losses may rise while distortion falls, since the codebook follows an encoder
    that spreads out: judge a fit by its distortion.

    Make it by `from_estimator` or `from_history`; the arguments become attributes.

    Parameters
    ----------
    epoch : ndarray of shape (n_epochs,)
        Numbers of the epochs.
    curves : dict of str to ndarray of shape (n_epochs,) or (n_epochs, n_layers)
        What was recorded; NaN where it wasn't.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that bound all panels.
    axes_ : ndarray of matplotlib Axes
        Axes of each panel.
    figure_ : matplotlib Figure
        Figure of the panels.
    lines_ : dict of str to list of matplotlib Line2D
        Curves by key; one per level for the perplexity.
    best_epoch_ : int or None
        Epoch of the lowest held-out distortion.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import TrainingCurveDisplay
    >>> history = [
    ...     {"epoch": 1, "train_loss": 3.0, "valid_distortion": 0.7},
    ...     {"epoch": 2, "train_loss": 2.0, "valid_distortion": 0.5},
    ... ]
    >>> display = TrainingCurveDisplay.from_history(history)
    >>> display.best_epoch_
    2
    """

    def __init__(self, *, epoch: np.ndarray, curves: dict[str, np.ndarray]):
        self.epoch = epoch
        self.curves = curves

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Any = None, line_kwargs: dict[str, Any] | None = None
    ) -> TrainingCurveDisplay:
        """Show the ``history_`` of a fit.

        Parameters
        ----------
        estimator : object with ``history_``
            Fitted transformer, or a pipeline that ends with one.
        ax : matplotlib Axes or array of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : TrainingCurveDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If `estimator` has no history, or an empty one.
        """
        fitted = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        if not hasattr(fitted, "history_"):
            raise ValueError(
                f"{type(fitted).__name__} has no history_; fit a model that trains by epochs."
            )
        return cls.from_history(fitted.history_, ax=ax, line_kwargs=line_kwargs)

    @classmethod
    def from_history(
        cls,
        history: Sequence[Mapping[str, Any]],
        *,
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> TrainingCurveDisplay:
        """Show a history.

        Parameters
        ----------
        history : sequence of mapping
            One mapping per epoch with any of the keys ``epoch``, ``train_distortion``,
            ``valid_distortion``, ``train_loss``, ``valid_loss``, ``reconstruction_loss``,
            ``codebook_loss``, ``commitment_loss``, ``perplexity`` (one number per level) and
            ``lr``. Other keys are left out; lines go straight over epochs that lack them.
        ax : matplotlib Axes or array of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : TrainingCurveDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If no epoch has any of these keys.
        """
        known = [key for _, _, keys, _ in _PANELS for key in keys]
        curves = {key: _column(history, key) for key in known if any(key in row for row in history)}
        if not curves:
            found = sorted({key for row in history for key in row})
            raise ValueError(
                f"history of {len(history)} epochs holds nothing to show: its keys are {found}, "
                f"none of {known}."
            )
        epoch = np.array([row.get("epoch", i) for i, row in enumerate(history, start=1)])
        return cls(epoch=epoch, curves=curves).plot(ax, line_kwargs=line_kwargs)

    def plot(
        self, ax: Any = None, *, line_kwargs: dict[str, Any] | None = None
    ) -> TrainingCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, optional
            Where to draw; one axes is divided into panels. A new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : TrainingCurveDisplay
            Itself, with the attributes above.
        """
        shown = [panel for panel in _PANELS if any(key in self.curves for key in panel[2])]
        self.ax_, self.axes_ = panels(
            "TrainingCurveDisplay.plot", ax, len(shown), max_columns=2, panel_size=(4.2, 2.8)
        )
        self.figure_ = self.ax_.figure
        self.lines_: dict[str, list[Any]] = {}
        valid = self.curves.get("valid_distortion", np.array([np.nan]))
        self.best_epoch_ = None if np.isnan(valid).all() else int(self.epoch[np.nanargmin(valid)])
        for panel, (title, label, keys, logarithmic) in zip(self.axes_, shown, strict=True):
            present = [key for key in keys if key in self.curves]
            self._plot_panel(panel, present, line_kwargs or {})
            panel.set(title=title, ylabel=label, xlabel="epoch")
            values = np.concatenate([self.curves[key].ravel() for key in present])
            values = values[~np.isnan(values)]
            if logarithmic and (values > 0).all():
                room = (values.max() / values.min()) ** 0.3  # for the legend
                panel.set(yscale="log", ylim=(values.min() / 1.2, 1.2 * values.max() * room))
            else:
                panel.set_ylim(0, 1.45 * values.max())
            tidy(panel)
        return self

    def _plot_panel(self, panel: Any, keys: list[str], line_kwargs: dict[str, Any]) -> None:
        """Draw one panel."""
        number = 0
        for key in keys:
            values = self.curves[key].reshape(len(self.epoch), -1)
            per_level = self.curves[key].ndim == 2
            self.lines_[key] = []
            for level, column in enumerate(values.T):
                name = f"level {level}" if per_level else key.replace("_", " ")
                # Through what was measured: between gaps there would be points and no line.
                measured = ~np.isnan(column)
                look = line_look(number) | {
                    "linewidth": 1.7,
                    "markevery": max(1, measured.sum() // 8),
                    "markersize": 4.5,
                }
                self.lines_[key] += panel.plot(
                    self.epoch[measured], column[measured], label=name, **(look | line_kwargs)
                )
                number += 1
        if self.best_epoch_ is not None:
            label = f"best epoch: {self.best_epoch_}" if "valid_distortion" in keys else None
            panel.axvline(self.best_epoch_, color=GREY, linewidth=1.2, linestyle=":", label=label)
        if keys != ["lr"]:
            panel.legend(frameon=False, fontsize="small", loc="upper right", ncols=2)


def _column(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """Collect one key of all epochs; epochs without it become NaN."""
    rows = [row.get(key) for row in history]
    width = max(np.size(value) for value in rows if value is not None)
    per_level = any(np.ndim(value) == 1 for value in rows if value is not None)
    filled = [np.full(width, np.nan) if value is None else np.ravel(value) for value in rows]
    column = np.array(filled, dtype=np.float64)
    return column if per_level else column[:, 0]
