"""The distortion by which gradient training chooses its best epoch."""

from __future__ import annotations

from functools import partial

import torch

from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search

__all__ = ["distortion_unit", "relative_distortion"]


def distortion_unit(rows: Rows) -> float:
    """Return what distortions are relative to: the weighted sum of squared distances to the mean.

    Where the rows don't vary, it is the sum of the weights.
    """
    mean = (rows.x * rows.weight[:, None]).sum(0) / rows.weight.sum()
    variance = float(((rows.x - mean).square().sum(1) * rows.weight).sum())
    return variance if variance > 0 else float(rows.weight.sum())


@torch.no_grad()
def relative_distortion(
    module: RqVae, rows: Rows, unit: float, n_beams: int = 1, chunk_rows: int = 1024
) -> float:
    """Return the weighted squared reconstruction error over `unit`.

    In the unit that `distortion_unit` returns, it is 0 if perfect, and 1 if no better than the
    mean.
    """
    was_training = module.training
    module.eval()
    encode = module.get_semantic_ids
    if n_beams > 1:
        encode = partial(Search(module).encode, n_beams=n_beams)
    errors = []
    for x, weight in zip(rows.x.split(chunk_rows), rows.weight.split(chunk_rows), strict=True):
        reconstruction = module.decode(encode(x))
        errors.append(((x - reconstruction).square_().sum(1) * weight).sum())
    module.train(was_training)
    return float(torch.stack(errors).cpu().double().sum()) / unit
