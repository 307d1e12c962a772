"""Histories reads the three forms of interactions, and keeps last items apart."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array, csr_matrix

from sklearn_rqvae.embedding import Histories


def as_lists(histories):
    return [history.tolist() for history in histories.split()]


def test_lists_keep_their_order():
    histories = Histories.read([["c", "a"], [], ["a", "b", "a"]])
    assert as_lists(histories) == [["c", "a"], [], ["a", "b", "a"]]
    assert histories.item_ids.tolist() == ["a", "b", "c"]
    assert histories.counts().tolist() == [3, 1, 1]
    assert (histories.n_users, histories.n_items, histories.is_ordered) == (3, 3, True)


@pytest.mark.parametrize(
    "ids",
    [
        [2**63 + 1, 2**63, -5],
        [2**53 + 1, 2**53, 0.5],
        [2**70 + 1, 2**70, 3],
        ["a\0", "a", "b"],
        [("a", 2), ("a", 1), ("b", 1)],
        [b"a\0", b"a", b""],
    ],
    ids=["64 bits", "integers and fractions", "70 bits", "zero characters", "pairs", "bytes"],
)
def test_ids_that_differ_stay_apart(ids):
    # numpy has one type for all entries of an array, in which such ids would be the same or others.
    histories = Histories.read([ids, ids[:1]])
    assert as_lists(histories) == [ids, ids[:1]]
    assert histories.item_ids.tolist() == sorted(ids)
    table = {"user": [*ids, ids[0]], "item": [1, 2, 3, 4], "time": [1, 2, 3, 0]}
    assert Histories.read(table).n_users == 3
    matrix = csr_matrix(np.ones((1, 3)))
    assert as_lists(Histories.read(matrix, item_ids=ids)) == [ids]
    assert [sorted(ids)[place] for place in histories.positions(ids)] == ids


def test_a_column_that_occurs_twice_is_refused():
    table = pd.DataFrame([[1, "a", 2, 3]], columns=["user", "item", "time", "time"])
    with pytest.raises(ValueError, match="several columns 'time'; rename"):
        Histories.read(table)


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table(columns)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, arrow_table, dict])
def test_table_is_ordered_by_user_and_time(frame):
    # Users 7 and 9; the third and fourth rows share a time and keep their order.
    table = frame(
        {
            "user": [9, 7, 9, 9, 7],
            "item": ["late", "x", "b", "a", "y"],
            "time": [5.0, 2.0, 1.0, 1.0, 3.0],
        }
    )
    assert as_lists(Histories.read(table)) == [["x", "y"], ["b", "a", "late"]]


def test_table_without_times_is_ordered_by_rows():
    table = pd.DataFrame({"who": ["u", "v", "u"], "what": [3, 1, 2]})
    assert as_lists(Histories.read(table, columns=("who", "what"))) == [[3, 2], [1]]


@pytest.mark.parametrize(
    "times",
    [
        ["3", "10", "2.5"],  # letter by letter, 10 would come first
        ["2024-02-01", "2024-02-01T08:00:00", "2024-01-31 23:30"],
        pd.to_datetime(["2024-02-01", "2024-02-02", "2024-01-31"]).tz_localize("Asia/Tokyo"),
        pd.array([3, 10, 2], dtype="Int64"),
        [str(2**60 + n) for n in (1, 2, 0)],
    ],
    ids=["numbers as text", "ISO dates", "time zone", "nullable", "nanoseconds as text"],
)
def test_times_sort_as_they_follow_in_time(times):
    table = pd.DataFrame({"user": [1, 1, 1], "item": ["b", "c", "a"], "time": times})
    assert as_lists(Histories.read(table)) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        # A row that sorts last for want of a time would be what a test predicts.
        ("time", [1, np.nan, 2], "has no 'time' in row 1, .* drop rows without a time"),
        ("time", pd.to_datetime(["2024-01-01", None, None]), "has no 'time' in row 1"),
        ("time", ["2024-01-01", None, "2024-01-02"], "has no 'time' in row 1"),
        ("time", pd.array([None, 1, 2], dtype="Int64"), "has no 'time' in row 0"),
        ("time", ["1 May", "2 May", "3 May"], "neither numbers nor ISO dates .'1 May'.*; give"),
        ("time", ["1", "nan", "3"], "has no 'time' in row 1"),
        ("time", ["2024-01-01", "2024-01-02T00:00Z", "2024-01-03"], "time zone in row 1 and none"),
        # Rows without a user aren't those of one and the same.
        ("user", [1, np.nan, np.nan], "no user id in row 1; drop rows without user"),
        ("user", ["u", None, None], "no user id in row 1"),
        ("user", ["u", 1, 2], "mixes user ids that are str with others"),
        (
            "user",
            [pd.Timestamp("2024"), 2, 3],
            "mixes user ids that have no order, such as .*convert them",
        ),
        ("time", [pd.Timestamp("2024"), 2, 3], "'time'. mixes values that have no order"),
    ],
)
def test_rows_that_belong_nowhere_are_named(column, values, message):
    table = pd.DataFrame({"user": [1, 1, 1], "item": ["a", "b", "c"], "time": [1, 2, 3]})
    table[column] = values
    with pytest.raises(ValueError, match=message):
        Histories.read(table)


@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_matrix_entries_are_unordered_interactions(kind):
    matrix = kind(np.array([[0, 2, 1], [1, 0, 0], [0, 0, 0]]))
    histories = Histories.read(matrix, item_ids=["a", "b", "c"])
    assert as_lists(histories) == [["b", "c"], ["a"], []]
    assert not histories.is_ordered
    assert as_lists(Histories.read(matrix)) == [[1, 2], [0], []]


def test_reading_a_matrix_leaves_it_alone():
    matrix = csr_matrix(np.array([[0.0, 1.0], [1.0, 1.0]]))
    matrix.data[0] = 0  # an explicit zero, which reading drops
    before = matrix.copy()
    histories = Histories.read(matrix)
    assert len(histories.items) == 2
    assert_array_equal(matrix.data, before.data)
    assert_array_equal(matrix.indptr, before.indptr)


def test_last_items_are_split_off():
    # A history of one item has nothing left to predict from, so it stays.
    histories = Histories.read([[1, 2, 3], [4], [3, 1]])
    assert histories.last().tolist() == [3, 1]
    assert as_lists(histories.without_last()) == [[1, 2], [4], [3]]
    assert as_lists(histories.without_last().without_last()) == [[1], [4], [3]]
    assert histories.without_last().item_ids.tolist() == histories.item_ids.tolist()
    assert as_lists(histories) == [[1, 2, 3], [4], [3, 1]]


def test_items_of_a_catalog_are_picked_out():
    histories = Histories.read([["a", "x", "b"], ["x"], ["b", "a", "x"]])
    own = histories.only(pd.Series(["b", "a", "new"], index=[9, 8, 7]))
    assert as_lists(own) == [["a", "b"], [], ["b", "a"]]
    assert own.last().tolist() == ["b", "a"]
    assert as_lists(histories)[1] == ["x"]
    with pytest.raises(ValueError, match=r"no interaction is of the 1 items .* 1; .*'a'"):
        histories.only([1])


def test_copies_are_the_object_and_pickles_are_equal():
    histories = Histories.read([[1, 2], [2, 3]])
    assert copy.deepcopy(histories) is histories
    assert Histories.read(histories) is histories
    assert as_lists(pickle.loads(pickle.dumps(histories))) == [[1, 2], [2, 3]]
    assert repr(histories) == "Histories(2 users, 3 items, 4 ordered interactions)"
    assert not hasattr(histories, "__len__")
    assert not hasattr(histories, "shape")  # searches would cut it


MATRIX = csr_matrix(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("interactions", "options", "message"),
    [
        ([[], []], {}, "interactions is empty; give at least one"),
        ([["a", 1]], {}, "mixes item ids that are str with others"),
        ([["a"], ["b", None]], {}, "no item id in row 2; drop rows"),
        (csr_matrix([[1, -2]]), {}, "negative entry -2; entries count"),
        (csr_matrix([[np.nan, 1.0]]), {}, "contains NaN"),
        (MATRIX, {"item_ids": ["a"]}, "item_ids has 1 ids, 1 of them distinct, but .* 2 columns"),
        (MATRIX, {"item_ids": ["a", "a"]}, "item_ids has 2 ids, 1 of them distinct"),
        ([["a"]], {"item_ids": ["a"]}, "interactions is a list, which holds ids itself"),
        ({"user": [1], "item": [2]}, {}, "has no column 'time', only .*; name existing"),
        ({"user": [1], "item": [2]}, {"columns": ("user",)}, "columns=.*should name the columns"),
        ({"user": [1], "item": [2, 3], "time": [4]}, {}, "have 1, 2 and 1 rows; give one row"),
    ],
)
def test_wrong_values_are_named(interactions, options, message):
    with pytest.raises(ValueError, match=message):
        Histories.read(interactions, **options)


@pytest.mark.parametrize("interactions", ["text", 3, {1, 2}, np.ones((3, 3)), ["abc"], [3, 4]])
def test_other_forms_are_refused(interactions):
    with pytest.raises(TypeError, match=r"interactions(\[0\])? (is|should be) a"):
        Histories.read(interactions)


@pytest.mark.parametrize("method", ["last", "without_last"])
def test_unordered_interactions_have_no_last_item(method):
    with pytest.raises(ValueError, match=f"{method} needs the order of interactions"):
        getattr(Histories.read(MATRIX), method)()
