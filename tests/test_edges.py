"""Numbers at the edge: what has no meaning is refused everywhere, what is only large is not."""

from datetime import date, time

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae import metrics as m

X = np.random.default_rng(0).normal(size=(60, 4))
SMALL = {"n_layers": 2, "codebook_size": 4, "random_state": 0}
ESTIMATORS = pytest.mark.parametrize(
    "estimator", [RQVAETransformer(**SMALL), ResidualKMeans(**SMALL)]
)
CODES = ResidualKMeans(**SMALL).fit(X).transform(X)


def masked(array):
    return np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) == 1)


NO_NUMBERS = {
    "masked": masked(X),
    "dates": (1e9 * X).astype("datetime64[ns]"),
    "durations": (1e9 * X).astype("timedelta64[ns]"),
    "complex": X + 1j,
    "dates of another byte order": (1e9 * X).astype(">M8[ns]"),
    "complex of another byte order": (X + 1j).astype(">c16"),
    "frame of dates": pd.DataFrame((1e9 * X).astype("datetime64[ns]")),
    "frame with dates": pd.DataFrame({"a": X[:, 0], "b": pd.Timestamp(0), "c": 0, "d": 1}),
    "frame with periods": pd.DataFrame({"a": X[:, 0], "b": pd.Period("2020"), "c": 0, "d": 1}),
    "polars frame with dates": pl.DataFrame(X).with_columns(column_0=date(2020, 1, 1)),
    "polars frame with times": pl.DataFrame(X).with_columns(column_0=time(2)),
    "polars frame to come": pl.DataFrame(X).lazy(),
    "Arrow table with dates": pl.DataFrame(X).with_columns(column_0=date(2020, 1, 1)).to_arrow(),
    "dates as objects": np.array([[date(2020, 1, 1), 0, 1, 2]] * 60, dtype=object),
    "records": np.rec.fromarrays(X.T),
}
NO_CODES = {
    "masked": masked(CODES),
    "complex": CODES + 0j,
    "complex of another byte order": (CODES + 0j).astype(">c16"),
    "dates": CODES.astype("datetime64[s]"),
    "huge": np.full((60, 2), 1e300),
}


@ESTIMATORS
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_number_is_refused(estimator, name):
    rows, fitted = NO_NUMBERS[name], estimator.fit(X)
    for call in (fitted.fit, fitted.partial_fit, fitted.transform, fitted.score):
        with pytest.raises((ValueError, TypeError)):
            call(rows)
    with pytest.raises((ValueError, TypeError)):
        fitted.candidate_codes(rows)
    for metric in (m.reconstruction_error, m.neighbor_recall, m.fraction_variance_unexplained):
        with pytest.raises((ValueError, TypeError)):
            metric(rows, X)
    with pytest.raises((ValueError, TypeError)):
        m.prefix_neighbor_recall(rows, CODES)


@ESTIMATORS
@pytest.mark.parametrize("factor", [1e-44, 1e-170, 1e-310])
def test_rows_that_only_float64_tells_apart_are_refused(estimator, factor):
    # They would be one row, with a score of zero.
    with pytest.raises(ValueError, match=r"less than float32 holds; multiply X"):
        estimator.fit(X * factor)


@pytest.mark.parametrize("name", NO_CODES)
def test_what_is_no_code_is_refused(name):
    codes, fitted = NO_CODES[name], ResidualKMeans(**SMALL).fit(X)
    for call in (
        fitted.inverse_transform,
        SemanticIDIndex().fit,
        SemanticIDIndex().fit(CODES).append,
        m.collision_rate,
        lambda codes: m.code_perplexity(codes, 4),
        lambda codes: m.prefix_purity(codes, np.zeros(60)),
    ):
        with pytest.raises((ValueError, TypeError)):
            call(codes)


def test_a_mask_of_nothing_changes_nothing():
    rows = np.ma.masked_array(X)
    fitted = ResidualKMeans(**SMALL).fit(rows)
    np.testing.assert_array_equal(fitted.transform(rows), ResidualKMeans(**SMALL).fit_transform(X))


def test_masked_labels_are_refused():
    with pytest.raises(ValueError, match="masked"):
        m.prefix_purity(CODES, masked(np.zeros(60)))


@ESTIMATORS
@pytest.mark.parametrize("size", [1e19, 1e30, 1e38])
def test_scores_of_huge_rows_are_finite(estimator, size):
    fitted = estimator.fit(X)
    rows = (size / 8 * X).astype(np.float32)
    expected = -np.square(rows - fitted.inverse_transform(fitted.transform(rows)).astype(float))
    assert fitted.score(rows) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3e38, 1e-30])
def test_neighbors_are_the_same_in_all_units(dtype, size):
    rows = (X * (size / np.abs(X).max())).astype(dtype)
    assert m.prefix_neighbor_recall(rows, CODES) == pytest.approx(
        m.prefix_neighbor_recall(X, CODES)
    )
    assert m.neighbor_recall(rows, rows) == 1.0


def test_random_states_are_checked_where_nothing_is_drawn():
    with pytest.raises(ValueError, match="seed"):
        m.neighbor_recall(X, X, random_state="x")
    with pytest.raises(ValueError, match="seed"):
        m.prefix_neighbor_recall(X, CODES, random_state="x")


@pytest.mark.parametrize("name", m.get_scorers())
def test_scorers_want_an_estimator(name):
    with pytest.raises((TypeError, ValueError), match=r"transform|codebooks_"):
        m.get_scorers()[name](None, X)


def test_more_codewords_than_rows_are_named_once():
    with pytest.warns(UserWarning, match="exceeds the 60 distinct rows at levels 0, 2") as caught:
        ResidualKMeans(3, [64, 4, 128]).fit(X)
    assert len(caught) == 1
