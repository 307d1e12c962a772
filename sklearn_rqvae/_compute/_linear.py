"""Linear maps of rows by the library that multiplies fastest on the processors of any maker."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["linear"]

# Multiplications up to which calling oneDNN costs more than it saves: its calls, with the rules for
# derivatives around them, take 25 microseconds more than torch's own.
_FEW_PRODUCTS = 1 << 21


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, of_rows: int | None = None
) -> Tensor:
    r"""Compute :math:`x W^\top + b`, as :func:`torch.nn.functional.linear` does.

    On CPUs torch gives products of float32 matrices to MKL, which leaves half the width of the
    vector instructions of other makers' processors unused. oneDNN, which torch ships too and uses
    for convolutions, doesn't: it takes half the time there. Set ``torch.backends.mkldnn.enabled``
    to False to go without it.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_in)
        Rows.
    weight : Tensor of shape (n_out, n_in)
        Matrix; its transpose may be the one that is contiguous.
    bias : Tensor of shape (n_out,), optional
        Added to each row.
    of_rows : int, optional
        Number of rows to choose the library by, where these are a part of so many: another one may
        round them otherwise.

    Returns
    -------
    y : Tensor of shape (n_samples, n_out)
        Their images; differentiable in all arguments.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae._compute._linear import linear
    >>> linear(torch.eye(2), torch.tensor([[1.0, 2.0]]), torch.tensor([0.5]))
    tensor([[1.5000],
            [2.5000]])
    """
    suits = _suits_onednn(x, weight, len(x) if of_rows is None else of_rows)
    if not suits or (bias is not None and not _fits(bias, weight)):
        return F.linear(x, weight, bias)
    if _needs_rules(x, weight, bias):
        return _Linear.apply(x, weight, bias)
    return _onednn_linear(x, weight, bias)


def _suits_onednn(x: Tensor, weight: Tensor, n_rows: int) -> bool:
    """Whether oneDNN can take the product, and it is worth its while."""
    return (
        _HAS_ONEDNN
        and x.device.type == weight.device.type == "cpu"
        and x.dtype is weight.dtype is torch.float32
        and x.ndim == weight.ndim == 2
        and x.shape[1] == weight.shape[1]
        and n_rows * weight.numel() > _FEW_PRODUCTS
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def _fits(bias: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can take the bias, whose strides it doesn't look at."""
    return (
        bias.dtype is weight.dtype
        and bias.device == weight.device
        and bias.shape == weight.shape[:1]
        and bias.is_contiguous()
    )


def _needs_rules(*tensors: Tensor | None) -> bool:
    """Whether derivatives, backward or forward, or vmap could be asked of the product."""
    return (
        torch.is_grad_enabled()
        or forward_ad._current_level >= 0
        or any(
            tensor is not None and torch._C._functorch.is_functorch_wrapped_tensor(tensor)
            for tensor in tensors
        )
    )


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


# The operator is the one that compiled modules call; ARM's F.linear uses oneDNN by itself.
_HAS_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and torch.backends.cpu.get_cpu_capability().startswith("AVX")
)


class _Linear(torch.autograd.Function):
    """The product, with derivatives that are products of the same kind."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply."""
        return _onednn_linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the factors."""
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply the gradient with the other factor."""
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            linear(gradient, weight.T) if for_x else None,
            linear(gradient.T, x.T) if for_weight else None,
            gradient.sum(0) if for_bias else None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        """Add up the directional derivatives in each argument that has a direction."""
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = tangents
        parts = [] if of_x is None else [linear(of_x, weight)]
        if of_weight is not None:
            parts.append(linear(x, of_weight))
        if of_bias is not None:
            parts.append(of_bias.expand(len(x), -1))
        return sum(parts[1:], start=parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *tensors: Any) -> tuple[Tensor, int]:
        """Multiply stacks of matrices, which oneDNN doesn't take."""
        return torch.func.vmap(F.linear, in_dims)(*tensors), 0
