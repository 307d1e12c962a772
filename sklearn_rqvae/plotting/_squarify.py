"""A treemap's rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Rectangle(NamedTuple):
    """A rectangle by its lower left corner and its size."""

    x: float
    y: float
    width: float
    height: float


def squarify(areas: Sequence[float], frame: Rectangle) -> list[Rectangle]:
    """Divide a frame into rectangles that are as square as a greedy choice makes them.

    Rows are filled along the shorter side for as long as the worst aspect ratio of the row improves
    [1]_.

    Parameters
    ----------
    areas : sequence of float
        Positive, in descending order; they are scaled to fill the frame.
    frame : Rectangle
        What to divide.

    Returns
    -------
    rectangles : list of Rectangle
        One for each area, in the same order.

    References
    ----------
    .. [1] Bruls, M., Huizing, K. and van Wijk, J. J. "Squarified treemaps". Data Visualization,
       2000.
    """
    scale = frame.width * frame.height / sum(areas)
    left = [area * scale for area in areas]
    rectangles: list[Rectangle] = []
    while left:
        side = min(frame.width, frame.height)
        n_row = 1
        while n_row < len(left) and _worst(left[: n_row + 1], side) <= _worst(left[:n_row], side):
            n_row += 1
        row, left = left[:n_row], left[n_row:]
        depth = sum(row) / side
        offset = 0.0
        for area in row:
            length = area / depth
            if frame.width >= frame.height:  # a column at the left edge
                rectangles.append(Rectangle(frame.x, frame.y + offset, depth, length))
            else:  # a row at the lower edge
                rectangles.append(Rectangle(frame.x + offset, frame.y, length, depth))
            offset += length
        if frame.width >= frame.height:
            frame = Rectangle(frame.x + depth, frame.y, frame.width - depth, frame.height)
        else:
            frame = Rectangle(frame.x, frame.y + depth, frame.width, frame.height - depth)
    return rectangles


def _worst(row: Sequence[float], side: float) -> float:
    """Return the largest aspect ratio of rectangles that fill a row of this side."""
    depth = sum(row) / side
    return max(max(area / depth**2, depth**2 / area) for area in row)
