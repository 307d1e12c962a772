"""Refitted codewords solve the ridge least-squares problem of all levels at once."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._refine import (
    center_codebooks,
    normal_equations,
    refit_codebooks,
    shrink_codebooks,
)
from sklearn_rqvae.quantize._residual import sum_codewords


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(n, sizes, n_dims, seed):
    draws = generator(seed)
    x = torch.randn(n, n_dims, generator=draws)
    codes = torch.stack([torch.randint(size, (n,), generator=draws) for size in sizes], 1)
    codebooks = [torch.randn(size, n_dims, generator=draws) for size in sizes]
    return x, codes, codebooks, torch.rand(n, generator=draws) + 0.1


def marks(codes, sizes):
    """The dense (n_samples, n_codewords) matrix that the package never forms."""
    return torch.cat(
        [torch.eye(size, dtype=torch.float64)[codes[:, level]] for level, size in enumerate(sizes)],
        1,
    )


def error(x, codes, codebooks):
    return float((x - sum_codewords(codes, codebooks)).double().square().sum())


def test_one_level_without_ridge_is_the_mean_of_each_cluster():
    x, codes = torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([[0], [0], [1]])
    (codebook,) = refit_codebooks(x, codes, [torch.zeros(2, 1)], ridge=1e-9)
    torch.testing.assert_close(codebook, torch.tensor([[2.0], [7.0]]))


def test_ridge_by_hand():
    # One codeword, two rows of 4, previous value 1, ridge 2: (4 + 4 + 2 * 1) / (2 + 2) = 2.5.
    x, codes = torch.tensor([[4.0], [4.0]]), torch.tensor([[0], [0]])
    (codebook,) = refit_codebooks(x, codes, [torch.ones(1, 1)], ridge=2.0)
    torch.testing.assert_close(codebook, torch.tensor([[2.5]]))


def test_two_levels_are_fitted_jointly():
    # Rows 0, 1, 10, 11 with codes (tens, ones): sums reach them exactly, from any start.
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    start = [torch.tensor([[5.0], [-3.0]]), torch.tensor([[2.0], [2.0]])]
    fitted = refit_codebooks(x, codes, start, ridge=1e-6)
    torch.testing.assert_close(sum_codewords(codes, fitted), x, rtol=0, atol=1e-4)


@given(
    n=st.integers(1, 40),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    n_dims=st.integers(1, 5),
    ridge=st.sampled_from([0.01, 1.0, 30.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 50),
)
@example(n=1, sizes=[1], n_dims=1, ridge=1.0, weighted=False, seed=0)
@example(n=40, sizes=[6, 2, 5], n_dims=3, ridge=0.01, weighted=True, seed=1)
def test_codewords_solve_the_dense_problem(n, sizes, n_dims, ridge, weighted, seed):
    x, codes, codebooks, weight = random_problem(n, sizes, n_dims, seed)
    b, previous = marks(codes, sizes), torch.cat(codebooks).double()
    w = weight.double() if weighted else torch.ones(n, dtype=torch.float64)
    gram = b.T @ (w[:, None] * b)
    expected = torch.linalg.solve(
        gram + ridge * torch.eye(len(gram), dtype=torch.float64),
        b.T @ (w[:, None] * x.double()) + ridge * previous,
    )
    fitted = refit_codebooks(
        x, codes, codebooks, sample_weight=weight if weighted else None, ridge=ridge
    )
    assert [len(codebook) for codebook in fitted] == sizes
    torch.testing.assert_close(torch.cat(fitted), expected.float(), rtol=1e-4, atol=1e-4)


def test_normal_equations_are_those_of_the_dense_marks():
    sizes = [4, 1, 7]
    x, codes, _, weight = random_problem(100, sizes, 3, 0)
    gram, moment = normal_equations(x, codes, sizes, weight)
    b = marks(codes, sizes)
    torch.testing.assert_close(gram, b.T @ (weight.double()[:, None] * b))
    torch.testing.assert_close(moment, b.T @ (weight[:, None] * x).double(), rtol=1e-5, atol=1e-5)


def test_integer_weights_are_repetitions():
    x, codes, codebooks, _ = random_problem(50, [5, 5], 3, 1)
    repeats = torch.randint(0, 4, (50,), generator=generator(2))
    weighted = refit_codebooks(x, codes, codebooks, sample_weight=repeats.float())
    repeated = refit_codebooks(
        x.repeat_interleave(repeats, 0), codes.repeat_interleave(repeats, 0), codebooks
    )
    for one, other in zip(weighted, repeated, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_refitting_never_raises_the_error_on_the_same_codes(seed):
    x, codes, codebooks, _ = random_problem(60, [8, 8, 8], 4, seed)
    fitted = refit_codebooks(x, codes, codebooks)
    assert error(x, codes, fitted) < error(x, codes, codebooks)
    again = refit_codebooks(x, codes, fitted)
    assert error(x, codes, again) <= error(x, codes, fitted)


def test_a_codeword_without_rows_keeps_its_value():
    x, codes = torch.ones(3, 2), torch.tensor([[0, 1], [0, 1], [0, 1]])
    codebooks = [
        torch.randn(2, 2, generator=generator()),
        torch.randn(3, 2, generator=generator(1)),
    ]
    fitted = refit_codebooks(x, codes, codebooks)
    torch.testing.assert_close(fitted[0][1], codebooks[0][1])
    torch.testing.assert_close(fitted[1][[0, 2]], codebooks[1][[0, 2]])


def test_arguments_are_left_as_they_are():
    x, codes, codebooks, weight = random_problem(20, [3, 3], 2, 0)
    copies = [
        x.clone(),
        codes.clone(),
        weight.clone(),
        *(codebook.clone() for codebook in codebooks),
    ]
    refit_codebooks(x, codes, codebooks, sample_weight=weight)
    for before, after in zip(copies, [x, codes, weight, *codebooks], strict=True):
        assert torch.equal(before, after)


def test_centering_moves_the_means_of_later_levels_by_hand():
    codes = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 0]])
    codebooks = [torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [8.0]])]
    # Level 1 is used 3 : 1, so its mean is 5.
    first, second = center_codebooks(codebooks, codes)
    assert first.tolist() == [[6.0], [7.0]]
    assert second.tolist() == [[-1.0], [3.0]]


@pytest.mark.parametrize("seed", range(3))
def test_centering_keeps_all_sums_and_brings_the_first_level_closer(seed):
    x, codes, codebooks, weight = random_problem(200, [5, 6, 7], 4, seed)
    fitted = refit_codebooks(x, codes, codebooks, sample_weight=weight, ridge=0.1)
    fitted[2] += 3.0
    fitted[0] -= 3.0
    centered = center_codebooks(fitted, codes, sample_weight=weight)
    torch.testing.assert_close(sum_codewords(codes, centered), sum_codewords(codes, fitted))
    assert error(x, codes[:, :1], centered) < error(x, codes[:, :1], fitted)


def test_shrinking_by_hand():
    # One level on one axis. Codewords 2 and -2 (signal 4), rows off by 1 (noise 1), four rows each:
    # the ridge is 8 * 1 / 4 = 2 rows, and a codeword 4 * 2 / (4 + 2).
    x = torch.tensor([[3.0], [1.0], [3.0], [1.0], [-3.0], [-1.0], [-3.0], [-1.0]])
    codes = torch.tensor([[0]] * 4 + [[1]] * 4)
    (codebook,) = shrink_codebooks(x, codes, [torch.tensor([[2.0], [-2.0]])], strength=8.0)
    torch.testing.assert_close(codebook, torch.tensor([[4.0 / 3.0], [-4.0 / 3.0]]))


def test_shrinking_without_noise_changes_nothing():
    codebooks = [torch.tensor([[4.0, 0.0], [-4.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])]
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    x = sum_codewords(codes, codebooks)
    shrunk = shrink_codebooks(x, codes, codebooks)
    torch.testing.assert_close(sum_codewords(codes, shrunk), x, rtol=0, atol=5e-3)


@pytest.mark.parametrize("seed", range(5))
def test_shrinking_helps_new_rows_where_codewords_are_noisy(seed):
    # Codewords estimated from two rows each, in half of whose coordinates there is only noise.
    draws = generator(seed)
    truth = torch.cat([3.0 * torch.randn(50, 10, generator=draws), torch.zeros(50, 10)], 1)
    codes = torch.arange(50).repeat(2)[:, None]
    x, new = (truth.repeat(2, 1) + torch.randn(100, 20, generator=draws) for _ in range(2))
    fitted = refit_codebooks(x, codes, [truth], ridge=1e-6)
    shrunk = shrink_codebooks(x, codes, fitted)
    assert error(new, codes, shrunk) < 0.95 * error(new, codes, fitted)


def test_shrinking_keeps_codewords_without_rows_and_survives_zero_rows():
    codebooks = [torch.randn(3, 2, generator=generator())]
    x, codes = torch.zeros(4, 2), torch.zeros(4, 1, dtype=torch.int64)
    (shrunk,) = shrink_codebooks(x, codes, codebooks)
    assert shrunk.isfinite().all()
    torch.testing.assert_close(shrunk[1:], codebooks[0][1:])
