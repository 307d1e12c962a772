"""How well rankings find what users touched next, and how sure the differences are."""

from __future__ import annotations

import base64
import zlib
from typing import NamedTuple

import numpy as np

N_DRAWS = 2000
RANKED = 10  # places that metrics look at
BEYOND = 255  # stands for a rank behind them


class Ranks(NamedTuple):
    """Where each user's target stands.

    Attributes
    ----------
    better : ndarray of int of shape (n_users,)
        Number of items above the target's ID, `BEYOND` where there are at least that many.
    load : ndarray of int of shape (n_users,)
        Number of items that share the target's ID, or its score, itself too.
    """

    better: np.ndarray
    load: np.ndarray

    def pack(self) -> dict[str, str]:
        """Return text that holds what metrics look at: ranks among the first `RANKED`."""
        is_ranked = self.better < RANKED
        kept = np.where(is_ranked, self.better, BEYOND), np.where(is_ranked, self.load, 1)
        packed = {}
        for name, values in zip(self._fields, kept, strict=True):
            data = np.minimum(values, BEYOND).astype(np.uint8).tobytes()
            packed[name] = base64.b85encode(zlib.compress(data, 9)).decode()
        return packed

    @classmethod
    def unpack(cls, packed: dict[str, str]) -> Ranks:
        """Return the ranks that `pack` made text of."""
        return cls(
            *(
                np.frombuffer(zlib.decompress(base64.b85decode(packed[name])), np.uint8)
                for name in cls._fields
            )
        )


def item_hit(ranks: Ranks, k: int) -> np.ndarray:
    """Return each user's probability that the target is among the first `k` items.

    Items that share an ID come in random order, so that collisions gain nothing.
    """
    room = k - ranks.better.astype(float)
    return np.clip(room / ranks.load, 0, 1)


def item_ndcg(ranks: Ranks, k: int) -> np.ndarray:
    r"""Return each user's expected gain, :math:`1 / \log_2(\mathrm{rank} + 1)` within `k`."""
    gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    first = np.minimum(ranks.better.astype(int), k)
    last = np.minimum(ranks.better.astype(int) + ranks.load, k)
    return (gain[last] - gain[first]) / ranks.load


def id_hit(ranks: Ranks, k: int) -> np.ndarray:
    """Return whether the target's ID comes before `k` items: what is reported where IDs count."""
    return (ranks.better < k).astype(float)


def ranks_by_scores(scores: np.ndarray, targets: np.ndarray) -> Ranks:
    """Return the ranks of the targets among scored items; equal scores share their ranks.

    Parameters
    ----------
    scores : ndarray of shape (n_users, n_items)
        More is better.
    targets : ndarray of int of shape (n_users,)
        Items.
    """
    own = scores[np.arange(len(targets)), targets][:, None]
    return Ranks((scores > own).sum(axis=1), (scores == own).sum(axis=1))


def metrics_of(ranks: Ranks) -> dict[str, float]:
    """Return all metrics, means over the users."""
    return {
        "item_hit@5": item_hit(ranks, 5).mean(),
        "item_hit@10": item_hit(ranks, 10).mean(),
        "item_ndcg@10": item_ndcg(ranks, 10).mean(),
        "id_hit@10": id_hit(ranks, 10).mean(),
    }


class Difference(NamedTuple):
    """A difference of means, relative to the second one, and its 95 % interval."""

    relative: float
    low: float
    high: float


def compare(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Difference:
    """Compare two recommenders by a bootstrap over users and seeds.

    Both draw the same users, and the same seeds if they have as many; else each draws its own. With
    few seeds, the interval says little about seeds; with one, nothing.

    Parameters
    ----------
    first, second : ndarray of shape (n_seeds, n_users)
        What each user gains with each seed.
    seed : int
        Seed of the draws.

    Returns
    -------
    difference : Difference
        ``mean(first) / mean(second) - 1``, with the 2.5 % and 97.5 % quantiles of the draws.
    """
    rng = np.random.default_rng(seed)
    n_users = first.shape[1]
    # Most users gain nothing with either: how many of them are drawn is all that counts.
    gains = np.concatenate([first, second])
    gains = gains[:, gains.any(axis=0)]
    n_gaining = gains.shape[1]
    ratios = np.empty(N_DRAWS)
    for draw in range(N_DRAWS):
        drawn = rng.integers(n_gaining, size=rng.binomial(n_users, n_gaining / n_users))
        of_seeds = gains @ np.bincount(drawn, minlength=n_gaining)
        own = other = rng.integers(len(first), size=len(first))
        if len(second) != len(first):
            other = rng.integers(len(second), size=len(second))
        ratios[draw] = of_seeds[own].mean() / of_seeds[len(first) + other].mean() - 1
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Difference(float(first.mean() / second.mean() - 1), float(low), float(high))


def rank_correlation(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return Spearman's correlation and its 95 % interval by a bootstrap over the pairs."""
    from scipy.stats import spearmanr

    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(N_DRAWS):
        rows = rng.integers(len(x), size=len(x))
        if np.ptp(x[rows]) > 0 and np.ptp(y[rows]) > 0:
            draws.append(spearmanr(x[rows], y[rows]).statistic)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(spearmanr(x, y).statistic), float(low), float(high)
