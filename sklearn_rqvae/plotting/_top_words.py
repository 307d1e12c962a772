"""The words that set groups of texts apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer

_MOST_TEXTS = 100_000  # more take minutes and change hardly a word


def top_words(
    texts: Sequence[str], group: np.ndarray, n_groups: int, n_words: int
) -> list[list[str]]:
    """Find the words that are frequent in a group and rare in the others.

    A word's weight in a group is m log((m / M) / (n / N)), with m of the group's M texts and n of
    all N texts having it: the pointwise divergence of the group from all texts [1]_. Only words
    that are more frequent in the group than elsewhere count, and of those that only one text of the
    group has, only if there are no others. Of more than 100,000 texts a random sample counts.

    Parameters
    ----------
    texts : sequence of str
        All texts.
    group : ndarray of shape (n_texts,)
        Group of each text, in ``[0, n_groups)``.
    n_groups : int
        Number of groups.
    n_words : int
        Number of words per group at most.

    Returns
    -------
    words : list of list of str
        Words of each group, most telling first.

    References
    ----------
    .. [1] Tomokiyo, T. and Hurst, M. "A language model approach to keyphrase extraction". ACL
       Workshop on Multiword Expressions, 2003.
    """
    if len(texts) > _MOST_TEXTS:
        rows = np.random.default_rng(0).choice(len(texts), _MOST_TEXTS, replace=False)
        texts, group = [texts[i] for i in rows], group[rows]
    counter = CountVectorizer(
        binary=True, stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b"
    )
    try:
        occurs = csr_array(counter.fit_transform(texts))
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return [[] for _ in range(n_groups)]
    vocabulary = counter.get_feature_names_out()
    membership = csr_array(
        (np.ones(len(group)), (group, np.arange(len(group)))), shape=(n_groups, len(group))
    )
    counts = csr_array(membership @ occurs)
    overall = occurs.sum(axis=0) / len(texts)
    n_texts = np.bincount(group, minlength=n_groups)
    words = []
    for row in range(n_groups):
        entry = slice(counts.indptr[row], counts.indptr[row + 1])
        column, count = counts.indices[entry], counts.data[entry]
        weight = count * np.log(count / n_texts[row] / overall[column])
        if (count[weight > 0] > 1).any():
            weight[count == 1] = 0
        order = np.lexsort((column, -weight))  # equal weights in alphabetical order
        telling = order[weight[order] > 0]
        words.append(vocabulary[column[telling[:n_words]]].tolist())
    return words
