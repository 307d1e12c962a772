"""The recursion over levels."""

from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._residual import residual_codes, sum_codewords


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def problem(seed, n_rows=40, n_layers=3, size=7, n_dims=4):
    generator = seeded(seed)
    latent = torch.randn(n_rows, n_dims, generator=generator, dtype=torch.float64)
    codebooks = [
        torch.randn(size, n_dims, generator=generator, dtype=torch.float64) / 2**level
        for level in range(n_layers)
    ]
    return latent, codebooks


def test_two_levels_in_two_dimensions_by_hand():
    # (4, 1): nearest of (0, 0), (3, 0) is (3, 0), leaving (1, 1); of (0, 1), (1, 0), (2, 2) the
    # first two are equally far, and the lower code wins: what is left is (1, 0).
    codebooks = [
        torch.tensor([[0.0, 0.0], [3.0, 0.0]]),
        torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]),
    ]
    latent = torch.tensor([[4.0, 1.0], [0.0, 0.9], [5.2, 1.8]])
    codes = residual_codes(latent, codebooks)
    assert codes.tolist() == [[1, 0], [0, 0], [1, 2]]
    assert sum_codewords(codes, codebooks).tolist() == [[3.0, 1.0], [0.0, 1.0], [5.0, 2.0]]


@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from([1, 3, 20]))
@example(0, 9, 1)
def test_each_code_is_the_nearest_to_what_the_levels_before_left(seed, n_layers, size):
    latent, codebooks = problem(seed, n_layers=n_layers, size=size)
    codes = residual_codes(latent, codebooks)
    for level in range(n_layers):
        before = sum_codewords(codes[:, :level], codebooks) if level else torch.zeros_like(latent)
        distances = torch.cdist(latent - before, codebooks[level])
        chosen = distances.gather(1, codes[:, level, None])[:, 0]
        torch.testing.assert_close(chosen, distances.amin(1))


@given(st.integers(0, 10_000))
@example(0)
def test_a_zero_codeword_keeps_the_residual_from_growing(seed):
    latent, codebooks = problem(seed, n_layers=4)
    for codebook in codebooks:
        codebook[2] = 0
    codes = residual_codes(latent, codebooks)
    lengths = [latent.norm(dim=1)]
    for n_levels in range(1, 5):
        lengths.append((latent - sum_codewords(codes[:, :n_levels], codebooks)).norm(dim=1))
    for before, after in pairwise(lengths):
        assert (after <= before + 1e-12).all()


@given(st.integers(0, 10_000))
@example(0)
def test_permuting_rows_permutes_codes(seed):
    latent, codebooks = problem(seed)
    order = torch.randperm(len(latent), generator=seeded(seed))
    codes = residual_codes(latent, codebooks)
    assert torch.equal(residual_codes(latent[order], codebooks), codes[order])


@given(st.integers(0, 10_000))
@example(0)
def test_permuting_a_codebook_renames_its_codes(seed):
    latent, codebooks = problem(seed)
    codes = residual_codes(latent, codebooks)
    order = torch.randperm(7, generator=seeded(seed))
    codebooks[1] = codebooks[1][order]
    renamed = residual_codes(latent, codebooks)
    assert torch.equal(renamed[:, [0, 2]], codes[:, [0, 2]])
    assert torch.equal(order[renamed[:, 1]], codes[:, 1])


@given(st.integers(0, 10_000), st.integers(1, 4))
@example(0, 1)
def test_first_levels_are_the_model_of_fewer_levels(seed, n_levels):
    latent, codebooks = problem(seed, n_layers=4)
    codes = residual_codes(latent, codebooks)
    assert torch.equal(residual_codes(latent, codebooks[:n_levels]), codes[:, :n_levels])


@given(st.integers(0, 10_000))
@example(0)
def test_shifting_latents_and_first_codebook_changes_no_code(seed):
    latent, codebooks = problem(seed)
    codes = residual_codes(latent, codebooks)
    shift = torch.randn(4, generator=seeded(seed + 1), dtype=torch.float64)
    codebooks[0] = codebooks[0] + shift
    assert torch.equal(residual_codes(latent + shift, codebooks), codes)


@pytest.mark.parametrize("chunk_size", [1, 7, 39, 40, 1000])
def test_chunks_are_invisible(chunk_size):
    latent, codebooks = problem(0)
    expected = residual_codes(latent, codebooks)
    assert torch.equal(residual_codes(latent, codebooks, chunk_size), expected)


def test_levels_may_have_different_sizes():
    latent, _ = problem(0)
    codebooks = [problem(seed, size=size)[1][0] for seed, size in ((1, 1), (2, 3), (3, 512))]
    codes = residual_codes(latent, codebooks)
    assert [int(codes[:, level].max()) < size for level, size in enumerate((1, 3, 512))] == [
        True
    ] * 3
    assert (codes[:, 0] == 0).all()


def test_no_rows_have_no_codes():
    _, codebooks = problem(0)
    assert residual_codes(torch.empty(0, 4).double(), codebooks).shape == (0, 3)


def test_codes_agree_with_vector_quantize_pytorch():
    library = pytest.importorskip("vector_quantize_pytorch")
    latent, codebooks = problem(0, n_rows=200)
    theirs = library.ResidualVQ(
        dim=4, num_quantizers=3, codebook_size=7, kmeans_init=False, rotation_trick=False
    ).double()
    for layer, codebook in zip(theirs.layers, codebooks, strict=True):
        layer._codebook.embed.data.copy_(codebook[None])
    theirs.eval()
    quantized, codes, _ = theirs(latent[None])
    ours = residual_codes(latent, codebooks)
    assert torch.equal(ours, codes[0])
    # Their distances and codewords are float32 whatever the input.
    torch.testing.assert_close(sum_codewords(ours, codebooks), quantized[0], rtol=1e-4, atol=1e-5)


def test_gradient_of_the_sum_reaches_each_chosen_codeword():
    _, codebooks = problem(0)
    codebooks = [codebook.requires_grad_() for codebook in codebooks]
    sum_codewords(torch.tensor([[1, 2, 3], [1, 0, 3]]), codebooks).sum().backward()
    for codebook, counts in zip(codebooks, ({1: 2}, {2: 1, 0: 1}, {3: 2}), strict=True):
        expected = torch.zeros(7, 4).double()
        for code, count in counts.items():
            expected[code] = count
        assert torch.equal(codebook.grad, expected)
