"""Search the semantic IDs of rows: beams in latent space, ranked by reconstruction error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_rqvae._compute._blocks import CPU_ROWS, RowWise, in_blocks
from sklearn_rqvae._compute._linear import linear
from sklearn_rqvae.nn._pair_errors import PairErrors
from sklearn_rqvae.nn._rqvae import RqVae
from sklearn_rqvae.quantize._beam import SearchTables, search_scores
from sklearn_rqvae.quantize._beam_few import is_for_few, search_few
from sklearn_rqvae.quantize._rerank import by_error, reconstruction_errors

__all__ = ["Search"]


# Rows that an encoder with MLPs gets at a time: an eighth faster than 128, while a single row takes
# half a millisecond longer.
_MLP_ROWS = 256


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
        # In units that are the same for all features, so can those of reconstructions.
        self.keeps_distances = (
            self.rotates
            and module.n_cat_features == 0
            and bool((module.scale == module.scale[0]).all())
        )
        self.n_scored = len(self.tables.codewords)
        self.n_dims = 0
        self.pairs: PairErrors | None = None
        self.directions: Tensor | None = None
        self.leading_axes: Tensor | None = None
        if self.rotates:
            self._prepare_rotation(self.tables.codewords)
            self._scores = RowWise(self._scores_of_rotated, module.input_dim)
            self._scores_and_latents = RowWise(self._with_latents, module.input_dim)
        else:
            self._scores = RowWise(self._scores_of_encoded, module.input_dim, _MLP_ROWS)

    def _prepare_rotation(self, codewords: Tensor) -> None:
        """Choose between one matrix for encoder and inner products, and two products in turn."""
        axes = self.module.encoder.components
        assert axes is not None  # a rotation has them
        interactions = self.module.decoder.interactions
        self.n_dims = 0 if interactions is None else interactions.vectors.shape[1]
        needs_latents = interactions is not None and not PairErrors.has_table(interactions)
        n_latent, n_features = axes.shape
        n_columns = self.n_scored + (self.n_dims if needs_latents else 0)
        in_one = n_features * n_columns <= n_latent * (n_features + self.n_scored)
        if in_one:
            self.directions = _by_columns(linear(codewords, axes.T))
            self.leading_axes = _by_columns(axes[: self.n_dims]) if needs_latents else None
        if interactions is not None:
            rotation = axes if in_one and not needs_latents else None
            self.pairs = PairErrors(interactions, codewords, rotation)

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
        standardized = self.module.standardize(x) if self.rotates else x
        scores = self._scores(standardized)
        codes, _ = search_scores(scores, self.tables, n_candidates, first_codes)
        if not self.keeps_distances:
            return by_error(x, codes, self._decode)
        latent = in_blocks(self.module.encoder, standardized)
        codes, errors = by_error(latent, codes, self._decode_latent)
        axes = self.module.encoder.components
        assert axes is not None  # a rotation has them
        if len(axes) < axes.shape[1]:  # what lies outside is an error that no code changes
            inside = in_blocks(lambda rows: linear(rows, axes.T), latent)
            errors += (standardized - inside).square_().sum(1, keepdim=True)
        return codes, errors.mul_(self.module.scale[0].square())

    def _ranked(self, x: Tensor, n_candidates: int) -> tuple[Tensor, Tensor]:
        """Return candidates and what to rank them by; a single one has nothing to be ranked by."""
        if not self.rotates:
            codes, totals = search_scores(self._scores(x), self.tables, n_candidates)
            if codes.shape[1] == 1:
                return codes, totals
            return codes, reconstruction_errors(x, codes, self._decode)
        pairs = self.pairs if n_candidates > 1 else None
        rows = self.module.standardize(x)
        if pairs is None or pairs.products is not None:
            scores = self._scores(rows)
        else:
            scores, rows = self._scores_and_latents(rows).split([self.n_scored, self.n_dims], 1)
        with torch.inference_mode():  # a sixth of the time of a single row
            few = is_for_few(scores, self.tables, n_candidates)
            search = search_few if few else search_scores
            codes, totals = search(scores, self.tables, n_candidates)
            errors = totals.mul_(-2.0)
            if pairs is not None:
                pairs.add_to_errors(errors, codes, rows)
        return codes, errors

    def _decode(self, codes: Tensor) -> Tensor:
        return in_blocks(self.module.decode, codes)

    def _decode_latent(self, codes: Tensor) -> Tensor:
        """Return the latents that codes stand for, vectors of pairs included."""
        latent = F.embedding_bag(
            codes + self.tables.first_codewords, self.tables.codewords, mode="sum"
        )
        if self.pairs is not None:
            self.pairs.add_to_latents(latent, codes)
        return latent

    def _scores_of_encoded(self, x: Tensor) -> Tensor:
        return self.tables.scores(self.module.encode(x))

    def _scores_of_rotated(self, standardized: Tensor) -> Tensor:
        """Return all codewords' scores."""
        if self.directions is None:
            return self.tables.scores(self.module.encoder(standardized))
        return linear(standardized, self.directions, self.tables.offsets, of_rows=CPU_ROWS)

    def _with_latents(self, standardized: Tensor) -> Tensor:
        """Return all codewords' scores, and after them the first coordinates of the latents."""
        if self.directions is None:
            latent = self.module.encoder(standardized)
            return torch.cat([self.tables.scores(latent), latent[:, : self.n_dims]], 1)
        assert self.leading_axes is not None  # whoever asks for latents needs them
        latent = linear(standardized, self.leading_axes, of_rows=CPU_ROWS)
        return torch.cat([self._scores_of_rotated(standardized), latent], 1)


def _by_columns(matrix: Tensor) -> Tensor:
    """Return a matrix that is stored column by column.

    As the weight of a product it takes half the time for a few rows, and a tenth less for many.
    """
    return matrix.T.contiguous().T
