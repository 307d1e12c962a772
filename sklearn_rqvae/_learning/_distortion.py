"""The distortion by which gradient training chooses its best epoch."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from sklearn_rqvae._learning._rows import Rows
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search

__all__ = ["comparable", "distortion_unit", "relative_distortion", "row_distortions"]

# Rows encoded at a time.
_CHUNK_ROWS = 1024


def distortion_unit(rows: Rows) -> float:
    """Return what distortions are relative to: the weighted sum of squared distances to the mean.

    Where the rows don't vary, it is the sum of the weights.
    """
    mean = (rows.x * rows.weight[:, None]).sum(0) / rows.weight.sum()
    variance = float(((rows.x - mean).square().sum(1) * rows.weight).sum())
    return variance if variance > 0 else float(rows.weight.sum())


def comparable(module: RqVae, x: Tensor) -> Tensor:
    """Return rows in units in which squared differences of columns weigh as in training.

    Categories have no unit: beside them the other columns are divided by their scale.
    """
    return x / module.scale if module.n_cat_features else x


def relative_distortion(module: RqVae, rows: Rows, unit: float, n_beams: int = 1) -> float:
    """Return the weighted squared reconstruction error over `unit`.

    In the unit that `distortion_unit` returns, it is 0 if perfect, and 1 if no better than the
    mean.
    """
    sums = [errors.sum() for errors in _errors(module, rows, n_beams)]
    return float(torch.stack(sums).cpu().double().sum()) / unit


def row_distortions(module: RqVae, rows: Rows, unit: float, n_beams: int = 1) -> Tensor:
    """Return each row's share of the relative distortion, of shape (n_samples,) and float64."""
    return torch.cat(_errors(module, rows, n_beams)).cpu().double() / unit


@torch.no_grad()
def _errors(module: RqVae, rows: Rows, n_beams: int) -> list[Tensor]:
    """Return the rows' weighted squared errors, in chunks."""
    was_training = module.training
    module.eval()
    encode = module.get_semantic_ids
    if n_beams > 1:
        encode = partial(Search(module).encode, n_beams=n_beams)
    chunks = zip(rows.x.split(_CHUNK_ROWS), rows.weight.split(_CHUNK_ROWS), strict=True)
    errors = []
    for x, weight in chunks:
        difference = comparable(module, x) - comparable(module, module.decode(encode(x)))
        errors.append(difference.square_().sum(1) * weight)
    module.train(was_training)
    return errors
