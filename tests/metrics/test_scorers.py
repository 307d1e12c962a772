"""Scorers in scikit-learn's model selection."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_rqvae import metrics


class TwoMeans(TransformerMixin, BaseEstimator):
    """Residual k-means of two levels, as small as it gets."""

    def __init__(self, codebook_size=4):
        self.codebook_size = codebook_size

    def fit(self, X, y=None):
        residual, self.codebooks_ = np.array(X, dtype=float), []
        for _ in range(2):
            level = KMeans(self.codebook_size, n_init=1, random_state=0).fit(residual)
            self.codebooks_.append(level.cluster_centers_)
            residual = residual - level.cluster_centers_[level.labels_]
        return self

    def transform(self, X):
        residual, codes = np.array(X, dtype=float), []
        for codebook in self.codebooks_:
            codes.append(((residual[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1))
            residual = residual - codebook[codes[-1]]
        return np.stack(codes, axis=1)

    def inverse_transform(self, codes):
        *_, quantized = metrics.prefix_reconstructions(codes, self.codebooks_)
        return quantized


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(60, 4)) * [3, 2, 1, 1] + 5


def test_each_scorer_is_its_metric(X):
    model = TwoMeans().fit(X)
    codes = model.transform(X)
    back = model.inverse_transform(codes)
    expected = {
        "neg_reconstruction_error": -metrics.reconstruction_error(X, back),
        "neg_fraction_variance_unexplained": -metrics.fraction_variance_unexplained(X, back),
        "cosine_similarity": metrics.mean_cosine_similarity(X, back),
        "lowest_perplexity": metrics.code_perplexity(codes, 4).min(),
        "lowest_utilization": metrics.code_utilization(codes, 4).min(),
        "neg_collision_rate": -metrics.collision_rate(codes),
        "semantic_id_entropy": metrics.joint_code_entropy(codes)[-1],
    }
    scorers = metrics.get_scorers()
    assert set(scorers) == set(expected)
    for name, scorer in scorers.items():
        assert scorer(model, X) == pytest.approx(expected[name]), name
        assert isinstance(scorer(model, X), float)


def test_a_search_over_all_measures_prefers_more_codewords_for_distortion(X):
    search = GridSearchCV(
        TwoMeans(),
        {"codebook_size": [2, 12]},
        cv=2,
        scoring=metrics.get_scorers(),
        refit="neg_fraction_variance_unexplained",
        error_score="raise",
    ).fit(X)
    assert search.best_params_ == {"codebook_size": 12}
    for name in metrics.get_scorers():
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()


def test_a_pipeline_with_an_inverse_is_judged_in_the_units_of_its_input(X):
    model = make_pipeline(StandardScaler(), TwoMeans()).fit(X)
    back = model.inverse_transform(model.transform(X))
    assert metrics.neg_reconstruction_error(model, X) == pytest.approx(
        -metrics.reconstruction_error(X, back)
    )
    assert 0 < metrics.lowest_utilization(model, X) <= 1


def test_a_pipeline_whose_start_has_no_inverse_is_judged_on_the_rest(X):
    # As texts don't come back from their vectors, errors are those of the vectors. PCA behind the
    # embedding can be inverted, so that it is part of what is judged.
    class Embed(FunctionTransformer):
        inverse_transform = property()

    model = make_pipeline(Embed(np.tanh), PCA(3), TwoMeans()).fit(X)
    assert not hasattr(model, "inverse_transform")
    vectors = np.tanh(X)
    back = model[1:].inverse_transform(model[1:].transform(vectors))
    assert metrics.neg_reconstruction_error(model, X) == pytest.approx(
        -metrics.reconstruction_error(vectors, back)
    )


def test_utilization_without_codebooks_says_what_to_do_instead(X):
    class NoCodebooks(TwoMeans):
        def transform(self, X):
            return np.zeros((len(X), 1), dtype=int)

    with pytest.raises(ValueError, match=r"NoCodebooks has no codebooks_.*codebook_size"):
        metrics.lowest_utilization(NoCodebooks(), X)


def test_scorers_survive_pickling():
    scorers = metrics.get_scorers()
    assert pickle.loads(pickle.dumps(scorers)) == scorers


def test_the_table_of_scorers_cannot_be_spoiled():
    metrics.get_scorers().clear()
    assert metrics.get_scorers()
