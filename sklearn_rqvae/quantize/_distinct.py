"""Different codes for different rows, where that costs little."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["distinct_choices", "number_tuples"]

# Rounds of asking: 25 to 55 settled all of 4,000 to 12,000 rows. Rows that share their choice after
# the last one go on sharing it.
_MAX_ROUNDS = 64


def distinct_choices(
    keys: Tensor, errors: Tensor, weight: Tensor, max_cost: float | Tensor
) -> Tensor:
    """Choose one candidate for each row so that few rows choose the same, at little more error.

    By deferred acceptance [1]_: each row asks for the best of its candidates that hasn't refused
    it; a candidate that several rows ask for keeps the one whose next choice would cost the most,
    and refuses the others. A row that all refuse takes its best candidate after all.

    Parameters
    ----------
    keys : Tensor of int64 of shape (n_samples, n_candidates)
        What each candidate is: equal ones have equal keys.
    errors : Tensor of shape (n_samples, n_candidates)
        Error that a row has with each of its candidates.
    weight : Tensor of shape (n_samples,)
        Positive weights of the rows' errors.
    max_cost : float or scalar Tensor
        Errors that exceed a row's smallest one by more are not for choice.

    Returns
    -------
    choice : Tensor of int64 of shape (n_samples,)
        Column of the chosen candidate.

    References
    ----------
    .. [1] Gale, D. and Shapley, L. S. "College admissions and the stability of marriage". The
       American Mathematical Monthly 69(1), 1962.

    Examples
    --------
    Both rows like candidate 7 best; the first one would lose more without it:

    >>> import torch
    >>> from sklearn_rqvae.quantize._distinct import distinct_choices
    >>> keys, errors = torch.tensor([[7, 8], [7, 9]]), torch.tensor([[1.0, 4.0], [1.0, 2.0]])
    >>> distinct_choices(keys, errors, torch.ones(2), max_cost=5.0)
    tensor([0, 1])
    """
    errors, order = errors.sort(dim=1, stable=True)
    keys = keys.gather(1, order)
    errors = errors.masked_fill(errors - errors[:, :1] > max_cost, torch.inf)
    n_choices = errors.isfinite().sum(1)
    regret = (F.pad(errors[:, 1:], (0, 1), value=torch.inf) - errors) * weight[:, None]
    place = torch.zeros_like(n_choices)
    asking = torch.arange(len(keys), device=keys.device)
    for _ in range(_MAX_ROUNDS):
        refused = asking[_refused(keys[asking, place[asking]], regret[asking, place[asking]])]
        if not len(refused):
            break
        place[refused] += 1
        asking = asking[place[asking] < n_choices[asking]]
    place[place == n_choices] = 0
    return order.gather(1, place[:, None])[:, 0]


def _refused(keys: Tensor, regret: Tensor) -> Tensor:
    """Return whether each entry has an equal key but isn't the one of largest regret with it."""
    order = regret.argsort(descending=True, stable=True)
    order = order[keys[order].argsort(stable=True)]
    refused = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    refused[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return refused


def number_tuples(codes: Tensor, codebook_size: list[int]) -> Tensor:
    """Give equal tuples of codes equal numbers, and different ones different numbers.

    Parameters
    ----------
    codes : Tensor of int64 of shape (..., n_layers)
        Tuples of codes.
    codebook_size : list of int
        Number of codewords at each level.

    Returns
    -------
    numbers : Tensor of int64 of shape (...)
        One number for each tuple.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._distinct import number_tuples
    >>> number_tuples(torch.tensor([[0, 1], [2, 0], [0, 1]]), [3, 2])
    tensor([1, 4, 1])
    """
    numbers = torch.zeros_like(codes[..., 0])
    n_numbers = 1
    for level, size in enumerate(codebook_size):
        if n_numbers * size > torch.iinfo(numbers.dtype).max:
            found, numbers = numbers.unique(return_inverse=True)
            n_numbers = len(found)
        numbers = numbers * size + codes[..., level]
        n_numbers *= size
    return numbers
