"""ViewFusion gives each view its weight, and fills in what an item lacks from its siblings."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.embedding import ViewFusion


def make_views(n_items=200, seed=0, n_missing=0):
    """Two views of two hidden directions, in very different units, and the second one missing."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n_items, 2))
    first = hidden @ rng.normal(size=(2, 5)) * 100 + 7
    second = hidden @ rng.normal(size=(2, 3)) * 0.01 - 3
    X = np.hstack([first, second + 0.001 * rng.normal(size=second.shape)])
    X[:n_missing, 5:] = np.nan
    return X


class AnyWidth(ViewFusion):
    """Fuse whatever comes as one view, so that checks with any number of columns apply."""

    def __init__(self, views=(-1,), *, weights=None, fill="neighbors"):
        super().__init__(views, weights=weights, fill=fill)


PARTLY_MISSING = "sets one value to NaN, but a view is there or missing as a whole"


@parametrize_with_checks(
    [AnyWidth()],
    expected_failed_checks=lambda _: {"check_estimators_pickle": PARTLY_MISSING},
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", [None, [1, 0.5], [2.0, 0.0]])
def test_variance_of_a_view_is_its_squared_weight(seed, weights):
    fused = ViewFusion([5, 3], weights=weights).fit_transform(make_views(seed=seed))
    total = fused.var(axis=0)
    expected = np.square([1, 1] if weights is None else weights)
    assert_allclose([total[:5].sum(), total[5:].sum()], expected, rtol=1e-4)
    assert_allclose(fused.mean(axis=0), 0, atol=1e-5)


def test_geometry_within_a_view_is_kept():
    X = make_views()
    fused = ViewFusion([5, 3]).fit_transform(X)
    ratio = np.linalg.norm(fused[1:, :5] - fused[:-1, :5], axis=1) / np.linalg.norm(
        X[1:, :5] - X[:-1, :5], axis=1
    )
    assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_units_of_a_view_do_not_matter():
    X = make_views(n_missing=20)
    expected = ViewFusion([5, 3]).fit_transform(X)
    X[:, 5:] = X[:, 5:] * 1000 + 5
    assert_allclose(ViewFusion([5, 3]).fit_transform(X), expected, atol=1e-3)


def test_by_hand():
    # One column each: means 2 and 10, variances 4 and 100.
    X = [[0, 0], [4, 20]]
    assert_allclose(ViewFusion([1, 1], weights=[1, 3]).fit_transform(X), [[-1, -3], [1, 3]])


@pytest.mark.parametrize("seed", range(3))
def test_missing_view_is_filled_by_ridge_regression(seed):
    X = make_views(n_missing=20, seed=seed)
    fusion = ViewFusion([5, 3], weights=[1, 2], fill="ridge").fit(X)
    fused = fusion.transform(X)
    alpha = fusion.filler_.regressions[(True, False)].alpha_
    slow = Ridge(alpha=alpha).fit(fused[20:, :5], fused[20:, 5:] / 2).predict(fused[:20, :5]) * 2
    assert_allclose(fused[:20, 5:], slow, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_missing_view_is_filled_from_the_nearest_items(seed):
    X = make_views(n_missing=20, seed=seed)
    fused = ViewFusion([5, 3], weights=[1, 2]).fit_transform(X)
    for row in range(20):
        cosine = fused[20:, :5] @ fused[row, :5] / np.linalg.norm(fused[20:, :5], axis=1)
        nearest = fused[20:, 5:][np.argsort(-cosine)[:5]]
        direction = nearest.sum(axis=0) / np.linalg.norm(nearest.sum(axis=0))
        length = np.linalg.norm(nearest, axis=1).mean()
        assert_allclose(fused[row, 5:], direction * length, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_ridge_returns_the_view_that_was_hidden_where_it_is_linear(seed):
    whole = make_views(seed=seed)
    X = make_views(seed=seed, n_missing=20)
    fusion = ViewFusion([5, 3], fill="ridge").fit(X)
    error = np.square(fusion.transform(X)[:20] - fusion.transform(whole)[:20]).sum(axis=1)
    assert error.mean() < 0.05  # of a total variance of 1


@pytest.mark.parametrize("fill", ["neighbors", "ridge"])
def test_cold_item_is_near_its_siblings(fill):
    # Text says which of two groups an item is of, and so does behavior, in other directions.
    rng = np.random.default_rng(0)
    group = np.arange(100) % 2
    text = np.eye(2)[group] @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(100, 6))
    behavior = np.eye(2)[group] @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(100, 4))
    X = np.hstack([text, behavior])
    X[:10, 6:] = np.nan
    fused = ViewFusion([6, 4], fill=fill).fit_transform(X)
    distance = np.linalg.norm(fused[:10, None] - fused[None, 10:], axis=2)
    assert_array_equal(group[10:][distance.argmin(axis=1)], group[:10])
    codes = ResidualKMeans(codebook_size=2, n_layers=1, random_state=0).fit_transform(fused)
    assert len(set(zip(codes[:, 0].tolist(), group.tolist(), strict=True))) == 2


@pytest.mark.parametrize("fill", ["neighbors", "ridge"])
def test_each_of_three_views_can_be_missing(fill):
    X = np.hstack([make_views(), make_views()[:, :2] * 3])
    X[0, :5] = X[1, 5:8] = X[2, 8:] = X[3, :8] = X[4, 5:] = np.nan
    fusion = ViewFusion([5, 3, 2], fill=fill).fit(X)
    fused, whole = fusion.transform(X), fusion.transform(np.hstack([make_views()] * 2)[:, :10])
    assert np.isfinite(fused).all()
    assert_allclose(fused[5:, :8], whole[5:, :8], atol=1e-5)


@pytest.mark.parametrize("fill", ["neighbors", "ridge"])
def test_row_is_fused_alone(fill):
    X = make_views(n_missing=20)
    fusion = ViewFusion([5, 3], fill=fill).fit(X)
    one_by_one = np.vstack([fusion.transform(row[None]) for row in X])
    assert_allclose(fusion.transform(X), one_by_one, atol=1e-5)


def test_input_is_left_alone():
    X = make_views(n_missing=20).astype(np.float32)
    before = X.copy()
    ViewFusion([5, 3]).fit(X).transform(X)
    assert_array_equal(X, before)


# -- ways to name the views --


def make_frame():
    names = [f"text__{i}" for i in range(5)] + [f"behavior__{i}" for i in range(3)]
    return pd.DataFrame(make_views(n_missing=5), columns=names)


@pytest.mark.parametrize(
    "views",
    [
        [-1, 3],
        [5, -1],
        [slice(0, 5), slice(5, 8)],
        [[0, 1, 2, 3, 4], [5, 6, 7]],
        [slice("text__0", "text__4"), ["behavior__0", "behavior__1", "behavior__2"]],
        [make_column_selector("^text__"), make_column_selector("^behavior__")],
    ],
)
def test_selections_are_the_widths(views):
    frame = make_frame()
    expected = ViewFusion([5, 3]).fit_transform(frame)
    assert_array_equal(ViewFusion(views).fit_transform(frame), expected)


def test_selected_views_are_put_in_order():
    frame = make_frame()
    fusion = ViewFusion([["behavior__0", "behavior__1"], ["text__1"]]).fit(frame)
    assert [columns.tolist() for columns in fusion.view_columns_] == [[5, 6], [1]]
    assert fusion.transform(frame).shape == (200, 3)
    assert len(fusion.get_feature_names_out()) == 3


def test_inverse_transform_returns_the_units():
    X = make_views()
    fusion = ViewFusion([5, 3], weights=[1, 0.3]).fit(X)
    assert_allclose(fusion.inverse_transform(fusion.transform(X)), X, rtol=1e-4)
    part = ViewFusion([[6, 7], [0]], weights=[0, 1]).fit(X)
    back = part.inverse_transform(part.transform(X))
    assert_allclose(back[:, 0], X[:, 0], rtol=1e-4)
    assert_allclose(back[:, 6], X[:, 6].mean(), rtol=1e-4)  # of weight 0: only the mean is left
    assert np.isnan(back[:, [1, 2, 3, 4, 5]]).all()
    with pytest.raises(ValueError, match=r"X has shape .* but the views have 3 columns in all"):
        part.inverse_transform(X)


def test_clone_pickle_and_search():
    X = make_views(n_missing=20)
    fusion = ViewFusion([5, 3], weights=[1, 2]).fit(X)
    assert_array_equal(pickle.loads(pickle.dumps(fusion)).transform(X), fusion.transform(X))
    assert_array_equal(clone(fusion).fit_transform(X), fusion.transform(X))
    pipeline = make_pipeline(ViewFusion([5, 3]), ResidualKMeans(codebook_size=4, n_layers=2))
    grid = {"viewfusion__weights": [[1, 1], [1, 0.5]]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_views_that_single_precision_takes_for_one_row_are_refused():
    # They would come out as a constant, and their weight would be lost.
    X = np.random.default_rng(0).normal(size=(40, 3))
    far = X + [0, 1e8, 1e8]
    for rows in (far, pd.DataFrame(far), (far * 10).astype(np.int64), (far * 10).astype(np.int32)):
        with pytest.raises(ValueError, match=r"views\[1\] has values of up to .* StandardScaler"):
            ViewFusion([1, 2]).fit(rows)
    ViewFusion([1, 2]).fit(X + 100)
    ViewFusion([1, 2]).fit(far.astype(np.float32))  # nothing is lost that was there


def test_constant_view_is_zero():
    X = np.c_[np.arange(4.0), np.full(4, 3.0)]
    assert_allclose(ViewFusion([1, 1]).fit_transform(X)[:, 1], 0)


# -- errors --


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], "has no view"),
        ([5, 4], "should be widths of at least 1 that sum to the 8 columns"),
        ([8, -1], "should be widths"),
        ([-1, -1], "should be widths"),
        ([0, 8], "should be widths"),
        ([[0], []], r"views\[1\]=\[\] selects no column"),
    ],
)
def test_views_that_do_not_fit_are_refused(views, message):
    with pytest.raises(ValueError, match=message):
        ViewFusion(views).fit(make_views())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "should have one number for each of 2 views"),
        ([1, -1], "not negative"),
        ([0, 0], "not all zero"),
        ([1, np.nan], "finite"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        ViewFusion([5, 3], weights=weights).fit(make_views())


def test_views_missing_in_part_or_all_are_refused():
    X = make_views()
    X[4, 6] = np.nan
    with pytest.raises(ValueError, match=r"views\[1\] has 1 NaN among its 3 columns in row 4"):
        ViewFusion([5, 3]).fit(X)
    X[4] = np.nan
    with pytest.raises(ValueError, match="1 items have no view at all, the first in row 4; drop"):
        ViewFusion([5, 3]).fit(X)


def test_nothing_to_learn_from_is_refused():
    X = make_views(n_missing=200)
    with pytest.raises(ValueError, match=r"views\[1\] is missing in all 200 items"):
        ViewFusion([5, 3]).fit(X)
    X = make_views(n_missing=100)
    X[100:, :5] = np.nan
    with pytest.raises(ValueError, match="None of 200 items has all 2 views"):
        ViewFusion([5, 3]).fit(X)
