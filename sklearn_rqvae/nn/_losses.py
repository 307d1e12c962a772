r"""The parts of the training loss, as functions.

All parts are sums over dimensions (and levels) divided by the number of *input* features, and means
over the batch. A decoder that keeps distances turns an error in the latent into an equal one in the
input; the parts are then in the same unit, squared input units per feature, and their weights mean
the same whatever the width of the input or of the latent. Means over the latent's own width, as
`torch.nn.functional.mse_loss` takes them, would weight 32 latent dimensions 24 times as much as 768
input features.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "categorical_loss",
    "codebook_loss",
    "commitment_loss",
    "reconstruction_loss",
    "weighted_mean",
]


def weighted_mean(values: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Average over samples.

    Parameters
    ----------
    values : Tensor of shape (n_samples,)
        One value per sample.
    sample_weight : Tensor of shape (n_samples,), optional
        Non-negative weights; equal if not given.

    Returns
    -------
    mean : scalar Tensor
        Weighted mean; zero, with zero gradients, where all weights are.
    """
    if sample_weight is None:
        return values.mean()
    return values @ sample_weight / _total(sample_weight)


def _total(sample_weight: Tensor) -> Tensor:
    """Return the sum of the weights to divide by: one where it is zero, as the products are too."""
    total = sample_weight.sum()
    return total + (total == 0)


def sum_of_means(values: Sequence[Tensor], sample_weight: Tensor | None = None) -> Tensor:
    """Add up the averages over samples of any number of values, zero for none."""
    means = [weighted_mean(value, sample_weight) for value in values]
    return torch.stack(means).sum() if means else torch.zeros(())


def reconstruction_loss(
    x: Tensor, reconstruction: Tensor, n_features: int, sample_weight: Tensor | None = None
) -> Tensor:
    """Compute the squared error of the numerical columns.

    Parameters
    ----------
    x, reconstruction : Tensor of shape (n_samples, n_columns)
        Numerical columns.
    n_features : int
        Number of input features, categories included.
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the mean over the batch.

    Returns
    -------
    loss : scalar Tensor
        Sum over columns divided by `n_features`, mean over the batch: squared units of `x`.
    """
    return weighted_mean((x - reconstruction).square().sum(1), sample_weight) / n_features


def categorical_loss(
    x: Tensor, logits: Tensor, n_features: int, sample_weight: Tensor | None = None
) -> Tensor:
    """Compute the binary cross-entropy of the categorical columns.

    Each column is a question of its own, so that one-hot and multi-hot rows are both served.

    Parameters
    ----------
    x : Tensor of shape (n_samples, n_categories)
        Whether a row has the category, in [0, 1].
    logits : Tensor of shape (n_samples, n_categories)
        Log-odds that it has.
    n_features : int
        Number of input features, categories included.
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the mean over the batch.

    Returns
    -------
    loss : scalar Tensor
        Sum over columns divided by `n_features`, mean over the batch: nats.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return weighted_mean(entropy, sample_weight) / n_features


def codebook_loss(
    residuals: Sequence[Tensor],
    codewords: Sequence[Tensor],
    n_features: int,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Compute what moves codewords toward residuals [1]_.

    That is :math:`\sum_l \|\mathrm{sg}(r_l) - q_l\|^2`.

    Parameters
    ----------
    residuals, codewords : sequence of Tensor of shape (n_samples, embed_dim)
        What each level quantized, and the codewords that it chose.
    n_features : int
        Number of input features.
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the mean over the batch.

    Returns
    -------
    loss : scalar Tensor
        Sum over levels and latent dimensions, over `n_features`; mean over the batch.

    References
    ----------
    .. [1] van den Oord, A., Vinyals, O., Kavukcuoglu, K. "Neural discrete representation learning".
       NeurIPS 2017, arXiv:1711.00937, equation 3.
    """
    levels = zip(residuals, codewords, strict=True)
    errors = [(residual.detach() - codeword).square().sum(1) for residual, codeword in levels]
    return sum_of_means(errors, sample_weight) / n_features


def commitment_loss(
    residuals: Sequence[Tensor],
    codewords: Sequence[Tensor],
    n_features: int,
    sample_weight: Tensor | None = None,
) -> Tensor:
    r"""Compute what moves the encoder toward codewords.

    That is :math:`\sum_l \|r_l - \mathrm{sg}(q_l)\|^2`. With residuals :math:`r_l = z -
    \mathrm{sg}(q_0 + \ldots + q_{l-1})` every level has its share in the gradient, :math:`2 (r_l -
    q_l)`. Subtracting straight-through copies instead would leave a share to the first level only.

    Parameters
    ----------
    residuals, codewords : sequence of Tensor of shape (n_samples, embed_dim)
        What each level quantized, and the codewords that it chose.
    n_features : int
        Number of input features.
    sample_weight : Tensor of shape (n_samples,), optional
        Weights of the mean over the batch.

    Returns
    -------
    loss : scalar Tensor
        Sum over levels and latent dimensions, over `n_features`; mean over the batch.
    """
    levels = zip(residuals, codewords, strict=True)
    errors = [(residual - codeword.detach()).square().sum(1) for residual, codeword in levels]
    return sum_of_means(errors, sample_weight) / n_features
