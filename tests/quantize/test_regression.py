"""Test the regression on codewords and pairs of codes against dense algebra and by hand."""

import itertools

import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distinct import number_tuples
from sklearn_rqvae.quantize._pairs import PairKeys
from sklearn_rqvae.quantize._regression import (
    CODEWORD_RIDGE,
    PAIR_RIDGE,
    Interactions,
    _ridge,
    reconstruct,
    regress,
)
from sklearn_rqvae.quantize._soft_codes import SoftCodes, soft_codes
from tests.quantize.test_interactions import generator


@given(seed=st.integers(0, 20), n_columns=st.integers(1, 6))
@example(seed=8, n_columns=6)  # the worst conditioned of them
def test_conjugate_gradients_solve_the_ridge_regression(seed, n_columns):
    rng = np.random.default_rng(seed)
    design = sp.csr_matrix((rng.random((30, n_columns)) < 0.4).astype(np.float32))
    weight = rng.random(30).astype(np.float32)
    targets = rng.normal(size=(30, 3)).astype(np.float32)
    ridge = rng.uniform(0.5, 3, n_columns).astype(np.float32)
    dense = design.toarray().astype(np.float64)
    weighted = design.multiply(weight[:, None]).tocsr()
    normal = dense.T @ (weight[:, None] * dense) + np.diag(ridge)
    expected = np.linalg.solve(normal, dense.T @ (weight[:, None] * targets))
    solution = _ridge(weighted, design, weighted.T @ targets, ridge, n_iter=50, tol=1e-8)
    np.testing.assert_allclose(solution, expected, rtol=1e-3, atol=1e-4)


def test_one_regression_by_hand():
    # Two rows with codes (0, 0), one with (1, 0): the pair (0, 0) is met twice and stored, (1, 0)
    # isn't. The design has a column for each code and for the pair; the normal equations are small
    # enough to write down.
    z = torch.tensor([[5.0], [3.0], [-10.0]])
    codebooks = [torch.zeros(2, 1), torch.zeros(1, 1)]
    codes = torch.tensor([[[0, 0]], [[0, 0]], [[1, 0]]])
    fitted = regress(z, codebooks, SoftCodes(codes, torch.ones(3, 1)), max_floats=10)
    assert fitted.keys.tolist() == [0]
    design = np.array([[1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]], dtype=float)
    ridge = np.diag([CODEWORD_RIDGE] * 3 + [PAIR_RIDGE])
    expected = np.linalg.solve(design.T @ design + ridge, design.T @ z.numpy())
    found = [*fitted.codebooks[0].ravel(), *fitted.codebooks[1].ravel(), *fitted.vectors.ravel()]
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-2)


@given(n=st.integers(1, 40), max_floats=st.integers(0, 60), seed=st.integers(0, 9))
@example(n=1, max_floats=60, seed=0)
@example(n=40, max_floats=0, seed=0)
@example(n=40, max_floats=3, seed=0)  # one pair in one dimension, and its key
def test_no_pair_of_a_single_row_is_stored_and_the_size_is_bounded(n, max_floats, seed):
    z = torch.randn(n, 3, generator=generator(seed))
    codebooks = [torch.randn(size, 3, generator=generator(seed + size)) for size in (3, 2, 4)]
    candidates, errors = beam_search(z, codebooks, 8)
    ids = number_tuples(candidates, [3, 2, 4])
    soft = soft_codes(candidates, ids, errors, torch.ones(n))
    fitted = regress(z, codebooks, soft, max_floats)
    assert fitted.vectors.numel() <= max_floats
    assert fitted.vectors.shape[0] == len(fitted.keys)
    assert (fitted.keys.diff() > 0).all()
    keys = PairKeys([3, 2, 4])(soft.codes.flatten(0, 1)).unflatten(0, soft.codes.shape[:2])
    keys[soft.weight == 0] = -1
    for key in fitted.keys:
        assert int((keys == key).flatten(1).any(1).sum()) >= 2


def test_reconstruction_is_the_sum_of_its_parts():
    codebooks = [torch.randn(size, 4, generator=generator(size)) for size in (2, 3, 2)]
    keys = torch.tensor([0, 5, 7, 13])
    vectors = torch.randn(4, 3, generator=generator(9))
    pair_keys = PairKeys([2, 3, 2])
    for codes in itertools.product(range(2), range(3), range(2)):
        expected = sum(codebook[code] for codebook, code in zip(codebooks, codes, strict=True))
        for key in pair_keys(torch.tensor([codes]))[0].tolist():
            if key in keys.tolist():
                expected[:3] += vectors[keys.tolist().index(key)]
        found = reconstruct(
            torch.tensor([[codes]]), Interactions(codebooks, keys, vectors), pair_keys
        )
        torch.testing.assert_close(found[0, 0], expected)
