"""Learning from a stream of rows: a reservoir for the closed form, one pass each by gradients."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral
from typing import Any

from sklearn_rqvae._distinct_rows import Reservoir

__all__ = ["learn_from_more", "pass_once"]


def learn_from_more(estimator: Any, X: Any, sample_weight: Any) -> None:
    """Add rows to the estimator's reservoir, and fit it to all that the reservoir holds.

    The reservoir keeps the same rows that `fit` would choose from the whole stream.

    Parameters
    ----------
    estimator : RQVAETransformer or ResidualKMeans
        An estimator in closed form, changed in place.
    X : array-like of shape (n_samples, n_features)
        Rows.
    sample_weight : array-like of shape (n_samples,) or None
        Weights.
    """
    known = getattr(estimator, "reservoir_", None)
    if known is None and hasattr(estimator, "codebooks_"):
        warnings.warn(
            "partial_fit starts anew: in closed form a model is fitted to rows, and the fit before "
            "has kept none. Call partial_fit from the start to learn from all rows.",
            UserWarning,
            stacklevel=5,
        )
    source, weight = estimator._validate_fit_data(X, sample_weight, reset=known is None)
    reservoir = Reservoir(estimator._max_training_rows(source.shape[1]))
    if known is not None:
        reservoir.add(known["rows"], known["weight"])
    for rows, block in source.blocks():
        reservoir.add(block, None if weight is None else weight[rows])
    kept, total = reservoir.merge()
    worker = copy.copy(estimator)  # an interrupted fit leaves the estimator and its rows alone
    worker.fit(kept, sample_weight=total)
    if hasattr(estimator, "feature_names_in_"):
        worker.feature_names_in_ = estimator.feature_names_in_
    worker.reservoir_ = {"rows": kept, "weight": total}
    _take_over(estimator, worker)


def pass_once(estimator: Any, X: Any, sample_weight: Any) -> None:
    """Train a fitted estimator for one epoch on rows.

    Parameters
    ----------
    estimator : RQVAETransformer
        An estimator trained by gradients, changed in place.
    X : array-like of shape (n_samples, n_features)
        Rows.
    sample_weight : array-like of shape (n_samples,) or None
        Weights.
    """
    estimator._validate_fit_data(X, sample_weight, reset=False)
    worker = copy.copy(estimator)
    worker.warm_start, worker.max_epochs, worker.early_stopping = True, 1, False
    if isinstance(estimator.random_state, Integral):  # another order than in the pass before
        worker.random_state = (int(estimator.random_state) + estimator.n_iter_) % 2**32
    worker.fit(X, sample_weight=sample_weight)
    worker.history_ = estimator.history_ + worker.history_
    worker.n_iter_ = len(worker.history_)
    _take_over(estimator, worker)


def _take_over(estimator: Any, worker: Any) -> None:
    """Give the estimator what its copy has learned."""
    for name, value in vars(worker).items():
        if name.endswith("_") or name == "_holder":
            setattr(estimator, name, value)
