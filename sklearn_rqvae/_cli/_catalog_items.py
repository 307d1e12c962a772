"""Items that a catalog is built from with a model: vectors, codes and ids."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._cli._items import in_batches, is_array, read_model_items
from sklearn_rqvae._cli._model import load_model, quantizer_of
from sklearn_rqvae._files._ids import check_ids
from sklearn_rqvae.semantic_id._formats import typed_items
from sklearn_rqvae.semantic_id._item_ids import without_objects

__all__ = ["EncodedItems", "encoded_items"]


class EncodedItems(NamedTuple):
    """What an index takes from an estimator."""

    quantizer: Any
    vectors: NDArray[Any]
    item_ids: Any


def encoded_items(
    args: argparse.Namespace,
    content: Any = None,
    check: Callable[[Any, Any], None] | None = None,
) -> EncodedItems:
    """Read items and turn them into what an index takes from an estimator.

    Parameters
    ----------
    args : argparse.Namespace
        Options ``model``, ``items``, ``text``, ``vector``, ``id`` and ``item_type``.
    content : object, optional
        Codes and item ids that were written before: they say which of the items to take, and in
        which order, and must be what the model says.
    check : callable, optional
        Called with the estimator and the ids before texts are embedded; raises an error if these
        can't be taken.

    Returns
    -------
    items : EncodedItems
        The model's estimator, and vectors and ids.

    Raises
    ------
    ValueError
        If one of model and items is missing, items have no ids, or the codes are of another model.
    """
    if args.model is None or args.items is None:
        raise ValueError("--model MODEL and --items ITEMS belong together; give both.")
    if content is not None and content.candidates is not None:
        raise ValueError(f"{args.codes} has candidates, so leave out --model and --items.")
    model = load_model(args.model)
    named = argparse.Namespace(input=args.items, text=args.text, vector=args.vector, id=args.id)
    vectors, ids = read_model_items(named, model)
    item_ids: Any = ids
    if isinstance(ids, range):
        item_ids = None if is_array(args.items) or _has_no_ids(content) else _refuse(args)
    else:
        check_ids(ids, args.items, args.id or model["id"])
        item_ids = without_objects(typed_items(list(ids), args.item_type))
    del ids
    if content is not None:
        rows = _rows_of(args, content, item_ids, len(vectors))
        vectors = [vectors[row] for row in rows] if model["text"] else vectors[rows]
        item_ids = content.item_ids
    elif args.item_ids is not None:
        raise ValueError("--item-ids is for CODES; name the column of ids in --items with --id.")
    quantizer = quantizer_of(model)
    if check is not None:
        check(quantizer, item_ids)
    if model["text"]:
        vectors = in_batches(model["pipeline"].named_steps["emb"].transform, vectors, "embedding")
    if content is not None:
        _check_codes(args, in_batches(quantizer.transform, vectors, "encoding"), content.codes)
    return EncodedItems(quantizer, vectors, item_ids)


def _has_no_ids(content: Any) -> bool:
    return content is not None and content.item_ids is None


def _refuse(args: argparse.Namespace) -> Any:
    raise ValueError(
        f"{args.items} has no column item_id or id; name the column of its ids with --id."
    )


def _rows_of(args: argparse.Namespace, content: Any, ids: Any, n_items: int) -> NDArray[np.intp]:
    """Return the row of each item that has codes."""
    if content.item_ids is None or ids is None:
        if len(content.codes) != n_items:
            raise ValueError(
                f"{args.codes} has codes of {len(content.codes)} items, but {args.items} has "
                f"{n_items}; give ids in both, or the same items in the same order."
            )
        return np.arange(n_items)
    # A text file doesn't tell "7" from 7.
    place = {str(item): row for row, item in enumerate(ids)}
    wanted = [str(item) for item in np.asarray(content.item_ids, dtype=object).tolist()]
    missing = [item for item in wanted if item not in place]
    if missing:
        raise ValueError(
            f"{args.items} lacks {len(missing)} items of {args.codes}, such as {missing[0]!r}; "
            "give all of them, or only --items."
        )
    return np.array([place[item] for item in wanted], dtype=np.intp)


def _check_codes(args: argparse.Namespace, found: NDArray[np.int64], codes: Any) -> None:
    codes = np.asarray(codes)
    if codes.shape != found.shape or (codes != found).any():
        raise ValueError(
            f"the codes in {args.codes} aren't those that {args.model} gives the items in "
            f"{args.items}; give the model and items that they are from, or leave out "
            f"{args.codes}."
        )
