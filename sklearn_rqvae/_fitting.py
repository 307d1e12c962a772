"""How an estimator learns: its learner gets rows and returns what is kept as attributes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from numbers import Integral
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sklearn_rqvae._coders import Coder
from sklearn_rqvae._compat import fit_context
from sklearn_rqvae._compute._threads import in_threads, undivided
from sklearn_rqvae._guards import all_or_nothing, warn_caller
from sklearn_rqvae._learning._collapse import (
    warn_of_collapse,
    warn_of_few_ids,
    warn_of_spare_codewords,
)
from sklearn_rqvae._learning._learner import Learner, PassingLearner, warn_of_ignored
from sklearn_rqvae._learning._rows import ChosenRows, training_rows
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._rows._origin import check_digits
from sklearn_rqvae._rows._reservoir import add_rows
from sklearn_rqvae._rows._shards import is_dask, sharded_rows
from sklearn_rqvae._rows._source import RowSource, blocks_of, validated_rows, validated_weight
from sklearn_rqvae._validation import as_array, check_codebook_size

__all__ = ["FittingMixin"]


class FittingMixin(ABC):
    """Give an estimator that names its learner `partial_fit`, and what its `fit` does."""

    codebook_size: Any
    n_layers: int
    random_state: Any
    codebooks_: list[NDArray[np.float32]]
    code_usage_: list[NDArray[np.float64]]
    history_: list[dict[str, Any]]
    n_iter_: int

    @abstractmethod
    def _learner(self) -> Learner:
        """Return what learns, by the estimator's parameters."""

    @abstractmethod
    def _coder(self) -> Coder:
        """Return what codes rows, by what was learned."""

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Learn from rows, as `fit` says."""
        learner = self._learner()
        # Who goes on from the last fit needs its features, in their order.
        goes_on = getattr(self, "warm_start", False) and hasattr(self, "codebooks_")
        source, weight = self._validate_fit_data(X, sample_weight, reset=not goes_on)
        warn_of_ignored(self, learner)
        self.__dict__.pop("reservoir_", None)
        tasks = FitTasks(self, learner.n_epochs, X=X, y=y, sample_weight=weight)
        self._learn(learner, source, weight, learner.generator(self.random_state), tasks)

    @fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def partial_fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Learn from more rows, those of earlier calls included.

        Without gradients the estimator keeps rows, as many as `fit` finds codebooks on, in
        `reservoir_`; each call fits to these. However a stream is cut into calls, and in whatever
        order it comes, the result is the same: that of one `fit` on all of it, less any passes over
        rows that aren't kept. A call takes the time of a `fit`: make them few and large. A `fit`
        before keeps no rows: the first call after it starts anew, and warns.

        With gradient training the first call is a `fit`; each later one passes once over its rows,
        starting from the weights that it finds.

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
        self : object
            The fitted transformer.
        """
        learner = self._learner()
        if learner.keeps_rows:
            self._learn_from_kept(learner, X, sample_weight)
        elif hasattr(self, "codebooks_"):
            self._pass_once(learner, X, sample_weight)
        else:
            self._fit(X, None, sample_weight)
        return self

    def _learn_from_kept(self, learner: Learner, X: Any, sample_weight: Any) -> None:
        """Add rows to the reservoir, and learn from all that it holds."""
        known = self.__dict__.get("reservoir_")
        if known is None and hasattr(self, "codebooks_"):
            warn_caller(
                "partial_fit starts anew: in closed form a model is fitted to rows, and the fit "
                "before has kept none. Call partial_fit from the start to learn from all rows."
            )
        source, weight = self._validate_fit_data(X, sample_weight, reset=known is None)
        check_digits(source, weight, None if known is None else known["rows"])
        warn_of_ignored(self, learner)
        kept, total = add_rows(known, source, weight, learner.max_rows(source.shape[1]))
        self.reservoir_ = {"rows": kept, "weight": total}
        tasks = FitTasks(self, learner.n_epochs, X=kept, y=None, sample_weight=total)
        generator = learner.generator(self.random_state)
        self._learn(learner, RowSource(kept), total, generator, tasks)

    def _pass_once(self, learner: Learner, X: Any, sample_weight: Any) -> None:
        """Go on from what was learned, by one pass over rows."""
        source, weight = self._validate_fit_data(X, sample_weight, reset=False)
        learner = cast("PassingLearner", learner).next_pass(self)
        seed = self.random_state
        if isinstance(seed, Integral):  # another order than in the pass before
            seed = (int(seed) + self.n_iter_) % 2**32
        before, n_before = self.history_, self.n_iter_
        tasks = FitTasks(self, learner.n_epochs, X=X, y=None, sample_weight=weight)
        self._learn(learner, source, weight, learner.generator(seed), tasks)
        self.history_ = before + self.history_
        self.n_iter_ += n_before

    def _learn(
        self,
        learner: Learner,
        source: RowSource,
        weight: NDArray[np.float64] | None,
        generator: torch.Generator,
        tasks: FitTasks,
    ) -> None:
        """Choose the training rows, and take over what is learned from them."""
        if learner.keeps_units:
            source.origin = self.__dict__.get("origin_")
            check_digits(source, weight)
        with tasks.stage("rows"):
            chosen = training_rows(
                source,
                weight,
                learner.held_out,
                learner.device,
                generator,
                max_rows=learner.max_rows(source.shape[1]),
                n_fixed=None if learner.keeps_units else learner.n_fixed,
            )
        if not learner.keeps_units:
            sizes = check_codebook_size(self.codebook_size, self.n_layers)
            warn_of_spare_codewords(sizes, len(chosen.position), learner.subsample)
            n_taken = len(chosen.position)
            n_taken += 0 if chosen.validation is None else len(chosen.validation.x)
            all_taken = n_taken < learner.max_rows(source.shape[1])  # so copies are known
            warn_of_few_ids(sizes, n_taken if all_taken else len(source))
        tasks.units = chosen.units
        # Batches of a training are too few rows to be divided otherwise.
        with nullcontext() if learner.n_epochs else undivided():
            learned = learner.learn(chosen.training, chosen.validation, generator, tasks)
        learned = tasks.undone(learned)
        if not learner.keeps_units:
            self.__dict__.pop("origin_", None)
        self.__dict__.update(learned)
        with tasks.stage("usage"):
            self._count_usage(learner, chosen)
        tasks.finish()

    def _count_usage(self, learner: Learner, chosen: ChosenRows) -> None:
        """Count how the codes of the training rows are used, and warn where few are."""
        coder, source = self._coder(), chosen.source
        source.origin = self.__dict__.get("origin_")
        n_threads = coder.n_threads()
        blocks = list(blocks_of(len(chosen.position), source.shape[1], n_threads))

        def encode(rows: slice) -> NDArray[np.int64]:
            return coder.encode(source.take(chosen.position[rows]))

        codes = np.concatenate(list(in_threads(encode, blocks, n_threads)))
        weight = chosen.training.weight.cpu().numpy().astype(np.float64)
        self.code_usage_ = [
            np.bincount(codes[:, level], weight, len(codebook)).astype(np.float64)
            for level, codebook in enumerate(self.codebooks_)
        ]
        n_distinct_ids = len(np.unique(codes, axis=0))
        warn_of_collapse(self.code_usage_, len(codes), n_distinct_ids, learner.ways_out)

    def _validate_fit_data(
        self, X: Any, sample_weight: Any, reset: bool = True
    ) -> tuple[RowSource, NDArray[np.float64] | None]:
        """Return rows and weights to learn from, checked but for what only reading rows can say."""
        if is_dask(X):
            source: RowSource = sharded_rows(self, X, reset)
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        else:
            source = validated_rows(self, as_array(X), reset=reset)
        return source, validated_weight(sample_weight, source)
