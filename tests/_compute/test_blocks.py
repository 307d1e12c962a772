"""Blocks of one size: each row's result is its own."""

import pytest
import torch

from sklearn_rqvae._compute._blocks import RowWise, in_blocks
from sklearn_rqvae._compute._linear import linear


@pytest.mark.parametrize("n_rows", [0, 1, 127, 128, 129, 400])
def test_results_are_the_functions(n_rows):
    rows = torch.randn(n_rows, 7, generator=torch.Generator().manual_seed(0))
    matrix = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    result = in_blocks(lambda block: block @ matrix, rows)
    assert result.shape == (n_rows, 3)
    torch.testing.assert_close(result, rows @ matrix)


def test_every_block_has_the_same_number_of_rows():
    sizes = []

    def spy(block):
        sizes.append(len(block))
        return block

    for n_rows in (1, 128, 260):
        rows = torch.arange(n_rows, dtype=torch.float32)[:, None]
        assert torch.equal(in_blocks(spy, rows), rows)
    assert set(sizes) == {128}


@pytest.mark.parametrize("seed", range(3))
def test_a_row_is_rounded_alike_in_any_company(seed):
    draws = torch.Generator().manual_seed(seed)
    rows, matrix = torch.randn(300, 300, generator=draws), torch.randn(300, 70, generator=draws)
    whole = in_blocks(lambda block: block @ matrix, rows)
    for start, stop in ((0, 1), (17, 19), (120, 300)):
        assert torch.equal(
            in_blocks(lambda block: block @ matrix, rows[start:stop]), whole[start:stop]
        )


@pytest.mark.parametrize(("n_features", "n_out"), [(300, 70), (768, 512), (50, 40)])
def test_few_rows_are_rounded_as_in_whole_blocks(n_features, n_out):
    draws = torch.Generator().manual_seed(2)
    rows = torch.randn(300, n_features, generator=draws)
    matrix = torch.randn(n_out, n_features, generator=draws)
    product = RowWise(lambda block: linear(block, matrix), n_features)
    whole = product(rows)
    for start, stop in ((0, 1), (17, 19), (40, 51), (128, 300), (200, 264)):
        assert torch.equal(product(rows[start:stop]), whole[start:stop])


def test_small_blocks_are_taken_where_they_round_alike_and_nowhere_else():
    sizes = []

    def alike_from_16_on(block):
        sizes.append(len(block))
        return block * (1.0 if len(block) >= 16 else 1.0 + 2.0**-23)

    function = RowWise(alike_from_16_on, 3)
    assert torch.equal(function(torch.ones(2, 3)), torch.ones(2, 3))
    assert sizes[-1] == 16
    function(torch.ones(144, 3))
    assert sizes[-2:] == [128, 16]
    function(torch.ones(65, 3))
    assert sizes[-1] == 128


def test_the_trial_is_made_once_for_each_number_of_threads(monkeypatch):
    calls = []
    function = RowWise(lambda block: calls.append(1) or block, 3)
    function(torch.ones(1, 3))
    n_calls = len(calls)
    function(torch.ones(1, 3))
    assert len(calls) == n_calls + 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    function(torch.ones(1, 3))
    assert len(calls) == 2 * n_calls + 1
