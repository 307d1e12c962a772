"""The encoder or the decoder of a fitted estimator, as a file."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_rqvae._onnx._graph import Graph
from sklearn_rqvae._onnx._module import module_decoder, module_encoder
from sklearn_rqvae._onnx._search import add_search, pick
from sklearn_rqvae.nn._search import Search
from sklearn_rqvae.quantize._beam import SearchTables

__all__ = ["PARTS", "write_codebooks", "write_module"]

PARTS = ("encode", "decode")


def write_module(
    path: str | os.PathLike[str], part: str, search: Search, n_beams: int, about: dict[str, str]
) -> None:
    """Write a module.

    Parameters
    ----------
    path : str or path-like
        File to write.
    part : {"encode", "decode"}
        Which part of it.
    search : Search
        With the module.
    n_beams : int
        Code tuples kept from level to level.
    about : dict of str to str
        What the file says of the model.
    """
    module, graph = search.module, Graph(part)
    sizes = (module.input_dim, module.n_layers)
    if part == "encode":
        _write_encoder(graph, path, module_encoder(graph, search, n_beams, "X"), sizes, about)
    else:
        rows = module_decoder(graph, module, _by_level(graph, module.n_layers))
        _write_decoder(graph, path, rows, sizes, about)


def write_codebooks(
    path: str | os.PathLike[str],
    part: str,
    mean: NDArray[np.float32],
    codebooks: list[torch.Tensor],
    n_beams: int,
    about: dict[str, str],
) -> None:
    """Write a mean and codebooks whose codewords add up.

    Parameters
    ----------
    path : str or path-like
        File to write.
    part : {"encode", "decode"}
        Which part of it.
    mean : ndarray of shape (n_features,)
        Subtracted from rows.
    codebooks : list of Tensor of shape (codebook_size, n_features)
        Codewords.
    n_beams : int
        Code tuples kept from level to level.
    about : dict of str to str
        What the file says of the model.
    """
    graph, sizes = Graph(part), (len(mean), len(codebooks))
    if part == "encode":
        tables = SearchTables(codebooks)
        centered = graph.op("Sub", "X", mean)
        scores = graph.linear(centered, tables.codewords.numpy(), tables.offsets.numpy())
        beams = add_search(graph, scores, tables, n_beams)
        best = graph.op("ArgMax", beams.totals, axis=1, keepdims=1)
        _write_encoder(graph, path, pick(graph, beams.codes, best), sizes, about)
        return
    rows = ""
    for code, codebook in zip(_by_level(graph, len(codebooks)), codebooks, strict=True):
        part_of_sum = graph.op("Gather", codebook.numpy(), code, axis=0)
        rows = graph.op("Add", rows, part_of_sum) if rows else part_of_sum
    _write_decoder(graph, path, graph.op("Add", rows, mean), sizes, about)


def _by_level(graph: Graph, n_levels: int) -> list[str]:
    """Return the codes of each level, of shape (n_samples,)."""
    return [
        graph.op("Gather", "codes", np.array(level, dtype=np.int64), axis=1)
        for level in range(n_levels)
    ]


def _write_encoder(
    graph: Graph,
    path: str | os.PathLike[str],
    codes: str,
    sizes: tuple[int, int],
    about: dict[str, str],
) -> None:
    n_features, n_levels = sizes
    graph.write(path, ("X", np.float32, n_features), (codes, "codes", np.int64, n_levels), about)


def _write_decoder(
    graph: Graph,
    path: str | os.PathLike[str],
    rows: str,
    sizes: tuple[int, int],
    about: dict[str, str],
) -> None:
    n_features, n_levels = sizes
    result = (rows, "reconstruction", np.float32, n_features)
    graph.write(path, ("codes", np.int64, n_levels), result, about)
