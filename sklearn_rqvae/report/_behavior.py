"""What histories say about a catalog's codes: numbers, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae import metrics
from sklearn_rqvae.embedding import Histories
from sklearn_rqvae.metrics._checks import check_labels
from sklearn_rqvae.report._words import count, percent, plural

__all__ = ["Behavior", "PrefixBehavior", "behavior_note", "behavior_rows", "measure_behavior"]


@dataclass(frozen=True)
class PrefixBehavior:
    """How users' items share prefixes of one length.

    Attributes
    ----------
    length : int
        Number of codes.
    together : float
        Share of pairs of items of one history that share the prefix.
    chance : float
        The same of items drawn by popularity.
    lift : float or None
        `together` over `chance`; None where no two touched items share a prefix.
    dealt_lift : float or None
        The same of the IDs dealt to the items at random.
    consecutive : float or None
        Share of items touched one after the other that share the prefix; None without order.
    load_head, load_middle, load_tail : float or None
        Mean number of items that share the prefix of a popular, middling or rare item; None where
        there is no such item.
    """

    length: int
    together: float
    chance: float
    lift: float | None
    dealt_lift: float | None
    consecutive: float | None
    load_head: float | None
    load_middle: float | None
    load_tail: float | None


@dataclass(frozen=True)
class Behavior:
    """What histories say about the codes.

    Attributes
    ----------
    n_users, n_interactions : int
        Size of the histories.
    prefixes : list of PrefixBehavior
        Measures by prefix length.
    label_lift : float or None
        Lift of the labels, taken for codes; None without labels.
    n_neighbors : int
        Neighbors in the next three measures.
    next_item_recall, vector_recall : float or None
        How often the item touched next is among the nearest by decoded vector, and by vector; None
        without order.
    chance_recall : float
        What random vectors would reach.
    """

    n_users: int
    n_interactions: int
    prefixes: list[PrefixBehavior]
    label_lift: float | None
    n_neighbors: int
    next_item_recall: float | None
    vector_recall: float | None
    chance_recall: float


def measure_behavior(
    quantizer: BaseEstimator,
    X: NDArray[Any],
    codes: NDArray[Any],
    labels: Any,
    histories: Any,
    item_ids: Any,
    n_neighbors: int,
    random_state: int,
) -> Behavior:
    """Measure codes by histories, and the same codes dealt at random."""
    read = Histories.read(histories)
    dealt = codes[np.random.default_rng(random_state).permutation(len(codes))]
    together, by_chance = (
        metrics.cooccurrence_lift(some, read, item_ids=item_ids) for some in (codes, dealt)
    )
    load = metrics.popularity_load(codes, read, item_ids=item_ids)
    consecutive: Any = [None] * codes.shape[1]
    recall: dict[str, float | None] = {"next_item_recall": None, "vector_recall": None}
    if read.is_ordered:
        consecutive = metrics.consecutive_sharing(codes, read, item_ids=item_ids).share
        how = {"item_ids": item_ids, "n_neighbors": n_neighbors, "random_state": random_state}
        decoded = quantizer.inverse_transform(codes)
        recall["next_item_recall"] = metrics.next_item_recall(decoded, read, **how)
        recall["vector_recall"] = metrics.next_item_recall(X, read, **how)
    prefixes = [
        PrefixBehavior(
            level + 1,
            *map(_plain, (together.share[level], together.chance[level], together.lift[level])),
            *map(_plain, (by_chance.lift[level], consecutive[level], *load[:, level])),
        )
        for level in range(codes.shape[1])
    ]
    return Behavior(
        n_users=read.n_users,
        n_interactions=len(read.items),
        prefixes=prefixes,
        label_lift=_label_lift(labels, codes, read, item_ids),
        n_neighbors=n_neighbors,
        chance_recall=n_neighbors / (len(X) - 1),
        **recall,
    )


def _label_lift(labels: Any, codes: NDArray[Any], read: Histories, item_ids: Any) -> float | None:
    if labels is None:
        return None
    as_codes = check_labels(labels, codes).reshape(-1, 1)
    return _plain(metrics.cooccurrence_lift(as_codes, read, item_ids=item_ids).lift[0])


def _plain(value: Any) -> Any:
    """Return a float, or None for what doesn't exist."""
    return None if value is None or np.isnan(value) else float(value)


def behavior_rows(behavior: Behavior) -> list[list[str]]:
    """Return the table by prefix length, its header first."""
    header = ["codes", "touched together", "by chance", "lift", "lift, dealt", "touched next"]
    rows = [[*header, "load, head", "load, middle", "load, tail"]]
    for prefix in behavior.prefixes:
        rows.append(
            [
                str(prefix.length),
                *map(percent, (prefix.together, prefix.chance)),
                *map(_number, (prefix.lift, prefix.dealt_lift)),
                percent(prefix.consecutive),
                *map(_number, (prefix.load_head, prefix.load_middle, prefix.load_tail)),
            ]
        )
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def behavior_note(behavior: Behavior) -> str:
    """Say what the table's columns are, and give the numbers that have no place in it."""
    parts = [
        f"By {count(behavior.n_interactions)} interactions of {plural(behavior.n_users, 'user')}. "
        "Touched together: share of the pairs of items in one history that share the codes; by "
        "chance: of pairs drawn by popularity; lift: their ratio; dealt: for the same IDs given to "
        "other items at random. Load: items that share the codes of a popular, middling or rare "
        "item."
    ]
    if behavior.label_lift is not None:
        parts.append(f"The labels alone have a lift of {behavior.label_lift:,.1f}.")
    if behavior.next_item_recall is not None:
        parts.append(
            f"The item touched next is among the {behavior.n_neighbors} nearest by decoded vector "
            f"in {percent(behavior.next_item_recall)} of the cases, by vector in "
            f"{percent(behavior.vector_recall)} (chance {percent(behavior.chance_recall)})."
        )
    parts.append("Which of these foretells how a recommender will do is not known.")
    return " ".join(parts)
