"""A catalog from a model and a table of texts, without a line of Python."""

import csv
import json

import joblib
import numpy as np
import pytest

from sklearn_rqvae._cli._main import main
from sklearn_rqvae.semantic_id import SemanticIDIndex

WORDS = ["rose", "lily", "steel", "wood", "round", "soap", "comb", "brush", "red", "blue"]


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["sku", "title"], *rows])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Items whose titles repeat, the model and IDs of a fit, and new items."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    titles = [" ".join(rng.choice(WORDS, 3)) for _ in range(50)]
    titles[10:13] = titles[:3]
    rows = [[f"{i:03}", title] for i, title in enumerate(titles)]
    write(folder / "items.csv", rows[:40])
    write(folder / "new.csv", [*rows[40:], ["900", titles[0]]])
    args = ["--text", "title", "--id", "sku", "--n-layers", "3", "--codebook-size", "6"]
    out = ["--out", str(folder / "m"), "--ids", str(folder / "ids.csv")]
    assert main(["fit", str(folder / "items.csv"), *args, *out]) == 0
    return folder


@pytest.fixture
def build(shop, tmp_path):
    """Build a catalog; the model and items of the shop are given."""

    def run(*args, out="c", items="items.csv"):
        given = ["--model", shop / "m", "--items", shop / items, "--collisions", "reassign"]
        command = ["index", "build", *args, *given, "--out", tmp_path / out]
        return main(list(map(str, command)))

    return run


def texts(path):
    with open(path) as file:
        return [row["title"] for row in csv.DictReader(file)]


def test_items_are_reassigned_as_in_python(shop, build, tmp_path, capsys):
    assert build("--json") == 0
    assert json.loads(capsys.readouterr().out)["n_moved"] > 0
    index = SemanticIDIndex.load(tmp_path / "c")
    pipeline = joblib.load(shop / "m")["pipeline"]
    vectors = pipeline[:-1].transform(texts(shop / "items.csv"))
    names = [f"{i:03}" for i in range(40)]
    other = SemanticIDIndex.from_estimator(pipeline[-1], vectors, names, "reassign")
    assert index.item_ids_.tolist() == names
    assert index.ids_.tolist() == other.ids_.tolist()
    assert len(np.unique(index.ids_, axis=0)) == 40
    new = ["--model", shop / "m", "--items", shop / "new.csv"]
    assert main(list(map(str, ["index", "append", tmp_path / "c", *new]))) == 0
    vectors = pipeline[:-1].transform(texts(shop / "new.csv"))
    other.append_from_estimator(pipeline[-1], vectors, [*(str(i) for i in range(40, 50)), "900"])
    grown = SemanticIDIndex.load(tmp_path / "c")
    assert grown.ids_[:40].tolist() == index.ids_.tolist()
    assert set(map(tuple, grown.ids_[40:].tolist())) == set(map(tuple, other.ids_[40:].tolist()))
    assert grown["900"] != grown["000"]


def test_codes_that_were_written_say_which_items_and_in_which_order(shop, build, tmp_path):
    lines = (shop / "ids.csv").read_text().splitlines()
    some = tmp_path / "some.csv"
    some.write_text("\n".join([lines[0], *lines[30:10:-1]]) + "\n")
    assert build(some) == 0
    index = SemanticIDIndex.load(tmp_path / "c")
    assert index.item_ids_.tolist() == [f"{i:03}" for i in range(29, 9, -1)]
    assert len(np.unique(index.ids_, axis=0)) == 20


def test_what_does_not_belong_together_is_refused(shop, build, tmp_path, capsys):
    def says(*args, items="items.csv"):
        assert build(*args, items=items) == 1
        assert not (tmp_path / "c").exists()
        return capsys.readouterr().err

    assert "lacks 40 items of" in says(shop / "ids.csv", items="new.csv")
    other = tmp_path / "other.csv"
    lines = (shop / "ids.csv").read_text().splitlines()
    wrong = lines[1].rpartition(",")[0] + ",5"
    wrong = wrong if wrong != lines[1] else wrong[:-1] + "4"
    other.write_text("\n".join([lines[0], wrong, *lines[2:]]) + "\n")
    assert "aren't those that" in says(other)
    assert "no column 'ean'; it has 'sku', 'title'" in says("--id", "ean")
    assert "give both" in run_index(capsys, "build", "--model", shop / "m", "--out", tmp_path / "c")
    assert "give CODES, or --model" in run_index(capsys, "build", "--out", tmp_path / "c")
    args = ["build", shop / "ids.csv", "--collisions", "reassign", "--out", tmp_path / "c"]
    said = run_index(capsys, *args)
    assert "give --model MODEL and --items ITEMS" in said
    assert "from_estimator" not in said
    said = run_index(capsys, "build", shop / "ids.csv", "--collisions", "raise", "--out", "c")
    assert "--collisions" in said
    assert "collisions=" not in said


def run_index(capsys, *args):
    assert main(["index", *map(str, args)]) == 1
    return capsys.readouterr().err


def test_items_without_ids_are_not_numbered(shop, build, tmp_path, capsys):
    # A model that knows no column of ids.
    args = ["--text", "title", "--n-layers", "2", "--codebook-size", "4", "--method", "kmeans"]
    command = ["fit", str(shop / "items.csv"), *args, "--out", str(tmp_path / "m")]
    assert main(command) == 0
    said = run_index(
        capsys, "build", "--model", tmp_path / "m", "--items", shop / "items.csv", "--out",
        tmp_path / "c",
    )  # fmt: skip
    assert "no column item_id or id; name the column of its ids with --id" in said
    # Any other column may be that of the ids; where no ids are written, it doesn't matter.
    encode = ["encode", str(tmp_path / "m"), str(shop / "items.csv")]
    for call in (encode, [*command, "--ids", str(tmp_path / "ids.csv")]):
        assert main(call) == 1
        assert "has no column item_id or id, but 'sku'" in capsys.readouterr().err
    assert main([*encode, "--out", str(tmp_path / "codes.npy")]) == 0
    titles = tmp_path / "titles.csv"
    titles.write_text("title\nlamp\ncup\n")
    assert main([*encode[:2], str(titles)]) == 0
    assert "the ids are row numbers of" in capsys.readouterr().err


def test_a_grown_catalog_is_fitted_again_and_keeps_most_ids(shop, tmp_path, capsys):
    catalog, model, moves = tmp_path / "c", tmp_path / "n", tmp_path / "moves.csv"
    everything = tmp_path / "all.csv"
    lines = (shop / "items.csv").read_text() + (shop / "new.csv").read_text().partition("\n")[2]
    everything.write_text(lines)
    assert main(["index", "build", str(shop / "ids.csv"), "--out", str(catalog)]) == 0
    warm = ["fit", str(everything), "--warm-start", str(shop / "m"), "--out", str(model)]
    assert main([*warm, "--stability", "0.5"]) == 0
    refit = ["index", "refit", str(catalog), "--model", str(model), "--items", str(everything)]
    before = catalog.read_bytes()
    capsys.readouterr()
    assert main([*refit, "--dry-run", "--json", "--moves", str(moves)]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["n_kept"] + plan["n_moved"] == 40
    assert plan["n_added"] == 11
    assert plan["n_kept"] > 30
    assert catalog.read_bytes() == before
    assert len(moves.read_text().splitlines()) == plan["n_moved"] + 1
    assert main([*refit, "--grow"]) == 0
    assert len(SemanticIDIndex.load(catalog)) == 51
    for wrong, message in (
        ([*warm, "--n-layers", "4"], "--n-layers is a matter of the model of --warm-start"),
        ([*warm, "--vector", "title"], "was fitted to texts"),
        (["fit", str(everything), "--out", str(model), "--stability", "1"], "needs --warm-start"),
    ):
        assert main(wrong) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "append {c} --model {shop}/m --items {shop}/items.csv",
            "40 items are in",
        ),
        ("append {c} --model {other} --items {shop}/new.csv", "has codes of another model"),
        ("refit {c} --model {other} --items {shop}/items.csv --moves m.xls", "m.xls is unknown"),
        (
            "build --model {shop}/m --items {shop}/items.csv --out d --suffix-size 2 "
            "--collisions reassign",
            "--suffix-size is for --collisions suffix",
        ),
        (
            "build --model {shop}/m --items {shop}/items.csv --out d --max-items-per-first-code 2",
            "--max-items-per-first-code",
        ),
    ],
)
def test_what_a_catalog_refuses_is_told_before_texts_are_embedded(
    command, message, shop, build, tmp_path, monkeypatch, capsys
):
    assert build() == 0
    model = joblib.load(shop / "m")
    model["pipeline"].set_params(rq=model["pipeline"][-1].set_params(n_beams=1))
    joblib.dump(model, tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_rqvae._cli._catalog_items.in_batches", None)
    line = command.format(shop=shop, c=tmp_path / "c", other=tmp_path / "other")
    capsys.readouterr()
    assert main(["index", *line.split()]) == 1
    assert message in capsys.readouterr().err
