"""The benchmark behind the page on choosing measures what its columns say."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("_common", "bench_choosing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("bench_choosing")
    for name in ("_common", "bench_choosing"):
        sys.modules.pop(name, None)


@pytest.fixture
def parts():
    """Training and held-out rows around a few centers."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(12, 6))
    X = (centers[rng.integers(12, size=330)] + 0.2 * rng.normal(size=(330, 6))).astype("f")
    return X[:300], X[300:]


def test_more_bits_in_the_table_of_sizes_leave_less(bench, parts, monkeypatch):
    monkeypatch.setattr(bench, "SIZES", ("1x4", "2x4", "2x8"))
    rows = bench.measure_sizes(*parts, seed=0)
    assert [row["bits"] for row in rows.values()] == [2, 4, 6]
    assert [row["items"] for row in rows.values()] == [75, 75, 37.5]
    training = [row["training"] for row in rows.values()]
    assert training == sorted(training, reverse=True)


@pytest.mark.filterwarnings("ignore:Codebook collapse")
def test_more_items_bring_training_and_held_out_rows_together(bench, parts, monkeypatch):
    monkeypatch.setattr(bench, "ITEMS", (70, 300, 1000))
    rows = bench.measure_items(*parts, seed=0)
    assert list(rows) == ["70", "300"]
    gaps = [row["held_out_64"] - row["training_64"] for row in rows.values()]
    assert gaps[0] > gaps[1] > 0


def test_a_table_holds_the_means_of_the_runs(bench):
    columns = (("training", "training", "{:.2f}".format),)
    runs = [{"a": {"training": 0.25}}, {"a": {"training": 0.75}}]
    text = bench.table("Title", "way", columns, runs)
    assert text.startswith(".. list-table:: Title\n")
    assert text.endswith("   * - a\n     - 0.50\n")


def test_the_docs_take_no_numbers_of_a_part_or_another_catalog(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_choosing.py", "--rows", "100"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "need --output" in capsys.readouterr().err
