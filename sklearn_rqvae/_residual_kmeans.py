"""ResidualKMeans: semantic IDs by k-means and least squares, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_rqvae._base import SemanticIDMixin
from sklearn_rqvae._coders import CodebookCoder
from sklearn_rqvae._compat import Interval, fit_context
from sklearn_rqvae._files._state import check_array
from sklearn_rqvae._guards import all_or_nothing
from sklearn_rqvae._learning._learner import Learner
from sklearn_rqvae._learning._refit import SummedCodewordsRefit
from sklearn_rqvae._learning._residual_kmeans import SummedCodewords

__all__ = ["ResidualKMeans"]


class ResidualKMeans(SemanticIDMixin, BaseEstimator):
    r"""Learn semantic IDs by residual k-means, refined by least squares.

    A row is approximated by the mean plus a sum of codewords, one from each of `n_layers`
    codebooks; the codes of these codewords are its semantic ID. Codebooks are found level by level,
    by k-means on what the levels before have left, and then improved together: in turn, a beam
    search finds the codes for the codebooks and least squares the codebooks for the codes [1]_.
    Fast, deterministic given `random_state`, and a strong baseline for
    :class:`~sklearn_rqvae.RQVAETransformer`, whose interface it shares.

    Parameters
    ----------
    n_layers : int, default=3
        Number of levels, hence of codes in a semantic ID.
    codebook_size : int or sequence of int, default=256
        Number of codewords at each level; a sequence gives one number per level.
    n_beams : int, default=5
        Choices of codes kept at each level, in `fit` and in `transform`. More of them find closer
        sums of codewords and take longer; 1 is greedy.
    n_iter : int, default=12
        Rounds of search and least squares.
    subsample : int or None, default=1_048_576
        Distinct rows that a fit learns from at most; None takes all. Of more rows so many are
        drawn, in a way that depends on the set of rows alone. Codebooks are found on 65,536 of
        them, or on 256 for each codeword of the largest codebook if that is more; passes over all
        of them follow, whose time goes with their number.
    warm_start : bool, default=False
        Whether to go on from the last fit instead of from the data: its mean stays, and its
        codebooks are refitted such that most items keep their codes.
    stability : float, default=0.3
        With `warm_start`, what an item's codes under the last fit must cost before it gives them
        up: by how much others have to lower its squared error, as a multiple of the mean error.
        With 0 they are only where the search starts.
    random_state : int, RandomState instance or None, default=None
        Determines the rows that start k-means. An int makes fits repeatable.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), dtype=float32
        Codewords of each level.
    code_usage_ : list of ndarray of shape (codebook_size,)
        Total weight of the distinct training rows with each code, at each level, in units of their
        mean weight.
    mean_ : ndarray of shape (n_features,), dtype=float32
        Weighted mean of the training rows.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`, if they were all strings.
    origin_ : ndarray of shape (`n_features_in_`,), dtype=float64
        Where the rows of the fit lay far from zero: `mean_` in float64, which is subtracted from
        rows before they are cast to float32.
    reservoir_ : dict of str to ndarray
        After `partial_fit`: distinct "rows" of the stream and each one's "weight".

    References
    ----------
    .. [1] Babenko, A. and Lempitsky, V. "Additive quantization for extreme vector compression".
           CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae import ResidualKMeans
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])
    >>> quantizer = ResidualKMeans(n_layers=2, codebook_size=2, random_state=0).fit(X)
    >>> codes = quantizer.transform(X)
    >>> codes.shape
    (4, 2)
    >>> bool(np.allclose(quantizer.inverse_transform(codes), X, atol=0.1))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "n_beams": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "subsample": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "stability": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_layers: int = 3,
        codebook_size: int | Sequence[int] = 256,
        *,
        n_beams: int = 5,
        n_iter: int = 12,
        subsample: int | None = 1_048_576,
        warm_start: bool = False,
        stability: float = 0.3,
        random_state: Any = None,
    ):
        self.n_layers = n_layers
        self.codebook_size = codebook_size
        self.n_beams = n_beams
        self.n_iter = n_iter
        self.subsample = subsample
        self.warm_start = warm_start
        self.stability = stability
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Learn the codebooks.

        The result is a function of the weighted set of rows: neither their order nor whether a row
        is repeated or has twice the weight matters.

        `X` may be a memory map larger than memory: it is read in blocks and never copied. Codebooks
        are found on a sample of many rows; two passes over all of them follow, or over `subsample`
        of them, each of which finds codes and fits codewords to them.

        Parameters
        ----------
        X : array-like, dask array or dask data frame of shape (n_samples, n_features)
            Item vectors.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weight of each row, popularity for example.

        Returns
        -------
        self : ResidualKMeans
            The fitted transformer.

        Raises
        ------
        ValueError
            If `codebook_size` has not `n_layers` entries, or no row has a positive weight.
        """
        self._fit(X, y, sample_weight)
        return self

    def _learned_how(self) -> str:
        return "by residual k-means and least squares"

    def _learner(self) -> Learner:
        if self.warm_start and hasattr(self, "codebooks_"):
            return SummedCodewordsRefit.of(self)
        return SummedCodewords.of(self)

    def _coder(self) -> CodebookCoder:
        mean = np.zeros_like(self.mean_) if hasattr(self, "origin_") else self.mean_
        return CodebookCoder(mean, self.codebooks_, self.n_beams)

    def _codes_depend_on(self) -> list[Any]:
        origin = [self.origin_] if hasattr(self, "origin_") else []
        return [int(self.n_beams), self.codebooks_, self.mean_, *origin]

    def _check_state(self) -> None:
        check_array(self.mean_, "the mean", np.float32, 1)
        shapes = [self.mean_.shape, *(codebook.shape[1:] for codebook in self.codebooks_)]
        if set(shapes) != {(self.n_features_in_,)}:
            raise ValueError(f"rows of {self.n_features_in_} features have parts of {shapes}")
