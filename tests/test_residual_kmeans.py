"""ResidualKMeans keeps scikit-learn's contract and quantizes as well as it should."""

import pickle
from collections import Counter

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklearn_rqvae import ResidualKMeans, RQVAETransformer

COMMON_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.parametrize("params", [{}, {"n_layers": 2, "codebook_size": [4, 3], "n_beams": 1}])
def test_all_estimator_checks_pass_and_none_is_skipped(params):
    results = check_estimator(ResidualKMeans(**params), on_fail=None)
    assert Counter(result["status"] for result in results) == {"passed": len(results)}


@pytest.mark.parametrize("check", COMMON_CHECKS)
def test_common_checks_that_check_estimator_leaves_out_pass(check):
    getattr(estimator_checks, check)("ResidualKMeans", ResidualKMeans())


def clustered_rows(n=300, n_features=6, seed=0):
    draws = np.random.RandomState(seed)
    centers = 4.0 * draws.randn(12, n_features)
    return (centers[draws.randint(12, size=n)] + draws.randn(n, n_features)).astype(np.float32)


def small_model(**params):
    return ResidualKMeans(**{"n_layers": 3, "codebook_size": 8, "random_state": 0, **params})


def test_two_levels_worked_by_hand():
    # Two pairs far apart: the first code tells the pairs apart, the second the rows of a pair.
    X = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])
    model = ResidualKMeans(n_layers=2, codebook_size=2, random_state=0).fit(X)
    codes = model.transform(X)
    assert codes.dtype == np.int64
    assert len(np.unique(codes, axis=0)) == 4
    assert codes[0, 0] == codes[1, 0] != codes[2, 0] == codes[3, 0]
    np.testing.assert_allclose(model.mean_, [4.0, 0.5])
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=0.05)
    np.testing.assert_allclose(model.inverse_transform(codes[:, :1])[:, 0], X[:, 0], atol=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_one_level_is_kmeans(seed):
    # Codes are those of KMeans.predict, and the best of ten fits is near its best of ten fits.
    X = clustered_rows(seed=seed)
    model = small_model(n_layers=1, random_state=seed).fit(X)
    centers = model.codebooks_[0] + model.mean_
    oracle = KMeans(8, init=centers, n_init=1, max_iter=1).fit(X)
    oracle.cluster_centers_ = centers
    assert np.array_equal(model.transform(X)[:, 0], oracle.predict(X))
    fits = (small_model(n_layers=1, random_state=start).fit(X) for start in range(10))
    ours = min(-fit.score(X) for fit in fits) * X.size
    theirs = KMeans(8, n_init=10, random_state=seed).fit(X).inertia_
    assert ours < 1.02 * theirs


def test_more_levels_codewords_and_beams_score_higher():
    X = clustered_rows(600)
    small = small_model().fit(X).score(X)
    assert small_model(n_layers=4).fit(X).score(X) > small
    assert small_model(codebook_size=16).fit(X).score(X) > small
    assert small > small_model(n_beams=1).fit(X).score(X)


def test_a_pickle_is_as_small_as_its_codebooks():
    model = small_model().fit(clustered_rows())
    n_bytes = sum(codebook.nbytes for codebook in model.codebooks_)
    assert len(pickle.dumps(model)) < n_bytes + 4000


class RefinedFaiss:
    """Residual quantizer of faiss with five beams, refined by least squares, on centered rows."""

    def __init__(self, X):
        faiss = pytest.importorskip("faiss")
        self.mean = X.mean(axis=0)
        self.quantizer = faiss.ResidualQuantizer(X.shape[1], 3, 8)
        self.quantizer.max_beam_size = 5
        self.quantizer.train_type = (
            faiss.ResidualQuantizer.Train_progressive_dim
            | faiss.ResidualQuantizer.Train_refine_codebook
        )
        self.quantizer.train(X - self.mean)
        self.n_floats = self.quantizer.codebooks.size()

    def transform(self, X):
        return self.quantizer.compute_codes(X - self.mean)

    def inverse_transform(self, codes):
        return self.quantizer.decode(codes) + self.mean


def every_tenth_held_out(X):
    held_out = np.arange(len(X)) % 10 == 0
    return X[~held_out], X[held_out]


def unexplained(model, X):
    """Return the share of the variance of rows that their codes don't explain."""
    reconstruction = model.inverse_transform(model.transform(X))
    return ((X - reconstruction) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()


def collision_rate(model, X):
    return 1 - len(np.unique(model.transform(X), axis=0)) / len(X)


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["beauty", "scientific"])
def test_real_vectors_are_quantized_better_than_by_faiss(load_catalog, catalog):
    train, test = every_tenth_held_out(load_catalog(catalog))
    rival, model = RefinedFaiss(train), ResidualKMeans(random_state=0).fit(train)
    assert unexplained(model, test) < unexplained(rival, test)
    assert collision_rate(model, train) <= collision_rate(rival, train)


@pytest.mark.slow
def test_the_default_autoencoder_beats_faiss_by_eight_percent_on_new_rows(load_catalog):
    train, test = every_tenth_held_out(load_catalog("scientific"))
    rival, model = RefinedFaiss(train), RQVAETransformer(random_state=0).fit(train)
    assert unexplained(model, test) <= 0.92 * unexplained(rival, test)
    assert unexplained(model, train) <= 0.75 * unexplained(rival, train)
    assert collision_rate(model, train) <= collision_rate(rival, train)
    assert collision_rate(model, test) <= collision_rate(rival, test)
    n_floats = sum(array.nbytes for array in model.state_.values()) / 4
    assert n_floats <= 6 * rival.n_floats
