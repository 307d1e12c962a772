"""What all displays have in common."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_rqvae.plotting import (
    CodebookMapDisplay,
    CodebookUsageDisplay,
    CodeMapDisplay,
    CollisionDisplay,
    PrefixTreeDisplay,
    RateDistortionDisplay,
    ResidualNormDisplay,
    TrainingCurveDisplay,
)


def from_estimator(display, quantizer, X, **kwargs):
    """Call the constructor that every display has."""
    if display is TrainingCurveDisplay:
        return display.from_estimator(quantizer, **kwargs)
    if display is CodeMapDisplay:
        kwargs = {"coordinates": np.column_stack([X, X**2])} | kwargs
    return display.from_estimator(quantizer, X, **kwargs)


ALL = [
    CodebookMapDisplay,
    CodeMapDisplay,
    CodebookUsageDisplay,
    CollisionDisplay,
    PrefixTreeDisplay,
    RateDistortionDisplay,
    ResidualNormDisplay,
    TrainingCurveDisplay,
]


@pytest.mark.parametrize("display", ALL)
def test_a_picture_is_drawn_and_saved_in_a_new_figure(display, quantizer, X, tmp_path):
    drawn = from_estimator(display, quantizer, X)
    drawn.figure_.savefig(tmp_path / "picture.png")
    pixels = plt.imread(tmp_path / "picture.png")
    assert pixels.std() > 0.02  # not a blank page
    assert drawn.ax_.figure is drawn.figure_


@pytest.mark.parametrize("display", ALL)
def test_given_axes_are_used_and_no_figure_is_made(display, quantizer, X):
    figure, ax = plt.subplots()
    drawn = from_estimator(display, quantizer, X, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("display", ALL)
def test_what_is_stored_is_enough_to_draw_again(display, quantizer, X):
    drawn = from_estimator(display, quantizer, X)
    first = drawn.ax_
    assert drawn.plot() is drawn
    assert drawn.ax_ is not first


@pytest.mark.parametrize("display", ALL)
def test_nothing_is_drawn_before_plot(display, quantizer, X):
    drawn = from_estimator(display, quantizer, X)
    stored = {name: value for name, value in vars(drawn).items() if not name.endswith("_")}
    plt.close("all")
    fresh = display(**stored)
    assert plt.get_fignums() == []
    assert not hasattr(fresh, "ax_")


def test_importing_does_not_import_matplotlib():
    # Packages without the extra, and servers that draw nothing, must not pay for it.
    code = "import sys, sklearn_rqvae.plotting; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("display", ALL)
def test_without_matplotlib_the_error_names_the_extra(display, quantizer, X, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=rf"{display.__name__}.plot.*sklearn-rqvae\[plot\]"):
        from_estimator(display, quantizer, X)


@pytest.mark.parametrize("display", [CodebookUsageDisplay, TrainingCurveDisplay])
def test_panels_take_an_array_of_axes_or_say_how_many_they_need(display, quantizer, X):
    _, axes = plt.subplots(1, 2)
    drawn = from_estimator(display, quantizer, X, ax=axes)
    assert list(drawn.axes_) == list(axes)
    _, three = plt.subplots(1, 3)
    with pytest.raises(ValueError, match="3 axes but there are 2 panels"):
        from_estimator(display, quantizer, X, ax=three)
    free = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    with pytest.raises(ValueError, match="give an array of 2 axes"):
        from_estimator(display, quantizer, X, ax=free)


@pytest.mark.parametrize("display", ALL)
def test_labels_stay_inside_the_picture(display, quantizer, X):
    drawn = from_estimator(display, quantizer, X)
    drawn.figure_.draw_without_rendering()
    page = drawn.figure_.bbox
    for ax in drawn.figure_.axes:
        box = ax.get_tightbbox()
        assert box.x0 >= page.x0 - 1
        assert box.y0 >= page.y0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y1 <= page.y1 + 1
