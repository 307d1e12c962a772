"""TextEmbedder: item texts to vectors, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import ceil
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
)
from sklearn_rqvae._guards import unchanged_by_failure
from sklearn_rqvae._rows._chunks import row_chunks
from sklearn_rqvae._validation import as_array
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.embedding._batch_tasks import BatchTasks
from sklearn_rqvae.embedding._ngrams import NgramEncoder
from sklearn_rqvae.embedding._sentence_model import SentenceModel
from sklearn_rqvae.embedding._texts import collect_texts, text_column_names

__all__ = ["TextEmbedder"]

NGRAM_MODELS = ("tfidf", "hashing")


class TextEmbedder(
    CallbackSupportMixin,
    Versioned,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Turn item texts into vectors.

    By default the vectors come from the texts' own character n-grams by latent semantic analysis:
    no download, no further dependency, thousands of texts per second. They know spelling, not
    meaning: *sofa* and *couch* are strangers. For meaning name a language model: the folder or hub
    name of a sentence-transformers model, or any object with ``encode(list of str)``.

    Each distinct text is encoded once. A fit depends on the set of texts alone, not on their order
    or repetitions. Of more than 65,536 distinct texts, n-grams are learned from a sample of that
    size, so that memory and time don't grow with the catalog.

    Parameters
    ----------
    model : {"tfidf", "hashing"}, str or object, default="tfidf"
        What encodes the texts:

        - "tfidf": TF-IDF of n-grams, projected by a truncated singular value decomposition;
        - "hashing": the same on hashed n-grams, which keeps no vocabulary;
        - another string: folder of a sentence-transformers model or its name on the Hugging Face
          hub; the local cache is tried first, and a model that can't be loaded is an error;
        - an object with ``encode(list of str)`` that returns an array of shape (n_texts, n_dims).
          It is a parameter like any other, so ``clone`` and pickles copy it: prefer a string where
          there is a choice.
    n_components : int, default=256
        Length of the n-gram vectors. Language models have their own.
    analyzer : {"char_wb", "char", "word"}, default="char_wb"
        What n-grams are made of: characters inside word boundaries, any characters, or words.
    ngram_range : tuple of two int, default=None
        Shortest and longest n-gram; (3, 4) for characters and (1, 2) for words if None.
    max_features : int or None, default=20_000
        Number of most frequent n-grams kept (None: all of them), or of columns that "hashing"
        counts in.
    text_columns : list of str or int, default=None
        Columns of a data frame (names) or a 2-dimensional array (positions) that are joined to an
        item's text; all of them if None.
    sep : str, default=" "
        Text between joined columns.
    batch_size : int, default=64
        Number of texts that a language model encodes at a time. Texts of similar length share a
        batch.
    device : str, default="auto"
        Device of a sentence-transformers model, such as "cpu" or "cuda"; "auto" takes the fastest
        available.
    normalize : bool, default=True
        Whether vectors are scaled to unit length. Texts without any known n-gram keep the zero
        vector.
    random_state : int, RandomState instance or None, default=None
        Seeds the randomized singular value decomposition, and the sample of a large catalog. Pass
        an int for the same vectors in each fit.
    store_model : bool, default=False
        Whether a pickle holds the weights of a sentence-transformers model. If not, it is loaded
        again by name.
    verbose : int, default=0
        Shows progress bars if positive: while n-grams are counted and projected, and while texts
        are embedded, in pipelines too. From version 1.9 scikit-learn's own callbacks see the
        batches of a language model in ``fit_transform``.

    Attributes
    ----------
    encoder_ : object
        What encodes the texts, by its method ``encode``.
    n_features_out_ : int
        Length of the vectors.
    n_features_in_ : int
        Number of columns that are joined; 1 for a plain sequence of texts.
    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Names of the joined columns, where fit was given a data frame.

    See Also
    --------
    sklearn_rqvae.RQVAETransformer : Learns semantic IDs from the vectors.

    Notes
    -----
    A text's n-gram vector is the same whatever else is in `X`. Language models compute in batches,
    whose rounding (about 1e-7) depends on the other texts in the batch.

    Examples
    --------
    >>> from sklearn_rqvae import TextEmbedder
    >>> texts = ["red lipstick", "rose lipstick", "hair dryer", "travel hair dryer"]
    >>> embedder = TextEmbedder(n_components=3, random_state=0)
    >>> vectors = embedder.fit_transform(texts)
    >>> vectors.shape, vectors.dtype
    ((4, 3), dtype('float32'))
    >>> similarity = vectors @ vectors.T
    >>> bool(similarity[0, 1] > similarity[0, 2])  # both lipsticks
    True
    >>> embedder.get_feature_names_out()
    array(['textembedder0', 'textembedder1', 'textembedder2'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [str, HasMethods("encode")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "analyzer": [StrOptions({"char_wb", "char", "word"})],
        "ngram_range": [tuple, None],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "text_columns": ["array-like", None],
        "sep": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "normalize": ["boolean"],
        "random_state": ["random_state"],
        "store_model": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: Any = "tfidf",
        *,
        n_components: int = 256,
        analyzer: str = "char_wb",
        ngram_range: tuple[int, int] | None = None,
        max_features: int | None = 20_000,
        text_columns: Sequence[Any] | None = None,
        sep: str = " ",
        batch_size: int = 64,
        device: str = "auto",
        normalize: bool = True,
        random_state: Any = None,
        store_model: bool = False,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.n_components = n_components
        self.analyzer = analyzer
        self.ngram_range = ngram_range
        self.max_features = max_features
        self.text_columns = text_columns
        self.sep = sep
        self.batch_size = batch_size
        self.device = device
        self.normalize = normalize
        self.random_state = random_state
        self.store_model = store_model
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @unchanged_by_failure
    def fit(self, X: Any, y: Any = None) -> TextEmbedder:
        """Learn the n-grams of the texts, or load the language model.

        Parameters
        ----------
        X : sequence of str, or data frame or 2-dimensional array with text columns
            The texts of shape (n_samples,), or columns to join. Missing values count as empty
            texts.
        y : None
            Ignored.

        Returns
        -------
        self : TextEmbedder
            The fitted embedder.

        Raises
        ------
        TypeError
            If a value is neither text nor missing.
        ValueError
            If there is no text, no text has an n-gram, or a column is missing.
        ImportError
            If `model` names a language model and sentence-transformers isn't installed.
        OSError
            If the language model can't be loaded.
        """
        texts = self._read_fit_texts(X)
        tasks = BatchTasks(self, 0, X)
        self._fit(texts)
        tasks.finish()
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @unchanged_by_failure
    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """Fit to the texts and return their vectors.

        Parameters
        ----------
        X : sequence of str, or data frame or 2-dimensional array with text columns
            The texts, as for `fit`.
        y : None
            Ignored.

        Returns
        -------
        vectors : ndarray of shape (n_samples, `n_features_out_`), dtype=float32
            The vectors, the same as ``fit(X).transform(X)``.
        """
        texts = self._read_fit_texts(X)
        by_ngrams = isinstance(self.model, str) and self.model in NGRAM_MODELS
        n_batches = 0 if by_ngrams else ceil(len(set(texts)) / self.batch_size)
        tasks = BatchTasks(self, 1 + n_batches, X)
        with tasks.batch():
            self._fit(texts)
        vectors = self._embed(texts, tasks)
        tasks.finish()
        return vectors

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of texts, seen in fit or not.

        Parameters
        ----------
        X : sequence of str, or data frame or 2-dimensional array with text columns
            The texts. A data frame needs the columns that fit joined; others are ignored.

        Returns
        -------
        vectors : ndarray of shape (n_samples, `n_features_out_`), dtype=float32
            The vectors.

        Raises
        ------
        TypeError
            If a value is neither text nor missing.
        ValueError
            If there is no text, a column is missing, or there are several although fit was given
            plain texts.
        """
        check_is_fitted(self)
        columns = text_column_names(
            X, self.text_columns if self._columns is None else self._columns
        )
        if self._columns is None and self.text_columns is None and len(columns or ()) > 1:
            raise ValueError(
                f"X has {len(columns or ())} columns, but fit was given plain texts; give the "
                "column of texts alone, or name it in text_columns."
            )
        return self._embed(collect_texts(X, columns, self.sep))

    @property
    def _n_features_out(self) -> int:
        """Number of names that `get_feature_names_out` makes."""
        return self.n_features_out_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        # The tag means numbers: scikit-learn's checks of two-dimensional input would feed random
        # floats.
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _read_fit_texts(self, X: Any) -> list[str]:
        """Return the texts of `X` and remember which columns they came from."""
        columns = text_column_names(X, self.text_columns)
        texts = collect_texts(X, columns, self.sep)
        self._columns = columns
        self.n_features_in_ = 1 if columns is None else len(columns)
        if hasattr(X, "columns") and all(isinstance(column, str) for column in columns or []):
            self.feature_names_in_ = np.asarray(columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_  # of an earlier fit
        return texts

    def _fit(self, texts: list[str]) -> None:
        """Make the encoder."""
        # The order and repetitions of rows must not matter.
        distinct = sorted(set(texts))
        if isinstance(self.model, str) and self.model in NGRAM_MODELS:
            encoder = self._make_ngram_encoder()
            random_state = check_random_state(self.random_state)
            self.encoder_: Any = encoder.fit(distinct, random_state, self.verbose)
            self.n_features_out_ = len(encoder.components_)
            return
        if isinstance(self.model, str):
            self.encoder_ = SentenceModel(
                self.model, None if self.device == "auto" else self.device, self.store_model
            ).load()
        else:
            self.encoder_ = self.model
        self.n_features_out_ = _encode_batch(self.encoder_, distinct[:1]).shape[1]

    def _make_ngram_encoder(self) -> NgramEncoder:
        """Build the n-gram encoder after checking its parameters together."""
        ngram_range = self.ngram_range
        if ngram_range is None:
            ngram_range = (1, 2) if self.analyzer == "word" else (3, 4)
        whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in ngram_range)
        if len(ngram_range) != 2 or not whole or not 1 <= ngram_range[0] <= ngram_range[1]:
            raise ValueError(
                f"ngram_range={ngram_range!r} should be two integers, 1 <= shortest <= longest, "
                "such as (3, 4)."
            )
        if self.model == "hashing" and self.max_features is None:
            raise ValueError(
                "max_features=None leaves the number of columns of model='hashing' open; give an "
                "integer."
            )
        return NgramEncoder(
            self.model, self.n_components, self.analyzer, ngram_range, self.max_features
        )

    def _embed(self, texts: list[str], tasks: BatchTasks | None = None) -> NDArray[np.float32]:
        """Return the vectors of texts, computing each distinct one once."""
        position: dict[str, int] = {}
        rows = np.fromiter((position.setdefault(text, len(position)) for text in texts), np.intp)
        distinct = list(position)
        vectors = np.empty((len(texts), self.n_features_out_), dtype=np.float32)
        found = vectors[: len(distinct)]
        if isinstance(self.encoder_, NgramEncoder):
            self.encoder_.encode(distinct, self.verbose, out=found)
        else:
            self._encode_in_batches(distinct, found, tasks)
        if self.normalize:
            for chunk in row_chunks(len(found), 4 * found.shape[1]):
                norms = np.linalg.norm(found[chunk], axis=1, keepdims=True)
                np.divide(found[chunk], norms, out=found[chunk], where=norms > 0)
        if len(distinct) < len(texts):
            _put_in_rows(vectors, rows)
        return vectors

    def _encode_in_batches(
        self, texts: list[str], vectors: NDArray[np.float32], tasks: BatchTasks | None
    ) -> None:
        """Set a language model's vectors; similar lengths share a batch to save padding."""
        from tqdm import tqdm

        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with tqdm(total=len(texts), unit="text", disable=not self.verbose) as progress:
            for start in range(0, len(texts), self.batch_size):
                rows = order[start : start + self.batch_size]
                with nullcontext() if tasks is None else tasks.batch():
                    batch = _encode_batch(self.encoder_, [texts[row] for row in rows])
                if batch.shape[1] != self.n_features_out_:
                    raise ValueError(
                        f"encode of model={self.model!r} returned vectors of length "
                        f"{batch.shape[1]}, but of length {self.n_features_out_} in fit; "
                        "a model needs one length for all texts."
                    )
                vectors[rows] = batch
                progress.update(len(rows))


def _put_in_rows(vectors: NDArray[np.float32], rows: NDArray[np.intp]) -> None:
    """Copy each vector to the rows of its text, in place.

    Vectors stand in the order in which texts first occur, so none is needed below its own row: from
    the last row upward nothing is overwritten that is still to be copied.
    """
    for chunk in reversed(list(row_chunks(len(rows), 4 * vectors.shape[1]))):
        vectors[chunk] = vectors[rows[chunk]]


def _encode_batch(encoder: Any, texts: list[str]) -> NDArray[np.float32]:
    """Return ``encoder.encode(texts)`` as an array after checking its shape and values."""
    vectors = np.asarray(as_array(encoder.encode(texts)), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0:
        raise ValueError(
            f"encode of {type(encoder).__name__} returned shape {vectors.shape} for {len(texts)} "
            "texts; it should return one vector per text, (n_texts, n_dims)."
        )
    if not np.isfinite(vectors).all():
        bad = texts[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        raise ValueError(
            f"encode of {type(encoder).__name__} returned a vector with NaN or infinity for the "
            f"text {bad[:60]!r}; vectors should be finite."
        )
    return vectors
