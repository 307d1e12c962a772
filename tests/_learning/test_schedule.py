"""Learning rate schedules have the shapes that they are named after."""

import numpy as np
import pytest

from sklearn_rqvae._learning._schedule import SCHEDULES, lr_factor


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 2, 100])
def test_factors_stay_between_zero_and_one(schedule, n_steps):
    factors = [lr_factor(schedule, n_steps)(step) for step in range(n_steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0


def test_shapes():
    one_cycle = np.array([lr_factor("one_cycle", 100)(step) for step in range(101)])
    assert one_cycle.argmax() == 30
    assert one_cycle[-1] == pytest.approx(0, abs=1e-12)
    cosine = np.array([lr_factor("cosine", 100)(step) for step in range(101)])
    assert cosine.argmax() == 5
    assert (np.diff(cosine[5:]) < 0).all()
    step = [lr_factor("step", 10)(step) for step in range(10)]
    assert step == [1.0] * 5 + [0.1] * 5
    assert lr_factor("constant", 10)(7) == 1.0
