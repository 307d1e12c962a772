"""A multilayer perceptron whose weights come from a given generator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sklearn_rqvae._compute._linear import linear

__all__ = ["gives_zero", "mlp"]


class Linear(nn.Linear):
    """A linear layer that multiplies as fast as the CPU can."""

    def forward(self, input: Tensor) -> Tensor:
        """Map rows."""
        return linear(input, self.weight, self.bias)


def mlp(
    sizes: Sequence[int], *, zero_last: bool = False, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Build linear layers with ReLU between them and none after the last.

    Parameters
    ----------
    sizes : sequence of int
        Width of the input, of each hidden layer, and of the output.
    zero_last : bool, default=False
        Start the last layer at zero, so that the output is zero until it is trained.
    generator : torch.Generator, optional
        Draws the weights as `torch.nn.Linear` would; torch's global generator if not given.

    Returns
    -------
    layers : Sequential
        The network.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        # Constructing a layer would draw its weights from the global generator.
        layer = nn.utils.skip_init(Linear, fan_in, fan_out)
        bound = max(fan_in, 1) ** -0.5
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layers += [layer, nn.ReLU(inplace=True)]
    layers.pop()
    if zero_last:
        nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def gives_zero(layers: nn.Sequential) -> bool:
    """Say whether a network's output is zero whatever its input: its last layer is zero."""
    return not any(parameter.any() for parameter in layers[-1].parameters())
