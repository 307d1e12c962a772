"""Progress bars of a fit, over its epochs or its stages, with an estimate of the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skorch.callbacks import Callback
from tqdm import tqdm

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from skorch import NeuralNet

__all__ = ["EpochBar", "StageBar"]

# Share of the time that the stages of the closed form take, in percent, measured on text vectors.
_STAGE_SHARES = {
    "rows": 1,
    "principal axes": 1,
    "codebooks": 78,
    "interactions": 18,
    "usage": 2,
}


class EpochBar(Callback):
    """Show a bar on the standard error, if that is a terminal, while a net trains."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(desc="training", total=net.max_epochs, unit="epoch", disable=None)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Move the bar and show the epoch's distortion."""
        epoch = net.history[-1]
        for name in ("valid_distortion", "train_distortion"):
            if name in epoch:
                self.bar_.set_postfix_str(f"{epoch[name]:.1%} unexplained", refresh=False)
                break
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()


class StageBar:
    """Show a bar while a closed form is fitted: a callback of scikit-learn.

    It is shown on the standard error, if that is a terminal. Its end is estimated from the shares
    of the time that the stages usually take.
    """

    def setup(self, estimator: BaseEstimator, context: Any) -> None:
        """Open the bar."""
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
        total = sum(_STAGE_SHARES.values())
        self.bar_ = tqdm(desc="fitting", total=total, bar_format=form, disable=None)

    def teardown(self, estimator: BaseEstimator, context: Any) -> None:
        """Close the bar."""
        self.bar_.close()

    def on_fit_task_begin(self, estimator: BaseEstimator, context: Any, **kwargs: Any) -> None:
        """Name the stage that begins."""
        if context.task_name in _STAGE_SHARES:
            self.bar_.set_description_str(context.task_name)

    def on_fit_task_end(self, estimator: BaseEstimator, context: Any, **kwargs: Any) -> bool:
        """Move the bar by the stage that ends; never ask to stop."""
        self.bar_.update(_STAGE_SHARES.get(context.task_name, 0))
        return False
