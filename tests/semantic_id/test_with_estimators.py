"""The index on top of the package's own estimators: what both promise each other."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.embedding import TextEmbedder
from sklearn_rqvae.semantic_id import SemanticIDIndex, candidate_codes, fit_shift


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


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    words = np.array(
        ["red", "blue", "green", "tea", "cup", "pot", "pen", "mug", "jar", "lamp", "desk", "chair"]
    )
    return [" ".join(row) for row in words[rng.integers(0, 10, size=(300, 4))]]


def pipelines(texts):
    """Return a pipeline on vectors and one on texts, and a search over each."""
    X = np.random.default_rng(0).normal(size=(300, 6)) * [1, 1, 1, 9, 9, 9]
    quantizer = ResidualKMeans(2, 8, random_state=0)
    for rows, first in ((X, StandardScaler()), (texts, TextEmbedder(n_components=6))):
        pipeline = make_pipeline(first, quantizer)
        yield pipeline.fit(rows), rows
        name = {"residualkmeans__codebook_size": [8, 16]}
        yield GridSearchCV(pipeline, name, cv=2).fit(rows), rows


@pytest.mark.parametrize("which", range(4))
def test_pipelines_and_searches_name_items_as_the_quantizer_at_their_end(texts, which):
    estimator, rows = list(pipelines(texts))[which]
    pipeline = getattr(estimator, "best_estimator_", estimator)
    quantizer, vectors = pipeline[-1], pipeline[:-1].transform(rows)
    codes, errors = candidate_codes(estimator, rows, 4)
    expected = quantizer.candidate_codes(vectors, 4)
    assert np.array_equal(codes, expected[0])
    assert np.array_equal(errors, expected[1])
    for collisions in ("suffix", "reassign"):
        if collisions == "reassign" and len(rows) > 8**2:
            rows, vectors = rows[:50], vectors[:50]
        through = SemanticIDIndex.from_estimator(estimator, rows, collisions=collisions)
        alone = SemanticIDIndex.from_estimator(quantizer, vectors, collisions=collisions)
        assert np.array_equal(through.ids_, alone.ids_)
        assert through.codebooks_ is not None
        assert through.level_sizes_ == alone.level_sizes_
        new = through.append_from_estimator(estimator, rows[:3], [900, 901, 902], grow=True)
        expected = alone.append_from_estimator(quantizer, vectors[:3], [900, 901, 902], grow=True)
        assert np.array_equal(new, expected)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("collisions", ["suffix", "reassign"])
def test_plans_are_made_for_pipelines_and_searches_as_for_the_quantizer(texts, which, collisions):
    estimator, rows = list(pipelines(texts))[which]
    rows = rows[:50]
    pipeline = getattr(estimator, "best_estimator_", estimator)
    quantizer, vectors = pipeline[-1], pipeline[:-1].transform(rows)
    old = clone(quantizer).set_params(random_state=1).fit(vectors)
    index = SemanticIDIndex.from_estimator(old, vectors[:40], collisions=collisions)
    through = index.plan_refit(estimator, rows, stability=0.5, release=True)
    alone = index.plan_refit(quantizer, vectors, stability=0.5, release=True)
    assert through.after.fingerprint == alone.after.fingerprint
    assert through.after.model_fingerprint == quantizer.fingerprint


@pytest.mark.parametrize("which", [2, 3])
def test_the_shift_of_texts_is_that_of_their_vectors(texts, which):
    estimator, rows = list(pipelines(texts))[which]
    pipeline = getattr(estimator, "best_estimator_", estimator)
    vectors = pipeline[:-1].transform(rows)
    expected = fit_shift(pipeline[-1], vectors[:200], vectors[200:])
    assert fit_shift(estimator, rows[:200], rows[200:]) == expected


def test_what_has_no_candidates_is_named():
    with pytest.raises(TypeError, match="ends with StandardScaler, which has no candidate_codes"):
        candidate_codes(make_pipeline(StandardScaler()).fit([[1.0]]), [[1.0]])


def test_repeated_vectors_are_counted_whatever_else_a_table_says_of_the_items():
    # Columns that no step reads, such as ids, make no two items different.
    titles = ["red lamp", "red lamp", "tea pot", "tea cup", "Tea cup"]
    items = pd.DataFrame({"sku": list("abcde"), "title": titles})
    embedder = TextEmbedder(n_components=2, text_columns=["title"], random_state=0)
    quantizer = ResidualKMeans(n_layers=2, codebook_size=2, random_state=0)
    pipeline = make_pipeline(embedder, quantizer).fit(items)
    index = SemanticIDIndex.from_estimator(pipeline, items[:4], items["sku"][:4])
    assert index.report_.n_duplicates == 1
    index.append_from_estimator(pipeline, items[3:].assign(sku="x"), ["e", "f"], grow=True)
    assert index.report_.n_duplicates == 1  # n-grams don't tell cases apart
