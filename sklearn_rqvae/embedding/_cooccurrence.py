"""Item vectors from which items are touched soon after one another, by one decomposition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd

from sklearn_rqvae.embedding._histories import Histories

__all__ = ["cooccurrence_counts", "cooccurrence_vectors"]

# Counts are divided by this power of both items' counts. With 1/2 the popularity of items is taken
# out entirely, and pairs of rare items outweigh what many users do.
POPULARITY_POWER = 0.25
N_POWER_ITERATIONS = 7


def cooccurrence_counts(histories: Histories, window: int, decay: float) -> csr_matrix:
    r"""Count how often two items are touched soon after one another.

    A pair that is :math:`g \le` `window` interactions apart counts :math:`\mathrm{decay}^{g - 1}`.
    Where the order isn't known, each pair of a user's :math:`n` items counts :math:`1 / (n - 1)`,
    so that each of a user's interactions has the same weight. An item's count with itself is its
    number of interactions.

    Parameters
    ----------
    histories : Histories
        The interactions.
    window : int
        Largest distance, at least 1.
    decay : float
        Weight of a step more, in (0, 1].

    Returns
    -------
    counts : csr_matrix of shape (n_items, n_items)
        Symmetric counts.
    """
    if histories.is_ordered:
        counts = _counts_in_window(histories, window, decay)
    else:
        counts = _counts_of_sets(histories)
    counts.setdiag(histories.counts())
    counts.eliminate_zeros()
    return counts


def cooccurrence_vectors(
    histories: Histories,
    n_components: int,
    window: int,
    decay: float,
    random_state: np.random.RandomState,
) -> NDArray[np.float32]:
    r"""Return unit vectors that are near for items with the same neighbors in histories.

    With :math:`C` the counts and :math:`c` their row sums, the vectors are the rows of
    :math:`U \Sigma^{1/2}` of the truncated singular value decomposition of

    .. math:: \ln(1 + C_{ij}) \, (c_i c_j)^{-1/4} ,

    scaled to unit length. Positive pointwise mutual information in its place [1]_ neighbored fewer
    of the items that users touched next, and so did a decomposition that keeps apart what comes
    before and after an item.

    Parameters
    ----------
    histories : Histories
        The interactions.
    n_components : int
        Length of the vectors, less than the number of items.
    window : int
        Largest distance that counts.
    decay : float
        Weight of a step more.
    random_state : RandomState
        Draws the start of the decomposition.

    Returns
    -------
    vectors : ndarray of shape (n_items, n_components), dtype=float32
        The vectors; zero for items without interactions.

    References
    ----------
    .. [1] Levy, O. and Goldberg, Y. "Neural word embedding as implicit matrix factorization".
       NeurIPS 2014.
    """
    counts = cooccurrence_counts(histories, window, decay)
    popularity = np.asarray(counts.sum(axis=1)).ravel()
    damping = diags(np.where(popularity > 0, popularity, 1) ** -POPULARITY_POWER)
    left, singular_values, _ = randomized_svd(
        damping @ counts.log1p() @ damping,
        n_components,
        n_iter=N_POWER_ITERATIONS,
        random_state=random_state,
    )
    vectors = left * np.sqrt(singular_values)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Items without interactions have rows of rounding errors.
    known = (popularity > 0)[:, None] & (lengths > 0)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=known).astype(np.float32)


def _counts_in_window(histories: Histories, window: int, decay: float) -> csr_matrix:
    """Count pairs of one user by their distance, in both directions."""
    shape = (histories.n_items, histories.n_items)
    users = np.repeat(np.arange(histories.n_users), np.diff(histories.starts))
    counts = csr_matrix(shape)
    for gap in range(1, window + 1):
        same = users[:-gap] == users[gap:]
        first, second = histories.items[:-gap][same], histories.items[gap:][same]
        weight = np.full(len(first), decay ** (gap - 1))
        counts += csr_matrix((weight, (first, second)), shape=shape)
    return csr_matrix(counts + counts.T)


def _counts_of_sets(histories: Histories) -> csr_matrix:
    """Count all pairs of a user, with the user's interactions sharing one weight each."""
    touched = csr_matrix(
        (np.ones(len(histories.items)), histories.items, histories.starts),
        shape=(histories.n_users, histories.n_items),
    )
    share = diags(1 / np.maximum(np.diff(histories.starts) - 1, 1))
    return csr_matrix(touched.T @ share @ touched)
