"""Learn anew in closed form near the last fit: items keep their codes where that costs little."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._compute._device import exact_device
from sklearn_rqvae._compute._join import join
from sklearn_rqvae._learning._closed_form import (
    SHRINKAGE_BELOW_PAIRS,
    SHRINKAGE_WITHOUT_PAIRS,
    ClosedForm,
    latents_of,
    pair_floats,
)
from sklearn_rqvae._learning._module import (
    build_module,
    check_goes_on,
    module_attributes,
    restored_module,
)
from sklearn_rqvae._learning._residual_kmeans import SummedCodewords
from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae._learning._tasks import FitTasks
from sklearn_rqvae._learning._units import counted_from_origin
from sklearn_rqvae.nn._search import Search
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._interactions import fit_interactions
from sklearn_rqvae.quantize._kept import KeptCodes, refit_near

__all__ = ["ClosedFormRefit", "SummedCodewordsRefit"]

# Rows whose codes are searched at a time.
_SEARCH_ROWS = 512


class ClosedFormRefit(ClosedForm):
    """Refit codebooks and pairs of codes; axes and units stay those of the last fit.

    Whose codes an item had is not asked: the last fit says of every row which codes it gives it.

    Parameters
    ----------
    first : ClosedForm
        What the estimator's parameters describe.
    last : tuple of (architecture, state)
        Plain parts of the module of the last fit.
    n_beams : int
        With which the codes so far are searched.
    stability : float
        What a row's codes must cost before it gives them up, in units of the mean squared error.
    """

    keeps_units = True  # those of the last fit

    def __init__(
        self,
        first: ClosedForm,
        last: tuple[dict[str, Any], dict[str, NDArray[Any]]],
        n_beams: int,
        stability: float,
    ):
        super().__init__(
            first.codebook_size,
            first.embed_dim,
            first.codebook_normalize,
            first.device,
            first.subsample,
        )
        self.last = last
        self.n_beams = n_beams
        self.stability = stability

    @classmethod
    def of(cls, estimator: BaseEstimator) -> ClosedFormRefit:
        """Return the refit that an estimator's parameters and its last fit describe."""
        if estimator.codebook_normalize:
            raise ValueError(
                "warm_start=True can't be had with codebook_normalize=True in closed form: "
                "codewords of one length have no least squares to go on with. Set "
                "warm_start=False, or train by gradients (codebook_mode='STE')."
            )
        last = estimator.architecture_, counted_from_origin(estimator)
        return cls(ClosedForm.of(estimator), last, estimator.n_beams, estimator.stability)

    @torch.no_grad()
    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Fit a module near the last one, and return it as plain values."""
        architecture = self.architecture(training.x.shape[1])
        check_goes_on(self.last[0], architecture)
        device = exact_device(self.device)
        rows = training.to(device)
        last = restored_module(None, *self.last).eval().to(device)
        module = build_module(None, architecture, generator).to(device)
        module.set_scaling(last.mean, last.scale)
        axes = last.encoder.components
        assert axes is not None  # the closed form has them
        module.set_linear_path(last.mean, axes)
        with tasks.stage("codes so far"):
            search = Search(last)
            found = ((search.encode(x, self.n_beams),) for x in rows.x.split(_SEARCH_ROWS))
            kept = KeptCodes(join(found, len(rows.x))[0], self.stability)
            latent = latents_of(module, rows.x)
        max_floats = pair_floats(module, rows.x)
        with tasks.stage("codebooks"):
            codebooks = refit_near(
                latent,
                [codebook.detach() for codebook in last.codebooks],
                kept,
                sample_weight=rows.weight,
                shrinkage=SHRINKAGE_BELOW_PAIRS if max_floats else SHRINKAGE_WITHOUT_PAIRS,
            )
        if max_floats:
            with tasks.stage("interactions"):
                fitted = fit_interactions(
                    latent, codebooks, max_floats=max_floats, sample_weight=rows.weight, kept=kept
                )
            codebooks = fitted.codebooks
            module.set_interactions(fitted.keys, fitted.vectors)
        module.quantizer.set_codebooks(codebooks)
        return module_attributes(module, architecture, history=[])


class SummedCodewordsRefit(SummedCodewords):
    """Refit codebooks in input space; the mean stays that of the last fit.

    Parameters
    ----------
    first : SummedCodewords
        What the estimator's parameters describe.
    mean : ndarray of shape (n_features,)
        What is subtracted from rows.
    codebooks : list of ndarray of shape (codebook_size, n_features)
        Codebooks of the last fit.
    stability : float
        What a row's codes must cost before it gives them up, in units of the mean squared error.
    """

    keeps_units = True  # those of the last fit

    def __init__(
        self,
        first: SummedCodewords,
        mean: NDArray[np.float32],
        codebooks: list[NDArray[np.float32]],
        stability: float,
    ):
        super().__init__(first.codebook_size, first.n_beams, first.n_iter, first.subsample)
        self.mean = mean
        self.codebooks = codebooks
        self.stability = stability

    @classmethod
    def of(cls, estimator: BaseEstimator) -> SummedCodewordsRefit:
        """Return the refit that an estimator's parameters and its last fit describe."""
        mean = estimator.mean_
        if hasattr(estimator, "origin_"):  # rows come less their origin
            mean = np.zeros_like(mean)
        first = SummedCodewords.of(estimator)
        return cls(first, mean, estimator.codebooks_, estimator.stability)

    def learn(
        self, training: Rows, validation: Rows | None, generator: torch.Generator, tasks: FitTasks
    ) -> dict[str, Any]:
        """Fit codebooks near the last ones."""
        shape = {"codebook_size": self.codebook_size, "n_features": training.x.shape[1]}
        sizes = [len(codebook) for codebook in self.codebooks]
        check_goes_on({"codebook_size": sizes, "n_features": len(self.mean)}, shape)
        rows = training.x - torch.tensor(self.mean)
        codebooks = [torch.tensor(codebook) for codebook in self.codebooks]
        with tasks.stage("codes so far"):
            codes = beam_search(rows, codebooks, self.n_beams)[0][:, 0]
        with tasks.stage("codebooks"):
            refitted = refit_near(
                rows,
                codebooks,
                KeptCodes(codes, self.stability),
                sample_weight=training.weight,
                n_beams=self.n_beams,
                n_iter=self.n_iter,
            )
        return {"codebooks_": [codebook.numpy().copy() for codebook in refitted]}
