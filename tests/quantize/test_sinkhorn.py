"""Even assignments by entropic optimal transport."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._distance import nearest_codewords, squared_distances
from sklearn_rqvae.quantize._sinkhorn import balanced_codes, sinkhorn_log_plan, transport_cost


def random_problem(seed, n_rows, n_codes, n_dims=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    residual = torch.randn(n_rows, n_dims, generator=generator, dtype=dtype)
    return residual, torch.randn(n_codes, n_dims, generator=generator, dtype=dtype)


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
@pytest.mark.parametrize(("n_rows", "n_codes"), [(40, 8), (7, 7), (5, 12)])
def test_plan_agrees_with_pot(n_rows, n_codes, epsilon):
    ot = pytest.importorskip("ot")
    residual, codebook = random_problem(0, n_rows, n_codes)
    cost = transport_cost(residual, codebook)
    mass = torch.rand(n_rows, generator=torch.Generator().manual_seed(1)).double() + 0.1
    mass /= mass.sum()
    plan = sinkhorn_log_plan(cost, epsilon, mass, max_iter=20_000, tol=1e-12).exp()
    columns = torch.full((n_codes,), 1 / n_codes).double()
    expected = ot.sinkhorn(
        mass.numpy(),
        columns.numpy() / columns.sum().item(),
        cost.numpy(),
        epsilon,
        method="sinkhorn_log",
        numItermax=20_000,
        stopThr=1e-12,
    )
    # Entries are of the order of 1 / (rows * columns): compare in that unit.
    torch.testing.assert_close(
        plan * n_rows * n_codes, torch.from_numpy(expected) * n_rows * n_codes, rtol=0, atol=1e-6
    )


def test_float32_plan_agrees_with_float64():
    residual, codebook = random_problem(0, 64, 16)
    cost = transport_cost(residual, codebook)
    exact = sinkhorn_log_plan(cost, 0.03, max_iter=2000, tol=1e-6).exp()
    single = sinkhorn_log_plan(cost.float(), 0.03, max_iter=2000, tol=1e-6).exp()
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
@example(0, 1, 12)
@example(1, 40, 1)
@example(1, 2, 2)
def test_rows_are_exact_and_columns_even(seed, n_rows, n_codes):
    cost = transport_cost(*random_problem(seed, n_rows, n_codes))
    plan = sinkhorn_log_plan(cost, 0.5, max_iter=20_000, tol=1e-6).exp()
    torch.testing.assert_close(plan.sum(1), torch.full((n_rows,), 1 / n_rows).double())
    assert float((plan.sum(0) - 1 / n_codes).abs().sum()) < 1e-5


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 12))
@example(3, 9, 8)
@example(8002, 2, 3)
def test_bounded_plan_meets_the_optimality_conditions(seed, n_rows, n_codes):
    # Columns stay under the bound, and where one stays strictly under it, its potential is zero:
    # there, entries are those of the plain softmax of the costs up to the row's factor.
    cost = transport_cost(*random_problem(seed, n_rows, n_codes))
    bound = 1.5 / n_codes
    log_plan = sinkhorn_log_plan(cost, 0.5, max_column_mass=bound, max_iter=20_000, tol=1e-9)
    columns = log_plan.exp().sum(0)
    torch.testing.assert_close(log_plan.exp().sum(1), torch.full((n_rows,), 1 / n_rows).double())
    assert float((columns - bound).clamp_min(0).sum()) < 1e-6
    potential = log_plan + cost / 0.5
    potential = potential - potential.amax(1, keepdim=True)
    slack = columns < bound - 1e-5
    assert slack.any()
    torch.testing.assert_close(
        potential[:, slack], torch.zeros_like(potential[:, slack]), rtol=0, atol=1e-6
    )
    assert float(potential.max()) <= 1e-6


def test_bound_of_one_leaves_the_softmax():
    cost = transport_cost(*random_problem(0, 6, 4))
    plan = sinkhorn_log_plan(cost, 0.2, max_column_mass=1.0).exp()
    torch.testing.assert_close(plan * 6, (-cost / 0.2).softmax(1))


def test_all_rows_near_one_codeword_are_spread_over_all():
    residual, codebook = random_problem(0, 256, 16)
    residual = codebook[:1] + 0.1 * residual
    assert len(nearest_codewords(residual, codebook).unique()) == 1
    usage = balanced_codes(residual, codebook).bincount(minlength=16)
    assert int(usage.min()) > 0
    assert int(usage.max()) <= 3 * 16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_outlier_moves_few_other_rows(dtype):
    # A cost scaled by its range lets one outlying row flatten the costs of all others.
    residual, codebook = random_problem(0, 512, 32, 8, dtype)
    without = balanced_codes(residual, codebook)
    outlier = residual.clone()
    outlier[0] *= 100
    codes = balanced_codes(outlier, codebook)
    assert codes[0] == nearest_codewords(outlier[:1], codebook)[0]
    assert float((codes[1:] == without[1:]).double().mean()) > 0.98
    assert len(codes.unique()) == 32


@pytest.mark.parametrize("unit", [1e-10, 1e-3, 1.0, 1e3, 1e10])
def test_codes_have_no_unit(unit):
    residual, codebook = random_problem(0, 100, 8, dtype=torch.float32)
    expected = balanced_codes(residual, codebook)
    assert torch.equal(balanced_codes(unit * residual, unit * codebook), expected)


@pytest.mark.parametrize("epsilon", [1e-4, 3e-3, 0.03, 10.0])
@pytest.mark.parametrize("n_rows", [1, 2, 64, 600])
def test_float32_stays_finite(n_rows, epsilon):
    # The exponential form gives NaN in float32 from epsilon = 0.01 down.
    residual, codebook = random_problem(0, n_rows, 256, dtype=torch.float32)
    cost = transport_cost(residual, codebook)
    bound = max(1 / 256, 2 / n_rows)
    log_plan = sinkhorn_log_plan(cost, epsilon, max_column_mass=bound, max_iter=20)
    assert not torch.isnan(log_plan).any()
    row_sums = log_plan.logsumexp(1).exp() * n_rows
    # Logarithms of the size of 1 / epsilon are rounded to their own precision.
    tolerance = 1e-6 + 1e-9 / epsilon * float(cost.max())
    torch.testing.assert_close(row_sums, torch.ones(n_rows), rtol=0, atol=10 * tolerance)


def test_one_row_gets_its_nearest_codeword():
    residual, codebook = random_problem(0, 1, 256)
    assert torch.equal(balanced_codes(residual, codebook), nearest_codewords(residual, codebook))


def test_small_batches_cost_little_more_than_the_nearest_codeword():
    # Even masses would split each of 32 rows over 8 codewords, and move rows that collide with
    # none.
    residual, codebook = random_problem(0, 32, 256, dtype=torch.float32)
    distances = squared_distances(residual, codebook)
    codes = balanced_codes(residual, codebook)
    spent = distances.gather(1, codes[:, None]).sum()
    assert float(spent / distances.amin(1).sum()) < 1.05
    assert int(codes.bincount().max()) <= 2


@pytest.mark.parametrize("n_codes", [1, 3, 512])
def test_equal_rows_and_equal_codewords_are_no_trouble(n_codes):
    for codes in (
        balanced_codes(torch.zeros(20, 4), torch.zeros(n_codes, 4)),
        balanced_codes(torch.ones(20, 4), random_problem(0, 1, n_codes, 4, torch.float32)[1]),
    ):
        assert codes.shape == (20,)
        assert 0 <= int(codes.min()) <= int(codes.max()) < n_codes


def test_weights_are_masses():
    # Weighting a row by three is the same as having it three times.
    residual, codebook = random_problem(0, 30, 4)
    weight = torch.ones(30).double()
    weight[:5] = 3
    repeated = residual.repeat_interleave(weight.long(), 0)
    weighted = balanced_codes(residual, codebook, sample_weight=weight)
    assert torch.equal(
        weighted.repeat_interleave(weight.long()), balanced_codes(repeated, codebook)
    )


def test_zero_weights_stay_finite():
    residual, codebook = random_problem(0, 30, 4)
    weight = torch.ones(30).double()
    weight[3] = 0
    codes = balanced_codes(residual, codebook, sample_weight=weight)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 4
