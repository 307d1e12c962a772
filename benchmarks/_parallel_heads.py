"""Recommend by unordered codes: a state says every code of the next item at once.

Each code has a head of its own, and the score of an item is the sum of the log-probabilities of its
codes [1]_. No search: all items are scored, so that rankings are exact.

References
----------
.. [1] Hou, Y. et al. "Generating long semantic IDs in parallel for recommendation". KDD 2025.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from _generator import Head, Recipe, SequenceModel, Trie, last_states
from _ranking import BEYOND, Ranks, ranks_by_scores
from torch import Tensor, nn

# Items that are scored at a time: 256 states times so many are 32 MiB.
_CHUNK_ITEMS = 2**15


class ParallelRecommender(SequenceModel):
    """Reads and writes sets of codes.

    An item is read as the sum of the embeddings of its codes; there are no prefixes.

    Parameters
    ----------
    trie : Trie
        The codes of all items.
    recipe : Recipe
        Sizes and rates.
    seed : int
        Seed of weights and dropout.
    """

    def __init__(self, trie: Trie, recipe: Recipe, seed: int):
        super().__init__(recipe, seed)
        self.sizes, offsets = trie.sizes, np.cumsum([0, *trie.sizes])
        self.codes = torch.from_numpy(trie.codes + offsets[:-1])
        self.read, self.written = (nn.Embedding(sum(trie.sizes), recipe.dim) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(sum(trie.sizes)))
        self.heads = nn.ModuleList(Head(recipe.dim, self.drop) for _ in trie.sizes)
        self.reset_parameters()

    def embed(self, items: Tensor) -> Tensor:
        """Add up the vectors of codes."""
        x = F.embedding_bag(self.codes[items.reshape(-1)], self.read.weight, mode="sum")
        return x.view(*items.shape, -1)

    def log_probabilities(self, states: Tensor) -> Tensor:
        """Return those of the codes of all heads side by side, of shape (n_states, n_codes)."""
        weights, biases = self.written.weight.split(self.sizes), self.bias.split(self.sizes)
        logits = (
            F.linear(head(states), weight, bias)
            for head, weight, bias in zip(self.heads, weights, biases, strict=True)
        )
        return torch.cat([torch.log_softmax(some, dim=-1) for some in logits], dim=-1)

    def losses(self, states: Tensor, items: Tensor) -> Tensor:
        """Return minus the sum of the log-probabilities of each item's codes."""
        return -self.log_probabilities(states).gather(1, self.codes[items]).sum(1)

    @torch.no_grad()
    def scores(self, states: Tensor) -> Tensor:
        """Return the score of each item, of shape (n_states, n_items)."""
        by_code = self.log_probabilities(states).T.contiguous()
        parts = self.codes.split(_CHUNK_ITEMS)
        return torch.cat([F.embedding_bag(codes, by_code, mode="sum") for codes in parts]).T

    @torch.no_grad()
    def rank(self, histories: list[np.ndarray], targets: np.ndarray) -> Ranks:
        """Rank the target items among all items, those of equal codes alike."""
        self.eval()
        better, load = (np.empty(len(targets), dtype=np.int64) for _ in range(2))
        for rows, states in last_states(self, histories):
            found = ranks_by_scores(self.scores(states).numpy(), targets[rows])
            better[rows], load[rows] = found
        return Ranks(np.minimum(better, BEYOND), load)

    @torch.no_grad()
    def surprise(self, histories: list[np.ndarray], targets: np.ndarray) -> float:
        """Return the mean of minus the log-probability of the targets' codes, in nats."""
        self.eval()
        total = 0.0
        for rows, states in last_states(self, histories):
            total += float(self.losses(states, torch.from_numpy(targets[rows])).sum())
        return total / len(targets)
