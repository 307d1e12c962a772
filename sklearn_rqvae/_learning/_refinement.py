"""Refine codebooks that were found on a sample of the rows by passes over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sklearn_rqvae._compute._threads import available_threads, in_threads
from sklearn_rqvae._learning._rows import Population, RowBlocks
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search
from sklearn_rqvae.quantize._all_rows import fit_to_all
from sklearn_rqvae.quantize._beam import SearchTables, beam_search

__all__ = ["refine_codebooks", "refine_module"]

# Passes: each finds codes, and fits to them.
_N_PASSES = 2

# Numbers in the rows for each one that pairs may store, and the most that they may store by that,
# 16 MiB. With 3 x 256 codes for 380,000 words of GloVe, of length 50, 40.3 % of the variance of new
# words is left and 35.2 % of that of old ones; with pairs as many as a sample gets, 40.8 % and
# 39.5 %; with a fourth instead of a sixteenth, 40.4 % and 29.1 % after one pass.
_FLOATS_PER_STORED = 16
_MOST_FLOATS = 2**22

# Rows encoded at a time.
_CHUNK_ROWS = 1024

# Choices of codes that a module's search keeps at each level.
_N_BEAMS = 16


@torch.no_grad()
def refine_module(module: RqVae, population: Population, max_rows: int, max_floats: int) -> None:
    """Fit a module's codewords and pair vectors to more rows than they were found on.

    Parameters
    ----------
    module : RqVae
        A module that only rotates rows, changed in place.
    population : Population
        The rows.
    max_rows : int
        Distinct rows to use at most.
    max_floats : int
        Numbers that the pairs' vectors and keys may have in all, or more where there are many rows.
    """
    rows = population.blocks(max_rows)
    n_floats = len(rows.index) * module.input_dim // _FLOATS_PER_STORED
    max_floats = max(max_floats, min(n_floats, _MOST_FLOATS)) if max_floats > 0 else 0
    device = module.mean.device
    for _ in range(_N_PASSES):
        search = Search(module)
        codes = _codes(rows, lambda x: search.encode(x.to(device), _N_BEAMS))  # noqa: B023
        standardized = (module.standardize(x.to(device)).cpu() for x in rows)
        codebooks = [codebook.detach() for codebook in module.codebooks]
        axes = module.encoder.components
        fitted = fit_to_all(
            standardized, codes, rows.weight, codebooks, axes, max_floats=max_floats
        )
        if len(fitted.keys) or module.decoder.interactions is not None:
            module.set_interactions(fitted.keys, fitted.vectors)
        module.quantizer.set_codebooks(fitted.codebooks)


@torch.no_grad()
def refine_codebooks(
    codebooks: Sequence[Tensor],
    mean: Tensor,
    population: Population,
    max_rows: int,
    n_beams: int,
) -> list[Tensor]:
    """Fit codewords to more rows than they were found on.

    Parameters
    ----------
    codebooks : sequence of Tensor of shape (codebook_size, n_features)
        Codebooks for rows less their mean.
    mean : Tensor of shape (n_features,)
        The mean.
    population : Population
        The rows.
    max_rows : int
        Distinct rows to use at most.
    n_beams : int
        Choices of codes kept at each level.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_features)
        The codebooks refined.
    """
    rows, refined = population.blocks(max_rows), list(codebooks)
    for _ in range(_N_PASSES):
        tables = SearchTables(refined)
        codes = _codes(
            rows,
            lambda x: beam_search(x - mean, refined, n_beams, tables=tables)[0][:, 0],  # noqa: B023
        )
        centered = (x - mean for x in rows)
        refined = fit_to_all(centered, codes, rows.weight, refined, max_floats=0).codebooks
    return refined


def _codes(rows: RowBlocks, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the codes of all rows, found in threads."""

    def work(part: slice) -> Tensor:
        chunks = rows.read(part).split(_CHUNK_ROWS)
        return torch.cat([encode(chunk).int().cpu() for chunk in chunks])

    n_threads = available_threads()
    return torch.cat(list(in_threads(work, list(rows.parts(n_threads)), n_threads)))
