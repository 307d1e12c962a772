"""Search the semantic IDs of rows: beams in latent space, ranked by reconstruction error."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_rqvae._compute._blocks import in_blocks
from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.nn._rqvae import RqVae
from sklearn_rqvae.quantize._beam import SearchTables, search_scores
from sklearn_rqvae.quantize._rerank import by_error, reconstruction_errors, row_parts

__all__ = ["Search"]


# Rows that an encoder with MLPs gets at a time: an eighth faster than 128, while a single row takes
# half a millisecond longer.
_MLP_ROWS = 256

# Numbers of possible pairs of codes up to which their places are looked up in a table; a search
# among the stored ones takes less memory and five times longer.
_MAX_PAIRS_IN_TABLE = 1 << 24


class Search:
    """Find the codes of rows with a module whose weights stay as they are.

    A row's codes depend on the row alone, not on the rows beside it, their order or number.

    Parameters
    ----------
    module : RqVae
        Module in evaluation mode. What the search needs of its codebooks is computed here, once.
    """

    @torch.no_grad()
    def __init__(self, module: RqVae):
        self.module = module
        codebooks = [codebook.detach() for codebook in module.codebooks]
        self.tables = SearchTables(codebooks)
        # A rotation keeps distances: errors can be computed among the latents.
        self.rotates = module.is_rotation
        self.pairs = None
        if self.rotates and module.decoder.interactions is not None:
            self.pairs = _PairTables(module.decoder.interactions, torch.cat(codebooks))
        # In units that are the same for all features, so can those of reconstructions.
        self.keeps_distances = (
            self.rotates
            and module.n_cat_features == 0
            and bool((module.scale == module.scale[0]).all())
        )
        self.level_starts = torch.tensor(self.tables.starts[:-1], device=module.mean.device)
        self.n_scored = len(self.tables.codewords)
        self.n_dims = 0 if self.pairs is None else self.pairs.vectors.shape[1]
        self.directions = self._directions() if self.rotates else None

    def _directions(self) -> Tensor | None:
        """Return one matrix for encoder and inner products, where one product is the less work."""
        axes = self.module.encoder.components
        assert axes is not None  # a rotation has them
        n_latent, n_features = axes.shape
        n_columns = self.n_scored + self.n_dims
        if n_features * n_columns > n_latent * (n_features + self.n_scored):
            return None
        return torch.cat([linear(self.tables.codewords, axes.T), axes[: self.n_dims]])

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
        codes, errors = self._ranked(x, n_beams)
        if codes.shape[1] == 1:
            return codes[:, 0]
        return codes[torch.arange(len(codes), device=codes.device), errors.argmin(1)]

    @torch.no_grad()
    def candidates(
        self, x: Tensor, n_candidates: int, first_codes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return several semantic IDs of each row, the best one first.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
            Rows.
        n_candidates : int
            Candidates of each row, at least 1; fewer are returned where there aren't as many code
            tuples.
        first_codes : Tensor of shape (n_samples,), dtype=int64, default=None
            Code that the candidates of each row have at the first level; None admits all.

        Returns
        -------
        codes : Tensor of shape (n_samples, n_found, n_layers), dtype=int64
            Candidates, by rising error; of equal ones the one that the search found first.
        errors : Tensor of shape (n_samples, n_found)
            Squared errors of their reconstructions, in input units, summed over the features.
        """
        codes, _ = self._ranked(x, n_candidates, first_codes)
        if not self.keeps_distances:
            return by_error(x, codes, self._decode)
        standardized = self.module.standardize(x)
        latent = in_blocks(self.module.encoder, standardized)
        codes, errors = by_error(latent, codes, self._decode_latent)
        axes = self.module.encoder.components
        assert axes is not None  # a rotation has them
        if len(axes) < axes.shape[1]:  # what lies outside is an error that no code changes
            inside = in_blocks(lambda rows: linear(rows, axes.T), latent)
            errors += (standardized - inside).square_().sum(1, keepdim=True)
        return codes, errors.mul_(self.module.scale[0].square())

    def _ranked(
        self, x: Tensor, n_candidates: int, first_codes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return candidates and what to rank them by; a single one has nothing to be ranked by."""
        if self.rotates:
            pairs = self.pairs if n_candidates > 1 else None
            scores, latent = self._scores(x, 0 if pairs is None else self.n_dims)
            codes, totals = search_scores(scores, self.tables, n_candidates, first_codes)
            errors = totals.mul_(-2.0)
            if pairs is not None:
                pairs.add_to_errors(errors, codes, latent)
            return codes, errors
        scores = in_blocks(lambda rows: self.tables.scores(self.module.encode(rows)), x, _MLP_ROWS)
        codes, totals = search_scores(scores, self.tables, n_candidates, first_codes)
        if codes.shape[1] == 1:
            return codes, totals
        return codes, reconstruction_errors(x, codes, self._decode)

    def _decode(self, codes: Tensor) -> Tensor:
        return in_blocks(self.module.decode, codes)

    def _decode_latent(self, codes: Tensor) -> Tensor:
        """Return the latents that codes stand for, vectors of pairs included."""
        latent = F.embedding_bag(codes + self.level_starts, self.tables.codewords, mode="sum")
        if self.pairs is not None:
            self.pairs.add_to_latents(latent, codes)
        return latent

    def _scores(self, x: Tensor, n_dims: int) -> tuple[Tensor, Tensor]:
        """Return all codewords' scores, and the first coordinates of the latents."""
        module, tables = self.module, self.tables
        directions = None
        if self.directions is not None:
            directions = self.directions[: self.n_scored + n_dims]
        offsets = F.pad(tables.offsets, (0, n_dims))

        def products(rows: Tensor) -> Tensor:
            standardized = module.standardize(rows)
            if directions is not None:
                return linear(standardized, directions, offsets)
            latent = module.encoder(standardized)
            return torch.cat([tables.scores(latent), latent[:, :n_dims]], 1)

        scores, latent = in_blocks(products, x).split([self.n_scored, n_dims], 1)
        return scores, latent


class _PairTables:
    """Compute what vectors of pairs of codes change in squared errors.

    Parameters
    ----------
    interactions : PairInteractions
        Pairs and vectors.
    codewords : Tensor of shape (n_codewords, embed_dim)
        The codewords of all levels.
    """

    def __init__(self, interactions: Any, codewords: Tensor):
        self.interactions = interactions
        self.vectors = interactions.vectors
        self.codewords = codewords[:, : self.vectors.shape[1]].contiguous()
        sizes = interactions.pair_keys.codebook_size
        self.starts = torch.tensor([0, *sizes[:-1]], device=codewords.device).cumsum(0)
        self.table = None
        n_pairs = interactions.pair_keys.starts[-1]
        if n_pairs <= _MAX_PAIRS_IN_TABLE:
            rows = torch.arange(1, len(self.vectors), dtype=torch.int32, device=codewords.device)
            self.table = rows.new_zeros(n_pairs)
            self.table[interactions.keys] = rows

    def add_to_errors(self, errors: Tensor, codes: Tensor, latent: Tensor) -> None:
        r"""Add :math:`\|z - q - v\|^2 - \|z - q\|^2 = v^\top (v + 2 (q - z))` in place.

        Only the coordinates that the vectors have are needed of latents and codewords.

        Parameters
        ----------
        errors : Tensor of shape (n_samples, n_candidates)
            Errors without pairs.
        codes : Tensor of int64 of shape (n_samples, n_candidates, n_layers)
            Candidates.
        latent : Tensor of shape (n_samples, dim)
            Latents.
        """
        n_candidates = codes.shape[1]
        for some_errors, some_codes, z in row_parts(errors, codes, latent):
            flat = some_codes.flatten(0, 1)
            rows = self._rows(flat)
            # Where no pair has a vector, nothing changes: a third of the candidates, as a rule.
            changed = rows.sum(1).nonzero()[:, 0]
            vectors = F.embedding_bag(rows[changed], self.vectors, mode="sum")
            difference = F.embedding_bag(flat[changed] + self.starts, self.codewords, mode="sum")
            difference.sub_(F.embedding(changed // n_candidates, z))
            change = difference.add_(vectors, alpha=0.5).mul_(vectors).sum(1)
            some_errors.view(-1).index_add_(0, changed, change, alpha=2.0)

    def add_to_latents(self, latent: Tensor, codes: Tensor) -> None:
        """Add the vectors of each row's pairs to the first coordinates of its latent, in place.

        Parameters
        ----------
        latent : Tensor of shape (n_samples, embed_dim)
            Sums of codewords.
        codes : Tensor of int64 of shape (n_samples, n_layers)
            Their codes.
        """
        rows = self._rows(codes)
        changed = rows.sum(1).nonzero()[:, 0]
        vectors = F.embedding_bag(rows[changed], self.vectors, mode="sum")
        latent[:, : vectors.shape[1]].index_add_(0, changed, vectors)

    def _rows(self, codes: Tensor) -> Tensor:
        """Return where in the vectors each row's pairs stand."""
        if self.table is None:
            return self.interactions.rows(codes)
        return self.table[self.interactions.pair_keys(codes)]
