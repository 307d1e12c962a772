"""PrefixTreeDisplay: what the samples behind the most frequent prefixes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import codes_of, invertible_tail
from sklearn_rqvae.embedding._texts import texts_or_empty
from sklearn_rqvae.metrics._checks import (
    check_codes,
    check_count,
    check_same_length,
    check_vectors,
)
from sklearn_rqvae.plotting._branches import branches_of, code_means
from sklearn_rqvae.plotting._matplotlib import COLORS, one_axes, size_in_points
from sklearn_rqvae.plotting._squarify import Rectangle, squarify
from sklearn_rqvae.plotting._top_words import top_words

_SMALLEST_FONT = 5.5  # points; smaller text is left out
_FRAMES = tuple(color for color in COLORS if color != "#000000")  # black would tint like the others
_OTHERS = {"facecolor": "white", "edgecolor": "#D9D9D9", "hatch": "///", "linewidth": 0.8}


class PrefixGroup(NamedTuple):
    """Samples that share a prefix, or whose first codes are similar."""

    prefix: tuple[int, ...]
    """The shared codes; empty for a branch of similar first codes."""
    size: int
    """Number of samples."""
    words: list[str]
    """Words that tell this group from its siblings."""
    children: list[PrefixGroup]
    """The largest groups with one more code; those of a branch are its first codes."""
    n_children: int
    """Number of all groups with one more code."""


class PrefixTreeDisplay:
    """Show what is behind the first codes, in the words of the items.

    A treemap: areas are numbers of items. With few first codes, each framed tile is one, with the
    words that set its texts apart from those of all others; the fields in it are second codes, with
    the words that set them apart from each other. Hatched fields are all further ones together.

    With many first codes the most frequent ones would be a small part of the items. If they are
    less than half, and there are vectors to tell which codes are similar, each tile is a branch of
    similar first codes instead, and its fields are first codes: all items are in the picture.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    groups : list of PrefixGroup
        The shown first codes, or branches of them, most frequent first.
    n_samples : int
        Number of all samples.
    n_groups : int
        Number of all first codes in use.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    tiles_ : list of matplotlib Rectangle
        Frame of each first code or branch.
    texts_ : list of matplotlib Text
        All labels that had room.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import PrefixTreeDisplay
    >>> codes = [[0, 1], [0, 1], [0, 2], [1, 0]]
    >>> texts = ["red nail polish", "blue nail polish", "nail file", "shampoo"]
    >>> display = PrefixTreeDisplay.from_codes(codes, texts=texts, n_words=1)
    >>> [(group.prefix, group.size, group.words) for group in display.groups]
    [((0,), 3, ['nail']), ((1,), 1, ['shampoo'])]
    """

    def __init__(self, *, groups: list[PrefixGroup], n_samples: int, n_groups: int):
        self.groups = groups
        self.n_samples = n_samples
        self.n_groups = n_groups

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        texts: Sequence[str] | None = None,
        n_prefixes: int = 12,
        n_children: int = 24,
        n_words: int = 3,
        ax: Any = None,
    ) -> PrefixTreeDisplay:
        """Encode samples and show what their first codes mean.

        Parameters
        ----------
        estimator : object with ``transform`` and ``inverse_transform``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`.
        texts : sequence of str of length n_samples, optional
            What to take words from; without texts, tiles show codes and counts.
        n_prefixes : int, default=12
            Number of first codes, or of branches.
        n_children : int, default=24
            Number of fields in each of them.
        n_words : int, default=3
            Number of words for each prefix.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : PrefixTreeDisplay
            The picture, drawn.
        """
        tail, vectors = invertible_tail(getattr(estimator, "best_estimator_", estimator), X)
        return cls.from_codes(
            codes_of(tail, vectors),
            X=vectors,
            texts=texts,
            n_prefixes=n_prefixes,
            n_children=n_children,
            n_words=n_words,
            ax=ax,
        )

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        *,
        X: ArrayLike | None = None,
        texts: Sequence[str] | None = None,
        n_prefixes: int = 12,
        n_children: int = 24,
        n_words: int = 3,
        ax: Any = None,
    ) -> PrefixTreeDisplay:
        """Show what given first codes mean.

        Parameters
        ----------
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level, not negative; only the first two levels are used.
        X : array-like of shape (n_samples, n_features), optional
            Vectors of the samples, to group many first codes by likeness.
        texts : sequence of str of length n_samples, optional
            What to take words from, in the order of the rows; without texts, tiles show codes and
            counts.
        n_prefixes : int, default=12
            Number of first codes, or of branches.
        n_children : int, default=24
            Number of fields in each of them.
        n_words : int, default=3
            Number of words for each prefix.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : PrefixTreeDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If `codes` isn't 2-dimensional or has a value that isn't a non-negative integer, `X` or
            `texts` has another length, or a number is out of range.
        """
        codes = check_codes(codes)
        if texts is not None:
            check_same_length("codes", codes, "texts", texts)
            texts = texts_or_empty(texts)
        check_count(
            "n_prefixes", n_prefixes, 1, 2**31 - 1, "there is nothing to show without prefixes"
        )
        check_count("n_children", n_children, 1, 2**31 - 1, "a prefix has at least one child")
        check_count("n_words", n_words, 1, 2**31 - 1, "leave texts out for no words")
        columns, n_largest = codes[:, :2], (n_prefixes, n_children)
        first, code, counts = np.unique(codes[:, 0], return_inverse=True, return_counts=True)
        in_branches = False
        if X is not None:
            vectors = check_vectors(X)
            check_same_length("X", vectors, "codes", codes)
            in_branches = 2 * np.sort(counts)[-n_prefixes:].sum() < len(codes)
            if in_branches:
                branch = branches_of(code_means(vectors, code, len(first)), counts, n_prefixes)
                columns = np.stack([branch[code], codes[:, 0]], axis=1)
        groups = _largest_groups((), np.arange(len(codes)), columns, texts, n_largest, n_words)
        if in_branches:
            groups = [_as_branch(group) for group in groups]
        display = cls(groups=groups, n_samples=len(codes), n_groups=len(first))
        return display.plot(ax)

    def plot(self, ax: Any = None) -> PrefixTreeDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given. Give it its final size first: labels are
            fitted to it.

        Returns
        -------
        display : PrefixTreeDisplay
            Itself, with the attributes above.
        """
        self.ax_ = ax = one_axes("PrefixTreeDisplay.plot", ax, (10, 6.4))
        self.figure_ = ax.figure
        self.tiles_: list[Any] = []
        self.texts_: list[Any] = []
        shown = sum(group.size for group in self.groups)
        if self._in_branches:
            title = (
                f"all {self.n_groups} first codes in {len(self.groups)} branches of similar ones: "
                f"{self.n_samples:,} items"
            )
        else:
            title = (
                f"the {len(self.groups)} most frequent of {self.n_groups} first codes: {shown:,} "
                f"of {self.n_samples:,} items ({100 * shown / self.n_samples:.0f} %)"
            )
        ax.set_title(title, fontsize="medium")
        ax.set_axis_off()
        self.figure_.draw_without_rendering()  # so that the axes know their size
        # One unit is one point, so that sizes of text and of tiles compare.
        frame = Rectangle(0, 0, *size_in_points(ax))
        ax.set(xlim=(0, frame.width), ylim=(0, frame.height))
        tiles = squarify([group.size for group in self.groups], frame)
        for number, (group, tile) in enumerate(zip(self.groups, tiles, strict=True)):
            self._plot_group(group, _inset(tile, 2), _FRAMES[number % len(_FRAMES)])
        return self

    @property
    def _in_branches(self) -> bool:
        return not self.groups[0].prefix

    def _plot_group(self, group: PrefixGroup, tile: Rectangle, color: str) -> None:
        """Draw a first code or branch: a header, and below it the codes that divide it."""
        header = Rectangle(tile.x, tile.y + tile.height - 29, tile.width, 29)
        has_header = header.y - tile.y > 20
        body = Rectangle(tile.x, tile.y, tile.width, header.y - tile.y) if has_header else tile
        if has_header:
            name = f"{group.n_children} codes" if self._in_branches else f"{group.prefix[0]}"
            counts = [f"{name}: {group.size:,} items", f"{group.size:,} items"]
            words = [", ".join(group.words[:n]) for n in range(len(group.words), 0, -1)]
            choices = [f"{some}\n{count}" for count in counts for some in words] + counts
            self._write(choices, _inset(header, 2), largest=10.5, smallest=8, weight="bold")
        rest = group.size - sum(child.size for child in group.children)
        fields: list[tuple[int, PrefixGroup | None]] = [
            (child.size, child) for child in group.children
        ]
        fields += [(rest, None)] * (rest > 0)
        fields.sort(key=lambda field: -field[0])
        places = squarify([size for size, _ in fields], body)
        for (_, child), place in zip(fields, places, strict=True):
            self.ax_.add_patch(_patch(place, **(_OTHERS if child is None else _field(color))))
            if child is None:
                n_others = group.n_children - len(group.children)
                plural = "s" if n_others > 1 else ""
                which = "first" if self._in_branches else "second"
                choices = [
                    f"{n_others} other\n{which} code{plural}\n({rest:,} items)",
                    f"{n_others} other{plural}",
                ]
            elif child.words:
                choices = ["\n".join(child.words[:n]) for n in range(len(child.words), 0, -1)]
            else:
                choices = [f"{child.prefix[-1]}: {child.size:,}", f"{child.prefix[-1]}"]
            self._write(choices, _inset(place, 2), largest=8, smallest=_SMALLEST_FONT)
        frame = _patch(tile, facecolor="none", edgecolor=color, linewidth=2)
        self.tiles_.append(self.ax_.add_patch(frame))

    def _write(
        self, choices: list[str], place: Rectangle, largest: float, smallest: float, **kwargs: Any
    ) -> None:
        """Write the first of the choices that fits at a legible size, or nothing."""
        center = (place.x + place.width / 2, place.y + place.height / 2)
        for choice in choices:
            text = self.ax_.text(
                *center, choice, ha="center", va="center", fontsize=largest, **kwargs
            )
            extent = text.get_window_extent()
            points = 72 / self.figure_.dpi
            fit = min(
                place.width / (extent.width * points), place.height / (extent.height * points), 1
            )
            if fit * largest >= smallest:
                text.set_fontsize(fit * largest)
                self.texts_.append(text)
                return
            text.remove()


def _largest_groups(
    prefix: tuple[int, ...],
    members: NDArray[np.intp],
    codes: NDArray[Any],
    texts: Sequence[str] | None,
    n_largest: tuple[int, ...],
    n_words: int,
) -> list[PrefixGroup]:
    """Group samples by their next code, and the largest groups by the one after that."""
    level = len(prefix)
    if level == codes.shape[1]:
        return []
    values, group, counts = np.unique(
        codes[members, level], return_inverse=True, return_counts=True
    )
    words: list[list[str]] = [[] for _ in values]
    if texts is not None:
        words = top_words([texts[i] for i in members], group, len(values), n_words)
    result = []
    for i in np.argsort(-counts, kind="stable")[: n_largest[level]].tolist():
        longer = (*prefix, int(values[i]))
        inside = members[group == i]
        children = _largest_groups(longer, inside, codes, texts, n_largest, n_words)
        n_children = len(np.unique(codes[inside, level + 1])) if children else 0
        result.append(PrefixGroup(longer, int(counts[i]), words[i], children, n_children))
    return result


def _as_branch(group: PrefixGroup) -> PrefixGroup:
    """Take the number of a branch, which is no code, off its prefixes."""
    children = [child._replace(prefix=child.prefix[1:]) for child in group.children]
    return group._replace(prefix=(), children=children)


def _inset(rectangle: Rectangle, margin: float) -> Rectangle:
    """Take a margin off all four sides, and never more than there is."""
    margin = min(margin, rectangle.width / 4, rectangle.height / 4)
    return Rectangle(
        rectangle.x + margin,
        rectangle.y + margin,
        rectangle.width - 2 * margin,
        rectangle.height - 2 * margin,
    )


def _patch(rectangle: Rectangle, **kwargs: Any) -> Any:
    """Return matplotlib's rectangle."""
    from matplotlib.patches import Rectangle as Patch

    return Patch((rectangle.x, rectangle.y), rectangle.width, rectangle.height, **kwargs)


def _field(color: str) -> dict[str, Any]:
    """Return the look of a second code: so much white that black text is easy to read."""
    from matplotlib.colors import to_rgb

    tint = 1 - 0.22 * (1 - np.array(to_rgb(color)))
    return {"facecolor": tint, "edgecolor": "white", "linewidth": 0.8}
