"""Beam search: exhaustive when wide enough, greedy when one, with the errors of its codes."""

import math
from itertools import pairwise, product

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize import _beam
from sklearn_rqvae.quantize._beam import (
    SearchTables,
    beam_search,
)
from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._residual import sum_codewords


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_model(sizes, n_dims, seed=0):
    draws = generator(seed)
    return [
        0.7**level * torch.randn(size, n_dims, generator=draws) for level, size in enumerate(sizes)
    ]


def exhaustive_search(x, codebooks):
    """All code tuples of each row by rising error, the slow and obvious way."""
    tuples = torch.tensor(list(product(*(range(len(codebook)) for codebook in codebooks))))
    quantized = sum(codebook[tuples[:, level]] for level, codebook in enumerate(codebooks))
    errors = (x[:, None] - quantized).double().square().sum(2)
    errors, order = errors.sort(1)
    return tuples[order], errors


def residual_search(x, codebooks, n_beams):
    """Beam search on residuals, which the tables of inner products replace."""
    residuals, codes = x[:, None], torch.zeros(len(x), 1, 0, dtype=torch.int64)
    for codebook in codebooks:
        errors = (residuals[:, :, None] - codebook).square().sum(3).flatten(1)
        best = errors.argsort(dim=1, stable=True)[:, :n_beams]
        parent, code = best // len(codebook), best % len(codebook)
        rows = torch.arange(len(x))[:, None]
        residuals = residuals[rows, parent] - codebook[code]
        codes = torch.cat([codes[rows, parent], code[:, :, None]], 2)
    return codes


def test_foresight_by_hand():
    # 5 is greedily 4 + 0 with error 1; 3 + 2 has none.
    codebooks = [torch.tensor([[4.0], [3.0]]), torch.tensor([[0.0], [2.0]])]
    codes, errors = beam_search(torch.tensor([[5.0]]), codebooks, n_beams=1)
    assert codes.tolist() == [[[0, 0]]]
    assert errors.tolist() == [[1.0]]
    codes, errors = beam_search(torch.tensor([[5.0]]), codebooks, n_beams=4)
    assert codes[0, 0].tolist() == [1, 1]
    assert errors.tolist() == [[0.0, 1.0, 1.0, 4.0]]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n_dims=st.integers(1, 6),
    seed=st.integers(0, 50),
)
@example(sizes=[1], n_dims=1, seed=0)
@example(sizes=[2, 5, 3], n_dims=4, seed=1)
def test_a_beam_as_wide_as_all_tuples_is_exhaustive(sizes, n_dims, seed):
    codebooks = random_model(sizes, n_dims, seed)
    x = torch.randn(7, n_dims, generator=generator(seed + 1))
    n_tuples = int(torch.tensor(sizes).prod())
    codes, errors = beam_search(x, codebooks, n_beams=n_tuples)
    _, expected = exhaustive_search(x, codebooks)
    assert codes.shape == (7, n_tuples, len(sizes))
    assert all(len(torch.unique(row, dim=0)) == n_tuples for row in codes)
    torch.testing.assert_close(errors.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_beams", [2, 3, 8])
@pytest.mark.parametrize("sizes", [[16, 16, 16], [4, 32, 8, 16]])
@pytest.mark.parametrize("seed", range(3))
def test_tables_find_the_codes_that_residuals_find(n_beams, sizes, seed):
    codebooks = random_model(sizes, 24, seed)
    x = torch.randn(200, 24, generator=generator(seed + 1))
    codes, errors = beam_search(x, codebooks, n_beams)
    assert torch.equal(codes, residual_search(x, codebooks, n_beams))
    exact = (x[:, None] - sum_codewords(codes, codebooks)).square().sum(2)
    torch.testing.assert_close(errors, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_one_beam_follows_the_residual(seed):
    codebooks = random_model([8, 8, 8], 5, seed)
    x = torch.randn(100, 5, generator=generator(seed + 1))
    codes, errors = beam_search(x, codebooks, n_beams=1)
    residual = x
    for level, codebook in enumerate(codebooks):
        expected = nearest_codewords(residual, codebook)
        assert torch.equal(codes[:, 0, level], expected)
        residual = residual - codebook[expected]
    torch.testing.assert_close(errors[:, 0], residual.square().sum(1))


@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    n_beams=st.integers(1, 12),
    seed=st.integers(0, 50),
)
@example(sizes=[2, 2], n_beams=12, seed=0)
def test_laws_of_any_search(sizes, n_beams, seed):
    codebooks = random_model(sizes, 6, seed)
    x = torch.randn(30, 6, generator=generator(seed + 1))
    codes, errors = beam_search(x, codebooks, n_beams)
    assert codes.shape == (30, min(n_beams, math.prod(sizes)), len(sizes))
    assert (errors.diff(dim=1) >= 0).all()
    assert (errors >= 0).all()
    # quantized + last residual = row
    exact = (x[:, None] - sum_codewords(codes, codebooks)).square().sum(2)
    torch.testing.assert_close(errors, exact, rtol=1e-4, atol=1e-4)
    # permuting rows permutes codes
    order = torch.randperm(30, generator=generator(seed))
    assert torch.equal(beam_search(x[order], codebooks, n_beams)[0], codes[order])
    # on the same codebooks the first levels are the smaller model, as far as one beam goes
    greedy = beam_search(x, codebooks, 1)[0]
    assert torch.equal(beam_search(x, codebooks[:1], 1)[0], greedy[:, :, :1])


@given(n_beams=st.integers(1, 6), seed=st.integers(0, 50))
@example(n_beams=4, seed=0)
def test_permuting_a_codebook_only_renames_its_codes(n_beams, seed):
    codebooks = random_model([6, 7], 5, seed)
    x = torch.randn(20, 5, generator=generator(seed + 1))
    order = torch.randperm(7, generator=generator(seed))
    codes, _ = beam_search(x, codebooks, n_beams)
    renamed, _ = beam_search(x, [codebooks[0], codebooks[1][order]], n_beams)
    assert torch.equal(renamed[..., 0], codes[..., 0])
    assert torch.equal(order[renamed[..., 1]], codes[..., 1])


@pytest.mark.parametrize("n_beams", [1, 4])
def test_shifting_rows_and_the_first_codebook_together_changes_no_code(n_beams):
    codebooks = random_model([8, 8], 5)
    x, shift = torch.randn(50, 5, generator=generator(1)), torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0])
    moved = [codebooks[0] + shift, codebooks[1]]
    assert torch.equal(
        beam_search(x + shift, moved, n_beams)[0], beam_search(x, codebooks, n_beams)[0]
    )


@pytest.mark.parametrize("n_beams", [1, 2, 5])
def test_a_zero_codeword_keeps_the_error_from_growing_with_levels(n_beams):
    codebooks = [torch.cat([torch.zeros(1, 6), codebook]) for codebook in random_model([7] * 5, 6)]
    x = torch.randn(60, 6, generator=generator(1))
    errors = [x.square().sum(1)]
    for level in range(1, 6):
        errors.append(beam_search(x, codebooks[:level], n_beams)[1][:, 0])
    assert all((after <= before + 1e-5).all() for before, after in pairwise(errors))


def test_more_beams_find_no_larger_mean_error():
    codebooks = random_model([16] * 4, 12)
    x = torch.randn(300, 12, generator=generator(1))
    means = [
        float(beam_search(x, codebooks, n_beams)[1][:, 0].mean()) for n_beams in (1, 2, 4, 8, 16)
    ]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("n_beams", [1, 5])
def test_rows_do_not_depend_on_their_neighbors(n_beams):
    codebooks = random_model([32, 32], 40)
    x = torch.randn(300, 40, generator=generator(1))
    codes, errors = beam_search(x, codebooks, n_beams)
    for rows in (slice(50, 51), slice(3, 90), slice(200, 300)):
        some_codes, some_errors = beam_search(x[rows], codebooks, n_beams)
        assert torch.equal(some_codes, codes[rows])
        assert torch.equal(some_errors, errors[rows])


def test_prepared_tables_change_nothing():
    codebooks = random_model([5, 6, 7], 4)
    x = torch.randn(10, 4, generator=generator(1))
    for fresh, prepared in zip(
        beam_search(x, codebooks, 3),
        beam_search(x, codebooks, 3, tables=SearchTables(codebooks)),
        strict=True,
    ):
        assert torch.equal(fresh, prepared)


@pytest.mark.parametrize("n_beams", [1, 5, 16])
def test_extensions_a_few_at_a_time_change_nothing(monkeypatch, n_beams):
    codebooks = random_model([40, 300, 25, 60], 4)
    x = torch.randn(200, 4, generator=generator(1))
    expected = beam_search(x, codebooks, n_beams)
    monkeypatch.setattr(_beam, "_EXTENSIONS", 5000)
    monkeypatch.setattr(_beam, "_EXTENSIONS_OF_PART", 5000)
    monkeypatch.setattr(_beam, "_SCORES", 128)
    for found, known in zip(beam_search(x, codebooks, n_beams), expected, strict=True):
        assert torch.equal(found, known)


def test_duplicate_codewords_do_not_lose_a_choice():
    codebooks = [torch.zeros(3, 2), torch.eye(2)]
    codes, errors = beam_search(torch.tensor([[1.0, 0.0]]), codebooks, n_beams=6)
    assert len(torch.unique(codes[0], dim=0)) == 6
    assert errors[0].tolist() == [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]


def test_zero_rows_and_no_rows():
    codebooks = random_model([4, 4], 3)
    assert beam_search(torch.zeros(0, 3), codebooks, 2)[0].shape == (0, 2, 2)
    codes, errors = beam_search(torch.zeros(5, 3), codebooks, 2)
    assert (codes == codes[0]).all()
    assert errors.isfinite().all()


def test_sum_codewords_of_a_prefix_sums_the_first_levels():
    codebooks = [torch.tensor([[1.0], [2.0]]), torch.tensor([[10.0], [20.0]])]
    assert sum_codewords(torch.tensor([[1], [0]]), codebooks).tolist() == [[2.0], [1.0]]
    assert sum_codewords(torch.tensor([[1, 0], [0, 1]]), codebooks).tolist() == [[12.0], [21.0]]
