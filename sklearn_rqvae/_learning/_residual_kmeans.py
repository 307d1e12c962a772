"""SummedCodewords: residual k-means in input space, refined by least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sklearn_rqvae._learning._refinement import refine_codebooks
from sklearn_rqvae._learning._rows import Rows, closed_form_rows, generator_of, row_limit
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._validation import check_codebook_size
from sklearn_rqvae.quantize._additive import fit_codebooks

__all__ = ["SummedCodewords"]


class SummedCodewords:
    """Learn a mean and codebooks whose codewords add up to rows.

    Parameters
    ----------
    codebook_size : list of int
        Number of codewords of each level.
    n_beams, n_iter : int
        Choices of codes kept at each level, and rounds of search and least squares.
    subsample : int or None
        Distinct rows to take into account at most, all if None.
    """

    n_epochs = 0
    held_out: float | None = None
    keeps_rows = True
    n_fixed = 0
    keeps_units = False
    device = torch.device("cpu")
    ways_out = (
        "features and rows of similar scale (StandardScaler, Normalizer), a smaller "
        "codebook_size, fewer levels"
    )
    ignores: tuple[str, ...] = ()
    ignores_because = ""

    def __init__(self, codebook_size: list[int], n_beams: int, n_iter: int, subsample: int | None):
        self.codebook_size = codebook_size
        self.n_beams = n_beams
        self.n_iter = n_iter
        self.subsample = row_limit(subsample)

    @classmethod
    def of(cls, estimator: BaseEstimator) -> SummedCodewords:
        """Return the learner that an estimator's parameters describe."""
        sizes = check_codebook_size(estimator.codebook_size, estimator.n_layers)
        return cls(sizes, estimator.n_beams, estimator.n_iter, estimator.subsample)

    def max_rows(self, n_features: int) -> int:
        """Return how many distinct rows codebooks are found on, whatever their length."""
        return min(closed_form_rows(self.codebook_size), self.subsample)

    def generator(self, random_state: Any) -> torch.Generator:
        """Return what draws the starts of k-means."""
        return generator_of(random_state)

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Fit codebooks to the rows less their mean."""
        rows = training.x.numpy()
        mean = np.average(rows, axis=0, weights=training.given_weight).astype(np.float32)
        with tasks.stage("codebooks"):
            codebooks = fit_codebooks(
                torch.from_numpy(rows - mean),
                self.codebook_size,
                sample_weight=training.weight,
                n_beams=self.n_beams,
                n_iter=self.n_iter,
                generator=generator,
            )
        population = training.population
        if population is not None and len(rows) < self.subsample:
            with tasks.stage("all rows"):
                all_rows = population.blocks(self.subsample)
                codebooks = refine_codebooks(
                    codebooks, torch.from_numpy(mean), all_rows, self.n_beams
                )
        return {"mean_": mean, "codebooks_": [codebook.numpy().copy() for codebook in codebooks]}
