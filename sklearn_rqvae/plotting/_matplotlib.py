"""Matplotlib, imported when something is drawn, and how all our pictures look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Okabe and Ito's colors (2008), which color-blind readers can tell apart. In this order neighbors
# differ in lightness too; in grey, line styles and markers tell the rest.
COLORS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#8A6D00")
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#6E6E6E"


def import_pyplot(caller: str) -> Any:
    """Return ``matplotlib.pyplot``, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib; install it with: pip install "sklearn-rqvae[plot]"'
        ) from error
    return plt


def line_look(index: int) -> dict[str, Any]:
    """Return color, line style and marker of the curve number `index`."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINE_STYLES[index % len(LINE_STYLES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def one_axes(caller: str, ax: Any, figsize: tuple[float, float]) -> Any:
    """Return `ax`, or new axes of that size in inches."""
    plt = import_pyplot(caller)
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def size_in_points(ax: Any) -> tuple[float, float]:
    """Return width and height of axes in points, the unit of text and markers."""
    extent, points = ax.get_window_extent(), 72 / ax.figure.dpi
    return extent.width * points, extent.height * points


def panels(
    caller: str, ax: Any, n_panels: int, *, max_columns: int, panel_size: tuple[float, float]
) -> tuple[Any, np.ndarray]:
    """Return the axes that bound all panels, and one axes for each panel.

    `ax` may be None (a new figure), one axes (its place is divided) or an array of `n_panels` axes
    (then they are used, and the first one stands for all).
    """
    plt = import_pyplot(caller)
    if ax is not None and np.ndim(ax) > 0:
        axes = np.ravel(ax)
        if len(axes) != n_panels:
            raise ValueError(
                f"ax has {len(axes)} axes but there are {n_panels} panels; give one for each."
            )
        return axes[0], axes
    n_columns = min(n_panels, max_columns)
    n_rows = math.ceil(n_panels / n_columns)
    if ax is None:
        size = (panel_size[0] * n_columns, panel_size[1] * n_rows)
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    if ax.get_subplotspec() is None:
        raise ValueError(
            f"ax was not made by subplots, so it can't be divided into {n_panels} panels; "
            f"give an array of {n_panels} axes."
        )
    ax.set_axis_off()
    grid = ax.get_subplotspec().subgridspec(n_rows, n_columns)
    cells = [(number // n_columns, number % n_columns) for number in range(n_panels)]
    return ax, np.array([ax.figure.add_subplot(grid[cell]) for cell in cells])


def tidy(ax: Any) -> None:
    """Leave out the lines that carry nothing, and put a light grid behind the rest."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
