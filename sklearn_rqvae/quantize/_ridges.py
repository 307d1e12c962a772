"""How far codewords and pairs are shrunk, chosen by the rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_rqvae.quantize._regression import (
    CHUNK_ROWS,
    CODEWORD_RIDGE,
    Ridges,
    option_errors,
    regress,
)
from sklearn_rqvae.quantize._soft_codes import soft_codes

__all__ = ["choose_ridges", "codeword_ridge"]

# Codewords have more of a ridge where codes leave much: so many rows for an error as large as what
# codes explain, within limits. Rows left out can't choose: the codewords' start has met them.
_RIDGE_OF_NOISE = 12.0
_MOST_CODEWORD_RIDGE = 24.0

# The other one that pairs may have. It knows more of the rows by heart: with 3 x 256 codes it takes
# 15 % from the error of 3,909 texts and nothing from that of new ones; of 10,891 texts it takes
# 10 %, for .6 % more of new ones.
WEAK_PAIR_RIDGE = 1.0

# Of so many rows, one is left out to choose between both; at least so many are needed for that.
_ONE_LEFT_OUT_OF = 5
_MIN_LEFT_OUT = 32


def codeword_ridge(z: Tensor, errors: Tensor, row_weight: Tensor) -> float:
    """Choose the ridge of the codewords by what codes leave beside what they explain."""
    left = float(row_weight @ errors.amin(1))
    explained = float(row_weight @ z.square().sum(1)) - left
    noise = _RIDGE_OF_NOISE * left / explained if explained > 0 else _MOST_CODEWORD_RIDGE
    return min(max(noise, CODEWORD_RIDGE), _MOST_CODEWORD_RIDGE)


def choose_ridges(
    z: Tensor,
    codebooks: Sequence[Tensor],
    candidates: Tensor,
    ids: Tensor,
    errors: Tensor,
    row_weight: Tensor,
    max_floats: int,
    ridges: Ridges,
) -> Ridges:
    """Choose the ridge of the pairs by rows left out: the weak one for a gain beyond doubt.

    Leave-one-out errors can't choose. They take the vectors of all pairs but the row's own as
    given, and always ask for less of a ridge.
    """
    left_out = torch.arange(len(z), device=z.device) % _ONE_LEFT_OUT_OF == 0
    new_weight = row_weight[left_out]
    if len(new_weight) < _MIN_LEFT_OUT or max_floats <= 0:
        return ridges
    weaker = ridges._replace(pairs=WEAK_PAIR_RIDGE)
    rest = ~left_out
    soft = soft_codes(candidates[rest], ids[rest], errors[rest], row_weight[rest])
    new, options = z[left_out], candidates[left_out]

    def least_errors(tried: Ridges) -> Tensor:
        fitted = regress(z[rest], codebooks, soft, max_floats, tried)
        parts = zip(new.split(CHUNK_ROWS), options.split(CHUNK_ROWS), strict=True)
        return torch.cat([option_errors(x, fitted, some).amin(1) for x, some in parts])

    gain = new_weight * (least_errors(ridges) - least_errors(weaker))
    beyond_doubt = gain.sum() > len(gain) ** 0.5 * gain.std()
    return weaker if beyond_doubt else ridges
