"""Blocks of one size: each row's result is its own."""

import pytest
import torch

from sklearn_rqvae._compute._blocks import in_blocks


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
