"""A sentence-transformers model that is loaded when needed and left out of pickles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SentenceModel"]

# Seconds that the hub has to answer before the search for a model ends: without a limit, the
# library repeats its request for over a minute on machines that can't reach the hub.
HUB_TIMEOUT = 5.0


class SentenceModel:
    """Encode texts by a sentence-transformers model, given by folder or hub name.

    Parameters
    ----------
    name : str
        Local folder, or name on the Hugging Face hub.
    device : str or None
        Device of the model; chosen by sentence-transformers if None.
    store_model : bool
        Whether a pickle holds the weights. If not, the model is loaded again where it is needed
        first.
    """

    def __init__(self, name: str, device: str | None, store_model: bool) -> None:
        self.name = name
        self.device = device
        self.store_model = store_model
        self._model: Any = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if not self.store_model:
            state["_model"] = None
        return state

    def load(self) -> SentenceModel:
        """Load the weights now, so that a missing model is noticed at once."""
        if self._model is None:
            self._model = _load(self.name, self.device)
        return self

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, (n_texts, n_dims), computed as one batch."""
        return self.load()._model.encode(
            list(texts), batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True
        )


def _load(name: str, device: str | None) -> Any:
    """Load a model from a folder, else from the local cache, else from the hub."""
    folder = Path(name).expanduser()
    is_folder = folder.is_dir()
    if not is_folder and _looks_like_path(name):
        raise FileNotFoundError(_ways_out(name, f"there is no folder {str(folder)!r}"))
    try:
        from huggingface_hub import snapshot_download
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f'model={name!r} needs sentence-transformers: pip install "sklearn-rqvae[text]". '
            "Without it, use model='tfidf' or an object with an encode method."
        ) from error
    try:
        return SentenceTransformer(
            str(folder) if is_folder else name, device=device, local_files_only=True
        )
    except OSError as error:
        if is_folder:
            raise OSError(
                _ways_out(name, "the folder holds no complete sentence-transformers model")
            ) from error
    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        # A few small files tell whether the hub can be reached and knows the name.
        snapshot_download(repository, allow_patterns=["*.json"], etag_timeout=HUB_TIMEOUT)
    except OSError as error:
        reason = "it is not in the local cache, and the hub can't be reached or doesn't have it"
        raise OSError(_ways_out(name, reason)) from error
    return SentenceTransformer(name, device=device)


def _looks_like_path(name: str) -> bool:
    """Tell names that can only mean a folder from hub names, which have at most one slash."""
    separators = [separator for separator in (os.sep, os.altsep, "\\") if separator]
    return name.startswith((".", "~", *separators)) or name.count("/") > 1 or "\\" in name


def _ways_out(name: str, reason: str) -> str:
    return (
        f"model={name!r} can't be loaded: {reason}. Ways out: (1) model='tfidf' needs no model; "
        "(2) give the path of a folder with the model, saved elsewhere by "
        "SentenceTransformer(name).save(folder); (3) fill the local cache on a machine with access "
        "(HF_HOME names its folder) and copy it here; (4) give any object with encode(list of str)."
    )
