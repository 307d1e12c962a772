"""What a fitted transformer, or a pipeline that ends with one, has to offer for its evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._validation import as_array


def codes_of(estimator: BaseEstimator, X: Any) -> NDArray[Any]:
    """Return what ``transform`` returns, as an array."""
    _check_can(estimator, "transform")
    return np.asarray(as_array(estimator.transform(X)))


def invertible_tail(estimator: BaseEstimator, X: Any, *others: Any) -> tuple[Any, ...]:
    """Return the part of `estimator` that has an inverse, and `X` and others as this part gets it.

    A pipeline is judged on its longest tail that can be inverted: all of it after a scaler, what
    follows the embedding after a text embedder. Where rows lack numbers, the tail begins behind the
    step that fills them in: nothing has an error in what isn't there.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    _check_can(estimator, "transform")
    rows, start = [X, *others], 0
    if hasattr(estimator, "steps"):
        _check_can(estimator[-1:], "inverse_transform")
        while not _can_be_judged(estimator[start:], rows):
            rows = [estimator[start : start + 1].transform(some) for some in rows]
            start += 1
    tail = estimator[start:] if start else estimator
    _check_can(tail, "inverse_transform")
    return tail, *rows


def _can_be_judged(tail: Any, rows: list[Any]) -> bool:
    """Whether a pipeline has an inverse, and rows all of their numbers unless no step is left."""
    if not hasattr(tail, "inverse_transform"):
        return False
    return len(tail) == 1 or not any(map(_lacks_numbers, rows))


def _lacks_numbers(rows: Any) -> bool:
    """Whether an array of numbers holds NaN; anything else is left to who reads it."""
    values = np.asarray(as_array(rows))
    return values.dtype.kind == "f" and values.size > 0 and bool(np.isnan(values.min()))


def last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what stands at the end of a pipeline or search, and `X` as it gets it."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
            estimator = estimator.steps[-1][1]
        else:
            return estimator, X


def _quantizer(estimator: Any) -> Any:
    """Return what stands at the end of a pipeline or search."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        is_search = hasattr(estimator, "best_estimator_")
        estimator = estimator.best_estimator_ if is_search else estimator.steps[-1][1]
    return estimator


def _check_can(estimator: BaseEstimator, method: str) -> None:
    if not hasattr(estimator, method):
        raise TypeError(
            f"estimator={estimator!r} should be a fitted transformer, but has no {method}; the "
            "functions that take codes judge what no estimator has made."
        )


def codebook_sizes(estimator: BaseEstimator) -> list[int]:
    """Return the codebook sizes of a quantizer, bare or at the end of a pipeline or search."""
    quantizer = _quantizer(estimator)
    if not hasattr(quantizer, "codebooks_"):
        raise ValueError(
            f"{type(quantizer).__name__} has no codebooks_, so its codebook sizes are unknown; "
            "fit it, or call the function that takes codes and codebook_size."
        )
    return [len(codebook) for codebook in quantizer.codebooks_]


def model_of(estimator: Any) -> str | None:
    """Return the fingerprint of a quantizer, bare or at the end of a pipeline or search.

    None where it has none, as an estimator of another library.
    """
    quantizer = _quantizer(estimator)
    fingerprint = getattr(quantizer, "fingerprint", None)
    return fingerprint if isinstance(fingerprint, str) and len(fingerprint) == 64 else None


def decoded_prefixes(estimator: BaseEstimator, codes: NDArray[Any]) -> Iterator[Any]:
    """Decode the first code of each sample, the first two, and so on."""
    for length in range(1, codes.shape[1] + 1):
        yield estimator.inverse_transform(codes[:, :length])
