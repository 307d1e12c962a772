r"""Sample codewords from the softmax of their distances, with a gradient through the softmax."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_rqvae.quantize._distance import squared_distances

__all__ = ["annealed_temperature", "gumbel_codewords", "gumbel_noise", "posterior_logits"]

# Temperature of the softmax that the gradient crosses, in units of the logits. From 1 to 4 the
# reconstructions of held-out rows are alike; at 0.3 and falling they are 2 % worse.
_RELAXATION = 2.0


def posterior_logits(residual: Tensor, codebook: Tensor) -> Tensor:
    r"""Compute the log-odds of the codewords given a residual.

    They are those of a mixture of isotropic Gaussians around the codewords, :math:`-\|r - c_k\|^2 /
    2\sigma^2` up to a constant, with :math:`\sigma^2` the present quantization error per dimension,
    :math:`\frac{1}{d}\,\mathrm{mean}_i \min_k \|r_i - c_k\|^2`, held constant. So the logits have
    no unit: noise and temperature mean the same at every level, and whatever the size of the
    latents.

    Parameters
    ----------
    residual : Tensor of shape (n_samples, embed_dim)
        Rows to quantize.
    codebook : Tensor of shape (codebook_size, embed_dim)
        Codewords.

    Returns
    -------
    logits : Tensor of shape (n_samples, codebook_size)
        At most zero, and zero for a row that equals a codeword; differentiable in both arguments.
    """
    distances = squared_distances(residual, codebook)
    variance = distances.detach().amin(1).mean() / residual.shape[1]
    # Where every row equals a codeword the variance is rounding: the largest squared norm's epsilon
    # bounds it.
    rounding = codebook.detach().square().sum(1).amax() * torch.finfo(distances.dtype).eps
    floor = torch.finfo(distances.dtype).tiny
    return distances / (-2 * torch.maximum(variance, rounding).clamp_min(floor))


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard Gumbel noise, minus the logarithm of exponential variates.

    Parameters
    ----------
    like : Tensor
        Gives shape, dtype and device.
    generator : torch.Generator, optional
        Draws the noise, on its own device; torch's global generator if not given.

    Returns
    -------
    noise : Tensor
        Same shape, dtype and device as `like`.
    """
    device = like.device if generator is None else generator.device
    waiting = torch.empty(like.shape, dtype=like.dtype, device=device)
    waiting.exponential_(generator=generator)
    # An exponential variate that underflows to zero would make the noise infinite.
    return waiting.clamp_min_(torch.finfo(like.dtype).tiny).log_().neg_().to(like.device)


def gumbel_codewords(
    residual: Tensor,
    codebook: Tensor,
    temperature: float | Tensor,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Sample a codeword for each row, straight-through Gumbel-softmax.

    With logits :math:`l` (`posterior_logits`) and Gumbel noise :math:`G`, the code is
    :math:`\arg\max_k (l_k / \tau + G_k)`, which is a sample from the softmax of :math:`l / \tau`.
    Forward is the codeword of that code; backward is the gradient of :math:`\sum_k y_k c_k` with
    :math:`y = \mathrm{softmax}((l + \tau G) / \lambda)` [1]_, [2]_ and the *same* noise. Both the
    residual and the codewords receive it.

    That is the Gumbel-softmax of the log-odds :math:`l / \tau` at temperature :math:`\lambda /
    \tau`. The derivative of the sum in the residual is :math:`\mathrm{Cov}_y(c) / \sigma^2
    \lambda`. So :math:`\lambda` is a constant, 2: with :math:`\tau` in its place, the lower the
    temperature, the fewer rows have a gradient, and the larger it is.

    Parameters
    ----------
    residual : Tensor of shape (n_samples, embed_dim)
        Rows to quantize.
    codebook : Tensor of shape (codebook_size, embed_dim)
        Codewords.
    temperature : float or scalar Tensor
        :math:`\tau > 0`. At 1 the code is a sample of the mixture's posterior; as the temperature
        falls, the choice becomes the nearest codeword.
    generator : torch.Generator, optional
        Draws the noise; torch's global generator if not given.

    Returns
    -------
    quantized : Tensor of shape (n_samples, embed_dim)
        The sampled codewords.
    codes : Tensor of int64 of shape (n_samples,)
        Their codes.

    References
    ----------
    .. [1] Jang, E., Gu, S., Poole, B. "Categorical reparameterization with Gumbel-softmax". ICLR
       2017, arXiv:1611.01144, section 2.2.
    .. [2] Maddison, C. J., Mnih, A., Teh, Y. W. "The concrete distribution". ICLR 2017,
       arXiv:1611.00712.

    Examples
    --------
    >>> import torch
    >>> from sklearn_rqvae.quantize._gumbel import gumbel_codewords
    >>> codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> noise = torch.Generator().manual_seed(0)
    >>> gumbel_codewords(torch.tensor([[0.9, 0.1]]), codebook, temperature=1e-3, generator=noise)
    (tensor([[1., 0.]]), tensor([1]))
    """
    logits = posterior_logits(residual, codebook)
    logits = logits + temperature * gumbel_noise(logits, generator)
    codes = logits.argmax(1)
    soft = (logits / _RELAXATION).softmax(1) @ codebook
    hard = F.embedding(codes, codebook)
    return hard.detach() + (soft - soft.detach()), codes


def annealed_temperature(progress: float, start: float = 1.0, end: float = 0.1) -> float:
    r"""Compute the temperature at a point of the training, falling exponentially.

    Parameters
    ----------
    progress : float
        Share of the training that is done, in [0, 1].
    start, end : float
        Temperatures at 0 and 1, positive.

    Returns
    -------
    temperature : float
        :math:`\mathrm{start}^{1 - p}\,\mathrm{end}^{p}`.

    Raises
    ------
    ValueError
        If `progress` is outside [0, 1] or a temperature isn't positive.

    Examples
    --------
    >>> from sklearn_rqvae.quantize._gumbel import annealed_temperature
    >>> [round(annealed_temperature(p), 3) for p in (0, 0.5, 1)]
    [1.0, 0.316, 0.1]
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress={progress!r} should be the share of training done, in [0, 1].")
    for name, temperature in (("start", start), ("end", end)):
        if not 0 < temperature < math.inf:
            raise ValueError(f"{name}={temperature!r} should be a positive, finite temperature.")
    return start ** (1 - progress) * end**progress
