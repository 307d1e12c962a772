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


def invertible_tail(estimator: BaseEstimator, X: Any) -> tuple[Any, Any]:
    """Return the part of `estimator` that has an inverse, and `X` as this part gets it.

    A pipeline is judged on its longest tail that can be inverted: all of it after a scaler, what
    follows the embedding after a text embedder.
    """
    _check_can(estimator, "transform")
    if hasattr(estimator, "steps"):
        starts = range(len(estimator.steps))
        start = next((i for i in starts if hasattr(estimator[i:], "inverse_transform")), 0)
        if start > 0:
            return estimator[start:], estimator[:start].transform(X)
    _check_can(estimator, "inverse_transform")
    return estimator, X


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


def _check_can(estimator: BaseEstimator, method: str) -> None:
    if not hasattr(estimator, method):
        raise TypeError(
            f"estimator={estimator!r} should be a fitted transformer, but has no {method}; the "
            "functions that take codes judge what no estimator has made."
        )


def codebook_sizes(estimator: BaseEstimator) -> list[int]:
    """Return the codebook sizes of a quantizer, bare or at the end of a pipeline or search."""
    quantizer = getattr(estimator, "best_estimator_", estimator)
    quantizer = quantizer.steps[-1][1] if hasattr(quantizer, "steps") else quantizer
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
    quantizer = getattr(estimator, "best_estimator_", estimator)
    quantizer = quantizer.steps[-1][1] if hasattr(quantizer, "steps") else quantizer
    fingerprint = getattr(quantizer, "fingerprint", None)
    return fingerprint if isinstance(fingerprint, str) and len(fingerprint) == 64 else None


def decoded_prefixes(estimator: BaseEstimator, codes: NDArray[Any]) -> Iterator[Any]:
    """Decode the first code of each sample, the first two, and so on."""
    for length in range(1, codes.shape[1] + 1):
        yield estimator.inverse_transform(codes[:, :length])
