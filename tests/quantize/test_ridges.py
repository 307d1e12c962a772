"""Test which ridge rows choose."""

import pytest
import torch

from sklearn_rqvae.quantize import _interactions
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._interactions import fit_interactions
from sklearn_rqvae.quantize._kept import KeptCodes
from sklearn_rqvae.quantize._regression import CODEWORD_RIDGE, PAIR_RIDGE, RIDGES, regress
from sklearn_rqvae.quantize._ridges import WEAK_PAIR_RIDGE, choose_ridges, codeword_ridge
from tests.quantize.test_interactions import generator, interacting_rows


def chosen_ridge(z, codebooks, max_floats=10_000):
    candidates, errors = beam_search(z, codebooks, 16)
    ids = number_tuples(candidates, [len(codebook) for codebook in codebooks])
    weight = torch.ones(len(z))
    chosen = choose_ridges(z, codebooks, candidates, ids, errors, weight, max_floats, RIDGES)
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

    def noted(z, codebooks, soft, max_floats, ridges):
        used.append(ridges.pairs)
        return regress(z, codebooks, soft, max_floats, ridges)

    monkeypatch.setattr(_interactions, "regress", noted)
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
        return codeword_ridge(z, torch.full((4, 2), left), weight)

    assert ridge(2.0) == pytest.approx(12)  # as much as codes explain
    assert ridge(1.0) == pytest.approx(4)
    assert ridge(0.1) == CODEWORD_RIDGE
    assert ridge(3.9) == ridge(4.0) == ridge(5.0) == 24


@pytest.mark.parametrize(("n", "max_floats"), [(100, 10_000), (600, 0)])
def test_without_rows_to_leave_out_or_pairs_the_ridge_stays(n, max_floats):
    z = interacting_rows(n, sizes=(16, 16))
    codebooks = [torch.randn(16, 6, generator=generator(100)) * 5, torch.zeros(16, 6)]
    assert chosen_ridge(z, codebooks, max_floats) == PAIR_RIDGE
