"""Latent semantic analysis of character or word n-grams, on scikit-learn alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.extmath import randomized_svd

from sklearn_rqvae._guards import warn_caller

__all__ = ["NgramEncoder"]

# Power iterations of the randomized SVD. On 12,000 product titles, 5 keep 99.4 % of the energy that
# the exact decomposition keeps, in two thirds of its time; 2 keep 96.7 %.
N_POWER_ITERATIONS = 5
# Texts that are counted at a time: keeps the sparse matrix small however many texts there are.
CHUNK_TEXTS = 8192
# Distinct texts that a fit learns from; of more, a sample of this size is drawn.
MOST_TEXTS = 65_536


class NgramEncoder:
    r"""Encode texts by weighted n-gram counts, projected on their leading singular directions.

    The counts are :math:`(1 + \ln \mathrm{tf}) \cdot \mathrm{idf}`, scaled to unit length [1]_;
    with :math:`U \Sigma V^\top` their truncated singular value decomposition over the training
    texts, a text's vector is its row times :math:`V` [2]_. Each row is computed alone, so a text's
    vector doesn't depend on its neighbors.

    Parameters
    ----------
    weights : {"tfidf", "hashing"}
        Count the n-grams of a vocabulary, or hash them into a fixed number of columns.
    n_components : int
        Length of the vectors; less where the texts have fewer directions.
    analyzer : {"char_wb", "char", "word"}
        What an n-gram is made of.
    ngram_range : tuple of two int
        Shortest and longest n-gram.
    max_features : int or None
        Number of most frequent n-grams kept, or of columns hashed into.

    References
    ----------
    .. [1] Salton, G. and Buckley, C. "Term-weighting approaches in automatic text retrieval".
       Information Processing & Management 24(5), 1988.
    .. [2] Deerwester, S. et al. "Indexing by latent semantic analysis". JASIS 41(6), 1990.
    """

    def __init__(
        self,
        weights: str,
        n_components: int,
        analyzer: str,
        ngram_range: tuple[int, int],
        max_features: int | None,
    ) -> None:
        self.weights = weights
        self.n_components = n_components
        self.analyzer = analyzer
        self.ngram_range = ngram_range
        self.max_features = max_features

    def fit(
        self, texts: Sequence[str], random_state: np.random.RandomState, verbose: int = 0
    ) -> NgramEncoder:
        """Learn the n-grams' weights and the projection from distinct texts, or a sample of them.

        Parameters
        ----------
        texts : sequence of str
            Distinct texts in an order that depends on nothing else.
        random_state : RandomState
            Draws the sample and the start of the decomposition.
        verbose : int, default=0
            Shows progress bars if positive.
        """
        if len(texts) > MOST_TEXTS:
            drawn = random_state.choice(len(texts), MOST_TEXTS, replace=False)
            texts = [texts[row] for row in np.sort(drawn)]
        self.counter_ = self._make_counter()
        try:
            counts = self.counter_.fit_transform(_bar(texts, "counting n-grams", verbose))
            n_ngrams = counts.nnz
        except ValueError as error:  # scikit-learn's way to say that no text has an n-gram
            raise ValueError(self._no_ngrams_message(len(texts))) from error
        if n_ngrams == 0:
            raise ValueError(self._no_ngrams_message(len(texts)))
        n_directions = min(counts.shape)
        if n_directions < self.n_components:
            warn_caller(
                f"n_components={self.n_components} is more than {counts.shape[0]} distinct texts "
                f"with {counts.shape[1]} different n-grams span; the vectors have {n_directions} "
                "components. Give more texts or a smaller n_components."
            )
        for n_kept in _bar([min(self.n_components, n_directions)], "finding directions", verbose):
            _, _, components = randomized_svd(
                counts, n_kept, n_iter=N_POWER_ITERATIONS, random_state=random_state
            )
        # Column order makes the transpose contiguous, which the sparse product of `encode` would
        # copy otherwise.
        self.components_ = np.asfortranarray(components, dtype=np.float32)
        return self

    def encode(
        self, texts: Sequence[str], verbose: int = 0, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return one vector per text, (n_texts, n_components); zero where no n-gram is known."""
        shape = len(texts), len(self.components_)
        vectors = np.empty(shape, dtype=np.float32) if out is None else out
        starts = range(0, len(texts), CHUNK_TEXTS)
        for start in _bar(starts, f"embedding {CHUNK_TEXTS} texts each", verbose):
            chunk = slice(start, start + CHUNK_TEXTS)
            counts: csr_matrix = self.counter_.transform(texts[chunk])
            vectors[chunk] = counts @ self.components_.T
        return vectors

    def _make_counter(self) -> Pipeline:
        """Build the unfitted step from texts to weighted counts."""
        if self.weights == "hashing":
            counter = HashingVectorizer(
                analyzer=self.analyzer,
                ngram_range=self.ngram_range,
                n_features=self.max_features,
                norm=None,
                alternate_sign=False,  # the logarithm below needs counts, not signed sums
                dtype=np.float32,
            )
            return make_pipeline(counter, TfidfTransformer(sublinear_tf=True))
        return make_pipeline(
            TfidfVectorizer(
                analyzer=self.analyzer,
                ngram_range=self.ngram_range,
                max_features=self.max_features,
                sublinear_tf=True,
                dtype=np.float32,
            )
        )

    def _no_ngrams_message(self, n_texts: int) -> str:
        return (
            f"None of the {n_texts} distinct texts has an n-gram (analyzer={self.analyzer!r}, "
            f"ngram_range={self.ngram_range}); check that the texts aren't empty, or lower "
            "ngram_range."
        )


def _bar(steps: Sequence[Any], what: str, verbose: int) -> Iterable[Any]:
    """Return the steps, with a progress bar if asked for."""
    if not verbose:
        return steps
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(steps, desc=what)
    return bar
