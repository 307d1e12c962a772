"""ProductQuantizer: long semantic IDs of independent codes, in no order."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sklearn_rqvae._base import SemanticIDMixin
from sklearn_rqvae._coders import ProductCoder
from sklearn_rqvae._compat import Interval, StrOptions, fit_context
from sklearn_rqvae._files._state import check_array
from sklearn_rqvae._guards import all_or_nothing
from sklearn_rqvae._learning._learner import Learner
from sklearn_rqvae._learning._product import ProductCodewords

__all__ = ["ProductQuantizer"]


class ProductQuantizer(SemanticIDMixin, BaseEstimator):
    r"""Learn long semantic IDs of independent codes by optimized product quantization.

    Rows are rotated and their coordinates cut into `n_layers` blocks; each code is the nearest
    codeword of its block. The rotation is learned together with the codewords [1]_. A code says
    something that no other code does, whatever these are, so codes have no order, and prefixes no
    meaning. Take it for models that predict all codes of an item at once [2]_, with 8 to 64 codes.
    At equal length, :class:`~sklearn_rqvae.ResidualKMeans` and
    :class:`~sklearn_rqvae.RQVAETransformer` come closer to the rows, as their codes depend on each
    other.

    Parameters
    ----------
    n_layers : int, default=16
        Number of codes in a semantic ID, at most the number of features. The name is that of the
        other estimators, so that one takes another's place in a pipeline or a search; here the
        levels are side by side.
    codebook_size : int or sequence of int, default=256
        Number of codewords of each code; a sequence gives one number per code.
    n_iter : int, default=30
        Rounds of codewords and rotation; 0 keeps blocks of principal axes with equal shares of the
        variance, on a logarithmic scale.
    subsample : int, "auto" or None, default="auto"
        Distinct rows that a fit learns from at most, and that its time goes with; None takes all.
        Of more rows so many are drawn, in a way that depends on the set of rows alone. "auto" is
        65,536, or 256 for each codeword of the largest codebook if that is more.
    random_state : int, RandomState instance or None, default=None
        Determines the rows that start k-means. An int makes fits repeatable.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), dtype=float32
        Codewords of each code, in the space of rows: the mean and one codeword of each add up to a
        reconstruction. Those of different codes are orthogonal.
    rotation_ : ndarray of shape (n_features, n_features), dtype=float32
        Orthonormal columns. Code ``l`` has the columns of the ``l``-th part that
        :func:`numpy.array_split` cuts them into.
    code_usage_ : list of ndarray of shape (codebook_size,)
        Total weight of the distinct training rows with each code, in units of their mean weight.
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

    See Also
    --------
    ResidualKMeans : Codes that refine each other, for models that predict them one by one.

    References
    ----------
    .. [1] Ge, T., He, K., Ke, Q. and Sun, J. "Optimized product quantization for approximate
           nearest neighbor search". CVPR 2013.
    .. [2] Hou, Y. et al. "Generating long semantic IDs in parallel for recommendation". KDD 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae import ProductQuantizer
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])
    >>> quantizer = ProductQuantizer(n_layers=2, codebook_size=2, random_state=0).fit(X)
    >>> codes = quantizer.transform(X)
    >>> codes.shape
    (4, 2)
    >>> bool(np.allclose(quantizer.inverse_transform(codes), X, atol=0.1))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "subsample": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_layers: int = 16,
        codebook_size: int | Sequence[int] = 256,
        *,
        n_iter: int = 30,
        subsample: int | str | None = "auto",
        random_state: Any = None,
    ):
        self.n_layers = n_layers
        self.codebook_size = codebook_size
        self.n_iter = n_iter
        self.subsample = subsample
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Learn the rotation and the codebooks.

        The result is a function of the weighted set of rows: neither their order nor whether a row
        is repeated or has twice the weight matters.

        `X` may be a memory map larger than memory: it is read in blocks and never copied. Of very
        many distinct rows a sample is used; see `subsample`.

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
        self : ProductQuantizer
            The fitted transformer.

        Raises
        ------
        ValueError
            If `codebook_size` has not `n_layers` entries, there are more codes than features, or no
            row has a positive weight.
        """
        self._fit(X, y, sample_weight)
        return self

    def _learned_how(self) -> str:
        return "by optimized product quantization"

    def _learner(self) -> Learner:
        return ProductCodewords.of(self)

    def _coder(self) -> ProductCoder:
        mean = np.zeros_like(self.mean_) if hasattr(self, "origin_") else self.mean_
        return ProductCoder(mean, self.rotation_, self.codebooks_)

    def _codes_depend_on(self) -> list[Any]:
        origin = [self.origin_] if hasattr(self, "origin_") else []
        return [self.rotation_, self.codebooks_, self.mean_, *origin]

    def _check_state(self) -> None:
        check_array(self.mean_, "the mean", np.float32, 1)
        check_array(self.rotation_, "the rotation", np.float32, 2)
        shapes = [*self.rotation_.shape, len(self.mean_)]
        shapes += [codebook.shape[1] for codebook in self.codebooks_]
        if set(shapes) != {self.n_features_in_}:
            raise ValueError(f"rows of {self.n_features_in_} features have parts of {shapes}")
        if len(self.codebooks_) > self.n_features_in_:
            raise ValueError(f"{self.n_features_in_} features have {len(self.codebooks_)} codes")
