"""Prefixes against labels."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from sklearn_rqvae.metrics import _labels as labels_module
from sklearn_rqvae.metrics import prefix_adjusted_mutual_info, prefix_purity


@st.composite
def codes_and_labels(draw):
    n = draw(st.integers(1, 40))
    codes = draw(hnp.arrays(np.int64, (n, 3), elements=st.integers(0, 3)))
    labels = draw(hnp.arrays(np.int64, (n,), elements=st.integers(0, 4)))
    return codes, labels


def joined(codes, length):
    """Name each distinct prefix by a string."""
    return np.array(["-".join(map(str, row[:length])) for row in codes.tolist()])


@given(codes_and_labels())
@example((np.zeros((3, 3), dtype=np.int64), np.array([0, 0, 1])))
def test_purity_counts_the_most_frequent_label_of_each_prefix(pair):
    codes, labels = pair
    expected = []
    for length in (1, 2, 3):
        by_prefix = defaultdict(Counter)
        for prefix, label in zip(joined(codes, length), labels, strict=True):
            by_prefix[prefix][label] += 1
        expected.append(sum(max(c.values()) for c in by_prefix.values()) / len(codes))
    purity = prefix_purity(codes, labels)
    np.testing.assert_allclose(purity, expected)
    assert (np.diff(purity) >= -1e-12).all()
    assert purity[0] >= np.bincount(labels).max() / len(labels) - 1e-12


@given(codes_and_labels())
@example((np.zeros((3, 3), dtype=np.int64), np.array([0, 0, 0])))
@example((np.repeat(np.arange(4)[:, None], 3, axis=1), np.arange(4)))
@example((np.zeros((4, 3), dtype=np.int64), np.arange(4)))
def test_information_is_that_of_scikit_learn(pair):
    codes, labels = pair
    information = prefix_adjusted_mutual_info(codes, labels)
    for length in (1, 2, 3):
        prefixes = joined(codes, length)
        expected = adjusted_mutual_info_score(labels, prefixes)
        if len(set(labels)) == len(set(prefixes)) == len(labels):
            expected = 1.0  # 0 / 0 there: rounding decides; equal groups are in full agreement
        assert information[length - 1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n_groups", [3, 300])
def test_expectation_over_a_window_is_that_over_all_overlaps(n_groups):
    # Large enough for the windows to leave out most overlaps.
    rng = np.random.default_rng(0)
    prefix, label = rng.integers(0, n_groups, 20_000), rng.integers(0, 5, 20_000)
    expected = expected_mutual_information(contingency_matrix(label, prefix), 20_000)
    low, high = labels_module._hypergeometric_window(4000, np.bincount(label), 20_000)
    assert (high - low < 1500).all()
    found = labels_module.expected_mutual_info(np.bincount(prefix), np.bincount(label))
    assert found == pytest.approx(expected, rel=1e-9)


def test_expectation_does_not_depend_on_how_many_terms_are_summed_at_once(monkeypatch):
    sizes_a, sizes_b = np.array([5, 9, 30, 1]), np.array([3, 12, 20, 10])
    whole = labels_module.expected_mutual_info(sizes_a, sizes_b)
    monkeypatch.setattr(labels_module, "_TERMS_AT_ONCE", 7)
    assert labels_module.expected_mutual_info(sizes_a, sizes_b) == pytest.approx(whole)


def test_random_prefixes_are_worth_nothing_and_purity_does_not_say_so():
    rng = np.random.default_rng(1)
    codes, labels = rng.integers(0, 32, (2000, 3)), rng.integers(0, 4, 2000)
    assert np.abs(prefix_adjusted_mutual_info(codes, labels)).max() < 0.02
    assert prefix_purity(codes, labels)[2] > 0.9


def test_labels_may_be_strings_and_their_names_do_not_matter():
    codes = np.array([[0], [0], [1], [1]])
    for labels in (["b", "b", "a", "a"], [7, 7, 3, 3], [0.5, 0.5, 2.5, 2.5]):
        assert prefix_purity(codes, labels).tolist() == [1.0]
        assert prefix_adjusted_mutual_info(codes, labels).tolist() == [1.0]
