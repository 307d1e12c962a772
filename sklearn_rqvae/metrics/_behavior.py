"""Whether items that users touch together share prefixes, and how popularity loads them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from sklearn_rqvae.embedding import Histories
from sklearn_rqvae.embedding._interaction_forms import item_keys
from sklearn_rqvae.embedding._view_weights import next_item_hit_rate
from sklearn_rqvae.metrics._checks import (
    check_codes,
    check_count,
    check_same_length,
    check_vectors,
)


class PrefixSharing(NamedTuple):
    """How often pairs of items share a prefix, by its length.

    Attributes
    ----------
    share : ndarray of shape (n_layers,)
        Share of the pairs whose items share the first 1 to ``n_layers`` codes.
    chance : ndarray of shape (n_layers,)
        The same of two different items drawn by popularity.
    lift : ndarray of shape (n_layers,)
        `share` over `chance`; NaN where no two touched items share a prefix of the length.
    """

    share: NDArray[np.float64]
    chance: NDArray[np.float64]
    lift: NDArray[np.float64]


def cooccurrence_lift(
    codes: ArrayLike, histories: Any, *, item_ids: ArrayLike | None = None
) -> PrefixSharing:
    r"""Compare how often items of one history share a prefix with chance.

    A pair is any two interactions of one history with different items; each counts once, so that
    long histories weigh more. Chance is the share among pairs of different items that are drawn by
    popularity, :math:`\sum_s (w_s^2 - \sum_{i \in s} w_i^2) / (1 - \sum_i w_i^2)` with :math:`w_i`
    an item's share of the interactions and :math:`w_s` that of all items with prefix :math:`s`.
    Popular prefixes raise both alike.

    IDs dealt to the items at random share as much as chance on average; categories taken for codes
    are a stricter rival. A high lift is no proof that a recommender will do well with the IDs.

    Parameters
    ----------
    codes : array-like of int of shape (n_items, n_layers)
        Code of each item at each level, not negative.
    histories : Histories, sparse matrix, data frame or sequence of sequences
        Who touched which items, as :meth:`~sklearn_rqvae.embedding.Histories.read` takes it.
    item_ids : array-like of shape (n_items,), default=None
        Id of each row of `codes` in the histories; their numbers if None.

    Returns
    -------
    sharing : PrefixSharing
        The named tuple (share, chance, lift), arrays by prefix length.

    Raises
    ------
    ValueError
        If `codes` isn't valid, a history holds an item without a row, `item_ids` aren't distinct,
        or no history holds two different items.

    See Also
    --------
    consecutive_sharing : The same for items touched one after the other.

    Examples
    --------
    Of the two pairs that users made, both share the first code; of all six pairs
    of four equally popular items, two do:

    >>> from sklearn_rqvae.metrics import cooccurrence_lift
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> sharing = cooccurrence_lift(codes, [[0, 1], [2, 3]])
    >>> sharing.lift
    array([ 3., nan])
    """
    codes = check_codes(codes)
    read, items = _read(histories, item_ids, len(codes))
    users = _users(read)
    same_item = _pairs_within(users, items)
    n_pairs = _pairs_within(users) - same_item
    if n_pairs == 0:
        raise ValueError(
            f"None of {read.n_users} histories holds two different items; give histories that do."
        )
    together = [_pairs_within(users, prefix[items]) - same_item for prefix in _prefixes(codes)]
    return _against_chance(np.array(together) / n_pairs, codes, items)


def consecutive_sharing(
    codes: ArrayLike, histories: Any, *, item_ids: ArrayLike | None = None
) -> PrefixSharing:
    """Compare how often items touched one after the other share a prefix with chance.

    Chance is that of `cooccurrence_lift`. Steps from an item to itself don't count.

    Parameters
    ----------
    codes : array-like of int of shape (n_items, n_layers)
        Code of each item at each level, not negative.
    histories : Histories, data frame or sequence of sequences
        Who touched which items, in known order, as
        :meth:`~sklearn_rqvae.embedding.Histories.read` takes it.
    item_ids : array-like of shape (n_items,), default=None
        Id of each row of `codes` in the histories; their numbers if None.

    Returns
    -------
    sharing : PrefixSharing
        The named tuple (share, chance, lift), arrays by prefix length.

    Raises
    ------
    ValueError
        If `codes` isn't valid, a history holds an item without a row, `item_ids` aren't distinct,
        the order of interactions isn't known, or no history holds two different items in a row.

    See Also
    --------
    cooccurrence_lift : The same for all pairs of items of one history.

    Examples
    --------
    One of the two steps stays behind the first code:

    >>> from sklearn_rqvae.metrics import consecutive_sharing
    >>> consecutive_sharing([[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1, 2], [3]]).share
    array([0.5, 0. ])
    """
    codes = check_codes(codes)
    read, items = _read(histories, item_ids, len(codes))
    before, after = _steps(read, items, "consecutive_sharing")
    share = [np.mean(prefix[before] == prefix[after]) for prefix in _prefixes(codes)]
    return _against_chance(np.array(share), codes, items)


def popularity_load(
    codes: ArrayLike, histories: Any, *, item_ids: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Count how many items share a popular, middling or rare item's prefix.

    The head are the most popular items that together have a third of the interactions, the middle
    those with the next third, and the tail all others, also those that nobody has touched. Equally
    popular items are in one part, the more popular one if a border runs through them. IDs dealt at
    random load the parts alike; a prefix with many items beside a popular one leaves the following
    codes more to tell.

    Parameters
    ----------
    codes : array-like of int of shape (n_items, n_layers)
        Code of each item at each level, not negative.
    histories : Histories, sparse matrix, data frame or sequence of sequences
        Who touched which items, as :meth:`~sklearn_rqvae.embedding.Histories.read` takes it.
    item_ids : array-like of shape (n_items,), default=None
        Id of each row of `codes` in the histories; their numbers if None.

    Returns
    -------
    load : ndarray of shape (3, n_layers), dtype=float64
        For head, middle and tail: mean number of items that have the prefix of 1 to ``n_layers``
        codes of an item of that part, itself too. NaN for a part without items.

    Raises
    ------
    ValueError
        If `codes` isn't valid, a history holds an item without a row, or `item_ids` aren't
        distinct.

    Examples
    --------
    Item 0 is popular and alone with its code; nobody has touched item 3:

    >>> from sklearn_rqvae.metrics import popularity_load
    >>> popularity_load([[0], [1], [2], [2]], [[0, 1], [0, 2]])
    array([[1. ],
           [1.5],
           [2. ]])
    """
    codes = check_codes(codes)
    _, items = _read(histories, item_ids, len(codes))
    part = _popularity_parts(np.bincount(items, minlength=len(codes)))
    load = np.full((3, codes.shape[1]), np.nan)
    for level, prefix in enumerate(_prefixes(codes)):
        sizes = np.bincount(prefix)[prefix]
        for number in np.unique(part):
            load[number, level] = sizes[part == number].mean()
    return load


def next_item_recall(
    reconstruction: ArrayLike,
    histories: Any,
    *,
    item_ids: ArrayLike | None = None,
    n_neighbors: int = 10,
    n_queries: int | None = 1000,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Compute how often the item touched next is among the nearest by decoded vector.

    Nearness is the cosine of centered vectors, and the item itself is none of its neighbors. Items
    with one semantic ID have one decoded vector, so each of them counts as likely to come first:
    collisions gain nothing. Give the vectors themselves for what they allow without codes.

    Parameters
    ----------
    reconstruction : array-like of shape (n_items, n_features)
        Decoded vector of each item.
    histories : Histories, data frame or sequence of sequences
        Who touched which items, in known order, as
        :meth:`~sklearn_rqvae.embedding.Histories.read` takes it.
    item_ids : array-like of shape (n_items,), default=None
        Id of each row of `reconstruction` in the histories; their numbers if None.
    n_neighbors : int, default=10
        Number of neighbors, at most ``n_items - 1``.
    n_queries : int or None, default=1000
        Number of steps from an item to the next that are drawn; None, or more than there are, takes
        all.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw of steps.

    Returns
    -------
    recall : float
        From 0 to 1; ``n_neighbors / (n_items - 1)`` is chance.

    Raises
    ------
    ValueError
        If `reconstruction` isn't finite, a history holds an item without a row, `item_ids` aren't
        distinct, the order of interactions isn't known, no history holds two different items in a
        row, or a count is out of range.

    Examples
    --------
    >>> from sklearn_rqvae.metrics import next_item_recall
    >>> decoded = [[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]]
    >>> next_item_recall(decoded, [[0, 1, 2], [3, 2]], n_neighbors=1)  # 1 to 2 is far
    0.6666666666666666
    """
    vectors = check_vectors(reconstruction, "reconstruction")
    check_count("n_neighbors", n_neighbors, 1, len(vectors) - 1, "neighbors are other items")
    read, items = _read(histories, item_ids, len(vectors))
    before, after = _steps(read, items, "next_item_recall")
    if n_queries is not None:
        check_count("n_queries", n_queries, 1, 2**31 - 1, "None takes all steps")
        if n_queries < len(before):
            drawn = check_random_state(random_state).choice(len(before), n_queries, replace=False)
            before, after = before[drawn], after[drawn]
    return next_item_hit_rate(vectors, before, after, n_neighbors)


def _read(histories: Any, item_ids: Any, n_items: int) -> tuple[Histories, NDArray[np.intp]]:
    """Return the histories, and the row of each interaction's item."""
    read = Histories.read(histories)
    ids = list(range(n_items)) if item_ids is None else item_keys(item_ids, "item", "item_ids")
    check_same_length("codes", range(n_items), "item_ids", ids)
    rows = {item: row for row, item in enumerate(ids)}
    if len(rows) < n_items:
        raise ValueError(
            f"item_ids has {n_items} ids, {len(rows)} of them distinct; give each row its own."
        )
    touched = np.unique(read.items)
    row_of = np.full(read.n_items, -1, dtype=np.intp)
    row_of[touched] = [rows.get(item, -1) for item in read.item_ids[touched].tolist()]
    missing = touched[row_of[touched] < 0]
    if len(missing):
        way_out = "give their rows, or leave them out by Histories.only(item_ids)"
        if item_ids is None:
            way_out = f"item_ids is None, so items are the numbers of {n_items} rows: give item_ids"
        raise ValueError(
            f"histories hold {len(missing)} items without a row, such as "
            f"{read.item_ids[missing[:1]].tolist()[0]!r}; {way_out}."
        )
    return read, row_of[read.items]


def _users(read: Histories) -> NDArray[np.intp]:
    return np.repeat(np.arange(read.n_users), np.diff(read.starts))


def _steps(
    read: Histories, items: NDArray[np.intp], name: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of items and of those touched right after them, where they differ."""
    if not read.is_ordered:
        raise ValueError(
            f"{name} needs the order of interactions, which a users x items matrix doesn't hold; "
            "give a table with times, or lists."
        )
    users = _users(read)
    is_step = (users[1:] == users[:-1]) & (items[1:] != items[:-1])
    if not is_step.any():
        raise ValueError(
            f"None of {read.n_users} histories holds two different items in a row; give histories "
            "that do."
        )
    return items[:-1][is_step], items[1:][is_step]


def _prefixes(codes: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Number the distinct prefixes of each length, and return each item's."""
    prefixes = []
    prefix = np.zeros(len(codes), dtype=np.intp)
    for column in codes.T:
        names = np.unique(column, return_inverse=True)[1]
        prefix = np.unique(prefix * (names.max() + 1) + names, return_inverse=True)[1]
        prefixes.append(prefix)
    return prefixes


def _pairs_within(users: NDArray[np.intp], groups: NDArray[np.intp] | None = None) -> int:
    """Count the pairs of interactions of one user, in one group if groups are given."""
    keys = users if groups is None else users * (groups.max() + 1) + groups
    counts = np.unique(keys, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _against_chance(
    share: NDArray[np.float64], codes: NDArray[Any], items: NDArray[np.intp]
) -> PrefixSharing:
    """Add what two different items drawn by popularity share."""
    weights = np.bincount(items, minlength=len(codes))
    n_draws = len(items) ** 2  # ordered, with replacement; integers, so that nothing is lost
    same_item = _square_sum(weights)
    both = [_square_sum(np.bincount(prefix, weights)) - same_item for prefix in _prefixes(codes)]
    chance = np.array(both) / (n_draws - same_item)
    lift = np.divide(share, chance, out=np.full(len(share), np.nan), where=chance > 0)
    return PrefixSharing(share, chance, lift)


def _square_sum(counts: NDArray[Any]) -> int:
    counts = counts.astype(np.int64)
    return int((counts * counts).sum())


def _popularity_parts(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return 0 for the head, 1 for the middle, and 2 for the tail."""
    group = np.unique(-counts, return_inverse=True)[1]
    interactions = np.bincount(group, counts)
    before = (np.cumsum(interactions) - interactions)[group]
    part = np.minimum(3 * before // counts.sum(), 2).astype(np.intp)
    return np.where(counts > 0, part, 2)
