"""Record once per epoch how evenly training used the codes of each level."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from sklearn_rqvae.metrics._evenness import usage_perplexity
from sklearn_rqvae.metrics._usage import usage_utilization

__all__ = ["EpochUsage"]


class EpochUsage(Callback):
    """Write each level's utilization and perplexity over the epoch's batches into the history.

    Counts stay on the device until the epoch ends. What is counted are the codes that training
    chose, by noise or balance too in modes that have these.
    """

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start counting."""
        sizes = net.module_.quantizer.codebook_size
        first = next(net.module_.parameters())
        starts = torch.tensor([0, *sizes[:-1]], device=first.device).cumsum(0)
        self.sizes_, self.starts_ = sizes, starts
        self.usage_ = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device)

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Count the codes of one training batch."""
        codes = kwargs["y_pred"].codes
        if training and codes.shape[1]:
            rows, (share, _) = batch
            weight = rows["sample_weight"] * (share > 0)  # a part without weight is no row
            weight = weight[:, None].expand_as(codes)
            self.usage_.index_add_(0, (codes + self.starts_).flatten(), weight.flatten())

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the levels' numbers, as lists."""
        if net.parallel is not None:
            net.parallel.add_up([self.usage_])
        levels = [usage.numpy() for usage in self.usage_.cpu().double().split(self.sizes_)]
        if not any(usage.any() for usage in levels):
            return  # a warm-up chooses no codes
        net.history.record("utilization", [usage_utilization(usage) for usage in levels])
        net.history.record("perplexity", [usage_perplexity(usage) for usage in levels])
