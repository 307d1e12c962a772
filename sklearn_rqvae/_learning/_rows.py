"""Training rows on the device: distinct, weighted, in canonical order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor

from sklearn_rqvae._learning._units import Units
from sklearn_rqvae._rows._arrangement import arranged_rows
from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae._rows._origin import origin_of
from sklearn_rqvae._rows._source import RowSource, blocks_of

__all__ = [
    "ChosenRows",
    "Population",
    "RowBlocks",
    "Rows",
    "closed_form_rows",
    "file_rows",
    "first_rows",
    "generator_of",
    "gradient_rows",
    "last_rows_held_out",
    "row_limit",
    "rows_of",
    "training_rows",
]

# Rows that the closed form finds codebooks on, for up to 256 codewords.
_CLOSED_FORM_ROWS = 2**16
# Rows per codeword of larger codebooks: as many as k-means takes into account.
_ROWS_PER_CODEWORD = 256
# Numbers in the rows that training by gradients keeps at hand, on the device: 512 MiB.
_GRADIENT_FLOATS = 2**27
# Numbers in the rows that are kept of files: 256 MiB.
_FILE_FLOATS = 2**26
# The square of a ten-thousandth of it is the smallest number that float32 holds in full precision.
_SMALLEST = 1e-15


class RowBlocks:
    """Distinct rows of a source, read in blocks.

    Parameters
    ----------
    source : RowSource
        All rows.
    units : Units or None
        What rows are brought to; None leaves them as they are.
    index : ndarray of shape (n_samples,)
        Positions of the distinct rows, ascending.
    weight : Tensor of shape (n_samples,), dtype=float64
        Their weights, with a mean of one.
    """

    def __init__(
        self, source: RowSource, units: Units | None, index: NDArray[np.intp], weight: Tensor
    ):
        self.source = source
        self.units = units
        self.index = index
        self.weight = weight

    def __iter__(self) -> Iterator[Tensor]:
        """Yield blocks of rows, of shape (n_rows, n_features), dtype=float32."""
        return map(self.read, self.parts())

    def parts(self, n_threads: int = 1) -> Iterator[slice]:
        """Yield where the blocks are, smaller ones for several threads."""
        return blocks_of(len(self.index), self.source.shape[1], n_threads)

    def map(
        self,
        function: Callable[..., Any],
        *aligned: Tensor,
        merge: Callable[[list[Any]], Any] | None = None,
    ) -> list[Any]:
        """Call a function with all rows; where they lie in shards, for each shard on a worker.

        Parameters
        ----------
        function : callable
            Gets a `RowBlocks` and what belongs to its rows of each of `aligned`.
        *aligned : Tensor of shape (n_samples, ...)
            More about the rows, on the CPU.
        merge : callable, optional
            Makes one of several results.

        Returns
        -------
        results : list
            In the order of the rows; a single one with `merge`.
        """
        if not self.source.is_sharded:
            return [function(self, *aligned)]
        more = [tensor.numpy() for tensor in (self.weight, *aligned)]
        of_shard = partial(_of_shard, function, self.units)
        return self.source.map(self.index, of_shard, *more, merge=merge)

    def read(self, part: slice) -> Tensor:
        """Return a block.

        Raises
        ------
        ValueError
            If squares of its numbers overflow in float32.
        """
        if self.units is None:
            return torch.from_numpy(self.source.take(self.index[part]))
        block = self.units.rows(self.source, self.index[part])
        check_squares(block, float(self.units.unit[0]), smallest=0.0)
        return torch.from_numpy(block)


def _of_shard(
    function: Callable[..., Any],
    units: Units | None,
    source: RowSource,
    index: NDArray[np.intp],
    weight: NDArray[np.float64],
    *aligned: NDArray[Any],
) -> Any:
    more = [torch.tensor(part) for part in aligned]
    return function(RowBlocks(source, units, index, torch.tensor(weight)), *more)


class Population(NamedTuple):
    """What a smaller sample of rows was drawn from, and that sample's units."""

    source: RowSource
    units: Units
    sample_weight: NDArray[np.float64] | None

    def blocks(self, max_rows: int) -> RowBlocks:
        """Return its distinct rows in blocks, the first `max_rows` if there are more of them."""
        index, weight = canonical_rows(self.source, self.sample_weight, max_rows)
        order = np.argsort(index)
        relative = torch.from_numpy((weight / weight.mean())[order])
        return RowBlocks(self.source, self.units, index[order], relative)


class Rows(NamedTuple):
    """Distinct rows, their weights scaled to a mean of one, and, of all rows, those given.

    Where they are a sample of more, `population` is what they were drawn from.
    """

    x: Tensor
    weight: Tensor
    given_weight: NDArray[np.float64] | None = None
    population: Population | None = None

    def to(self, device: torch.device) -> Rows:
        """Return the rows on a device."""
        return self._replace(x=self.x.to(device), weight=self.weight.to(device))

    def blocks(self) -> RowBlocks:
        """Return the rows in blocks, on the CPU."""
        source = RowSource(self.x.cpu().numpy())
        return RowBlocks(source, None, np.arange(len(source)), self.weight.double().cpu())


class ChosenRows(NamedTuple):
    """Rows to learn from, and where in a source those are that were not held out."""

    source: RowSource
    position: NDArray[np.intp]
    training: Rows
    validation: Rows | None
    units: Units | None


def generator_of(random_state: Any) -> torch.Generator:
    """Return a torch generator seeded from a random state; torch's global one stays as it is."""
    return torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))


def row_limit(subsample: int | None) -> int:
    """Return `subsample` as a number of rows that no catalog has, where it is None."""
    return sys.maxsize if subsample is None else int(subsample)


def closed_form_rows(codebook_sizes: Sequence[int]) -> int:
    """Return how many distinct rows the closed form finds codebooks on.

    Parameters
    ----------
    codebook_sizes : sequence of int
        Number of codewords at each level.

    Returns
    -------
    max_rows : int
        65,536, or 256 for each codeword of the largest codebook if that is more.
    """
    return max(_CLOSED_FORM_ROWS, _ROWS_PER_CODEWORD * max(codebook_sizes))


def gradient_rows(n_features: int) -> int:
    """Return how many distinct rows gradient training takes into account: what 512 MiB hold."""
    return max(_GRADIENT_FLOATS // n_features, 1)


def file_rows(n_features: int) -> int:
    """Return how many distinct rows are kept of files: what 256 MiB hold."""
    return _FILE_FLOATS // n_features


def training_rows(
    source: RowSource,
    sample_weight: NDArray[np.float64] | None,
    validation_fraction: float | None,
    device: torch.device,
    generator: torch.Generator,
    max_rows: int,
    n_fixed: int | None = 0,
) -> ChosenRows:
    """Merge equal rows, order them canonically, and hold some out.

    The rows held out are drawn from the distinct ones: a duplicate never stands on both sides.

    Parameters
    ----------
    source : RowSource
        Rows. It gets an origin where they lie far from zero.
    sample_weight : ndarray of shape (n_samples,) or None
        Non-negative weights, not all zero.
    validation_fraction : float or None
        Share of the distinct rows to hold out; None holds out none.
    device : torch.device
        Where the tensors go.
    generator : torch.Generator
        Draws the rows held out.
    max_rows : int
        Distinct rows to take at most, a sample that depends on nothing but the set of the rows.
    n_fixed : int or None, default=0
        Last features whose units stay; None leaves all rows as they come.

    Returns
    -------
    chosen : ChosenRows
        Rows to fit, in an order that is random but depends on nothing but the rows, and rows held
        out.

    Raises
    ------
    ValueError
        If a row isn't finite or squares overflow, or there are too few distinct rows to hold any
        out.
    """
    if n_fixed is not None and source.is_wide:
        source.origin = origin_of(source, sample_weight, source.shape[1] - n_fixed)
    index, weight = canonical_rows(source, sample_weight, max_rows + 1)
    is_sample = max_rows < len(index)
    index, weight = index[:max_rows], weight[:max_rows]
    population = source
    if source.is_sharded:
        source, index = source.gathered(index), np.arange(len(index))
    order = arranged_rows(source, index, n_fixed or 0)
    index, weight = index[order], weight[order]
    units = None if n_fixed is None else Units.of(source, index, weight, n_fixed)

    def rows(some: NDArray[np.intp] | slice) -> Rows:
        if units is None:
            return rows_of(source.take(index[some]), weight[some], device)
        x = units.rows(source, index[some])
        check_squares(x, float(units.unit[0]))
        return rows_of(x, weight[some], device)

    if validation_fraction is None:
        chosen = rows(slice(None))
        if is_sample and units is not None:
            chosen = chosen._replace(population=Population(population, units, sample_weight))
        return ChosenRows(source, index, chosen, None, units)
    n_held_out = round(validation_fraction * len(index))
    if not 1 <= n_held_out < len(index):
        raise ValueError(
            f"validation_fraction={validation_fraction} of {len(index)} distinct rows "
            f"(n_samples={len(population)}) holds out "
            f"{n_held_out}; early stopping needs at least one row on each side. Set "
            "early_stopping=False or give more samples."
        )
    order = torch.randperm(len(index), generator=generator).numpy()
    held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
    return ChosenRows(source, index[kept], rows(kept), rows(held_out), units)


def rows_of(X: NDArray[np.float32], weight: NDArray[np.float64], device: torch.device) -> Rows:
    """Return distinct rows in canonical order as tensors, after a look at their range.

    Parameters
    ----------
    X : ndarray of shape (n_distinct, n_features), dtype=float32
        Rows.
    weight : ndarray of shape (n_distinct,), dtype=float64
        Their weights, positive.
    device : torch.device
        Where the tensors go.

    Returns
    -------
    rows : Rows
        The rows.

    Raises
    ------
    ValueError
        If squares over- or underflow in float32, or the weights do.
    """
    check_squares(X)
    relative = torch.from_numpy(relative_weight(weight))
    return Rows(torch.from_numpy(X), relative, weight).to(device)


def first_rows(rows: Rows, n_rows: int) -> Rows:
    """Return the first rows, a random sample of all, with weights of mean one."""
    if len(rows.x) <= n_rows:
        return rows
    weight = rows.weight[:n_rows]
    return Rows(rows.x[:n_rows], weight / weight.mean())


def last_rows_held_out(rows: Rows, fraction: float) -> tuple[Rows, Rows] | None:
    """Return the first rows and the last ones, a random sample of all; None of a single row.

    At least one row is on each side, and weights have a mean of one there.
    """
    n_rows = len(rows.x)
    if n_rows < 2:
        return None
    n_kept = min(max(n_rows - round(fraction * n_rows), 1), n_rows - 1)
    weight = rows.weight[n_kept:]
    return first_rows(rows, n_kept), Rows(rows.x[n_kept:], weight / weight.mean())


def check_squares(
    rows: NDArray[np.float32], unit: float = 1.0, smallest: float = _SMALLEST
) -> None:
    """Check that squares of the numbers, and their sum, neither over- nor underflow in float32.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
        Finite rows, at least one.
    unit : float, default=1.0
        What they have been divided by.
    smallest : float, default=1e-15
        What the largest number may not fall below, unless it is zero.

    Raises
    ------
    ValueError
        If they may; errors and variances would be infinite or zero, and all codes equal.
    """
    largest = unit * max(float(rows.max()), -float(rows.min()))
    limit = float(np.sqrt(np.finfo(np.float32).max / rows.size))
    if largest > limit:
        raise ValueError(
            f"X has a value of size {largest:.1e}, but with {rows.size} values in X squares "
            f"overflow above {limit:.1e}; divide X by a constant first."
        )
    if 0 < largest < smallest:
        raise ValueError(
            f"X has no value larger than {largest:.1e}, but squares of what codes leave of values "
            f"below {smallest:.0e} underflow; multiply X by a constant first."
        )


def relative_weight(weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale positive weights to a mean of one.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        Positive weights.

    Returns
    -------
    weight : ndarray of shape (n_samples,), dtype=float32
        Positive weights.

    Raises
    ------
    ValueError
        If float32 can't hold them.
    """
    with np.errstate(over="ignore", under="ignore"):
        relative = (weight / weight.mean()).astype(np.float32)
    if not np.isfinite(relative.sum()) or not relative.min() > 0:
        raise ValueError(
            f"sample_weight ranges from {weight.min():.1e} to {weight.max():.1e}, of which float32 "
            "can't hold the sum or the smallest share; divide by a constant, or set weights that "
            "don't matter to zero."
        )
    return relative
