"""What can be counted about a catalog's codes, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae import metrics
from sklearn_rqvae._fitted import decoded_prefixes
from sklearn_rqvae.metrics._distortion import residual_norms

__all__ = ["LevelMeasures", "Measures", "measure"]


@dataclass(frozen=True)
class LevelMeasures:
    """Measures of one level, and of the prefixes that end at it.

    Attributes
    ----------
    level : int
        The level, from 0.
    codebook_size : int
        Codewords of the level.
    n_dead : int
        Codewords that no item has.
    utilization : float
        Share of the codewords in use.
    perplexity : float
        How many equally used codewords the usage amounts to.
    gini : float
        Inequality of the usage, 0 for equal use.
    largest_bucket : int
        Items with the level's most frequent code.
    n_distinct : int
        Distinct prefixes of ``level + 1`` codes.
    collision_rate : float
        One minus the share of distinct prefixes.
    colliding_share : float
        Share of the items whose prefix isn't theirs alone.
    largest_group : int
        Items with the most frequent prefix.
    entropy : float
        Bits that the prefixes carry.
    unexplained : float
        Share of the variance that the reconstruction from the prefix leaves.
    consistency : float or None
        Share of triplets in which the item that shares this code too is the closer one; None where
        no triplet exists.
    purity, mutual_information : float or None
        Purity of the labels behind each prefix, and adjusted mutual information; None without
        labels.
    """

    level: int
    codebook_size: int
    n_dead: int
    utilization: float
    perplexity: float
    gini: float
    largest_bucket: int
    n_distinct: int
    collision_rate: float
    colliding_share: float
    largest_group: int
    entropy: float
    unexplained: float
    consistency: float | None
    purity: float | None
    mutual_information: float | None


@dataclass(frozen=True)
class Measures:
    """Measures of all items together.

    Attributes
    ----------
    n_items, n_features : int
        Shape of the vectors.
    n_distinct_rows : int
        Distinct vectors among them.
    bits : float
        Bits of a semantic ID.
    collision_floor : float
        Collision rate that duplicate vectors enforce.
    cosine : float
        Mean cosine between vectors and reconstructions.
    n_neighbors : int
        Neighbors in the next two measures.
    neighbor_recall, prefix_neighbor_recall : float
        Share of nearest neighbors by vector that are nearest by decoded vector, and by prefix.
    chance_recall : float
        What random codes would reach.
    """

    n_items: int
    n_features: int
    n_distinct_rows: int
    bits: float
    collision_floor: float
    cosine: float
    n_neighbors: int
    neighbor_recall: float
    prefix_neighbor_recall: float
    chance_recall: float


def measure(
    quantizer: BaseEstimator,
    X: NDArray[Any],
    codes: NDArray[Any],
    sizes: Sequence[int],
    n_distinct_rows: int,
    labels: Any,
    n_neighbors: int,
    random_state: int,
) -> tuple[Measures, list[LevelMeasures], NDArray[np.float64]]:
    """Measure codes, and return the residual norms before and after each level too."""
    mean = np.broadcast_to(X.mean(axis=0, dtype=np.float64), X.shape)
    norms = residual_norms(X, chain([mean], decoded_prefixes(quantizer, codes)))
    energy = np.einsum("ij,ij->j", norms, norms)
    if not energy[0] > 0:
        raise ValueError(
            f"the {len(X)} rows of X are all equal, so there is nothing to tell apart; "
            "give at least two different rows."
        )
    decoded = quantizer.inverse_transform(codes)
    neighbors = {"n_neighbors": n_neighbors, "random_state": random_state}
    overall = Measures(
        n_items=len(X),
        n_features=X.shape[1],
        n_distinct_rows=n_distinct_rows,
        bits=metrics.bits_per_item(list(sizes)),
        collision_floor=1 - n_distinct_rows / len(X),
        cosine=metrics.mean_cosine_similarity(X, decoded),
        n_neighbors=n_neighbors,
        neighbor_recall=metrics.neighbor_recall(X, decoded, **neighbors),
        prefix_neighbor_recall=metrics.prefix_neighbor_recall(X, codes, **neighbors),
        chance_recall=n_neighbors / (len(X) - 1),
    )
    levels = _measure_levels(X, codes, sizes, labels, energy[1:] / energy[0], random_state)
    return overall, levels, norms


def _measure_levels(
    X: NDArray[Any],
    codes: NDArray[Any],
    sizes: Sequence[int],
    labels: Any,
    unexplained: NDArray[np.float64],
    random_state: int,
) -> list[LevelMeasures]:
    sizes = list(sizes)
    usage = metrics.code_usage(codes, sizes)
    perplexity = metrics.code_perplexity(codes, sizes)
    gini = metrics.code_gini(codes, sizes)
    groups = metrics.prefix_group_sizes(codes)
    entropy = metrics.joint_code_entropy(codes)
    consistency = metrics.hierarchy_consistency(X, codes, random_state=random_state)
    purity = information = [None] * len(sizes)
    if labels is not None:
        purity = metrics.prefix_purity(codes, labels).tolist()
        information = metrics.prefix_adjusted_mutual_info(codes, labels).tolist()
    return [
        LevelMeasures(
            level=level,
            codebook_size=size,
            n_dead=int(np.count_nonzero(usage[level] == 0)),
            utilization=float(np.count_nonzero(usage[level]) / size),
            perplexity=float(perplexity[level]),
            gini=float(gini[level]),
            largest_bucket=int(usage[level].max()),
            n_distinct=len(groups[level]),
            collision_rate=1 - len(groups[level]) / len(codes),
            colliding_share=float(groups[level][groups[level] > 1].sum() / len(codes)),
            largest_group=int(groups[level].max()),
            entropy=float(entropy[level]),
            unexplained=float(unexplained[level]),
            consistency=None if np.isnan(consistency[level]) else float(consistency[level]),
            purity=purity[level],
            mutual_information=information[level],
        )
        for level, size in enumerate(sizes)
    ]
