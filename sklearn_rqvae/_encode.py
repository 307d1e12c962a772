"""Search the semantic IDs of vectors with a module: beams in latent space, ranked by the true reconstruction error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sklearn_rqvae.quantize._beam import beam_search

__all__ = ["candidate_codes", "encode", "squared_errors"]


@torch.no_grad()
def candidate_codes(module: Any, x: Tensor, n_candidates: int) -> tuple[Tensor, Tensor]:
    """Return the best semantic IDs found for each row, the best one first.

    A beam search proposes code tuples whose sum of codewords lies near the latent; they are ranked by what counts,
    the squared error of their reconstruction.

    Parameters
    ----------
    module : RqVae
        Module in evaluation mode.
    x : Tensor of shape (n_samples, n_features)
        Input rows.
    n_candidates : int
        Candidates for each row, at least 1; fewer are returned where there aren't as many code tuples.

    Returns
    -------
    codes : Tensor of shape (n_samples, n_found, n_layers), dtype=int64
        Candidates, by rising error; of equal ones the one that the search found first.
    errors : Tensor of shape (n_samples, n_found)
        Squared errors of their reconstructions, summed over the features.
    """
    codes, _ = beam_search(module.encode(x), module.codebooks, n_candidates)
    n_samples, n_found, n_layers = codes.shape
    decoded = module.decode(codes.reshape(-1, n_layers)).reshape(n_samples, n_found, -1)
    errors = squared_errors(x[:, None], decoded)
    errors, order = errors.sort(dim=1, stable=True)
    return codes.gather(1, order[..., None].expand(-1, -1, n_layers)), errors


@torch.no_grad()
def encode(module: Any, x: Tensor, n_beams: int) -> Tensor:
    """Return the semantic ID of each row: greedy with one beam, else the best of the candidates.

    Parameters
    ----------
    module : RqVae
        Module in evaluation mode.
    x : Tensor of shape (n_samples, n_features)
        Input rows.
    n_beams : int
        Code tuples kept at each level, at least 1.

    Returns
    -------
    codes : Tensor of shape (n_samples, n_layers), dtype=int64
        Codes.
    """
    if n_beams == 1:
        return module.get_semantic_ids(x)
    return candidate_codes(module, x, n_beams)[0][:, 0]


def squared_errors(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum the squared differences over the features (the last axis)."""
    return (x - reconstruction).square().sum(-1)
