"""A progress bar over the epochs of a fit, with the time that is left."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm import tqdm

__all__ = ["EpochBar"]


class EpochBar(Callback):
    """Show a bar on the standard error while a net trains."""

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(desc="training", total=net.max_epochs, unit="epoch")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Move the bar and show the epoch's distortion."""
        epoch = net.history[-1]
        for name in ("valid_distortion", "train_distortion"):
            if name in epoch:
                self.bar_.set_postfix_str(f"{epoch[name]:.1%} unexplained", refresh=False)
                break
        self.bar_.update()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
