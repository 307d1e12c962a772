"""What every estimator of semantic IDs does: rows to codes, codes to rows, and what is lost."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._coders import Coder
from sklearn_rqvae._compute._threads import in_threads
from sklearn_rqvae._fitted import codes_of
from sklearn_rqvae._fitting import FittingMixin
from sklearn_rqvae._guards import single_precision
from sklearn_rqvae._learning._names import (
    input_codewords,
    names_by_codewords,
    names_by_rows,
    renamed,
)
from sklearn_rqvae._rows._source import RowSource, blocks_of, validated_rows, validated_weight
from sklearn_rqvae._saving import SavingMixin
from sklearn_rqvae._validation import as_array, as_codes, check_codes

__all__ = ["SemanticIDMixin"]

Result = TypeVar("Result")

# What rounding may take of the largest error of a block before errors are computed without it.
_NOTHING_LOST = 1e-4


class SemanticIDMixin(FittingMixin, SavingMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Give an estimator with codebooks its public methods: transform, score, save and the like.

    The estimator says how it learns, what codes rows with what was learned, and what a file must
    hold. It stands left of ``BaseEstimator``.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, embed_dim)
        The codewords of each level.
    code_usage_ : list of ndarray of shape (codebook_size,)
        Total weight of the distinct training rows with each code, at each level, in units of their
        mean weight.
    n_features_in_ : int
        Number of features seen in `fit`.
    origin_ : ndarray of shape (n_features,), dtype=float64
        Where the rows of the fit lay far from zero: their mean, which is subtracted from rows
        before they are cast to float32.
    """

    @single_precision()
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
        coder = self._coder()
        codes = np.empty((len(source), len(self.codebooks_)), dtype=np.int64)

        def encode(rows: slice, block: NDArray[np.float32]) -> None:
            codes[rows] = coder.encode(block)

        for _ in _map_blocks(encode, source, coder.n_threads()):
            pass
        return codes

    @single_precision()
    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Reconstruct rows from their codes, or coarsely from those of the first levels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_levels)
            Codes of the first ``n_levels`` levels, at least one, as `transform` returns them.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features), dtype=float32
            Decoded rows in the units of the input; probabilities in the columns that were given to
            `fit` as categories. In float64 where the rows of the fit lay far from zero.

        Raises
        ------
        ValueError
            If `X` holds a value that is not a code, or has too many columns.
        """
        check_is_fitted(self)
        sizes = [len(codebook) for codebook in self.codebooks_]
        _check_order(X, self.get_feature_names_out().tolist())
        codes = as_codes(X)
        if codes.ndim != 2 or not codes.size or codes.dtype.kind not in "iuf":
            codes = check_codes(codes, sizes)  # or says what is wrong
        origin = self.__dict__.get("origin_")
        dtype = np.float32 if origin is None else np.float64
        reconstruction = np.empty((len(codes), self.n_features_in_), dtype=dtype)

        coder = self._coder()
        n_threads = coder.n_threads()

        def decode(rows: slice) -> None:
            # Torch takes neither views that run backwards nor read-only ones.
            part = np.require(check_codes(codes[rows], sizes), np.int64, ["C", "W"])
            decoded = coder.decode(part)
            reconstruction[rows] = decoded if origin is None else decoded + origin

        parts = list(blocks_of(len(codes), self.n_features_in_, n_threads))
        for _ in in_threads(decode, parts, n_threads):
            pass
        return reconstruction

    @single_precision()
    def candidate_codes(
        self, X: ArrayLike, n_candidates: int = 16, *, first_codes: ArrayLike | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return several semantic IDs for each row, the best one first.

        The first one is what `transform` returns when ``n_candidates`` is `n_beams`, unless another
        is as good up to rounding. Use it to give colliding items different IDs at the least cost.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Item vectors.
        n_candidates : int, default=16
            Candidates for each row, at least 1.
        first_codes : array-like of int of shape (n_samples,), optional
            Code with which the candidates of each row begin; any if not given.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_found, n_layers), dtype=int64
            Candidates by rising error; `n_found` is `n_candidates`, or the number of code tuples if
            that is less.
        errors : ndarray of shape (n_samples, n_found), dtype=float32
            Squared errors of their reconstructions, summed over the features.

        Raises
        ------
        ValueError
            If `n_candidates` isn't a positive integer, or `first_codes` aren't one code of the
            first level for each row.
        """
        if not isinstance(n_candidates, Integral) or n_candidates < 1:
            raise ValueError(f"n_candidates={n_candidates!r} should be an integer of at least 1.")
        check_is_fitted(self)
        rows = self._row_source(X).read(slice(None))
        first = None if first_codes is None else self._first_codes(first_codes, len(rows))
        codes, errors = zip(*self._coder().candidates(rows, int(n_candidates), first), strict=True)
        return np.concatenate(codes), np.concatenate(errors)

    def _first_codes(self, first_codes: ArrayLike, n_samples: int) -> NDArray[np.int64]:
        """Return checked codes of the first level, one for each row."""
        codes, size = np.asarray(as_array(first_codes)), len(self.codebooks_[0])
        if codes.shape != (n_samples,) or codes.dtype.kind not in "iu":
            raise ValueError(
                f"first_codes is of {codes.dtype} and shape {codes.shape}, but there are "
                f"{n_samples} rows; give one code of the first level for each."
            )
        if codes.min() < 0 or codes.max() >= size:
            raise ValueError(
                f"first_codes should be in [0, {size}), got {codes.min()} to {codes.max()}; give "
                "codes of the first level."
            )
        return codes.astype(np.int64)

    @single_precision()
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
        weight = validated_weight(sample_weight, source)
        coder = self._coder()

        def summed_errors(rows: slice, block: NDArray[np.float32]) -> float:
            errors = _mean_squared_errors(source, rows, block, coder)
            return float(errors.sum() if weight is None else errors @ weight[rows])

        total = sum(_map_blocks(summed_errors, source, coder.n_threads()))
        return -float(total / (len(source) if weight is None else weight.sum()))

    @single_precision()
    def relabel_like(self, other: Any, X: ArrayLike | None = None) -> Any:
        """Return this model with its codes called like the codes of another one that they match.

        Two fits number their codewords differently even where they group items alike. At each level
        the codes are matched one to one, and take the names of their matches: only names change,
        and reconstructions stay what they are. A code without a match takes a name that is left.

        Parameters
        ----------
        other : estimator
            Fitted, with as many levels: the older model, whose names are to be taken over.
        X : array-like of shape (n_samples, n_features), optional
            Items that both models code. Codes are then matched such that items keep as many as
            possible of their first codes, else by the distance of codewords.

        Returns
        -------
        renamed : estimator
            A fitted copy of this estimator.

        Raises
        ------
        ValueError
            If the models differ in the number of levels, or, without `X`, have codewords that can't
            be compared.
        TypeError
            If `other` is no estimator with codebooks, or `module` decodes codes by what they are
            called.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        if not hasattr(other, "codebooks_"):
            raise TypeError(
                f"other={type(other).__name__} has no codebooks_; give a fitted estimator of "
                "semantic IDs, of a pipeline its last step and rows as that step gets them."
            )
        sizes = [len(codebook) for codebook in self.codebooks_]
        if len(other.codebooks_) != len(sizes):
            raise ValueError(
                f"the models have {len(sizes)} and {len(other.codebooks_)} levels; only codes of "
                "models with the same number of levels can be matched."
            )
        if X is None:
            new, old = input_codewords(self), input_codewords(other)
            if new is None or old is None or new[0].shape[1] != old[0].shape[1]:
                raise ValueError(
                    "these models have no codewords in one space to be matched by; give items that "
                    "both can code, as in relabel_like(other, X)."
                )
            names = names_by_codewords(new, old)
        else:
            names = names_by_rows(codes_of(self, X), sizes, codes_of(other, X))
        model = copy.copy(self)
        model.__dict__.pop("_holder", None)
        model.__dict__.update(renamed(self.__dict__, names))
        self._check_renamed(model, names)
        return model

    def _check_renamed(self, model: Any, names: list[NDArray[np.intp]]) -> None:
        """Raise an error if codes under other names decode to other rows."""
        some = np.arange(64)[:, None] * np.arange(1, len(names) + 1)
        codes = np.stack([c % len(name) for c, name in zip(some.T, names, strict=True)], axis=1)
        called = np.stack([name[c] for c, name in zip(codes.T, names, strict=True)], axis=1)
        if not np.array_equal(model.inverse_transform(called), self.inverse_transform(codes)):
            raise TypeError(
                f"module={self.module!r} decodes codes by what they are called, so they can't be "
                "called otherwise."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are integers whatever the input
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.codebooks_)

    def _row_source(self, X: Any) -> RowSource:
        check_is_fitted(self)
        source = validated_rows(self, as_array(X), reset=False)
        source.origin = self.__dict__.get("origin_")
        return source


def _check_order(codes: Any, names: list[str]) -> None:
    """Refuse a frame of what `transform` returned with its levels in another order."""
    columns = list(getattr(codes, "columns", ()))
    ours = all(isinstance(column, str) for column in columns) and set(columns) <= set(names)
    if ours and columns != names[: len(columns)]:
        raise ValueError(
            f"codes have the columns {', '.join(columns)}, but transform calls the levels "
            f"{', '.join(names)}; give those of the first levels in this order."
        )


def _mean_squared_errors(
    source: RowSource, rows: slice, block: NDArray[np.float32], coder: Coder
) -> NDArray[np.float64]:
    """Return the mean squared error of each row of a block, in float64 where float32 fails."""
    decoded = coder.decode(coder.encode(block))
    with np.errstate(over="ignore"):
        difference = block - decoded
        errors = np.square(difference).mean(1, dtype=np.float64)
    if not source.is_wide and np.isfinite(errors).all():
        return errors
    exact = source.read_wide(rows)
    lost = np.abs(exact - block).max()  # in the cast: of rows far from zero it may be all
    if np.isfinite(errors).all() and lost <= _NOTHING_LOST * np.abs(difference).max():
        return errors
    # Numbers beyond 1e154, whose squares even float64 can't hold, are none of float32's.
    return np.square(exact - decoded).mean(1)


def _map_blocks(
    work: Callable[[slice, NDArray[np.float32]], Result], source: RowSource, n_threads: int
) -> Iterator[Result]:
    """Yield what `work` returns for the position and the rows of each block, in order."""

    def read_and_work(rows: slice) -> Result:
        result = work(rows, source.read(rows))
        source.give_back()
        return result

    parts = list(blocks_of(len(source), source.shape[1], n_threads))
    return in_threads(read_and_work, parts, n_threads)
