"""Codewords and pair vectors: the regression, its leave-one-out errors, and what may be stored."""

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize import _interactions
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._interactions import (
    CODEWORD_RIDGE,
    PAIR_RIDGE,
    RIDGES,
    WEAK_PAIR_RIDGE,
    Interactions,
    _choose_ridges,
    _codeword_ridge,
    _leave_one_out_errors,
    _reconstruct,
    _regress,
    _ridge,
    _soft_codes,
    _SoftCodes,
    fit_interactions,
)
from sklearn_rqvae.quantize._kept import KeptCodes
from sklearn_rqvae.quantize._pairs import PairKeys


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def interacting_rows(n, seed=0, sizes=(4, 4), dim=6):
    """Rows whose second codeword depends on the first code."""
    g = generator(seed)
    first = torch.randn(sizes[0], dim, generator=generator(100)) * 5
    second = torch.randn(sizes[0], sizes[1], dim, generator=generator(101))
    codes = torch.stack([torch.randint(0, size, (n,), generator=g) for size in sizes], 1)
    rows = first[codes[:, 0]] + second[codes[:, 0], codes[:, 1]]
    return rows + 0.05 * torch.randn(n, dim, generator=g)


@given(seed=st.integers(0, 20), n_columns=st.integers(1, 6))
@example(seed=8, n_columns=6)  # the worst conditioned of them
def test_conjugate_gradients_solve_the_ridge_regression(seed, n_columns):
    rng = np.random.default_rng(seed)
    design = sp.csr_matrix((rng.random((30, n_columns)) < 0.4).astype(np.float32))
    weight = rng.random(30).astype(np.float32)
    targets = rng.normal(size=(30, 3)).astype(np.float32)
    ridge = rng.uniform(0.5, 3, n_columns).astype(np.float32)
    dense = design.toarray().astype(np.float64)
    weighted = design.multiply(weight[:, None]).tocsr()
    normal = dense.T @ (weight[:, None] * dense) + np.diag(ridge)
    expected = np.linalg.solve(normal, dense.T @ (weight[:, None] * targets))
    solution = _ridge(weighted, design, weighted.T @ targets, ridge, n_iter=50, tol=1e-8)
    np.testing.assert_allclose(solution, expected, rtol=1e-3, atol=1e-4)


def test_one_regression_by_hand():
    # Two rows with codes (0, 0), one with (1, 0): the pair (0, 0) is met twice and stored, (1, 0)
    # isn't. The design has a column for each code and for the pair; the normal equations are small
    # enough to write down.
    z = torch.tensor([[5.0], [3.0], [-10.0]])
    codebooks = [torch.zeros(2, 1), torch.zeros(1, 1)]
    codes = torch.tensor([[[0, 0]], [[0, 0]], [[1, 0]]])
    fitted = _regress(z, codebooks, _SoftCodes(codes, torch.ones(3, 1)), max_floats=10)
    assert fitted.keys.tolist() == [0]
    design = np.array([[1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]], dtype=float)
    ridge = np.diag([CODEWORD_RIDGE] * 3 + [PAIR_RIDGE])
    expected = np.linalg.solve(design.T @ design + ridge, design.T @ z.numpy())
    found = [*fitted.codebooks[0].ravel(), *fitted.codebooks[1].ravel(), *fitted.vectors.ravel()]
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-2)


@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_errors_equal_refits_without_the_row(weighted):
    # With one level the groups are disjoint, and the shortcut is exact.
    z = torch.randn(12, 3, generator=generator())
    codebook = torch.randn(3, 3, generator=generator(1))
    weight = torch.rand(12, generator=generator(2)) + 0.5 if weighted else torch.ones(12)
    candidates, _ = beam_search(z, [codebook], 3)
    soft = _SoftCodes(candidates[:, :1], weight[:, None])
    fitted = _regress(z, [codebook], soft, max_floats=0)
    shortcut = _leave_one_out_errors(z, fitted, candidates, soft)
    for i in range(12):
        kept = torch.arange(12) != i
        refit = _regress(z[kept], [codebook], _SoftCodes(soft.codes[kept], soft.weight[kept]), 0)
        expected = (z[i] - refit.codebooks[0][candidates[i, :, 0]]).square().sum(1)
        torch.testing.assert_close(shortcut[i], expected, rtol=1e-3, atol=1e-4)


def test_leaving_a_row_out_costs_most_where_it_is_alone():
    z = interacting_rows(60)
    codebooks = [torch.randn(4, 6, generator=generator(level)) for level in range(2)]
    candidates, errors = beam_search(z, codebooks, 16)
    ids = number_tuples(candidates, [4, 4])
    soft = _soft_codes(candidates, ids, errors, torch.ones(60))
    fitted = _regress(z, codebooks, soft, max_floats=1000)
    pair_keys = PairKeys([4, 4])
    inside = (z[:, None] - _reconstruct(soft.codes[:, :1], fitted, pair_keys)).square().sum(-1)
    outside = _leave_one_out_errors(z, fitted, soft.codes[:, :1], soft)
    assert (outside >= inside - 1e-4).all()
    assert outside.sum() > 1.05 * inside.sum()


def test_interactions_help_rows_that_were_not_fitted():
    train, test = interacting_rows(400), interacting_rows(400, seed=1)
    codebooks = [
        torch.randn(4, 6, generator=generator(100)) * 5,
        torch.randn(4, 6, generator=generator(5)),
    ]

    def error(fitted):
        candidates, _ = beam_search(test, fitted.codebooks, 16)
        decoded = _reconstruct(candidates, fitted, PairKeys([4, 4]))
        return float((test[:, None] - decoded).square().sum(-1).amin(1).mean())

    alone = fit_interactions(train, codebooks, max_floats=0)
    together = fit_interactions(train, codebooks, max_floats=10_000)
    assert len(alone.keys) == 0
    assert error(together) < 0.6 * error(alone)


def chosen_ridge(z, codebooks, max_floats=10_000):
    candidates, errors = beam_search(z, codebooks, 16)
    ids = number_tuples(candidates, [len(codebook) for codebook in codebooks])
    weight = torch.ones(len(z))
    chosen = _choose_ridges(z, codebooks, candidates, ids, errors, weight, max_floats, RIDGES)
    assert chosen.codewords == RIDGES.codewords
    return chosen.pairs


@pytest.mark.parametrize("seed", range(3))
def test_pairs_have_a_weak_ridge_only_where_that_serves_rows_left_out(seed):
    few_rows = {"seed": seed, "sizes": (16, 16)}
    real = interacting_rows(600, **few_rows)  # two or three of each pair, and hardly any noise
    codebooks = [torch.randn(16, 6, generator=generator(g)) * (5 if g else 1) for g in (100, 0)]
    assert chosen_ridge(real, codebooks) == WEAK_PAIR_RIDGE
    noise = sum(book[torch.randint(0, 16, (600,), generator=generator(seed))] for book in codebooks)
    noise = noise + torch.randn(600, 6, generator=generator(seed + 50))
    assert chosen_ridge(noise, codebooks) == PAIR_RIDGE


def test_rows_that_keep_their_codes_have_the_default_ridge_of_pairs(monkeypatch):
    used = []

    def regress(z, codebooks, soft, max_floats, ridges):
        used.append(ridges.pairs)
        return _regress(z, codebooks, soft, max_floats, ridges)

    monkeypatch.setattr(_interactions, "_regress", regress)
    z = interacting_rows(600, seed=0, sizes=(16, 16))
    codebooks = [torch.randn(16, 6, generator=generator(g)) * (5 if g else 1) for g in (100, 0)]
    assert chosen_ridge(z, codebooks) == WEAK_PAIR_RIDGE  # as a fit from scratch would have
    used.clear()
    codes = beam_search(z, codebooks, 16)[0][:, 0]
    fit_interactions(z, codebooks, max_floats=10_000, kept=KeptCodes(codes, 0.3))
    assert set(used) == {PAIR_RIDGE}


def test_codewords_have_the_more_of_a_ridge_the_more_codes_leave():
    z = torch.eye(4) * 2  # squared lengths of 4
    weight = torch.ones(4)

    def ridge(left):
        return _codeword_ridge(z, torch.full((4, 2), left), weight)

    assert ridge(2.0) == pytest.approx(12)  # as much as codes explain
    assert ridge(1.0) == pytest.approx(4)
    assert ridge(0.1) == CODEWORD_RIDGE
    assert ridge(3.9) == ridge(4.0) == ridge(5.0) == 24


@pytest.mark.parametrize(("n", "max_floats"), [(100, 10_000), (600, 0)])
def test_without_rows_to_leave_out_or_pairs_the_ridge_stays(n, max_floats):
    z = interacting_rows(n, sizes=(16, 16))
    codebooks = [torch.randn(16, 6, generator=generator(100)) * 5, torch.zeros(16, 6)]
    assert chosen_ridge(z, codebooks, max_floats) == PAIR_RIDGE


@given(n=st.integers(1, 40), max_floats=st.integers(0, 60), seed=st.integers(0, 9))
@example(n=1, max_floats=60, seed=0)
@example(n=40, max_floats=0, seed=0)
@example(n=40, max_floats=3, seed=0)  # one pair in one dimension, and its key
def test_no_pair_of_a_single_row_is_stored_and_the_size_is_bounded(n, max_floats, seed):
    z = torch.randn(n, 3, generator=generator(seed))
    codebooks = [torch.randn(size, 3, generator=generator(seed + size)) for size in (3, 2, 4)]
    candidates, errors = beam_search(z, codebooks, 8)
    ids = number_tuples(candidates, [3, 2, 4])
    soft = _soft_codes(candidates, ids, errors, torch.ones(n))
    fitted = _regress(z, codebooks, soft, max_floats)
    assert fitted.vectors.numel() <= max_floats
    assert fitted.vectors.shape[0] == len(fitted.keys)
    assert (fitted.keys.diff() > 0).all()
    keys = PairKeys([3, 2, 4])(soft.codes.flatten(0, 1)).unflatten(0, soft.codes.shape[:2])
    keys[soft.weight == 0] = -1
    for key in fitted.keys:
        assert int((keys == key).flatten(1).any(1).sum()) >= 2


def test_reconstruction_is_the_sum_of_its_parts():
    codebooks = [torch.randn(size, 4, generator=generator(size)) for size in (2, 3, 2)]
    keys = torch.tensor([0, 5, 7, 13])
    vectors = torch.randn(4, 3, generator=generator(9))
    pair_keys = PairKeys([2, 3, 2])
    for codes in itertools.product(range(2), range(3), range(2)):
        expected = sum(codebook[code] for codebook, code in zip(codebooks, codes, strict=True))
        for key in pair_keys(torch.tensor([codes]))[0].tolist():
            if key in keys.tolist():
                expected[:3] += vectors[keys.tolist().index(key)]
        found = _reconstruct(
            torch.tensor([[codes]]), Interactions(codebooks, keys, vectors), pair_keys
        )
        torch.testing.assert_close(found[0, 0], expected)


def test_soft_weights_fall_with_the_error_and_carry_the_row_weight():
    codes = torch.arange(6).reshape(1, 3, 2)
    errors = torch.tensor([[2.0, 1.0, 100.0]])
    soft = _soft_codes(codes, torch.arange(3)[None], errors, torch.tensor([3.0]))
    assert soft.codes[0, 0].tolist() == [2, 3]
    assert soft.weight[0, 0] == 3.0
    expected = 3.0 * _interactions.SOFT_WEIGHT * np.exp(-1.0 / _interactions.SOFT_TEMPERATURE)
    assert float(soft.weight[0, 1]) == pytest.approx(expected if expected >= 3 * 0.02 else 0.0)
    assert soft.weight[0, 2] == 0.0


def test_rows_with_one_favorite_take_different_codes_where_it_costs_little():
    codes = torch.tensor([[0, 0], [0, 1], [1, 1]]).expand(2, 3, 2)
    ids = number_tuples(codes, [2, 2])
    for second_best, n_own in ((1.1, 2), (1.5, 1)):
        errors = torch.tensor([[1.0, second_best, 9.0], [1.0, second_best + 0.01, 9.0]])
        soft = _soft_codes(codes, ids, errors, torch.ones(2))
        own = {tuple(row) for row in soft.codes[:, 0].tolist()}
        assert len(own) == n_own
        assert (soft.weight[:, 0] == 1).all()
    assert {(0, 0), (0, 1)} > own  # the limit is a share of the mean error, here 1
    # The row that moved still counts, with less weight, in the codes that it likes best.
    errors = torch.tensor([[1.0, 1.1, 9.0], [1.0, 1.2, 9.0]])
    soft = _soft_codes(codes, ids, errors, torch.ones(2))
    assert soft.codes[0, :2].tolist() == [[0, 1], [0, 0]]
    assert float(soft.weight[0, 1]) == pytest.approx(_interactions.SOFT_WEIGHT)


def test_a_fit_gives_more_rows_codes_of_their_own_than_it_would_without_trying(monkeypatch):
    z = torch.randn(300, 6, generator=generator())
    codebooks = [torch.randn(16, 6, generator=generator(level)) for level in range(2)]

    def n_distinct():
        fitted = fit_interactions(z, codebooks, max_floats=3000)
        candidates, _ = beam_search(z, fitted.codebooks, 16)
        decoded = _reconstruct(candidates, fitted, PairKeys([16, 16]))
        best = (z[:, None] - decoded).square().sum(-1).argmin(1)
        return len(candidates[torch.arange(300), best].unique(dim=0))

    with_distinct_choices = n_distinct()
    monkeypatch.setattr(_interactions, "MAX_MOVE_COST", 0.0)
    assert with_distinct_choices > 1.05 * n_distinct()


# Prints by how much the peak of the process grows in a fit, in bytes for each row.
HOLES = """
    import torch
    from sklearn_rqvae.quantize._interactions import fit_interactions

    def peak():
        status = open("/proc/self/status").read()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    codebooks = [torch.randn(64, 256, generator=draws) for _ in range(3)]
    z = torch.randn(12_000, 256, generator=draws)
    fit_interactions(z[:2000], codebooks, max_floats=100_000)
    before = peak()
    fit_interactions(z, codebooks, max_floats=100_000)
    print((peak() - before) / 10_000)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_small_results_leave_no_holes_in_memory():
    # With each chunk's errors in an array of its own it was 14.7 KB a row, now 10.
    command = [sys.executable, "-c", textwrap.dedent(HOLES)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 12_500
