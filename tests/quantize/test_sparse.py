"""With more codewords than rows, the solution is that of the whole system, at the rows' price."""

import resource
import time

import numpy as np
import pytest
import torch

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.quantize import _refine, _sparse
from sklearn_rqvae.quantize._refine import refit_codebooks, shrink_codebooks


@pytest.mark.parametrize("solve", [refit_codebooks, shrink_codebooks])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_rows", "many"), [(60, 8192), (4000, 150)])
def test_the_solution_is_that_of_the_whole_system(monkeypatch, solve, seed, n_rows, many):
    monkeypatch.setattr(_sparse, "_MANY", many)
    monkeypatch.setattr(_sparse, "_BLOCK_CHOICES", 700)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_rows, 5, generator=generator)
    row = torch.arange(n_rows).repeat_interleave(2)
    codes = torch.randint(50, (2 * n_rows, 3), generator=generator)
    weight = torch.rand(2 * n_rows, generator=generator) + 0.1
    codebooks = list(torch.randn(3, 50, 5, generator=generator))
    assert _sparse.is_sparse(codes, [50, 50, 50])
    sparse = solve(x, codes, codebooks, sample_weight=weight, row=row)
    monkeypatch.setattr(_refine, "is_sparse", lambda codes, sizes: False)
    whole = solve(x, codes, codebooks, sample_weight=weight, row=row)
    for one, other in zip(sparse, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [[4096, 4096], [8191]])
def test_a_matrix_of_all_pairs_is_a_waste_from_8192_codewords_on(sizes):
    codes = torch.zeros(10**6, len(sizes), dtype=torch.int64)
    assert _sparse.is_sparse(codes, sizes) == (sum(sizes) >= 8192)


def test_thousands_of_codewords_cost_what_the_rows_allow():
    X = np.random.default_rng(0).normal(size=(400, 16))
    RQVAETransformer(n_layers=2, codebook_size=8, random_state=0).fit(X)  # loads the libraries
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    estimator = RQVAETransformer(n_layers=2, codebook_size=2048, random_state=0)
    with pytest.warns(UserWarning, match="400 distinct rows"):
        estimator.fit(X)
    assert time.process_time() - start < 4.0  # 1 to 2 on an idle core
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000
    decoded = estimator.inverse_transform(estimator.transform(X))
    assert np.square(X - decoded).mean() < 0.01
