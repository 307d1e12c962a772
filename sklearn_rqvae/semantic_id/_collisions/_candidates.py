"""Where the other IDs that an item could have come from, and what each would cost."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._fitted import last_step
from sklearn_rqvae._rows._hashing import duplicate_groups
from sklearn_rqvae._validation import as_array

__all__ = [
    "CandidateSource",
    "CandidatesNeeded",
    "EstimatorCandidates",
    "FirstCodeSource",
    "GivenCandidates",
    "candidate_codes",
    "count_duplicates",
]

CHUNK_ROWS = 4096

# Beams of the search for the best ID under a first code.
FIRST_CODE_BEAMS = 4


class CandidatesNeeded(ValueError):
    """Items collide, and nothing is there to say which free IDs are near them."""


class CandidateSource(Protocol):
    """What reassignment asks of a source of candidates."""

    @property
    def verbose(self) -> bool:
        """Whether to show the progress of a search."""

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return IDs (n_rows, n, n_layers) and errors (n_rows, n), n <= n_candidates."""

    def shared_candidates(
        self, rows: NDArray[np.intp], groups: NDArray[np.intp], n_candidates: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the same, at the cost of one search for each run of equal `groups`."""

    def errors_of(self, rows: NDArray[np.intp], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the error of one ID per row, shape (n_rows,); NaN where it isn't known."""


class FirstCodeSource(CandidateSource, Protocol):
    """A source that also knows candidates under given first codes, one for each row."""

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int, first: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return candidates, under the given first codes if there are any."""

    def shared_candidates(
        self,
        rows: NDArray[np.intp],
        groups: NDArray[np.intp],
        n_candidates: int,
        first: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the same, at the cost of one search for each run of equal `groups`."""

    def by_first_code(
        self, rows: NDArray[np.intp], n_first: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return good IDs under each of the `n_first` first codes that are nearest."""


class GivenCandidates:
    """Candidates that the caller lists.

    Parameters
    ----------
    codes : array-like of int of shape (n_items, n_candidates, n_layers)
        Candidates of each item.
    errors : array-like of shape (n_items, n_candidates)
        Their errors; infinite where an entry is no candidate.
    shape : tuple of (n_items, n_layers)
        What the codes of the items have.
    """

    verbose = False  # looking up what was given takes no time

    def __init__(self, codes: Any, errors: Any, shape: tuple[int, int]) -> None:
        self._codes = np.asarray(as_array(codes))
        self._errors = np.asarray(as_array(errors), dtype=np.float64)
        n_items, n_layers = shape
        if self._codes.ndim != 3 or self._codes.shape[::2] != (n_items, n_layers):
            raise ValueError(
                f"candidates[0] has shape {self._codes.shape}, but ({n_items}, n_candidates, "
                f"{n_layers}) was "
                "expected: some IDs per item, each with a code for all levels."
            )
        if self._codes.dtype.kind not in "iu":
            raise ValueError(f"candidates[0] should be integers, got dtype {self._codes.dtype}.")
        if self._errors.shape != self._codes.shape[:2]:
            raise ValueError(
                f"candidates[1] has shape {self._errors.shape}, but {self._codes.shape[:2]} was "
                "expected: one "
                "error per candidate."
            )
        if np.isnan(self._errors).any() or (self._errors == -np.inf).any():
            raise ValueError(
                "candidates[1] has NaN or -inf; give a finite error for each candidate, and +inf "
                "for entries that "
                "are none."
            )

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int, first: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what was given; `n_candidates` doesn't cut it."""
        codes, errors = self._codes[rows].astype(np.int64), self._errors[rows]
        if first is not None:
            errors = np.where(codes[:, :, 0] == first[:, None], errors, np.inf)
        return codes, errors

    def shared_candidates(
        self,
        rows: NDArray[np.intp],
        groups: NDArray[np.intp],
        n_candidates: int,
        first: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what was given for each row."""
        return self.candidates(rows, n_candidates, first)

    def by_first_code(
        self, rows: NDArray[np.intp], n_first: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what was given."""
        return self.candidates(rows, n_first)

    def errors_of(self, rows: NDArray[np.intp], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Look an ID up among the candidates of its row."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            same = (self._codes[rows[chunk]] == codes[chunk, None, :]).all(axis=2)
            found[chunk] = np.where(same, self._errors[rows[chunk]], np.inf).min(axis=1)
        return np.where(np.isfinite(found), found, np.nan)


class EstimatorCandidates:
    """Candidates from the beam of a fitted estimator.

    Parameters
    ----------
    estimator : object
        Has ``candidate_codes(X, n_candidates)`` and ``inverse_transform(codes)``. Progress is
        shown where it has a `verbose` that isn't 0.
    X : array-like of shape (n_items, n_features)
        Vectors of the items.
    """

    def __init__(self, estimator: Any, X: Any) -> None:
        for method in ("candidate_codes", "inverse_transform"):
            if not hasattr(estimator, method):
                raise TypeError(
                    f'collisions="reassign" needs an estimator with {method}, which '
                    f'{type(estimator).__name__} lacks; use collisions="suffix", or fit(codes, '
                    "item_ids, "
                    "candidates=(codes, errors)) with candidates of your own."
                )
        self.verbose = bool(getattr(estimator, "verbose", False))
        self._estimator = estimator
        self._X = X

    def candidates(
        self, rows: NDArray[np.intp], n_candidates: int, first: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the beam of each row."""
        return self._found(take_rows(self._X, rows), n_candidates, first)

    def shared_candidates(
        self,
        rows: NDArray[np.intp],
        groups: NDArray[np.intp],
        n_candidates: int,
        first: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the beam of each group's mean, with the errors that it means for each row.

        Items with the same codes are so near to each other that their beams hardly differ.
        """
        x = np.asarray(as_array(take_rows(self._X, rows)))
        starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
        sizes = np.diff(np.append(starts, len(rows)))
        means = np.add.reduceat(x.astype(np.float64), starts, axis=0) / sizes[:, None]
        first = None if first is None else first[starts]
        codes = self._found(means.astype(x.dtype), n_candidates, first)[0]
        errors = np.empty((len(rows), codes.shape[1]))
        for shared, start, size in zip(codes, starts.tolist(), sizes.tolist(), strict=True):
            decoded = as_array(self._estimator.inverse_transform(shared))
            group = slice(start, start + size)
            errors[group] = _squared_distances(x[group], np.asarray(decoded))
        return np.repeat(codes, sizes, axis=0), errors

    def by_first_code(
        self, rows: NDArray[np.intp], n_first: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the best ID of a narrow beam under each of the first codes decoded nearest."""
        decoded = self._estimator.inverse_transform(np.arange(self._n_first_codes())[:, None])
        first_codewords = np.asarray(as_array(decoded))
        codes, errors = [], []
        for chunk in chunks(len(rows), CHUNK_ROWS * 16 // n_first):
            x = np.asarray(as_array(take_rows(self._X, rows[chunk])))
            distances = _squared_distances(x, first_codewords)
            first = np.argsort(distances, axis=1, kind="stable")[:, :n_first]
            repeated = np.repeat(x, first.shape[1], axis=0)
            found, error = self._found(repeated, FIRST_CODE_BEAMS, first.ravel())
            codes.append(found[:, 0].reshape(*first.shape, -1))
            errors.append(error[:, 0].reshape(first.shape))
        return np.concatenate(codes), np.concatenate(errors)

    def _n_first_codes(self) -> int:
        if not {"first_codes"} <= set(signature(self._estimator.candidate_codes).parameters):
            raise TypeError(
                "max_items_per_first_code needs an estimator whose candidate_codes takes "
                f"first_codes, which that of {type(self._estimator).__name__} doesn't; use "
                "RQVAETransformer or ResidualKMeans, or fit(codes, item_ids, candidates=(codes, "
                "errors)) with candidates of your own."
            )
        return len(self._estimator.codebooks_[0])

    def _found(
        self, X: Any, n_candidates: int, first: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what the estimator finds for rows."""
        options = {} if first is None else {"first_codes": first}
        codes, errors = self._estimator.candidate_codes(X, n_candidates, **options)
        return (
            np.asarray(as_array(codes), dtype=np.int64),
            np.asarray(as_array(errors), dtype=np.float64),
        )

    def errors_of(self, rows: NDArray[np.intp], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compare each row with the reconstruction of its ID, squared and summed over features."""
        errors = np.empty(len(rows))
        for chunk in chunks(len(rows)):
            x = np.asarray(as_array(take_rows(self._X, rows[chunk])), dtype=np.float64)
            decoded = np.asarray(
                as_array(self._estimator.inverse_transform(codes[chunk])), dtype=np.float64
            )
            errors[chunk] = ((x - decoded) ** 2).sum(axis=1)
        return errors


def candidate_codes(
    estimator: Any, X: Any, n_candidates: int = 16
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """List several semantic IDs for each item, through pipelines and searches.

    Several IDs for an item are also more data: a generator that sees an item's second and third
    best ID in training, too, is what MTGRec [1]_ calls augmentation.

    Parameters
    ----------
    estimator : object
        A fitted quantizer with ``candidate_codes``; or a pipeline that ends with one, or a search
        that found either.
    X : array-like of shape (n_items, n_features)
        What `estimator` takes; texts, where it begins with an embedder of texts.
    n_candidates : int, default=16
        IDs for each item.

    Returns
    -------
    codes : ndarray of int of shape (n_items, n_found, n_levels)
        IDs by rising error; `n_found` is `n_candidates`, or the number of IDs if that is less.
    errors : ndarray of shape (n_items, n_found)
        Squared errors of their reconstructions, summed over the features that the quantizer gets.

    Raises
    ------
    TypeError
        If the quantizer has no ``candidate_codes``.

    References
    ----------
    .. [1] Zheng, B. et al. "Pre-training generative recommender with multi-identifier item
       tokenization". arXiv:2504.04400, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_rqvae import RQVAETransformer
    >>> from sklearn_rqvae.semantic_id import candidate_codes
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> quantizer = RQVAETransformer(n_layers=2, codebook_size=8, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), quantizer).fit(X)
    >>> codes, errors = candidate_codes(pipeline, X[:5], 3)
    >>> codes.shape, bool((np.diff(errors) >= 0).all())
    ((5, 3, 2), True)
    """
    quantizer, rows = last_step(estimator, X)
    if not hasattr(quantizer, "candidate_codes"):
        raise TypeError(
            f"estimator ends with {type(quantizer).__name__}, which has no candidate_codes; end "
            "with RQVAETransformer or ResidualKMeans."
        )
    codes, errors = quantizer.candidate_codes(rows, n_candidates)
    return np.asarray(as_array(codes), dtype=np.int64), np.asarray(as_array(errors), np.float64)


def _squared_distances(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared distance of each row of `a` to each row of `b`."""
    # Taken from a point in their middle, little is lost by expanding the square.
    center = b.mean(axis=0, dtype=np.float64)
    a, b = a - center, b - center
    distances = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return np.maximum(distances, 0.0)


def chunks(n_rows: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Cut rows into slices that keep temporary arrays small."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def take_rows(X: Any, rows: NDArray[np.intp]) -> Any:
    """Select rows of an array or a data frame."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def count_duplicates(X: Any) -> int:
    """Count the rows that equal an earlier row.

    Parameters
    ----------
    X : array-like of shape (n_items, n_features)
        Vectors.

    Returns
    -------
    n_duplicates : int
        ``n_items`` minus the number of distinct rows.
    """
    rows = np.asarray(as_array(X))
    if rows.ndim == 1:
        return len(rows) - len(set(rows.tolist()))
    if rows.dtype.kind not in "fiub":
        return len(rows) - len(set(map(tuple, rows.tolist())))
    return len(rows) - len(duplicate_groups(rows)[0])
