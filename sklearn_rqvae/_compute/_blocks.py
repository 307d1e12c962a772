"""Matrix products whose rounding doesn't depend on how many rows come together."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["CPU_ROWS", "ROWS_ELSEWHERE", "RowWise", "in_blocks"]

# Products of 128 rows reach 83 to 95 % of the speed of the fastest size on a CPU. Launches are what
# costs on other devices.
CPU_ROWS = 128
ROWS_ELSEWHERE = 4096

# Smaller blocks for what is left over, where they turn out to round alike: 4 rows of 768 features
# take a twentieth of the time of 128.
_SMALL_SIZES = (2, 4, 8, 16, 32, 64)


def in_blocks(
    function: Callable[[Tensor], Tensor],
    rows: Tensor,
    cpu_rows: int = CPU_ROWS,
    small_sizes: Sequence[int] = (),
) -> Tensor:
    """Apply a function of rows to blocks of equally many, the last one filled up with zeros.

    A matrix product may round a row differently in another number of rows. In blocks of one size, a
    row's result depends on the row alone.

    Parameters
    ----------
    function : callable
        Returns one row for each row that it gets.
    rows : Tensor of shape (n_rows, ...)
        What to apply it to, at least one row.
    cpu_rows : int, default=128
        Rows of a block on a CPU.
    small_sizes : sequence of int, default=()
        Sizes, ascending, that the last block may have where it holds so few rows.

    Returns
    -------
    results : Tensor of shape (n_rows, ...)
        What it returns.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae._compute._blocks import in_blocks
    >>> in_blocks(lambda rows: rows @ torch.ones(2, 1), torch.eye(2))
    tensor([[1.],
            [1.]])
    """
    size = cpu_rows if rows.device.type == "cpu" else ROWS_ELSEWHERE
    n_whole = len(rows) // size * size
    results = [function(block) for block in rows[:n_whole].split(size)] if n_whole else []
    n_rest = len(rows) - n_whole
    if n_rest or not n_whole:
        size = next((small for small in small_sizes if small >= n_rest), size)
        block = rows.new_zeros(size, *rows.shape[1:])
        block[:n_rest] = rows[n_whole:]
        results.append(function(block)[:n_rest])
    return results[0] if len(results) == 1 else torch.cat(results)


class RowWise:
    """Apply a function of rows in blocks, a few rows in as small a block as rounds alike.

    The order in which products add up depends on shapes, libraries and threads, and not on the
    numbers: a trial with random rows, compared bit by bit, holds for all.

    Parameters
    ----------
    function : callable
        Returns one row of numbers for each row that it gets.
    n_columns : int
        Length of the rows.
    cpu_rows : int, default=128
        Rows of a block on a CPU.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae._compute._blocks import RowWise
    >>> RowWise(lambda rows: 2 * rows, 3)(torch.ones(1, 3))
    tensor([[2., 2., 2.]])
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], n_columns: int, cpu_rows: int = CPU_ROWS
    ):
        self.function = function
        self.n_columns = n_columns
        self.cpu_rows = cpu_rows
        self._alike: dict[tuple[int, bool], tuple[int, ...]] = {}

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the results for rows, of shape (n_rows, n_columns)."""
        n_rest = len(rows) % self.cpu_rows
        is_small = 0 < n_rest <= max(_SMALL_SIZES) and rows.device.type == "cpu"
        return in_blocks(self.function, rows, self.cpu_rows, self._sizes() if is_small else ())

    def _sizes(self) -> tuple[int, ...]:
        """Return the smaller sizes in which rows are rounded as in whole blocks."""
        how = torch.get_num_threads(), bool(torch.backends.mkldnn.enabled)
        if how not in self._alike:
            draws = torch.Generator().manual_seed(0)
            rows = torch.randn(self.cpu_rows, self.n_columns, generator=draws)
            whole = self.function(rows)

            def is_alike(size: int) -> bool:
                return torch.equal(torch.cat([self.function(r) for r in rows.split(size)]), whole)

            sizes = [size for size in _SMALL_SIZES if size < self.cpu_rows]
            self._alike[how] = tuple(size for size in sizes if is_alike(size))
        return self._alike[how]
