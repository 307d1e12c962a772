"""The estimator against quantizers without a network, at the same bits on the same rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from sklearn_rqvae import metrics
from sklearn_rqvae._estimator import RQVAETransformer
from sklearn_rqvae._fitted import decoded_prefixes
from sklearn_rqvae._residual_kmeans import ResidualKMeans
from sklearn_rqvae._rows._hashing import duplicate_groups
from sklearn_rqvae.exceptions import CodebookCollapseWarning
from sklearn_rqvae.metrics._distortion import residual_norms
from sklearn_rqvae.report._rivals import FaissResidualQuantizer, PCAKMeans, why_not_faiss

__all__ = ["Comparison", "Contender", "compare", "split_rows"]

# Share of the distinct rows that a refit doesn't see.
_HELD_OUT = 0.2
# Fewer held-out rows say nothing about a difference.
_MIN_HELD_OUT = 10
# A smaller relative difference isn't worth a more complicated model.
_MIN_GAIN = 0.02


@dataclass(frozen=True)
class Contender:
    """How one quantizer did on the held-out rows.

    Attributes
    ----------
    name : str
        What it is.
    curve : list of float
        Share of the variance left by the first code, the first two, and so on.
    unexplained : float
        Share of the variance left by all codes.
    training_unexplained : float
        The same on the training rows.
    difference, difference_error : float
        `unexplained` less the estimator's, and the standard error of this difference over the
        held-out rows.
    neighbor_recall : float or None
        Share of nearest neighbors among the held-out rows that decoded vectors keep; None if there
        are too few rows.
    collision_rate : float
        Of training and held-out rows together.
    fit_seconds : float or None
        Time of the fit; None if it was fitted elsewhere.
    encode_seconds : float
        Time to encode the held-out rows.
    n_numbers : int
        Numbers that the fitted model stores.
    """

    name: str
    curve: list[float]
    unexplained: float
    training_unexplained: float
    difference: float
    difference_error: float
    neighbor_recall: float | None
    collision_rate: float
    fit_seconds: float | None
    encode_seconds: float
    n_numbers: int


@dataclass(frozen=True)
class Comparison:
    """The estimator and its rivals at equal bits on equal rows.

    Attributes
    ----------
    contenders : list of Contender
        The estimator first, then its rivals.
    n_train, n_held_out : int
        Rows that all were fitted on, and rows that all were judged by.
    refitted : bool
        Whether a copy of the estimator was fitted again, since it had seen all rows.
    skipped : dict of str to str
        Rivals that were left out, and why.
    """

    contenders: list[Contender]
    n_train: int
    n_held_out: int
    refitted: bool
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def best_rival(self) -> Contender:
        """The rival that leaves the least variance."""
        return min(self.contenders[1:], key=lambda rival: rival.unexplained)

    @property
    def gain(self) -> float:
        """Relative part of the best rival's error that the estimator saves; negative if it adds."""
        rival = self.best_rival
        return rival.difference / rival.unexplained if rival.unexplained > 0 else 0.0

    @property
    def outcome(self) -> str:
        """Return "better", "equal" or "worse" than the best rival.

        Better or worse is a difference of at least 2 % of the rival's error and of two standard
        errors.
        """
        rival = self.best_rival
        if abs(self.gain) < _MIN_GAIN or abs(rival.difference) < 2 * rival.difference_error:
            return "equal"
        return "better" if rival.difference > 0 else "worse"


def split_rows(
    X: NDArray[Any], X_train: NDArray[Any] | None, max_rows: int, random_state: int
) -> tuple[NDArray[Any], NDArray[Any], bool] | str:
    """Return training rows, held-out rows, and whether the estimator must be fitted again.

    No held-out row equals a training row. If `X` has too few rows that aren't in `X_train`, or
    there is no `X_train`, the distinct rows of `X` are divided. A string says why that can't be.
    """
    if X_train is not None:
        both = np.concatenate([X_train, X])
        first, group = duplicate_groups(both)
        seen = np.zeros(len(first), dtype=bool)
        seen[group[: len(X_train)]] = True
        new = both[first[~seen]]
        if len(new) >= _MIN_HELD_OUT:
            return X_train, new, False
    first, _ = duplicate_groups(X)
    if len(first) < _MIN_HELD_OUT / _HELD_OUT:
        return f"{len(first)} distinct rows are too few to hold some out"
    order = np.random.default_rng(random_state).permutation(np.sort(first))[:max_rows]
    n_held_out = round(_HELD_OUT * len(order))
    return X[order[n_held_out:]], X[order[:n_held_out]], True


def compare(
    quantizer: BaseEstimator,
    sizes: Sequence[int],
    train: NDArray[Any],
    held_out: NDArray[Any],
    refit: bool,
    n_neighbors: int,
    random_state: int,
) -> Comparison:
    """Fit the rivals, and the estimator if it should be, and judge all by the held-out rows."""
    rivals, skipped = _rivals(quantizer, list(sizes), len(train), random_state)
    judge = _Judge(train, held_out, n_neighbors, random_state)
    name = type(_last_step(quantizer)).__name__
    seconds = None
    if refit:
        quantizer, seconds = _fit(clone(quantizer), train)
    contenders = [judge.contender(name, quantizer, seconds)]
    for rival_name, rival in rivals.items():
        contenders.append(judge.contender(rival_name, *_fit(rival, train)))
    return Comparison(contenders, len(train), len(held_out), refit, skipped)


class _Judge:
    """Judge quantizers by the same rows, each relative to the first one."""

    def __init__(
        self, train: NDArray[Any], held_out: NDArray[Any], n_neighbors: int, random_state: int
    ):
        self.train, self.held_out = train, held_out
        self.variance = float(held_out.var(axis=0, dtype=np.float64).sum())
        self.training_variance = float(train.var(axis=0, dtype=np.float64).sum())
        self.n_neighbors, self.random_state = n_neighbors, random_state
        self.reference: NDArray[np.float64] | None = None

    def contender(
        self, name: str, quantizer: BaseEstimator, fit_seconds: float | None
    ) -> Contender:
        """Return the measures of a fitted quantizer."""
        start = time.perf_counter()
        codes = np.asarray(quantizer.transform(self.held_out))
        encode_seconds = time.perf_counter() - start
        norms = residual_norms(self.held_out, decoded_prefixes(quantizer, codes))
        curve = (np.square(norms).mean(axis=0) / self.variance).tolist()
        errors = np.square(norms[:, -1]) / self.variance
        if self.reference is None:
            self.reference = errors
        difference = errors - self.reference
        training_codes = np.asarray(quantizer.transform(self.train))
        training_norms = residual_norms(self.train, [quantizer.inverse_transform(training_codes)])
        return Contender(
            name=name,
            curve=curve,
            unexplained=curve[-1],
            training_unexplained=float(np.square(training_norms).mean() / self.training_variance),
            difference=float(difference.mean()),
            difference_error=float(difference.std(ddof=1) / len(difference) ** 0.5),
            neighbor_recall=self._neighbor_recall(quantizer.inverse_transform(codes)),
            collision_rate=metrics.collision_rate(np.concatenate([training_codes, codes])),
            fit_seconds=fit_seconds,
            encode_seconds=encode_seconds,
            n_numbers=_count_numbers(quantizer),
        )

    def _neighbor_recall(self, decoded: NDArray[Any]) -> float | None:
        if len(self.held_out) <= 2 * self.n_neighbors:
            return None
        return metrics.neighbor_recall(
            self.held_out, decoded, n_neighbors=self.n_neighbors, random_state=self.random_state
        )


def _rivals(
    quantizer: BaseEstimator, sizes: list[int], n_rows: int, random_state: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return unfitted rivals by name, and why others are left out."""
    params: dict[str, Any] = {
        "n_layers": len(sizes),
        "codebook_size": sizes,
        "random_state": random_state,
    }
    last = _last_step(quantizer)
    bare: dict[str, Any] = {}
    if isinstance(last, ResidualKMeans):
        bare["RQVAETransformer"] = RQVAETransformer(**params)
    else:
        # As many beams as the estimator has: the search should make no difference.
        n_beams = max(getattr(last, "n_beams", 0), ResidualKMeans().n_beams)
        bare["ResidualKMeans"] = ResidualKMeans(**params, n_beams=n_beams)
    bare["PCA + k-means"] = PCAKMeans(sizes, random_state=random_state)
    skipped = {}
    reason = why_not_faiss(sizes, n_rows)
    if reason is None:
        bare["faiss ResidualQuantizer"] = FaissResidualQuantizer(sizes, random_state=random_state)
    else:
        skipped["faiss ResidualQuantizer"] = reason
    steps = quantizer.steps[:-1] if hasattr(quantizer, "steps") else []
    if not steps:
        return bare, skipped
    # What the estimator sees, its rivals see.
    before = [(name, clone(step)) for name, step in steps]
    piped = {name: clone(Pipeline([*before, ("rq", rival)])) for name, rival in bare.items()}
    return piped, skipped


def _fit(quantizer: BaseEstimator, train: NDArray[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    with warnings.catch_warnings():
        # The report speaks of collapse in its own words.
        warnings.simplefilter("ignore", CodebookCollapseWarning)
        quantizer.fit(train)
    return quantizer, time.perf_counter() - start


def _last_step(quantizer: BaseEstimator) -> Any:
    return quantizer.steps[-1][1] if hasattr(quantizer, "steps") else quantizer


def _count_numbers(quantizer: BaseEstimator) -> int:
    """Count the numbers in the arrays of a fitted quantizer, mean and components included."""
    last = _last_step(quantizer)
    if hasattr(last, "state_"):
        arrays = list(last.state_.values())
    else:
        arrays = [*last.codebooks_, getattr(last, "mean_", None)]
        if hasattr(last, "pca_"):
            arrays += [last.pca_.components_, last.pca_.mean_]
    return sum(int(np.size(array)) for array in arrays if array is not None)
