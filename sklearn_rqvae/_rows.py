"""Training rows on the device: distinct, weighted, in canonical order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklearn_rqvae._validation import canonical_rows

__all__ = ["Rows", "training_rows"]


class Rows(NamedTuple):
    """Distinct rows and their weights, scaled to a mean of one."""

    x: Tensor
    weight: Tensor


def training_rows(
    X: NDArray[np.float32],
    sample_weight: NDArray[np.float64] | None,
    validation_fraction: float | None,
    device: torch.device,
    generator: torch.Generator,
) -> tuple[Rows, Rows | None]:
    """Merge equal rows, order them canonically, and hold some out.

    The rows held out are drawn from the distinct ones: a duplicate never stands on both sides.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), dtype=float32
        Rows.
    sample_weight : ndarray of shape (n_samples,) or None
        Non-negative weights, not all zero.
    validation_fraction : float or None
        Share of the distinct rows to hold out; None holds out none.
    device : torch.device
        Where the tensors go.
    generator : torch.Generator
        Draws the rows held out.

    Returns
    -------
    training : Rows
        Rows to fit.
    validation : Rows or None
        Rows held out.

    Raises
    ------
    ValueError
        If there are too few distinct rows to hold any out.
    """
    index, weight = canonical_rows(X, sample_weight)
    if validation_fraction is None:
        return _rows(X[index], weight, device), None
    n_held_out = round(validation_fraction * len(index))
    if not 1 <= n_held_out < len(index):
        raise ValueError(
            f"validation_fraction={validation_fraction} of {len(index)} distinct rows "
            f"(n_samples={len(X)}) holds out "
            f"{n_held_out}; early stopping needs at least one row on each side. Set "
            "early_stopping=False or give more samples."
        )
    order = torch.randperm(len(index), generator=generator).numpy()
    held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
    return (
        _rows(X[index[kept]], weight[kept], device),
        _rows(X[index[held_out]], weight[held_out], device),
    )


def _rows(X: NDArray[np.float32], weight: NDArray[np.float64], device: torch.device) -> Rows:
    weight = (weight / weight.mean()).astype(np.float32)
    return Rows(torch.from_numpy(X).to(device), torch.from_numpy(weight).to(device))
