"""CodebookMapDisplay."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

from sklearn_rqvae.plotting import CodebookMapDisplay
from sklearn_rqvae.plotting._branches import branches_of, code_means


@pytest.fixture
def heaps():
    """Three heaps of twelve codes."""
    code = np.repeat(np.arange(36), np.arange(36, 0, -1))
    X = np.random.default_rng(0).normal(size=(len(code), 6)) + 30 * np.eye(6)[code % 3]
    return X, code[:, np.newaxis] + 100, code


def test_means_and_branches_are_those_of_the_definition(heaps):
    X, _, code = heaps
    means = code_means(X, code, 36)
    np.testing.assert_allclose(means, [X[code == c].mean(axis=0) for c in range(36)])
    np.testing.assert_array_equal(branches_of(means, np.bincount(code), 3), np.arange(36) % 3)
    # Equal means are one branch, whatever was asked for.
    assert branches_of(np.ones((4, 2)), np.ones(4), 3).tolist() == [0, 0, 0, 0]


def test_no_branch_has_most_of_the_codes():
    # Where means crowd around the catalog's mean, k-means of them takes all but a few as one.
    rng = np.random.default_rng(0)
    means = rng.normal(size=(100, 16)) * np.repeat([0.1, 3], [92, 8])[:, np.newaxis]
    sizes = np.bincount(branches_of(means, np.ones(100), 8))
    assert len(sizes) == 8
    assert sizes.max() <= 30


def test_similar_codes_lie_side_by_side_with_their_words(heaps):
    X, codes, code = heaps
    texts = [f"{('salt', 'pepper', 'sugar')[c % 3]} {chr(97 + c % 26) * 4}" for c in code]
    display = CodebookMapDisplay.from_codes(X, codes, texts=texts, n_branches=3)
    assert display.codes.tolist() == list(range(100, 136))
    assert display.sizes.tolist() == list(range(36, 0, -1))
    places = display.coordinates
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2) + 1e9 * np.eye(36)
    nearest = distance.argmin(axis=1)
    assert (nearest % 3 == np.arange(36) % 3).all()
    legend = [text.get_text().partition("\n")[0] for text in display.legend_.get_texts()]
    assert legend == list(display.branch_words)
    assert [words.split(", ")[0] for words in legend] == ["salt", "pepper", "sugar"]
    assert 3 <= len(display.texts_) <= 36


def test_bubbles_have_areas_in_proportion(heaps):
    X, codes, _ = heaps
    display = CodebookMapDisplay.from_codes(X, codes, n_branches=1)
    area = display.points_[0].get_sizes()
    np.testing.assert_allclose(area / area[0], display.sizes / display.sizes[0])


@pytest.mark.parametrize("n_codes", [1, 2, 5])
def test_a_few_codes_of_narrow_vectors_have_a_place(n_codes):
    code = np.arange(20) % n_codes
    display = CodebookMapDisplay.from_codes(code[:, np.newaxis] * 1.0, code[:, np.newaxis])
    assert display.coordinates.shape == (n_codes, 2)
    assert np.isfinite(display.coordinates).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"texts": ["a"]}, "codes has 3 samples but texts has 1"),
        ({"n_branches": 9}, "n_branches=9"),
        ({"X": [[1.0]]}, "X has 1 samples but codes has 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CodebookMapDisplay.from_codes(**({"X": np.eye(3), "codes": [[0], [1], [1]]} | kwargs))


def test_a_map_takes_columns_of_a_table_whatever_scikit_learn_returns():
    # Missing texts have no words, and frames are none of what is drawn.
    rng = np.random.default_rng(0)
    codes = np.arange(48).reshape(-1, 1) % 12
    X = rng.normal(size=(48, 6))
    texts = pd.Series([None, *(f"word{chr(97 + code)}" for code in codes[1:, 0])]).iloc[::-1]
    with config_context(transform_output="pandas"):
        display = CodebookMapDisplay.from_codes(X, codes[::-1], texts=texts)
    assert display.words == [f"word{chr(97 + code)}" for code in range(12)]
    expected = CodebookMapDisplay.from_codes(X, codes[::-1])
    np.testing.assert_array_equal(display.coordinates, expected.coordinates)
