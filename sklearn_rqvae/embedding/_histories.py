"""Who touched which items in what order, read from a matrix, a table or lists of item ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils import check_array

from sklearn_rqvae._validation import as_array

__all__ = ["Histories", "item_keys"]

COLUMNS = ("user", "item", "time")
WAYS_OUT = (
    "give a sparse users x items matrix, a data frame with the columns named in columns, or a "
    "list with one sequence of item ids per user"
)


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
            Names of a data frame's columns. Rows of one user at one time, or of one user if only
            two columns are named, count as ordered by position.
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
            If there is no interaction, a column or an id is missing, an entry is negative or not
            finite, or `item_ids` doesn't fit.
        """
        if isinstance(interactions, cls):
            return interactions
        if issparse(interactions):
            histories = _read_matrix(interactions, item_ids)
        elif item_ids is not None:
            raise ValueError(
                "item_ids names the columns of a sparse matrix, but interactions is a "
                f"{type(interactions).__name__}, which holds ids itself; leave item_ids out."
            )
        elif hasattr(interactions, "columns") or isinstance(interactions, Mapping):
            histories = _read_table(interactions, columns)
        else:
            histories = _read_lists(interactions)
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


def item_keys(X: Any, item_column: str, name: str = "X") -> list[Any]:
    """Return the item ids of a table's rows as Python values, None where they are missing.

    Parameters
    ----------
    X : sequence, 1-dimensional array or series, or table
        The ids, a table of one column of ids, or one with the column `item_column`.
    item_column : str
        Name of the ids' column where there are several.
    name : str
        What `X` is called in errors.

    Returns
    -------
    keys : list
        One id per row.

    Raises
    ------
    TypeError
        If `X` isn't an ordered collection of ids.
    ValueError
        If `X` has several columns and none has the name, or has no rows.
    """
    if hasattr(X, "columns"):
        available = list(X.columns)
        if item_column not in available and len(available) != 1:
            raise ValueError(
                f"{name} has no column {item_column!r}, only {available!r}; name the column of "
                "item ids in columns, or select it alone by a ColumnTransformer."
            )
        X = X[item_column if item_column in available else available[0]]
    keys = _as_list(X, name)
    if not keys:
        raise ValueError(f"{name} has 0 sample(s) while a minimum of 1 is required.")
    return [None if key is None or key != key else key for key in map(_plain, keys)]


def _plain(key: Any) -> Any:
    """Return pandas' missing values as None: comparing them gives neither true nor false."""
    return None if type(key).__name__ in ("NAType", "NaTType") else key


def _as_list(values: Any, name: str) -> list[Any]:
    """Return ids as Python values, whose equality and hash don't depend on numpy's types."""
    values = as_array(values)
    unordered = (str, bytes, Mapping, Set)
    if isinstance(values, unordered) or issparse(values) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} should be a list, array or series of item ids, got "
            f"{type(values).__name__} {values!r:.40}."
        )
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(f"{name} should hold one id per item, but has shape {values.shape}.")
        return values.tolist()
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _read_matrix(matrix: Any, item_ids: Any) -> Histories:
    """Read the positive entries of a sparse matrix."""
    matrix = check_array(matrix, accept_sparse="csr", input_name="interactions")
    matrix = csr_matrix(matrix, copy=True)
    matrix.sum_duplicates()
    if matrix.nnz and matrix.data.min() < 0:
        raise ValueError(
            f"interactions has the negative entry {matrix.data.min()}; entries count or mark "
            "interactions, so drop those that mean dislike."
        )
    matrix.eliminate_zeros()
    if item_ids is None:
        ids = np.arange(matrix.shape[1])
    else:
        ids = np.asarray(_as_list(item_ids, "item_ids"))
    if len(ids) != matrix.shape[1] or len(np.unique(ids)) < len(ids):
        raise ValueError(
            f"item_ids has {len(ids)} ids, {len(np.unique(ids))} of them distinct, but "
            f"interactions has {matrix.shape[1]} columns; give one id of its own to each."
        )
    starts = matrix.indptr.astype(np.intp)
    return Histories(matrix.indices.astype(np.intp), starts, ids, is_ordered=False)


def _read_table(table: Any, columns: Sequence[str]) -> Histories:
    """Read one interaction per row, in the order of times, else of rows."""
    if len(columns) not in (2, 3):
        raise ValueError(
            f"columns={tuple(columns)!r} should name the columns of user, item and time, or of "
            "user and item alone where rows are in order."
        )
    available = list(table.columns) if hasattr(table, "columns") else list(table)
    missing = [column for column in columns if column not in available]
    if missing:
        raise ValueError(
            f"interactions has no column {missing[0]!r}, only {available!r}; name existing "
            "columns in columns, as user, item, time."
        )
    users, times = (np.asarray(table[column]) for column in (columns[0], columns[-1]))
    keys = item_keys(table[columns[1]], columns[1], f"interactions[{columns[1]!r}]")
    _, user_rows = np.unique(users, return_inverse=True)
    order = np.argsort(times, kind="stable") if len(columns) == 3 else np.arange(len(keys))
    order = order[np.argsort(user_rows[order], kind="stable")]
    item_ids, items = _distinct(keys)
    starts = np.concatenate([[0], np.cumsum(np.bincount(user_rows))])
    return Histories(items[order], starts, item_ids)


def _read_lists(lists: Any) -> Histories:
    """Read one sequence of ids per user."""
    if isinstance(lists, (str, bytes, Set)) or not isinstance(lists, Iterable):
        raise TypeError(f"interactions is a {type(lists).__name__}; {WAYS_OUT}.")
    if isinstance(lists, np.ndarray) and lists.dtype != object:
        raise TypeError(
            f"interactions is a dense array of shape {lists.shape}, which may be a matrix or "
            f"a table; {WAYS_OUT}."
        )
    histories = [_as_list(history, f"interactions[{user}]") for user, history in enumerate(lists)]
    starts = np.concatenate([[0], np.cumsum([len(history) for history in histories], dtype=int)])
    keys = [key for history in histories for key in history]
    item_ids, items = _distinct(keys)
    return Histories(items, starts.astype(np.intp), item_ids)


def _distinct(keys: list[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct ids in sorted order, and each key's position among them."""
    if None in keys:
        raise ValueError(
            f"interactions has no item id in row {keys.index(None)}; drop rows without an item."
        )
    kinds = sorted({"a number" if not isinstance(key, str) else "str" for key in keys})
    if len(kinds) > 1:
        raise ValueError(
            "interactions mixes item ids that are str with others; convert them all to one type."
        )
    item_ids, items = np.unique(np.asarray(keys), return_inverse=True)
    return item_ids, items.astype(np.intp)
