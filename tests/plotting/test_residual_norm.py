"""ResidualNormDisplay."""

import numpy as np
import pytest

from sklearn_rqvae.plotting import ResidualNormDisplay


def test_norms_start_at_the_distance_from_the_mean(quantizer, X):
    display = ResidualNormDisplay.from_estimator(quantizer, X)
    np.testing.assert_allclose(display.norms[:, 0], np.abs(X - X.mean())[:, 0])
    codes = quantizer.transform(X)
    np.testing.assert_allclose(
        display.norms[:, 2], np.abs(X - quantizer.inverse_transform(codes))[:, 0]
    )
    np.testing.assert_allclose(display.line_.get_ydata(), np.median(display.norms, axis=0))
    assert display.line_.get_label() == "Quantizer"


def test_codebooks_and_estimator_give_one_picture(quantizer, X):
    by_codes = ResidualNormDisplay.from_codes(X, quantizer.transform(X), quantizer.codebooks_)
    by_estimator = ResidualNormDisplay.from_estimator(quantizer, X)
    np.testing.assert_allclose(by_codes.norms, by_estimator.norms)


def test_a_second_model_in_the_same_axes_looks_different(quantizer, X):
    first = ResidualNormDisplay.from_estimator(quantizer, X, name="one")
    second = ResidualNormDisplay.from_estimator(quantizer, X, name="two", ax=first.ax_)
    assert first.line_.get_color() != second.line_.get_color()
    assert first.line_.get_linestyle() != second.line_.get_linestyle()
    assert [text.get_text() for text in first.ax_.get_legend().get_texts()] == ["one", "two"]


def test_codes_outside_the_codebooks_are_refused(quantizer, X):
    with pytest.raises(ValueError, match="level 0"):
        ResidualNormDisplay.from_codes(X, np.full((len(X), 2), 7), quantizer.codebooks_)
