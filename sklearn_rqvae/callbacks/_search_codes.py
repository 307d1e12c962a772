"""Train on the codes that the model will be used with: those of a beam search."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from sklearn_rqvae._guards import interruptible
from sklearn_rqvae.callbacks._epochs import epochs_run
from sklearn_rqvae.nn._search import Search

__all__ = ["SearchCodes"]

# Rows encoded at a time.
_CHUNK_ROWS = 1024


class SearchCodes(Callback):
    """Search the training rows' codes by beams at the start, and anew every few epochs.

    In between, batches are reconstructed from these codes. A search costs about what three epochs
    do. Codewords of the closed form add up to rows, as least squares found them: the nearest one
    at each level is a poor choice, and gradients from such choices undo what was found.

    Parameters
    ----------
    n_beams : int
        Code tuples kept from level to level.
    every : int
        Epochs from search to search.
    """

    def __init__(self, n_beams: int, every: int = 10):
        self.n_beams = n_beams
        self.every = every

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Search, if it is time."""
        rows = dataset_train.X
        if (epochs_run(net) - 1) % self.every == 0:
            search = Search(net.module_)
            with interruptible():
                parts = [search.encode(x, self.n_beams) for x in rows["x"].split(_CHUNK_ROWS)]
            rows["codes"] = torch.cat(parts)
