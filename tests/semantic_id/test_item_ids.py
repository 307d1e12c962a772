"""Item ids as they come, and as they are kept."""

import numpy as np
import pytest

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
