"""What taking over a new fit would do to a catalog: which items move, from where to where."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._fitted import last_step, model_of
from sklearn_rqvae._validation import as_array, check_codes
from sklearn_rqvae.semantic_id._collisions._candidates import (
    EstimatorCandidates,
    chunks,
    take_rows,
)
from sklearn_rqvae.semantic_id._collisions._resolve import Items, Named, Rules, name_more
from sklearn_rqvae.semantic_id._item_ids import check_item_ids, hand_out, item_order
from sklearn_rqvae.semantic_id._level_sizes import check_codebooks, decide_sizes
from sklearn_rqvae.semantic_id._ordering import is_among
from sklearn_rqvae.semantic_id._store import IDStore

if TYPE_CHECKING:
    from sklearn_rqvae.semantic_id._index import SemanticIDIndex

__all__ = ["RefitPlan", "plan_refit"]


@dataclass(frozen=True, eq=False)
class RefitPlan:
    """Which items of a catalog get other IDs when it takes over a new fit.

    `SemanticIDIndex.plan_refit` makes it, and `SemanticIDIndex.apply` carries it out.

    Attributes
    ----------
    item_ids : ndarray of shape (n_moved,)
        Items that move.
    old_ids, new_ids : ndarray of int of shape (n_moved, width)
        From where, and to where.
    n_kept, n_added : int
        Items that keep their ID, and items that are new to the catalog.
    kept_prefix : list of float
        Share of the items that keep the first 1, 2, … codes of their IDs; NaN without items.
    after : SemanticIDIndex
        The catalog as it will be: a copy to ask whatever can be asked of a catalog.
    before : str
        Fingerprint of the catalog that the plan is for.
    """

    item_ids: NDArray[Any]
    old_ids: NDArray[np.int64]
    new_ids: NDArray[np.int64]
    n_kept: int
    n_added: int
    kept_prefix: list[float]
    after: SemanticIDIndex = field(repr=False)
    before: str = field(repr=False)

    @property
    def n_moved(self) -> int:
        """Number of items that move."""
        return len(self.item_ids)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame of the items that move: ``item_id``, ``old_id``, ``new_id``.

        Returns
        -------
        frame : pandas.DataFrame
            One row per item; IDs are tuples.
        """
        import pandas as pd

        ids = {"old_id": self.old_ids, "new_id": self.new_ids}
        columns = {name: list(map(tuple, array.tolist())) for name, array in ids.items()}
        return pd.DataFrame({"item_id": self.item_ids, **columns})

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain numbers and lists.

        Returns
        -------
        content : dict
            Names and values.
        """
        counts = {name: getattr(self, name) for name in ("n_kept", "n_moved", "n_added")}
        return {**counts, "kept_prefix": self.kept_prefix}

    def __str__(self) -> str:
        """Say it in a few lines."""
        n_items = self.n_kept + self.n_moved
        shares = " ".join(f"{share:.1%}" for share in self.kept_prefix)
        return (
            f"{self.n_kept} of {n_items} items keep their ID, {self.n_moved} move, "
            f"{self.n_added} are new\nkept by prefix: {shares}"
        )


def plan_refit(
    index: SemanticIDIndex,
    estimator: Any,
    X: Any,
    item_ids: Any,
    stability: float,
    release: bool,
) -> RefitPlan:
    """Say what `SemanticIDIndex.plan_refit` says."""
    if not stability >= 0:
        raise ValueError(f"stability={stability!r} should be at least 0.")
    rules, store = index._rules, index._store
    estimator, X = last_step(estimator, X)
    codes = check_codes(estimator.transform(X), n_levels=len(rules.sizes))
    items = check_item_ids(item_ids, len(codes))
    item_order(items)  # or says which one is there twice
    rows = store.packed.find(items)
    _check_all_there(store, items, rows)
    rules = _new_rules(index, estimator, codes)
    moves = np.flatnonzero(rows >= 0)
    own = store.layout.unpack(store.keys[rows[moves]], len(rules.sizes))
    differs = (codes[moves] != own).any(axis=1)
    moves, own = moves[differs], own[differs]
    stays = np.zeros(len(moves), dtype=bool)
    if stability > 0 and len(moves):
        stays |= _nearly_as_good(estimator, X, codes, moves, own, stability)
    if rules.collisions == "reassign" and len(moves):
        stays |= _still_displaced(rules, store, estimator, X, codes, rows, moves, own)
    named = _renamed(index, rules, estimator, X, codes, items, rows, moves[~stays], release)
    after = copy.copy(index)
    after._set(rules, named)
    old, new = index.ids_, after._store.layout.unpack(named.store.keys[: len(store)])
    same = np.logical_and.accumulate(old == new, axis=1)
    moved = np.flatnonzero(~same[:, -1])
    return RefitPlan(
        item_ids=hand_out(store.item_ids[moved]),
        old_ids=old[moved],
        new_ids=new[moved],
        n_kept=len(store) - len(moved),
        n_added=len(after) - len(store),
        kept_prefix=same.mean(axis=0).tolist() if len(same) else [float("nan")] * same.shape[1],
        after=after,
        before=index.fingerprint,
    )


def _check_all_there(store: IDStore, items: NDArray[Any], rows: NDArray[np.intp]) -> None:
    """Refuse a plan that leaves items of the catalog to the old model."""
    if items.dtype.kind != store.item_ids.dtype.kind:
        raise TypeError(
            "item_ids are integers and those of the catalog strings, or the other way "
            "round; convert the new ones."
        )
    there = np.zeros(len(store), dtype=bool)
    there[rows[rows >= 0]] = True
    if not there.all():
        first = store.item_ids[~there][:1].tolist()[0]
        raise ValueError(
            f"{int((~there).sum())} items of the catalog are missing, such as {first!r}; give "
            "vectors of all items, or remove these from the catalog first."
        )


def _new_rules(index: SemanticIDIndex, estimator: Any, codes: NDArray[Any]) -> Rules:
    """Return the rules with the codebooks and sizes of the new fit."""
    rules = index._rules
    codebooks = check_codebooks(getattr(estimator, "codebooks_", None), len(rules.sizes))
    given = index.codebook_sizes
    if given is None and codebooks is None:
        given = [max(size, int(c.max()) + 1) for size, c in zip(rules.sizes, codes.T, strict=True)]
    sizes = decide_sizes(given, codebooks, list(codes.T))
    for level, (size, before) in enumerate(zip(sizes, rules.sizes, strict=True)):
        if size < before:
            raise ValueError(
                f"the new model has {size} codes at level {level}, the catalog {before}, and IDs "
                "with them may be in use or retired; fit the model with a codebook_size of at "
                "least that, or build a new catalog by from_estimator."
            )
    return rules._replace(sizes=sizes, codebooks=codebooks, model=model_of(estimator))


def _nearly_as_good(
    estimator: Any,
    X: Any,
    codes: NDArray[Any],
    moves: NDArray[np.intp],
    own: NDArray[Any],
    stability: float,
) -> NDArray[np.bool_]:
    """Return whether an item's own codes cost less than `stability` times the mean error."""
    errors = _errors_of(estimator, X, np.arange(len(codes)), codes)
    added = _errors_of(estimator, X, moves, own) - errors[moves]
    return np.asarray(added <= stability * errors.mean())


def _errors_of(
    estimator: Any, X: Any, rows: NDArray[np.intp], codes: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the squared errors that some rows have with codes of theirs."""
    errors = np.empty(len(rows))
    for chunk in chunks(len(rows)):
        x = np.asarray(as_array(take_rows(X, rows[chunk])), dtype=np.float64)
        decoded = np.asarray(as_array(estimator.inverse_transform(codes[chunk])))
        errors[chunk] = ((x - decoded) ** 2).sum(axis=1)
    return errors


def _still_displaced(
    rules: Rules,
    store: IDStore,
    estimator: Any,
    X: Any,
    codes: NDArray[Any],
    rows: NDArray[np.intp],
    moves: NDArray[np.intp],
    own: NDArray[Any],
) -> NDArray[np.bool_]:
    """Return whether an item would be moved from another's ID again, and its own would do.

    Its own codes do if they are among the candidates that it would be moved to.
    """
    layout = store.repacked(rules.layout(0)).layout
    stay = np.setdiff1d(np.flatnonzero(rows >= 0), moves)
    taken = np.unique(layout.pack(list(codes[stay].T)))
    displaced = is_among(layout.pack(list(codes[moves].T)), taken)
    some = np.flatnonzero(displaced)
    if len(some):
        source = EstimatorCandidates(estimator, X)
        options = source.candidates(moves[some], rules.n_candidates)[0]
        displaced[some] = (options == own[some, None]).all(axis=2).any(axis=1)
    return np.asarray(displaced)


def _renamed(
    index: SemanticIDIndex,
    rules: Rules,
    estimator: Any,
    X: Any,
    codes: NDArray[Any],
    items: NDArray[Any],
    rows: NDArray[np.intp],
    moves: NDArray[np.intp],
    release: bool,
) -> Named:
    """Return the catalog with new IDs for some items and for new ones, rows in their old order."""
    store, n_old = index._store, len(index)
    added = np.flatnonzero(rows < 0)
    rest = store.without_rows(rows[moves], retire=not release and rules.collisions != "none")
    if tuple(rules.sizes) != store.layout.sizes[: len(rules.sizes)]:
        rest = rest.repacked(rules.layout(index._named.n_suffixes - 1))
    named = index._named._replace(store=rest)
    some = np.concatenate([moves, added])
    version = index._named.version + 1
    if not len(some):
        return named._replace(version=version)
    source = None
    if rules.collisions == "reassign":
        source = EstimatorCandidates(estimator, take_rows(as_array(X), some))
    named = name_more(rules, named, Items(list(codes[some].T), items[some], source))
    kept = np.setdiff1d(np.arange(n_old), rows[moves])
    place = np.concatenate([kept, rows[moves], np.arange(n_old, n_old + len(added))])
    order = np.argsort(place)
    keys, item_ids = named.store.keys[order], named.store.item_ids[order]
    by_key = np.argsort(order)[named.store.order]  # items that share an ID stay in their order
    layout, retired = named.store.layout, named.store.retired
    store = IDStore(layout, keys, by_key, item_ids, item_order(item_ids), retired)
    return named._replace(store=store, version=version)
