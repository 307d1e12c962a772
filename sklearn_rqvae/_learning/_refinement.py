"""Refine codebooks that were found on a sample of the rows by passes over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sklearn_rqvae._compute._join import join
from sklearn_rqvae._compute._threads import available_threads, in_threads
from sklearn_rqvae._learning._rows import RowBlocks
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
def refine_module(module: RqVae, rows: RowBlocks, max_floats: int) -> None:
    """Fit a module's codewords and pair vectors to more rows than they were found on.

    Parameters
    ----------
    module : RqVae
        A module that only rotates rows, changed in place.
    rows : RowBlocks
        The rows.
    max_floats : int
        Numbers that the pairs' vectors and keys may have in all, or more where there are many rows.
    """
    n_floats = len(rows.index) * module.input_dim // _FLOATS_PER_STORED
    max_floats = max(max_floats, min(n_floats, _MOST_FLOATS)) if max_floats > 0 else 0
    for _ in range(_N_PASSES):
        codes = torch.cat(rows.map(partial(_codes_by_module, module)))
        codebooks = [codebook.detach() for codebook in module.codebooks]
        apply = partial(_apply, rows, codes, partial(_standardized, module))
        axes = module.encoder.components
        fitted = fit_to_all(apply, codes, rows.weight, codebooks, axes, max_floats=max_floats)
        if len(fitted.keys) or module.decoder.interactions is not None:
            module.set_interactions(fitted.keys, fitted.vectors)
        module.quantizer.set_codebooks(fitted.codebooks)


@torch.no_grad()
def refine_codebooks(
    codebooks: Sequence[Tensor],
    mean: Tensor,
    rows: RowBlocks,
    n_beams: int,
) -> list[Tensor]:
    """Fit codewords to more rows than they were found on.

    Parameters
    ----------
    codebooks : sequence of Tensor of shape (codebook_size, n_features)
        Codebooks for rows less their mean.
    mean : Tensor of shape (n_features,)
        The mean.
    rows : RowBlocks
        The rows.
    n_beams : int
        Choices of codes kept at each level.

    Returns
    -------
    codebooks : list of Tensor of shape (codebook_size, n_features)
        The codebooks refined.
    """
    refined = list(codebooks)
    for _ in range(_N_PASSES):
        codes = torch.cat(rows.map(partial(_codes_by_codebooks, refined, mean, n_beams)))
        apply = partial(_apply, rows, codes, partial(_centered, mean))
        refined = fit_to_all(apply, codes, rows.weight, refined, max_floats=0).codebooks
    return refined


# What follows may run on a worker: plain functions, and tables are made there.


def _codes_by_module(module: RqVae, rows: RowBlocks) -> Tensor:
    search, device = Search(module), module.mean.device
    return _codes(rows, lambda x: search.encode(x.to(device), _N_BEAMS))


def _codes_by_codebooks(
    codebooks: Sequence[Tensor], mean: Tensor, n_beams: int, rows: RowBlocks
) -> Tensor:
    tables = SearchTables(codebooks)
    return _codes(rows, lambda x: beam_search(x - mean, codebooks, n_beams, tables=tables)[0][:, 0])


def _standardized(module: RqVae, x: Tensor) -> Tensor:
    return module.standardize(x.to(module.mean.device)).cpu()


def _centered(mean: Tensor, x: Tensor) -> Tensor:
    return x - mean


def _apply(
    rows: RowBlocks,
    codes: Tensor,
    prepare: Callable[[Tensor], Tensor],
    function: Callable[..., Any],
    merge: Callable[[list[Any]], Any],
) -> Any:
    """Call a function of blocks, codes and weights with prepared rows, wherever they are."""
    return rows.map(partial(_on_prepared, prepare, function), codes, merge=merge)[0]


def _on_prepared(
    prepare: Callable[[Tensor], Tensor],
    function: Callable[..., Any],
    rows: RowBlocks,
    codes: Tensor,
) -> Any:
    return function((prepare(x) for x in rows), codes, rows.weight)


@torch.no_grad()
def _codes(rows: RowBlocks, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the codes of all rows, found in threads."""

    def work(part: slice) -> Tensor:
        x = rows.read(part)
        return join(((encode(some).int().cpu(),) for some in x.split(_CHUNK_ROWS)), len(x))[0]

    n_threads = available_threads()
    return torch.cat(list(in_threads(work, list(rows.parts(n_threads)), n_threads)))
