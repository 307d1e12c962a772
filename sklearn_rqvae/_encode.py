"""Search the semantic IDs of rows: beams in latent space, ranked by reconstruction error."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_rqvae.nn import Decoder
from sklearn_rqvae.quantize._beam import SearchTables, beam_search

__all__ = ["Search"]


class Search:
    """Find the codes of rows with a module whose weights stay as they are.

    Parameters
    ----------
    module : RqVae
        Module in evaluation mode. What the search needs of its codebooks is computed here, once.
    """

    @torch.no_grad()
    def __init__(self, module: Any):
        self.module = module
        self.codebooks = [codebook.detach() for codebook in module.codebooks]
        self.tables = SearchTables(self.codebooks)
        decoder = module.decoder
        # Without an MLP the decoder is a rotation, which keeps distances: errors can be computed
        # among the latents, where a reconstruction is a sum of rows of one table.
        self.rotates = (
            isinstance(decoder, Decoder)
            and decoder.mlp is None
            and module.encoder.mlp is None
            and not module.codebook_normalize
        )
        if self.rotates:
            self.interactions = decoder.interactions
            parts = list(self.codebooks)
            self.starts = torch.tensor(
                [0, *accumulate(len(codebook) for codebook in parts)], device=parts[0].device
            )
            if self.interactions is not None:
                vectors = self.interactions.vectors
                parts.append(F.pad(vectors, (0, parts[0].shape[1] - vectors.shape[1])))
            self.summands = torch.cat(parts)

    @torch.no_grad()
    def encode(self, x: Tensor, n_beams: int) -> Tensor:
        """Return the semantic ID of each row.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
            Rows.
        n_beams : int
            Code tuples kept from level to level; with one, the search is greedy.

        Returns
        -------
        codes : Tensor of shape (n_samples, n_layers), dtype=int64
            Codes.
        """
        if n_beams == 1:
            return self.module.get_semantic_ids(x)
        codes, errors = self._ranked(x, n_beams)
        best = errors.argmin(1)
        return codes[torch.arange(len(codes), device=codes.device), best]

    @torch.no_grad()
    def candidates(self, x: Tensor, n_candidates: int) -> tuple[Tensor, Tensor]:
        """Return several semantic IDs of each row, the best one first.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
            Rows.
        n_candidates : int
            Candidates of each row, at least 1; fewer are returned where there aren't as many code
            tuples.

        Returns
        -------
        codes : Tensor of shape (n_samples, n_found, n_layers), dtype=int64
            Candidates, by rising error; of equal ones the one that the search found first.
        errors : Tensor of shape (n_samples, n_found)
            Squared errors of their reconstructions, in input units, summed over the features.
        """
        codes, errors = self._ranked(x, n_candidates)
        errors, order = errors.sort(dim=1, stable=True)
        codes = codes.gather(1, order[..., None].expand(-1, -1, codes.shape[2]))
        if not self.rotates:
            return codes, errors
        # The order was found among the latents; what they leave out is the same for all codes.
        standardized = (x - self.module.mean) / self.module.scale
        left_out = standardized.square().sum(1) - self.module.encode(x).square().sum(1)
        return codes, (errors + left_out.clamp(min=0)[:, None]) * self.module.scale[0] ** 2

    def _ranked(self, x: Tensor, n_candidates: int) -> tuple[Tensor, Tensor]:
        """Return candidates and their errors, in the unit in which these can be had most easily."""
        latent = self.module.encode(x)
        codes, _ = beam_search(latent, self.codebooks, n_candidates, tables=self.tables)
        flat = codes.flatten(0, 1)
        if self.rotates:
            rows, decoded = latent, self._sum(flat)
        else:
            rows, decoded = x, self.module.decode(flat)
        difference = decoded.view(*codes.shape[:2], -1).sub_(rows[:, None])
        return codes, difference.square_().sum(-1)

    def _sum(self, codes: Tensor) -> Tensor:
        """Add codewords and interactions of each row of codes."""
        summands = codes + self.starts[:-1]
        if self.interactions is not None:
            pairs = self.interactions.rows(codes) + self.starts[-1]
            summands = torch.cat([summands, pairs], 1)
        return F.embedding_bag(summands, self.summands, mode="sum")
