"""From codes to unique IDs: the first items of a catalog, later ones, and IDs that are final."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._collisions._candidates import (
    FirstCodeSource,
    GivenCandidates,
    count_duplicates,
)
from sklearn_rqvae.semantic_id._collisions._first_codes import (
    SameFirstCode,
    spread_first_codes,
)
from sklearn_rqvae.semantic_id._collisions._places import (
    overflow,
    reassign_places,
    taken_places,
)
from sklearn_rqvae.semantic_id._collisions._reassign import reassign
from sklearn_rqvae.semantic_id._collisions._suffix import suffixes
from sklearn_rqvae.semantic_id._collisions._taken import TakenIDs
from sklearn_rqvae.semantic_id._item_ids import item_order
from sklearn_rqvae.semantic_id._keys import MAX_CODEBOOK_SIZE, KeyLayout
from sklearn_rqvae.semantic_id._level_sizes import (
    check_codewords,
    check_range,
    layout_with_suffix,
)
from sklearn_rqvae.semantic_id._ordering import (
    canonical_order,
    in_group,
    position_in_group,
)
from sklearn_rqvae.semantic_id._report import CollisionReport, collision_error, describe_groups
from sklearn_rqvae.semantic_id._store import IDStore

__all__ = [
    "Items",
    "Named",
    "Rules",
    "check_rules",
    "fitting_store",
    "given_items",
    "keep_ids",
    "level_sizes",
    "name_first",
    "name_more",
]

COLLISIONS = ("suffix", "reassign", "raise", "none")

# What a difference leaves of two sums of errors that are equal but for their rounding.
_ROUNDING = 1e-12


class Rules(NamedTuple):
    """How items get their IDs; `SemanticIDIndex` explains the words."""

    collisions: str
    sizes: list[int]
    suffix_size: int | None
    n_candidates: int
    codebooks: list[NDArray[Any]] | None
    max_items_per_id: int | None = None
    max_items_per_first_code: int | None = None
    model: str | None = None  # fingerprint of the estimator that the codes are from, if known

    def layout(self, largest_suffix: int) -> KeyLayout:
        """Return how IDs are packed."""
        if self.collisions != "suffix":
            return KeyLayout(self.sizes)
        return layout_with_suffix(self.sizes, self.suffix_size, largest_suffix)


class Items(NamedTuple):
    """Items to be named: their codes by level, their ids, and what may come with them.

    Those with the same ID stand in the order of `ties`, or else of item ids.
    """

    columns: list[NDArray[Any]]
    item_ids: NDArray[Any]
    source: FirstCodeSource | SameFirstCode | None = None
    n_duplicates: int | None = None
    ties: NDArray[np.intp] | None = None

    def order_of(self, keys: NDArray[Any]) -> NDArray[np.intp]:
        """Sort by key, and where these are equal as the items are to stand."""
        return canonical_order(keys, self.item_ids if self.ties is None else self.ties)

    def ranked(self, priority: Any) -> Items:
        """Return the items with those of the largest priority first, then by item id."""
        if priority is None:
            return self
        values = np.asarray(as_array(priority))
        if values.shape != self.item_ids.shape or values.dtype.kind not in "iuf":
            raise ValueError(
                f"priority is of {values.dtype} and shape {values.shape}, but there are "
                f"{len(self.item_ids)} items; give one number for each."
            )
        if not np.isfinite(values).all():
            raise ValueError("priority has NaN or infinity; give finite numbers.")
        # Ranks rather than minus the values, which unsigned integers don't have.
        falling = -np.unique(values, return_inverse=True)[1]
        ties = np.empty(len(values), dtype=np.intp)
        ties[canonical_order(falling, self.item_ids)] = np.arange(len(values))
        return self._replace(ties=ties)


class Named(NamedTuple):
    """A catalog's IDs, the number of suffixes in use, what naming took, and changes since."""

    store: IDStore
    n_suffixes: int
    report: CollisionReport
    version: int = 0


def level_sizes(rules: Rules, named: Named) -> tuple[int, ...]:
    """Return the number of codes at each position of an ID."""
    if rules.collisions != "suffix":
        return tuple(rules.sizes)
    return (*rules.sizes, rules.suffix_size or named.n_suffixes)


def check_rules(
    collisions: Any,
    suffix_size: Any,
    n_candidates: Any,
    max_items_per_id: Any = None,
    max_items_per_first_code: Any = None,
) -> None:
    """Refuse parameters that are no rules."""
    if collisions not in COLLISIONS:
        raise ValueError(
            f"collisions={collisions!r} should be one of {', '.join(map(repr, COLLISIONS))}."
        )
    for name, value in (
        ("suffix_size", suffix_size),
        ("n_candidates", n_candidates),
        ("max_items_per_id", max_items_per_id),
        ("max_items_per_first_code", max_items_per_first_code),
    ):
        if value is None and name != "n_candidates":
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r} should be a positive integer.")
    if max_items_per_id is not None and collisions not in ("reassign", "raise"):
        raise ValueError(
            f'max_items_per_id={max_items_per_id} has no meaning with collisions="{collisions}": '
            + (
                "each ID names one item there, and suffix_size"
                if collisions == "suffix"
                else 'any number of items share an ID there; "reassign" or "raise"'
            )
            + " limits how many items may have the same codes."
        )
    if max_items_per_first_code is not None and collisions != "reassign":
        raise ValueError(
            f"max_items_per_first_code={max_items_per_first_code} has no meaning with "
            f'collisions="{collisions}": items keep the codes of the quantizer there; use '
            '"reassign", which moves those that are too many.'
        )
    if max_items_per_id is not None and max_items_per_id > MAX_CODEBOOK_SIZE:
        raise ValueError(f"max_items_per_id={max_items_per_id} should be at most 2**32.")
    if suffix_size is not None and suffix_size > MAX_CODEBOOK_SIZE:
        raise ValueError(f"suffix_size={suffix_size} should be at most {MAX_CODEBOOK_SIZE}.")


def given_items(
    columns: list[NDArray[Any]],
    item_ids: NDArray[Any],
    vectors: Any,
    candidates: tuple[Any, Any] | None,
) -> Items:
    """Return items with the candidates that the caller lists, and the duplicates of vectors."""
    n_items, source, n_duplicates = len(item_ids), None, None
    if candidates is not None:
        if not isinstance(candidates, (tuple, list)) or len(candidates) != 2:
            raise ValueError(
                f"candidates={candidates!r:.80} should be a pair (codes, errors), such as "
                "last_level_candidates returns."
            )
        source = GivenCandidates(*candidates, shape=(n_items, len(columns)))
    if vectors is not None:
        n_vectors = len(as_array(vectors))
        if n_vectors != n_items:
            raise ValueError(f"vectors have {n_vectors} rows, but there are {n_items} items.")
        n_duplicates = count_duplicates(vectors)
    return Items(columns, item_ids, source, n_duplicates)


def name_first(rules: Rules, items: Items) -> Named:
    """Name the items of a new catalog.

    Parameters
    ----------
    rules : Rules
        How.
    items : Items
        Items with checked codes.

    Returns
    -------
    named : Named
        The catalog; rows are in the order of the items.

    Raises
    ------
    ValueError
        If items collide against the rules, or there are too few IDs.
    """
    order_of_items = item_order(items.item_ids)
    layout = KeyLayout(rules.sizes)
    keys = layout.pack(items.columns)
    order = items.order_of(keys)
    report = describe_groups(keys, order, items.n_duplicates)
    if rules.collisions == "suffix":
        if rules.suffix_size is not None and report.largest_group > rules.suffix_size:
            raise ValueError(
                f"{report.largest_group} items share one ID, but suffix_size={rules.suffix_size}; "
                'raise it, or use collisions="reassign".'
            )
        layout = rules.layout(report.largest_group - 1)
        suffix = np.empty(len(keys), dtype=np.int64)
        suffix[order] = position_in_group(keys[order])
        keys = layout.pack([*items.columns, suffix])
    elif rules.collisions == "raise" and report.largest_group > (rules.max_items_per_id or 1):
        raise collision_error(keys, items.item_ids, layout, 'use collisions="suffix"')
    elif rules.collisions == "reassign":
        keys, report = _reassigned(rules, layout, keys, order, None, items, report)
        if report.n_moved:
            order = items.order_of(keys)
    store = IDStore(layout, keys, order, items.item_ids, order_of_items)
    return Named(store, report.largest_group, _with_ids(rules, report, keys))


def name_more(rules: Rules, named: Named, items: Items) -> Named:
    """Name further items; all others keep their IDs.

    Parameters
    ----------
    rules : Rules
        How; the sizes may have grown since.
    named : Named
        The catalog so far, which isn't changed.
    items : Items
        Items whose ids are new to the catalog.

    Returns
    -------
    named : Named
        The catalog with the items as its last rows, and the report on them alone.

    Raises
    ------
    ValueError
        As in `name_first`, or if a code is out of range.
    """
    check_range(items.columns, rules.sizes)
    check_codewords(items.columns, rules.codebooks)
    store, n_suffixes = fitting_store(rules, named, named.n_suffixes), named.n_suffixes
    keys = KeyLayout(rules.sizes).pack(items.columns)
    order = items.order_of(keys)
    report = describe_groups(keys, order, items.n_duplicates)
    if rules.collisions == "suffix":
        suffix = suffixes(store, items.columns, order, keys, rules.suffix_size)
        collides = in_group(keys, order) | (suffix > 0)
        report = replace(report, n_colliding=int(collides.sum()))
        n_suffixes = max(n_suffixes, int(suffix.max()) + 1)
        store = fitting_store(rules, named, n_suffixes)
        keys = store.layout.pack([*items.columns, suffix])
    else:
        keys, report = _free_keys(rules, store, keys, order, items, report)
    store = store.with_items(keys, items.item_ids, items.order_of(keys))
    return Named(store, n_suffixes, _with_ids(rules, report, keys), named.version + 1)


def fitting_store(rules: Rules, named: Named, n_suffixes: int) -> IDStore:
    """Return the IDs of a catalog with room for the codes that the rules allow, and the suffixes.

    Parameters
    ----------
    rules : Rules
        The sizes may have grown since the catalog was made.
    named : Named
        The catalog.
    n_suffixes : int
        Number of suffixes to make room for.

    Returns
    -------
    store : IDStore
        The same IDs.
    """
    store = named.store
    if tuple(rules.sizes) != store.layout.sizes[: len(rules.sizes)]:
        store = store.repacked(rules.layout(named.n_suffixes - 1))
    if rules.collisions == "suffix" and n_suffixes > store.layout.sizes[-1]:
        store = store.repacked(KeyLayout([*rules.sizes, MAX_CODEBOOK_SIZE]))
    return store


def keep_ids(rules: Rules, items: Items, suffix: NDArray[Any] | None) -> Named:
    """Make a catalog of IDs that are final already.

    Parameters
    ----------
    rules : Rules
        Shared IDs are an error, except with ``collisions="none"``.
    items : Items
        Items with checked codes.
    suffix : ndarray of int of shape (n_items,), or None
        Last code of each ID where ``collisions="suffix"``.

    Returns
    -------
    named : Named
        The catalog; rows are in the order of the items.

    Raises
    ------
    ValueError
        If items share an ID, or a suffix is too large.
    """
    largest = 0 if suffix is None else int(suffix.max())
    if rules.suffix_size is not None and largest >= rules.suffix_size:
        raise ValueError(
            f"ids have the suffix {largest}, but suffix_size={rules.suffix_size}; raise "
            "suffix_size."
        )
    order_of_items = item_order(items.item_ids)
    layout = rules.layout(largest)
    keys = layout.pack(items.columns if suffix is None else [*items.columns, suffix])
    order = items.order_of(keys)
    report = describe_groups(keys, order)
    shared = report.n_colliding and report.largest_group > (rules.max_items_per_id or 1)
    if rules.collisions != "none" and shared:
        raise collision_error(keys, items.item_ids, layout, 'read them with collisions="none"')
    store = IDStore(layout, keys, order, items.item_ids, order_of_items)
    return Named(store, largest + 1, _with_ids(rules, report, keys))


def _with_ids(rules: Rules, report: CollisionReport, keys: NDArray[Any]) -> CollisionReport:
    """Add how many IDs the items have: one each, except where they may share one."""
    shared = rules.collisions == "none" or rules.max_items_per_id is not None
    return replace(report, n_ids=len(np.unique(keys)) if shared else report.n_items)


def _free_keys(
    rules: Rules,
    store: IDStore,
    keys: NDArray[Any],
    order: NDArray[np.intp],
    items: Items,
    report: CollisionReport,
) -> tuple[NDArray[Any], CollisionReport]:
    """Return the keys of new items without a suffix, resolved against those in use."""
    taken = TakenIDs(keys[:0], store)
    collides = in_group(keys, order) | taken.among(keys)
    report = replace(report, n_colliding=int(collides.sum()))
    if rules.collisions == "raise" and rules.max_items_per_id is not None:
        n_places = rules.max_items_per_id
        _, collides = overflow(keys, order, store, n_places, all_compete=True)
    if rules.collisions == "raise" and collides.any():
        row = int(order[collides[order]][0])
        semantic_id = tuple(store.layout.unpack(keys[row : row + 1])[0].tolist())
        raise ValueError(
            f"{report.n_colliding} new items have an ID that is taken or retired, such as "
            f"{items.item_ids.item(row)!r} with {semantic_id}; build the index with "
            'collisions="suffix".'
        )
    if rules.collisions == "reassign":
        return _reassigned(rules, store.layout, keys, order, store, items, report)
    return keys, report


def _reassigned(
    rules: Rules,
    layout: KeyLayout,
    keys: NDArray[Any],
    order: NDArray[np.intp],
    store: IDStore | None,
    items: Items,
    report: CollisionReport,
) -> tuple[NDArray[Any], CollisionReport]:
    """Return keys that are neither taken nor shared too often, and the report on that."""
    if rules.max_items_per_first_code is not None:
        return _spread(rules, layout, keys, order, store, items, report)
    return _freed(rules, layout, keys, order, store, items, report)


def _spread(
    rules: Rules,
    layout: KeyLayout,
    keys: NDArray[Any],
    order: NDArray[np.intp],
    store: IDStore | None,
    items: Items,
    report: CollisionReport,
) -> tuple[NDArray[Any], CollisionReport]:
    """Spread items over first codes, then resolve the collisions under each of them."""
    given = cast("FirstCodeSource | None", items.source)
    spread = spread_first_codes(
        items.columns,
        items.order_of(items.columns[0]),
        n_codes=rules.sizes[0],
        most=rules.max_items_per_first_code or 0,
        room_for=partial(_room, rules, store),
        all_compete=items.ties is None,
        source=given,
    )
    source = None if given is None else SameFirstCode(given, spread.columns[0])
    items = items._replace(columns=spread.columns, source=source)
    start = layout.pack(spread.columns)
    # Whoever found room on an ID stays there, also where one comes that had to move.
    n_places = rules.max_items_per_id or 1
    all_compete = rules.max_items_per_id is None or items.ties is None
    _, movable = overflow(keys, order, store, n_places, all_compete=all_compete)
    movable |= start != keys
    order = items.order_of(start)
    group = np.cumsum(np.append(False, start[order[1:]] != start[order[:-1]]))
    order = order[np.lexsort((movable[order], group))]
    final, report = _freed(rules, layout, start, order, store, items, report, movable)
    report = replace(report, n_moved=int((final != keys).sum()))
    if report.error_before is not None and report.error_gap is not None:
        before = report.error_before - spread.added
        if abs(before) < _ROUNDING * abs(spread.added):
            before = 0.0
        report = replace(report, error_before=before, error_gap=report.error_gap + spread.gap)
    return final, report


def _room(rules: Rules, store: IDStore | None, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many more items may begin with each of some codes."""
    n_places = rules.max_items_per_id or 1
    below, most = prod(rules.sizes[1:]) * n_places, rules.max_items_per_first_code
    assert most is not None
    if store is None:
        return np.full(len(first), min(most, below), dtype=np.int64)
    room = []
    for code in first.tolist():
        start, stop = store.range((code,))
        free = below - taken_places(store, (code,), n_places)
        room.append(max(min(most - (stop - start), free), 0))
    return np.array(room, dtype=np.int64)


def _freed(
    rules: Rules,
    layout: KeyLayout,
    keys: NDArray[Any],
    order: NDArray[np.intp],
    store: IDStore | None,
    items: Items,
    report: CollisionReport,
    movable: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[Any], CollisionReport]:
    """Give items that collide places or IDs that are free; others than `movable` stay."""
    if rules.max_items_per_id is not None:
        keys, outcome = reassign_places(
            keys,
            order,
            items.columns,
            n_places=rules.max_items_per_id,
            all_compete=items.ties is None,
            store=store,
            sizes=rules.sizes,
            source=items.source,
            codebooks=rules.codebooks,
            n_candidates=rules.n_candidates,
            movable=movable,
        )
        return keys, replace(report, **outcome)
    keys, outcome = reassign(
        layout,
        keys,
        order,
        taken=TakenIDs(keys[:0], store),
        sizes=rules.sizes,
        source=items.source,
        codebooks=rules.codebooks,
        n_candidates=rules.n_candidates,
        movable=movable,
    )
    return keys, replace(report, **outcome)
