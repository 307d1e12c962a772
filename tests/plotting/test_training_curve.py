"""TrainingCurveDisplay."""

import numpy as np
import pytest

from sklearn_rqvae.plotting import TrainingCurveDisplay


def titles(display):
    """Return the panels' titles."""
    return [panel.get_title() for panel in display.axes_]


def test_panels_are_those_of_the_keys_at_hand(quantizer):
    display = TrainingCurveDisplay.from_estimator(quantizer)
    assert titles(display) == ["distortion", "perplexity"]
    assert len(display.lines_["perplexity"]) == 2
    assert display.best_epoch_ == 2
    full = [{"train_loss": 2.0, "valid_distortion": 0.5, "perplexity": [3.0], "lr": 1e-3, "dur": 1}]
    display = TrainingCurveDisplay.from_history(full)
    assert titles(display) == ["distortion", "losses", "perplexity", "learning rate"]
    assert display.epoch.tolist() == [1]


def test_epochs_that_lack_a_key_are_missing_in_its_curve():
    history = [{"train_loss": 2.0}, {"train_loss": 1.0, "valid_loss": 3.0}, {"valid_loss": None}]
    display = TrainingCurveDisplay.from_history(history)
    np.testing.assert_array_equal(display.curves["train_loss"], [2.0, 1.0, np.nan])
    np.testing.assert_array_equal(display.curves["valid_loss"], [np.nan, 3.0, np.nan])
    assert display.best_epoch_ is None


def test_a_line_joins_what_was_measured_every_few_epochs():
    history = [{"train_loss": 1.0} for _ in range(100)]
    for epoch in (15, 30, 45, 100):
        history[epoch - 1]["train_distortion"] = 1 / epoch
    (line,) = TrainingCurveDisplay.from_history(history).lines_["train_distortion"]
    np.testing.assert_array_equal(line.get_xdata(), [15, 30, 45, 100])
    np.testing.assert_allclose(line.get_ydata(), [1 / 15, 1 / 30, 1 / 45, 1 / 100])
    assert line.get_markevery() == 1


def test_a_loss_of_zero_makes_the_axis_linear():
    # A logarithmic axis would drop the point without a word.
    display = TrainingCurveDisplay.from_history([{"train_loss": 1.0}, {"train_loss": 0.0}])
    assert display.axes_[0].get_yscale() == "linear"
    display = TrainingCurveDisplay.from_history([{"train_loss": 1.0}, {"train_loss": 0.1}])
    assert display.axes_[0].get_yscale() == "log"


def test_a_level_that_appears_in_some_epochs_only_keeps_its_curve():
    history = [{"train_loss": 1.0}, {"perplexity": [3.0, 2.0]}]
    display = TrainingCurveDisplay.from_history(history)
    np.testing.assert_array_equal(display.curves["perplexity"], [[np.nan, np.nan], [3.0, 2.0]])


@pytest.mark.parametrize("history", [[], [{"epoch": 1, "dur": 0.1}]])
def test_a_history_with_nothing_to_show_is_refused(history):
    with pytest.raises(ValueError, match="nothing to show"):
        TrainingCurveDisplay.from_history(history)


def test_an_estimator_without_a_history_is_refused():
    with pytest.raises(ValueError, match="object has no history_"):
        TrainingCurveDisplay.from_estimator(object())
