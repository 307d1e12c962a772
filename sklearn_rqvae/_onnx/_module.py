"""The parts of a module as a graph: standardization, encoder, decoder, pairs of codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_rqvae._onnx._graph import Graph
from sklearn_rqvae._onnx._search import Beams, add_search, pick
from sklearn_rqvae.nn import Decoder, Encoder, ResidualQuantizer, RqVae
from sklearn_rqvae.nn._search import Search

__all__ = ["module_decoder", "module_encoder"]

# Possible pairs of codes up to which a table says where each one's vector stands: 16 MB.
_MAX_PAIRS_IN_TABLE = 1 << 22

_OURS = ("encode", "standardize", "decode", "_encode_standardized", "_to_input_units")


def module_encoder(graph: Graph, search: Search, n_beams: int, x: str) -> str:
    """Add the operators from rows to codes.

    Parameters
    ----------
    graph : Graph
        The graph.
    search : Search
        With the module.
    n_beams : int
        Code tuples kept from level to level.
    x : str
        Rows.

    Returns
    -------
    codes : str
        Their codes.

    Raises
    ------
    TypeError
        If the module has parts of the user's own.
    """
    module = search.module
    _check_module(module)
    mean, scale = _array(module.mean), _array(module.scale)
    standardized = graph.op("Div", graph.op("Sub", x, mean), scale)
    z = ""
    codewords, offsets = _array(search.tables.codewords), _array(search.tables.offsets)
    if search.directions is not None:
        offsets = np.pad(offsets, (0, search.n_dims))
        axes = module.encoder.components
        assert axes is not None  # a rotation has them
        directions = np.concatenate([_array(search.directions), _array(axes)[: search.n_dims]])
        products = graph.linear(standardized, directions, offsets)
        scores = graph.columns(products, 0, search.n_scored)
        if search.n_dims:
            z = graph.columns(products, search.n_scored, search.n_scored + search.n_dims)
    else:
        z = _latent(graph, module, standardized)
        scores = graph.linear(z, codewords, offsets)
    beams = add_search(graph, scores, search.tables, n_beams)
    if beams.n_kept == 1:
        return graph.op("Concat", *beams.codes, axis=1)
    if search.rotates:
        errors = graph.op("Mul", beams.totals, np.array(-2, dtype=np.float32))
        if search.pairs is not None:
            errors = graph.op("Add", errors, _pair_changes(graph, search, beams, z))
    else:
        errors = _decoded_errors(graph, module, beams, x)
    return pick(graph, beams.codes, graph.op("ArgMin", errors, axis=1, keepdims=1))


def module_decoder(graph: Graph, module: RqVae, codes: list[str]) -> str:
    """Add the operators from codes to rows.

    Parameters
    ----------
    graph : Graph
        The graph.
    module : RqVae
        The module.
    codes : list of str
        Codes at each level, of shape (n_samples,).

    Returns
    -------
    rows : str
        Reconstructions in the units of the input.

    Raises
    ------
    TypeError
        If the module has parts of the user's own.
    """
    _check_module(module)
    quantized = ""
    for code, codebook in zip(codes, module.codebooks, strict=True):
        part = graph.op("Gather", _array(codebook), code, axis=0)
        quantized = graph.op("Add", quantized, part) if quantized else part
    decoder = module.decoder
    decoded = "" if decoder.mlp is None else _mlp(graph, decoder.mlp, quantized)
    if decoder.components is not None:
        latent = quantized
        if decoder.interactions is not None and len(codes) > 1:
            vectors = _pair_vectors(graph, decoder.interactions, codes)
            missing = module.embed_dim - decoder.interactions.vectors.shape[1]
            latent = graph.op("Add", quantized, _padded(graph, vectors, missing))
        linear = graph.linear(latent, _array(decoder.components.T))
        decoded = graph.op("Add", decoded, linear) if decoded else linear
    return _in_input_units(graph, module, decoded)


def _check_module(module: RqVae) -> None:
    """Refuse a module that isn't made of our parts: its graph would be another one."""
    ours = (
        all(getattr(type(module), name) is getattr(RqVae, name) for name in _OURS)
        and type(module.encoder) is Encoder
        and type(module.decoder) is Decoder
        and type(module.quantizer) is ResidualQuantizer
    )
    if not ours:
        raise TypeError(
            f"module={type(module).__name__} has an encoder, a decoder or methods of its own, "
            "which to_onnx can't know; export estimator.net_ with torch.onnx.export."
        )


def _latent(graph: Graph, module: RqVae, standardized: str) -> str:
    """Add the encoder."""
    encoder = module.encoder
    latent = "" if encoder.mlp is None else _mlp(graph, encoder.mlp, standardized)
    if encoder.components is not None:
        linear = graph.linear(standardized, _array(encoder.components))
        latent = graph.op("Add", latent, linear) if latent else linear
    if module.codebook_normalize:
        first: Any = module.quantizer.levels[0]
        norm = graph.op("ReduceL2", latent, axes=[1], keepdims=1)
        norm = graph.op("Max", norm, np.array(1e-12, dtype=np.float32))
        latent = graph.op("Mul", graph.op("Div", latent, norm), _array(first.radius))
    return latent


def _mlp(graph: Graph, layers: Any, x: str) -> str:
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            x = graph.linear(x, _array(layer.weight), _array(layer.bias))
        else:
            x = graph.op("Relu", x)
    return x


def _in_input_units(graph: Graph, module: RqVae, decoded: str) -> str:
    n_numeric = module.input_dim - module.n_cat_features
    mean, scale = _array(module.mean)[:n_numeric], _array(module.scale)[:n_numeric]
    numeric = graph.columns(decoded, 0, n_numeric) if module.n_cat_features else decoded
    numeric = graph.op("Add", mean, graph.op("Mul", numeric, scale))
    if not module.n_cat_features:
        return numeric
    logits = graph.columns(decoded, n_numeric, module.input_dim)
    return graph.op("Concat", numeric, graph.op("Sigmoid", logits), axis=1)


def _decoded_errors(graph: Graph, module: RqVae, beams: Beams, x: str) -> str:
    """Return squared errors of the choices' reconstructions, of shape (n_samples, n_kept)."""
    flat = [graph.op("Reshape", codes, graph.integers(-1)) for codes in beams.codes]
    decoded = module_decoder(graph, module, flat)
    shape = graph.integers(-1, beams.n_kept, module.input_dim)
    difference = graph.op("Reshape", decoded, shape)
    difference = graph.op("Sub", difference, graph.op("Unsqueeze", x, graph.integers(1)))
    return graph.sum_last(graph.op("Mul", difference, difference))


def _pair_changes(graph: Graph, search: Search, beams: Beams, z: str) -> str:
    r"""Return :math:`2 v^\top (v/2 + q - z)`, what pairs change in the choices' errors."""
    pairs = search.pairs
    assert pairs is not None
    n_dims = search.n_dims
    vectors = _pair_vectors(graph, pairs.interactions, beams.codes)
    z = graph.columns(z, 0, n_dims)
    difference = graph.op("Neg", graph.op("Unsqueeze", z, graph.integers(1)))
    for code, codebook in zip(beams.codes, search.module.codebooks, strict=True):
        part = graph.op("Gather", _array(codebook)[:, :n_dims], code, axis=0)
        difference = graph.op("Add", difference, part)
    half = graph.op("Mul", vectors, np.array(0.5, dtype=np.float32))
    change = graph.op("Mul", graph.op("Add", difference, half), vectors)
    return graph.op("Mul", graph.sum_last(change), np.array(2, dtype=np.float32))


def _pair_vectors(graph: Graph, interactions: Any, codes: list[str]) -> str:
    """Return the sums of the vectors of pairs, of the shape of the codes and one axis more."""
    pair_keys, vectors = interactions.pair_keys, graph.constant(_array(interactions.vectors))
    place_of = _places(graph, interactions)
    total = ""
    for start, (first, second) in zip(pair_keys.starts[:-1], pair_keys.level_pairs, strict=True):
        size = np.array(pair_keys.codebook_size[second], dtype=np.int64)
        key = graph.op("Add", graph.op("Mul", codes[first], size), codes[second])
        key = graph.op("Add", key, np.array(start, dtype=np.int64))
        part = graph.op("Gather", vectors, place_of(key), axis=0)
        total = graph.op("Add", total, part) if total else part
    return total


def _places(graph: Graph, interactions: Any) -> Any:
    """Return a function that adds the look-up of keys among the stored ones; 0 is none."""
    keys = interactions.keys.cpu().numpy()
    n_pairs = interactions.pair_keys.starts[-1]
    if n_pairs <= _MAX_PAIRS_IN_TABLE:
        rows = np.zeros(n_pairs, dtype=np.int32)
        rows[keys] = np.arange(1, len(keys) + 1, dtype=np.int32)
        table = graph.constant(rows)
        return lambda key: graph.op("Gather", table, key, axis=0)
    return lambda key: _bisection(graph, keys, key)


def _bisection(graph: Graph, keys: NDArray[np.int64], key: str) -> str:
    """Add a search among ascending keys: 1 + the place of a key, or 0 if it isn't there."""
    n_steps = len(keys).bit_length()
    padded = np.full(1 << n_steps, np.iinfo(np.int64).max)
    padded[0] = -1
    padded[1 : 1 + len(keys)] = keys
    stored = graph.constant(padded)
    place = graph.op("Mul", key, np.array(0, dtype=np.int64))
    for step in reversed(range(n_steps)):
        further = graph.op("Add", place, np.array(1 << step, dtype=np.int64))
        reached = graph.op("LessOrEqual", graph.op("Gather", stored, further, axis=0), key)
        place = graph.op("Where", reached, further, place)
    found = graph.op("Equal", graph.op("Gather", stored, place, axis=0), key)
    return graph.op("Where", found, place, np.array(0, dtype=np.int64))


def _padded(graph: Graph, x: str, n_columns: int) -> str:
    """Return a matrix with columns of zeros at its end."""
    return x if n_columns == 0 else graph.op("Pad", x, graph.integers(0, 0, 0, n_columns))


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()
