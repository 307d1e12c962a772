"""Model files of the command line: those that it writes, and those of ``save``."""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import zlib
from typing import Any

from sklearn_rqvae._files._replace import replace_file

__all__ = ["check_model", "load_model", "quantizer_of", "save_model"]

_FORMAT = 1
# What pickle raises on bytes that it didn't write depends on where it stumbles.
_DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError),
    *(EOFError, pickle.UnpicklingError, struct.error, zlib.error),
)
_ZIP_MAGIC = b"PK\x03\x04"
# How joblib's files begin: a pickle, an old one too, or what one is packed into.
_BEGIN = re.compile(
    rb"PK\x03\x04|\x80|c[\w.]+\n|\x1f\x8b|\x78[\x01\x5e\x9c\xda]|BZ|\xfd7zXZ|\x5d\x00|\x04\x22\x4d\x18"
)
_SAVED = ("RQVAETransformer", "ResidualKMeans", "ProductQuantizer")


def save_model(args: argparse.Namespace, pipeline: Any) -> None:
    """Write a fitted pipeline or estimator, and the columns that it was fitted on, to ``--out``."""
    import joblib

    model = {
        "sklearn_rqvae": _FORMAT,
        "pipeline": pipeline,
        "text": args.text,
        "vector": args.vector,
        "id": args.id,
    }
    with replace_file(args.out) as file:
        joblib.dump(model, file)


def load_model(path: str) -> dict[str, Any]:
    """Read what `save_model` or an estimator's ``save`` wrote.

    Parameters
    ----------
    path : str
        File to read.

    Returns
    -------
    model : dict
        The "pipeline", and the columns "text", "vector" and "id" of its items, None if not known.

    Raises
    ------
    ValueError
        If the file holds no model, or one of a later version.
    """
    import joblib

    if check_model(path).startswith(_ZIP_MAGIC):
        return {"pipeline": _load_plain(path), "text": None, "vector": None, "id": None}
    try:
        model = joblib.load(path)
    except ImportError as error:
        raise ValueError(
            f"{path} needs what isn't installed, or is damaged ({error}); install it first."
        ) from error
    except _DAMAGE as error:
        raise ValueError(f"{path} is no model of sklearn-rqvae fit, or is damaged.") from error
    if not isinstance(model, dict) or "sklearn_rqvae" not in model:
        raise ValueError(f"{path} is no model of sklearn-rqvae fit.")
    if model["sklearn_rqvae"] != _FORMAT:
        raise ValueError(f"{path} was saved by a newer version; run pip install -U sklearn-rqvae.")
    if not {"pipeline", "text", "vector", "id"} <= set(model):
        raise ValueError(f"{path} is a damaged model: parts of it are missing.")
    return model


def check_model(path: str) -> bytes:
    """Return the first bytes of a file after a look at whether they may be a model's."""
    with open(path, "rb") as file:
        begin = file.read(80)
    if begin and not _BEGIN.match(begin):  # a pickle would read a table as instructions
        raise ValueError(
            f"{path} is no model of sklearn-rqvae fit; the model comes before the items."
        )
    return begin


def quantizer_of(model: dict[str, Any]) -> Any:
    """Return a model's estimator of semantic IDs."""
    return model["pipeline"].named_steps["rq"] if model["text"] else model["pipeline"]


def _load_plain(path: str) -> Any:
    import sklearn_rqvae
    from sklearn_rqvae._files._state import read_kind

    kind = read_kind(path)
    if kind not in _SAVED:
        raise ValueError(f"{path} holds a {kind}, not a model: {' or '.join(_SAVED)}.")
    return getattr(sklearn_rqvae, kind).load(path)
