"""Data-parallel training: every process takes a share of each batch, and gradients are added up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["DataParallel", "state_tensors"]


class DataParallel:
    """Know this process's place among those that train together, and add up their tensors.

    The processes are those that ``torchrun`` or ``accelerate launch`` has started; alone, a process
    trains as without this class.

    Attributes
    ----------
    rank : int
        Number of this process.
    n_ranks : int
        How many there are.
    device : torch.device
        Where to train: the GPU that belongs to the process, or the CPU where there is none, or the
        environment variable ``ACCELERATE_USE_CPU`` is set.

    Raises
    ------
    ImportError
        If accelerate isn't installed.
    """

    def __init__(self) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ImportError(
                'device="data_parallel" needs accelerate: pip install "sklearn-rqvae[accelerate]"'
            ) from error
        self.accelerator = Accelerator()
        self.rank = self.accelerator.process_index
        self.n_ranks = self.accelerator.num_processes
        self.device = self.accelerator.device

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message."""
        if self.n_ranks > 1:
            total = self.accelerator.reduce(torch.cat([t.flatten() for t in tensors]), "sum")
            self._write(tensors, total)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by the first process's, in one message."""
        if self.n_ranks > 1:
            from accelerate.utils import broadcast

            self._write(tensors, broadcast(torch.cat([t.flatten() for t in tensors])))

    @staticmethod
    def _write(tensors: Sequence[Tensor], values: Tensor) -> None:
        with torch.no_grad():
            parts = values.split([tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))


def state_tensors(module: torch.nn.Module) -> list[Tensor]:
    """Return the floating-point parameters and buffers of a module, to be shared."""
    return [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
