"""Test that results of a few rows come together in their order."""

import pytest
import torch

from sklearn_rqvae._compute._join import join


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_parts_are_joined_in_their_order(size):
    rows, numbers = torch.randn(7, 2, 3), torch.arange(7)
    parts = zip(rows.split(size), numbers.split(size), strict=True)
    for found, whole in zip(join(parts, 7), (rows, numbers), strict=True):
        assert torch.equal(found, whole)
