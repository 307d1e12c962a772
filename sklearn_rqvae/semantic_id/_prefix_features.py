"""PrefixFeatures: semantic IDs as sparse features of a ranker."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from sklearn_rqvae._compat import Interval, fit_context
from sklearn_rqvae._guards import unchanged_by_failure
from sklearn_rqvae._validation import as_array, check_codes
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.semantic_id._keys import MAX_CODEBOOK_SIZE
from sklearn_rqvae.semantic_id._tokens import level_letters

__all__ = ["PrefixFeatures"]


class PrefixFeatures(Versioned, TransformerMixin, BaseEstimator):
    r"""Turn codes into one sparse feature for each prefix of an item's semantic ID.

    An ID :math:`(c_0, c_1, c_2)` becomes the features :math:`(c_0)`, :math:`(c_0, c_1)` and
    :math:`(c_0, c_1, c_2)`, each 1 [1]_. A linear model or an embedding table then learns a weight
    for each group of similar items, from coarse to fine: frequent items have weights of their own,
    and new items get what is known of the items that share the first codes. Codes by themselves
    are names without order, and say nothing without the codes before them.

    Prefixes that `fit` did not see, or saw too rarely, have no feature, so an ID counts as far as
    it is known. With `n_features` prefixes are hashed instead: nothing is stored, all prefixes have
    a feature, and different ones may share it.

    Parameters
    ----------
    n_features : int, default=None
        Number of columns that prefixes are hashed to; prefixes of one ID that meet in a column
        count there together. One column for each prefix in `fit` if None.
    levels : sequence of int, default=None
        Levels at which prefixes end, from 0; all if None. ``[0, 1]`` makes features of the first
        code and of the first two.
    min_count : int, default=1
        Samples that a prefix needs in `fit` to have a column. Must be 1 with `n_features`.
    sparse_output : bool, default=True
        Whether to return a sparse matrix; an array if not, as data frames by ``set_output`` need
        it.

    Attributes
    ----------
    prefixes_ : list of ndarray of int, or None
        For each level, the prefixes that end there and have been seen often enough, shape
        (n_prefixes, level + 1), in lexicographic order; up to the last of `levels`. None if they
        are hashed.
    levels_ : list of int
        Levels at which prefixes end, ascending.
    n_features_in_ : int
        Number of levels of the codes.
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Names of the columns, where `fit` was given a data frame with names.

    See Also
    --------
    RQVAETransformer : Learns the codes.

    References
    ----------
    .. [1] Singh, A. et al. "Better generalization with semantic IDs: a case study in ranking for
       recommendations". RecSys, 2024.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import PrefixFeatures
    >>> features = PrefixFeatures().fit([[0, 5], [0, 7], [2, 5]])
    >>> features.get_feature_names_out().tolist()
    ['a_0', 'a_2', 'a_0/b_5', 'a_0/b_7', 'a_2/b_5']
    >>> features.transform([[0, 7], [0, 9], [3, 5]]).toarray()
    array([[1., 0., 0., 1., 0.],
           [1., 0., 0., 0., 0.],
           [0., 0., 0., 0., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_features": [Interval(Integral, 1, 2**31 - 1, closed="both"), None],
        "levels": ["array-like", None],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "sparse_output": ["boolean"],
    }

    def __init__(
        self,
        n_features: int | None = None,
        *,
        levels: Sequence[int] | None = None,
        min_count: int = 1,
        sparse_output: bool = True,
    ) -> None:
        self.n_features = n_features
        self.levels = levels
        self.min_count = min_count
        self.sparse_output = sparse_output

    @fit_context(prefer_skip_nested_validation=True)
    @unchanged_by_failure
    def fit(self, X: ArrayLike, y: Any = None) -> PrefixFeatures:
        """Learn which prefixes there are.

        Parameters
        ----------
        X : array-like of int of shape (n_samples, n_levels)
            Codes, one row for each item, or for each example of a ranker.
        y : None
            Ignored.

        Returns
        -------
        self : PrefixFeatures
            The fitted transformer.

        Raises
        ------
        ValueError
            If `X` holds a value that isn't a code, `levels` doesn't fit its columns, or `min_count`
            is above 1 with `n_features`.
        """
        codes = self._validate(X, reset=True)
        levels = _check_levels(self.levels, codes.shape[1])
        if self.n_features is not None and self.min_count > 1:
            raise ValueError(
                f"min_count={self.min_count} should be 1 with n_features={self.n_features}: "
                "hashing counts no prefixes; set n_features=None, or leave min_count out."
            )
        self.levels_ = levels
        self.prefixes_: Any = None
        self._parents: Any = None
        if self.n_features is not None:
            self._n_columns = int(self.n_features)
        else:
            codes = codes[:, : levels[-1] + 1]
            self.prefixes_, self._parents = _frequent_prefixes(codes, self.min_count)
            self._n_columns = sum(len(self.prefixes_[level]) for level in levels)
        return self

    def transform(self, X: ArrayLike) -> csr_matrix | NDArray[np.float64]:
        """Return the features of each sample.

        Parameters
        ----------
        X : array-like of int of shape (n_samples, n_levels)
            Codes.

        Returns
        -------
        features : csr_matrix or ndarray of shape (n_samples, n_features_out), dtype=float64
            1 where a sample has the prefix of the column, else 0. Prefixes without a column are
            left out. With `n_features`, the number of the sample's prefixes hashed to the column.

        Raises
        ------
        ValueError
            If `X` holds a value that isn't a code, or has other columns than in `fit`.
        """
        check_is_fitted(self)
        codes = self._validate(X, reset=False)
        columns = np.stack(list(self._columns(codes)), axis=1)
        known = columns >= 0
        starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        shape = (len(codes), self._n_columns)
        features = csr_matrix((np.ones(starts[-1]), columns[known], starts), shape=shape)
        features.sum_duplicates()  # sorts columns, too
        return features if self.sparse_output else features.toarray()

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Return a name for each column: ``a_12/b_5`` for the prefix (12, 5).

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names in `fit`, and not used.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            Levels are named a, b, …, as in tokens. Hashed columns are called ``prefix0``,
            ``prefix1``, ….
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        if self.prefixes_ is None:
            return np.array([f"prefix{column}" for column in range(self._n_columns)], dtype=object)
        names = [
            _name(prefix) for level in self.levels_ for prefix in self.prefixes_[level].tolist()
        ]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _validate(self, X: Any, *, reset: bool) -> NDArray[np.int64]:
        with _texts_named():
            X = validate_data(
                self, as_array(X), dtype="numeric", ensure_all_finite=False, reset=reset
            )
        without = np.flatnonzero(~np.isfinite(X).all(axis=1))
        if len(without):
            raise ValueError(
                f"X has NaN or infinity in {len(without)} of {len(X)} samples, the first in row "
                f"{without[0]}: they have no code, as items have that a join didn't find; drop "
                "these samples, or mark them in a feature of their own."
            )
        if X.dtype.kind in "if" and X.min() < 0:
            raise ValueError(
                f"Negative values in data: X has {X.min()}, but codes are at least 0; drop samples "
                "without a code, or mark them in a feature of their own."
            )
        return check_codes(X, [MAX_CODEBOOK_SIZE] * X.shape[1]).astype(np.int64, copy=False)

    def _columns(self, codes: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
        """Yield each sample's column at each of `levels_`, -1 where it has none."""
        if self.prefixes_ is None:
            for level, hashes in enumerate(_hashes(codes)):
                if level in self.levels_:
                    yield (hashes % np.uint64(self._n_columns)).astype(np.intp)
            return
        start = 0
        for level, places in enumerate(_places(codes, self.prefixes_, self._parents)):
            if level in self.levels_:
                yield np.where(places >= 0, places + start, -1)
                start += len(self.prefixes_[level])


@contextmanager
def _texts_named() -> Iterator[None]:
    """Say what to do about texts, where scikit-learn says that they are no numbers."""
    try:
        yield
    except ValueError as error:
        found = re.search("could not convert string to float: (.*)", str(error))
        if found is None:
            raise
        raise ValueError(
            f"X holds text, such as {found[1]}, but codes are integers; turn names, of users say, "
            "into numbers by OrdinalEncoder."
        ) from error


def _check_levels(levels: Any, n_levels: int) -> list[int]:
    """Return the distinct levels, ascending."""
    if levels is None:
        return list(range(n_levels))
    given = list(levels)
    for level in given:
        if (
            not isinstance(level, (int, np.integer))
            or isinstance(level, bool)
            or not 0 <= level < n_levels
        ):
            raise ValueError(
                f"levels={given!r} has the entry {level!r}, but the codes have the levels 0 to "
                f"{n_levels - 1}; give some of these, or None for all."
            )
    if not given:
        raise ValueError("levels is empty; give the levels at which prefixes end, or None for all.")
    return sorted({int(level) for level in given})


def _frequent_prefixes(
    codes: NDArray[np.int64], min_count: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.intp]]]:
    """Return the prefixes of each length that enough samples have, and where their parents stand.

    The parent of a prefix is the one that is one code shorter.
    """
    prefixes, parents = [], []
    places = np.zeros(len(codes), dtype=np.intp)
    for level in range(codes.shape[1]):
        names, ranks = np.unique(codes[:, level], return_inverse=True)
        keys = places * len(names) + ranks
        keys, first, group, counts = np.unique(keys, True, True, True)
        frequent = counts >= min_count
        prefixes.append(codes[first[frequent], : level + 1])
        parents.append(places[first[frequent]])
        # What follows a rare prefix is rare, too.
        kept = frequent[group]
        codes, places = codes[kept], (np.cumsum(frequent) - 1)[group[kept]]
    return prefixes, parents


def _places(
    codes: NDArray[np.int64],
    prefixes: list[NDArray[np.int64]],
    parents: list[NDArray[np.intp]],
) -> Iterator[NDArray[np.intp]]:
    """Yield where each sample's prefix stands among those of its length, -1 if nowhere.

    A prefix is found by the place of its parent and the rank of its last code, which make one
    integer whose order is that of the prefixes.
    """
    places = np.zeros(len(codes), dtype=np.intp)
    for level, (known, parent) in enumerate(zip(prefixes, parents, strict=True)):
        names, last = np.unique(known[:, level], return_inverse=True)
        ranks = _find(names, codes[:, level])
        found = _find(parent * len(names) + last, places * len(names) + ranks)
        places = np.where((places >= 0) & (ranks >= 0), found, -1)
        yield places


def _find(values: NDArray[Any], queries: NDArray[Any]) -> NDArray[np.intp]:
    """Return where each query stands in ascending, distinct values, -1 if nowhere."""
    if len(values) == 0:
        return np.full(len(queries), -1, dtype=np.intp)
    places = np.minimum(np.searchsorted(values, queries), len(values) - 1)
    return np.where(values[places] == queries, places, -1)


def _hashes(codes: NDArray[np.int64]) -> Iterator[NDArray[np.uint64]]:
    """Yield a hash of each sample's first code, first two codes, and so on.

    The mixing is that of splitmix64 [1]_: it doesn't depend on the machine or the process.

    References
    ----------
    .. [1] Steele, G. L., Lea, D. and Flood, C. H. "Fast splittable pseudorandom number generators".
       OOPSLA, 2014.
    """
    state = np.zeros(len(codes), dtype=np.uint64)
    for column in codes.T:
        # The constant goes in with each code, so that prefixes of zeros differ by their length.
        state = state + column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
        yield state


def _name(prefix: Sequence[int]) -> str:
    return "/".join(f"{level_letters(level)}_{code}" for level, code in enumerate(prefix))
