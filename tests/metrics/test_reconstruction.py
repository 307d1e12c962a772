"""Errors of reconstructions."""

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.metrics.pairwise import paired_cosine_distances

from sklearn_rqvae.metrics import (
    fraction_variance_unexplained,
    mean_cosine_similarity,
    reconstruction_error,
)


@pytest.fixture(params=[(2, 3), (7, 1), (2000, 70)])
def pair(request):
    """Vectors and a noisy copy; the last shape takes several chunks."""
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, request.param)
    return X, X + rng.normal(0, 0.5, request.param)


def test_error_and_cosine_are_those_of_scikit_learn(pair):
    X, reconstruction = pair
    assert reconstruction_error(X, reconstruction) == pytest.approx(
        mean_squared_error(X, reconstruction)
    )
    assert mean_cosine_similarity(X, reconstruction) == pytest.approx(
        1 - paired_cosine_distances(X, reconstruction).mean()
    )


def test_fraction_is_one_minus_the_coefficient_of_determination(pair):
    X, reconstruction = pair
    expected = 1 - r2_score(X, reconstruction, multioutput="variance_weighted")
    assert fraction_variance_unexplained(X, reconstruction) == pytest.approx(expected)


def test_fraction_does_not_depend_on_unit_origin_or_rotation():
    rng = np.random.default_rng(1)
    X, reconstruction = rng.normal(size=(2, 50, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    moved = [1e3 * (array @ rotation) + 7 for array in (X, reconstruction)]
    assert fraction_variance_unexplained(*moved) == pytest.approx(
        fraction_variance_unexplained(X, reconstruction)
    )


def test_the_mean_explains_nothing_and_the_vectors_all():
    X = np.random.default_rng(2).normal(5, 1, (40, 3))
    mean = np.broadcast_to(X.mean(axis=0), X.shape)
    assert fraction_variance_unexplained(X, mean) == pytest.approx(1)
    assert fraction_variance_unexplained(X, X) == 0


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_equal_rows_have_no_variance_to_explain(value):
    # The mean of 0.1 over many rows isn't exactly 0.1: that must not pass as variance.
    X = np.full((1000, 3), value)
    with pytest.raises(ValueError, match="1000 rows of X are all equal"):
        fraction_variance_unexplained(X, X)


def test_half_precision_is_summed_in_double():
    # In float16 the sum would stop growing at 2048, in float32 it would lose small terms.
    X = np.ones((100_000, 1), dtype=np.float16)
    assert reconstruction_error(X, np.zeros_like(X)) == 1
    big = np.full((3, 2), 6e4, dtype=np.float16)  # its square overflows float16
    assert reconstruction_error(big, np.zeros_like(big)) == pytest.approx(float(big[0, 0]) ** 2)


def test_unsigned_differences_do_not_wrap():
    X = np.array([[0, 1]], dtype=np.uint8)
    assert reconstruction_error(X, np.array([[1, 1]], dtype=np.uint8)) == 0.5


def test_a_row_without_direction_counts_as_unlike():
    X = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert mean_cosine_similarity(X, np.array([[1.0, 0.0], [2.0, 0.0]])) == 0.5


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_cosine_of_tiny_and_huge_vectors_is_that_of_their_direction(scale):
    # Squares of such numbers vanish or overflow in float64.
    assert mean_cosine_similarity([[scale, scale]], [[scale, 0.0]]) == pytest.approx(2**-0.5)


def test_a_memory_map_is_read_in_place(tmp_path):
    X = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert fraction_variance_unexplained(stored, 0.9 * X) == fraction_variance_unexplained(
        X, 0.9 * X
    )
