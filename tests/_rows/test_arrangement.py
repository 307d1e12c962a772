"""Rows stand in an order that neither their unit nor their origin changes."""

import numpy as np
import pytest

from sklearn_rqvae._rows._arrangement import arranged_rows
from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae._rows._source import RowSource


def arranged(X):
    source = RowSource(X)
    index, _ = canonical_rows(source)
    return index[arranged_rows(source, index)]


@pytest.mark.parametrize(("factor", "shift"), [(1024.0, 0.0), (1e-6, 0.0), (3.0, 1e4)])
def test_units_and_origin_do_not_change_the_order(factor, shift):
    X = np.random.default_rng(0).normal(size=(500, 12))
    np.testing.assert_array_equal(arranged(X), arranged(factor * X + shift))


def test_the_order_of_the_input_does_not_change_it():
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, size=(300, 6)).astype(np.float32)
    shuffled = X[rng.permutation(len(X))]
    np.testing.assert_array_equal(X[arranged(X)], shuffled[arranged(shuffled)])


def test_rounding_moves_few_rows():
    X = np.random.default_rng(2).normal(size=(2000, 16)).astype(np.float32)
    order, scaled = arranged(X), arranged(np.float32(1e-3) * X)
    assert (order == scaled).mean() > 0.98


def test_the_first_rows_are_spread_over_all():
    X = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    assert 0.4 < X[arranged(X)[:200]].mean() < 0.6
