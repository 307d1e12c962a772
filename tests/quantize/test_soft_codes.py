"""Test the weights of codes, and who gets codes of its own."""

import numpy as np
import pytest
import torch

from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._soft_codes import SOFT_TEMPERATURE, SOFT_WEIGHT, soft_codes


def test_soft_weights_fall_with_the_error_and_carry_the_row_weight():
    codes = torch.arange(6).reshape(1, 3, 2)
    errors = torch.tensor([[2.0, 1.0, 100.0]])
    soft = soft_codes(codes, torch.arange(3)[None], errors, torch.tensor([3.0]))
    assert soft.codes[0, 0].tolist() == [2, 3]
    assert soft.weight[0, 0] == 3.0
    expected = 3.0 * SOFT_WEIGHT * np.exp(-1.0 / SOFT_TEMPERATURE)
    assert float(soft.weight[0, 1]) == pytest.approx(expected if expected >= 3 * 0.02 else 0.0)
    assert soft.weight[0, 2] == 0.0


def test_rows_with_one_favorite_take_different_codes_where_it_costs_little():
    codes = torch.tensor([[0, 0], [0, 1], [1, 1]]).expand(2, 3, 2)
    ids = number_tuples(codes, [2, 2])
    for second_best, n_own in ((1.1, 2), (1.5, 1)):
        errors = torch.tensor([[1.0, second_best, 9.0], [1.0, second_best + 0.01, 9.0]])
        soft = soft_codes(codes, ids, errors, torch.ones(2))
        own = {tuple(row) for row in soft.codes[:, 0].tolist()}
        assert len(own) == n_own
        assert (soft.weight[:, 0] == 1).all()
    assert {(0, 0), (0, 1)} > own  # the limit is a share of the mean error, here 1
    # The row that moved still counts, with less weight, in the codes that it likes best.
    errors = torch.tensor([[1.0, 1.1, 9.0], [1.0, 1.2, 9.0]])
    soft = soft_codes(codes, ids, errors, torch.ones(2))
    assert soft.codes[0, :2].tolist() == [[0, 1], [0, 0]]
    assert float(soft.weight[0, 1]) == pytest.approx(SOFT_WEIGHT)
