"""A few rows are searched by arrays as many are by tensors, bit by bit."""

import pytest
import torch

from sklearn_rqvae.quantize._beam import SearchTables, search_scores
from sklearn_rqvae.quantize._beam_few import is_for_few, search_few


@pytest.mark.parametrize("n_beams", [2, 5, 16])
@pytest.mark.parametrize("sizes", [[16], [256, 16], [40, 256, 30], [16, 20, 24, 28]], ids=str)
@pytest.mark.parametrize("n_rows", [1, 7])
def test_arrays_find_what_tensors_find(sizes, n_beams, n_rows):
    draws = torch.Generator().manual_seed(0)
    tables = SearchTables([torch.randn(size, 6, generator=draws) for size in sizes])
    scores = tables.scores(torch.randn(n_rows, 6, generator=draws))
    assert is_for_few(scores, tables, n_beams)
    for found, expected in zip(
        search_few(scores, tables, n_beams), search_scores(scores, tables, n_beams), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.filterwarnings("error")
def test_sums_beyond_single_precision_warn_as_little_as_tensors_do():
    draws = torch.Generator().manual_seed(0)
    tables = SearchTables([torch.randn(8, 4, generator=draws) for _ in range(3)])
    scores = torch.randn(2, 24, generator=draws) * 1e38
    for found, expected in zip(
        search_few(scores, tables, 4), search_scores(scores, tables, 4), strict=True
    ):
        assert torch.equal(found, expected)


def test_equal_scores_are_told_apart_alike():
    tables = SearchTables([torch.ones(8, 2), torch.ones(9, 2)])
    scores = torch.tensor([[-1.0], [1.0]]).expand(2, 17).contiguous()
    for found, expected in zip(
        search_few(scores, tables, 4), search_scores(scores, tables, 4), strict=True
    ):
        assert torch.equal(found, expected)


def test_what_arrays_do_otherwise_is_left_to_tensors():
    tables = SearchTables([torch.ones(300, 2), torch.ones(20, 2)])
    scores = torch.ones(1, 320)
    assert not is_for_few(scores, tables, 5)  # many columns
    tables = SearchTables([torch.ones(20, 2), torch.ones(20, 2)])
    assert is_for_few(scores[:, :40], tables, 5)
    assert not is_for_few(scores[:, :40].double(), tables, 5)
    assert not is_for_few(scores[:, :40].expand(33, -1), tables, 5)
    assert not is_for_few(scores[:, :40], tables, 1)
    assert not is_for_few(scores[:, :40], tables, 17)
