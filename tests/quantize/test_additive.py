"""Codebooks in closed form: never worse than their start, on any data, and good on real data."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize import _additive
from sklearn_rqvae.quantize._additive import (
    falling_shares,
    fit_codebooks,
    initialize_codebooks,
    refine_codebooks,
)
from sklearn_rqvae.quantize._beam import beam_search


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def error(x, codebooks, n_beams=4):
    return float(beam_search(x, codebooks, n_beams)[1][:, 0].double().sum())


def curved_rows(n=800, n_dims=24, seed=0):
    draws = generator(seed)
    hidden = torch.randn(n, 4, generator=draws) @ torch.randn(4, n_dims, generator=draws)
    x = torch.sin(hidden) + 0.1 * torch.randn(n, n_dims, generator=draws)
    return x - x.mean(0)


def test_sums_of_known_codewords_are_found_again():
    # Rows that are exact sums of 4 + 4 codewords of different lengths: no error is needed.
    draws = generator(1)
    coarse, fine = 20.0 * torch.randn(4, 6, generator=draws), torch.randn(4, 6, generator=draws)
    x = (coarse[:, None] + fine).flatten(0, 1).repeat(10, 1)
    codebooks = fit_codebooks(x, [4, 4], generator=generator())
    assert error(x, codebooks) < 1e-3 * error(x, [torch.zeros(1, 6)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_beams", [1, 4])
def test_refining_is_never_worse_than_its_start(seed, n_beams):
    x = curved_rows(seed=seed)
    start = initialize_codebooks(x, [16, 16, 16], n_beams=n_beams, generator=generator(seed))
    refined, codes, errors = refine_codebooks(
        x, start, torch.ones(len(x)), n_beams, falling_shares(12)
    )
    again = beam_search(x, refined, n_beams)
    assert torch.equal(codes, again[0])
    assert torch.equal(errors, again[1])
    assert error(x, refined, n_beams) < 0.98 * error(x, start, n_beams)
    random = [torch.randn(5, 24, generator=generator(level)) for level in range(2)]
    kept, _, _ = refine_codebooks(x[:1], random, torch.ones(1), n_beams, [])
    assert all(torch.equal(one, other) for one, other in zip(kept, random, strict=True))


def test_early_rounds_of_large_levels_see_a_part_of_the_rows(monkeypatch):
    x, searched = curved_rows(n=4000), []
    given = x.clone()
    whole = error(x, fit_codebooks(x, [16] * 3, generator=generator()))

    def search(rows, *args):
        searched.append(len(rows))
        return beam_search(rows, *args)

    monkeypatch.setattr(_additive, "LARGE", 16)
    monkeypatch.setattr(_additive, "beam_search", search)
    codebooks = fit_codebooks(x, [16] * 3, generator=generator())
    assert searched == [1024] * 11 + [4000] * 5  # two levels' starts; a search ahead of both parts
    fit_codebooks(x, [16] * 3, n_iter=1, generator=generator())
    assert searched[16:] == [4000] * 4
    assert error(x, codebooks) < 1.02 * whole
    assert torch.equal(x, given)


def test_weights_stay_with_the_rows_of_early_rounds(monkeypatch):
    x, seen = curved_rows(n=4000), []

    def refine(rows, codebooks, weight, *args):
        seen.append(torch.equal(weight, 0.1 + rows[:, 0].abs()))
        return refine_codebooks(rows, codebooks, weight, *args)

    monkeypatch.setattr(_additive, "LARGE", 16)
    monkeypatch.setattr(_additive, "refine_codebooks", refine)
    weight = 0.1 + x[:, 0].abs()
    fit_codebooks(x, [16] * 3, sample_weight=weight, generator=generator())
    assert seen == [True, True]


def test_each_level_lowers_the_error():
    x = curved_rows()
    codebooks = fit_codebooks(x, [16] * 5, generator=generator())
    errors = [error(x, codebooks[:level]) for level in range(1, 6)]
    assert errors == sorted(errors, reverse=True)


@given(
    n=st.integers(1, 25),
    d=st.integers(1, 20),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    kind=st.sampled_from(["normal", "equal", "zero", "few", "outlier"]),
    seed=st.integers(0, 20),
)
@example(n=1, d=1, sizes=[1], kind="zero", seed=0)
@example(n=25, d=20, sizes=[20, 3, 1, 20], kind="outlier", seed=0)
def test_any_rows_give_finite_codebooks_of_the_asked_sizes(n, d, sizes, kind, seed):
    x = torch.randn(n, d, generator=generator(seed))
    if kind == "equal":
        x = x[:1].repeat(n, 1)
    elif kind == "zero":
        x[:] = 0
    elif kind == "few":
        x = x[torch.arange(n) % 3 % n]
    elif kind == "outlier":
        x[0] *= 100
    codebooks = fit_codebooks(x, sizes, generator=generator(seed))
    assert [tuple(codebook.shape) for codebook in codebooks] == [(size, d) for size in sizes]
    assert all(codebook.isfinite().all() for codebook in codebooks)
    if len(torch.unique(x, dim=0)) <= sizes[0]:
        # Every row is a codeword of level 0; joint refitting may trade a little of that away.
        assert error(x, codebooks) <= 1e-2 * float(x.double().square().sum()) + 1e-9


def test_nine_levels_and_uneven_sizes():
    x = curved_rows(300)
    sizes = [3, 1, 8, 2, 5, 4, 4, 2, 16]
    codebooks = fit_codebooks(x, sizes, n_beams=3, generator=generator())
    assert [len(codebook) for codebook in codebooks] == sizes
    assert error(x, codebooks) < error(x, codebooks[:4])


def test_result_depends_on_the_generator_alone():
    x = curved_rows(300)
    before = torch.get_rng_state()
    first = fit_codebooks(x, [8, 8], generator=generator(1))
    again = fit_codebooks(x, [8, 8], generator=generator(1))
    other = fit_codebooks(x, [8, 8], generator=generator(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_move_the_codewords_to_the_heavy_rows():
    x = curved_rows(400)
    heavy = torch.arange(400) < 40
    weight = torch.where(heavy, 30.0, 1.0)
    weighted = fit_codebooks(x, [8, 8], sample_weight=weight, generator=generator())
    plain = fit_codebooks(x, [8, 8], generator=generator())
    assert error(x[heavy], weighted) < 0.8 * error(x[heavy], plain)


@pytest.mark.parametrize("seed", range(3))
def test_shrinkage_trades_the_rows_for_new_ones(seed):
    draws = generator(seed)
    sums = torch.randn(5, 1, 48, generator=draws) + torch.randn(5, 48, generator=draws)
    noisy = sums.flatten(0, 1).repeat(16, 1) + torch.randn(400, 48, generator=draws)
    x, new_rows = noisy.split(200)  # 4 rows for each codeword
    fits = [
        fit_codebooks(x, [25, 25], shrinkage=shrinkage, generator=generator(seed))
        for shrinkage in (0.0, 1.0, 4.0)
    ]
    on_rows, on_new_rows = zip(*((error(x, f), error(new_rows, f)) for f in fits), strict=True)
    assert on_rows[0] < on_rows[1] < on_rows[2]
    assert on_new_rows[0] > on_new_rows[1] > on_new_rows[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("catalog", "most"), [("beauty", (0.380, 0.442)), ("scientific", (0.325, 0.510))]
)
def test_real_vectors_keep_their_distortion(load_catalog, catalog, most):
    # Fraction of variance unexplained by 3 x 256 codes: training rows; every tenth, held out.
    vectors = torch.from_numpy(load_catalog(catalog))
    held_out = torch.arange(len(vectors)) % 10 == 0
    mean = vectors[~held_out].mean(0)
    train, test = vectors[~held_out] - mean, vectors[held_out] - mean
    codebooks = fit_codebooks(train, [256] * 3, generator=generator())
    fractions = [
        error(rows, codebooks, 5) / float(rows.double().square().sum()) for rows in (train, test)
    ]
    assert fractions[0] < most[0]
    assert fractions[1] < most[1]
