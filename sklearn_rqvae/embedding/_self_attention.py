"""Item vectors of a small self-attentive model that predicts the next item of each history.

Everything here works on tensors by their own methods, and torch is imported when a model is
trained: importing the package doesn't wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae.embedding._histories import Histories

__all__ = ["self_attentive_vectors"]

# Chosen by how often the nearest neighbors of an item, in these vectors beside its text's, hold the
# next item of a user's validation history, on two catalogs.
HEAD_DIM = 32
DROPOUT = 0.3
TEMPERATURE = 0.15
BATCH_HISTORIES = 256
N_NEGATIVES = 512
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.05
WARMUP = 0.1
MAX_GRADIENT_NORM = 1.0
# Histories in a batch have about the same length, within so many interactions.
LENGTH_JITTER = 1.5
# Added to a mean of squares before its root is divided by.
EPSILON = 1e-6

Tensor = Any
Weights = dict[str, Tensor]


def self_attentive_vectors(
    histories: Histories,
    n_components: int,
    max_length: int,
    max_epochs: int,
    random_state: np.random.RandomState,
    verbose: int = 0,
) -> NDArray[np.float32]:
    r"""Return unit vectors that a causal transformer learned for predicting the next item.

    The model is that of SASRec [1]_ with one block: item vectors plus positions go in, and the
    state after each interaction is compared with the vectors of the item that follows and of items
    drawn at random. As compared are cosines, divided by a temperature, under a softmax: the vectors
    are to be quantized by distance, so what tells items apart must be directions, and lengths must
    not hold their popularity.

    Parameters
    ----------
    histories : Histories
        Ordered interactions, at least two of one user.
    n_components : int
        Length of the vectors.
    max_length : int
        Number of last interactions of each history that are used.
    max_epochs : int
        Passes over the histories.
    random_state : RandomState
        Draws initial weights, batches, negatives and dropout. Torch's own generator is not used.
    verbose : int
        Shows a progress bar if positive.

    Returns
    -------
    vectors : ndarray of shape (n_items, n_components), dtype=float32
        The vectors. Those of items that no history holds are random.

    References
    ----------
    .. [1] Kang, W.-C. and McAuley, J. "Self-attentive sequential recommendation". ICDM 2018.
    """
    import torch
    from tqdm import tqdm

    generator = torch.Generator().manual_seed(int(random_state.randint(2**31 - 1)))
    weights = _initial_weights(histories.n_items, n_components, max_length, generator)
    optimizer = _make_optimizer(weights)
    sequences = [
        history[-max_length - 1 :]
        for history in np.split(histories.items, histories.starts[1:-1])
        if len(history) > 1
    ]
    n_steps = max_epochs * -(-len(sequences) // BATCH_HISTORIES)
    step = 0
    for _ in tqdm(range(max_epochs), unit="epoch", disable=not verbose):
        for items, mask in _batches(sequences, random_state):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * _schedule(step, n_steps)
            loss = _loss(weights, torch.from_numpy(items), torch.from_numpy(mask), generator)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), MAX_GRADIENT_NORM)
            optimizer.step()
    return _unit(weights["items"].detach()).numpy()


def _initial_weights(n_items: int, dim: int, max_length: int, generator: Any) -> Weights:
    """Draw the weights; products with them keep the size of what they are given."""
    import torch

    shapes = {
        "items": (n_items, dim),
        "positions": (max_length, dim),
        "query_key_value": (dim, 3 * dim),
        "mix": (dim, dim),
        "up": (dim, 4 * dim),
        "down": (4 * dim, dim),
    }
    weights = {}
    for name, shape in shapes.items():
        scale = 0.02 if name == "positions" else shape[-1 if name == "items" else 0] ** -0.5
        weights[name] = (torch.randn(*shape, generator=generator) * scale).requires_grad_()
    return weights


def _make_optimizer(weights: Weights) -> Any:
    import torch

    return torch.optim.AdamW(
        list(weights.values()), LEARNING_RATE, (0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True
    )


def _schedule(step: int, n_steps: int) -> float:
    """Return the share of the learning rate: a linear rise, then a linear fall to zero."""
    return min(step / (WARMUP * n_steps), (n_steps - step + 1) / ((1 - WARMUP) * n_steps), 1.0)


def _loss(weights: Weights, items: Tensor, mask: Tensor, generator: Any) -> Tensor:
    """Return the mean negative log-likelihood of next items, against shared negatives.

    `items` and `mask`, which is true where there is an item, have shape (n_histories, length).
    """
    import torch

    is_target = mask[:, 1:]
    states = _unit(_states(weights, items[:, :-1], generator)[is_target]) / TEMPERATURE
    targets = items[:, 1:][is_target]
    n_items = len(weights["items"])
    negatives = torch.randint(n_items, (N_NEGATIVES,), generator=generator)
    vectors = weights["items"]
    right = (states * _unit(vectors[targets])).sum(1, keepdim=True)
    wrong = states @ _unit(vectors[negatives]).T
    # The negatives stand for all items but the right one.
    wrong = wrong.masked_fill(negatives == targets[:, None], -math.inf)
    wrong = wrong + math.log(max(n_items - 1, 1) / N_NEGATIVES)
    return (torch.cat([right, wrong], 1).logsumexp(1) - right[:, 0]).mean()


def _states(weights: Weights, items: Tensor, generator: Any) -> Tensor:
    """Return the state after each item, which knows that item and those before it."""
    n_histories, length = items.shape
    dim = weights["items"].shape[1]
    n_heads = dim // HEAD_DIM if dim % HEAD_DIM == 0 else 1
    x = _standard(weights["items"][items]) + weights["positions"][:length]
    x = _drop(x, generator)
    projected = (_standard(x) @ weights["query_key_value"]).view(
        n_histories, length, 3, n_heads, -1
    )
    query, key, value = projected.permute(2, 0, 3, 1, 4)
    future = x.new_full((length, length), -math.inf).triu(1)
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + future
    attended = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n_histories, length, dim)
    x = x + _drop(attended @ weights["mix"], generator)
    return x + _drop((_standard(x) @ weights["up"]).relu() @ weights["down"], generator)


def _drop(x: Tensor, generator: Any) -> Tensor:
    """Set a share of the values to zero, drawn from our own generator as dropout can't be."""
    kept = x.new_empty(x.shape).bernoulli_(1 - DROPOUT, generator=generator)
    return x * kept / (1 - DROPOUT)


def _standard(x: Tensor) -> Tensor:
    """Shift and scale each vector to mean zero and variance one."""
    x = x - x.mean(-1, keepdim=True)
    return x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt()


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().sum(-1, keepdim=True) + EPSILON).rsqrt()


def _batches(
    sequences: list[NDArray[np.intp]], random_state: np.random.RandomState
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield histories of about one length together, padded at their ends, and where items are."""
    lengths = np.array([len(sequence) for sequence in sequences])
    jitter = LENGTH_JITTER * random_state.uniform(size=len(lengths))
    order = np.argsort(lengths + jitter, kind="stable")
    starts = np.arange(0, len(order), BATCH_HISTORIES)
    random_state.shuffle(starts)
    for start in starts:
        rows = order[start : start + BATCH_HISTORIES]
        mask = np.arange(lengths[rows].max()) < lengths[rows, None]
        items = np.zeros(mask.shape, dtype=np.int64)
        items[mask] = np.concatenate([sequences[row] for row in rows])
        yield items, mask
