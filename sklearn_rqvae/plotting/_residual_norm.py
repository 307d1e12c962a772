"""ResidualNormDisplay: what each level leaves of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_rqvae._fitted import codes_of, decoded_prefixes, invertible_tail
from sklearn_rqvae.metrics import prefix_reconstructions, residual_norms
from sklearn_rqvae.metrics._checks import check_vectors
from sklearn_rqvae.plotting._matplotlib import line_look, one_axes, tidy


class ResidualNormDisplay:
    """Show how far samples are from their reconstruction after each level.

    The line is the median of the residual norms, the band reaches from the 10th to the 90th
    percentile. A level that hardly lowers the line wastes its bits. Draw a second model into the
    same axes to compare.

    Make it by `from_estimator` or `from_codes`; the arguments become attributes.

    Parameters
    ----------
    norms : ndarray of shape (n_samples, n_layers + 1)
        Residual norm of each sample after 0, 1, … levels; without any code the reconstruction is
        the mean.
    name : str, optional
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    line_ : matplotlib Line2D
        Median.
    band_ : matplotlib PolyCollection
        From the 10th to the 90th percentile.

    See Also
    --------
    sklearn_rqvae.metrics.residual_norms : The numbers.

    Examples
    --------
    >>> from sklearn_rqvae.plotting import ResidualNormDisplay
    >>> codebooks = [[[0.0, 0.0], [4.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]
    >>> X, codes = [[0.0, 1.5], [4.0, -1.0]], [[0, 1], [1, 0]]
    >>> display = ResidualNormDisplay.from_codes(X, codes, codebooks)
    >>> display.norms[:, 1:]
    array([[1.5, 0.5],
           [1. , 0. ]])
    """

    def __init__(self, *, norms: np.ndarray, name: str | None = None):
        self.norms = norms
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> ResidualNormDisplay:
        """Encode samples, decode each prefix, and show what is left.

        Parameters
        ----------
        estimator : object with ``transform`` and ``inverse_transform``
            Fitted transformer, or a pipeline that ends with one.
        X : array-like of shape (n_samples, n_features)
            Input of `estimator`.
        name : str, optional
            Name of the model, for the legend; the class's name if not given.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : ResidualNormDisplay
            The picture, drawn.
        """
        codes = codes_of(estimator, X)
        tail, vectors = invertible_tail(estimator, X)
        vectors = check_vectors(vectors)
        norms = residual_norms(vectors, chain([_mean(vectors)], decoded_prefixes(tail, codes)))
        display = cls(norms=norms, name=type(estimator).__name__ if name is None else name)
        return display.plot(ax, line_kwargs=line_kwargs)

    @classmethod
    def from_codes(
        cls,
        X: ArrayLike,
        codes: ArrayLike,
        codebooks: Sequence[ArrayLike],
        *,
        name: str | None = None,
        ax: Any = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> ResidualNormDisplay:
        """Show what sums of codewords leave of vectors.

        Parameters
        ----------
        X : array-like of shape (n_samples, embed_dim)
            Vectors in the space of the codewords.
        codes : array-like of int of shape (n_samples, n_layers)
            Code of each sample at each level.
        codebooks : sequence of n_layers array-likes of shape (codebook_size, embed_dim)
            Codewords of each level.
        name : str, optional
            Name of the model, for the legend.
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : ResidualNormDisplay
            The picture, drawn.
        """
        vectors = check_vectors(X)
        reconstructions = chain([_mean(vectors)], prefix_reconstructions(codes, codebooks))
        display = cls(norms=residual_norms(vectors, reconstructions), name=name)
        return display.plot(ax, line_kwargs=line_kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, line_kwargs: dict[str, Any] | None = None
    ) -> ResidualNormDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure if not given.
        name : str, optional
            Name of the model, for the legend; `self.name` if not given.
        line_kwargs : dict, optional
            Passed to ``Axes.plot``.

        Returns
        -------
        display : ResidualNormDisplay
            Itself, with the attributes above.
        """
        self.ax_ = ax = one_axes("ResidualNormDisplay.plot", ax, (4.8, 3.4))
        self.figure_ = ax.figure
        name = self.name if name is None else name
        levels = np.arange(self.norms.shape[1])
        low, median, high = np.percentile(self.norms, [10, 50, 90], axis=0)
        n_before = sum(line.get_gid() == "residual norm" for line in ax.lines)
        look = line_look(n_before) | {"linewidth": 2, "gid": "residual norm"} | (line_kwargs or {})
        (self.line_,) = ax.plot(levels, median, label=name, **look)
        self.band_ = ax.fill_between(
            levels, low, high, color=self.line_.get_color(), alpha=0.18, linewidth=0
        )
        ax.set_xticks(levels)
        ax.set(xlabel="codes used", ylabel="residual norm\n(median, 10–90 %)")
        ax.set_ylim(bottom=0)
        tidy(ax)
        if name is not None:
            ax.legend(frameon=False)
        return self


def _mean(X: np.ndarray) -> np.ndarray:
    """Return the reconstruction that needs no code."""
    return np.broadcast_to(X.mean(axis=0, dtype=np.float64), X.shape)
