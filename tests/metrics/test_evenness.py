"""Perplexity and Gini coefficient."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_rqvae.metrics import code_gini, code_perplexity

SIZE = 6
one_level = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 40), st.just(1)), elements=st.integers(0, SIZE - 1)
)
collapsed = np.zeros((8, 1), dtype=np.int64)
even = np.arange(2 * SIZE).reshape(-1, 1) % SIZE


@given(one_level)
@example(collapsed)
@example(even)
def test_perplexity_is_between_one_and_what_samples_and_codewords_allow(codes):
    (perplexity,) = code_perplexity(codes, SIZE)
    assert 1 - 1e-12 <= perplexity <= min(SIZE, len(codes)) * (1 + 1e-12)


@given(one_level)
@example(collapsed)
@example(even)
def test_gini_is_between_zero_and_that_of_a_collapsed_level(codes):
    (gini,) = code_gini(codes, SIZE)
    assert -1e-12 <= gini <= 1 - 1 / SIZE + 1e-12


@given(one_level, st.permutations(range(SIZE)), st.randoms(use_true_random=False))
@example(collapsed, list(range(SIZE))[::-1], None)
def test_neither_names_of_codes_nor_order_of_samples_matter(codes, names, random):
    renamed = np.array(names)[codes][::-1]
    if random is not None:
        renamed = renamed[random.sample(range(len(codes)), len(codes))]
    np.testing.assert_allclose(code_perplexity(renamed, SIZE), code_perplexity(codes, SIZE))
    np.testing.assert_allclose(code_gini(renamed, SIZE), code_gini(codes, SIZE))


@given(one_level, st.integers(2, 4))
@example(even, 3)
def test_repeating_all_samples_changes_nothing(codes, times):
    repeated = np.repeat(codes, times, axis=0)
    np.testing.assert_allclose(code_perplexity(repeated, SIZE), code_perplexity(codes, SIZE))
    np.testing.assert_allclose(code_gini(repeated, SIZE), code_gini(codes, SIZE), atol=1e-12)


@given(one_level)
@example(even)
@example(collapsed)
def test_gini_is_half_the_mean_difference_in_units_of_the_mean(codes):
    # The definition, with all pairs of codewords, beside the sorted sum.
    counts = np.bincount(codes[:, 0], minlength=SIZE)
    pairs = np.abs(counts[:, None] - counts).mean()
    np.testing.assert_allclose(code_gini(codes, SIZE), pairs / (2 * counts.mean()), atol=1e-12)


def test_perplexity_of_known_shares():
    # Shares 1/2, 1/4, 1/4: entropy 1.5 bits, 2**1.5 codewords.
    codes = np.array([[0], [0], [1], [2]])
    np.testing.assert_allclose(code_perplexity(codes, 4), [2**1.5])


@pytest.mark.parametrize("size", [1, 2, 300])
def test_perplexity_does_not_depend_on_unused_codewords(size):
    # Codewords that nobody uses have share 0, whose contribution 0 log 0 is 0 and not NaN.
    np.testing.assert_allclose(code_perplexity(np.zeros((3, 1), dtype=int), size), [1.0])
