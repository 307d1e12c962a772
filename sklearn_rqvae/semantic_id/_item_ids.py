"""Item ids: integers or strings, told apart from anything that only looks like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._validation import as_array
from sklearn_rqvae.semantic_id._ordering import is_increasing

__all__ = ["check_item_ids", "compact", "hand_out", "item_order", "without_objects"]

# Variable width: a fixed-width array would pay for the longest id in each row, and drops zero
# characters at the end.
STRINGS = np.dtypes.StringDType()


def check_item_ids(item_ids: Any, n_items: int) -> NDArray[Any]:
    """Return item ids as 64-bit integers or as strings.

    Parameters
    ----------
    item_ids : array-like of int or str of shape (n_items,), or None
        One id per item; None numbers the items from 0.
    n_items : int
        Number of items.

    Returns
    -------
    item_ids : ndarray of shape (n_items,), dtype=int64 or StringDType
        The ids; not yet checked for duplicates.

    Raises
    ------
    TypeError
        If the ids are neither all integers nor all strings, or no list or array holds them.
    ValueError
        If their number or shape is wrong, an integer doesn't fit 64 bits, or a string isn't valid
        Unicode.
    """
    if item_ids is None:
        return np.arange(n_items, dtype=np.int64)
    values = as_array(item_ids)
    if hasattr(values, "to_list") and np.asarray(values).dtype.kind not in "iu":
        # A column of a data frame; as a fixed-width array, strings lose zero characters at the end.
        values = values.to_list()
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__getitem__"):
        raise TypeError(
            f"item_ids is a {type(values).__name__}; give a list or an array with the id of each "
            "item, in the order of the rows."
        )
    if isinstance(values, Sequence) and not isinstance(values, range):
        # Straight to an array of strings, numpy would turn [1, "a"] into ["1", "a"].
        as_objects = np.empty(len(values), dtype=object)
        as_objects[:] = values
        values = as_objects
    values = np.asarray(values)
    if values.shape != (n_items,):
        raise ValueError(
            f"item_ids have shape {values.shape} but there are {n_items} items; give one id per "
            "row of codes."
        )
    if values.dtype.kind in "iu":
        if n_items and int(values.max()) > np.iinfo(np.int64).max:
            raise ValueError(
                f"item_ids has {values.max()}, above 2**63 - 1; give ids this large as strings."
            )
        return values.astype(np.int64)
    if values.dtype.kind == "U" or values.dtype == STRINGS:
        return values.astype(STRINGS)
    return _from_objects(values.astype(object))


def _from_objects(values: NDArray[np.object_]) -> NDArray[Any]:
    """Return an array of Python objects as integers or strings."""
    types = set(map(type, values.tolist()))
    if types and all(issubclass(t, str) for t in types):
        try:
            return values.astype(STRINGS)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"item_ids has a string that isn't valid Unicode ({error}); no file format could "
                "hold it. "
                "Encode such ids, e.g. in hexadecimal, first."
            ) from error
    if all(issubclass(t, Integral) and t is not bool for t in types):
        try:
            return values.astype(np.int64)
        except OverflowError as error:
            raise ValueError(
                "item_ids has an integer outside 64 bits; give ids this large as strings."
            ) from error
    names = sorted(t.__name__ for t in types)
    raise TypeError(
        f"item_ids should be all integers or all strings, got {', '.join(names)}; convert them "
        "first, e.g. with "
        "[str(item) for item in item_ids], and fill in missing ones."
    )


def without_objects(item_ids: Any) -> Any:
    """Return a list of strings as an array, in a fourth of the memory, and anything else as it is.

    The objects of Python for so many short strings lie among those that are needed for a while
    only, and keep their memory from going back to the system.
    """
    if isinstance(item_ids, list) and all(isinstance(item, str) for item in item_ids):
        with suppress(UnicodeEncodeError):  # `check_item_ids` says which one
            return np.array(item_ids, dtype=STRINGS)
    return item_ids


def item_order(item_ids: NDArray[Any]) -> NDArray[np.int32] | NDArray[np.int64] | None:
    """Return the positions that sort the ids, or None if they are sorted.

    Parameters
    ----------
    item_ids : ndarray of shape (n_items,)
        Ids as `check_item_ids` returns them.

    Returns
    -------
    order : ndarray of int of shape (n_items,), or None
        Positions that sort the ids.

    Raises
    ------
    ValueError
        If an id occurs twice.
    """
    if is_increasing(item_ids):
        return None
    order = compact(np.argsort(item_ids))
    same = item_ids[order[1:]] == item_ids[order[:-1]]
    if same.any():
        twice = item_ids[order[1:][same][:1]].tolist()[0]
        raise ValueError(
            f"item_ids should be unique, but {int(same.sum())} repeat an earlier one, such as "
            f"{twice!r}; "
            "drop the repeated rows."
        )
    return order


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Store integers in 32 bits where all of them fit."""
    if values.dtype.kind != "i" or values.dtype.itemsize <= 4 or len(values) == 0:
        return values
    limits = np.iinfo(np.int32)
    if limits.min <= values.min() and values.max() <= limits.max:
        return values.astype(np.int32)
    return values


def hand_out(item_ids: NDArray[Any]) -> NDArray[Any]:
    """Return ids in a type that every library reads: int64, or objects of type str."""
    return item_ids.astype(np.int64) if item_ids.dtype.kind == "i" else item_ids.astype(object)
