"""ProductCodewords: a rotation and codebooks of independent codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sklearn_rqvae._learning._residual_kmeans import SummedCodewords
from sklearn_rqvae._learning._rows import Rows, closed_form_rows
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.quantize._product import block_slices, fit_product

__all__ = ["ProductCodewords"]


class ProductCodewords(SummedCodewords):
    """Learn a mean, a rotation, and codewords that lie in its blocks: in rows' space they add up.

    Parameters
    ----------
    codebook_size : list of int
        Number of codewords of each code.
    n_iter : int
        Rounds of codewords and rotation.
    subsample : int or None
        Distinct rows to learn from at most, all if None.
    """

    def __init__(self, codebook_size: list[int], n_iter: int, subsample: int | None):
        super().__init__(codebook_size, n_beams=1, n_iter=n_iter, subsample=subsample)

    @classmethod
    def of(cls, estimator: BaseEstimator) -> ProductCodewords:
        """Return the learner that an estimator's parameters describe."""
        sizes = check_codebook_size(estimator.codebook_size, estimator.n_layers)
        auto = estimator.subsample == "auto"
        subsample = closed_form_rows(sizes) if auto else estimator.subsample
        return cls(sizes, estimator.n_iter, subsample)

    def max_rows(self, n_features: int) -> int:
        """Return how many distinct rows are learned from, whatever their length."""
        return self.subsample

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Fit rotation and codebooks to the rows less their mean.

        Raises
        ------
        ValueError
            If there are more codes than features.
        """
        rows, n_layers = training.x.numpy(), len(self.codebook_size)
        if n_layers > rows.shape[1]:
            raise ValueError(
                f"n_layers={n_layers} should be at most n_features={rows.shape[1]}: each code "
                "describes features of its own; lower n_layers, or let codes refine each other."
            )
        mean = np.average(rows, axis=0, weights=training.given_weight).astype(np.float32)
        with tasks.stage("codebooks"):
            rotation, codebooks = fit_product(
                torch.from_numpy(rows - mean),
                self.codebook_size,
                sample_weight=training.weight,
                n_iter=self.n_iter,
                generator=generator,
            )
        blocks = block_slices(rows.shape[1], n_layers)
        placed = [
            codebook @ rotation[:, block].T
            for codebook, block in zip(codebooks, blocks, strict=True)
        ]
        return {
            "mean_": mean,
            "rotation_": rotation.numpy().copy(),
            "codebooks_": [codebook.numpy().copy() for codebook in placed],
        }
