"""What levels add to the reconstruction."""

import numpy as np
import pytest

from sklearn_rqvae.metrics import (
    distortion_by_level,
    fraction_variance_unexplained,
    prefix_reconstructions,
    residual_norms,
)

CODEBOOKS = [np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([[0.0, -1.0], [0.0, 1.0], [9.0, 9.0]])]


def greedy_codes(X, codebooks):
    """Quantize level by level, the obvious way."""
    residual, codes = X.copy(), []
    for codebook in codebooks:
        nearest = ((residual[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1)
        codes.append(nearest)
        residual = residual - codebook[nearest]
    return np.stack(codes, axis=1), residual


def test_prefixes_are_running_sums_of_codewords():
    one, two = prefix_reconstructions([[1, 2], [0, 0]], CODEBOOKS)
    np.testing.assert_array_equal(one, [[4, 0], [0, 0]])
    np.testing.assert_array_equal(two, [[13, 9], [0, -1]])


def test_last_prefix_plus_last_residual_is_the_input():
    rng = np.random.default_rng(0)
    codebooks = list(rng.normal(size=(3, 5, 4)))
    X = rng.normal(size=(30, 4))
    codes, residual = greedy_codes(X, codebooks)
    *_, quantized = prefix_reconstructions(codes, codebooks)
    np.testing.assert_allclose(quantized + residual, X)
    np.testing.assert_allclose(
        residual_norms(X, prefix_reconstructions(codes, codebooks))[:, -1],
        np.linalg.norm(residual, axis=1),
    )


def test_a_zero_codeword_keeps_distortion_from_growing_with_levels():
    rng = np.random.default_rng(1)
    codebooks = [np.vstack([np.zeros(4), rng.normal(size=(6, 4))]) for _ in range(4)]
    X = rng.normal(size=(50, 4))
    codes, _ = greedy_codes(X, codebooks)
    distortion = distortion_by_level(X, prefix_reconstructions(codes, codebooks))
    assert (np.diff(distortion) <= 1e-12).all()
    assert (np.diff(residual_norms(X, prefix_reconstructions(codes, codebooks))) <= 1e-12).all()


def test_each_level_has_the_fraction_of_its_reconstruction():
    rng = np.random.default_rng(2)
    X, one, two = rng.normal(size=(3, 20, 3))
    expected = [fraction_variance_unexplained(X, one), fraction_variance_unexplained(X, two)]
    np.testing.assert_allclose(distortion_by_level(X, [one, two]), expected)


def test_distortion_is_the_mean_squared_norm_over_the_variance():
    rng = np.random.default_rng(3)
    X, one, two = rng.normal(size=(3, 20, 3))
    norms = residual_norms(X, [one, two])
    variance = ((X - X.mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose(distortion_by_level(X, [one, two]), (norms**2).sum(0) / variance)


@pytest.mark.parametrize(
    ("codes", "codebooks", "message"),
    [
        ([[0, 0]], CODEBOOKS[:1], "has 1 entries but n_layers=2"),
        ([[2, 0]], CODEBOOKS, r"level 0 should be in \[0, 2\), got 2"),
        ([[0, 0]], [np.ones((2, 2)), np.ones((2, 3))], r"lengths \[2, 3\]"),
        ([[0]], [np.array([[np.nan]])], "NaN"),
    ],
)
def test_codebooks_that_do_not_fit_are_refused_at_once(codes, codebooks, message):
    # The function returns an iterator, but mistakes are reported by the call and not by the loop.
    with pytest.raises(ValueError, match=message):
        prefix_reconstructions(codes, codebooks)
