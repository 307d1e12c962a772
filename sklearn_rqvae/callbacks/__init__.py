"""Training habits, one skorch callback each."""

from sklearn_rqvae.callbacks._best_epoch import KeepBestEpoch
from sklearn_rqvae.callbacks._epoch_losses import EpochLosses

__all__ = ["EpochLosses", "KeepBestEpoch"]
