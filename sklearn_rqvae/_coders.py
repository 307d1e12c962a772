"""Rows to codes and back, with what a fit has learned: a module, or codebooks alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._compute._blocks import CPU_ROWS, in_blocks
from sklearn_rqvae._compute._device import exact_device, resolve_device
from sklearn_rqvae._compute._join import join
from sklearn_rqvae._compute._threads import available_threads
from sklearn_rqvae._learning._module import restored_module
from sklearn_rqvae._learning._units import counted_from_origin
from sklearn_rqvae._onnx._write import write_codebooks, write_module
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search
from sklearn_rqvae.quantize._beam import SearchTables, beam_search
from sklearn_rqvae.quantize._distance import half_squared_norms
from sklearn_rqvae.quantize._product import block_slices, nearest_in_blocks
from sklearn_rqvae.quantize._rerank import by_error
from sklearn_rqvae.quantize._residual import sum_codewords

__all__ = ["CodebookCoder", "Coder", "ModuleCoder", "ModuleHolder", "ProductCoder"]

# Rows encoded or decoded at a time: bounds the memory.
_CHUNK_ROWS = 512
_CODEBOOK_CHUNK_ROWS = 1024

# Scores of codewords at a time, in whole blocks. Of 512 rows and 24,576 codewords they went back to
# the system, which took a fourth of the time.
_SCORES = 2**22


class Coder(Protocol):
    """Turn checked rows into codes and checked codes into rows, a few at a time."""

    def n_threads(self) -> int:
        """Return on how many threads it may be called at once."""

    def encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the codes of rows, of shape (n_samples, n_layers)."""

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows, of shape (n_samples, n_features), from codes of the first levels."""

    def candidates(
        self,
        X: NDArray[np.float32],
        n_candidates: int,
        first_codes: NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield candidates of consecutive rows, and their errors, the best ones first."""

    def write_onnx(self, path: str | os.PathLike[str], part: str, about: dict[str, str]) -> None:
        """Write `encode` or `decode` to an ONNX file that says something about itself."""


class ModuleHolder:
    """Hold the torch module of an estimator outside its state: never pickled, never copied."""

    def __init__(self) -> None:
        self._search: Search | None = None
        self._source: tuple[Any, ...] = ()
        self._net: RqVae | None = None

    def search(self, estimator: BaseEstimator) -> Search:
        """Return the search with the module on the estimator's device; build it where it is stale.

        Parameters
        ----------
        estimator : RQVAETransformer
            A fitted one.

        Returns
        -------
        search : Search
            With the module in evaluation mode.
        """
        device = exact_device(resolve_device(estimator.device))
        source = estimator.state_, estimator.module, device
        search = self._search
        if search is None or self._source[0] is not source[0] or self._source[1:] != source[1:]:
            state = counted_from_origin(estimator)
            module = restored_module(estimator.module, estimator.architecture_, state)
            search = Search(module.eval().requires_grad_(False).to(device))
            self._search, self._source = search, source
            self._net = None
        return search

    def net(self, estimator: BaseEstimator) -> RqVae:
        """Return a module for rows counted from zero, on the estimator's device.

        It is not that of the search: whoever gets it may train it, or give it another precision.

        Parameters
        ----------
        estimator : RQVAETransformer
            A fitted one.

        Returns
        -------
        net : RqVae
            The module, the same one until the estimator is fitted again.
        """
        search = self.search(estimator)
        if self._net is None:
            net = restored_module(estimator.module, estimator.architecture_, estimator.state_)
            self._net = net.eval().requires_grad_(False).to(search.module.mean.device)
        return self._net


class ModuleCoder:
    """Code rows by a module: latents, beams, and the decoder's reconstruction.

    Parameters
    ----------
    search : Search
        With the module.
    n_beams : int
        Code tuples kept from level to level.
    """

    def __init__(self, search: Search, n_beams: int):
        self.search = search
        self.n_beams = n_beams
        self.device: torch.device = search.module.mean.device

    def n_threads(self) -> int:
        """Return on how many threads it may be called at once."""
        return available_threads() if self.device.type == "cpu" else 1

    def encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the codes of rows, of shape (n_samples, n_layers)."""
        chunks = self._chunks(X)
        found = ((self.search.encode(chunk, self.n_beams),) for chunk in chunks)
        return join(found, len(X))[0].cpu().numpy()

    @torch.no_grad()
    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows, of shape (n_samples, n_features), from codes of the first levels."""
        decode = self.search.module.decode
        decoded = ((in_blocks(decode, chunk),) for chunk in self._chunks(codes))
        return join(decoded, len(codes))[0].cpu().numpy()

    def candidates(
        self,
        X: NDArray[np.float32],
        n_candidates: int,
        first_codes: NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield candidates of consecutive rows, and their errors, the best ones first."""
        firsts = repeat(None) if first_codes is None else self._chunks(first_codes)
        for chunk, first in zip(self._chunks(X), firsts, strict=False):
            codes, errors = self.search.candidates(chunk, n_candidates, first)
            yield codes.cpu().numpy(), errors.cpu().numpy()

    def write_onnx(self, path: str | os.PathLike[str], part: str, about: dict[str, str]) -> None:
        """Write `encode` or `decode` to an ONNX file that says something about itself."""
        write_module(path, part, self.search, self.n_beams, about)

    def _chunks(self, X: NDArray[Any]) -> Iterator[torch.Tensor]:
        """Yield a few rows at a time, on the device; read-only ones are copied, as torch wants."""
        n_rows = min(_CHUNK_ROWS, max(_SCORES // self.search.n_scored // CPU_ROWS, 1) * CPU_ROWS)
        for start in range(0, len(X), n_rows):
            rows = X[start : start + n_rows]
            tensor = torch.from_numpy(rows) if rows.flags.writeable else torch.tensor(rows)
            yield tensor.to(self.device)


class CodebookCoder:
    """Code rows by a mean and codebooks whose codewords add up.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype=float32
        Subtracted from rows.
    codebooks : list of ndarray of shape (codebook_size, n_features), dtype=float32
        Codewords.
    n_beams : int
        Code tuples kept from level to level.
    """

    def __init__(
        self, mean: NDArray[np.float32], codebooks: list[NDArray[np.float32]], n_beams: int
    ):
        self.mean = mean
        # Copies: arrays loaded as memory maps are read-only, which torch warns of.
        self.codebooks = [torch.tensor(codebook) for codebook in codebooks]
        self.n_beams = n_beams

    def n_threads(self) -> int:
        """Return on how many threads it may be called at once."""
        return available_threads()

    def encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the codes of rows, of shape (n_samples, n_layers)."""
        found = ((codes[:, 0],) for _, codes in self._search(X, self.n_beams))
        return join(found, len(X))[0].numpy()

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows, of shape (n_samples, n_features), from codes of the first levels."""
        return sum_codewords(torch.from_numpy(codes), self.codebooks).numpy() + self.mean

    def candidates(
        self,
        X: NDArray[np.float32],
        n_candidates: int,
        first_codes: NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield candidates of consecutive rows, and their errors, the best ones first."""
        decode = partial(sum_codewords, codebooks=self.codebooks)
        for centered, found in self._search(X, n_candidates, first_codes):
            codes, errors = by_error(centered, found, decode)
            yield codes.numpy(), errors.numpy()

    def write_onnx(self, path: str | os.PathLike[str], part: str, about: dict[str, str]) -> None:
        """Write `encode` or `decode` to an ONNX file that says something about itself."""
        write_codebooks(path, part, self.mean, self.codebooks, self.n_beams, about)

    def _search(
        self,
        X: NDArray[np.float32],
        n_beams: int,
        first_codes: NDArray[np.int64] | None = None,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield consecutive rows less their mean, and the codes that a search keeps of each."""
        tables = SearchTables(self.codebooks)
        for start in range(0, len(X), _CODEBOOK_CHUNK_ROWS):
            rows = slice(start, start + _CODEBOOK_CHUNK_ROWS)
            centered = torch.from_numpy(X[rows] - self.mean)
            first = None if first_codes is None else torch.from_numpy(first_codes[rows])
            found = beam_search(centered, self.codebooks, n_beams, tables=tables, first_codes=first)
            yield centered, found[0]


class ProductCoder(CodebookCoder):
    """Code rows by codewords of which those of different codes are orthogonal.

    So each code is found alone, in its block of rotated coordinates.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype=float32
        Subtracted from rows.
    rotation : ndarray of shape (n_features, n_features), dtype=float32
        Orthonormal columns.
    codebooks : list of ndarray of shape (codebook_size, n_features), dtype=float32
        Codewords: combinations of the columns of their block.
    """

    def __init__(
        self,
        mean: NDArray[np.float32],
        rotation: NDArray[np.float32],
        codebooks: list[NDArray[np.float32]],
    ):
        super().__init__(mean, codebooks, n_beams=1)
        self.rotation = torch.tensor(rotation)
        blocks = block_slices(len(mean), len(codebooks))
        placed = zip(self.codebooks, blocks, strict=True)
        self.parts = [codebook @ self.rotation[:, block] for codebook, block in placed]
        self.offsets = [-half_squared_norms(part) for part in self.parts]

    def encode(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the codes of rows, of shape (n_samples, n_layers)."""
        nearest = partial(
            nearest_in_blocks, rotation=self.rotation, codebooks=self.parts, offsets=self.offsets
        )
        chunks = (
            torch.from_numpy(X[start : start + _CODEBOOK_CHUNK_ROWS] - self.mean)
            for start in range(0, len(X), _CODEBOOK_CHUNK_ROWS)
        )
        return join(((in_blocks(nearest, chunk),) for chunk in chunks), len(X))[0].numpy()
