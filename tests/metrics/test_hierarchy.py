"""Longer shared prefix, smaller distance."""

import itertools

import numpy as np
import pytest

from sklearn_rqvae.metrics import hierarchy_consistency


def all_triplets(X, codes):
    """Enumerate every triplet with its probability of being drawn."""
    n, n_layers = codes.shape
    result = []
    for level in range(n_layers):
        per_anchor = []
        for i in range(n):
            outer = [j for j in range(n) if j != i and (codes[i, :level] == codes[j, :level]).all()]
            mates = [j for j in outer if codes[i, level] == codes[j, level]]
            others = [j for j in outer if codes[i, level] != codes[j, level]]
            pairs = [
                (np.sum((X[i] - X[j]) ** 2), np.sum((X[i] - X[k]) ** 2))
                for j, k in itertools.product(mates, others)
            ]
            if pairs:
                per_anchor.append(np.mean([(a < b) + 0.5 * (a == b) for a, b in pairs]))
        result.append(np.mean(per_anchor) if per_anchor else np.nan)
    return np.array(result)


@pytest.mark.parametrize("seed", range(4))
def test_estimate_is_within_its_error_of_all_triplets(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (14, 2)).astype(float)  # a grid: many equal distances
    codes = rng.integers(0, 2, (14, 3))
    estimate = hierarchy_consistency(X, codes, n_triplets=40_000, random_state=seed)
    expected = all_triplets(X, codes)
    np.testing.assert_array_equal(np.isnan(estimate), np.isnan(expected))
    assert np.nanmax(np.abs(estimate - expected)) < 4 * 0.5 / np.sqrt(40_000)


def test_digits_that_set_the_place_are_consistent_and_idle_ones_at_chance():
    # Binary digits of the position: every longer prefix is a shorter interval.
    position = np.arange(32)
    digits = (position[:, None] >> np.arange(5)[::-1]) & 1
    X = np.array([0.0, 100.0])[digits[:, :1]] + np.array([0.0, 10.0])[digits[:, 1:2]]
    consistency = hierarchy_consistency(X, digits[:, :2], random_state=0)
    assert consistency.tolist() == [1.0, 1.0]
    shuffled = hierarchy_consistency(X, digits[:, :1:-1], random_state=0)
    assert np.abs(shuffled[:2] - 0.5).max() < 0.1


def test_a_code_that_says_nothing_is_at_chance():
    rng = np.random.default_rng(0)
    consistency = hierarchy_consistency(
        rng.normal(size=(2000, 5)), rng.integers(0, 8, (2000, 2)), random_state=0
    )
    assert np.abs(consistency - 0.5).max() < 0.03


@pytest.mark.parametrize("codes", [np.zeros((5, 1), int), np.arange(5).reshape(-1, 1)])
def test_no_triplet_is_no_number(codes):
    # All samples in one group, or each in its own.
    assert np.isnan(hierarchy_consistency(np.eye(5), codes)).all()


def test_equal_seeds_give_equal_estimates():
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(100, 3)), rng.integers(0, 4, (100, 2))
    one, two, other = (
        hierarchy_consistency(X, codes, n_triplets=500, random_state=seed) for seed in (0, 0, 1)
    )
    assert (one == two).all()
    assert (one != other).any()
