"""The epochs of this training, as against those of a history loaded before it."""

from skorch import NeuralNet

__all__ = ["epochs_run"]


def epochs_run(net: NeuralNet) -> int:
    """Return how many epochs this training has begun; skorch may have loaded earlier ones."""
    return len(net.history) - getattr(net, "n_epochs_before_", 0)
