"""InteractionEmbedder: who touched what to item vectors, as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_rqvae._compat import Interval, StrOptions, fit_context
from sklearn_rqvae._guards import unchanged_by_failure, warn_caller
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.embedding._cooccurrence import cooccurrence_vectors
from sklearn_rqvae.embedding._histories import COLUMNS, Histories
from sklearn_rqvae.embedding._interaction_forms import item_keys

__all__ = ["InteractionEmbedder"]


class InteractionEmbedder(
    Versioned, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn item ids into vectors of how users behave towards the items.

    Items that users touch soon after one another get similar vectors. They are the view of an item
    that its text doesn't show; :class:`ViewFusion` joins both before semantic IDs are learned.

    The samples are the items, given by their ids, as in the table that a :class:`TextEmbedder`
    reads. The interactions reach `fit` beside them, by scikit-learn's metadata routing, or once and
    for all by the parameter `interactions`. Only give interactions that the recommender is trained
    on: vectors that have seen the users' next items hold what is to be predicted.

    Parameters
    ----------
    method : {"cooccurrence", "self-attention"}, default="cooccurrence"
        What learns the vectors:

        - "cooccurrence": decomposition of how often items are touched soon after one another, in
          seconds;
        - "self-attention": a small causal transformer that predicts each history's next item, by
          gradients, in minutes; needs the order of interactions.
    n_components : int, default=128
        Length of the vectors.
    window : int, default=5
        Largest number of steps between two interactions that count as a co-occurrence.
    decay : float, default=0.6
        Weight of a co-occurrence for each step more.
    max_length : int, default=20
        Number of last interactions of each history that self-attention learns from.
    max_epochs : int, default=30
        Passes over the histories of self-attention.
    min_interactions : int, default=1
        Items with fewer interactions count as items without any.
    columns : sequence of two or three str, default=("user", "item", "time")
        Columns of interactions in a data frame: user, item and time; without the last one, rows are
        in order. The second one also names the column of ids in an items table of several columns.
    interactions : sparse matrix, data frame, sequence of sequences or Histories, default=None
        The interactions, where `fit` is given none.
    random_state : int, RandomState instance or None, default=None
        Seeds what is drawn. Pass an int for the same vectors in each fit.
    verbose : int, default=0
        Shows a progress bar of self-attention's epochs if positive.

    Attributes
    ----------
    item_ids_ : ndarray of shape (n_known_items,)
        Ids of the items with a vector.
    vectors_ : ndarray of shape (n_known_items, `n_components`), dtype=float32
        Their vectors, of unit length.
    n_interactions_ : ndarray of int of shape (n_known_items,)
        Their numbers of interactions.
    n_features_in_ : int
        Always 1: the column of ids.

    See Also
    --------
    ViewFusion : Joins views of items, and fills in what new items lack.
    TextEmbedder : Turns item texts into vectors.
    Histories : Holds interactions, and splits off their last items.

    Notes
    -----
    With ``sklearn.set_config(enable_metadata_routing=True)``, pipelines, unions and searches hand
    the argument `interactions` of their `fit` on to this step. Searches cut metadata that happen to
    have one entry per row of `X`: give them :class:`Histories`.

    Examples
    --------
    >>> from sklearn_rqvae.embedding import InteractionEmbedder
    >>> histories = [["soap", "towel"], ["towel", "soap"], ["drill", "saw"], ["saw", "drill"]]
    >>> embedder = InteractionEmbedder(n_components=2, random_state=0)
    >>> vectors = embedder.fit_transform(["soap", "saw", "rope"], interactions=histories)
    >>> vectors.shape
    (3, 2)
    >>> bool(vectors[0] @ vectors[1] < 0.01)  # never touched by one user
    True
    >>> vectors[2]  # no interactions
    array([nan, nan], dtype=float32)
    """

    # Interactions are this step's own argument: no set_fit_request is needed for them.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"interactions": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [StrOptions({"cooccurrence", "self-attention"})],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="right")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "min_interactions": [Interval(Integral, 1, None, closed="left")],
        "columns": ["array-like"],
        "interactions": "no_validation",  # type: ignore[dict-item]
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        method: str = "cooccurrence",
        *,
        n_components: int = 128,
        window: int = 5,
        decay: float = 0.6,
        max_length: int = 20,
        max_epochs: int = 30,
        min_interactions: int = 1,
        columns: Sequence[str] = COLUMNS,
        interactions: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.n_components = n_components
        self.window = window
        self.decay = decay
        self.max_length = max_length
        self.max_epochs = max_epochs
        self.min_interactions = min_interactions
        self.columns = columns
        self.interactions = interactions
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    @unchanged_by_failure
    def fit(self, X: Any, y: Any = None, *, interactions: Any = None) -> InteractionEmbedder:
        """Learn a vector for each item that has interactions.

        Parameters
        ----------
        X : sequence of shape (n_samples,), or table with a column of item ids
            Ids of the items. Items with interactions get vectors whether they are in `X` or not.
        y : None
            Ignored.
        interactions : sparse matrix, data frame, sequence of sequences or Histories, default=None
            Interactions as :meth:`Histories.read` takes them; those of the constructor if None.
            The ids of a matrix's items are the numbers of its columns: read it with other ids by
            ``Histories.read(matrix, item_ids=...)``.

        Returns
        -------
        self : InteractionEmbedder
            The fitted embedder.

        Raises
        ------
        TypeError
            If `X` or `interactions` has none of the forms.
        ValueError
            If there are no interactions, none of an item in `X`, or too few for `method`.
        """
        keys = item_keys(X, self._item_column())
        histories = self._read(interactions)
        counts = histories.counts()
        known = np.flatnonzero(counts >= self.min_interactions)
        self._check_known(keys, histories, known)
        self._check_method(histories)
        vectors = self._learn(histories)
        self.item_ids_ = histories.item_ids[known]
        self.vectors_ = vectors[known]
        self.n_interactions_ = counts[known]
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the vectors of items by their ids.

        Parameters
        ----------
        X : sequence of shape (n_samples,), or table with a column of item ids
            Ids of the items.

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components), dtype=float32
            The vectors; rows of NaN for missing ids and items without interactions in `fit`.

        Raises
        ------
        TypeError
            If `X` isn't an ordered collection of ids.
        ValueError
            If `X` is empty or has several columns, none of them with the name in `columns`.
        """
        check_is_fitted(self)
        keys = item_keys(X, self._item_column())
        known = {key: row for row, key in enumerate(self.item_ids_.tolist())}
        rows = np.fromiter((known.get(key, -1) for key in keys), np.intp, len(keys))
        vectors = self.vectors_[rows]
        vectors[rows < 0] = np.nan
        return vectors

    @property
    def _n_features_out(self) -> int:
        """Number of names that `get_feature_names_out` makes."""
        return self.vectors_.shape[1]

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

    def _item_column(self) -> str:
        if len(self.columns) not in (2, 3):
            raise ValueError(
                f"columns={tuple(self.columns)!r} should name the columns of user, item and time, "
                "or of user and item alone where rows are in order."
            )
        return self.columns[1]

    def _read(self, interactions: Any) -> Histories:
        """Return the interactions of `fit`, else of the constructor."""
        if interactions is None:
            interactions = self.interactions
        if interactions is None:
            raise ValueError(
                "InteractionEmbedder has no interactions (interactions=None); give them to fit, "
                "fit(X, interactions=...), which in pipelines needs "
                "sklearn.set_config(enable_metadata_routing=True), or to the constructor."
            )
        return Histories.read(interactions, columns=self.columns)

    def _check_known(self, keys: list[Any], histories: Histories, known: NDArray[np.intp]) -> None:
        """Check that an item of `X` gets a vector."""
        if not np.isin(histories.positions(keys), known).any():
            raise ValueError(
                f"None of the {len(keys)} items in X has min_interactions={self.min_interactions} "
                f"interactions: ids in X are like {keys[0]!r}, those in interactions like "
                f"{histories.item_ids[:1].tolist()[0]!r}; give both the same ids of the same type."
            )

    def _check_method(self, histories: Histories) -> None:
        """Check what the method needs of the interactions."""
        if self.method == "self-attention" and not histories.is_ordered:
            raise ValueError(
                "method='self-attention' needs the order of interactions, which a users x items "
                "matrix doesn't hold; give a table with times or lists of item ids, or use "
                "method='cooccurrence'."
            )
        if np.diff(histories.starts).max() < 2:
            raise ValueError(
                f"The longest of {histories.n_users} histories has 1 interaction, but vectors are "
                "learned from items that one user touched; give users with two and more."
            )

    def _learn(self, histories: Histories) -> NDArray[np.float32]:
        """Return a vector for each item of the histories."""
        random_state = check_random_state(self.random_state)
        if self.method == "self-attention":
            from sklearn_rqvae.embedding._self_attention import self_attentive_vectors

            return self_attentive_vectors(
                histories,
                self.n_components,
                self.max_length,
                self.max_epochs,
                random_state,
                self.verbose,
            )
        n_components = min(self.n_components, histories.n_items)
        if n_components < self.n_components:
            warn_caller(
                f"n_components={self.n_components} is more than the {histories.n_items} items "
                f"span; the vectors have {n_components} components. Give a smaller n_components."
            )
        return cooccurrence_vectors(histories, n_components, self.window, self.decay, random_state)
