"""Starts of k-means are drawn far from each other, and rounding doesn't redraw them."""

import pytest
import torch

from sklearn_rqvae.quantize._seeding import draw_tickets, lowest_tickets, spread_rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chosen(x, n_rows, seed=0, weight=None):
    weight = torch.ones(len(x)) if weight is None else weight
    return spread_rows(x, n_rows, weight, draw_tickets(len(x), generator(seed)))


def test_each_far_blob_gets_a_start():
    centers = 100 * torch.eye(6)
    x = (centers[:, None] + torch.randn(6, 20, 6, generator=generator())).flatten(0, 1)
    for seed in range(5):
        assert len(torch.unique(chosen(x, 6, seed) // 20)) == 6


def test_rounding_does_not_change_the_draw():
    x = torch.randn(2000, 16, generator=generator())
    for seed in range(3):
        other = x + 1e-6 * torch.randn(2000, 16, generator=generator(9))
        assert torch.equal(chosen(x, 64, seed), chosen(other, 64, seed))


def test_another_row_redraws_few():
    x, tickets = torch.randn(500, 4, generator=generator()), draw_tickets(500, generator())
    sample = lowest_tickets(tickets, 100)
    without = lowest_tickets(tickets[1:], 100) + 1
    assert len(set(sample.tolist()) ^ set(without.tolist())) <= 2
    assert len(torch.unique(sample)) == 100
    assert len(x) == len(lowest_tickets(tickets, 1000))


def test_rows_are_drawn_by_weight_and_distance():
    # First by weight alone: with 3 of 4 parts of it, row 0 is drawn in 3 of 4 cases.
    x, weight = torch.tensor([[0.0], [1.0]]), torch.tensor([3.0, 1.0])
    first = [int(chosen(x, 1, seed, weight)) for seed in range(400)]
    assert first.count(0) == pytest.approx(300, abs=30)


def test_equal_rows_leave_a_choice_all_the_same():
    assert len(chosen(torch.ones(5, 2), 3)) == 3
