"""How a fitted estimator is kept: in a file, a folder of the Hub's layout, or an ONNX graph."""

from __future__ import annotations

import copy
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._coders import Coder
from sklearn_rqvae._files._archive import damage_as_checkpoint_error
from sklearn_rqvae._files._card import model_card
from sklearn_rqvae._files._fingerprint import content_hash
from sklearn_rqvae._files._pretrained import find_folder, read_folder, write_folder
from sklearn_rqvae._files._state import check_array, check_attributes, read_state, write_state
from sklearn_rqvae._guards import single_precision
from sklearn_rqvae._onnx._write import PARTS
from sklearn_rqvae._versions import Versioned

__all__ = ["SavingMixin"]


class SavingMixin(Versioned, ABC):
    """Give an estimator with codebooks its ways to be saved, and a name for what is saved.

    The estimator says what a file must hold. It stands left of ``BaseEstimator``.
    """

    n_features_in_: int
    codebooks_: list[NDArray[np.float32]]
    code_usage_: list[NDArray[np.float64]]
    origin_: NDArray[np.float64]
    _validate_params: Callable[[], None]  # of BaseEstimator

    @abstractmethod
    def _coder(self) -> Coder:
        """Return what codes rows, by what was learned."""

    @abstractmethod
    def _check_state(self) -> None:
        """Raise an error if what a file says was learned doesn't fit together."""

    @abstractmethod
    def _codes_depend_on(self) -> list[Any]:
        """Return all that determines the codes of a row, and the row that codes stand for."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled; parameters that came later have their defaults."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
        defaults.pop("self", None)
        super().__setstate__({**defaults, **state})

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

    def _plain_state(self) -> dict[str, Any]:
        """Return what `save` writes: parameters and fitted attributes as plain values."""
        self._validate_params()  # what load refuses should not be saved
        state = self.__getstate__()
        del state["_versions"]  # the file's header has them
        return state
