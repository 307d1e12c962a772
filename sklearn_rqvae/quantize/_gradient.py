r"""How a gradient crosses the choice of a codeword: straight through, or rotated.

The nearest codeword is a step function of the residual, so its true derivative is zero almost
everywhere. Both functions here return exactly the codeword and differ in the Jacobian that they put
in the step's place.
"""

import torch
from torch import Tensor

__all__ = ["rotate", "straight_through"]

# Below this length of u + v the reflection axis (u + v) / |u + v| is rounding noise in float32.
_OPPOSITE = 1e-4


def straight_through(residual: Tensor, codeword: Tensor) -> Tensor:
    r"""Return the codeword, with the identity as its Jacobian in the residual.

    In the notation of [1]_, :math:`r + \mathrm{sg}(q - r)`, summed in an order that rounds to
    exactly :math:`q`. The codeword itself gets no gradient through it.

    Parameters
    ----------
    residual : Tensor of shape (n_samples, embed_dim)
        What was quantized; receives the output's gradient unchanged.
    codeword : Tensor of shape (n_samples, embed_dim)
        The codeword chosen for each row.

    Returns
    -------
    quantized : Tensor of shape (n_samples, embed_dim)
        Equal to `codeword` bit for bit.

    References
    ----------
    .. [1] van den Oord, A., Vinyals, O., Kavukcuoglu, K. "Neural discrete representation learning".
       NeurIPS 2017, arXiv:1711.00937, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._gradient import straight_through
    >>> residual = torch.tensor([[0.9, 0.2]], requires_grad=True)
    >>> quantized = straight_through(residual, torch.tensor([[1.0, 0.0]]))
    >>> (3 * quantized).sum().backward()
    >>> quantized.tolist(), residual.grad.tolist()
    ([[1.0, 0.0]], [[3.0, 3.0]])
    """
    return codeword.detach() + (residual - residual.detach())


def rotate(residual: Tensor, codeword: Tensor, max_scale: float = 1.0) -> Tensor:
    r"""Return the codeword, with the rotation that turns the residual toward it as its Jacobian.

    With :math:`u = r / \|r\|`, :math:`v = q / \|q\|` and :math:`w = (u + v) / \|u + v\|`, the
    rotation in the plane of :math:`u` and :math:`v` that takes one to the other is [1]_

    .. math:: R = (I - 2 w w^\top)(I - 2 u u^\top) = I - 2 w w^\top + 2 v u^\top .

    The Jacobian is :math:`s R` with a scale that is held constant, so the gradient :math:`g`
    becomes :math:`s R^\top g`: it keeps its angle to the codeword. The paper's scale is
    :math:`\|q\| / \|r\|`. It grows without bound where residuals vanish, which at the later levels
    of a residual quantizer happens at every duplicate of a codeword, so here it is :math:`s =
    \min(\|q\| / \|r\|, s_\max)`.

    Two departures from the paper at degenerate rows: where the residual or the codeword is zero,
    there is no direction to turn, and the Jacobian is the identity; where they are opposite,
    :math:`w` is taken as zero, which leaves the reflection :math:`I - 2 u u^\top`.

    Parameters
    ----------
    residual : Tensor of shape (n_samples, embed_dim)
        What was quantized; receives the rotated gradient.
    codeword : Tensor of shape (n_samples, embed_dim)
        The codeword chosen for each row; gets no gradient through it.
    max_scale : float, default=1.0
        Upper bound of the scale, positive; infinity gives the paper's.

    Returns
    -------
    quantized : Tensor of shape (n_samples, embed_dim)
        Equal to `codeword` bit for bit.

    References
    ----------
    .. [1] Fifty, C. et al. "Restructuring vector quantization with the rotation trick". ICLR 2025,
       arXiv:2410.06424, section 4.2.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._gradient import rotate
    >>> residual = torch.tensor([[2.0, 0.0]], requires_grad=True)
    >>> quantized = rotate(residual, torch.tensor([[0.0, 1.0]]))  # a quarter turn, half as long
    >>> quantized[0, 1].backward()  # the gradient along the codeword ...
    >>> residual.grad.round(decimals=6)  # ... comes back along the residual
    tensor([[0.5000, 0.0000]])
    """
    with torch.no_grad():
        residual_norm = residual.norm(dim=1, keepdim=True)
        codeword_norm = codeword.norm(dim=1, keepdim=True)
        turns = (residual_norm > 0) & (codeword_norm > 0)
        one = torch.ones_like(residual_norm)
        u = residual / torch.where(turns, residual_norm, one)
        v = codeword / torch.where(turns, codeword_norm, one)
        axis = u + v
        length = axis.norm(dim=1, keepdim=True)
        w = torch.where(
            length > _OPPOSITE, axis / length.clamp_min(_OPPOSITE), torch.zeros_like(axis)
        )
        ratio = codeword_norm / torch.where(turns, residual_norm, one)
        scale = torch.where(turns, ratio.clamp_max(max_scale), one)
    along_w = (residual * w).sum(1, keepdim=True)
    along_u = (residual * u).sum(1, keepdim=True)
    rotated = residual - 2 * along_w * w + 2 * along_u * v
    rotated = scale * torch.where(turns, rotated, residual)
    return codeword.detach() + (rotated - rotated.detach())
