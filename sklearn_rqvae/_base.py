"""What every estimator of semantic IDs does: learn by its learner, code by its coder, save."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._coders import Coder
from sklearn_rqvae._compute._threads import in_threads
from sklearn_rqvae._files._archive import damage_as_checkpoint_error
from sklearn_rqvae._files._card import model_card
from sklearn_rqvae._files._fingerprint import content_hash
from sklearn_rqvae._files._pretrained import find_folder, read_folder, write_folder
from sklearn_rqvae._files._state import check_array, check_attributes, read_state, write_state
from sklearn_rqvae._guards import single_precision, warn_caller
from sklearn_rqvae._learning._collapse import warn_of_collapse, warn_of_spare_codewords
from sklearn_rqvae._learning._learner import Learner, PassingLearner, warn_of_ignored
from sklearn_rqvae._learning._rows import ChosenRows, training_rows
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._onnx._write import PARTS
from sklearn_rqvae._rows._origin import check_digits
from sklearn_rqvae._rows._reservoir import add_rows
from sklearn_rqvae._rows._source import RowSource, blocks_of, validated_rows, validated_weight
from sklearn_rqvae._validation import as_array, check_codebook_size, check_codes
from sklearn_rqvae._versions import Versioned

__all__ = ["SemanticIDMixin"]

Result = TypeVar("Result")

# What rounding may take of the largest error of a block before errors are computed without it.
_NOTHING_LOST = 1e-4


class SemanticIDMixin(Versioned, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ABC):
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

    codebook_size: Any
    n_layers: int
    codebooks_: list[NDArray[np.float32]]
    code_usage_: list[NDArray[np.float64]]
    n_features_in_: int
    history_: list[dict[str, Any]]
    n_iter_: int

    @abstractmethod
    def _learner(self) -> Learner:
        """Return what learns, by the estimator's parameters."""

    @abstractmethod
    def _coder(self) -> Coder:
        """Return what codes rows, by what was learned."""

    @abstractmethod
    def _check_state(self) -> None:
        """Raise an error if what a file says was learned doesn't fit together."""

    @abstractmethod
    def _codes_depend_on(self) -> list[Any]:
        """Return all that determines the codes of a row, and the row that codes stand for."""

    # Learning

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Learn from rows, as `fit` says."""
        learner = self._learner()
        source, weight = self._validate_fit_data(X, sample_weight)
        warn_of_ignored(self, learner)
        self.__dict__.pop("reservoir_", None)
        tasks = FitTasks(self, learner.n_epochs, X=X, y=y, sample_weight=weight)
        self._learn(learner, source, weight, learner.generator(self.random_state), tasks)

    def _partial_fit(self, X: Any, sample_weight: Any) -> None:
        """Learn from more rows, as `partial_fit` says."""
        learner = self._learner()
        if learner.keeps_rows:
            self._learn_from_kept(learner, X, sample_weight)
        elif hasattr(self, "codebooks_"):
            self._pass_once(learner, X, sample_weight)
        else:
            self._fit(X, None, sample_weight)

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
        before = self.history_
        tasks = FitTasks(self, learner.n_epochs, X=X, y=None, sample_weight=weight)
        self._learn(learner, source, weight, learner.generator(seed), tasks)
        self.history_ = before + self.history_
        self.n_iter_ = len(self.history_)

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
            warn_of_spare_codewords(sizes, len(chosen.position))
        tasks.units = chosen.units
        learned = tasks.undone(learner.learn(chosen.training, chosen.validation, generator, tasks))
        if not learner.keeps_units:
            self.__dict__.pop("origin_", None)
        self.__dict__.update(learned)
        with tasks.stage("usage"):
            self._count_usage(learner, source, chosen)
        tasks.finish()

    def _count_usage(self, learner: Learner, source: RowSource, chosen: ChosenRows) -> None:
        """Count how the codes of the training rows are used, and warn where few are."""
        coder = self._coder()
        source.origin = self.__dict__.get("origin_")
        blocks = blocks_of(len(chosen.position), source.shape[1])
        codes = np.concatenate(
            [coder.encode(source.take(chosen.position[rows])) for rows in blocks]
        )
        weight = chosen.training.weight.cpu().numpy().astype(np.float64)
        self.code_usage_ = [
            np.bincount(codes[:, level], weight, len(codebook)).astype(np.float64)
            for level, codebook in enumerate(self.codebooks_)
        ]
        n_distinct_ids = len(np.unique(codes, axis=0))
        warn_of_collapse(self.code_usage_, len(codes), n_distinct_ids, learner.ways_out)

    # What was learned, at work

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
        codes = np.asarray(as_array(X))
        if codes.ndim != 2 or not codes.size or codes.dtype.kind not in "iuf":
            codes = check_codes(codes, sizes)  # or says what is wrong
        origin = self.__dict__.get("origin_")
        dtype = np.float32 if origin is None else np.float64
        reconstruction = np.empty((len(codes), self.n_features_in_), dtype=dtype)

        coder = self._coder()
        n_threads = coder.n_threads()

        def decode(rows: slice) -> None:
            decoded = coder.decode(check_codes(codes[rows], sizes).astype(np.int64, copy=False))
            reconstruction[rows] = decoded if origin is None else decoded + origin

        parts = list(blocks_of(len(codes), self.n_features_in_, n_threads))
        for _ in in_threads(decode, parts, n_threads):
            pass
        return reconstruction

    @single_precision()
    def candidate_codes(
        self, X: ArrayLike, n_candidates: int = 16
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
            If `n_candidates` isn't a positive integer.
        """
        if not isinstance(n_candidates, Integral) or n_candidates < 1:
            raise ValueError(f"n_candidates={n_candidates!r} should be an integer of at least 1.")
        check_is_fitted(self)
        rows = self._row_source(X).read(slice(None))
        codes, errors = zip(*self._coder().candidates(rows, int(n_candidates)), strict=True)
        return np.concatenate(codes), np.concatenate(errors)

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

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to a file that holds arrays and plain values only.

        Parameters
        ----------
        path : str or path-like
            File to write; it appears complete or not at all.

        Raises
        ------
        TypeError
            If a parameter has a value that is neither a number, a string, None, nor made of these,
            such as a ``RandomState``.
        ValueError
            If a parameter has a value that it may not have, or there is an attribute that isn't the
            estimator's own.
        """
        check_is_fitted(self)
        state = self._plain_state()
        check_attributes(self, state)
        write_state(path, type(self).__name__, state)

    @property
    def fingerprint(self) -> str:
        """A name for what was learned: equal where codes and their reconstructions are.

        It is the SHA-256 of all that these depend on, in hexadecimal digits: the same after saving
        and loading, in every process and on every machine, whatever ``verbose`` and other
        parameters without influence on them are.
        """
        check_is_fitted(self)
        return content_hash([type(self).__name__, *self._codes_depend_on()])

    @classmethod
    def load(cls, path: str | os.PathLike) -> Any:
        """Read a fitted estimator that `save` wrote; no code from the file is run.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        estimator : object
            The fitted estimator, of the class that `load` is called on.

        Raises
        ------
        CheckpointError
            If the file isn't of `save`, holds another estimator, is damaged, or comes from a later
            version of the format.
        """
        state = read_state(path, cls.__name__)
        with damage_as_checkpoint_error(path, "a file that save wrote"):
            return cls._of_state(state)

    @classmethod
    def _of_state(cls, state: dict[str, Any]) -> Any:
        """Return the fitted estimator with a state, or raise an error if it can't be one."""
        estimator: Any = cls()
        check_attributes(estimator, state)
        estimator.__setstate__(state)
        check_is_fitted(estimator)
        estimator._validate_params()
        estimator._check_fitted_arrays()
        estimator._check_state()
        return estimator

    def _check_fitted_arrays(self) -> None:
        """Raise an error if what all estimators have doesn't fit together."""
        n_features = self.n_features_in_
        if type(n_features) is not int or n_features < 1:
            raise ValueError(f"n_features_in_ is {n_features!r}")
        if not self.codebooks_ or len(self.codebooks_) != len(self.code_usage_):
            raise ValueError("it has no codebooks, or another number of usages")
        for level, (codebook, usage) in enumerate(
            zip(self.codebooks_, self.code_usage_, strict=True)
        ):
            check_array(codebook, f"the codebook of level {level}", np.float32, 2)
            check_array(usage, f"the usage of level {level}", np.float64, 1)
            if not len(codebook) or usage.shape != codebook.shape[:1] or (usage < 0).any():
                raise ValueError(f"codes of level {level} have usages that don't fit")
        names = self.__dict__.get("feature_names_in_")
        if names is not None and (
            not isinstance(names, np.ndarray)
            or names.shape != (n_features,)
            or not all(isinstance(name, str) for name in names.tolist())
        ):
            raise ValueError("its names of features are no strings, or not one for each")
        if hasattr(self, "origin_"):
            check_array(self.origin_, "origin_", np.float64, 1)
            if self.origin_.shape != (n_features,):
                raise ValueError("origin_ has another length than rows")
        kept = self.__dict__.get("reservoir_")
        if kept is not None:
            check_array(kept["rows"], "the rows in the reservoir", np.float32, 2)
            check_array(kept["weight"], "their weight", np.float64, 1)
            if kept["rows"].shape != (len(kept["weight"]), n_features):
                raise ValueError("the reservoir has rows of another length or number")

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the fitted estimator to a folder of the Hugging Face Hub's layout.

        The folder gets ``config.json`` with the parameters and other plain values,
        ``model.safetensors`` with the arrays, and ``README.md``, a model card with the sizes and
        the figures of the fit; a card that is there already stays. Upload it as it is, with
        ``huggingface_hub.upload_folder``.

        Parameters
        ----------
        folder : str or path-like
            Folder to write to; it is created.

        Raises
        ------
        ImportError
            If safetensors isn't installed.
        TypeError
            If a parameter has a value that isn't plain; see `save`.
        ValueError
            If a parameter has a value that it may not have, or there is an attribute that isn't the
            estimator's own.
        """
        check_is_fitted(self)
        state = self._plain_state()
        check_attributes(self, state)
        write_folder(folder, type(self).__name__, state, model_card(self, self._learned_how()))

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, *, revision: str | None = None) -> Any:
        """Read a fitted estimator that `save_pretrained` wrote; no code in the files is run.

        Parameters
        ----------
        name : str or path-like
            The folder, or the id of a repository on the Hugging Face Hub, as in "user/model".
        revision : str, optional
            Branch, tag or commit of the repository; not used for a folder.

        Returns
        -------
        estimator : object
            The fitted estimator, of the class that this is called on.

        Raises
        ------
        CheckpointError
            If the files aren't of `save_pretrained`, hold another estimator, are damaged, or come
            from a later version of the format.
        FileNotFoundError
            If there is no such folder, or a file is missing in it.
        ImportError
            If safetensors isn't installed, or huggingface_hub for a repository.
        """
        folder = find_folder(name, revision)
        state = read_folder(folder, cls.__name__)
        with damage_as_checkpoint_error(folder, "a folder that save_pretrained wrote"):
            return cls._of_state(state)

    def _learned_how(self) -> str:
        """Say how the model was learned, for its card."""
        return "in closed form"

    @single_precision()
    def to_onnx(self, path: str | os.PathLike, part: str = "encode") -> None:
        """Write `transform` or `inverse_transform` as an ONNX graph, for servers without Python.

        Both take any number of rows; give some hundreds or thousands at a time, as memory grows
        with them. The codes are those of `transform`, but for ties within the rounding of float32.
        With `n_beams` = 1 the search is greedy.

        Parameters
        ----------
        path : str or path-like
            File to write; it appears complete or not at all.
        part : {"encode", "decode"}, default="encode"
            "encode" has the input ``X``, float32 of shape (n_samples, n_features), and the output
            ``codes``, int64 of shape (n_samples, n_layers); "decode" the input ``codes`` and the
            output ``reconstruction``, for codes of all levels. Neither checks its input: NaN, and
            codes that a level hasn't, are the caller's to refuse.

        Raises
        ------
        ImportError
            If onnx isn't installed.
        TypeError
            If `module` has an encoder, a decoder or methods of its own.
        ValueError
            If `part` is another one, or the model is larger than the 2 GB of an ONNX file.
        """
        check_is_fitted(self)
        if part not in PARTS:
            raise ValueError(f"part={part!r} should be one of {', '.join(map(repr, PARTS))}.")
        about = {"kind": type(self).__name__, "fingerprint": self.fingerprint}
        counting_from_zero = copy.copy(self)  # a graph gets rows as they come
        for name in ("origin_", "_holder"):
            counting_from_zero.__dict__.pop(name, None)
        counting_from_zero._coder().write_onnx(path, part, about)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are integers whatever the input
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.codebooks_)

    def _plain_state(self) -> dict[str, Any]:
        """Return what `save` writes: parameters and fitted attributes as plain values."""
        self._validate_params()  # what load refuses should not be saved
        state = self.__getstate__()
        del state["_versions"]  # the file's header has them
        return state

    def _validate_fit_data(
        self, X: Any, sample_weight: Any, reset: bool = True
    ) -> tuple[RowSource, NDArray[np.float64] | None]:
        """Return rows and weights to learn from, checked but for what only reading rows can say."""
        source = validated_rows(self, as_array(X), reset=reset)
        return source, validated_weight(sample_weight, source)

    def _row_source(self, X: Any) -> RowSource:
        check_is_fitted(self)
        source = validated_rows(self, as_array(X), reset=False)
        source.origin = self.__dict__.get("origin_")
        return source


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
