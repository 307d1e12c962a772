"""The displays of a report, as pictures that stand by themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae import plotting
from sklearn_rqvae.metrics import bits_per_item
from sklearn_rqvae.plotting._matplotlib import import_pyplot
from sklearn_rqvae.report._comparison import Comparison
from sklearn_rqvae.report._words import percent

__all__ = ["Material", "Picture", "draw"]


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows.

    Attributes
    ----------
    key : str
        Its name: "usage", "collisions", "residuals", "rate", "training", "map" or "tree".
    caption : str
        What is to be seen.
    alt : str
        The same in numbers, for those who can't see it.
    width : int
        Width in CSS pixels at which its text is 10 to 13 pixels high.
    mime : str
        "image/svg+xml" or "image/png".
    data : bytes
        The file.
    """

    key: str
    caption: str
    alt: str
    width: int
    mime: str
    data: bytes

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` address."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Material:
    """What the pictures are drawn from."""

    X: NDArray[Any]
    codes: NDArray[Any]
    sizes: Sequence[int]
    norms: NDArray[np.float64]
    texts: Sequence[str] | None
    history: Sequence[Mapping[str, Any]]


def draw(material: Material, comparison: Comparison | None) -> list[Picture]:
    """Draw all pictures there is material for; matplotlib is imported here."""
    plt = import_pyplot("Report.pictures")
    settings = {"svg.hashsalt": "sklearn-rqvae", "svg.fonttype": "path", "figure.facecolor": "w"}
    with plt.rc_context(settings):
        pictures = [_usage(material), _collisions(material), _residuals(material)]
        if comparison is not None:
            pictures.append(_rate(material.sizes, comparison))
        if any(len(row) > 1 for row in material.history):
            pictures.append(_training(material.history))
        if min(material.X.shape) >= 2:
            pictures.append(_map(material))
        if material.texts is not None:
            pictures.append(_tree(material))
    return pictures


def _usage(material: Material) -> Picture:
    display = plotting.CodebookUsageDisplay.from_codes(
        material.codes, codebook_size=list(material.sizes)
    )
    alt = "; ".join(text.get_text().replace("\n", ": ") for text in display.texts_)
    caption = (
        "Codewords of each level from the most to the least used one. A flat line at 1 is even "
        "use; dead codewords are hatched."
    )
    return _picture("usage", caption, f"Usage by level. {alt}.", display)


def _collisions(material: Material) -> Picture:
    display = plotting.CollisionDisplay.from_codes(material.codes, X=material.X)
    shares = ", ".join(percent(share) for share in display.colliding_share)
    caption = (
        "Items that share their first codes with another item (bars), and the collision rate "
        "(diamonds). The dashed line is what duplicate rows enforce."
    )
    return _picture(
        "collisions", caption, f"Share of items that share 1, 2, ... codes: {shares}.", display
    )


def _residuals(material: Material) -> Picture:
    display = plotting.ResidualNormDisplay(norms=material.norms).plot()
    medians = ", ".join(f"{value:.3g}" for value in np.median(material.norms, axis=0))
    caption = "What is left of a vector after each code: median, and the range of 80% of the items."
    return _picture(
        "residuals", caption, f"Median residual norm after 0, 1, ... codes: {medians}.", display
    )


def _rate(sizes: Sequence[int], comparison: Comparison) -> Picture:
    bits = np.array([bits_per_item(list(sizes[:k])) for k in range(1, len(sizes) + 1)])
    contenders = comparison.contenders
    display = plotting.RateDistortionDisplay(
        bits=[bits] * len(contenders),
        distortion=[np.array(contender.curve) for contender in contenders],
        names=[contender.name for contender in contenders],
    ).plot()
    alt = "; ".join(
        f"{contender.name}: {', '.join(percent(value) for value in contender.curve)}"
        for contender in contenders
    )
    caption = "Held-out variance that the first codes leave, by their bits. Lower is better."
    return _picture("rate", caption, f"Unexplained variance by level. {alt}.", display)


def _training(history: Sequence[Mapping[str, Any]]) -> Picture:
    display = plotting.TrainingCurveDisplay.from_history(history)
    caption = "The fit, epoch by epoch. Losses may rise while the distortion falls."
    return _picture("training", caption, f"Training curves of {len(history)} epochs.", display)


def _map(material: Material) -> Picture:
    if _few_hold_most(material.codes[:, 0], 8):
        display: Any = plotting.CodeMapDisplay.from_codes(material.X, material.codes)
        caption = "Items on their first two principal components, by their first code."
        # Thousands of points: as vectors they would make up most of the page.
        return _picture(
            "map", caption, "Scatter plot of the most frequent first codes.", display, 150
        )
    display = plotting.CodebookMapDisplay.from_codes(
        material.X, material.codes, texts=material.texts
    )
    caption = (
        "First codes, as large as their numbers of items, similar ones side by side. Distances "
        "across the picture say nothing."
    )
    branches = "; ".join(
        text.get_text().replace("\n", ": ") for text in display.legend_.get_texts()
    )
    return _picture("map", caption, f"Branches of similar first codes. {branches}.", display)


def _few_hold_most(code: NDArray[Any], n_codes: int) -> bool:
    """Say whether the most frequent codes have at least half of the items."""
    counts = np.unique(code, return_counts=True)[1]
    return 2 * np.sort(counts)[-n_codes:].sum() >= len(code)


def _tree(material: Material) -> Picture:
    display = plotting.PrefixTreeDisplay.from_codes(
        material.codes, X=material.X, texts=material.texts
    )
    words = "; ".join(
        f"{group.prefix[0] if group.prefix else f'{group.n_children} codes'} "
        f"({group.size} items): {', '.join(group.words) or 'no words'}"
        for group in display.groups
    )
    what = (
        "The most frequent first codes, and within them the second ones,"
        if display.groups[0].prefix
        else "Branches of similar first codes, and within them the first codes,"
    )
    caption = f"{what} with the words that set them apart. Areas are numbers of items."
    return _picture("tree", caption, f"First codes and their words. {words}.", display)


def _picture(
    key: str, caption: str, alt: str, display: Any, dots_per_inch: int | None = None
) -> Picture:
    """Save a display's figure, and forget the figure."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    look: dict[str, Any]
    if dots_per_inch is None:
        mime, look = "image/svg+xml", {"format": "svg", "metadata": {"Date": None}}
    else:
        mime, look = "image/png", {"format": "png", "dpi": dots_per_inch}
    display.figure_.savefig(buffer, **look)
    width = round(96 * display.figure_.get_figwidth())
    plt.close(display.figure_)
    return Picture(key, caption, alt, width, mime, buffer.getvalue())
