"""Which nodes of a trie lead to an allowed row, looked up when it is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AllowedRows"]


class AllowedRows:
    """Stand for an array of flags, one for each node of a level, none of which is computed yet.

    A decoder asks for thousands of nodes; to tell it of ten million takes a tenth of a second.

    Parameters
    ----------
    allowed : ndarray of bool of shape (n_rows,)
        Which rows are allowed.
    order : ndarray of int of shape (n_rows,) or None
        The rows in the order of nodes; None if they are in it.
    starts : ndarray of int of shape (n_nodes + 1,) or None
        Where the rows of each node begin in that order, and where the last one's end; None where
        each node has one row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_rqvae.semantic_id._trie_allowed import AllowedRows
    >>> allowed = AllowedRows(np.array([True, False, False]), None, np.array([0, 2, 3]))
    >>> allowed[np.array([1, 0])], np.asarray(allowed)
    (array([False,  True]), array([ True, False]))
    """

    def __init__(
        self, allowed: NDArray[np.bool_], order: NDArray[Any] | None, starts: NDArray[Any] | None
    ) -> None:
        self.allowed = allowed
        self.order = order
        self.starts = starts

    def __getitem__(self, nodes: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the flags of nodes."""
        if self.starts is None:
            return self._of_places(nodes)
        starts = self.starts[nodes].astype(np.intp)
        counts = self.starts[nodes + 1] - starts
        firsts = np.cumsum(counts) - counts
        places = np.repeat(starts - firsts, counts) + np.arange(counts.sum())
        return np.asarray(np.logical_or.reduceat(self._of_places(places), firsts))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.bool_]:
        n_nodes = len(self.allowed) if self.starts is None else len(self.starts) - 1
        return self[np.arange(n_nodes)]

    def _of_places(self, places: NDArray[Any]) -> NDArray[np.bool_]:
        return self.allowed[places if self.order is None else self.order[places]]
