"""Recommenders without semantic IDs: what a generator must beat to prove anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import product

import numpy as np
import torch
from _catalogs import Catalog
from _generator import Recipe, SequenceModel, last_states
from _ranking import Ranks, item_ndcg, ranks_by_scores
from scipy.sparse import csr_matrix
from torch import Tensor, nn

CHUNK = 512  # users scored at a time
N_NEGATIVES = 1024
SASREC = Recipe(dropout=0.5, epochs=40)  # tuned on validation users of scientific
Score = Callable[[list[np.ndarray]], np.ndarray]


def popularity(catalog: Catalog) -> Score:
    """Rank by how often items were touched in training."""
    counts = _counts(catalog)

    def score(histories: list[np.ndarray]) -> np.ndarray:
        return np.tile(counts, (len(histories), 1))

    return score


def markov(catalog: Catalog) -> Score:
    """Rank by how often items followed the last one, then by popularity."""
    training = catalog.training()
    n_items = len(catalog.vectors)
    before = np.concatenate([history[:-1] for history in training])
    after = np.concatenate([history[1:] for history in training])
    steps = csr_matrix((np.ones(len(before)), (before, after)), shape=(n_items, n_items))
    tie_breaker = _counts(catalog) * 1e-6

    def score(histories: list[np.ndarray]) -> np.ndarray:
        return steps[[history[-1] for history in histories]].toarray() + tie_breaker

    return score


def item_neighbors(catalog: Catalog) -> Score:
    """Rank by how often users touched items near those of the history; tuned on validation users.

    Tuned are how fast co-occurrence and history fade with distance, and how much the popularity of
    the candidate counts.
    """
    grid = product((0.3, 0.6, 1.0), (0.2, 0.4, 0.7), (0.0, 0.25, 0.5))
    return _best((_item_neighbors(catalog, *settings) for settings in grid), catalog)


def _item_neighbors(catalog: Catalog, step: float, fade: float, damping: float) -> Score:
    near = _cooccurrence(catalog, step)
    counts = np.maximum(_counts(catalog), 1)
    near = csr_matrix(near.multiply(1 / counts[:, None] ** 0.5).multiply(1 / counts**damping))
    tie_breaker = 1e-9 * counts

    def score(histories: list[np.ndarray]) -> np.ndarray:
        return (_weights(histories, fade, len(counts)) @ near).toarray() + tie_breaker

    return score


def text_neighbors(catalog: Catalog) -> Score:
    """Rank by the cosine of texts with those of the history, whose items come last; tuned too."""
    centered = catalog.vectors - catalog.vectors.mean(axis=0)
    unit = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-9)

    def with_fade(fade: float) -> Score:
        def score(histories: list[np.ndarray]) -> np.ndarray:
            weights = _weights(histories, fade, len(unit))
            scores = (weights @ unit) @ unit.T
            scores[weights.nonzero()] = -np.inf
            return scores

        return score

    return _best(map(with_fade, (0.0, 0.2, 0.4, 0.7)), catalog)


FLOORS: dict[str, Callable[[Catalog], Score]] = {
    "popularity": popularity,
    "Markov": markov,
    "item-kNN": item_neighbors,
    "text-kNN": text_neighbors,
}


def rank_by(score: Score, catalog: Catalog, kept_out: int) -> Ranks:
    """Rank the last item but ``kept_out - 1`` of each user, given those before it."""
    targets = np.array([history[-kept_out] for history in catalog.histories])
    parts = []
    for start in range(0, len(targets), CHUNK):
        histories = [history[:-kept_out] for history in catalog.histories[start : start + CHUNK]]
        parts.append(ranks_by_scores(score(histories), targets[start : start + CHUNK]))
    return Ranks(*map(np.concatenate, zip(*parts, strict=True)))


def _best(scores: Iterable[Score], catalog: Catalog) -> Score:
    """Return the one with the best gain on up to 2,000 validation users."""
    rows = np.linspace(0, len(catalog.histories) - 1, min(2000, len(catalog.histories))).astype(int)
    some = catalog._replace(histories=[catalog.histories[row] for row in rows])
    return max(scores, key=lambda score: item_ndcg(rank_by(score, some, 2), 10).mean())


def _counts(catalog: Catalog) -> np.ndarray:
    items = np.concatenate(catalog.training())
    return np.bincount(items, minlength=len(catalog.vectors)).astype(float)


def _cooccurrence(catalog: Catalog, step: float) -> csr_matrix:
    """Sum ``step ** (distance - 1)`` over the pairs of each user, up to five apart."""
    n_items = len(catalog.vectors)
    total = csr_matrix((n_items, n_items))
    for gap in range(1, 6):
        pairs = [(h[:-gap], h[gap:]) for h in catalog.training() if len(h) > gap]
        before, after = map(np.concatenate, zip(*pairs, strict=True))
        weight = np.full(len(before), step ** (gap - 1))
        total += csr_matrix((weight, (before, after)), shape=total.shape)
    total = total + total.T
    total.setdiag(0)
    return total


def _weights(histories: list[np.ndarray], fade: float, n_items: int) -> csr_matrix:
    """Return a row for each history: 1 for its last item, fading with each item before."""
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    age = np.concatenate([np.arange(len(history))[::-1] for history in histories])
    items = np.concatenate(histories)
    return csr_matrix((fade**age, (users, items)), shape=(len(histories), n_items))


# -- SASRec --


class SelfAttention(SequenceModel):
    """SASRec: the generator's transformer over item embeddings, compared with all items' [1]_.

    Trained by a softmax over the right items and `N_NEGATIVES` others that a batch shares, drawn
    alike. The recipe's rates were tuned on validation users of the same catalog as the generator's.

    References
    ----------
    .. [1] Kang, W.-C. and McAuley, J. "Self-attentive sequential recommendation". ICDM 2018.
    """

    def __init__(self, n_items: int, recipe: Recipe, seed: int):
        super().__init__(recipe, seed)
        self.items = nn.Embedding(n_items, recipe.dim)
        self.norm = nn.LayerNorm(recipe.dim)
        self.reset_parameters()

    def embed(self, items: Tensor) -> Tensor:
        """Look items up."""
        return self.items(items)

    def losses(self, states: Tensor, items: Tensor) -> Tensor:
        """Return the sampled cross-entropy of each item."""
        states = self.norm(states)
        n_items = self.items.num_embeddings
        others = torch.randint(n_items, (N_NEGATIVES,), generator=self.generator)
        right = (states * self.items(items)).sum(1, keepdim=True)
        wrong = states @ self.items(others).T + math.log((n_items - 1) / N_NEGATIVES)
        wrong = wrong.masked_fill(others == items[:, None], -torch.inf)
        return torch.cat([right, wrong], 1).logsumexp(1) - right[:, 0]

    @torch.no_grad()
    def rank(self, histories: list[np.ndarray], targets: np.ndarray) -> Ranks:
        """Rank target items among all items."""
        self.eval()
        better, load = np.empty((2, len(targets)), dtype=np.int64)
        for rows, states in last_states(self, histories):
            scores = (self.norm(states) @ self.items.weight.T).numpy()
            better[rows], load[rows] = ranks_by_scores(scores, targets[rows])
        return Ranks(better, load)
