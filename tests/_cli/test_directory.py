"""Directories on the command line go the same way as in sklearn_rqvae.io."""

import json

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae._cli import _directory
from sklearn_rqvae._cli._main import main
from sklearn_rqvae._files._tables import read_table, write_table

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
    model, x = tmp_path / "m.joblib", tmp_path / "x"
    message = fails(capsys, "fit", src, "--vector", "v", "--out", model, "--ids", x, *SMALL)
    assert "a.parquet has no column item_id or id; name the column of its ids with --id" in message
    run("fit", src, "--vector", "v", "--out", model, *SMALL)
    assert "with --id" in fails(capsys, "encode", model, src, "--out", x)
    np.save(tmp_path / "x.npy", X)
    run("fit", tmp_path / "x.npy", "--out", model, *SMALL)
    assert "with --vector" in fails(capsys, "encode", model, src, "--id", "sku", "--out", x)
    (tmp_path / "empty").mkdir()
    message = fails(capsys, "fit", tmp_path / "empty", *COLUMNS, "--out", model, *SMALL)
    assert "should hold files of one kind among .parquet, .jsonl, .csv" in message


def repeat_an_id(src):
    pq.write_table(pa.table({"sku": [7, 99], "v": pa.array(X[:2].tolist())}), src / "c.parquet")
    return f"1 ids of {src} repeat an earlier one, such as 7 in row 0 (from 0) of {src}/c.parquet"


def test_ids_that_repeat_in_another_file_are_found_before_the_fit(
    src, tmp_path, capsys, monkeypatch
):
    message = repeat_an_id(src)
    monkeypatch.setattr(_directory, "fit_parquet", None)  # the work
    assert message in fails(capsys, "fit", src, *COLUMNS, *SMALL, "--out", tmp_path / "m")
    pq.write_table(pa.table({"sku": [None, 99], "v": pa.array(X[:2].tolist())}), src / "c.parquet")
    said = fails(capsys, "fit", src, *COLUMNS, *SMALL, "--out", tmp_path / "m")
    assert f"row 0 (from 0) of {src}/c.parquet has no id in column 'sku'" in said


def test_ids_that_no_catalog_takes_are_refused_before_the_fit(src, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_directory, "fit_parquet", None)  # the work
    table = pa.table({"sku": pa.array([1.0, 2.0]), "v": pa.array(X[:2].tolist())})
    pq.write_table(table, src / "c.parquet")
    said = fails(capsys, "fit", src, *COLUMNS, *SMALL, "--out", tmp_path / "m")
    assert "column 'sku' of" in said
    assert "c.parquet holds double, but ids are text or integers" in said


def test_ids_of_two_kinds_are_refused_before_the_fit(src, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_directory, "fit_parquet", None)  # the work
    table = pa.table({"sku": ["x", "y"], "v": pa.array(X[:2].tolist())})
    pq.write_table(table, src / "c.parquet")
    said = fails(capsys, "fit", src, *COLUMNS, *SMALL, "--out", tmp_path / "m")
    assert f"column 'sku' holds text in {src}/c.parquet and integers in {src}/b.parquet" in said


def test_encode_says_that_ids_repeat(src, tmp_path, capsys):
    run("fit", src, *COLUMNS, *SMALL, "--out", tmp_path / "m")
    message = repeat_an_id(src)
    run("encode", tmp_path / "m", src, "--out", tmp_path / "ids")
    assert f"warning: {message}; index build takes each id once" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["item_id", "id"])
def test_ids_need_no_option_where_a_file_needs_none(column, src, tmp_path):
    for path in src.glob("*.parquet"):
        table = pq.read_table(path).rename_columns([column, "v"])
        pq.write_table(table, path)
    run("fit", src, "--vector", "v", *SMALL, "--out", tmp_path / "m", "--ids", tmp_path / "ids")
    parts = sorted((tmp_path / "ids").glob("*.parquet"))
    found = [value for part in parts for value in pq.read_table(part)[column].to_pylist()]
    assert found == list(range(60))


def test_ids_of_a_directory_go_to_a_file_that_is_named_like_one(src, tmp_path, capsys):
    model, ids = tmp_path / "m", tmp_path / "ids.csv"
    run("fit", src, *COLUMNS, *SMALL, "--out", model, "--ids", ids)
    table = read_table(ids)
    assert table["item_id"] == [str(item) for item in range(60)]
    codes = np.array([table["semantic_id_0"], table["semantic_id_1"]], dtype=int).T
    np.testing.assert_array_equal(codes, ResidualKMeans(2, 4, random_state=0).fit_transform(X))
    capsys.readouterr()
    run("encode", model, src)
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"item_id": 59, "semantic_id": codes[-1].tolist()}


def parts_and_file(tmp_path, suffix, columns):
    """Write a table to two part files and to one file."""
    parts = tmp_path / "parts"
    parts.mkdir()
    n_rows = len(columns["sku"])
    for name, rows in (("a", slice(0, 20)), ("b", slice(20, n_rows))):
        write_table(parts / f"{name}{suffix}", {key: v[rows] for key, v in columns.items()})
    write_table(tmp_path / f"whole{suffix}", columns)
    return parts, tmp_path / f"whole{suffix}"


TEXTS = [f"{color} lamp {size}" for color in ("red", "blue", "green") for size in range(20)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
@pytest.mark.parametrize("kind", ["texts", "vectors"])
def test_part_files_are_one_table(suffix, kind, tmp_path, capsys):
    columns = {"sku": [f"i{item}" for item in range(60)], "title": TEXTS, "v": X}
    which = ["--text", "title", "--n-components", "4"] if kind == "texts" else ["--vector", "v"]
    written, reports = [], []
    for source in parts_and_file(tmp_path, suffix, columns):
        ids, again = tmp_path / "ids.jsonl", tmp_path / "again.jsonl"
        run("fit", source, *which, "--id", "sku", *SMALL, "--out", tmp_path / "m", "--ids", ids)
        run("encode", tmp_path / "m", source, "--out", again)
        assert again.read_bytes() == ids.read_bytes()
        capsys.readouterr()
        run("report", tmp_path / "m", source, "--json")
        written.append(ids.read_bytes())
        reports.append(capsys.readouterr().out)
        run("index", "build", "--model", tmp_path / "m", "--items", source, "--out", tmp_path / "c")
    assert written[0] == written[1]
    assert reports[0] == reports[1]


def test_parts_of_texts_are_looked_at_as_a_file_is(tmp_path, capsys, monkeypatch):
    from sklearn_rqvae.embedding import TextEmbedder

    columns = {"sku": [*map(str, range(59)), "7"], "title": TEXTS}
    parts, _ = parts_and_file(tmp_path, ".csv", columns)
    monkeypatch.setattr(TextEmbedder, "fit_transform", None)  # the work
    fit = ["fit", parts, "--text", "title", *SMALL, "--out", tmp_path / "m"]
    assert "repeat an earlier one, such as '7' in row 59" in fails(capsys, *fit, "--id", "sku")
    assert "among the files of" in fails(capsys, *fit, "--ids", parts / "ids.csv")
    assert "should end in .jsonl" in fails(capsys, *fit, "--ids", tmp_path / "ids")
    (parts / "b.csv").write_text('"sku","titel"\n"1","red"\n')
    assert "parts of one table need the same columns" in fails(capsys, *fit, "--id", "sku")


def test_the_files_of_a_directory_become_a_catalog(src, tmp_path):
    from sklearn_rqvae import SemanticIDIndex

    dst, catalog = tmp_path / "ids", tmp_path / "catalog"
    run("fit", src, *COLUMNS, "--out", tmp_path / "m", "--ids", dst, *SMALL)
    run("index", "build", dst, "--id", "sku", "--out", catalog)
    index = SemanticIDIndex.load(catalog)
    assert sorted(index.item_ids_.tolist()) == list(range(60))
    codes = ResidualKMeans(2, 4, random_state=0).fit(X).transform(X)
    assert all(index[item][:2] == tuple(codes[item]) for item in range(60))
