"""Bits of semantic IDs."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from sklearn_rqvae.metrics import bits_per_item, code_perplexity, joint_code_entropy

SIZE = 4
some_codes = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, SIZE - 1)
)


@given(some_codes)
@example(np.zeros((3, 2), dtype=np.int64))
def test_entropy_is_that_of_the_distinct_prefixes(codes):
    for length, bits in enumerate(joint_code_entropy(codes), start=1):
        _, counts = np.unique(codes[:, :length], axis=0, return_counts=True)
        assert bits == pytest.approx(entropy(counts, base=2), abs=1e-12)


@given(some_codes)
@example(np.zeros((3, 2), dtype=np.int64))
@example(np.indices((4, 4)).reshape(2, -1).T)
def test_entropy_rises_from_zero_to_what_samples_and_codewords_allow(codes):
    bits = joint_code_entropy(codes)
    n_layers = codes.shape[1]
    assert (np.diff(bits, prepend=0) >= -1e-12).all()
    assert bits[-1] <= min(np.log2(len(codes)), bits_per_item(SIZE, n_layers)) + 1e-12
    # The chain rule's bound: levels together say no more than each by itself.
    assert bits[-1] <= np.log2(code_perplexity(codes, SIZE)).sum() + 1e-9


def test_a_level_that_repeats_another_adds_nothing():
    codes = np.repeat(np.arange(8).reshape(-1, 1), 2, axis=1)
    np.testing.assert_allclose(joint_code_entropy(codes), [3.0, 3.0])


def test_bits_add_up_over_levels():
    assert bits_per_item(256, 4) == 32
    assert bits_per_item([2, 1, 8]) == 4
    assert bits_per_item(np.array([2, 1, 8])) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((256,), "n_layers should be given"), ((256, 0), "positive"), (([4, 4], 3), "2 entries")],
)
def test_bits_of_no_known_length_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bits_per_item(*arguments)
