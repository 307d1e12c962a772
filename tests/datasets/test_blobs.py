"""make_residual_blobs: the codes it returns are the codes of its samples."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from sklearn_rqvae.datasets import make_residual_blobs


def greedy_codes(X, codebooks):
    codes, residual = [], X
    for codebook in codebooks:
        distance = ((residual[:, None, :] - codebook) ** 2).sum(axis=2)
        codes.append(distance.argmin(axis=1))
        residual = residual - codebook[codes[-1]]
    return np.column_stack(codes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("n_features", "codebook_size"), [(1, 4), (2, 8), (16, 8), (32, [64, 5, 32]), (4, [3, 1, 7])]
)
def test_greedy_quantization_finds_the_codes(n_features, codebook_size, seed):
    # spread < 0.5 and no noise: the remainder is smaller than half of any distance.
    X, codes, codebooks = make_residual_blobs(
        400, n_features, codebook_size=codebook_size, spread=0.49, noise=0.0,
        return_codebooks=True, random_state=seed,
    )  # fmt: skip
    np.testing.assert_array_equal(greedy_codes(X, codebooks), codes)


def test_samples_are_sums_of_codewords():
    X, codes, codebooks = make_residual_blobs(
        50, 3, n_layers=2, codebook_size=[4, 2], noise=0.0, return_codebooks=True, random_state=0
    )
    np.testing.assert_allclose(X, codebooks[0][codes[:, 0]] + codebooks[1][codes[:, 1]])


def test_noise_has_the_stated_norm():
    params = {"n_samples": 4000, "n_layers": 2, "return_codebooks": True, "random_state": 3}
    X, codes, codebooks = make_residual_blobs(noise=0.2, **params)
    noise = X - codebooks[0][codes[:, 0]] - codebooks[1][codes[:, 1]]
    distance = np.linalg.norm(codebooks[1][:, None] - codebooks[1], axis=2)
    half_distance = distance[distance > 0].min() / 2
    norm = np.sqrt((noise**2).sum(axis=1).mean())
    assert norm == pytest.approx(0.2 * half_distance, rel=0.02)


def test_k_means_finds_the_first_level():
    X, codes = make_residual_blobs(500, random_state=0)
    found = KMeans(8, n_init=5, random_state=0).fit_predict(X)
    assert adjusted_rand_score(codes[:, 0], found) == 1.0


def test_a_seed_gives_the_same_data():
    first, second = (make_residual_blobs(20, random_state=4) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[1].dtype == np.int64


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "n_samples=0 should be a positive integer"),
        ({"n_features": 2.5}, "n_features=2.5 should be a positive integer"),
        ({"n_layers": True}, "n_layers=True should be a positive integer"),
        ({"spread": 0.0}, "spread=0.0 should be a positive number"),
        ({"noise": -1.0}, "noise=-1.0 should be a number >= 0"),
        ({"codebook_size": [2, 2]}, "has 2 entries but n_layers=3"),
        ({"codebook_size": 0}, "positive integer number of codewords"),
    ],
)
def test_impossible_sizes_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        make_residual_blobs(**params)
