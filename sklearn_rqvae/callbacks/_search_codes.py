"""Train on the codes that the model will be used with: those of a beam search."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_rqvae._compute._join import join
from sklearn_rqvae._guards import interruptible
from sklearn_rqvae.callbacks._epochs import epochs_run
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search

__all__ = ["SearchCodes"]

# Rows encoded at a time.
_CHUNK_ROWS = 1024


class SearchCodes(Callback):
    r"""Search the training rows' codes by beams at the start, and anew every few epochs.

    In between, batches are reconstructed from these codes. A search costs about what three epochs
    do. Codewords of the closed form add up to rows, as least squares found them: the nearest one
    at each level is a poor choice, and gradients from such choices undo what was found.

    In each epoch a row has one of its best codes, drawn by the module's generator. A decoder that
    meets a row behind the same code in all epochs learns it by heart; behind codes that are nearly
    as good, it learns what rows there have in common. The :math:`j`-th best one has a probability
    that is proportional to

    .. math:: \exp \left( -\frac{e_j - e_1}{2 \tau \bar e_1 / D} \right)

    with its squared error :math:`e_j`, the rows' weighted mean :math:`\bar e_1` of the least one,
    and the number of features :math:`D`. With a temperature :math:`\tau` of 1 that is how likely
    the codes are in a mixture of Gaussians as wide as the quantization error.

    Parameters
    ----------
    n_beams : int
        Code tuples kept from level to level.
    every : int
        Epochs from search to search.
    n_candidates : int
        Code tuples to draw a row's code from; 1 always takes the best.
    temperature : float
        Temperature of the draw, positive.
    """

    def __init__(
        self, n_beams: int, every: int = 10, n_candidates: int = 4, temperature: float = 2.0
    ):
        self.n_beams = n_beams
        self.every = every
        self.n_candidates = n_candidates
        self.temperature = temperature

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Search, if it is time, and draw the epoch's codes."""
        rows, module = dataset_train.X, net.module_
        if (epochs_run(net) - 1) % self.every == 0:
            with interruptible():
                self._search(module, rows["x"], rows["sample_weight"])
        generator = module.generator
        shares = self.shares_ if generator is None else self.shares_.to(generator.device)
        drawn = shares.multinomial(1, generator=generator)[:, 0].to(self.candidates_.device)
        rows["codes"] = self.candidates_[torch.arange(len(drawn), device=drawn.device), drawn]

    def _search(self, module: RqVae, x: Tensor, weight: Tensor) -> None:
        """Find each row's best codes, and how often each is to be drawn."""
        search = Search(module)
        found = (search.candidates(rows, self.n_beams) for rows in x.split(_CHUNK_ROWS))
        best = slice(self.n_candidates)
        self.candidates_, errors = join(((c[:, best], e[:, best]) for c, e in found), len(x))
        errors, weight = errors.cpu().double(), weight.cpu().double()
        mean_error = errors[:, 0] @ weight / weight.sum()
        unit = 2 * self.temperature * mean_error / x.shape[1]
        excess = (errors - errors[:, :1]) / unit.clamp(min=torch.finfo(unit.dtype).tiny)
        self.shares_ = excess.neg().softmax(1)
