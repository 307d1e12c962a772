"""Item texts are read alike from every container, and what isn't text is refused by name."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_rqvae.embedding import Histories
from sklearn_rqvae.embedding._texts import collect_texts, field_text, text_column_names

TEXTS = ["red lipstick", "hair dryer", ""]


def arrow_array(texts):
    return pytest.importorskip("pyarrow").array(texts)


def arrow_column(texts):
    return pytest.importorskip("pyarrow").chunked_array([texts[:1], texts[1:]])


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table(columns)


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
        pd.Series,
        lambda texts: pd.Series(texts, dtype="category"),
        lambda texts: pd.Series(texts, dtype="string"),
        lambda texts: pd.Series(texts, index=[7, 7, 1]),
        pl.Series,
        arrow_array,
        arrow_column,
        iter,
    ],
)
def test_every_container_gives_the_same_texts(container):
    texts = collect_texts(container(TEXTS))
    assert texts == TEXTS
    assert all(type(text) is str for text in texts)


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        ["a", np.float32("nan"), "b"],
        ["a", pd.NA, "b"],
        ["a", pd.NaT, "b"],
        pd.Series(["a", None, "b"]),
        pd.Series(["a", None, "b"], dtype="string"),
        pl.Series(["a", None, "b"]),
    ],
)
def test_missing_values_are_empty_texts(values):
    assert collect_texts(values) == ["a", "", "b"]


def test_nulls_of_arrow_are_empty_texts():
    assert collect_texts(arrow_array(["a", None, "b"])) == ["a", "", "b"]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, arrow_table])
def test_columns_are_joined_in_the_given_order_without_empty_cells(frame):
    table = frame({"title": ["soap", None], "price": [1, 2], "brand": ["Dove", "Lux"]})
    assert text_column_names(table, ["brand", "title"]) == ["brand", "title"]
    assert collect_texts(table, ["brand", "title"], sep=". ") == ["Dove. soap", "Lux"]


@pytest.mark.filterwarnings("ignore:Determining the column names")  # by polars
def test_a_lazy_frame_has_to_be_collected():
    lazy = pl.LazyFrame({"title": ["soap"], "user": [1], "item": ["a"], "time": [0]})
    for read in (lambda: text_column_names(lazy, None), lambda: Histories.read(lazy)):
        with pytest.raises(TypeError, match=r"is a LazyFrame, .*collect"):
            read()


def test_columns_of_an_array_are_joined_by_position():
    assert collect_texts(np.array([["a", "b"], ["c", "d"]]), [1, 0]) == ["b a", "d c"]


def test_all_columns_are_text_columns_unless_named():
    table = pd.DataFrame({"a": ["x"], "b": ["y"]})
    assert text_column_names(table, None) == ["a", "b"]
    assert text_column_names(table, ["b"]) == ["b"]
    assert text_column_names(np.array([["x", "y"]]), None) == [0, 1]
    assert text_column_names(["x"], None) is None


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"no column 'brand', only \['title'\]"):
        text_column_names(pd.DataFrame({"title": ["a"]}), ["brand"])


def test_repeated_column_names_are_refused():
    with pytest.raises(ValueError, match="repeats a column name"):
        text_column_names(pd.DataFrame([["a", "b"]], columns=["t", "t"]), None)


def test_a_table_without_columns_is_refused():
    with pytest.raises(ValueError, match="no text column"):
        text_column_names(pd.DataFrame(index=[0, 1]), None)


def test_a_numeric_column_is_named_with_the_way_out():
    with pytest.raises(
        TypeError, match=r"column 'price' should hold str, got int 3 in row 0.*text_columns"
    ):
        collect_texts(pd.DataFrame({"price": [3]}), ["price"])


@pytest.mark.parametrize("value", [3, 2.5, b"bytes", ["a"], np.datetime64("2020-01-01")])
def test_values_that_are_not_text_are_named_with_their_row(value):
    with pytest.raises(TypeError, match=r"X should hold str, got .* in row 1"):
        collect_texts(["a", value])


def test_a_single_string_is_not_a_list_of_texts():
    with pytest.raises(ValueError, match=r"single string.*\['red lipstick'\]"):
        collect_texts("red lipstick")


@pytest.mark.parametrize("collection", [{"a": 1}, {"a", "b"}, None, 3])
def test_collections_without_an_order_are_refused(collection):
    with pytest.raises(TypeError, match="X should be a list"):
        collect_texts(collection)


@pytest.mark.parametrize("empty", [[], np.array([], dtype=str), pd.Series([], dtype=str)])
def test_no_texts_are_refused(empty):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        collect_texts(empty)


def test_arrays_of_more_than_two_dimensions_are_refused():
    with pytest.raises(ValueError, match="1-dimensional"):
        collect_texts(np.full((2, 2, 2), "a"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((value, "") for value in (None, "", float("nan"), np.float32("nan"), pd.NA, pd.NaT)),
        *((value, "") for value in (np.datetime64("NaT"), Decimal("NaN"), np.ma.masked, [], b"")),
        ("nan", "nan"),  # a word
        (2020, "2020"),
        (2.5, "2.5"),
        (True, "True"),
        (b"red l\xc3\xa4mp", "red lämp"),
        (["a", None, "b", float("nan"), 3], "a, b, 3"),
        (("a", ["b", "c"]), "a, b, c"),
        (np.array(["a", "b"]), "a, b"),
    ],
)
def test_fields_of_files_are_missing_where_texts_are(value, text):
    assert field_text(value, "column 't'", 0) == text
    is_text = isinstance(value, str) or text == ""
    if is_text and not isinstance(value, (list, bytes)):
        assert collect_texts(["x", value]) == ["x", text]


def test_fields_that_are_no_text_are_refused_by_name():
    with pytest.raises(ValueError, match=r"column 't' holds bytes that are no text .* in row 7"):
        field_text(b"\xff", "column 't'", 7)
    with pytest.raises(
        TypeError, match=r"column 't' holds fields of its own, such as 'en', in row 7"
    ):
        field_text({"en": "lamp"}, "column 't'", 7)
    with pytest.raises(TypeError, match="fields of its own"):
        field_text([{"en": "lamp"}], "column 't'", 7)
