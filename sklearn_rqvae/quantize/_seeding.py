"""Starting rows for k-means, drawn so that rounding can't change the draw."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

__all__ = ["draw_tickets", "lowest_tickets", "spread_rows"]

# Potentials that differ by less are equal: the first of them wins, whatever the rounding.
_EQUAL = 1e-6

_STEP = 0x9E3779B97F4A7C15


def draw_tickets(shape: int | tuple[int, ...], generator: Generator) -> Tensor:
    """Draw random numbers of 62 bits, one for each row, of which all its chances come.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the result.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    tickets : Tensor of int64
        The numbers.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    return torch.randint(2**62, shape, generator=generator, dtype=torch.int64, device="cpu")


def lowest_tickets(tickets: Tensor, n_rows: int) -> Tensor:
    """Return the positions of the lowest tickets, in ascending order: a random sample of rows.

    Another row more or less changes the sample by one row at most.
    """
    if len(tickets) <= n_rows:
        return torch.arange(len(tickets))
    return torch.sort(torch.sort(tickets, stable=True).indices[:n_rows]).values


def spread_rows(x: Tensor, n_rows: int, weight: Tensor, tickets: Tensor) -> Tensor:
    r"""Choose rows far from each other by greedy k-means++ [1]_.

    Each next row is drawn with a probability in proportion to its weight times its squared distance
    :math:`D^2` from the nearest row chosen so far, a few at a time, of which the best is taken.
    Draws are a race: a row arrives at the time :math:`e_i / (w_i D_i^2)`, where :math:`e_i` is
    exponential and comes from its ticket, and the first ones win. So a draw changes only where the
    race is close to a tie, while in a draw from cumulated probabilities the rounding of any row
    shifts all those after it.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_dims)
        Rows.
    n_rows : int
        How many to choose, at most `n_samples`.
    weight : Tensor of shape (n_samples,)
        Positive weights.
    tickets : Tensor of int64 of shape (n_samples,)
        Random numbers of the rows, all different.

    Returns
    -------
    chosen : Tensor of int64 of shape (n_rows,)
        Positions of the rows, the first chosen first.

    References
    ----------
    .. [1] Arthur, D. and Vassilvitskii, S. "k-means++: the advantages of careful seeding". SODA
       2007.
    """
    rows = x.detach().cpu().double().numpy()
    mass = weight.detach().cpu().double().numpy()
    numbers = tickets.cpu().numpy().astype(np.uint64)
    n_trials = min(2 + int(np.log(n_rows)), len(rows))
    norms = np.square(rows).sum(1)
    chosen = [int(_race(numbers, 0, mass, 1)[0])]
    nearest = _distances(rows, norms, chosen)[0]
    for turn in range(1, n_rows):
        trials = _race(numbers, turn, mass * nearest, n_trials)
        distances = np.minimum(_distances(rows, norms, trials), nearest)
        left = distances @ mass
        best = int(np.argmax(left <= left.min() * (1 + _EQUAL)))
        chosen.append(int(trials[best]))
        nearest = distances[best]
        nearest[chosen[-1]] = 0.0
    return torch.tensor(chosen)


def _race(
    numbers: NDArray[np.uint64], turn: int, chance: NDArray[np.float64], n_first: int
) -> NDArray[np.intp]:
    """Return who arrives first, in order; those without any chance arrive last."""
    waiting = -np.log(_uniform(numbers, turn))
    with np.errstate(divide="ignore"):
        arrival = np.log(waiting) - np.log(chance)
    first = np.argpartition(arrival, n_first - 1)[:n_first]
    return first[np.argsort(arrival[first], kind="stable")]


def _uniform(numbers: NDArray[np.uint64], turn: int) -> NDArray[np.float64]:
    """Return a number in (0, 1) for each ticket and turn, by the mixing of SplitMix64."""
    mixed = numbers + np.uint64((turn + 1) * _STEP % 2**64)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _distances(
    rows: NDArray[np.float64], norms: NDArray[np.float64], chosen: NDArray[np.intp] | list[int]
) -> NDArray[np.float64]:
    """Return squared distances of all rows from some, of shape (n_chosen, n_rows)."""
    squared = norms[chosen, None] + norms - 2.0 * (rows[chosen] @ rows.T)
    # What is left of equal rows by rounding is no distance.
    tiny = 1e-14 * (norms[chosen, None] + norms)
    return np.where(squared > tiny, squared, 0.0)
