"""What evaluations take from pipelines and searches."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex, metrics
from sklearn_rqvae._fitted import codebook_sizes, invertible_tail, last_step, model_of
from sklearn_rqvae.embedding import ViewFusion
from sklearn_rqvae.report import report


@pytest.fixture
def views():
    """Two views of 80 items, the second of which some items lack."""
    X = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    X[::7, 3:] = np.nan
    return X


def quantizer():
    return ResidualKMeans(n_layers=2, codebook_size=4, random_state=0)


def test_where_views_are_missing_the_tail_begins_behind_the_step_that_fills_them_in(views):
    # A vector with missing numbers has no reconstruction error.
    pipeline = make_pipeline(ViewFusion([3, 2]), quantizer()).fit(views)
    tail, rows = invertible_tail(pipeline, views)
    assert [name for name, _ in tail.steps] == ["residualkmeans"]
    np.testing.assert_array_equal(rows, pipeline[0].transform(views))
    whole = views[~np.isnan(views).any(axis=1)]
    assert len(invertible_tail(pipeline, whole)[0].steps) == 2


def test_columns_that_no_step_reads_are_not_looked_at(views):
    table = pd.DataFrame({"x": views[:, 0], "added": pd.to_datetime(["2024-01-01"] * 80)})
    columns = ColumnTransformer([("x", "passthrough", ["x"])])
    pipeline = make_pipeline(columns, quantizer()).fit(table)
    assert report(pipeline, table, compare_rivals=False).overall.n_features == 1


def test_rows_of_two_kinds_are_taken_to_the_same_tail(views):
    pipeline = make_pipeline(ViewFusion([3, 2]), quantizer()).fit(views)
    whole = views[~np.isnan(views).any(axis=1)]
    tail, first, second = invertible_tail(pipeline, whole, views)
    assert len(tail.steps) == 1
    assert (first.shape, second.shape) == (whole.shape, views.shape)


def test_catalogs_with_missing_views_are_reported_and_scored(views):
    pipeline = make_pipeline(ViewFusion([3, 2]), quantizer()).fit(views)
    fused = pipeline[0].transform(views)
    judged = report(pipeline, views, histories=[[0, 1, 2], [2, 3]], compare_rivals=False)
    alone = report(pipeline[-1], fused, compare_rivals=False)
    assert judged.levels[-1].unexplained == alone.levels[-1].unexplained
    assert judged.behavior.n_users == 2
    scored = metrics.neg_fraction_variance_unexplained(pipeline, views)
    assert scored == metrics.neg_fraction_variance_unexplained(pipeline[-1], fused)


def test_rows_that_a_model_has_learned_from_may_lack_views_too(views):
    pipeline = make_pipeline(ViewFusion([3, 2]), quantizer()).fit(views)
    new = np.random.default_rng(1).normal(size=(60, 5))
    assert report(pipeline, new, X_train=views).comparison.n_held_out == 60


def nested(X):
    """Return a pipeline that ends with a search, whose best estimator is a pipeline."""
    inner = Pipeline([("scale", StandardScaler()), ("ids", quantizer())])
    search = GridSearchCV(inner, {"ids__n_beams": [1, 2]}, cv=2)
    return make_pipeline(StandardScaler(), search).fit(X)


def test_a_quantizer_is_found_however_deep_it_stands(views):
    X = np.nan_to_num(views)
    pipeline = nested(X)
    found = last_step(pipeline, X)[0]
    assert isinstance(found, ResidualKMeans)
    assert codebook_sizes(pipeline) == [4, 4]
    assert model_of(pipeline) == found.fingerprint


def test_catalogs_know_the_model_however_deep_it_stands(views):
    X = np.nan_to_num(views)
    index = SemanticIDIndex.from_estimator(nested(X), X, collisions="none")
    other = quantizer().set_params(random_state=1).fit(X)
    with pytest.raises(ValueError, match="the index has codes of the model"):
        index.append_from_estimator(other, X[:1], [100])
