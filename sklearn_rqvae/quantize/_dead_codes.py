"""Which codes are dead, what replaces them, and what an optimizer should forget about them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["dead_codes", "draw_rows_by_error", "reset_moments"]


def dead_codes(usage: Tensor, threshold: float = 0.1, window: float = 10.0) -> Tensor:
    """Find the codes that are hardly used, once there was enough to judge by.

    Parameters
    ----------
    usage : Tensor of shape (codebook_size,)
        Rows per code over some time.
    threshold : float, default=0.1
        A code is dead if its usage is below this share of the mean usage. The threshold is
        relative, so that it means the same for every batch size.
    window : float, default=10.0
        Least mean usage to judge by. A short window follows an encoder that still moves; the cost
        is that live codes of less than the mean use can be taken for dead by chance.

    Returns
    -------
    codes : Tensor of int64 of shape (n_dead,)
        Dead codes in rising order; none while the mean usage is below `window`.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._dead_codes import dead_codes
    >>> dead_codes(torch.tensor([300.0, 0.0, 120.0, 5.0]))
    tensor([1, 3])
    """
    mean = usage.mean()
    return torch.nonzero((usage < threshold * mean) & (mean >= window)).squeeze(1)


def draw_rows_by_error(
    error: Tensor, n_rows: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw different rows with a probability proportional to their error.

    A codeword put on a badly quantized row takes part of the error away, which one on a random row
    need not.

    Parameters
    ----------
    error : Tensor of shape (n_samples,)
        Squared error of each row, times its weight; at least zero.
    n_rows : int
        How many rows to draw; there are fewer if fewer have an error.
    generator : torch.Generator, optional
        Draws the rows, on its own device; torch's global generator if not given.

    Returns
    -------
    rows : Tensor of int64 of shape (at most n_rows,)
        Indices into `error`.

    Raises
    ------
    ValueError
        If an error is not finite.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._dead_codes import draw_rows_by_error
    >>> draw_rows_by_error(torch.tensor([0.0, 2.0, 0.0]), 2)
    tensor([1])
    """
    if not torch.isfinite(error).all():
        raise ValueError(
            "the training has diverged: errors of the batch are not finite. "
            "Lower the learning rate."
        )
    n_rows = min(n_rows, int(torch.count_nonzero(error)))
    if n_rows == 0:
        return torch.empty(0, dtype=torch.int64, device=error.device)
    device = error.device if generator is None else generator.device
    probabilities = (error / error.sum()).to(device)
    return torch.multinomial(probabilities, n_rows, generator=generator).to(error.device)


def reset_moments(
    optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, rows: Tensor
) -> None:
    """Set an optimizer's moments of some rows of a parameter to zero.

    Otherwise the running means of the dead codeword's gradients would push the new one away from
    where it was put. State without rows, such as a step count, stays.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Any optimizer that keeps its state per parameter.
    parameter : Parameter of shape (codebook_size, embed_dim)
        The codewords.
    rows : Tensor of int64 of shape (n_rows,)
        Rows that were replaced.
    """
    for state in optimizer.state.get(parameter, {}).values():
        if isinstance(state, Tensor) and state.shape == parameter.shape:
            state[rows] = 0
