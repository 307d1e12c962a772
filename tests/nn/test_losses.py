"""The parts of the loss, in stated units."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.nn._losses import (
    categorical_loss,
    codebook_loss,
    commitment_loss,
    reconstruction_loss,
    weighted_mean,
)


def rows(seed, n_rows=6, n_dims=4):
    return torch.randn(
        n_rows, n_dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_a_batch_without_weight_has_no_loss_and_no_gradient():
    # A gradient beside large factors, too, which a tiny divisor would make infinite.
    x, other = rows(0).float().requires_grad_(), rows(1).float().requires_grad_()
    weight = torch.zeros(6)
    losses = [
        weighted_mean(x[:, 0], weight),
        reconstruction_loss(x, other, 1, weight),
        categorical_loss(other.sigmoid(), x, 1, weight),
        codebook_loss([x, x], [other, other], 1, weight),
        commitment_loss([x, x], [other, other], 1, weight),
    ]
    assert [loss.item() for loss in losses] == [0.0] * 5
    (1e6 * sum(losses)).backward()
    assert not x.grad.any()
    assert not other.grad.any()


def test_losses_by_hand():
    x, reconstruction = (
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 4.0]]),
    )
    # Row sums 5 and 16, over 2 features; with weights 3 and 1, (15 + 16) / 4.
    assert reconstruction_loss(x, reconstruction, 2).item() == 10.5 / 2
    weight = torch.tensor([3.0, 1.0])
    assert reconstruction_loss(x, reconstruction, 2, weight).item() == 31 / 4 / 2
    assert codebook_loss([x, x], [reconstruction, x], 10).item() == pytest.approx(10.5 / 10)
    assert commitment_loss([x, x], [reconstruction, x], 10, weight).item() == pytest.approx(31 / 40)


def test_reconstruction_loss_is_the_mean_squared_error():
    x, reconstruction = rows(0), rows(1)
    torch.testing.assert_close(
        reconstruction_loss(x, reconstruction, 4), F.mse_loss(reconstruction, x)
    )


@given(st.integers(0, 10_000), st.integers(2, 6))
@example(0, 2)
def test_parts_have_one_unit_under_an_isometric_decoder(seed, embed_dim):
    # An error in the latent is then an error of the same size in the input: what the codebook loss
    # says of one level is what the reconstruction loss says.
    q, _ = torch.linalg.qr(rows(seed, 8, embed_dim))
    latent, quantized = rows(seed + 1, 5, embed_dim), rows(seed + 2, 5, embed_dim)
    expected = reconstruction_loss(latent @ q.T, quantized @ q.T, 8)
    torch.testing.assert_close(codebook_loss([latent], [quantized], 8), expected)
    torch.testing.assert_close(commitment_loss([latent], [quantized], 8), expected)


@pytest.mark.parametrize("loss", [reconstruction_loss, categorical_loss])
def test_integer_weights_are_repetitions(loss):
    x, other = rows(0).sigmoid(), rows(1)
    weight = torch.tensor([1, 2, 0, 3, 1, 1])
    repeated = loss(x.repeat_interleave(weight, 0), other.repeat_interleave(weight, 0), 4)
    torch.testing.assert_close(loss(x, other, 4, weight.double()), repeated)


def test_categorical_loss_is_the_binary_cross_entropy():
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    logits = torch.tensor([[2.0, -1.0, 0.0], [100.0, -100.0, 3.0]])
    expected = F.binary_cross_entropy(logits[:1].sigmoid(), x[:1], reduction="sum") / 12
    torch.testing.assert_close(categorical_loss(x[:1], logits[:1], 12), expected)
    # Far logits are exact, neither cut nor infinite.
    second = 100.0 + torch.log1p(torch.exp(torch.tensor(-3.0)))
    torch.testing.assert_close(categorical_loss(x[1:], logits[1:], 12), second / 12)


def test_no_columns_have_no_loss():
    none = torch.empty(3, 0)
    assert reconstruction_loss(none, none, 5).item() == 0
    assert categorical_loss(none, none, 5).item() == 0


def test_codebook_loss_moves_codewords_and_commitment_loss_residuals():
    residual, codeword = rows(0).requires_grad_(), rows(1).requires_grad_()
    codebook_loss([residual], [codeword], 4).backward()
    assert residual.grad is None
    torch.testing.assert_close(codeword.grad, 2 * (codeword - residual).detach() / 6 / 4)
    codeword.grad = None
    commitment_loss([residual], [codeword], 4).backward()
    assert codeword.grad is None
    torch.testing.assert_close(residual.grad, 2 * (residual - codeword).detach() / 6 / 4)


def test_weighted_mean_does_not_see_a_factor_of_the_weights():
    values, weight = rows(0)[:, 0], rows(1)[:, 0].abs()
    torch.testing.assert_close(weighted_mean(values, weight), weighted_mean(values, 7 * weight))
