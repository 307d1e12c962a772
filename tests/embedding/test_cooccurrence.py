"""Co-occurrence counts and vectors follow their definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from sklearn_rqvae.embedding import Histories
from sklearn_rqvae.embedding._cooccurrence import cooccurrence_counts, cooccurrence_vectors


def random_histories(seed, n_users=40, n_items=12):
    rng = np.random.default_rng(seed)
    return Histories.read(
        [rng.integers(n_items, size=rng.integers(1, 9)).tolist() for _ in range(n_users)]
    )


def slow_counts(histories, window, decay):
    """Count pairs one by one."""
    counts = np.zeros((histories.n_items, histories.n_items))
    rows = {item_id: row for row, item_id in enumerate(histories.item_ids.tolist())}
    for history in histories.split():
        history = [rows[item] for item in history.tolist()]
        for place, item in enumerate(history):
            for distance in range(1, window + 1):
                if place + distance < len(history):
                    counts[item, history[place + distance]] += decay ** (distance - 1)
                    counts[history[place + distance], item] += decay ** (distance - 1)
    np.fill_diagonal(counts, histories.counts())
    return counts


def test_counts_by_hand():
    # Users a b c and b a. One step: ab, bc, ba, so ab counts 2 and bc 1. Two steps: ac counts 1/2.
    histories = Histories.read([["a", "b", "c"], ["b", "a"]])
    counts = cooccurrence_counts(histories, window=2, decay=0.5)
    assert_allclose(counts.toarray(), [[2, 2, 0.5], [2, 2, 1], [0.5, 1, 1]])
    near = cooccurrence_counts(histories, window=1, decay=0.5)
    assert_allclose(near.toarray(), [[2, 2, 0], [2, 2, 1], [0, 1, 1]])


def test_counts_of_a_matrix_by_hand():
    # The first user touched a, b and c, so each pair counts 1/2; the second one a and b.
    histories = Histories.read(csr_matrix([[1, 5, 1], [1, 1, 0]]))
    counts = cooccurrence_counts(histories, window=1, decay=0.5)
    assert_allclose(counts.toarray(), [[2, 1.5, 0.5], [1.5, 2, 0.5], [0.5, 0.5, 1]])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("window", "decay"), [(1, 1.0), (3, 0.6), (50, 0.9)])
def test_counts_equal_the_slow_ones(seed, window, decay):
    histories = random_histories(seed)
    counts = cooccurrence_counts(histories, window, decay)
    assert_allclose(counts.toarray(), slow_counts(histories, window, decay))


@pytest.mark.parametrize("seed", range(3))
def test_vectors_equal_those_of_the_full_decomposition(seed):
    histories = random_histories(seed)
    counts = slow_counts(histories, 3, 0.6)
    popularity = counts.sum(axis=1)
    damped = np.log1p(counts) / np.outer(popularity, popularity) ** 0.25
    left, singular_values, _ = np.linalg.svd(damped)
    slow = left[:, :4] * np.sqrt(singular_values[:4])
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    vectors = cooccurrence_vectors(histories, 4, 3, 0.6, np.random.RandomState(0))
    assert_allclose(vectors @ vectors.T, slow @ slow.T, atol=1e-3)  # up to the columns' signs


def test_renaming_items_renames_vectors():
    histories = random_histories(0)
    renamed = Histories.read([(-history).tolist() for history in histories.split()])
    vectors = cooccurrence_vectors(histories, 4, 3, 0.6, np.random.RandomState(0))
    others = cooccurrence_vectors(renamed, 4, 3, 0.6, np.random.RandomState(0))[::-1]
    assert_allclose(vectors @ vectors.T, others @ others.T, atol=1e-3)


def test_item_without_interactions_has_a_zero_vector():
    histories = Histories.read(csr_matrix([[1, 1, 0, 0], [1, 0, 1, 0]]))
    vectors = cooccurrence_vectors(histories, 3, 1, 1.0, np.random.RandomState(0))
    assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-6)
