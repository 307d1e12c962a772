"""Vectors in Parquet files become one matrix: the numbers that are there, and nothing twice."""

import numpy as np
import pytest

from sklearn_rqvae._files import _parquet_matrix
from sklearn_rqvae._files._parquet_matrix import is_parquet, parquet_matrix
from sklearn_rqvae._files._tables import read_table
from sklearn_rqvae._files._vectors import list_column, matrix_of

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

X = np.random.default_rng(0).normal(size=(30, 4))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(_parquet_matrix, "_BATCH_ROWS", 7)


def write(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64"])
@pytest.mark.parametrize("form", ["lists", "numbers"])
def test_batches_make_the_matrix_of_the_whole_table(dtype, form, tmp_path):
    rows = (10 * X).astype(dtype)
    columns = (
        {"v": list_column(rows)} if form == "lists" else {f"v_{i}": rows[:, i] for i in range(4)}
    )
    path = write(tmp_path / "x.parquet", {"name": [str(i) for i in range(30)], **columns})
    matrix = parquet_matrix(path, "v")
    assert matrix.dtype == rows.dtype
    np.testing.assert_array_equal(matrix, rows)
    np.testing.assert_array_equal(matrix, matrix_of(read_table(path), "v", path))


def test_files_of_a_directory_follow_each_other_in_a_type_that_holds_all(tmp_path):
    write(tmp_path / "b.parquet", {"v": list_column(X[10:])})
    write(tmp_path / "a.parquet", {"v": list_column(X[:10].astype(np.float32))})
    (tmp_path / "_SUCCESS").touch()
    assert is_parquet(tmp_path)
    expected = np.concatenate([X[:10].astype(np.float32), X[10:]])
    np.testing.assert_array_equal(parquet_matrix(tmp_path, "v"), expected)


def test_a_bad_row_is_named_by_its_place_in_its_file(tmp_path):
    path = write(tmp_path / "x.parquet", {"v": [[1.0, 2.0]] * 20 + [None] + [[1.0, 2.0]]})
    with pytest.raises(ValueError, match=r"row 20 of .*x\.parquet has no vector in column 'v'"):
        parquet_matrix(path, "v")
    write(path, {"v": [[1.0, 2.0]] * 7 + [[1.0]] * 7})  # the same length inside each batch
    with pytest.raises(ValueError, match=r"row 7 of .* has a vector of length 1 instead of 2"):
        parquet_matrix(path, "v")
    with pytest.raises(ValueError, match=r"no column 'w' or 'w_0'; it has 'v'"):
        parquet_matrix(path, "w")
    write(path, {"v": pa.array([], pa.list_(pa.float32()))})
    with pytest.raises(ValueError, match="holds no rows"):
        parquet_matrix(path, "v")


def test_a_table_of_some_columns_knows_the_others_by_name(tmp_path):
    path = write(tmp_path / "x.parquet", {"sku": range(30), "v": list_column(X)})
    table = read_table(path, ["sku"], only=["sku", "id"])
    assert list(table) == ["sku"]
    assert table.n_rows == 30
    assert read_table(path, only=["id"]).n_rows == 30
    with pytest.raises(ValueError, match="no column 'ean'; it has 'sku', 'v'"):
        read_table(path, ["ean"], only=["ean"])
