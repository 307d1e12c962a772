"""Texts and sparse matrices where vectors should be: refused, with the way to vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scipy.sparse import issparse
from sklearn.base import BaseEstimator

__all__ = ["no_vectors_as_error"]

# How float() begins its complaint about a text.
_NO_NUMBER = "could not convert string to float"


@contextmanager
def no_vectors_as_error(X: Any, estimator: BaseEstimator) -> Iterator[None]:
    """Say in the block how texts and sparse matrices become vectors.

    Parameters
    ----------
    X : object
        What is converted to numbers in the block.
    estimator : estimator
        Named in messages.

    Raises
    ------
    TypeError
        If `X` is sparse, or a data frame of sparse columns.
    ValueError
        If the block finds a text that is no number.
    """
    name = type(estimator).__name__
    if issparse(X):
        raise TypeError(
            f"X is a sparse matrix of {X.shape[1]} columns, but {name} learns from dense vectors "
            "of some hundred numbers; reduce it first: make_pipeline(TruncatedSVD(256), "
            f"Normalizer(), {name}()). For texts, TextEmbedder does all that TfidfVectorizer and "
            "TruncatedSVD do."
        )
    if _is_sparse_frame(X):
        raise TypeError(
            f"X is a data frame of sparse columns, but {name} learns from dense vectors; give "
            "X.sparse.to_dense(), or reduce many columns first: TruncatedSVD(256)."
        )
    try:
        yield
    except ValueError as error:
        if _NO_NUMBER not in str(error):
            raise
        column = _text_column(X)
        place = "" if column is None else f" in column {column!r}"
        columns = "" if column is None or len(X.columns) == 1 else f"text_columns=[{column!r}]"
        raise ValueError(
            f"X holds texts, such as {_text_of(error)}{place}, but {name} learns from vectors; "
            f"make vectors of them first: make_pipeline(TextEmbedder({columns}), {name}())."
        ) from error


def _is_sparse_frame(X: Any) -> bool:
    """Whether a data frame of pandas has sparse columns only; mixed ones become dense."""
    return hasattr(X, "sparse") and len(getattr(X, "columns", ())) > 0


def _text_of(error: ValueError) -> str:
    text = str(error).partition(": ")[2].removeprefix("np.str_(").removesuffix(")")
    return text if len(text) <= 40 else text[:37] + "..."


def _text_column(X: Any) -> Any:
    """Return the first column of a data frame that holds a text."""
    for name in X.columns if hasattr(X, "columns") and hasattr(X, "dtypes") else ():
        if any(isinstance(value, str) and not _is_number(value) for value in X[name]):
            return name
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
