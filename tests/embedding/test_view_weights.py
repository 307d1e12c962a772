"""choose_view_weights finds the view that tells what comes next, and sees no last item before."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline, make_union

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.embedding import (
    Histories,
    InteractionEmbedder,
    ViewFusion,
    choose_view_weights,
)
from sklearn_rqvae.embedding._view_weights import next_item_hit_rate

N_ITEMS = 60


class Noise(TransformerMixin, BaseEstimator):
    """Make a view that says nothing: random vectors, the same for the same item."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.random.default_rng(0).normal(size=(N_ITEMS, 6))[np.asarray(X)]


class Groups(Noise):
    """Make a view that says which items are in one group of ten."""

    def transform(self, X):
        return np.eye(6)[np.asarray(X) // 10] + 0.01 * super().transform(X)


def make_histories(n_users=300, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.permutation(10)[:6] + 10 * rng.integers(6)).tolist() for _ in range(n_users)]


def make_pipeline_of(other, quantizer=None):
    steps = [make_union(other, InteractionEmbedder("cooccurrence", n_components=6, random_state=0))]
    steps += [ViewFusion([6, 6])] + ([] if quantizer is None else [quantizer])
    return make_pipeline(*steps)


def slow_hit_rate(vectors, queries, targets, n_neighbors):
    """Rank all items for each query, with ties broken in every order of a few draws."""
    rng = np.random.default_rng(0)
    centered = vectors - vectors.mean(axis=0)
    hits = []
    for _ in range(200):
        for query, target in zip(queries, targets, strict=True):
            cosine = centered @ centered[query]
            cosine = (cosine / np.linalg.norm(centered, axis=1)).round(6)
            order = np.lexsort([rng.random(len(vectors)), -cosine])
            hits.append(target in order[order != query][:n_neighbors])
    return np.mean(hits)


@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_hit_rate_equals_the_slow_one(n_neighbors):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(8, 2))[[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 1, 2]]  # with equal ones
    queries, targets = np.array([0, 1, 1, 5, 6, 2]), np.array([8, 9, 4, 7, 1, 8])
    fast = next_item_hit_rate(vectors, queries, targets, n_neighbors)
    assert_allclose(fast, slow_hit_rate(vectors, queries, targets, n_neighbors), atol=0.04)


def test_equal_vectors_hit_by_chance_alone():
    vectors = np.ones((11, 3))
    assert_allclose(next_item_hit_rate(vectors, np.arange(10), np.arange(1, 11), 2), 0.2)


def test_hit_rate_by_hand():
    # On a circle: the neighbors of item 0 are 1 and 3, and 2 is opposite.
    vectors = np.array([[1, 0], [0.1, 1], [-1, 0], [-0.1, -1]])
    queries = np.array([0, 0, 0])
    assert next_item_hit_rate(vectors, queries, np.array([1, 2, 3]), 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("quantizer", [None, ResidualKMeans(codebook_size=6, n_layers=2)])
def test_behavior_wins_over_noise(quantizer):
    found = choose_view_weights(
        make_pipeline_of(Noise(), quantizer), range(N_ITEMS), make_histories()
    )
    assert found.weights[1] >= 1
    assert found.hit_rate == found.hit_rates.max()
    assert_array_equal(found.candidates[found.hit_rates.argmax()], found.weights)
    assert found.hit_rate > found.hit_rates[0] + 0.3  # the first candidate leaves behavior out


def test_planted_leak_is_not_seen():
    # The last item is a function of the one before it, and of nothing else.
    rng = np.random.default_rng(0)
    partner = rng.permutation(N_ITEMS)
    histories = [rng.permutation(N_ITEMS)[:4].tolist() for _ in range(400)]
    histories = [[*history, int(partner[history[-1]])] for history in histories]
    pipeline = make_pipeline_of(Noise())
    found = choose_view_weights(pipeline, range(N_ITEMS), histories)
    chance = 10 / (N_ITEMS - 1)
    assert found.hit_rates.max() < chance + 0.08
    # Vectors of the whole histories would give it away.
    leaking = make_pipeline_of(Noise())[0]
    leaking.set_params(interactionembedder__interactions=histories)
    vectors = leaking.fit_transform(range(N_ITEMS))[:, 6:]
    whole = Histories.read(histories)
    pairs = np.array([history.tolist()[-2:] for history in whole.split()])
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    assert next_item_hit_rate(vectors, *pairs.T, 10) > chance + 0.3


def test_given_pipeline_is_left_alone_and_candidates_are_kept():
    pipeline = make_pipeline_of(Groups())
    candidates = [[1, 0], [1, 1]]
    first, again = (
        choose_view_weights(
            pipeline, range(N_ITEMS), make_histories(), candidates=candidates, max_users=50
        )
        for _ in range(2)
    )
    assert_array_equal(first.candidates, candidates)
    assert_array_equal(first.hit_rates, again.hit_rates)
    assert pipeline[1].weights is None
    assert not hasattr(pipeline[0].transformer_list[1][1], "vectors_")


def test_steps_may_return_frames():
    pipeline, items = make_pipeline_of(Groups()), np.arange(N_ITEMS)
    expected = choose_view_weights(pipeline, items, make_histories(), candidates=[[1, 1]])
    framed = make_pipeline_of(Groups())
    framed[-1].set_output(transform="pandas")
    found = choose_view_weights(framed, items, make_histories(), candidates=[[1, 1]])
    assert found.hit_rate == expected.hit_rate


def test_wrong_values_are_named():
    histories, items = make_histories(), range(N_ITEMS)
    with pytest.raises(TypeError, match="pipeline is a ViewFusion; give a Pipeline"):
        choose_view_weights(ViewFusion([1]), items, histories)
    with pytest.raises(ValueError, match=r"has the steps \['noise'\], 0 of them a ViewFusion"):
        choose_view_weights(make_pipeline(Noise()), items, histories)
    pipeline = make_pipeline_of(Noise())
    with pytest.raises(ValueError, match=r"candidates has shape \(1, 3\), .* 2 columns"):
        choose_view_weights(pipeline, items, histories, candidates=[[1, 2, 3]])
    with pytest.raises(ValueError, match="None of 300 users ends with two different items of X"):
        choose_view_weights(pipeline, [str(item) for item in items], histories)
