"""Who touched which items, in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from sklearn_rqvae.embedding._interaction_forms import (
    item_keys,
    read_lists,
    read_matrix,
    read_table,
)

__all__ = ["COLUMNS", "Histories"]

COLUMNS = ("user", "item", "time")


class Histories:
    """Hold the items that each user touched, oldest first.

    Interactions come in three forms, which :meth:`read` turns into this one. Transformers that are
    given a raw form read it themselves; read it beforehand to keep the last items of all histories
    for an evaluation (:meth:`without_last`, :meth:`last`), or to hand interactions through a
    search: scikit-learn's searches cut metadata that happen to have as many rows as the items
    table, and this class has neither length nor shape, so it is passed on whole.

    Objects are not changed after they are made, so copies, also those by ``clone``, are the object
    itself.

    Parameters
    ----------
    items : ndarray of int of shape (n_interactions,)
        Position in `item_ids` of each interaction's item, user after user, oldest first.
    starts : ndarray of int of shape (n_users + 1,)
        Where each user's interactions start in `items`; the last entry is their end.
    item_ids : ndarray of shape (n_items,)
        The items' ids, distinct.
    is_ordered : bool, default=True
        Whether the order of a user's interactions is known.

    See Also
    --------
    InteractionEmbedder : Learns item vectors from histories.

    Examples
    --------
    >>> from sklearn_rqvae.embedding import Histories
    >>> histories = Histories.read([["soap", "towel", "comb"], ["comb", "brush"]])
    >>> histories.n_users, histories.n_items
    (2, 4)
    >>> histories.last()
    array(['comb', 'brush'], dtype='<U5')
    >>> [history.tolist() for history in histories.without_last().split()]
    [['soap', 'towel'], ['comb']]
    """

    def __init__(
        self,
        items: NDArray[np.intp],
        starts: NDArray[np.intp],
        item_ids: NDArray[Any],
        is_ordered: bool = True,
    ) -> None:
        self.items = items
        self.starts = starts
        self.item_ids = item_ids
        self.is_ordered = is_ordered

    def __deepcopy__(self, memo: dict[int, Any]) -> Histories:
        return self

    def __repr__(self) -> str:
        order = "ordered" if self.is_ordered else "unordered"
        return (
            f"Histories({self.n_users} users, {self.n_items} items, "
            f"{len(self.items)} {order} interactions)"
        )

    @classmethod
    def read(
        cls,
        interactions: Any,
        *,
        columns: Sequence[str] = COLUMNS,
        item_ids: Any = None,
    ) -> Histories:
        """Read interactions in any of their forms.

        Parameters
        ----------
        interactions : sparse matrix, data frame, sequence of sequences, or Histories
            The interactions:

            - a sparse matrix of shape (n_users, n_items): positive entries are interactions in
              unknown order;
            - a data frame, or a mapping of equally long columns, with one interaction per row;
            - one sequence of item ids per user, oldest first;
            - histories, which are returned as they are.
        columns : sequence of two or three str, default=("user", "item", "time")
            Names of a data frame's columns. Times are numbers, dates, or text that holds numbers or
            ISO dates. Rows of one user at one time, or of one user if only two columns are named,
            count as ordered by position.
        item_ids : array-like of shape (n_items,), default=None
            Ids of a matrix's columns; their numbers if None.

        Returns
        -------
        histories : Histories
            The interactions.

        Raises
        ------
        TypeError
            If `interactions` has none of the forms.
        ValueError
            If there is no interaction, a column, an id or a time is missing, an entry is negative
            or not finite, or `item_ids` doesn't fit.
        """
        if isinstance(interactions, cls):
            return interactions
        if item_ids is not None and not issparse(interactions):
            raise ValueError(
                "item_ids names the columns of a sparse matrix, but interactions is a "
                f"{type(interactions).__name__}, which holds ids itself; leave item_ids out."
            )
        if issparse(interactions):
            histories = cls(*read_matrix(interactions, item_ids))
        elif hasattr(interactions, "columns") or isinstance(interactions, Mapping):
            histories = cls(*read_table(interactions, columns))
        else:
            histories = cls(*read_lists(interactions))
        if len(histories.items) == 0:
            raise ValueError("interactions is empty; give at least one interaction.")
        return histories

    @property
    def n_users(self) -> int:
        """Number of histories, empty ones too."""
        return len(self.starts) - 1

    @property
    def n_items(self) -> int:
        """Number of items with an id, touched or not."""
        return len(self.item_ids)

    def counts(self) -> NDArray[np.intp]:
        """Return how often each item was touched.

        Returns
        -------
        counts : ndarray of int of shape (n_items,)
            Number of interactions, in the order of `item_ids`.
        """
        return np.bincount(self.items, minlength=self.n_items)

    def split(self) -> list[NDArray[Any]]:
        """Return one array of item ids per user.

        Returns
        -------
        histories : list of ndarray
            The ids, oldest first.
        """
        return np.split(self.item_ids[self.items], self.starts[1:-1])

    def last(self) -> NDArray[Any]:
        """Return the last item of each history that has more than one.

        Returns
        -------
        targets : ndarray of shape (n_targets,)
            Item ids, one for each history that :meth:`without_last` shortens.

        Raises
        ------
        ValueError
            If the order of interactions isn't known.
        """
        self._check_ordered("last")
        return self.item_ids[self.items[self.starts[1:][np.diff(self.starts) > 1] - 1]]

    def without_last(self) -> Histories:
        """Return the histories without their last items, which may then serve as targets.

        Histories of a single item are left as they are. Ids are kept, also those of items that
        occur nowhere else.

        Returns
        -------
        histories : Histories
            The shortened histories.

        Raises
        ------
        ValueError
            If the order of interactions isn't known.
        """
        self._check_ordered("without_last")
        lengths = np.diff(self.starts)
        keep = np.ones(len(self.items), dtype=bool)
        keep[self.starts[1:][lengths > 1] - 1] = False
        starts = np.concatenate([[0], np.cumsum(lengths - (lengths > 1))])
        return Histories(self.items[keep], starts, self.item_ids)

    def only(self, item_ids: Any) -> Histories:
        """Return the histories without interactions of other items.

        Logs know items that a catalog hasn't, and measures of a catalog's codes refuse these.

        Parameters
        ----------
        item_ids : array-like of shape (n_items,)
            Ids of the items to keep; some of them may be touched by nobody.

        Returns
        -------
        histories : Histories
            As many histories, some of them perhaps empty.

        Raises
        ------
        ValueError
            If no interaction is left.
        """
        keys = item_keys(item_ids, COLUMNS[1], "item_ids")
        keep = np.isin(self.items, self.positions(keys))
        if not keep.any():
            raise ValueError(
                f"no interaction is of the {len(keys)} items given, such as {keys[0]!r}; items "
                f"here are like {self.item_ids[:1].tolist()[0]!r}: give ids of the same type."
            )
        starts = np.concatenate([[0], np.cumsum(keep)])[self.starts]
        return Histories(self.items[keep], starts, self.item_ids, self.is_ordered)

    def positions(self, keys: list[Any]) -> NDArray[np.intp]:
        """Return where ids stand in `item_ids`.

        Parameters
        ----------
        keys : list
            Item ids, as `item_keys` returns them.

        Returns
        -------
        positions : ndarray of int of shape (n_keys,)
            Positions, -1 for ids that have none.
        """
        known = {key: position for position, key in enumerate(self.item_ids.tolist())}
        return np.fromiter((known.get(key, -1) for key in keys), np.intp, len(keys))

    def _check_ordered(self, method: str) -> None:
        if not self.is_ordered:
            raise ValueError(
                f"{method} needs the order of interactions, which a users x items matrix doesn't "
                "hold; read a table with times or lists of item ids instead."
            )
