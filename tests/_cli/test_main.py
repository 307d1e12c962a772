"""The command line: what goes in, what comes out, and what it says when something is wrong."""

import csv
import datetime
import gzip
import json
import os
import re
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.utils import Bunch

import sklearn_rqvae
from sklearn_rqvae import ProductQuantizer, ResidualKMeans
from sklearn_rqvae._cli import _demo, _encode, _fit
from sklearn_rqvae._cli._main import main
from sklearn_rqvae._files._arrays import read_matrix
from sklearn_rqvae._files._state import write_state
from sklearn_rqvae._files._tables import read_table
from sklearn_rqvae.datasets import make_residual_blobs

SMALL = ["--method", "kmeans", "--n-layers", "2", "--codebook-size", "4"]


@pytest.fixture(scope="module")
def vectors():
    return make_residual_blobs(60, 6, n_layers=2, codebook_size=4, random_state=0)[0].astype(
        np.float32
    )


@pytest.fixture
def array(tmp_path, vectors):
    path = tmp_path / "vectors.npy"
    np.save(path, vectors)
    return str(path)


@pytest.fixture
def texts(tmp_path):
    """Items with a number, a title, a brand that some lack, and tags."""
    words = ["rose soap", "lily soap", "steel comb", "wood comb", "round brush"]
    path = tmp_path / "items.jsonl"
    records = [
        {"sku": f"s{i}", "title": f"{words[i % 5]} {i}", "tags": ["a", "b"]}
        | ({"brand": "Acme"} if i % 2 else {})
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def run(*args):
    """Run a command that should succeed."""
    assert main([str(arg) for arg in args]) == 0


def fails(capsys, *args):
    """Run a command that should fail and return what it says."""
    assert main([str(arg) for arg in args]) == 1
    err = capsys.readouterr().err
    assert "sklearn-rqvae: error: " in err
    return err.partition("error: ")[2]


def test_array_to_codes_and_back(tmp_path, array, vectors, capsys):
    model, codes, decoded = (tmp_path / name for name in ("m.joblib", "codes.npy", "back.npy"))
    run("fit", array, "--out", model, *SMALL)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("Fitted 60 items in ")
    assert "2 codes each" in last
    assert "16 distinct IDs" in last
    run("encode", model, array, "--out", codes)
    run("decode", model, codes, "--out", decoded)
    quantizer = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(vectors)
    np.testing.assert_array_equal(np.load(codes), quantizer.transform(vectors))
    np.testing.assert_allclose(
        np.load(decoded), quantizer.inverse_transform(np.load(codes)), rtol=1e-5, atol=1e-6
    )


def test_a_prefix_decodes_to_the_coarse_vector(tmp_path, array, vectors):
    model, codes, decoded = (tmp_path / name for name in ("m.joblib", "codes.npy", "back.npy"))
    run("fit", array, "--out", model, "--ids", codes, *SMALL)
    run("decode", model, codes, "--levels", 1, "--out", decoded)
    coarse = np.load(decoded)
    assert len(np.unique(coarse.round(4), axis=0)) == 4
    assert ((coarse - vectors) ** 2).mean() < vectors.var()


def test_texts_become_ids_with_the_columns_that_the_model_knows(tmp_path, texts, capsys):
    model = tmp_path / "m.joblib"
    run("fit", texts, "--text", "title", "brand", "tags", "--id", "sku", "--out", model, *SMALL)
    capsys.readouterr()
    run("encode", model, texts)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["item_id"] for line in lines] == [f"s{i}" for i in range(40)]
    codes = np.array([line["semantic_id"] for line in lines])
    assert codes.shape == (40, 2)
    pipeline = joblib.load(model)["pipeline"]
    text = [f"rose soap {0} a, b", f"lily soap {1} Acme a, b"]
    np.testing.assert_array_equal(pipeline.transform(text), codes[:2])


@pytest.mark.parametrize("name", ["ids.jsonl", "ids.jsonl.gz", "ids.csv", "ids.tsv", "ids.parquet"])
def test_ids_come_back_from_every_format(tmp_path, array, name):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    model, codes, ids = tmp_path / "m.joblib", tmp_path / "codes.npy", tmp_path / name
    run("fit", array, "--out", model, "--ids", codes, *SMALL)
    run("encode", model, array, "--out", ids)
    table = read_table(ids)
    assert [int(str(item)) for item in table["item_id"]] == list(range(60))  # Arrow's numbers, too
    np.testing.assert_array_equal(read_matrix(ids, "semantic_id"), np.load(codes))
    for source, target in ((codes, "a.npy"), (ids, "b.npy")):
        run("decode", model, source, "--out", tmp_path / target)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


@pytest.mark.parametrize("kind", ["jsonl", "csv", "csv.gz", "wide csv", "parquet"])
def test_vectors_are_read_from_every_format(tmp_path, vectors, array, kind):
    path = tmp_path / f"items.{kind.split()[-1]}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps({"emb": row}) for row in vectors.tolist()))
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(
            pyarrow.table({"emb": vectors.tolist()}), path
        )
    else:
        with (gzip.open if kind == "csv.gz" else open)(path, "wt", newline="") as file:
            rows = csv.writer(file)
            if kind == "wide csv":
                rows.writerow([f"emb_{i}" for i in range(6)])
                rows.writerows(vectors.tolist())
            else:
                rows.writerow(["emb"])
                rows.writerows([json.dumps(row)] for row in vectors.tolist())
    expected, found = tmp_path / "a.npy", tmp_path / "b.npy"
    run("fit", array, "--out", tmp_path / "a.joblib", "--ids", expected, *SMALL)
    model = tmp_path / "b.joblib"
    run("fit", path, "--vector", "emb", "--out", model, "--ids", found, *SMALL)
    np.testing.assert_array_equal(np.load(found), np.load(expected))
    run("encode", model, path, "--out", found)  # the model knows the column
    np.testing.assert_array_equal(np.load(found), np.load(expected))


def test_rqvae_is_the_default_and_takes_its_parameters(tmp_path, array, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = tmp_path / "m.joblib"
    args = ["--n-layers", 2, "--codebook-size", 4, 3, "--mode", "SINKHORN", "--max-epochs", 2]
    run("fit", array, "--out", model, *args)
    shown = capsys.readouterr()
    assert "Fitted 60 items" in shown.out
    assert "2/2" in shown.err  # the bar
    quantizer = joblib.load(model)["pipeline"]
    assert type(quantizer) is sklearn_rqvae.RQVAETransformer
    assert [len(codebook) for codebook in quantizer.codebooks_] == [4, 3]
    assert quantizer.codebook_mode == "SINKHORN"
    assert len(quantizer.history_) == 2
    assert quantizer.callbacks is None


@pytest.mark.parametrize(
    "options", [["--method", "kmeans"], [], ["--mode", "STE", "--max-epochs", 2]], ids=str
)
def test_the_seed_reaches_the_fit(tmp_path, options):
    rows = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    codes, models = {}, {}
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        model, ids = tmp_path / f"{name}.joblib", tmp_path / f"{name}.npy"
        sizes = ["--n-layers", 2, "--codebook-size", 8]
        args = [*sizes, *options, "--seed", seed]
        run("fit", tmp_path / "rows.npy", "--out", model, "--ids", ids, *args)
        codes[name], models[name] = np.load(ids), model.read_bytes()
    np.testing.assert_array_equal(codes["same"], codes["one"])
    assert models["same"] == models["one"]
    assert (codes["other"] != codes["one"]).mean() > 0.5


def test_the_seed_reaches_the_embedder_of_texts(tmp_path, texts):
    one, same = tmp_path / "one.joblib", tmp_path / "same.joblib"
    for model in (one, same):
        run("fit", texts, "--text", "title", "--out", model, "--seed", 3, *SMALL)
    assert same.read_bytes() == one.read_bytes()
    assert joblib.load(one)["pipeline"][0].random_state == 3


def test_report_says_what_python_says(tmp_path, array, vectors, capsys):
    model = tmp_path / "m.joblib"
    run("fit", array, "--out", model, *SMALL)
    capsys.readouterr()
    run("report", model, array, "--json")
    quality = json.loads(capsys.readouterr().out)
    quantizer = joblib.load(model)["pipeline"]
    codes = quantizer.transform(vectors)
    assert quality["n_items"] == 60
    assert quality["n_distinct"] == len(np.unique(codes, axis=0))
    assert quality["collision_rate"] == pytest.approx(1 - quality["n_distinct"] / 60)
    unexplained = -quantizer.score(vectors) / vectors.var(axis=0).mean()
    assert quality["levels"][-1]["unexplained"] == pytest.approx(unexplained, rel=1e-3)
    assert [level["utilization"] for level in quality["levels"]] == [1.0, 1.0]
    run("report", model, array)
    text = capsys.readouterr().out
    assert text.splitlines()[0].split()[:4] == ["level", "codewords", "used", "perplexity"]
    assert text.splitlines()[-1].startswith("60 items: 2 codes each")


def test_warnings_are_one_line_and_name_options(tmp_path, texts, capsys):
    run("fit", texts, "--text", "title", "--out", tmp_path / "m.joblib", *SMALL)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "n-components" in line)
    assert line.startswith("sklearn-rqvae: warning: --n-components=256 is more than 40 distinct")


def test_a_report_on_very_few_items_looks_at_the_neighbors_that_there_are(tmp_path, array, vectors):
    model, few = tmp_path / "m.joblib", tmp_path / "few.npy"
    run("fit", array, "--out", model, *SMALL)
    np.save(few, vectors[:3])
    run("report", model, few, "--full", "--no-compare")


def test_report_on_texts(tmp_path, texts, capsys):
    model = tmp_path / "m.joblib"
    run("fit", texts, "--text", "title", "--out", model, *SMALL)
    run("report", model, texts)
    assert "40 items: 2 codes each" in capsys.readouterr().out


def test_the_demo_shows_items_with_their_neighbors(monkeypatch, capsys):
    docs = sklearn_rqvae.datasets.load_api_docs()
    keep = [i for i, name in enumerate(docs.names) if name.startswith(("sklearn.cl", "numpy.fft"))]
    docs.update(
        data=[docs.data[i] for i in keep],
        names=[docs.names[i] for i in keep],
        target=docs.target[keep],
    )
    docs.data += [f"{text} again" for text in docs.data] * 4
    docs.names += [f"{name}_{i}" for i in range(4) for name in docs.names]
    docs.target = np.tile(docs.target, 5)
    monkeypatch.setattr(sklearn_rqvae.datasets, "load_api_docs", lambda: docs)
    run("demo", "--items", "numpy.fft.rfft")
    out = capsys.readouterr().out.strip().splitlines()
    assert out[0].partition("  ")[2].startswith("numpy.fft.rfft: Compute the one-dimensional")
    semantic_id = out[0].partition("  ")[0].split("-")
    assert len(semantic_id) == 4
    assert any(f" more start with {semantic_id[0]}" in line for line in out)
    assert not any(line.startswith("  0 more") for line in out)
    assert any(line.startswith(f"Learned IDs for {len(docs.data)} items in ") for line in out)
    # What collisions mean here, and what to type next, in commands that exist.
    assert any("items have an ID that an item before them has" in line for line in out)
    commands = [line.split() for line in out if line.startswith("  sklearn-rqvae ")]
    assert [words[1] for words in commands] == ["fit", "report", "index"]


def test_the_demo_shows_the_nearest_siblings_first_and_how_large_their_group_is():
    docs = Bunch(
        names=list("abcdefgh"),
        data=[f"{name}: text" for name in "abcdefgh"],
        target=np.zeros(8, dtype=np.int64),
    )
    vectors = np.array([[0.0], [9], [1], [2], [3], [4], [5], [6]], dtype=np.float32)
    codes = np.array([[0, 0], *[[0, 1]] * 6, [1, 0]])
    out = _demo.show_items(docs, vectors, codes, ["a"], seed=0).splitlines()
    assert out[2] == "  6 more start with 0, the nearest 5 (a group of 7; the average one has 4):"
    assert [line.strip()[0] for line in out[3:8]] == list("cdefg")


@pytest.mark.slow
def test_the_demo_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_rqvae", "demo"],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    assert "sklearn.cluster.KMeans: K-Means clustering." in lines[0]
    shares = [float(line.split()[-1].rstrip("%.")) for line in lines if "share the first" in line]
    assert shares == sorted(shares)
    assert shares[0] > 10


@pytest.mark.parametrize("command", ["", "fit", "report", "index export"])
def test_help_imports_nothing_heavy(command):
    # Not even numpy: scikit-learn alone would take a second.
    code = (
        "import sys; from sklearn_rqvae._cli import main\n"
        f"try: main({[*command.split(), '--help']})\n"
        "except SystemExit: print({'numpy', 'scipy', 'sklearn', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    if not command:
        for name in ("demo", "fit", "encode", "decode", "report", "index"):
            assert f"    {name} " in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"sklearn-rqvae {sklearn_rqvae.__version__}\n"


@pytest.mark.parametrize(
    ("name", "content", "args", "message"),
    [
        ("a.jsonl", '{"t": 1}\n', [], "either --text or --vector"),
        ("a.jsonl", '{"t": 1}\n', ["--text", "t", "--vector", "t"], "either --text or --vector"),
        ("a.jsonl", '{"t": "x"}\n', ["--text", "title"], "no column 'title'; it has 't'"),
        ("a.jsonl", '{"t": "x"}\nnothing\n', ["--text", "t"], "line 2 of .* is not JSON"),
        ("a.jsonl", "[1]\n", ["--text", "t"], "line 1 of .* no object"),
        ("a.jsonl", "\n", ["--text", "t"], "holds no rows"),
        ("a.csv", "t\n", ["--text", "t"], "holds no rows"),
        ("a.jsonl", '{"v": [1, 2]}\n{"v": [1]}\n', ["--vector", "v"], "of one length"),
        ("a.jsonl", '{"v": 1}\n', ["--vector", "v"], "lists of numbers"),
        ("a.jsonl", '{"v": [1]}\n{"v": null}\n', ["--vector", "v"], r"row 1 \(from 0\) holds None"),
        ("a.jsonl", '{"v": []}\n', ["--vector", "v"], r"of one length, but row 0 .* holds \[\]"),
        ("a.jsonl", '{"v": [1]}\n', ["--vector", "w"], "no column 'w' or 'w_0'"),
        (
            "a.jsonl",
            '{"v": [1, 2]}\n{"v": [1, NaN]}\n',
            ["--vector", "v"],
            r"row 1 \(from 0\) of .*a.jsonl has nan in entry 1 of column 'v'.*fill or drop",
        ),
        ("a.jsonl", '{"v": [1, null]}\n', ["--vector", "v"], "row 0 .* None in entry 1 of column"),
        ("a.jsonl", '{"v": [1, 1e60]}\n', ["--vector", "v"], "row 0 .* 1e[+]60 in entry 1 of col"),
        (
            "a.jsonl",
            '{"v": [1, "x"]}\n',
            ["--vector", "v"],
            "row 0 .* 'x' in entry 1 of column 'v'",
        ),
        ("a.jsonl", '{"v": [[1], 2]}\n', ["--vector", "v"], r"row 0 .* \[1\] in entry 0 of column"),
        (
            "a.jsonl",
            '{"v": [1, 2]}\n{"v": [0.5, true]}\n',
            ["--vector", "v"],
            "row 1 .* has True in entry 1 of column 'v'",
        ),
        ("a.csv", "v_0,v_1\n1,2\n1,false\n", ["--vector", "v"], "row 1 .* False in column 'v_1'"),
        ("a.csv", "v_0,v_1\n1,2\n1,NaN\n", ["--vector", "v"], "row 1 .* has nan in column 'v_1'"),
        ("a.csv", "v_0,v_1\n1,2\n1,\n", ["--vector", "v"], "'v_1' of .* holds '' in row 1"),
        ("a.csv", "v_0,v_2\n1,2\n", ["--vector", "v"], "2 columns v_0, ..., but no 'v_1'"),
        (
            "a.csv",
            "v_0,v_1\n1,2\n1,2,3\n",
            ["--vector", "v"],
            "line 3 of .*a.csv has 3 fields, but the header has 2; put .* ',' in quotes",
        ),
        ("a.tsv", "t\nx\ty\n", ["--text", "t"], "line 2 of .*a.tsv has 2 fields, but the header"),
        (
            "a.jsonl",
            f'{{"v": [1, 1{"0" * 400}]}}\n',
            ["--vector", "v"],
            "row 0 .* has 10+\\.\\.\\. in entry 1 of column 'v', which is no finite number",
        ),
        (
            "a.csv",
            f"v_0,v_1\n1,-1{'0' * 400}\n",
            ["--vector", "v"],
            "row 0 .* has -10+\\.\\.\\. in column 'v_1'",
        ),
        ("a.jsonl", f'{{"v": [1{"0" * 5000}]}}\n', ["--vector", "v"], "line 1 of .*a.jsonl is not"),
        (
            "a.csv",
            f"v_0\n1{'0' * 5000}\n",
            ["--vector", "v"],
            "column 'v_0' of .*a.csv should hold",
        ),
        ("a.jsonl", '{"v": [1, 2]}\n', ["--vector", "v"], "holds one item; a fit needs .* two"),
        ("a.jsonl", '{"t": "x"}\n', ["--text", "t"], "holds one item; a fit needs .* two"),
        ("a.csv", "v_0\n1\n1\n1\n", ["--vector", "v"], "3 items, all equal; a fit needs .* two"),
        ("a.csv", "v\nred shirt\n", ["--vector", "v"], "column 'v' of .*, but holds 'red shirt'"),
        ("a.csv", "v_0,v_1\n1,red\n", ["--vector", "v"], "column 'v_1' of .* holds 'red'"),
        ("a.npy", "", [], "a.npy is no array of numbers"),
        ("a.xlsx", "", ["--text", "t"], "format of .* is unknown; .* .jsonl, .csv"),
        ("a.jsonl", '{"t": "x"}\n', ["--text", "t", "--mode", "STE"], "belong to --method rqvae"),
    ],
)
def test_wrong_input_says_what_is_wrong(tmp_path, capsys, name, content, args, message):
    path = tmp_path / name
    path.write_text(content)
    said = fails(capsys, "fit", path, "--out", tmp_path / "m.joblib", *SMALL, *args)
    assert re.search(message, said), said
    assert not (tmp_path / "m.joblib").exists()


def test_text_in_another_encoding_is_named(tmp_path, capsys):
    path = tmp_path / "latin.csv"
    path.write_bytes("title\nG\u00fcrtel\n".encode("latin-1"))
    said = fails(capsys, "fit", path, "--text", "title", "--out", tmp_path / "m", *SMALL)
    assert re.search(r"latin\.csv is no text in UTF-8", said), said


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b"title\nsoap\n", lambda b: b[:-10], lambda b: b[:20] + bytes(20) + b[40:]],
    ids=["not zipped", "cut", "overwritten"],
)
@pytest.mark.parametrize("name", ["items.csv.gz", "items.jsonl.gz"])
def test_a_damaged_gzip_file_is_named(tmp_path, capsys, name, spoil):
    path = tmp_path / name
    title = " ".join(str(i * i) for i in range(99))
    lines = ["title", title] if ".csv" in name else [json.dumps({"title": title})] * 2
    path.write_bytes(spoil(gzip.compress("\n".join([*lines, ""]).encode())))
    said = fails(capsys, "fit", path, "--text", "title", "--out", tmp_path / "m", *SMALL)
    assert re.search(rf"{re.escape(name)} is no text in UTF-8, or is damaged \(", said), said


@pytest.mark.parametrize("name", ["items.csv", "items.tsv", "items.csv.gz", "items.jsonl"])
def test_a_byte_order_mark_is_no_part_of_a_table(tmp_path, name):
    text = '{"id": "a"}\n{"id": "b"}\n' if "jsonl" in name else "id\na\nb\n"
    content = text.encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(content) if "gz" in name else content)
    assert read_table(tmp_path / name, ["id"]) == {"id": ["a", "b"]}


def test_empty_fields_beyond_the_header_are_no_data(tmp_path):
    (tmp_path / "a.csv").write_text("t,u\nx,y,,\n")
    assert read_table(tmp_path / "a.csv") == {"t": ["x"], "u": ["y"]}


@pytest.fixture
def dated(tmp_path, vectors):
    """A Parquet file of items that are named by times, days and bytes."""
    pyarrow = pytest.importorskip("pyarrow")
    start = datetime.datetime(2024, 1, 31, 23, 30)
    times = [start + datetime.timedelta(days=i) for i in range(len(vectors))]
    columns = {
        "time": times,
        "day": [time.date() for time in times],
        "key": [bytes([255 - i]) for i in range(len(vectors))],
        "v": vectors.tolist(),
    }
    path = tmp_path / "dated.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "first"), [("time", "2024-01-31T23:30:00"), ("day", "2024-01-31")]
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_times_become_iso_text_in_files(tmp_path, dated, column, first, suffix):
    ids = tmp_path / f"ids.{suffix}"
    args = ["--vector", "v", "--id", column]
    run("fit", dated, *args, "--out", tmp_path / "m", "--ids", ids, *SMALL)
    assert read_table(ids).column("item_id")[0] == first
    run("encode", tmp_path / "m", dated, "--out", tmp_path / "again.parquet")
    assert read_table(tmp_path / "again.parquet").column("item_id")[0] == first
    ids.unlink()
    run("decode", tmp_path / "m", tmp_path / "again.parquet", "--out", tmp_path / ids)
    assert read_table(ids).column("item_id")[0] == first


def test_ids_that_the_output_cannot_hold_are_refused_before_the_work(
    tmp_path, dated, vectors, capsys, monkeypatch
):
    model, mixed, out = tmp_path / "m", tmp_path / "mixed.jsonl", tmp_path / "x.parquet"
    records = [{"k": i or "none", "n": 10**30 + i, "v": v} for i, v in enumerate(vectors.tolist())]
    mixed.write_text("\n".join(map(json.dumps, records)))
    run("fit", dated, "--vector", "v", "--id", "key", "--out", model, *SMALL)
    monkeypatch.setattr(_encode, "in_batches", None)
    monkeypatch.setattr(_fit, "fit_quantizer", None)
    message = r"can't hold the id b'\\xff' of row 0 .* is no text in UTF-8"
    for args in (
        ["encode", model, dated],
        ["encode", model, dated, "--out", tmp_path / "x.csv"],
        ["encode", model, dated, "--out", out],
        ["fit", dated, "--vector", "v", "--id", "key", "--out", tmp_path / "n",
         "--ids", tmp_path / "x.jsonl.gz", *SMALL],
    ):  # fmt: skip
        assert re.search(message, fails(capsys, *args))
    for column, why in (("k", "1 of row 1 .* beside 'none'"), ("n", r"10+ .* have 64 bits")):
        said = fails(capsys, "encode", model, mixed, "--id", column, "--out", out)
        assert re.search(rf"x\.parquet can't hold the id {why}", said), said
    assert not list(tmp_path.glob("[nx]*"))


@pytest.mark.parametrize("dtype", [object, complex, str])
def test_arrays_of_other_than_real_numbers_are_refused_in_one_line(
    tmp_path, vectors, capsys, dtype
):
    np.save(tmp_path / "a.npy", vectors.astype(dtype))
    said = fails(capsys, "fit", tmp_path / "a.npy", "--out", tmp_path / "m", *SMALL)
    assert re.search(r"a\.npy (is no array of numbers|holds values of dtype)", said), said
    assert said.count("\n") == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_no_number_is_named_by_row_and_column(
    tmp_path, vectors, array, capsys, value
):
    path, model = tmp_path / "nan.npy", tmp_path / "m"
    run("fit", array, "--out", model, *SMALL)
    vectors = np.tile(vectors.astype(np.float64), (5000, 1))  # more than a block
    vectors[200_003, 2] = value
    np.save(path, vectors)
    for args in (["fit", path, "--out", model, *SMALL], ["encode", model, path]):
        said = fails(capsys, *args)
        assert f"row 200003 (from 0) of {path} has {value} in column 2" in said


def test_an_error_of_many_lines_is_told_in_its_first(tmp_path, array, capsys, monkeypatch):
    def fail(*args):
        raise ValueError("wrong\nand much to explain")

    monkeypatch.setattr(_fit, "fit_quantizer", fail)
    assert fails(capsys, "fit", array, "--out", tmp_path / "m", *SMALL) == "wrong\n"


def test_outputs_are_looked_at_before_the_work(tmp_path, array, capsys, monkeypatch):
    model, nowhere = tmp_path / "m.joblib", tmp_path / "no" / "out.csv"
    run("fit", array, "--out", model, *SMALL)
    before = model.read_bytes()
    monkeypatch.setattr(_fit, "read_items", None)  # the work begins by it
    for args in (
        ["fit", array, "--out", nowhere, *SMALL],
        ["fit", array, "--out", model, "--ids", nowhere, *SMALL],
        ["encode", model, array, "--out", nowhere],
        ["report", model, array, "--html", nowhere],
    ):
        assert "the folder doesn't exist; make it first" in fails(capsys, *args)
    said = fails(capsys, "fit", array, "--out", model, "--ids", tmp_path / "ids.foo", *SMALL)
    assert "format of" in said
    assert "is a folder" in fails(capsys, "fit", array, "--out", tmp_path, *SMALL)
    assert model.read_bytes() == before


@pytest.mark.parametrize("args", [[], ["--mode", "STE", "--max-epochs", 2]])
def test_there_is_no_bar_in_a_pipe_or_log(tmp_path, array, capsys, args):
    run("fit", array, "--out", tmp_path / "m", "--n-layers", 2, "--codebook-size", 4, *args)
    said = capsys.readouterr().err
    assert said.splitlines() == ["finding codebooks for 60 vectors of length 6 ..."]


def test_a_fit_without_epochs_shows_its_stages(tmp_path, array, capsys, monkeypatch):
    pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = tmp_path / "m.joblib"
    run("fit", array, "--out", model, "--n-layers", 2, "--codebook-size", 4)
    said = capsys.readouterr().err
    assert "codebooks: " in said
    assert "100%" in said
    quantizer = joblib.load(model)["pipeline"]
    assert quantizer.callbacks is None
    assert not getattr(quantizer, "_skl_callbacks", None)


def test_long_ids_without_order(tmp_path, array, vectors, capsys):
    model, codes = tmp_path / "m.joblib", tmp_path / "codes.npy"
    how = ["--method", "product", "--codebook-size", 4]
    run("fit", array, "--out", model, "--n-layers", 3, *how)
    run("encode", model, array, "--out", codes)
    expected = ProductQuantizer(3, 4, random_state=0).fit_transform(vectors)
    np.testing.assert_array_equal(np.load(codes), expected)
    said = fails(capsys, "fit", array, "--out", model, "--n-layers", 7, *how)
    assert "--n-layers=7 should be at most" in said


def test_options_that_would_do_nothing_are_refused(tmp_path, array, capsys):
    run("fit", array, "--out", tmp_path / "m.joblib", *SMALL)
    said = fails(capsys, "report", tmp_path / "m.joblib", array, "--label", "brand")
    assert "--histories and --no-compare belong to --full" in said
    np.save(tmp_path / "codes.npy", np.zeros((3, 2), dtype=int))
    codes = tmp_path / "codes.npy"
    said = fails(capsys, "decode", tmp_path / "m.joblib", codes, "--levels", 9)
    assert "--levels 9 should be between 1 and 2" in said


def test_epochs_that_would_not_be_run_are_refused(tmp_path, array, capsys):
    said = fails(capsys, "fit", array, "--out", tmp_path / "m.joblib", "--max-epochs", 3)
    assert "--max-epochs needs --mode" in said


def test_a_missing_file_is_named(tmp_path, capsys):
    said = fails(capsys, "fit", tmp_path / "no.jsonl", "--text", "t", "--out", tmp_path / "m")
    assert "no.jsonl" in said


def test_a_model_of_vectors_takes_no_texts(tmp_path, array, texts, capsys):
    model = tmp_path / "m.joblib"
    run("fit", array, "--out", model, *SMALL)
    assert "fitted on vectors" in fails(capsys, "encode", model, texts, "--text", "title")
    assert "--vector" in fails(capsys, "encode", model, texts)
    np.save(tmp_path / "other.npy", np.ones((3, 4)))
    said = fails(capsys, "encode", model, tmp_path / "other.npy")
    assert "other.npy holds vectors of length 4, but the model was fitted to length 6" in said
    # An array has no columns that could be named.
    assert "fitted on vectors" in fails(capsys, "encode", model, array, "--text", "title")
    assert "columns of tables" in fails(capsys, "encode", model, array, "--vector", "v")
    run("fit", texts, "--text", "title", "--out", model, *SMALL)
    assert "fitted on texts" in fails(capsys, "encode", model, array)
    said = fails(capsys, "encode", model, texts, "--id", "sku", "--vector", "title")
    assert "fitted on texts" in said


@pytest.mark.parametrize("kind", ["RQVAETransformer", "ResidualKMeans"])
def test_a_model_that_python_saved_without_pickle_encodes_and_decodes(
    tmp_path, array, vectors, kind
):
    quantizer = getattr(sklearn_rqvae, kind)(n_layers=2, codebook_size=4, random_state=0)
    quantizer.fit(vectors).save(tmp_path / "m.plain")
    codes, decoded = tmp_path / "codes.npy", tmp_path / "back.npy"
    run("encode", tmp_path / "m.plain", array, "--out", codes)
    run("decode", tmp_path / "m.plain", codes, "--out", decoded)
    np.testing.assert_array_equal(np.load(codes), quantizer.transform(vectors))
    np.testing.assert_array_equal(np.load(decoded), quantizer.inverse_transform(np.load(codes)))


def test_a_zip_file_that_is_no_model_is_refused(tmp_path, array, vectors, capsys):
    path = tmp_path / "m.plain"
    write_state(path, "Thing", {})
    assert "holds a Thing, not a model" in fails(capsys, "encode", path, array)
    sklearn_rqvae.SemanticIDIndex().fit([[1, 2]]).save(path)
    assert "holds a SemanticIDIndex, not a" in fails(capsys, "encode", path, array)


def test_other_files_are_no_models(tmp_path, array, capsys):
    path = tmp_path / "m.joblib"
    joblib.dump([1], path)
    assert "is no model" in fails(capsys, "encode", path, array)
    joblib.dump({"sklearn_rqvae": 99}, path)
    assert "newer version" in fails(capsys, "encode", path, array)
    assert "is no model" in fails(capsys, "encode", array, array)
    path.write_text("some text")
    assert "is no model" in fails(capsys, "encode", path, array)
    path.write_bytes(b"")
    assert "is no model" in fails(capsys, "encode", path, array)
    joblib.dump({"sklearn_rqvae": 1, "pipeline": 2}, path)
    assert "parts of it are missing" in fails(capsys, "encode", path, array)
    path.write_bytes(b"cbuiltins\nlen\n(I1\ntR.")  # a pickle that calls len(1)
    assert "is no model" in fails(capsys, "encode", path, array)
    path.write_bytes(b"cno_such_module\nthing\n.")
    assert "m.joblib needs what isn't installed" in fails(capsys, "encode", path, array)


def test_a_failed_write_leaves_the_old_file(tmp_path, array, capsys, monkeypatch):
    model = tmp_path / "m.joblib"
    model.write_bytes(b"old")

    def dump(model, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(joblib, "dump", dump)
    assert "no space left" in fails(capsys, "fit", array, "--out", model, *SMALL)
    assert model.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.joblib", "vectors.npy"]


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "demo", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "sklearn-rqvae: interrupted\n"


def test_traceback_on_request(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["--traceback", "fit", str(tmp_path / "no.npy"), "--out", "m"])


def fitted_texts(path, capsys, *args):
    """Fit to a column of texts and return the vocabulary's view of what was missing."""
    run("fit", path, "--text", "title", "--out", path.parent / "m", *SMALL, *args)
    capsys.readouterr()
    return joblib.load(path.parent / "m")["pipeline"]


TITLES = ["red lamp", None, "blue cup", None, "red cup", "nan"] * 4


@pytest.mark.parametrize("kind", ["NaN", "null", "absent", "empty", "csv", "parquet"])
def test_missing_text_is_missing_in_every_file_as_in_python(tmp_path, capsys, kind):
    path = tmp_path / f"a.{kind if kind in ('csv', 'parquet') else 'jsonl'}"
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.table({"title": TITLES}), path)
    elif kind == "csv":
        lines = [f"{title or ''},{row}\n" for row, title in enumerate(TITLES)]
        path.write_text("title,id\n" + "".join(lines))
    else:
        missing = {"NaN": {"title": float("nan")}, "null": {"title": None}, "empty": {"title": ""}}
        records = [{"title": t} if t else missing.get(kind, {}) for t in TITLES]
        lines = [json.dumps({"id": row, **record}) + "\n" for row, record in enumerate(records)]
        path.write_text("".join(lines))
    pipeline = fitted_texts(path, capsys)
    run("encode", tmp_path / "m", path)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    texts = [title if title else float("nan") for title in TITLES]
    expected = pipeline.transform(texts).tolist()
    assert [line["semantic_id"] for line in lines] == expected
    assert expected[1] != expected[5]  # the word "nan" is another text


def test_bytes_are_the_text_that_they_hold(tmp_path, capsys):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    titles = ["red lämp", "blue cup", "red cup", "green pen"] * 3
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"title": [title.encode() for title in titles]}), path)
    pipeline = fitted_texts(path, capsys)
    run("encode", tmp_path / "m", path, "--out", tmp_path / "codes.npy")
    assert np.load(tmp_path / "codes.npy").tolist() == pipeline.transform(titles).tolist()
    for column, message in (([b"\xff"] * 2, "no text in UTF-8"), ([{"en": "a"}] * 2, "'en'")):
        pq.write_table(pa.table({"title": column}), path)
        said = fails(capsys, "encode", tmp_path / "m", path)
        assert message in said
        assert f"column 'title' of {path}" in said


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--id", "kind"], "column 'kind' of .* 10 ids that repeat .* 'b' in row 2"),
        (["--id", "gap"], "row 3 .* has no id in column 'gap'"),
        (["--id", "half", "--ids", "o.jsonl"], "can't hold the id .* half of a character"),
        (["--id", "half", "--ids", "o.csv"], "can't hold the id .* half of a character"),
        (["--id", "mixed", "--ids", "o.csv"], "can't hold the id 'x' of row 5 .* beside 0"),
        (
            ["--n-layers", "4", "--codebook-size", "4", "8"],
            "--codebook-size has 2 numbers, .* is 4",
        ),
        (["--out", "items.jsonl"], "--out items.jsonl would overwrite a file that is read"),
        (["--ids", "./items.jsonl"], "--ids ./items.jsonl would overwrite a file that is read"),
        (["--ids", "m"], "--ids m would overwrite the file of --out"),
        (["--ids", "o.json"], "the format of o.json is unknown"),
        (["--out", "/dev/null"], "it is a device or a pipe"),
        (["--out", "-"], "--out - would be printed, .* name a file"),
        (["--ids", "-"], "--ids - would be printed, .* name a file"),
    ],
)
def test_what_can_be_checked_is_checked_before_the_work(
    tmp_path, capsys, monkeypatch, args, message
):
    monkeypatch.chdir(tmp_path)
    columns = {
        "t": [f"text {i}" for i in range(20)],
        "kind": ["a", *"b" * 11, *range(12, 20)],
        "gap": [0, 1, 2, None, *range(4, 20)],
        "half": [f"{i}\ud83d" for i in range(20)],
        "mixed": [*range(5), "x", *range(6, 20)],
    }
    records = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, records)))
    monkeypatch.setattr(_fit, "fit_quantizer", None)
    before = (tmp_path / "items.jsonl").read_bytes()
    out = [] if "--out" in args else ["--out", "m"]
    said = fails(capsys, "fit", "items.jsonl", "--text", "t", *out, *SMALL, *args)
    assert re.search(message, said), said
    assert (tmp_path / "items.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["items.jsonl"]


@pytest.mark.parametrize(
    "args", [["--n-layers", "0"], ["--codebook-size", "4", "-1"], ["--seed", "-1"]]
)
def test_numbers_that_cannot_be_are_wrong_arguments(array, capsys, args):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", array, "--out", "m", *args])
    assert re.search(
        r"argument --[-a-z]+: -?\d+ should be (at least 1|between 0)", capsys.readouterr().err
    )


def test_known_columns_of_ids_need_no_option(tmp_path, capsys):
    path = tmp_path / "a.CSV"
    path.write_text("item_id,title\n" + "".join(f"{i:02},text {i}\n" for i in range(20)))
    run(
        "fit", path, "--text", "title", "--out", tmp_path / "m", "--ids", tmp_path / "i.csv", *SMALL
    )
    assert "row numbers" not in capsys.readouterr().err
    assert read_table(tmp_path / "i.csv")["item_id"][1] == "01"


def test_decode_asks_which_column_names_the_items(tmp_path, array, capsys):
    model, ids = tmp_path / "m", tmp_path / "ids.csv"
    run("fit", array, "--out", model, *SMALL)
    ids.write_text("sku,code_0,code_1,suffix\na,1,2,0\nb,3,3,1\n")
    assert "no column item_id, but 'sku'" in fails(capsys, "decode", model, ids)
    run("decode", model, ids, "--id", "sku", "--out", tmp_path / "v.jsonl")
    assert read_table(tmp_path / "v.jsonl")["item_id"] == ["a", "b"]


def test_repeated_ids_are_told_when_they_are_encoded(tmp_path, array, vectors, capsys):
    run("fit", array, "--out", tmp_path / "m", *SMALL)
    records = [{"id": "ab"[i % 2], "v": row} for i, row in enumerate(vectors[:4].tolist())]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    capsys.readouterr()
    run("encode", tmp_path / "m", tmp_path / "a.jsonl", "--vector", "v")
    assert "2 ids of" in capsys.readouterr().err


def test_swapped_arguments_are_told_and_nothing_is_unpickled(tmp_path, array, capsys):
    ids = tmp_path / "ids.csv"
    for text in ("item_id,t\na,1\n", "category,t\na,1\n", '"item_id","t"\n'):
        ids.write_text(text)
        said = fails(capsys, "encode", ids, array)
        assert "ids.csv is no model of sklearn-rqvae fit; the model comes before the items" in said


def test_a_fit_to_few_items_is_told(tmp_path, array, capsys):
    run("fit", array, "--out", tmp_path / "m", "--n-layers", 2, "--codebook-size", 16)
    said = capsys.readouterr()
    assert "60 items for 16 codes at a level" in said.err
    assert "For these items: 2 codes each" in said.out


@pytest.mark.parametrize(
    ("name", "instead"),
    [("numpy.linalg.sdv", "'numpy.linalg.svd'"), ("pandas.merge", "'sklearn.cluster.KMeans'")],
)
def test_an_unknown_item_of_the_demo_is_told_before_the_catalog_is_read(
    name, instead, monkeypatch, capsys
):
    monkeypatch.setattr("sklearn_rqvae.datasets.load_api_docs", None)
    assert f"no item {name!r}; give full names such as {instead}" in fails(
        capsys, "demo", "--items", name
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "fit itmes.csv --text t --out m.joblib",
            "can't read itmes.csv: there is no such file; is it items.csv?",
        ),
        ("fit no/items.csv --text t --out m.joblib", "no such file, nor a folder no."),
        ("encode items.csv nothing.csv", "can't read nothing.csv: there is no such file."),
        ("index drift a.sid items.csv", "can't read a.sid"),
        ("report m.joblib items.csv --full --history-columns who what", "can't read m.joblib"),
    ],
)
def test_a_missing_file_is_told_before_anything_is_imported(
    command, message, tmp_path, monkeypatch, capsys
):
    (tmp_path / "items.csv").write_text("t\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_rqvae._cli._arguments.import_module", None)
    assert message in fails(capsys, *command.split())


def test_pipes_and_links_to_nowhere_are_not_read(tmp_path, capsys):
    # Some commands read a file twice, and would wait for ever.
    os.mkfifo(tmp_path / "items.csv")
    said = fails(capsys, "fit", tmp_path / "items.csv", "--text", "t", "--out", tmp_path / "m")
    assert "it is a pipe or a device, " in said
    (tmp_path / "link.csv").symlink_to("gone.csv")
    said = fails(capsys, "fit", tmp_path / "link.csv", "--text", "t", "--out", tmp_path / "m")
    assert said.endswith("there is no such file, but a link to gone.csv.\n")
    said = fails(capsys, "fit", "-", "--text", "t", "--out", tmp_path / "m")
    assert "the standard input isn't read; write it to a file" in said


@pytest.mark.parametrize(
    "command", ["demo", "fit", "encode", "decode", "report", "index build", "index lookup"]
)
def test_help_has_an_example_and_the_defaults(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert f"  sklearn-rqvae {command} " in text.partition("example")[2]
    assert "(default: None)" not in text
    if command == "fit":
        for default in ("256", "3", "0", "tfidf", "rqvae"):
            assert f"(default: {default})" in text


def test_fit_says_what_embeds_the_texts_and_whose_figure_it_tells(tmp_path, texts, capsys):
    run("fit", texts, "--text", "title", "--out", tmp_path / "m.joblib", *SMALL)
    shown = capsys.readouterr()
    assert "n-grams, which know spelling, not meaning; --text-model" in shown.err
    assert "For these items: 2 codes each" in shown.out
    assert f"report {tmp_path / 'm.joblib'} {texts} --full" in shown.out


def test_stages_are_lines_where_scikit_learn_has_no_callbacks(capsys):
    class Old:
        callbacks = codebook_mode = None

        def set_params(self, verbose):
            self.verbose = verbose
            return self

        def fit(self, X):
            print("codebooks: 0.1 s")

    quantizer = Old()
    _fit.fit_quantizer(quantizer, np.zeros((2, 2)))
    shown = capsys.readouterr()
    assert "codebooks: 0.1 s" in shown.err
    assert not shown.out
    assert quantizer.verbose == 0


@pytest.mark.parametrize("option", ["--text", "--vector", "--id"])
def test_an_array_has_no_columns(option, tmp_path, array, capsys):
    said = fails(capsys, "fit", array, option, "sku", "--out", tmp_path / "m", *SMALL)
    assert "holds an array: --text, --vector and --id name columns of tables" in said
