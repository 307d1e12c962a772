"""Columns of lists become matrices; what is missing is named by file and row."""

import numpy as np
import pytest

from sklearn_rqvae._files._vectors import list_column, vectors_of

pa = pytest.importorskip("pyarrow")

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32(), pa.float64(), pa.int8()])
@pytest.mark.parametrize("of", [pa.list_, pa.large_list, lambda dtype: pa.list_(dtype, 2)])
def test_lists_of_any_kind_are_a_matrix(of, dtype):
    rows = [[dtype.to_pandas_dtype()(value) for value in row] for row in ROWS]
    column = pa.array(rows, type=of(dtype))
    np.testing.assert_array_equal(vectors_of(column, "v", "file"), ROWS)
    np.testing.assert_array_equal(vectors_of(column[1:], "v", "file"), ROWS[1:])
    chunked = pa.chunked_array([column[:1], column[1:]])
    np.testing.assert_array_equal(vectors_of(chunked, "v", "file"), ROWS)


@pytest.mark.parametrize("size", [-1, 2])
@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (None, "no vector"),
        ([1.0, None], "a vector with a missing number"),
        ([np.nan, 1.0], "a vector with NaN or infinity"),
        ([1.0, np.inf], "a vector with NaN or infinity"),
        ([1.0], "a vector of length 1 instead of 2"),
        ([], "a vector of length 0 instead of 2"),
    ],
)
def test_a_bad_vector_is_named_by_file_and_row(bad, what, size):
    if size == 2 and bad is not None and len(bad) != 2:
        return  # lists of fixed size can't have another
    column = pa.array([*ROWS, bad, ROWS[0]], type=pa.list_(pa.float32(), size))
    with pytest.raises(ValueError, match=f"row 103 of a.parquet has {what} in column 'v'"):
        vectors_of(column, "v", "a.parquet", first_row=100)
    with pytest.raises(ValueError, match=f"row 102 of a.parquet has {what}"):
        vectors_of(column[1:], "v", "a.parquet", first_row=100)


def test_empty_vectors_are_refused():
    with pytest.raises(ValueError, match="row 0 of f has an empty vector"):
        vectors_of(pa.array([[], []], type=pa.list_(pa.float32())), "v", "f")


@pytest.mark.parametrize("column", [pa.array([1.0]), pa.array(["a"]), pa.array([["a"]])])
def test_other_columns_are_refused(column):
    with pytest.raises(TypeError, match=r"column 'v' of f holds .* lists of numbers"):
        vectors_of(column, "v", "f")


def test_codes_become_lists():
    codes = np.array([[1, 2], [3, 4], [5, 6]])[:, ::-1]
    assert list_column(codes).to_pylist() == codes.tolist()
