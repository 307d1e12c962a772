"""Results of a few rows at a time, as one."""

from collections.abc import Iterable

from torch import Tensor

__all__ = ["join"]


def join(parts: Iterable[tuple[Tensor, ...]], n_rows: int) -> tuple[Tensor, ...]:
    """Put results of a few rows each one below the other as they come.

    A list of them wouldn't do: small tensors that are kept, each allocated beside large ones that
    aren't, leave holes in memory into which the next large ones don't fit.

    Parameters
    ----------
    parts : iterable of tuple of Tensor of shape (n_some, ...)
        Results, at least one.
    n_rows : int
        How many rows they have together.

    Returns
    -------
    results : tuple of Tensor of shape (n_rows, ...)
        Results of all.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae._compute._join import join
    >>> join(((torch.full((2,), n),) for n in range(3)), 6)
    (tensor([0, 0, 1, 1, 2, 2]),)
    """
    joined: list[Tensor] = []
    start = 0
    for part in parts:
        if len(part[0]) == n_rows:
            return part
        joined = joined or [some.new_empty(n_rows, *some.shape[1:]) for some in part]
        for whole, some in zip(joined, part, strict=True):
            whole[start : start + len(some)] = some
        start += len(part[0])
    return tuple(joined)
