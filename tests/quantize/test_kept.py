"""Rows keep the codes that they have, unless others are better by enough."""

import pytest
import torch

from sklearn_rqvae.quantize._additive import fit_codebooks
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._kept import KeptCodes, refit_near

BOOK = [torch.tensor([[0.0], [1.0], [2.0]])]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_own_codes_change_places_with_the_first_candidate():
    x = torch.tensor([[0.9], [0.2], [1.1]])
    candidates, errors = beam_search(x, BOOK, 3)
    assert candidates[:, 0, 0].tolist() == [1, 0, 1]
    kept = KeptCodes(torch.tensor([[0], [0], [2]]), 0.3)
    found, found_errors = kept.put_first(x, BOOK, candidates, errors)
    assert found[:, 0, 0].tolist() == [0, 0, 2]
    assert found.sort(1).values[..., 0].tolist() == [[0, 1, 2]] * 3
    torch.testing.assert_close(found_errors[:, 0], torch.tensor([0.81, 0.04, 0.81]))
    assert candidates[:, 0, 0].tolist() == [1, 0, 1]  # what was given stays


def test_own_codes_that_the_search_missed_take_the_last_place():
    x = torch.tensor([[0.1]])
    candidates, errors = beam_search(x, BOOK, 2)
    found, _ = KeptCodes(torch.tensor([[2]]), 0.3).put_first(x, BOOK, candidates, errors)
    assert found.flatten().tolist() == [2, 0]


@pytest.mark.parametrize(("stability", "first"), [(1.0, 0), (0.2, 1)])
def test_own_codes_may_cost_so_many_times_the_mean_error(stability, first):
    errors = torch.tensor([[1.0, 0.5]])
    kept = KeptCodes(torch.tensor([[0]]), stability)
    assert kept.favored(errors, torch.tensor(1.0)).argmin(1).tolist() == [first]


@pytest.mark.parametrize("seed", range(3))
def test_codebooks_follow_new_rows_and_codes_stay(seed):
    x = torch.randn(900, 6, generator=generator(seed))
    old = fit_codebooks(x[:500], [12, 12], generator=generator())
    codes = beam_search(x, old, 5)[0][:, 0]
    before = beam_search(x, old, 5)[1][:, 0].mean()
    shares = []
    for stability in (0.0, 0.3):
        new = refit_near(x, old, KeptCodes(codes, stability), shrinkage=0.01)
        found, errors = beam_search(x, new, 5)
        assert errors[:, 0].mean() < before
        shares.append((found[:, 0] == codes).all(1).float().mean())
    assert shares[0] + 0.03 < shares[1]
    assert shares[1] > 0.85


def test_a_codeword_that_no_row_has_stays():
    x = torch.randn(200, 3, generator=generator())
    old = [torch.cat([fit_codebooks(x, [4], generator=generator())[0], torch.full((1, 3), 50.0)])]
    codes = beam_search(x, old, 2)[0][:, 0]
    (new,) = refit_near(x + 0.1, old, KeptCodes(codes, 0.3))
    torch.testing.assert_close(new[4], old[0][4])
    assert not torch.equal(new[:4], old[0][:4])


def test_a_greedy_search_still_lets_rows_move():
    x = torch.tensor([[0.0], [0.0], [5.0]])
    kept = KeptCodes(torch.tensor([[0], [1], [1]]), 0.1)
    new = refit_near(x, [torch.tensor([[0.0], [5.0]])], kept, n_beams=1)
    assert beam_search(x, new, 1)[0][:, 0, 0].tolist() == [0, 0, 1]
