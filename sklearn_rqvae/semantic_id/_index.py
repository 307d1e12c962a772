"""The index: gives each item of a catalog its semantic ID, and keeps it as items come and go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from sklearn_rqvae._files._archive import damage_as_checkpoint_error
from sklearn_rqvae._fitted import last_step, model_of
from sklearn_rqvae._validation import check_codes
from sklearn_rqvae._versions import Versioned
from sklearn_rqvae.exceptions import VocabularyError
from sklearn_rqvae.semantic_id import _formats, _tokens
from sklearn_rqvae.semantic_id._catalog_files import FileCatalog
from sklearn_rqvae.semantic_id._catalog_tokens import TokenCatalog
from sklearn_rqvae.semantic_id._collisions._candidates import EstimatorCandidates, count_duplicates
from sklearn_rqvae.semantic_id._collisions._resolve import (
    Items,
    Named,
    Rules,
    check_rules,
    fitting_store,
    given_items,
    keep_ids,
    level_sizes,
    name_first,
    name_more,
)
from sklearn_rqvae.semantic_id._item_ids import check_item_ids
from sklearn_rqvae.semantic_id._journal import (
    Journal,
    appended,
    load_catalog,
    removed,
    save_catalog,
)
from sklearn_rqvae.semantic_id._level_sizes import (
    check_codebooks,
    check_growth,
    decide_sizes,
    grown_sizes,
)
from sklearn_rqvae.semantic_id._plan import RefitPlan, plan_refit
from sklearn_rqvae.semantic_id._saved import Content, catalog_of, plain_catalog

__all__ = ["SemanticIDIndex"]


class SemanticIDIndex(Versioned, TokenCatalog, FileCatalog, BaseEstimator):
    r"""Name every item of a catalog by a semantic ID, and find items by it.

    A quantizer maps equal vectors to equal codes, and similar ones often too. A catalog needs
    more: one ID per item, the same IDs tomorrow, and lookups in both directions. The result
    depends on the pairs of item and codes only, not on the order of the rows; building the index
    again gives the same IDs.

    Parameters
    ----------
    collisions : {"suffix", "reassign", "raise", "none"}, default="suffix"
        What to do when items have the same codes.

        - ``"suffix"``: append one more code to all IDs that counts the items with the same codes
          from 0, in the order of their item ids, as TIGER does [1]_. The codes stay what the
          quantizer says.
        - ``"reassign"``: IDs keep their length; items that collide spread over free IDs such that
          the total reconstruction error is the least possible over their candidates, or, where
          thousands compete, near it (``report_.error_gap``). Other items keep their IDs.
        - ``"raise"``: raise an error.
        - ``"none"``: let items share an ID.
    codebook_sizes : int or sequence of int, optional
        Number of codes at each level. If not given, it follows the codebooks of the estimator, or
        else the largest code seen.
    suffix_size : int, optional
        Number of codes reserved for the suffix, for a generator with a fixed vocabulary. If not
        given, there are as many as the largest group needs, and `append` asks before it adds any.
    n_candidates : int, default=32
        Candidates asked of the estimator for each colliding item. Items left without an ID get
        eight times as many, up to three times, among the IDs that are still free; those that
        share an ID then share a search, for their mean.
    max_items_per_id : int, optional
        With ``"reassign"`` and ``"raise"``, how many items may share an ID; 1 if not given. Only
        what an ID has no place for moves, or is an error.
    max_items_per_first_code : int, optional
        With ``"reassign"``, how many items may have the same first code. Where there are more,
        some of them get another one such that little error is added; all others keep theirs.

    Attributes
    ----------
    ids_ : ndarray of int of shape (n_items, width)
        Semantic IDs, in the order in which items were added. Computed at each access.
    codes_ : ndarray of int of shape (n_items, `n_levels_`)
        The same without the suffix: what an estimator's ``inverse_transform`` takes.
    item_ids_ : ndarray of shape (n_items,)
        Item ids in the same order, integers or strings.
    n_levels_ : int
        Levels of the quantizer.
    level_sizes_ : tuple of int of length width
        Number of codes at each position of an ID.
    codebooks_ : list of ndarray of shape (codebook_size, embed_dim), or None
        Codewords, if known.
    report_ : CollisionReport
        What the last `fit` or `append` met and did.
    version_ : int
        Number of changes since the catalog was built.

    Notes
    -----
    An item takes 20 bytes besides its strings as long as an ID fits 64 bits and item ids are
    integers that fit 32 bits: the packed ID, the item id, and its place in the order of each.

    References
    ----------
    .. [1] Rajput, S. et al. "Recommender systems with generative retrieval". arXiv:2305.05065,
       2023.

    Examples
    --------
    >>> from sklearn_rqvae.semantic_id import SemanticIDIndex
    >>> codes = [[3, 1], [3, 1], [0, 2]]
    >>> index = SemanticIDIndex().fit(codes, ["tea", "cup", "pen"])
    >>> index.ids_
    array([[3, 1, 1],
           [3, 1, 0],
           [0, 2, 0]])
    >>> index["tea"], index.item((3, 1, 0)), index.items((3,)).tolist()
    ((3, 1, 1), 'cup', ['cup', 'tea'])
    >>> index.append([[3, 1]], ["pot"], grow=True)
    array([[3, 1, 2]])
    """

    def __init__(
        self,
        collisions: str = "suffix",
        *,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        n_candidates: int = 32,
        max_items_per_id: int | None = None,
        max_items_per_first_code: int | None = None,
    ) -> None:
        self.collisions = collisions
        self.codebook_sizes = codebook_sizes
        self.suffix_size = suffix_size
        self.n_candidates = n_candidates
        self.max_items_per_id = max_items_per_id
        self.max_items_per_first_code = max_items_per_first_code

    # Building

    def fit(
        self,
        codes: Any,
        item_ids: Any = None,
        *,
        vectors: Any = None,
        candidates: tuple[Any, Any] | None = None,
        codebooks: Sequence[Any] | None = None,
        priority: Any = None,
    ) -> SemanticIDIndex:
        """Build the index from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n_items, n_levels)
            Codes as an estimator's ``transform`` returns them.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        vectors : array-like of shape (n_items, n_features), optional
            Vectors of the items, to count exact duplicates.
        candidates : tuple of (codes, errors), optional
            For ``collisions="reassign"``: IDs that each item could have, (n_items, n_candidates,
            n_levels), and their reconstruction errors, (n_items, n_candidates), infinite for
            entries that are none. An item's own codes must be among its candidates. See
            `from_estimator` and `last_level_candidates`.
        codebooks : sequence of array-like of shape (codebook_size, embed_dim), optional
            Codewords of each level: the sizes of the levels, the neighborhood in which
            reassignment looks for free IDs once candidates run out, and the vectors of
            `decoded_neighbors`.
        priority : array-like of shape (n_items,), optional
            Numbers, popularity for example. Among items with the same codes those of larger
            numbers come first: in look-ups of shared IDs, as suffixes, and where
            `max_items_per_id` or `max_items_per_first_code` lets some of them stay. By default in
            the order of item ids, and who stays is decided by the total error.

        Returns
        -------
        self : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If codes or ids are malformed or repeated, if there are collisions and
            ``collisions="raise"``, or if the IDs don't suffice for the items.
        TypeError
            If item ids are neither all integers nor all strings.
        """
        self._check_parameters()
        columns = _columns(codes, item_ids=item_ids)
        ids = check_item_ids(item_ids, len(columns[0]))
        items = given_items(columns, ids, vectors, candidates).ranked(priority)
        return self._fit(items, codebooks)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        item_ids: Any = None,
        collisions: str = "suffix",
        *,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        n_candidates: int = 32,
        max_items_per_id: int | None = None,
        max_items_per_first_code: int | None = None,
        priority: Any = None,
    ) -> SemanticIDIndex:
        """Encode vectors with a fitted estimator and index them.

        Parameters
        ----------
        estimator : object
            Fitted; has ``transform``, and for ``collisions="reassign"`` also ``candidate_codes(X,
            n_candidates)`` and ``inverse_transform``. Its ``codebooks_`` are used where it has
            them; where it is `verbose`, the search for candidates has a progress bar. Of a
            pipeline or a search, the quantizer at its end.
        X : array-like of shape (n_items, n_features)
            Vectors of the items, or whatever the pipeline takes.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        collisions : {"suffix", "reassign", "raise", "none"}, default="suffix"
            What to do when items have the same codes; see the class.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
        n_candidates : int, default=32
            Candidates asked of the estimator for each colliding item.
        max_items_per_id : int, optional
            How many items may share an ID; see the class.
        max_items_per_first_code : int, optional
            How many items may have the same first code; see the class.
        priority : array-like of shape (n_items,), optional
            Which of the items with the same codes come first; see `fit`.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError, TypeError
            As `fit` does; also if the estimator lacks what ``collisions="reassign"`` asks of it.
        """
        index = cls(
            collisions,
            codebook_sizes=codebook_sizes,
            suffix_size=suffix_size,
            n_candidates=n_candidates,
            max_items_per_id=max_items_per_id,
            max_items_per_first_code=max_items_per_first_code,
        )
        index._check_parameters()
        quantizer, rows = last_step(estimator, X)
        source = EstimatorCandidates(quantizer, rows) if collisions == "reassign" else None
        columns = _columns(quantizer.transform(rows))
        ids = check_item_ids(item_ids, len(columns[0]))
        codebooks = getattr(quantizer, "codebooks_", None)
        items = Items(columns, ids, source, count_duplicates(rows)).ranked(priority)
        return index._fit(items, codebooks, model_of(estimator))

    @classmethod
    def from_ids(
        cls,
        ids: Any,
        item_ids: Any = None,
        *,
        collisions: str = "raise",
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        max_items_per_id: int | None = None,
        priority: Any = None,
    ) -> SemanticIDIndex:
        """Index IDs that are final already, such as those in a file.

        Parameters
        ----------
        ids : array-like of int of shape (n_items, width)
            Semantic IDs; the last column is the suffix if ``collisions="suffix"``.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        collisions : {"suffix", "reassign", "raise", "none"}, default="raise"
            What `append` is to do with later items. No ID is changed here: shared IDs are an
            error, except with ``"none"``.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
        max_items_per_id : int, optional
            How many items may share an ID; see the class.
        priority : array-like of shape (n_items,), optional
            Which of the items that share an ID come first; see `fit`.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If two items have the same ID and `collisions` isn't ``"none"``.
        """
        index = cls(
            collisions,
            codebook_sizes=codebook_sizes,
            suffix_size=suffix_size,
            max_items_per_id=max_items_per_id,
        )
        index._check_parameters()
        columns, suffix = _columns(ids, item_ids=item_ids), None
        items = check_item_ids(item_ids, len(columns[0]))
        if collisions == "suffix":
            if len(columns) < 2:
                raise ValueError(
                    'ids have 1 column, which can\'t be codes and a suffix; use collisions="raise".'
                )
            *columns, suffix = columns
        rules = index._new_rules(decide_sizes(codebook_sizes, None, columns), None)
        index._set(rules, keep_ids(rules, Items(columns, items).ranked(priority), suffix))
        return index

    def append(
        self,
        codes: Any,
        item_ids: Any,
        *,
        vectors: Any = None,
        candidates: tuple[Any, Any] | None = None,
        priority: Any = None,
        grow: bool = False,
    ) -> NDArray[np.int64]:
        """Add items; the IDs of all others stay as they are.

        Parameters
        ----------
        codes : array-like of int of shape (n_new, n_levels)
            Codes of the new items.
        item_ids : array-like of int or str of shape (n_new,)
            Their ids, none of them in the index yet.
        vectors : array-like of shape (n_new, n_features), optional
            Vectors of the new items, to count exact duplicates among them.
        candidates : tuple of (codes, errors), optional
            As in `fit`.
        priority : array-like of shape (n_new,), optional
            Which of the new items with the same codes come first; all of them come behind those
            that are there.
        grow : bool, default=False
            Whether levels may get more codes than they have, the suffix too, where `codebook_sizes`
            or `suffix_size` don't fix them. A generator that is there already lacks their tokens.

        Returns
        -------
        ids : ndarray of int of shape (n_new, width)
            The new IDs, in the order of the rows. With ``collisions="suffix"`` they count on after
            the largest suffix of their codes; gaps are filled once `suffix_size` is reached.

        Raises
        ------
        ValueError
            As `fit` does, and if an item is in the index already. The index is then as it was
            before.
        VocabularyError
            If the items need more codes than there are, and `grow` isn't set.
        """
        self._check_fitted()
        columns = _columns(codes, self.n_levels_)
        with self._writing:
            ids = self._store.check_new(item_ids, len(columns[0]))
            items = given_items(columns, ids, vectors, candidates).ranked(priority)
            return self._append(items, grow)

    def append_from_estimator(
        self,
        estimator: Any,
        X: Any,
        item_ids: Any,
        *,
        priority: Any = None,
        grow: bool = False,
    ) -> NDArray[np.int64]:
        """Encode vectors with a fitted estimator and add them.

        Parameters
        ----------
        estimator : object
            The estimator that the index was built with.
        X : array-like of shape (n_new, n_features)
            Vectors of the new items.
        item_ids : array-like of int or str of shape (n_new,)
            Their ids, none of them in the index yet.
        priority : array-like of shape (n_new,), optional
            As in `append`.
        grow : bool, default=False
            Whether levels may get more codes than they have; see `append`.

        Returns
        -------
        ids : ndarray of int of shape (n_new, width)
            The new IDs, in the order of the rows.

        Raises
        ------
        ValueError, VocabularyError
            As `append` does; also if the index was built with another model: equal codes of two
            models say nothing of likeness.
        """
        self._check_fitted()
        model = model_of(estimator)
        self._check_model(model)
        quantizer, rows = last_step(estimator, X)
        reassigns = self._rules.collisions == "reassign"
        source = EstimatorCandidates(quantizer, rows) if reassigns else None
        columns = _columns(quantizer.transform(rows), self.n_levels_)
        with self._writing:
            self._check_model(model)  # another thread may have taken over a new one
            ids = self._store.check_new(item_ids, len(columns[0]))
            items = Items(columns, ids, source, count_duplicates(rows))
            return self._append(items.ranked(priority), grow)

    def remove(self, item_ids: Any, *, release: bool = False) -> SemanticIDIndex:
        """Take items out; all other IDs stay as they are.

        Parameters
        ----------
        item_ids : array-like of int or str
            Items to remove.
        release : bool, default=False
            Let later items have the freed IDs. By default an ID is never given to another item: a
            generator trained on it would take one for the other.

        Returns
        -------
        self : SemanticIDIndex
            The index.

        Raises
        ------
        KeyError
            If an item isn't in the index.
        """
        self._check_fitted()
        with self._writing:
            retire = not release and self._rules.collisions != "none"
            store = self._store.without_items(item_ids, retire=retire)
            change = partial(removed, item_ids, retire)
            named = self._named._replace(store=store, version=self.version_ + 1)
            self._set(self._rules, named, change)
        return self

    def plan_refit(
        self,
        estimator: Any,
        X: Any,
        item_ids: Any = None,
        *,
        stability: float = 0.0,
        release: bool = False,
    ) -> RefitPlan:
        """Say which items would get other IDs if the catalog took over a new fit.

        An item keeps its ID if the new model gives it the same codes. Others get a new ID by the
        rules of the catalog, and so do new items. Nothing changes until `apply`.

        Parameters
        ----------
        estimator : object
            The new model, fitted; has ``transform``, with `stability` also ``inverse_transform``,
            and what ``collisions="reassign"`` asks for in `from_estimator`. Of a pipeline or a
            search, the quantizer at its end.
        X : array-like of shape (n_items, n_features)
            Vectors of all items of the catalog, and of those to add, or whatever the pipeline
            takes.
        item_ids : array-like of int or str of shape (n_items,), optional
            Their ids; row numbers if not given.
        stability : float, default=0.0
            An item whose codes are others keeps its ID all the same if the new model decodes it
            to a squared error that is larger by at most so many times the mean error of all items.
        release : bool, default=False
            Let later items, and those that move, have the IDs that others move from. By default an
            ID is never given to another item.

        Returns
        -------
        plan : RefitPlan
            Items that move, from where and to where; the catalog as it would be.

        Raises
        ------
        ValueError
            If an item of the catalog is missing in `X`, the model has fewer levels or codes than
            the catalog, or the IDs don't suffice.
        """
        self._check_fitted()
        return plan_refit(self.snapshot(), estimator, X, item_ids, stability, release)

    def apply(self, plan: RefitPlan, *, grow: bool = False) -> SemanticIDIndex:
        """Carry out a plan of `plan_refit`, all at once.

        Parameters
        ----------
        plan : RefitPlan
            Made for this catalog as it is.
        grow : bool, default=False
            Whether levels may get more codes than they have; see `append`.

        Returns
        -------
        self : SemanticIDIndex
            The index. IDs that items have moved from are retired, unless the plan releases them.

        Raises
        ------
        ValueError
            If the catalog isn't what it was when the plan was made, or a level would grow.
        """
        self._check_fitted()
        with self._writing:
            if plan.before != self.fingerprint:
                raise ValueError(
                    "the catalog has changed since the plan was made, or it is another one; make "
                    "a new plan by plan_refit."
                )
            if not grow:
                check_growth(self.level_sizes_, plan.after.level_sizes_)
            self._set(plan.after._rules, plan.after._named)
        return self

    # In and out

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        format: str,
        *,
        collisions: str | None = None,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        item_type: str | None = None,
        id_column: str | None = None,
        item_ids: Any = None,
    ) -> SemanticIDIndex:
        """Read IDs that this package or another one wrote.

        No such file has retired IDs: a catalog that items are to be appended to is kept by `save`.

        Parameters
        ----------
        path : str or path-like
            File to read; for "parquet", "csv" and "jsonl" also a directory of part files.
        format : {"index.json", "flashrec", "npy", "parquet", "csv", "jsonl", "sidinspector", \
                "torcheasyrec", "grid", "recbole"}
            Its format; see `export`.
        collisions : {"suffix", "reassign", "raise", "none"}, optional
            As in `from_ids`; ``"suffix"`` says that the last code is a suffix. By default what the
            file tells, else ``"raise"``.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
        item_type : {"int", "str"}, optional
            What item ids are in a format that holds text only. By default text, also where all are
            digits; but numbers in a CSV file that has its texts in quotes, as `export` writes it.
        id_column : str, optional
            Column of the item ids; by default "item_id" or "id". Rows are numbered only where a
            file has no column but the codes.
        item_ids : array-like of int or str of shape (n_items,), optional
            Item ids for a file without.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If the file isn't in this format, IDs differ in length, or are shared and `collisions`
            isn't ``"none"``; if there is no column of item ids, but others that may hold them.
        """
        cls(collisions or "raise", suffix_size=suffix_size)._check_parameters()
        with _formats.errors_naming(path):
            content = _formats.read(path, format, item_type, id_column)
            return cls._from_content(content, collisions, codebook_sizes, suffix_size, item_ids)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        collisions: str | None = None,
        codebook_sizes: int | Sequence[int] | None = None,
        suffix_size: int | None = None,
        id_column: str | None = None,
    ) -> SemanticIDIndex:
        """Take IDs from a data frame as `to_frame` makes it.

        Parameters
        ----------
        frame : DataFrame
            Of pandas, polars or Arrow, with columns ``item_id``, ``code_0``, …, and ``suffix`` if
            there is one. In pandas the item ids may be the index, by that name.
        collisions : {"suffix", "reassign", "raise", "none"}, optional
            As in `read`.
        codebook_sizes : int or sequence of int, optional
            Number of codes at each level; see the class.
        suffix_size : int, optional
            Number of codes reserved for the suffix.
        id_column : str, optional
            Column of the item ids; by default "item_id" or "id".

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        ValueError
            If the frame has no item ids, but other columns or an index that may hold them, or lacks
            a level.
        """
        content = _formats.frame_content(frame, id_column)
        return cls._from_content(content, collisions, codebook_sizes, suffix_size, None)

    @classmethod
    def from_token_ids(
        cls,
        token_ids: Any,
        level_sizes: Sequence[int],
        item_ids: Any = None,
        *,
        offset: int = 0,
        collisions: str = "raise",
    ) -> SemanticIDIndex:
        """Take IDs from token ids as `to_token_ids` makes them.

        Parameters
        ----------
        token_ids : array-like of int of shape (n_items, width)
            Token ids.
        level_sizes : sequence of int of length width
            Number of codes at each level, the suffix included.
        item_ids : array-like of int or str of shape (n_items,), optional
            Distinct ids; row numbers if not given.
        offset : int, default=0
            Token id of the first code of the first level.
        collisions : {"suffix", "reassign", "raise", "none"}, default="raise"
            As in `from_ids`.

        Returns
        -------
        index : SemanticIDIndex
            The index.
        """
        ids = _tokens.token_ids_to_ids(token_ids, level_sizes, offset)
        content = _formats.FileContent(ids, item_ids, level_sizes, collisions)
        return cls._from_content(content, collisions, None, None, None)

    @classmethod
    def _from_content(
        cls,
        content: _formats.FileContent,
        collisions: str | None,
        codebook_sizes: int | Sequence[int] | None,
        suffix_size: int | None,
        item_ids: Any,
    ) -> SemanticIDIndex:
        collisions = collisions or content.collisions or "raise"
        if codebook_sizes is None and content.level_sizes is not None:
            n_levels = len(content.level_sizes) - (collisions == "suffix")
            codebook_sizes = list(content.level_sizes[:n_levels])
        if suffix_size is None and collisions == content.collisions:
            suffix_size = content.suffix_size
        index = cls.from_ids(
            content.ids,
            content.item_ids if item_ids is None else item_ids,
            collisions=collisions,
            codebook_sizes=codebook_sizes,
            suffix_size=suffix_size,
        )
        rules, named = index._rules._replace(model=content.model), index._named
        if collisions == content.collisions == "suffix" and content.level_sizes is not None:
            # The generator has tokens for these, also where their items have gone.
            n_suffixes = max(named.n_suffixes, content.level_sizes[-1])
            store = fitting_store(rules, named, n_suffixes)
            named = named._replace(store=store, n_suffixes=n_suffixes)
        index._set(rules, named)
        return index

    def save(self, path: str | os.PathLike[str], *, journal: bool | None = None) -> None:
        """Save the index, without pickle.

        The file is a zip archive of a JSON header and plain arrays. It's written beside `path` and
        renamed when complete, so that a crash leaves an existing file whole.

        Parameters
        ----------
        path : str or path-like
            File to write.
        journal : bool, optional
            Whether later changes are written, too: each to the end of ``path + ".journal"``, where
            it is on disk before it takes effect and `append` or `remove` returns. `load` makes
            these changes again, and `save` to the same path takes them into the file. By default
            a journal that is kept there goes on, and none is begun.

        Raises
        ------
        OSError
            If the file can't be written, or a journal that another index is writing lies beside
            it.
        """
        self._check_fitted()
        with self._writing:
            kept = save_catalog(path, self._content(), kept=self._journal, keep=journal)
            self._journal = kept

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, journal: bool = False) -> SemanticIDIndex:
        """Load an index that `save` wrote; runs no code from the file.

        Changes in the journal beside the file are made again. One that was being written when the
        process was killed counts as not made.

        Parameters
        ----------
        path : str or path-like
            File to read.
        journal : bool, default=False
            Whether to go on with the journal; see `save`.

        Returns
        -------
        index : SemanticIDIndex
            The index.

        Raises
        ------
        CheckpointError
            If the file isn't an index, is damaged, or comes from a later version of the format; if
            its journal is damaged, or belongs to another file.
        """
        (rules, named, sizes_given), kept = load_catalog(path, keep=journal)
        index = cls(
            rules.collisions,
            codebook_sizes=list(rules.sizes) if sizes_given else None,
            suffix_size=rules.suffix_size,
            n_candidates=rules.n_candidates,
            max_items_per_id=rules.max_items_per_id,
            max_items_per_first_code=rules.max_items_per_first_code,
        )
        index._set(rules, named)
        index._journal = kept
        return index

    # Inside

    # Not in the state: copies and pickles have none.
    _journal: Journal | None = None

    @property
    def _writing(self) -> Any:
        """Lock for whoever changes the index; readers need none."""
        return self.__dict__.setdefault("_lock", RLock())

    def _check_parameters(self) -> None:
        check_rules(
            self.collisions,
            self.suffix_size,
            self.n_candidates,
            self.max_items_per_id,
            self.max_items_per_first_code,
        )

    def _check_model(self, model: str | None) -> None:
        """Refuse an estimator other than the one that the index was built with."""
        known = self.model_fingerprint
        if None not in (known, model) and known != model:
            raise VocabularyError(
                f"the index has codes of the model {str(known)[:12]}…, the estimator is "
                f"{str(model)[:12]}…: the same code means something else. Append with the one that "
                "the index was built with, or build the index anew; append(codes, item_ids) takes "
                "codes as they are."
            )

    def _fit(
        self, items: Items, codebooks: Sequence[Any] | None, model: str | None = None
    ) -> SemanticIDIndex:
        codewords = check_codebooks(codebooks, len(items.columns))
        sizes = decide_sizes(self.codebook_sizes, codewords, items.columns)
        rules = self._new_rules(sizes, codewords)._replace(model=model)
        self._set(rules, name_first(rules, items))
        return self

    def _append(self, items: Items, grow: bool) -> NDArray[np.int64]:
        rules = self._rules
        if not self._sizes_given(rules):
            rules = rules._replace(sizes=grown_sizes(rules.sizes, items.columns))
        named = name_more(rules, self._named, items)
        if not grow:
            check_growth(self.level_sizes_, level_sizes(rules, named))
        self._set(rules, named, partial(appended, rules, named, items))
        return named.store.layout.unpack(named.store.last_keys(len(items.item_ids)))

    def _new_rules(self, sizes: list[int], codebooks: list[NDArray[Any]] | None) -> Rules:
        return Rules(
            self.collisions,
            sizes,
            self.suffix_size,
            self.n_candidates,
            codebooks,
            self.max_items_per_id,
            self.max_items_per_first_code,
        )

    def _set(
        self, rules: Rules, named: Named, change: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """Take over a catalog, all at once: whatever fails before leaves the index as it was."""
        with self._writing:
            if self._journal is not None and change is not None and self._journal.is_begun:
                self._journal.write(change())
            elif self._journal is not None:
                content = Content(rules, named, self._sizes_given(rules))
                save_catalog(self._journal.path, content, kept=self._journal, keep=True)
            self.__dict__.update(_rules=rules, _named=named)

    def __getstate__(self) -> dict[str, Any]:
        # Plain values and arrays of numbers, which every way of saving takes.
        state = super().__getstate__()
        for own in self._not_copied:
            state.pop(own, None)
        if self.__sklearn_is_fitted__():
            rules, named = state.pop("_rules"), state.pop("_named")
            content = Content(rules, named, self._sizes_given(rules))
            state["_header"], state["_arrays"] = plain_catalog(content)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "_store" in state:
            if "report_" in state:  # of version 0.1.0, which kept other attributes
                state["_report"] = state.pop("report_")
                state["_codebooks"] = state.pop("codebooks_")
                for name in Rules._fields:
                    state.setdefault(f"_{name}", state.get(name))
                state = {k: v for k, v in state.items() if k not in ("n_levels_", "_sizes_given")}
            state.setdefault("_max_items_per_id", None)
            state.setdefault("_max_items_per_first_code", None)
            for name, kind in (("_rules", Rules), ("_named", Named)):
                there = [field for field in kind._fields if f"_{field}" in state]
                state[name] = kind(**{field: state.pop(f"_{field}") for field in there})
        elif "_header" in state:
            header, arrays = state.pop("_header"), state.pop("_arrays")
            with damage_as_checkpoint_error("the pickle", "one of a SemanticIDIndex"):
                state["_rules"], state["_named"], _ = catalog_of(header, arrays)
        later = {"max_items_per_id": None, "max_items_per_first_code": None}
        super().__setstate__({**later, **state})


def _columns(codes: Any, n_levels: int | None = None, item_ids: Any = None) -> list[NDArray[Any]]:
    """Return the columns of checked codes, one for each level."""
    checked = check_codes(codes, n_levels=n_levels)
    n_rows, n_columns = checked.shape
    n_items = len(item_ids) if hasattr(item_ids, "__len__") else None
    # Nobody has IDs of more than some dozens of codes, and of more codes than items.
    if n_items == n_columns != n_rows or (n_items is None and n_columns > max(n_rows, 64)):
        raise ValueError(
            f"codes have the shape {(n_rows, n_columns)}, which reads as {n_rows} items with "
            f"{n_columns} codes each; a row should be an item: pass the transpose, codes.T."
        )
    return list(checked.T)
