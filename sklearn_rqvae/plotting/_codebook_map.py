"""CodebookMapDisplay: which first codes are similar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from sklearn_rqvae._fitted import codes_of, invertible_tail
from sklearn_rqvae.embedding._texts import texts_or_empty
from sklearn_rqvae.metrics._checks import (
    check_codes,
    check_count,
    check_same_length,
    check_vectors,
)
from sklearn_rqvae.plotting._branches import branches_of, code_means
from sklearn_rqvae.plotting._matplotlib import COLORS, GREY, one_axes, size_in_points
from sklearn_rqvae.plotting._top_words import top_words

_MOST_CODES = 2000  # t-SNE of more takes long, and their bubbles would be dots
# Black would hide its labels.
_BRANCH_COLORS = [GREY if color == "#000000" else color for color in COLORS]
_INK = 0.12  # share of the axes that all bubbles together cover


class CodebookMapDisplay:
    """Show all first codes on a plane, similar ones side by side.

    Each bubble is a first code, as large as its number of items. Its place is that of its items'
    mean vector under t-SNE [1]_, which keeps neighbors together; distances across the picture, and
    the axes, say nothing. Colors are branches of similar codes. With hundreds of codes this shows
    what :class:`CodeMapDisplay`, which colors the eight most frequent ones, can't.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    codes : ndarray of shape (n_codes,)
        The first codes in use, most frequent first.
    sizes : ndarray of shape (n_codes,)
        Number of samples of each code.
    coordinates : ndarray of shape (n_codes, 2)
        Place of each code.
    branch : ndarray of shape (n_codes,)
        Branch of each code.
    words : list of str, default=()
        Word of each code; without words, bubbles have the codes.
    branch_words : list of str, default=()
        Words of each branch.
    n_codes : int, optional
        Number of all first codes in use, if those are the most frequent only.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    points_ : list of matplotlib PathCollection
        Bubbles of each branch.
    texts_ : list of matplotlib Text
        All labels that had room.
    legend_ : matplotlib Legend
        The branches.

    See Also
    --------
    PrefixTreeDisplay : The same codes as areas with more words.

    References
    ----------
    .. [1] van der Maaten, L. and Hinton, G. "Visualizing data using t-SNE". JMLR 9, 2008.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import CodebookMapDisplay
    >>> X = [[0.0, 0.0], [0.0, 0.1], [0.1, 0.0], [5.0, 1.0], [5.0, 1.1]]
    >>> display = CodebookMapDisplay.from_codes(X, [[4], [4], [4], [7], [9]], n_branches=2)
    >>> display.codes, display.branch
    (array([4, 7, 9]), array([0, 1, 1]))
    """

    def __init__(
        self,
        *,
        codes: np.ndarray,
        sizes: np.ndarray,
        coordinates: np.ndarray,
        branch: np.ndarray,
        words: Sequence[str] = (),
        branch_words: Sequence[str] = (),
        n_codes: int | None = None,
    ):
        self.codes = codes
        self.sizes = sizes
        self.coordinates = coordinates
        self.branch = branch
        self.words = words
        self.branch_words = branch_words
        self.n_codes = n_codes

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        texts: Sequence[str] | None = None,
        n_branches: int = 8,
        ax: Any = None,
    ) -> CodebookMapDisplay:
        """Encode samples and show their first codes.

        Parameters
        ----------
        estimator : object with ``transform`` and ``inverse_transform``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`.
        texts : sequence of str of length n_samples, optional
            What to take words from.
        n_branches : int, default=8
            Number of branches, at most 8.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : CodebookMapDisplay
            The picture, drawn.
        """
        tail, vectors = invertible_tail(getattr(estimator, "best_estimator_", estimator), X)
        codes = codes_of(tail, vectors)
        return cls.from_codes(vectors, codes, texts=texts, n_branches=n_branches, ax=ax)

    @classmethod
    def from_codes(
        cls,
        X: ArrayLike,
        codes: ArrayLike,
        *,
        texts: Sequence[str] | None = None,
        n_branches: int = 8,
        ax: Any = None,
    ) -> CodebookMapDisplay:
        """Show given first codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Vectors of the samples.
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level, not negative; only the first level is used.
        texts : sequence of str of length n_samples, optional
            What to take words from.
        n_branches : int, default=8
            Number of branches, at most 8.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.

        Returns
        -------
        display : CodebookMapDisplay
            The picture, drawn.

        Raises
        ------
        ValueError
            If lengths differ, `codes` isn't 2-dimensional, or a number is out of range.
        """
        X, codes = check_vectors(X), check_codes(codes)
        check_same_length("X", X, "codes", codes)
        if texts is not None:
            check_same_length("codes", codes, "texts", texts)
            texts = texts_or_empty(texts)
        check_count("n_branches", n_branches, 1, len(COLORS), "more colors can't be told apart")
        values, code, counts = np.unique(codes[:, 0], return_inverse=True, return_counts=True)
        means = code_means(X, code, len(values))
        branch = branches_of(means, counts, n_branches)
        words: list[str] = []
        branch_words: list[str] = []
        if texts is not None:
            found = top_words(texts, code, len(values), 1)
            words = [" ".join(some) for some in found]
            found = top_words(texts, branch[code], branch.max() + 1, 3)
            branch_words = [", ".join(some) for some in found]
        shown = np.argsort(-counts, kind="stable")[:_MOST_CODES].tolist()
        display = cls(
            codes=values[shown],
            sizes=counts[shown],
            coordinates=_plane(means[shown]),
            branch=branch[shown],
            words=[words[i] for i in shown] if words else [],
            branch_words=branch_words,
            n_codes=len(values),
        )
        return display.plot(ax)

    def plot(self, ax: Any = None) -> CodebookMapDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given. Give it its final size first: labels are
            fitted to it.

        Returns
        -------
        display : CodebookMapDisplay
            Itself, with the attributes above.
        """
        self.ax_ = ax = one_axes("CodebookMapDisplay.plot", ax, (10, 6.4))
        self.figure_ = ax.figure
        shown, all_codes = len(self.codes), self.n_codes or len(self.codes)
        which = (
            f"all {shown}" if shown == all_codes else f"the {shown} most frequent of {all_codes}"
        )
        ax.set_title(f"{which} first codes, similar ones side by side", fontsize="medium")
        ax.set(xticks=[], yticks=[])
        ax.margins(0.06)
        room = math.prod(size_in_points(ax))
        self.points_ = []
        for number in range(self.branch.max() + 1):
            inside = self.branch == number
            name = f"{inside.sum()} codes, {self.sizes[inside].sum():,} items"
            if self.branch_words and self.branch_words[number]:
                name = f"{self.branch_words[number]}\n{name}"
            points = ax.scatter(
                *self.coordinates[inside].T,
                s=self.sizes[inside] * (_INK * room / self.sizes.sum()),
                color=_BRANCH_COLORS[number],
                alpha=0.45,
                linewidths=0,
                label=name,
            )
            self.points_.append(points)
        self.legend_ = ax.legend(
            frameon=False,
            fontsize="small",
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            labelspacing=1,
        )
        for handle in self.legend_.legend_handles:
            handle.set_sizes([60])
        self._write_labels()
        return self

    def _write_labels(self) -> None:
        """Label bubbles, the largest first, each where no other label is in the way."""
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=1.8, foreground="white")]  # where bubbles pile up
        self.figure_.draw_without_rendering()  # so that the layout is final
        frame, taken = self.ax_.get_window_extent(), np.empty((0, 4))
        self.texts_: list[Any] = []
        for place, label in zip(self.coordinates, self.words or self.codes, strict=True):
            if label == "":
                continue
            text = self.ax_.text(
                *place, str(label), ha="center", va="center", fontsize=7, path_effects=halo
            )
            box = np.array(text.get_window_extent().extents)
            overlaps = (box[:2] < taken[:, 2:]).all(axis=1) & (taken[:, :2] < box[2:]).all(axis=1)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1
            if overlaps.any() or not inside:
                text.remove()
                continue
            taken = np.vstack([taken, box])
            self.texts_.append(text)


@config_context(transform_output="default")
def _plane(means: np.ndarray) -> np.ndarray:
    """Place means on a plane: by t-SNE, and by principal components if there are only a few."""
    if len(means) == 1:
        return np.zeros((1, 2))
    n_components = min(*means.shape, 50)
    places = PCA(n_components, random_state=0).fit_transform(means)
    places = np.pad(places, ((0, 0), (0, max(0, 2 - n_components))))
    if len(means) < 10 or n_components < 3:
        return places[:, :2]
    perplexity = min(15, (len(means) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(places)
