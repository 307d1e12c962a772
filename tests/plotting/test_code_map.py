"""CodeMapDisplay."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.decomposition import PCA

from sklearn_rqvae.plotting import CodeMapDisplay


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(12), np.arange(12, 0, -1) * 3).reshape(-1, 1)
    return rng.normal(size=(12, 5))[codes[:, 0]] * 9 + rng.normal(size=(len(codes), 5)), codes


def test_the_most_frequent_codes_are_colored_and_the_rest_is_grey(blobs):
    display = CodeMapDisplay.from_codes(*blobs)
    assert display.shown.tolist() == list(range(8))
    sizes = [len(points.get_offsets()) for points in display.points_]
    assert sizes == [36, 33, 30, 27, 24, 21, 18, 15]
    assert len(display.background_.get_offsets()) == 12 + 9 + 6 + 3


def test_places_are_principal_components_unless_given(blobs):
    X, codes = blobs
    display = CodeMapDisplay.from_codes(X, codes)
    np.testing.assert_allclose(
        np.abs(display.coordinates), np.abs(PCA(2).fit_transform(X)), rtol=1e-6
    )
    assert "first principal component" in display.ax_.get_xlabel()
    display = CodeMapDisplay.from_codes(None, codes, coordinates=X[:, 3:])
    np.testing.assert_array_equal(display.coordinates, X[:, 3:])


def test_many_samples_are_thinned_and_frequencies_are_those_of_all(blobs):
    X, codes = blobs
    display = CodeMapDisplay.from_codes(X, codes, max_samples=40, n_codes=2)
    assert len(display.codes) == 40
    assert display.shown.tolist() == [0, 1]


def test_codes_can_have_names_and_come_from_any_level(blobs):
    X, codes = blobs
    two = np.column_stack([np.zeros_like(codes[:, 0]), codes[:, 0]])
    display = CodeMapDisplay.from_codes(X, two, level=1, n_codes=2, code_names={0: "perfume"})
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == ["other codes", "perfume", "code 1"]
    assert display.ax_.get_title() == "most frequent codes of level 1"


def test_a_plane_that_hides_most_of_the_variance_says_so(blobs):
    X, codes = blobs
    assert "variance" not in CodeMapDisplay.from_codes(X, codes).ax_.get_title()
    noise = np.random.default_rng(0).normal(size=(len(X), 40))
    assert "holds 1" in CodeMapDisplay.from_codes(noise, codes).ax_.get_title()


@pytest.mark.parametrize(
    ("X", "kwargs", "message"),
    [
        (np.eye(3), {"level": 1}, r"level=1 should be in \[0, 1\)"),
        (np.eye(3), {"n_codes": 9}, r"n_codes=9 should be in \[1, 8\]"),
        (None, {}, "both None"),
        (None, {"coordinates": np.eye(3)}, "2 columns"),
        (np.eye(4), {}, "codes has 3 samples but X has 4"),
        (np.ones((3, 1)), {}, "too small for two principal components"),
    ],
)
def test_what_cannot_be_drawn_is_refused(X, kwargs, message):
    with pytest.raises(ValueError, match=message):
        CodeMapDisplay.from_codes(X, [[0], [1], [1]], **kwargs)


def test_places_are_drawn_whatever_scikit_learn_returns(blobs):
    expected = CodeMapDisplay.from_codes(*blobs, max_samples=40)
    with config_context(transform_output="pandas"):
        display = CodeMapDisplay.from_codes(*blobs, max_samples=40)
    np.testing.assert_array_equal(display.coordinates, expected.coordinates)


def test_names_of_codes_are_no_formulas(blobs):
    # matplotlib failed on the second one when the picture was saved.
    names = {0: "$5 to $10", 1: "under $x_{ or more$"}
    display = CodeMapDisplay.from_codes(*blobs, code_names=names)
    display.figure_.canvas.draw()
    shown = [text.get_text() for text in display.legend_.get_texts()]
    assert set(names.values()) <= set(shown)
    assert not any(text.get_parse_math() for text in display.legend_.get_texts())


def test_rows_without_a_plane_and_places_of_other_lengths_are_named(blobs):
    X, codes = blobs
    with pytest.raises(ValueError, match="5 rows of X are all equal, so they have no principal"):
        CodeMapDisplay.from_codes(np.repeat(X[:1], 5, axis=0), codes[:5])
    with pytest.raises(ValueError, match="codes has 234 samples but coordinates has 5"):
        CodeMapDisplay.from_codes(X, codes, coordinates=X[:5, :2])
