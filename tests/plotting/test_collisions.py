"""CollisionDisplay."""

import numpy as np
import pytest

from sklearn_rqvae.metrics import colliding_share, collision_floor, collision_rate, largest_group
from sklearn_rqvae.plotting import CollisionDisplay


def test_numbers_are_those_of_the_metrics_for_each_prefix():
    codes = np.random.default_rng(0).integers(0, 3, (40, 4))
    display = CollisionDisplay.from_codes(codes)
    prefixes = [codes[:, :length] for length in range(1, 5)]
    np.testing.assert_allclose(display.colliding_share, [colliding_share(p) for p in prefixes])
    np.testing.assert_allclose(display.collision_rate, [collision_rate(p) for p in prefixes])
    assert display.largest_group.tolist() == [largest_group(p) for p in prefixes]
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, 100 * display.colliding_share)
    np.testing.assert_allclose(display.line_.get_ydata(), 100 * display.collision_rate)


def test_the_floor_is_drawn_when_vectors_are_known(quantizer, X):
    X = np.vstack([X, X[:20]])
    display = CollisionDisplay.from_estimator(quantizer, X)
    assert display.floor == pytest.approx(collision_floor(X)) == pytest.approx(0.2)
    assert display.floor_line_.get_ydata()[0] == pytest.approx(20)
    assert CollisionDisplay.from_codes(quantizer.transform(X)).floor_line_ is None


@pytest.mark.parametrize(
    ("codes", "label"),
    [
        ([[0], [0]], "100 %"),
        ([[0], [1]], "0 %"),
        ([[0]] * 2 + [[i] for i in range(1, 300)], "0.66 %"),
    ],
)
def test_labels_are_short_percentages(codes, label):
    display = CollisionDisplay.from_codes(codes)
    assert display.ax_.texts[0].get_text() == label
