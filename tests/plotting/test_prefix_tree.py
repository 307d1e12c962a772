"""PrefixTreeDisplay, its rectangles and its words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.plotting import PrefixTreeDisplay
from sklearn_rqvae.plotting._squarify import Rectangle, squarify
from sklearn_rqvae.plotting._top_words import top_words


@given(
    st.lists(st.floats(0.1, 1000), min_size=1, max_size=30),
    st.floats(0.1, 100),
    st.floats(0.1, 100),
)
@example([6, 6, 4, 3, 2, 2, 1], 6.0, 4.0)
def test_rectangles_fill_the_frame_in_proportion_without_overlap(areas, width, height):
    areas = sorted(areas, reverse=True)
    frame = Rectangle(2.0, -1.0, width, height)
    rectangles = squarify(areas, frame)
    scale = width * height / sum(areas)
    for rectangle, area in zip(rectangles, areas, strict=True):
        assert rectangle.width * rectangle.height == pytest.approx(area * scale)
        assert rectangle.x >= 2 - 1e-6 * width
        assert rectangle.y >= -1 - 1e-6 * height
        assert rectangle.x + rectangle.width <= 2 + width * (1 + 1e-6)
        assert rectangle.y + rectangle.height <= -1 + height * (1 + 1e-6)
    for i, a in enumerate(rectangles):
        for b in rectangles[:i]:
            across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
            upward = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
            assert across <= 1e-6 * width or upward <= 1e-6 * height


def test_rectangles_of_the_published_example():
    # Bruls, Huizing and van Wijk, figure 4: areas 6, 6, 4, 3, 2, 2, 1 in a frame of 6 by 4. The
    # first two fill a column of width 3, the next two a row of height 7 / 3.
    rectangles = squarify([6, 6, 4, 3, 2, 2, 1], Rectangle(0, 0, 6, 4))
    assert rectangles[0] == pytest.approx((0, 0, 3, 2))
    assert rectangles[1] == pytest.approx((0, 2, 3, 2))
    assert rectangles[2] == pytest.approx((3, 0, 12 / 7, 7 / 3))
    assert rectangles[3] == pytest.approx((3 + 12 / 7, 0, 9 / 7, 7 / 3))


def test_words_are_those_that_set_a_group_apart():
    texts = ["red nail polish", "blue nail polish", "hair polish", "hair dryer", "hair color"]
    words = top_words(texts, np.array([0, 0, 1, 1, 1]), 2, 2)
    assert words == [["nail", "polish"], ["hair"]]


def test_texts_without_words_have_none():
    assert top_words(["1", "22", "a"], np.array([0, 0, 1]), 2, 3) == [[], []]


def test_texts_that_are_none_are_refused():
    with pytest.raises((AttributeError, TypeError, ValueError)):
        top_words([1, 2], np.array([0, 1]), 2, 3)


def test_groups_are_the_most_frequent_prefixes_with_their_children():
    codes = np.array([[5, 1]] * 4 + [[5, 2]] * 2 + [[5, 3]] + [[7, 0]] * 3 + [[9, 0]])
    display = PrefixTreeDisplay.from_codes(codes, n_prefixes=2, n_children=2)
    five, seven = display.groups
    assert (five.prefix, five.size, five.n_children) == ((5,), 7, 3)
    assert [(child.prefix, child.size) for child in five.children] == [((5, 1), 4), ((5, 2), 2)]
    assert (seven.prefix, seven.size, seven.n_children) == ((7,), 3, 1)
    assert (display.n_samples, display.n_groups) == (11, 3)
    assert len(display.tiles_) == 2
    labels = [text.get_text() for text in display.texts_]
    assert "5: 7 items" in labels
    assert any(label.startswith("1 other") for label in labels)
    assert "10 of 11 items (91 %)" in display.ax_.get_title()


@pytest.fixture(scope="module")
def forty_codes():
    """Four heaps of ten codes each; the codes of a heap are numbers with one last digit."""
    code = np.repeat(np.arange(40), np.arange(40, 0, -1))
    heap = code % 4
    X = np.random.default_rng(0).normal(size=(len(code), 3)) + 50 * np.eye(4)[heap][:, :3]
    texts = [
        f"{('red', 'green', 'blue', 'grey')[h]} {'abcdefghij'[c // 4] * 3}"
        for c, h in zip(code, heap, strict=True)
    ]
    return X, np.stack([code, code * 0], axis=1), texts


def test_many_first_codes_are_shown_in_branches_of_similar_ones(forty_codes):
    X, codes, texts = forty_codes
    display = PrefixTreeDisplay.from_codes(codes, X=X, texts=texts, n_prefixes=4, n_words=1)
    assert sum(group.size for group in display.groups) == display.n_samples == len(codes)
    assert [group.words for group in display.groups] == [["red"], ["green"], ["blue"], ["grey"]]
    for heap, group in enumerate(display.groups):
        assert group.prefix == ()
        assert group.n_children == 10
        assert {child.prefix for child in group.children} == {(c,) for c in range(heap, 40, 4)}
    assert "all 40 first codes in 4 branches" in display.ax_.get_title()
    assert any("10 codes: " in text.get_text() for text in display.texts_)


def test_first_codes_stay_where_they_hold_half_of_the_items_or_likeness_is_unknown(forty_codes):
    X, codes, _ = forty_codes
    few = PrefixTreeDisplay.from_codes(codes, X=X, n_prefixes=20)
    blind = PrefixTreeDisplay.from_codes(codes, n_prefixes=4)
    assert [group.prefix for group in few.groups] == [(code,) for code in range(20)]
    assert [group.prefix for group in blind.groups] == [(0,), (1,), (2,), (3,)]


def test_ids_of_one_level_have_tiles_without_fields():
    display = PrefixTreeDisplay.from_codes([[0], [0], [1]])
    assert [group.children for group in display.groups] == [[], []]
    assert display.texts_[0].get_text() == "0: 2 items"


@pytest.mark.parametrize("figsize", [(10, 6), (3, 2.5)])
def test_labels_stay_inside_their_tiles(figsize):
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, (500, 2)) ** 2 // 3
    texts = [
        f"incomprehensibility number {'abcdefghijklmnop'[i % 9 : i % 9 + 6]}" for i in range(500)
    ]
    _, ax = plt.subplots(figsize=figsize, layout="constrained")
    display = PrefixTreeDisplay.from_codes(codes, texts=texts, ax=ax)
    boxes = [tile.get_window_extent() for tile in display.tiles_]
    assert display.texts_
    for text in display.texts_:
        extent = text.get_window_extent()
        assert any(
            box.x0 - 1 <= extent.x0
            and extent.x1 <= box.x1 + 1
            and box.y0 - 1 <= extent.y0
            and extent.y1 <= box.y1 + 1
            for box in boxes
        ), text.get_text()
        assert text.get_fontsize() >= 5.5


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"texts": ["a"]}, "codes has 2 samples but texts has 1"),
        ({"X": [[0.0]]}, "X has 1 samples but codes has 2"),
        ({"n_prefixes": 0}, "n_prefixes=0"),
        ({"n_children": 0}, "n_children=0"),
        ({"n_words": 1.5}, "n_words should be an integer, got 1.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PrefixTreeDisplay.from_codes([[0, 1], [1, 0]], **kwargs)


def test_texts_belong_to_rows_whatever_the_index_of_their_series():
    # A series by its labels would give each row the text of another one.
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    texts = pd.Series(["red lamp", "blue lamp", "tea cup", None], index=[3, 2, 1, 0])
    display = PrefixTreeDisplay.from_codes(codes, texts=texts, n_words=1)
    assert [group.words for group in display.groups] == [["lamp"], ["cup"]]
