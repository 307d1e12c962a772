"""Errors of rows with their own share taken out of a regression."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_rqvae._compute._threads import map_rows
from sklearn_rqvae.quantize._pairs import PairKeys, find
from sklearn_rqvae.quantize._regression import (
    CHUNK_ROWS,
    RIDGES,
    Interactions,
    Ridges,
    reconstruct,
)
from sklearn_rqvae.quantize._soft_codes import SoftCodes

__all__ = ["leave_one_out_errors"]


def leave_one_out_errors(
    z: Tensor,
    fitted: Interactions,
    candidates: Tensor,
    soft: SoftCodes,
    ridges: Ridges = RIDGES,
) -> Tensor:
    """Return each candidate's squared error with the row's own share taken out of the fit.

    In a ridge regression on disjoint groups, a group's mean without one member follows from the
    mean with it: the residual grows by the factor ``weight / (total - weight + ridge)``. Here each
    group is treated as if the others stood still.
    """
    n_layers = candidates.shape[2]
    pair_keys = PairKeys([len(codebook) for codebook in fitted.codebooks])
    totals = _total_weights(soft, fitted, pair_keys)
    dim = fitted.vectors.shape[1]

    def errors_of(rows: slice) -> Tensor:
        own, own_weight, options = soft.codes[rows], soft.weight[rows], candidates[rows]
        own_residual = (z[rows, None] - reconstruct(own, fitted, pair_keys)) * own_weight[..., None]
        residual = z[rows, None] - reconstruct(options, fitted, pair_keys)
        by_codewords = z.new_zeros(len(own), options.shape[1], own.shape[1])
        by_pairs = torch.zeros_like(by_codewords)
        for level in range(n_layers):
            by_codewords += _own_share(
                options[..., level],
                own[..., level],
                own_weight,
                totals.codewords[level],
                ridges.codewords,
            )
        option_pairs = _pair_positions(options, fitted.keys, pair_keys)
        own_pairs = _pair_positions(own, fitted.keys, pair_keys)
        for column in range(option_pairs.shape[-1]):
            by_pairs += _own_share(
                option_pairs[..., column],
                own_pairs[..., column],
                own_weight,
                totals.pairs,
                ridges.pairs,
            )
        residual[..., :dim] += (by_codewords + by_pairs) @ own_residual[..., :dim]
        residual[..., dim:] += by_codewords @ own_residual[..., dim:]
        return residual.square().sum(-1)

    def part_errors(part: slice) -> Tensor:
        # Small results among large temporaries would leave holes in memory, 11 KB a row.
        errors = z.new_empty(part.stop - part.start, candidates.shape[1])
        for start in range(part.start, part.stop, CHUNK_ROWS):
            rows = slice(start, min(start + CHUNK_ROWS, part.stop))
            errors[start - part.start : rows.stop - part.start] = errors_of(rows)
        return errors

    return torch.cat(map_rows(part_errors, len(z), CHUNK_ROWS))


class _Totals(NamedTuple):
    """Total weight of the rows with each code of each level, and with each pair.

    The last entry of the pairs, for pairs that aren't stored, is infinite.
    """

    codewords: list[Tensor]
    pairs: Tensor


def _total_weights(soft: SoftCodes, fitted: Interactions, pair_keys: PairKeys) -> _Totals:
    codes, weight = soft.codes.flatten(0, 1), soft.weight.flatten()
    codewords = [
        torch.bincount(codes[:, level], weights=weight, minlength=len(codebook)).to(weight.dtype)
        for level, codebook in enumerate(fitted.codebooks)
    ]
    positions = find(fitted.keys, pair_keys(codes))
    pairs = torch.zeros(len(fitted.keys) + 1, dtype=weight.dtype, device=weight.device)
    for column in positions.T:
        pairs.index_add_(0, column % len(pairs), weight)  # -1 is the last entry
    pairs[-1] = torch.inf
    return _Totals(codewords, pairs)


def _own_share(
    option: Tensor, own: Tensor, own_weight: Tensor, total: Tensor, ridge: float
) -> Tensor:
    """Return the share of own codes in each option's group: (n_rows, n_options, n_own)."""
    same = (option[:, :, None] == own[:, None, :]).to(own_weight.dtype)
    without = total[option] - (same * own_weight[:, None]).sum(-1) + ridge
    return same / without[..., None]


def _pair_positions(codes: Tensor, keys: Tensor, pair_keys: PairKeys) -> Tensor:
    return find(keys, pair_keys(codes.flatten(0, 1))).unflatten(0, codes.shape[:2])
