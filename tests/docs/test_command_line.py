"""The console lines of the page on the command line run, one after the other, on one CSV."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from sklearn_rqvae._cli._main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "user_guide" / "command_line.rst"
LINES = re.findall(r"^   \$ sklearn-rqvae (.*)$", PAGE.read_text("utf-8"), flags=re.M)
KINDS = ("soap", "comb", "brush", "towel", "razor")
LOOKS = ("red", "blue", "travel", "steel", "round", "soft", "large", "mint")


def write_items(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "brand", "kind"])
        for row in rows:
            kind, look = KINDS[row % 5], LOOKS[row % 8]
            writer.writerow([row, f"{look} {kind} {row % 37}", ("Ava", "Bo", "")[row % 3], kind])


@pytest.mark.slow
def test_chain_runs_as_the_page_has_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_items(tmp_path / "items.csv", range(300))
    write_items(tmp_path / "new.csv", range(300, 320))
    for line in LINES:
        assert main(shlex.split(line)) == 0, (line, capsys.readouterr().err)
    capsys.readouterr()
    assert main(["index", "lookup", "catalog.sid", "--item", "319"]) == 0
    assert '"319"' in capsys.readouterr().out


def test_page_shows_each_command():
    shown = {" ".join(line.split()[: 2 if line.startswith("index") else 1]) for line in LINES}
    index = {"build", "append", "lookup", "export", "drift"}
    assert shown == {"sizes", "fit", "report", "encode", *(f"index {name}" for name in index)}
