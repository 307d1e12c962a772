"""The comparison: same bits, same training rows, same held-out rows, and none seen before."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, metrics
from sklearn_rqvae.report._comparison import Comparison, compare, split_rows


def rows_of(array):
    return {row.tobytes() for row in array}


@pytest.mark.parametrize("seed", range(3))
def test_no_held_out_row_equals_a_training_row(X, seed):
    train, held_out, refit = split_rows(X, None, 10**6, seed)
    assert refit
    assert not rows_of(train) & rows_of(held_out)
    assert rows_of(train) | rows_of(held_out) == rows_of(X)
    assert len(held_out) == round(0.2 * 390)


def test_given_training_rows_leave_the_others_of_x(X):
    train, held_out, refit = split_rows(X, X[:300], 10**6, 0)
    assert not refit
    np.testing.assert_array_equal(train, X[:300])
    assert rows_of(held_out) == rows_of(X) - rows_of(X[:300])
    assert len(held_out) == 90  # each once: ten of the others are duplicates of training rows


def test_training_rows_that_leave_nothing_are_as_good_as_none(X):
    assert split_rows(X, X, 10**6, 0)[2]


def test_at_most_max_rows_are_used(X):
    train, held_out, _ = split_rows(X, None, 100, 0)
    assert len(train) + len(held_out) == 100


def test_too_few_rows_are_said_so():
    assert split_rows(np.eye(9), None, 100, 0) == "9 distinct rows are too few to hold some out"


def test_numbers_are_those_of_the_metrics(X, quantizer):
    train, held_out = X[:300], X[300:390]
    fitted = ResidualKMeans(n_layers=3, codebook_size=4, random_state=0).fit(train)
    result = compare(fitted, [4, 4, 4], train, held_out, False, 10, 0)
    mine = result.contenders[0]
    codes = fitted.transform(held_out)
    decoded = fitted.inverse_transform(codes)
    fvu = metrics.fraction_variance_unexplained(held_out, decoded)
    assert mine.unexplained == pytest.approx(fvu, rel=1e-5)
    assert mine.training_unexplained == pytest.approx(
        metrics.fraction_variance_unexplained(
            train, fitted.inverse_transform(fitted.transform(train))
        ),
        rel=1e-5,
    )
    assert mine.neighbor_recall == metrics.neighbor_recall(held_out, decoded, random_state=0)
    assert mine.difference == mine.difference_error == 0
    for rival in result.contenders[1:]:
        assert rival.difference == pytest.approx(rival.unexplained - mine.unexplained)
        assert len(rival.curve) == 3
        assert rival.difference_error > 0
    assert mine.n_numbers == 3 * 4 * 8 + 8


def test_residual_kmeans_meets_the_network_and_not_itself(X, quantizer):
    result = compare(quantizer, [4, 4, 4], X[:300], X[300:390], True, 10, 0)
    names = [one.name for one in result.contenders]
    assert names[:3] == ["ResidualKMeans", "RQVAETransformer", "PCA + k-means"]
    assert result.contenders[0].fit_seconds > 0


def test_refit_leaves_the_estimator_as_it_is(X, quantizer):
    before = [codebook.copy() for codebook in quantizer.codebooks_]
    compare(quantizer, [4, 4, 4], X[:200], X[300:390], True, 10, 0)
    for codebook, old in zip(quantizer.codebooks_, before, strict=True):
        np.testing.assert_array_equal(codebook, old)


def test_rivals_get_the_preprocessing_of_the_pipeline(X):
    # A feature of no interest that is a thousand times larger: scaling decides.
    rows = X.copy()
    rows[:, 0] *= 1000
    network = RQVAETransformer(n_layers=3, codebook_size=4, random_state=0)
    pipeline = make_pipeline(StandardScaler(), network).fit(rows)
    result = compare(pipeline, [4, 4, 4], rows[:300], rows[300:390], True, 10, 0)
    scaled = StandardScaler().fit(rows[:300])
    bare = ResidualKMeans(
        n_layers=3, codebook_size=[4, 4, 4], n_beams=network.n_beams, random_state=0
    ).fit(scaled.transform(rows[:300]))
    decoded = scaled.inverse_transform(
        bare.inverse_transform(bare.transform(scaled.transform(rows[300:390])))
    )
    rival = result.contenders[1]
    assert rival.name == "ResidualKMeans"
    expected = metrics.fraction_variance_unexplained(rows[300:390], decoded)
    assert rival.unexplained == pytest.approx(expected, rel=1e-3)


def test_faiss_is_skipped_with_a_reason(X, quantizer):
    pytest.importorskip("faiss")
    odd = ResidualKMeans(n_layers=2, codebook_size=[4, 3], random_state=0).fit(X)
    result = compare(odd, [4, 3], X[:300], X[300:390], True, 10, 0)
    assert "powers of two" in result.skipped["faiss ResidualQuantizer"]


@pytest.mark.parametrize(
    ("unexplained", "difference", "error", "outcome"),
    [
        (0.50, 0.10, 0.01, "better"),
        (0.50, -0.10, 0.01, "worse"),
        (0.50, 0.10, 0.06, "equal"),  # within two standard errors
        (0.50, 0.009, 0.001, "equal"),  # certain, and less than 2 % of the error
        (0.50, 0.011, 0.001, "better"),
        (0.0, 0.0, 0.0, "equal"),
    ],
)
def test_outcome_needs_size_and_certainty(contender, unexplained, difference, error, outcome):
    mine = contender("mine", unexplained - difference)
    rivals = [contender("bad", 0.9), contender("good", unexplained, difference, error)]
    result = Comparison([mine, *rivals], 100, 20, True)
    assert result.best_rival.name == "good"
    assert result.outcome == outcome
