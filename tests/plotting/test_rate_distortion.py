"""RateDistortionDisplay."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.metrics import fraction_variance_unexplained
from sklearn_rqvae.plotting import RateDistortionDisplay


def test_a_fit_has_a_point_for_each_level(quantizer, X):
    display = RateDistortionDisplay.from_estimator(quantizer, X)
    np.testing.assert_allclose(display.bits[0], [np.log2(3), np.log2(3) + 1])
    codes = quantizer.transform(X)
    expected = [
        fraction_variance_unexplained(X, quantizer.inverse_transform(codes[:, :length]))
        for length in (1, 2)
    ]
    np.testing.assert_allclose(display.distortion[0], expected)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), expected)
    assert display.names == ["Quantizer"]


def test_fits_are_told_apart_by_color_line_and_marker(quantizer, X):
    display = RateDistortionDisplay.from_estimators({"a": quantizer, "b": quantizer}, X)
    a, b = display.lines_
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()
    assert a.get_marker() != b.get_marker()


def results(params, score="neg_fraction_variance_unexplained"):
    """Return what a search leaves behind."""
    scores = -np.linspace(0.8, 0.2, len(params))
    return {
        "params": params,
        f"mean_test_{score}": scores,
        f"std_test_{score}": np.full(len(params), 0.01),
    }


def test_candidates_become_curves_over_the_number_of_levels():
    params = [
        {"rq__codebook_size": size, "rq__n_layers": n} for size in (16, 256) for n in (3, 2, 1)
    ]
    display = RateDistortionDisplay.from_cv_results(results(params))
    assert display.names == ["codebook_size=16", "codebook_size=256"]
    np.testing.assert_allclose(display.bits, [[4, 8, 12], [8, 16, 24]])
    np.testing.assert_allclose(display.distortion[0], [0.56, 0.68, 0.8])  # in the order of bits
    assert len(display.error_bars_) == 2
    assert display.ax_.get_ylabel() == "fraction of variance unexplained"


def test_what_the_search_did_not_vary_is_given():
    params = [{"codebook_mode": "ste", "n_layers": n} for n in (1, 2)]
    display = RateDistortionDisplay.from_cv_results(
        results(params, "score"), scoring="score", codebook_size=16
    )
    assert display.names == ["codebook_mode=ste"]
    np.testing.assert_allclose(display.bits, [[4, 8]])
    sizes = [{"codebook_size": [16, 4]}, {"codebook_size": [16, 4, 2]}]
    display = RateDistortionDisplay.from_cv_results(results(sizes))
    assert sorted(bits[0] for bits in display.bits) == [6, 7]


def test_a_search_knows_what_it_did_not_vary():
    pipeline = make_pipeline(StandardScaler(), ResidualKMeans(codebook_size=4, n_layers=3))
    search = GridSearchCV(pipeline, {"residualkmeans__n_layers": [1, 2]})
    search.cv_results_ = results([{"residualkmeans__n_layers": n} for n in (1, 2)])
    display = RateDistortionDisplay.from_cv_results(search)
    np.testing.assert_allclose(display.bits, [[2, 4]])
    display = RateDistortionDisplay.from_cv_results(search, codebook_size=16)
    np.testing.assert_allclose(display.bits, [[4, 8]])


def test_unknown_bits_and_unknown_scores_are_refused():
    params = [{"n_layers": 1}]
    with pytest.raises(ValueError, match=r"bits of the candidate.*unknown.*codebook_size=None"):
        RateDistortionDisplay.from_cv_results(results(params))
    with pytest.raises(ValueError, match=r"no score 'r2'.*\['score'\]"):
        RateDistortionDisplay.from_cv_results(results(params, "score"), scoring="r2")
