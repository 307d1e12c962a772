"""Weights of views, chosen by what users touched next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from sklearn_rqvae.embedding._fusion import ViewFusion
from sklearn_rqvae.embedding._histories import COLUMNS, Histories
from sklearn_rqvae.embedding._interaction_forms import item_keys

__all__ = ["ViewWeights", "choose_view_weights", "next_item_hit_rate"]

# Weights of each view but the first one, whose weight is 1: only ratios matter.
GRID = (0.0, 0.5, 0.7, 1.0, 1.4, 2.0)
# Similarities computed at a time, in numbers.
CHUNK_NUMBERS = 2**24


class ViewWeights(NamedTuple):
    """Weights of views and how well they did.

    Attributes
    ----------
    weights : ndarray of shape (n_views,)
        The best weights, for ``ViewFusion(weights=...)``.
    hit_rate : float
        Their hit rate.
    candidates : ndarray of shape (n_candidates, n_views)
        The weights that were tried.
    hit_rates : ndarray of shape (n_candidates,)
        Their hit rates.
    """

    weights: NDArray[np.float64]
    hit_rate: float
    candidates: NDArray[np.float64]
    hit_rates: NDArray[np.float64]


def choose_view_weights(
    pipeline: Pipeline,
    X: Any,
    interactions: Any,
    *,
    candidates: ArrayLike | None = None,
    n_neighbors: int = 10,
    max_users: int | None = 10_000,
    columns: tuple[str, ...] = COLUMNS,
    random_state: Any = 0,
) -> ViewWeights:
    """Choose the weights of a pipeline's views by what users touched next.

    The last item of each history is kept out, the steps before the fusion are fitted on the rest,
    and each candidate for the weights is rated by how often the item kept out is among the nearest
    neighbors of the item before it. Neighbors are counted between what the steps after the fusion
    make of the vectors, there and back: with a quantizer as the pipeline's last step, between
    reconstructions from semantic IDs.

    Parameters
    ----------
    pipeline : Pipeline
        Steps to a matrix of views, a :class:`ViewFusion`, and possibly steps with
        `inverse_transform`. It is cloned, not changed; what it is given as `interactions` replaces
        those that its steps hold themselves.
    X : sequence or table
        The items, as for ``pipeline.fit``: ids, or a table with a column of them.
    interactions : data frame, sequence of sequences or Histories
        Ordered interactions. Leave out what a later test predicts.
    candidates : array-like of shape (n_candidates, n_views), default=None
        Weights to try. If None, the first view has the weight 1, and the others have all
        combinations of 0, 0.5, 0.7, 1, 1.4 and 2.
    n_neighbors : int, default=10
        Number of neighbors.
    max_users : int or None, default=10_000
        Number of users drawn for the rates; all of them if None.
    columns : tuple of two or three str, default=("user", "item", "time")
        Columns of a data frame of interactions, the second one also that of ids in `X`.
    random_state : int, RandomState instance or None, default=0
        Draws the users.

    Returns
    -------
    found : ViewWeights
        The best weights (``found.weights``), and all rates.

    Raises
    ------
    TypeError
        If `pipeline` is no pipeline.
    ValueError
        If `pipeline` has no step that is a `ViewFusion`, the order of interactions isn't known, or
        no user has two items in `X`.

    See Also
    --------
    ViewFusion : Takes the weights.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline, make_union
    >>> from sklearn_rqvae.embedding import (
    ...     InteractionEmbedder, TextEmbedder, ViewFusion, choose_view_weights)
    >>> titles = {"title": ["bar", "rod", "cap", "hat"], "item": [3, 5, 8, 9]}
    >>> import pandas as pd
    >>> items = pd.DataFrame(titles)
    >>> histories = [[3, 8, 3, 8], [8, 3, 8], [5, 9, 5], [9, 5, 9, 5]]
    >>> views = make_union(
    ...     TextEmbedder(n_components=3, text_columns=["title"], random_state=0),
    ...     InteractionEmbedder(n_components=2, random_state=0))
    >>> pipeline = make_pipeline(views, ViewFusion([-1, 2]))
    >>> found = choose_view_weights(pipeline, items, histories, n_neighbors=1)
    >>> bool(found.weights[1] > 0)  # behavior tells what texts don't
    True
    >>> pipeline = pipeline.set_params(viewfusion__weights=found.weights)
    """
    before, fusion, after = _parts(pipeline)
    histories = Histories.read(interactions, columns=columns)
    train = histories.without_last()
    queries, targets = _queries(histories, item_keys(X, columns[1]), max_users, random_state)
    with config_context(enable_metadata_routing=True, transform_output="default"):
        views = before.fit_transform(X, interactions=train)
        n_views = len(clone(fusion).fit(views).view_columns_)
        tried = _check_candidates(candidates, n_views)
        rates = []
        for weights in tried:
            vectors = clone(fusion).set_params(weights=weights).fit_transform(views)
            if len(after):
                quantizer = clone(after)
                vectors = quantizer.inverse_transform(quantizer.fit_transform(vectors))
            rates.append(next_item_hit_rate(np.asarray(vectors), queries, targets, n_neighbors))
    best = int(np.argmax(rates))
    return ViewWeights(tried[best], rates[best], tried, np.array(rates))


def next_item_hit_rate(
    vectors: NDArray[Any],
    queries: NDArray[np.intp],
    targets: NDArray[np.intp],
    n_neighbors: int,
) -> float:
    """Return how often a target is among the nearest neighbors of its query, by cosine.

    Of items equally near, as items that share a semantic ID are, each counts as likely to come
    first: identical vectors gain nothing.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, n_features)
        The items.
    queries, targets : ndarray of int of shape (n_pairs,)
        Rows of consecutive items. A query is none of its own neighbors.
    n_neighbors : int
        Number of neighbors.

    Returns
    -------
    hit_rate : float
        Expected share of targets among the neighbors, in [0, 1].
    """
    centered = np.asarray(vectors, dtype=np.float32) - vectors.mean(axis=0, dtype=np.float32)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    unit = np.divide(centered, lengths, out=np.zeros_like(centered), where=lengths > 0)
    # Equal vectors are one row here, so that rounding can't tell them apart.
    distinct, group = np.unique(unit, axis=0, return_inverse=True)
    sizes = np.bincount(group)
    hits = 0.0
    for start in range(0, len(queries), max(CHUNK_NUMBERS // len(distinct), 1)):
        chunk = slice(start, start + max(CHUNK_NUMBERS // len(distinct), 1))
        query, target = group[queries[chunk]], group[targets[chunk]]
        rows = np.arange(len(query))
        similarity = distinct[query] @ distinct.T
        at_target = similarity[rows, target]
        own = similarity[rows, query]
        nearer = (similarity > at_target[:, None]) @ sizes - (own > at_target)
        tied = sizes[target] - (query == target)
        hits += np.clip((n_neighbors - nearer) / tied, 0, 1).sum()
    return float(hits / len(queries))


def _parts(pipeline: Any) -> tuple[Pipeline, ViewFusion, Pipeline]:
    """Return clones of the steps before the fusion, of the fusion, and the steps after it."""
    if not isinstance(pipeline, Pipeline):
        raise TypeError(
            f"pipeline is a {type(pipeline).__name__}; give a Pipeline of the steps to a matrix of "
            "views, a ViewFusion, and possibly a quantizer."
        )
    at = [i for i, (_, step) in enumerate(pipeline.steps) if isinstance(step, ViewFusion)]
    if len(at) != 1 or at[0] == 0:
        names = [name for name, _ in pipeline.steps]
        raise ValueError(
            f"pipeline has the steps {names}, {len(at)} of them a ViewFusion; it needs one, after "
            "a step that makes the views, such as a ColumnTransformer."
        )
    return clone(pipeline[: at[0]]), pipeline[at[0]], pipeline[at[0] + 1 :]


def _queries(
    histories: Histories, keys: list[Any], max_users: int | None, random_state: Any
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of the items before the last ones, and of the last ones, of some users."""
    row_of = np.full(histories.n_items, -1, dtype=np.intp)
    positions = histories.positions(keys)
    row_of[positions[positions >= 0]] = np.flatnonzero(positions >= 0)
    ends = histories.starts[1:][np.diff(histories.starts) > 1]
    queries, targets = row_of[histories.items[ends - 2]], row_of[histories.items[ends - 1]]
    # A user who touches the same item again says nothing about neighbors.
    users = np.flatnonzero((queries >= 0) & (targets >= 0) & (queries != targets))
    if len(users) == 0:
        raise ValueError(
            f"None of {histories.n_users} users ends with two different items of X; give ordered "
            "interactions of at least two items, with the ids of X."
        )
    if max_users is not None and max_users < len(users):
        users = check_random_state(random_state).permutation(users)[:max_users]
    return queries[users], targets[users]


def _check_candidates(candidates: ArrayLike | None, n_views: int) -> NDArray[np.float64]:
    """Return the weights to try, one row each."""
    if candidates is None:
        return np.array(list(_default_candidates(n_views)))
    checked = np.asarray(candidates, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] != n_views or len(checked) == 0:
        raise ValueError(
            f"candidates has shape {checked.shape}, but should have one row for each set of "
            f"weights to try and {n_views} columns, one for each view."
        )
    return checked


def _default_candidates(n_views: int) -> Iterator[tuple[float, ...]]:
    for others in product(GRID, repeat=n_views - 1):
        yield (1.0, *others)
