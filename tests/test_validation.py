"""Rows, codes and codebook sizes are checked and put in order."""

import numpy as np
import pytest
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._learning._rows import relative_weight
from sklearn_rqvae._validation import (
    as_array,
    check_codebook_size,
    check_codes,
)


def test_codebook_sizes_are_one_or_one_per_level():
    assert check_codebook_size(4, 3) == [4, 4, 4]
    assert check_codebook_size(np.int64(4), 1) == [4]
    assert check_codebook_size((4, 8), 2) == [4, 8]
    with pytest.raises(ValueError, match="has 2 entries but n_layers=3"):
        check_codebook_size([4, 8], 3)
    with pytest.raises(ValueError, match="entry 0"):
        check_codebook_size([4, 0], 2)
    with pytest.raises(ValueError, match="entry True"):
        check_codebook_size([True, 2], 2)


def test_a_boolean_is_no_codebook_size():
    with pytest.raises(ValueError, match="has the entry True; every level needs a positive"):
        check_codebook_size(True, 2)


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_rows_whose_squares_overflow_are_refused(estimator):
    X = np.random.default_rng(0).normal(size=(40, 3))
    quantizer = estimator(n_layers=2, codebook_size=4, random_state=0)
    with pytest.raises(ValueError, match=r"size .*e\+20.* overflow .*; divide X by a constant"):
        quantizer.fit(X * 1e20)
    assert np.isfinite(quantizer.fit(X * 1e15).score(X * 1e15))


def test_codes_come_back_as_integers():
    codes = check_codes([[0.0, 2.0]], [2, 3])
    assert codes.dtype == np.int64
    assert codes.tolist() == [[0, 2]]
    assert check_codes(np.array([[1]], dtype=object), [2]).tolist() == [[1]]
    assert check_codes(torch.tensor([[1]]), [2]).tolist() == [[1]]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1], "2-dimensional"),
        (np.empty((0, 2)), "at least one sample"),
        ([[0, 0, 0]], "3 columns, but the model has 2 levels"),
        ([[0.5, 0]], "whole numbers, got 0.5"),
        ([[np.nan, 0]], "whole numbers"),
        ([["a", "b"]], "should be integers"),
        (np.array([["1"]], dtype=object), "should be integers"),
        ([[True, False]], "should be integers, got dtype bool"),
        ([[2.0**60, 0]], "whole numbers"),
        ([[0, 3]], r"level 1 should be in \[0, 3\), got 3"),
        ([[-1, 0]], r"level 0 should be in \[0, 2\), got -1"),
    ],
)
def test_bad_codes_are_named(codes, message):
    with pytest.raises(ValueError, match=message):
        check_codes(codes, [2, 3])


def test_tensors_become_arrays_whatever_their_dtype():
    assert as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).dtype == np.float32
    assert as_array(torch.ones(2, dtype=torch.int32)).dtype == np.int32
    assert as_array([1, 2]) == [1, 2]


@pytest.mark.parametrize("weight", [[1e308, 1e308, 1e308], [1.0, 1e-60, 1.0]])
def test_weights_that_single_precision_cannot_hold_are_refused(weight):
    with pytest.raises(ValueError, match=r"sample_weight ranges from .*set weights that"):
        relative_weight(np.array(weight))
    np.testing.assert_allclose(relative_weight(np.array([1e300, 3e300])), [0.5, 1.5])


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_rows_whose_squares_underflow_are_refused(estimator):
    X = np.random.default_rng(0).normal(size=(50, 4))
    with pytest.raises(ValueError, match=r"X has no value larger than .*multiply X"):
        estimator(codebook_size=4).fit(X * 1e-17)
    small = estimator(codebook_size=4, random_state=0).fit(X * 1e-14)
    large = estimator(codebook_size=4, random_state=0).fit(X)
    assert small.score(X * 1e-14) * 1e28 == pytest.approx(large.score(X), rel=0.05)
