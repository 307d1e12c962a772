"""The largest entries of each row, for beams: faster than a top-k that also sorts them."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["largest"]

# Up to here a sort takes two thirds of the time of a partition, and then soon ten times its own.
_SORTED_COLUMNS = 256

# Of more, entries are first told apart by the maxima of blocks of neighbors, which take a twentieth
# of the time of a partition. A block has a power of 2 of entries within these limits, and at most a
# fourth of all the entries that there are for each that is wanted.
_BLOCK_SIZES = 8, 32


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the `k` largest entries of each row, in any order.

    On CPU every entry becomes one 64-bit float, its position in the bits that a 32-bit number
    leaves zero, and numpy sorts or partitions these with vector instructions: 16 of 256 entries
    take a fifth of the time of :func:`torch.topk`. It is the order of the entries that chooses
    among equal ones, so the result is the same on every run.

    Parameters
    ----------
    scores : Tensor of shape (n_rows, n_columns)
        Entries.
    k : int
        How many to find, at most `n_columns`.

    Returns
    -------
    values : Tensor of shape (n_rows, k)
        The entries found.
    positions : Tensor of int64 of shape (n_rows, k)
        Their columns.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae._compute._largest import largest
    >>> values, positions = largest(torch.tensor([[3.0, 1.0, 2.0, 0.0]]), 2)
    >>> sorted(values[0].tolist()), sorted(positions[0].tolist())
    ([2.0, 3.0], [0, 2])
    """
    n_columns = scores.shape[1]
    if k == 1 and _numpy_takes(scores):
        # numpy's has vector instructions: a fourth of the time of torch's maximum with positions.
        best = torch.from_numpy(scores.detach().numpy().argmax(1)[:, None])
        return scores.gather(1, best), best
    if k == 1:
        values, positions = scores.max(1, keepdim=True)
        return values, positions
    if n_columns > _SORTED_COLUMNS and n_columns >= 4 * _BLOCK_SIZES[0] * k:
        return _largest_of_blocks(scores, k)
    if k == n_columns:
        return scores, torch.arange(k, device=scores.device).expand_as(scores)
    if not _numpy_takes(scores):
        values, positions = scores.topk(k, dim=1, sorted=False)
        return values, positions
    bits = scores.detach().double().view(torch.int64).bitwise_or_(_columns(n_columns))
    packed = bits.view(torch.float64).numpy()
    if n_columns <= _SORTED_COLUMNS:
        packed.sort(axis=1)
    else:
        packed.partition(n_columns - k, axis=1)
    found = torch.from_numpy(packed[:, n_columns - k :].copy()).view(torch.int64)
    positions = found.bitwise_and_((1 << (n_columns - 1).bit_length()) - 1)
    return scores.gather(1, positions), positions


def _largest_of_blocks(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Look only into the k blocks with the largest maxima: these hold the k largest entries."""
    size = min(1 << ((scores.shape[1] // (4 * k)).bit_length() - 1), _BLOCK_SIZES[1])
    n_blocks = scores.shape[1] // size
    blocks = scores[:, : n_blocks * size].unflatten(1, (n_blocks, size))
    _, chosen = largest(blocks.amax(2), k)
    entries = blocks.gather(1, chosen[:, :, None].expand(-1, -1, size)).flatten(1)
    if n_blocks * size < scores.shape[1]:
        # What is left over is a shorter block, behind the others.
        entries = torch.cat([entries, scores[:, n_blocks * size :]], 1)
        chosen = F.pad(chosen, (0, 1), value=n_blocks)
    values, place = largest(entries, k)
    return values, chosen.gather(1, place // size) * size + place % size


@cache
def _columns(n_columns: int) -> Tensor:
    with torch.inference_mode(False):  # or who is no part of an inference couldn't use them
        return torch.arange(n_columns)


def _numpy_takes(scores: Tensor) -> bool:
    """Whether the numbers are at hand, as they aren't while a function is traced or transformed."""
    return (
        type(scores) is Tensor
        and scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._functorch.is_functorch_wrapped_tensor(scores)
    )
