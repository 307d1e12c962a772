"""Sampled codewords and the gradient through their softmax."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._distance import nearest_codewords, squared_distances
from sklearn_rqvae.quantize._gumbel import (
    annealed_temperature,
    gumbel_codewords,
    gumbel_noise,
    posterior_logits,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def problem(seed, n_rows=6, n_codes=5, n_dims=3):
    generator = seeded(seed)
    residual = torch.randn(n_rows, n_dims, generator=generator, dtype=torch.float64)
    codebook = torch.randn(n_codes, n_dims, generator=generator, dtype=torch.float64)
    return residual, codebook


def test_logits_of_a_hand_worked_example():
    # Squared distances (1, 4) and (9, 0): the mean least one is 1/2, over 1 dimension.
    residual, codebook = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [3.0]])
    expected = torch.tensor([[-1.0, -4.0], [-9.0, 0.0]])
    torch.testing.assert_close(posterior_logits(residual, codebook), expected)


@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1e-1, 1.0, 10.0, 1e3]))
@example(0, 1e-3)
def test_logits_have_no_unit(seed, unit):
    # With raw distances the same noise is everything at small latents and nothing at large ones.
    residual, codebook = problem(seed)
    expected = posterior_logits(residual, codebook)
    torch.testing.assert_close(posterior_logits(unit * residual, unit * codebook), expected)


@pytest.mark.parametrize("n_rows", [1, 4])
def test_logits_are_finite_where_every_row_is_a_codeword(n_rows):
    codebook = torch.randn(4, 3, generator=seeded(0))
    logits = posterior_logits(codebook[:n_rows], codebook)
    assert torch.isfinite(logits).all()
    assert torch.equal(logits.argmax(1), torch.arange(n_rows))
    assert torch.isfinite(posterior_logits(torch.zeros(2, 3), torch.zeros(4, 3))).all()


def test_forward_is_the_sampled_codeword_bit_for_bit():
    # A soft mixture in training is decoded by a decoder that never sees a codeword.
    residual, codebook = problem(0, n_rows=50)
    quantized, codes = gumbel_codewords(residual, codebook, 1.0, seeded(1))
    assert torch.equal(quantized, codebook[codes])


def test_codes_are_samples_of_the_softmax():
    residual, codebook = problem(3, n_rows=1)
    temperature = 2.0
    rows = residual.expand(40_000, -1)
    _, codes = gumbel_codewords(rows, codebook, temperature, seeded(0))
    observed = codes.bincount(minlength=5).double() / len(codes)
    expected = (posterior_logits(residual, codebook)[0] / temperature).softmax(0)
    # Five standard errors of a share of 40,000 draws.
    torch.testing.assert_close(observed, expected, rtol=0, atol=5 * 0.5 / 40_000**0.5)


def test_gradient_is_that_of_the_softmax_with_the_same_noise():
    # Against finite differences of the soft mixture under the noise that chose the code; the unit
    # of the logits is held constant, as it is in the gradient.
    residual, codebook = problem(0)
    temperature, weights = 0.7, problem(1)[0]
    noise = gumbel_noise(torch.empty(6, 5, dtype=torch.float64), seeded(9))
    variance = squared_distances(residual, codebook).amin(1).mean() / 3

    def soft(residual, codebook):
        logits = squared_distances(residual, codebook) / (-2 * variance) + temperature * noise
        return ((logits / 2).softmax(1) @ codebook * weights).sum()

    leaves = residual.clone().requires_grad_(), codebook.clone().requires_grad_()
    quantized, _ = gumbel_codewords(*leaves, temperature, seeded(9))
    (quantized * weights).sum().backward()
    for which, leaf in enumerate(leaves):
        numeric = torch.zeros_like(leaf)
        for index in range(leaf.numel()):
            step = torch.zeros(leaf.numel(), dtype=torch.float64)
            step[index] = 1e-6
            step = step.reshape(leaf.shape)
            moved = [(residual, codebook), (residual, codebook)]
            for sign, side in ((1, 0), (-1, 1)):
                arguments = list(moved[side])
                arguments[which] = arguments[which] + sign * step
                moved[side] = tuple(arguments)
            numeric.view(-1)[index] = (soft(*moved[0]) - soft(*moved[1])) / 2e-6
        torch.testing.assert_close(leaf.grad, numeric, rtol=1e-5, atol=1e-7)


def test_low_temperature_chooses_the_nearest_codeword():
    residual, codebook = problem(0, n_rows=200)
    _, codes = gumbel_codewords(residual, codebook, 1e-6, seeded(0))
    assert torch.equal(codes, nearest_codewords(residual, codebook))


@pytest.mark.parametrize("temperature", [1.0, 1e-3])
def test_gradient_has_a_limit_where_the_noise_vanishes(temperature):
    # One row midway between the codewords, one at a codeword: the mean least distance is 1/2.
    # Without noise both are as likely, and Cov / (2 * 1/2) = 1. With the noise's temperature in the
    # place of the 2 it would be 1000.
    residual = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
    codebook = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    quantized, _ = gumbel_codewords(residual, codebook, temperature, seeded(0))
    quantized[0].sum().backward()
    assert 0 < float(residual.grad[0]) <= 1 + 1e-9
    if temperature < 0.01:
        assert float(residual.grad[0]) == pytest.approx(1.0, abs=1e-3)


def test_noise_comes_from_the_given_generator_only():
    residual, codebook = problem(0, n_rows=50)
    before = torch.get_rng_state()
    first = gumbel_codewords(residual, codebook, 1.0, seeded(4))[1]
    again = gumbel_codewords(residual, codebook, 1.0, seeded(4))[1]
    other = gumbel_codewords(residual, codebook, 1.0, seeded(5))[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_has_the_mean_and_variance_of_the_gumbel_distribution():
    noise = gumbel_noise(torch.empty(100_000, dtype=torch.float64), seeded(0))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(noise.var()) == pytest.approx(torch.pi**2 / 6, abs=0.05)
    assert torch.isfinite(gumbel_noise(torch.empty(100_000, dtype=torch.float16), seeded(0))).all()


def test_temperature_falls_exponentially_from_start_to_end():
    # A schedule that multiplies at every step is at its floor long before the end.
    values = [annealed_temperature(p, 2.0, 0.02) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values == pytest.approx([2.0, 0.632456, 0.2, 0.0632456, 0.02])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((1.5,), "progress"), ((0.5, 0.0), "start"), ((0.5, 1.0, float("nan")), "end")],
)
def test_bad_temperatures_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}="):
        annealed_temperature(*arguments)
