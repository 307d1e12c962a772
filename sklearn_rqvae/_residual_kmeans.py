"""ResidualKMeans: semantic IDs by k-means and least squares, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sklearn_rqvae._compat import Interval, fit_context
from sklearn_rqvae._distinct_rows import canonical_rows
from sklearn_rqvae._row_source import RowSource, blocks_of, validated_rows
from sklearn_rqvae._rows import closed_form_rows
from sklearn_rqvae._validation import (
    as_array,
    check_codebook_size,
    check_codes,
    check_squares,
)
from sklearn_rqvae.quantize._additive import fit_codebooks
from sklearn_rqvae.quantize._beam import SearchTables, beam_search
from sklearn_rqvae.quantize._residual import sum_codewords

__all__ = ["ResidualKMeans"]

# Rows searched at a time.
_CHUNK_ROWS = 1024


class ResidualKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
    random_state : int, RandomState instance or None, default=None
        Determines the rows that start k-means. An int makes fits repeatable.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), dtype=float32
        Codewords of each level.
    mean_ : ndarray of shape (n_features,), dtype=float32
        Weighted mean of the training rows.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`, if they were all strings.

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
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_layers: int = 3,
        codebook_size: int | Sequence[int] = 256,
        *,
        n_beams: int = 5,
        n_iter: int = 12,
        random_state: Any = None,
    ):
        self.n_layers = n_layers
        self.codebook_size = codebook_size
        self.n_beams = n_beams
        self.n_iter = n_iter
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Learn the codebooks.

        The result is a function of the weighted set of rows: neither their order nor whether a row
        is repeated or has twice the weight matters.

        `X` may be a memory map larger than memory: it is read in blocks and never copied. Of very
        many distinct rows a sample is used, which depends on the set of rows alone: 65,536 rows, or
        256 for each codeword of the largest codebook if that is more.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        source = validated_rows(self, as_array(X), reset=True)
        sizes = check_codebook_size(self.codebook_size, self.n_layers)
        n_rows = self._max_training_rows(source.shape[1])
        rows, weight, mean = _centered_rows(source, _check_weight(sample_weight, source), n_rows)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        generator = torch.Generator().manual_seed(int(seed))
        codebooks = fit_codebooks(
            rows,
            sizes,
            sample_weight=weight,
            n_beams=self.n_beams,
            n_iter=self.n_iter,
            generator=generator,
        )
        self.mean_ = mean
        self.codebooks_ = [codebook.numpy().copy() for codebook in codebooks]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the semantic ID of each row.

        A row's codes depend on the row alone, not on the rows beside it, their order or number.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_layers), dtype=int64
            Code of each row at each level.
        """
        source = self._row_source(X)
        codes = np.empty((len(source), len(self.codebooks_)), dtype=np.int64)
        for rows, block in source.blocks():
            codes[rows] = self._encode(block)
        return codes

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Reconstruct rows from their codes, or coarsely from those of the first levels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels, at least one, as `transform` returns them.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features), dtype=float32
            The mean plus the codewords.

        Raises
        ------
        ValueError
            If `X` holds a value that is not a code, or has too many columns.
        """
        check_is_fitted(self)
        sizes = [len(codebook) for codebook in self.codebooks_]
        codes = np.asarray(as_array(X))
        if codes.ndim != 2 or not len(codes):
            check_codes(codes, sizes)  # says what is wrong
        reconstruction = np.empty((len(codes), self.n_features_in_), dtype=np.float32)
        for rows in blocks_of(len(codes), self.n_features_in_):
            reconstruction[rows] = self._decode(check_codes(codes[rows], sizes))
        return reconstruction

    def candidate_codes(
        self, X: ArrayLike, n_candidates: int = 16
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return several semantic IDs for each row, the best one first.

        Use it to give colliding items different IDs at the least cost.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.
        n_candidates : int, default=16
            Candidates for each row, at least 1.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_found, n_layers), dtype=int64
            Candidates by rising error; `n_found` is `n_candidates`, or the number of code tuples if
            that is less.
        errors : ndarray of shape (n_samples, n_found), dtype=float32
            Squared errors of their reconstructions, summed over the features.
        """
        if not isinstance(n_candidates, Integral) or n_candidates < 1:
            raise ValueError(f"n_candidates={n_candidates!r} should be an integer of at least 1.")
        parts = list(self._search(self._validate_rows(X), int(n_candidates)))
        codes, errors = zip(*parts, strict=True)
        return np.concatenate(codes), np.concatenate(errors)

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the negative mean squared reconstruction error: higher is better, 0 is perfect.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.
        y : Ignored
            Not used, present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights of the rows.

        Returns
        -------
        score : float
            Mean over rows and features, in squared units of the input, with a minus sign.
        """
        source = self._row_source(X)
        weight = _check_weight(sample_weight, source)
        total = 0.0
        for rows, block in source.blocks():
            difference = block - self._decode(self._encode(block))
            errors = np.square(difference, out=difference).mean(1, dtype=np.float64)
            total += errors.sum() if weight is None else errors @ weight[rows]
        return -float(total / (len(source) if weight is None else weight.sum()))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are integers whatever the input
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.codebooks_)

    def _max_training_rows(self, n_features: int) -> int:
        """Return how many distinct rows a fit takes into account."""
        return closed_form_rows(check_codebook_size(self.codebook_size, self.n_layers))

    def _row_source(self, X: ArrayLike) -> RowSource:
        check_is_fitted(self)
        return validated_rows(self, as_array(X), reset=False)

    def _validate_rows(self, X: ArrayLike) -> NDArray[np.float32]:
        check_is_fitted(self)
        return validate_data(self, as_array(X), dtype=np.float32, order="C", reset=False)

    def _encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.concatenate([codes[:, 0] for codes, _ in self._search(X, self.n_beams)])

    def _search(
        self, X: NDArray[np.float32], n_beams: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield candidates and their errors, chunk by chunk."""
        codebooks = self._codebook_tensors()
        tables = SearchTables(codebooks)
        for start in range(0, len(X), _CHUNK_ROWS):
            centered = torch.from_numpy(X[start : start + _CHUNK_ROWS] - self.mean_)
            codes, errors = beam_search(centered, codebooks, n_beams, tables=tables)
            yield codes.numpy(), errors.numpy()

    def _decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        quantized = sum_codewords(torch.from_numpy(codes), self._codebook_tensors())
        return quantized.numpy() + self.mean_

    def _codebook_tensors(self) -> list[torch.Tensor]:
        # Copies: arrays loaded as memory maps are read-only, which torch warns of.
        return [torch.tensor(codebook) for codebook in self.codebooks_]


def _check_weight(sample_weight: ArrayLike | None, source: RowSource) -> NDArray[np.float64] | None:
    """Return weights that are finite, non-negative and not all zero; None stays None."""
    if sample_weight is None:
        return None
    weight = _check_sample_weight(
        sample_weight, source.array, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():  # newer versions of scikit-learn say so themselves
        raise ValueError("sample_weight is zero for all rows; give at least one non-zero weight.")
    return weight


def _centered_rows(
    source: RowSource, sample_weight: NDArray[np.float64] | None, max_rows: int
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.float32]]:
    """Return distinct rows minus their mean, their weights (1 on average), and the mean."""
    index, weight = canonical_rows(source, sample_weight, max_rows)
    rows, weight = source.take(index), weight / weight.mean()
    check_squares(rows)
    mean = np.average(rows, axis=0, weights=weight).astype(np.float32)
    return torch.from_numpy(rows - mean), torch.from_numpy(weight.astype(np.float32)), mean
