"""What fit, report and demo say of a model's IDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._cli._items import in_batches

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["quality_of", "summary_of"]


def quality_of(
    quantizer: BaseEstimator, vectors: NDArray[Any], codes: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what the report says, as plain values."""
    from sklearn_rqvae import metrics

    sizes = [len(codebook) for codebook in quantizer.codebooks_]
    unexplained = _unexplained(quantizer, vectors, codes)
    utilization = metrics.code_utilization(codes, sizes)
    perplexity = metrics.code_perplexity(codes, sizes)
    levels = [
        {
            "codebook_size": size,
            "utilization": float(utilization[level]),
            "perplexity": float(perplexity[level]),
            "unexplained": float(unexplained[level]),
        }
        for level, size in enumerate(sizes)
    ]
    return {
        "n_items": len(codes),
        "n_distinct": len(np.unique(codes, axis=0)),
        "collision_rate": float(metrics.collision_rate(codes)),
        "levels": levels,
    }


def _unexplained(
    quantizer: BaseEstimator, vectors: NDArray[Any], codes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what `distortion_by_level` does, with a batch of reconstructions in memory at most."""
    from sklearn_rqvae.metrics._reconstruction import checked_variance

    def squared_errors(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        batch = slice(rows[0], rows[-1] + 1)
        known = (codes[batch, : level + 1] for level in range(codes.shape[1]))
        differences = (
            np.subtract(vectors[batch], quantizer.inverse_transform(prefix), dtype=np.float64)
            for prefix in known
        )
        return np.stack([np.square(part).sum(axis=1) for part in differences], axis=1)

    errors = in_batches(squared_errors, np.arange(len(codes)), "decoding")
    return errors.sum(axis=0) / checked_variance(vectors)


def summary_of(quality: dict[str, Any]) -> str:
    levels = quality["levels"]
    used = min(level["utilization"] for level in levels)
    return (
        f"{len(levels)} codes each, {levels[-1]['unexplained']:.1%} of the variance unexplained, "
        f"at least {used:.0%} of each codebook used, {quality['n_distinct']} distinct IDs "
        f"(collision rate {quality['collision_rate']:.1%})"
    )
