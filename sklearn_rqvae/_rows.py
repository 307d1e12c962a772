"""Training rows on the device: distinct, weighted, in canonical order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae._distinct_rows import canonical_rows
from sklearn_rqvae._row_source import RowSource
from sklearn_rqvae._validation import check_squares, relative_weight

__all__ = ["Rows", "closed_form_rows", "first_rows", "gradient_rows", "training_rows"]

# Rows that the closed form is fitted to, for codebooks of up to 256 codewords.
_CLOSED_FORM_ROWS = 2**16
# Rows per codeword of larger codebooks: as many as k-means takes into account.
_ROWS_PER_CODEWORD = 256
# Numbers in the rows that training by gradients keeps at hand, on the device: 512 MiB.
_GRADIENT_FLOATS = 2**27


class Rows(NamedTuple):
    """Distinct rows and their weights, scaled to a mean of one."""

    x: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Rows:
        """Return the rows on a device."""
        return Rows(self.x.to(device), self.weight.to(device))


def closed_form_rows(codebook_sizes: Sequence[int]) -> int:
    """Return how many distinct rows the closed form takes into account.

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


def training_rows(
    source: RowSource,
    sample_weight: NDArray[np.float64] | None,
    validation_fraction: float | None,
    device: torch.device,
    generator: torch.Generator,
    max_rows: int,
) -> tuple[Rows, Rows | None]:
    """Merge equal rows, order them canonically, and hold some out.

    The rows held out are drawn from the distinct ones: a duplicate never stands on both sides.

    Parameters
    ----------
    source : RowSource
        Rows.
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

    Returns
    -------
    training : Rows
        Rows to fit, in an order that is random but depends on nothing but the rows.
    validation : Rows or None
        Rows held out.

    Raises
    ------
    ValueError
        If a row isn't finite or squares overflow, or there are too few distinct rows to hold any
        out.
    """
    index, weight = canonical_rows(source, sample_weight, max_rows)
    if validation_fraction is None:
        return _rows(source.take(index), weight, device), None
    n_held_out = round(validation_fraction * len(index))
    if not 1 <= n_held_out < len(index):
        raise ValueError(
            f"validation_fraction={validation_fraction} of {len(index)} distinct rows "
            f"(n_samples={len(source)}) holds out "
            f"{n_held_out}; early stopping needs at least one row on each side. Set "
            "early_stopping=False or give more samples."
        )
    order = torch.randperm(len(index), generator=generator).numpy()
    held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
    return (
        _rows(source.take(index[kept]), weight[kept], device),
        _rows(source.take(index[held_out]), weight[held_out], device),
    )


def first_rows(rows: Rows, n_rows: int) -> Rows:
    """Return the first rows, a random sample of all, with weights of mean one."""
    if len(rows.x) <= n_rows:
        return rows
    weight = rows.weight[:n_rows]
    return Rows(rows.x[:n_rows], weight / weight.mean())


def _rows(X: NDArray[np.float32], weight: NDArray[np.float64], device: torch.device) -> Rows:
    check_squares(X)
    return Rows(torch.from_numpy(X), torch.from_numpy(relative_weight(weight))).to(device)
