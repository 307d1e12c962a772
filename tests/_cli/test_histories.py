"""Histories in the shell: who touched what, judged as the Python report does."""

import json

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae._cli._main import main
from sklearn_rqvae.report import report
from tests._cli.test_main import SMALL, fails, run

HISTORIES = [[0, 1, 2], [2, 3, 0], [5, 4], [7, 9, 8, 6]]


@pytest.fixture
def items(tmp_path):
    """A table of forty items with ids that look like numbers, and a model of it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4)).astype(np.float32)
    path = tmp_path / "items.jsonl"
    records = [{"id": 100 + row, "v": X[row].tolist()} for row in range(40)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    run("fit", path, "--vector", "v", "--out", tmp_path / "m.joblib", *SMALL)
    return path, tmp_path / "m.joblib", X


def write(path, header="user,item,time", histories=HISTORIES):
    """Write histories, the newest rows first; as text the times would sort otherwise."""
    rows = [
        f"u{user},{100 + item},{8 + time}"
        for user, history in enumerate(histories)
        for time, item in enumerate(history)
    ]
    path.write_text("\n".join([header, *rows[::-1]]) + "\n")
    return path


@pytest.mark.parametrize("header", ["user,item,time", "who,what,when"])
def test_the_shell_says_of_histories_what_python_says(items, tmp_path, capsys, header):
    path, model, X = items
    clicks = write(tmp_path / "clicks.csv", header)
    columns = [] if header == "user,item,time" else ["--history-columns", *header.split(",")]
    capsys.readouterr()
    args = ["--full", "--json", "--no-compare", "--histories", clicks, *columns]
    run("report", model, path, *args)
    said = json.loads(capsys.readouterr().out)["behavior"]
    fitted = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(X)
    judged = report(fitted, X, histories=HISTORIES, compare_rivals=False)
    assert said == judged.to_dict()["behavior"]


def test_errors_name_options(items, tmp_path, capsys):
    path, model, _ = items
    clicks = tmp_path / "clicks.csv"

    def said(*args):
        return fails(capsys, "report", model, path, "--no-compare", *args)

    assert "--histories and --no-compare belong to --full" in said("--histories", path)
    full = ("--full", "--histories", write(clicks, "who,item,time"))
    assert "no column 'user', only 'who', 'item', 'time'" in said(*full)
    assert "name 2 or 3 columns" in said(*full, "--history-columns", "who")
    assert "no column 'x'" in said(*full, "--history-columns", "who", "x")
    write(clicks, histories=[[0, 77]])
    assert "row 0 of" in (text := said(*full))
    assert "has the item '177'" in text
    assert "--id" in text
    clicks.write_text("user,item\nu,100\n,101\n")
    assert "row 1 of" in (text := said(*full))
    assert "has no 'user'" in text
    assert "give both" in said("--full", "--history-columns", "user", "item")


def test_histories_are_not_overwritten(items, tmp_path, capsys):
    path, model, _ = items
    clicks = write(tmp_path / "clicks.csv")
    before = clicks.read_bytes()
    args = ["report", str(model), str(path), "--histories", str(clicks), "--html", str(clicks)]
    assert main(args) == 1
    assert "would overwrite a file that is read" in capsys.readouterr().err
    assert clicks.read_bytes() == before
