"""Progressive k-means finds clusters, survives hostile data, and uses its codewords evenly."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._kmeans import cluster_sums, principal_axes, progressive_kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def inertia(x, codebook):
    return float((x - codebook[nearest_codewords(x, codebook)]).double().square().sum())


def blobs(n_per_blob=50, n_blobs=4, n_dims=20, seed=0):
    centers = 10.0 * torch.randn(n_blobs, n_dims, generator=generator(seed))
    noise = 0.1 * torch.randn(n_blobs, n_per_blob, n_dims, generator=generator(seed + 1))
    return (centers[:, None] + noise).flatten(0, 1), centers


def test_two_pairs_by_hand():
    x = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]])
    for seed in range(5):
        codebook = progressive_kmeans(x, 2, generator=generator(seed)).sort(0).values
        torch.testing.assert_close(codebook, torch.tensor([[0.0, 1.0], [9.0, 1.0]]))


def test_one_cluster_is_the_weighted_mean():
    x, weight = torch.tensor([[0.0, 1.0], [4.0, 5.0]]), torch.tensor([3.0, 1.0])
    codebook = progressive_kmeans(x, 1, sample_weight=weight, generator=generator())
    torch.testing.assert_close(codebook, torch.tensor([[1.0, 2.0]]))


def test_last_stage_ends_where_lloyd_of_scikit_learn_does():
    # With all dimensions from the start and time enough, ours stops where Lloyd's iteration does.
    x = torch.randn(400, 6, generator=generator(3))
    codebook = progressive_kmeans(x, 12, dims=[6], max_iter=300, generator=generator())
    oracle = KMeans(12, init=codebook.numpy(), n_init=1, max_iter=1, tol=0).fit(x.numpy())
    np.testing.assert_allclose(oracle.cluster_centers_, codebook.numpy(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_integer_weights_are_repetitions(seed):
    x = torch.randn(120, 5, generator=generator(seed))
    repeats = torch.randint(1, 4, (120,), generator=generator(seed + 10))
    start = progressive_kmeans(x, 4, generator=generator())
    codes = nearest_codewords(x, start)
    mass, sums = cluster_sums(x, codes, 4, repeats.float())
    many = x.repeat_interleave(repeats, 0)
    mass_of_many, sums_of_many = cluster_sums(
        many, codes.repeat_interleave(repeats), 4, torch.ones(len(many))
    )
    torch.testing.assert_close(mass, mass_of_many)
    torch.testing.assert_close(sums, sums_of_many, rtol=1e-5, atol=1e-5)


def test_sums_are_those_of_a_loop_and_empty_clusters_are_zero():
    x, codes = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([2, 0, 2])
    mass, sums = cluster_sums(x, codes, 4, torch.tensor([1.0, 1.0, 0.5]))
    assert mass.tolist() == [1.0, 0.0, 1.5, 0.0]
    assert sums.tolist() == [[2.0], [0.0], [3.0], [0.0]]


def test_well_separated_blobs_are_found_from_any_start():
    x, centers = blobs()
    for seed in range(3):
        codebook = progressive_kmeans(x, 16, generator=generator(seed))
        nearest = torch.cdist(centers, codebook).min(1).values
        assert nearest.max() < 1.0


def test_no_codeword_is_without_rows_when_there_are_enough():
    x, _ = blobs(n_per_blob=200)
    codebook = progressive_kmeans(x, 32, generator=generator())
    assert len(torch.unique(nearest_codewords(x, codebook))) == 32


@given(
    n=st.integers(1, 30),
    n_distinct=st.integers(1, 30),
    d=st.integers(1, 40),
    k=st.integers(1, 40),
    seed=st.integers(0, 50),
)
@example(n=1, n_distinct=1, d=1, k=1, seed=0)
@example(n=20, n_distinct=5, d=3, k=16, seed=0)
@example(n=30, n_distinct=30, d=40, k=29, seed=0)
@example(n=4, n_distinct=29, d=1, k=4, seed=1)  # two rows are nearly equal
def test_any_number_of_rows_and_codewords_works(n, n_distinct, d, k, seed):
    distinct = torch.randn(n_distinct, d, generator=generator(seed))
    x = distinct[torch.randint(n_distinct, (n,), generator=generator(seed))]
    codebook = progressive_kmeans(x, k, generator=generator(seed))
    assert codebook.shape == (k, d)
    assert codebook.dtype == torch.float32
    assert codebook.isfinite().all()
    assert len(torch.unique(codebook, dim=0)) == k
    if len(torch.unique(x, dim=0)) <= k:
        # Not by `nearest_codewords`: it can't tell 1.6091 from 1.6095, whose squares round alike.
        nearest = (x[:, None] - codebook).abs().amax(2).argmin(1)
        torch.testing.assert_close(codebook[nearest], x)


def test_few_distinct_rows_far_down_a_long_array_are_codewords_themselves():
    x = torch.arange(3.0).repeat(100)[:, None]
    codebook = progressive_kmeans(x, 4, generator=generator())
    assert inertia(x, codebook) == 0.0


@pytest.mark.parametrize("value", [0.0, 7.0, -1e3])
def test_equal_rows_give_distinct_finite_codewords(value):
    x = torch.full((50, 4), value)
    codebook = progressive_kmeans(x, 8, generator=generator())
    assert codebook.isfinite().all()
    assert len(torch.unique(codebook, dim=0)) == 8
    assert torch.equal(codebook[nearest_codewords(x, codebook)], x)


def test_an_outlier_takes_one_codeword_not_more():
    x = torch.randn(300, 12, generator=generator(5))
    x[17] *= 100
    codes = nearest_codewords(x, progressive_kmeans(x, 16, generator=generator()))
    others = torch.cat([codes[:17], codes[18:]])
    assert len(torch.unique(others)) >= 15


def test_result_depends_on_the_generator_alone():
    x = torch.randn(500, 20, generator=generator(6))
    before = torch.get_rng_state()
    first = progressive_kmeans(x, 32, generator=generator(1))
    again = progressive_kmeans(x, 32, generator=generator(1))
    other = progressive_kmeans(x, 32, generator=generator(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_result_does_not_depend_on_the_number_of_threads():
    x = torch.randn(3000, 40, generator=generator(7))
    one = progressive_kmeans(x, 64, generator=generator())
    torch.set_num_threads(2)
    try:
        two = progressive_kmeans(x, 64, generator=generator())
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, two)


def test_principal_axes_are_orthonormal_and_ordered_by_weighted_variance():
    x = torch.randn(200, 6, generator=generator(9)) + 5.0
    weight = torch.rand(200, generator=generator(10))
    axes = principal_axes(x, weight)
    torch.testing.assert_close(axes.T @ axes, torch.eye(6), rtol=0, atol=1e-5)
    coordinates = (x @ axes).numpy()
    covariance = np.cov(coordinates.T, aweights=weight.numpy())
    assert (np.diff(np.diag(covariance)) <= 1e-5).all()
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_progressive_stages_leave_codewords_more_evenly_used(seed):
    # Heavy-tailed rows in many dimensions, where plain k-means spends codewords on outliers.
    x = torch.randn(2000, 64, generator=generator(seed)) * torch.logspace(0, -1, 64)
    x *= torch.empty(2000, 1).log_normal_(0, 0.7, generator=generator(seed))

    def perplexity(dims):
        codes = nearest_codewords(
            x, progressive_kmeans(x, 64, dims=dims, generator=generator(seed))
        )
        share = torch.bincount(codes, minlength=64) / len(x)
        return float(torch.special.entr(share).sum().exp())

    assert perplexity(None) > 1.1 * perplexity([64])
