"""The index on top of the package's own estimators: what both promise each other."""

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.semantic_id import SemanticIDIndex, fit_shift


@pytest.fixture(scope="module", params=["rqvae", "kmeans"])
def fitted(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8)).astype(np.float32)
    X[10] = X[3]
    if request.param == "rqvae":
        estimator = RQVAETransformer(
            hidden_dims=[16], embed_dim=8, codebook_size=16, max_epochs=2, random_state=0
        )
    else:
        estimator = ResidualKMeans(codebook_size=16, n_layers=3, random_state=0)
    return estimator.fit(X), X


def test_suffix_keeps_the_codes_of_transform(fitted):
    estimator, X = fitted
    index = SemanticIDIndex.from_estimator(estimator, X)
    np.testing.assert_array_equal(index.codes_, estimator.transform(X))
    assert index.level_sizes_[:3] == (16, 16, 16)
    assert index.report_.n_duplicates == 1


def test_reassign_is_unique_and_independent_of_row_order(fitted):
    estimator, X = fitted
    index = SemanticIDIndex.from_estimator(estimator, X, collisions="reassign")
    assert len(np.unique(index.ids_, axis=0)) == len(X)
    order = np.random.default_rng(1).permutation(len(X))
    other = SemanticIDIndex.from_estimator(estimator, X[order], order, collisions="reassign")
    np.testing.assert_array_equal(other.ids_of(np.arange(len(X))), index.ids_)


def test_reported_error_is_that_of_the_decoded_ids(fitted):
    estimator, X = fitted
    index = SemanticIDIndex.from_estimator(estimator, X, collisions="reassign")
    for codes, error in (
        (estimator.transform(X), index.report_.error_before),
        (index.ids_, index.report_.error_after),
    ):
        squared = (X.astype(float) - estimator.inverse_transform(codes)) ** 2
        np.testing.assert_allclose(squared.sum(), error, rtol=1e-4)


def test_drift_of_a_refit_and_shift_of_new_items(fitted):
    estimator, X = fitted
    index = SemanticIDIndex.from_estimator(estimator, X)
    assert index.drift(index).codeword_shift == [0.0, 0.0, 0.0]
    assert fit_shift(estimator, X, X).ratio_by_depth == [1.0, 1.0, 1.0]
    assert fit_shift(estimator, X, X + 2).beyond_95 > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["beauty", "scientific"])
def test_the_default_model_reaches_unique_ids_for_at_most_two_percent_of_its_error(
    load_catalog, catalog
):
    X = load_catalog(catalog)
    index = SemanticIDIndex.from_estimator(
        RQVAETransformer(random_state=0).fit(X), X, collisions="reassign"
    )
    assert len(np.unique(index.ids_, axis=0)) == len(X)
    assert 0.0 < index.report_.added_error <= 0.02
