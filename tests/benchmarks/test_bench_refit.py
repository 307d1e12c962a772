"""The benchmark behind the page on keeping IDs measures what its columns say."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
CELL = {"model": "ResidualKMeans", "catalog": "none", "split": "20 %", "seed": 0}


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("_common", "bench_refit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("bench_refit")
    for name in ("_common", "bench_refit"):
        sys.modules.pop(name, None)


def test_the_parts_are_the_older_items_all_training_items_and_the_others(bench):
    old, items, held_out = bench.parts(X, CELL)
    assert (len(old), len(items), len(held_out)) == (225, 270, 30)
    np.testing.assert_array_equal(items[:225], old)
    assert len(np.unique(np.concatenate([items, held_out]), axis=0)) == 300


@pytest.mark.filterwarnings("ignore:Codebook collapse")
def test_tables_and_figure_show_each_way(bench, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    small = lambda random_state: bench.ResidualKMeans(2, 8, random_state=random_state)  # noqa: E731
    monkeypatch.setattr(bench, "MODELS", {"ResidualKMeans": small})
    results = bench.Results(tmp_path / "refit.json", bench.KEYS)
    result = bench.measure(CELL, X)
    assert result["old model"]["kept"] == 1
    assert result["new fit"]["error"] == pytest.approx(result["new fit, relabeled"]["error"])
    assert result["stability=1"]["kept"] > result["new fit, relabeled"]["kept"]
    results.add(CELL, result)
    bench.write(results, tmp_path)
    table = (tmp_path / "refit_table.rst").read_text()
    assert all(way in table for way in bench.WAYS)
    assert (tmp_path / "refit.png").stat().st_size > 1000


def test_items_come_in_the_order_in_which_histories_name_them(bench, tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr(bench, "DATA", tmp_path)
    (tmp_path / "shop").mkdir()
    with gzip.open(tmp_path / "shop" / "sequences.txt.gz", "wt") as file:
        file.write("3 0 2\n4 2 0\n")
    assert bench.first_used("shop", 6).tolist() == [3, 4, 0, 2, 1, 5]
