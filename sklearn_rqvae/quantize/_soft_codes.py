"""Some codes of each row, with weights: its own, and the next best."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_rqvae.quantize._distinct import distinct_choices
from sklearn_rqvae.quantize._kept import KeptCodes

__all__ = ["SoftCodes", "soft_codes"]

# Rows take part with their next best codes too: new rows will land on such. Weights fall with the
# excess of the error over the best one, in units of the mean error; less than MIN_WEIGHT isn't
# worth its time.
SOFT_CODES = 4
SOFT_WEIGHT = 0.2
SOFT_TEMPERATURE = 0.4
MIN_WEIGHT = 0.02

# What it may cost a row to have codes of its own, in units of the mean error. Without a limit the
# error of 10,000 rows in 65,536 IDs (2 x 256) rises by 15 %; in 3 x 256 it makes no difference.
MAX_MOVE_COST = 0.2


class SoftCodes(NamedTuple):
    """Some codes of each row, its own first, and their weights, the row's own included."""

    codes: Tensor  # (n_samples, n_soft, n_layers)
    weight: Tensor  # (n_samples, n_soft)


def soft_codes(
    candidates: Tensor,
    ids: Tensor,
    errors: Tensor,
    row_weight: Tensor,
    kept: KeptCodes | None = None,
) -> SoftCodes:
    """Choose each row's codes, and weigh the next best ones by how much worse they are."""
    smallest = errors.amin(1, keepdim=True)
    mean_error = smallest.mean().clamp(min=torch.finfo(errors.dtype).tiny)
    judged = errors if kept is None else kept.favored(errors, mean_error)
    choice = distinct_choices(ids, judged, row_weight, MAX_MOVE_COST * mean_error)
    ranks = judged.scatter(1, choice[:, None], -torch.inf)
    order = ranks.topk(min(SOFT_CODES, errors.shape[1]), largest=False).indices
    excess = judged.gather(1, order) - judged.amin(1, keepdim=True)
    weight = SOFT_WEIGHT * torch.exp(-excess / (SOFT_TEMPERATURE * mean_error))
    weight[weight < MIN_WEIGHT] = 0
    weight[:, 0] = 1
    codes = candidates.gather(1, order[..., None].expand(-1, -1, candidates.shape[2]))
    return SoftCodes(codes, weight * row_weight[:, None])
