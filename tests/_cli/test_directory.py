"""Directories on the command line go the same way as in sklearn_rqvae.io."""

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae._cli import _directory
from sklearn_rqvae._cli._main import main

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
SMALL = ["--method", "kmeans", "--n-layers", "2", "--codebook-size", "4"]
COLUMNS = ["--vector", "v", "--id", "sku"]


@pytest.fixture
def src(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    for name, rows in (("a", slice(0, 20)), ("b", slice(20, 60))):
        ids = np.arange(60)[rows]
        vectors = pa.array(X[rows].tolist(), type=pa.list_(pa.float32()))
        pq.write_table(pa.table({"sku": ids, "v": vectors}), folder / f"{name}.parquet")
    return folder


def run(*args):
    """Run a command that should succeed."""
    assert main([str(arg) for arg in args]) == 0


def fails(capsys, *args):
    """Run a command that should fail and return what it says."""
    assert main([str(arg) for arg in args]) == 1
    return capsys.readouterr().err.partition("error: ")[2]


def codes_in(folder):
    tables = [pq.ParquetFile(path).read() for path in sorted(folder.glob("*.parquet"))]
    table = pa.concat_tables(tables)
    assert table["sku"].to_pylist() == list(range(60))
    return table["semantic_id"].to_pylist()


def test_a_directory_is_fitted_and_encoded(src, tmp_path, capsys):
    model, dst, again = tmp_path / "m.joblib", tmp_path / "dst", tmp_path / "again"
    run("fit", src, *COLUMNS, "--out", model, "--ids", dst, *SMALL)
    assert "Wrote the IDs of 60 items to 2 files" in capsys.readouterr().out
    quantizer = ResidualKMeans(2, 4, random_state=0).fit(X)
    assert codes_in(dst) == quantizer.transform(X).tolist()
    run("encode", model, src, "--out", again)
    assert codes_in(again) == codes_in(dst)
    (again / "a.parquet").unlink()
    capsys.readouterr()
    run("encode", model, src, "--out", again)
    assert "20 items to 1 files" in capsys.readouterr().out
    assert codes_in(again) == codes_in(dst)


def test_places_are_looked_at_before_a_directory_is_fitted(src, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_directory, "fit_parquet", None)  # the work
    args = ["fit", src, *COLUMNS, *SMALL, "--out"]
    assert "the folder doesn't exist" in fails(capsys, *args, tmp_path / "no" / "m")
    said = fails(capsys, *args, tmp_path / "m", "--ids", src / "ids")
    assert "would be among the sources" in said
    (tmp_path / "file").touch()
    said = fails(capsys, *args, tmp_path / "m", "--ids", tmp_path / "file")
    assert "it is a file; name a directory" in said
    said = fails(capsys, *args, tmp_path / "m", "--ids", tmp_path / "ids", "--id", "ean")
    assert "no column 'ean'; it has 'sku', 'v'" in said
    assert not (tmp_path / "m").exists()


def test_what_a_directory_needs_is_asked_for(src, tmp_path, capsys):
    model = tmp_path / "m.joblib"
    assert "not texts" in fails(capsys, "fit", src, "--text", "v", "--out", model, *SMALL)
    message = fails(capsys, "fit", src, "--vector", "v", "--out", model, "--ids", "x", *SMALL)
    assert "with --id; --ids needs it" in message
    run("fit", src, "--vector", "v", "--out", model, *SMALL)
    assert "--out" in fails(capsys, "encode", model, src, "--id", "sku")
    assert "with --id; a directory needs it" in fails(capsys, "encode", model, src, "--out", "x")
    np.save(tmp_path / "x.npy", X)
    run("fit", tmp_path / "x.npy", "--out", model, *SMALL)
    message = fails(capsys, "encode", model, src, "--id", "sku", "--out", "x")
    assert "with --vector" in message


def test_the_files_of_a_directory_become_a_catalog(src, tmp_path):
    from sklearn_rqvae import SemanticIDIndex

    dst, catalog = tmp_path / "ids", tmp_path / "catalog"
    run("fit", src, *COLUMNS, "--out", tmp_path / "m", "--ids", dst, *SMALL)
    run("index", "build", dst, "--id", "sku", "--out", catalog)
    index = SemanticIDIndex.load(catalog)
    assert sorted(index.item_ids_.tolist()) == list(range(60))
    codes = ResidualKMeans(2, 4, random_state=0).fit(X).transform(X)
    assert all(index[item][:2] == tuple(codes[item]) for item in range(60))
