"""Training habits, one skorch callback each."""

from sklearn_rqvae.callbacks._anneal import AnnealTemperature
from sklearn_rqvae.callbacks._best_epoch import KeepBestEpoch
from sklearn_rqvae.callbacks._dead_codes import ResetDeadCodes
from sklearn_rqvae.callbacks._epoch_losses import EpochLosses
from sklearn_rqvae.callbacks._epoch_usage import EpochUsage
from sklearn_rqvae.callbacks._search_codes import SearchCodes
from sklearn_rqvae.callbacks._warm_up import WarmUp

__all__ = [
    "AnnealTemperature",
    "EpochLosses",
    "EpochUsage",
    "KeepBestEpoch",
    "ResetDeadCodes",
    "SearchCodes",
    "WarmUp",
]
