"""Item ids as they come, and as they are kept."""

from collections import deque

import numpy as np
import pytest

from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._item_ids import check_item_ids, without_objects


@pytest.mark.parametrize("items", [["7", "07", "", "a\0", "ü" * 40], [], [7, "a"], [1, 2], None])
def test_ids_without_objects_are_the_same_ids(items):
    kept = without_objects(items)
    assert (items if items is None else list(kept)) == items
    assert (kept is items) == (items in ([7, "a"], [1, 2], None))


@pytest.mark.parametrize("items", [["a", "b\0"], np.array([3, 1])], ids=["strings", "integers"])
def test_kept_ids_do_not_follow_the_callers_array(items):
    given = without_objects(items)
    kept = check_item_ids(given, 2)
    given[0] = given[1]
    assert kept.dtype == given.dtype
    assert list(kept) != list(given)


def test_invalid_unicode_is_left_to_the_check():
    items = ["a", "\ud800"]
    assert without_objects(items) is items
    with pytest.raises(ValueError, match="isn't valid Unicode"):
        check_item_ids(items, 2)


def test_numbers_and_strings_are_told_apart():
    assert check_item_ids(np.array([3, 1], dtype=np.int32), 2).dtype == np.int64
    with pytest.raises(TypeError, match="all integers or all strings, got int, str"):
        check_item_ids([1, "a"], 2)


@pytest.mark.parametrize(
    "items", [{"a", "b"}, {"a": 1, "b": 2}, {"a": 1, "b": 2}.keys(), iter("ab"), "ab", b"ab"]
)
def test_ids_without_an_order_of_rows_are_refused(items):
    with pytest.raises(TypeError, match=f"item_ids is a {type(items).__name__}; give a list"):
        SemanticIDIndex().fit([[0], [1]], items)


def test_any_sequence_keeps_its_ids():
    # As text of fixed width they would lose zero characters at the end.
    assert check_item_ids(deque(["a\0", "b"]), 2).tolist() == ["a\0", "b"]
    with pytest.raises(TypeError, match="got int, str"):
        check_item_ids(deque([1, "b"]), 2)
    assert check_item_ids(range(2, 4), 2).tolist() == [2, 3]


@pytest.mark.parametrize("kind", ["timestamp", "date32", "duration", "time64"])
def test_times_in_arrow_are_no_integers(kind):
    pa = pytest.importorskip("pyarrow")
    make = getattr(pa, kind)
    times = pa.array([1, 2], make() if kind == "date32" else make("ns"))
    for column in (times, pa.chunked_array([times])):
        with pytest.raises(ValueError, match=f"values are of type {kind}"):
            SemanticIDIndex().fit([[0], [1]], column)
