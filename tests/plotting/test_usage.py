"""CodebookUsageDisplay."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_rqvae.plotting import CodebookUsageDisplay


def test_curves_are_sorted_multiples_of_equal_usage():
    # Counts 3, 0, 1, 4 of 8 samples over 4 codewords: equal usage is 2.
    codes = np.repeat([0, 2, 3], [3, 1, 4]).reshape(-1, 1)
    display = CodebookUsageDisplay.from_codes(codes, codebook_size=4)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), [2, 1.5, 0.5, 0.5])
    assert "3 of 4 used" in display.texts_[0].get_text()


def test_dead_codes_are_marked_and_a_full_level_has_no_mark():
    codes = np.column_stack([np.arange(8) % 4, np.zeros(8, dtype=int)])
    display = CodebookUsageDisplay.from_codes(codes, codebook_size=4)
    marks = [[text.get_text() for text in panel.texts] for panel in display.axes_]
    assert marks == [[], ["3 dead"]]


def test_a_collapsed_level_of_many_codewords_is_still_seen():
    # One step of 1/1000 of the width would be invisible.
    display = CodebookUsageDisplay.from_codes(np.zeros((9, 1), dtype=int), codebook_size=1000)
    markers = [line for line in display.axes_[0].lines if line.get_marker() == "o"]
    assert markers[0].get_ydata().tolist() == [1000.0]


def test_levels_of_different_size_and_a_second_row_of_panels():
    codes = np.random.default_rng(0).integers(0, 3, (50, 6))
    display = CodebookUsageDisplay.from_codes(codes, codebook_size=[3, 4, 5, 6, 7, 8])
    assert len(display.axes_) == 6
    assert [panel.get_xlim()[1] for panel in display.axes_] == [3, 4, 5, 6, 7, 8]


def test_codebook_sizes_are_those_of_the_last_step(quantizer, X):
    pipeline = make_pipeline(FunctionTransformer(), quantizer)
    display = CodebookUsageDisplay.from_estimator(pipeline, X)
    assert [len(counts) for counts in display.usage] == [3, 2]


def test_an_estimator_without_codebooks_is_refused(X):
    class Bare:
        def transform(self, X):
            return np.zeros((len(X), 1), dtype=int)

    with pytest.raises(ValueError, match="Bare has no codebooks_"):
        CodebookUsageDisplay.from_estimator(Bare(), X)


def test_looks_can_be_changed():
    display = CodebookUsageDisplay.from_codes(
        [[0], [1]], codebook_size=2, line_kwargs={"color": "red", "linewidth": 5}
    )
    assert display.lines_[0].get_color() == "red"
    assert display.lines_[0].get_linewidth() == 5
