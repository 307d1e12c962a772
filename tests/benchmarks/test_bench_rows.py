"""The benchmark behind the page on the number of rows measures what its columns say."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module, with few rows to judge by."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("_common", "_quantizers", "bench_rows")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("bench_rows")
    monkeypatch.setattr(module, "N_JUDGED", 100)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 200)
    yield module
    for name in names:
        sys.modules.pop(name, None)


def cell(bench, method, n_rows=400, seed=0):
    return dict(zip(bench.KEYS, ("some", "2x8", method, n_rows, seed), strict=True))


def test_frequent_clusters_are_as_frequent_as_zipf_says(bench):
    X = bench.draw_mixture(20_000, n_features=8, n_clusters=3)
    centers = np.random.default_rng(0).normal(size=(3, 8))
    nearest = np.square(X[:, None] - centers).sum(2).argmin(1)
    share = np.bincount(nearest, minlength=3) / len(X)
    np.testing.assert_allclose(share, np.array([6, 3, 2]) / 11, atol=0.02)


@pytest.mark.filterwarnings("ignore")
def test_old_rows_are_fitted_and_new_ones_are_not(bench, monkeypatch):
    X = np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32)
    order = np.random.default_rng(1).permutation(600)
    seen = []
    original = bench.Transformer.fit
    monkeypatch.setattr(
        bench.Transformer, "fit", lambda self, X: seen.append(X) or original(self, X)
    )
    found = bench.measure(cell(bench, bench.OURS), X, order)
    assert {row.tobytes() for row in seen[0]} == {row.tobytes() for row in X[order[:400]]}
    assert found["fvu_fitted"] < found["fvu_held_out"] < 1
    alone = bench.measure(cell(bench, bench.SAMPLE), X, order)
    assert alone["fvu_fitted"] != found["fvu_fitted"]
    assert bench.quantizer_of(cell(bench, bench.SAMPLE)).estimator.subsample == 200


def test_the_rival_has_our_time(bench):
    results = [
        (bench.OURS, 1000, 9.0),
        (bench.RIVAL, 100, 2.0),
        (bench.RIVAL, 500, 10.0),
        (bench.RIVAL, 1000, 12.0),
        (bench.RIVAL, 2000, 1.0),
        (bench.OURS, 100, 1.0),
    ]
    cells = {(method, n): [cell(bench, method, n) | {"cpu_seconds": s}] for method, n, s in results}
    assert bench.rival_in_time(cells, 1000) == 500
    assert bench.rival_in_time(cells, 100) == 100  # it has none that is quicker
    del cells[bench.RIVAL, 100]
    assert bench.rival_in_time(cells, 100) is None


def test_table_and_figure_show_each_method(bench, tmp_path):
    pytest.importorskip("matplotlib")
    results = bench.Results(tmp_path / "rows.json", bench.KEYS)
    for n_rows, method, error in (
        (100, bench.OURS, 0.5),
        (400, bench.OURS, 0.4),
        (400, bench.SAMPLE, 0.44),
        (100, bench.RIVAL, 0.6),
        (400, bench.RIVAL, 0.5),
    ):
        for seed in (0, 1):
            result = {"cpu_seconds": 3.0, "fvu_held_out": error, "fvu_fitted": error / 2}
            results.add(cell(bench, method, n_rows, seed), result | {"n_floats": 1000})
    bench.write(results, tmp_path)
    table = (tmp_path / "rows_table.rst").read_text()
    assert table.count(f"- {bench.OURS}") == table.count(f"- {bench.RIVAL}") == 2
    assert table.count("+25.0%") == 2  # 0.5 over 0.4, of new rows and of old ones
    assert "- the sample alone\n     - 200\n     - 0.4400 ± 0.0000" in table
    assert (tmp_path / "rows.png").stat().st_size > 1000


def test_three_seeds_tell_how_far_errors_lie_apart(bench, tmp_path):
    results = bench.Results(tmp_path / "rows.json", bench.KEYS)
    for seed, error in enumerate([0.2, 0.21, 0.19]):
        found = {"fvu_held_out": error, "fvu_fitted": error / 2, "n_floats": 10}
        results.add(cell(bench, bench.OURS, seed=seed), found | {"cpu_seconds": 30.0})
    found = {"fvu_held_out": 0.3, "fvu_fitted": 0.3, "n_floats": 10, "cpu_seconds": 20.0}
    results.add(cell(bench, bench.SAMPLE), found)
    lines = [line.strip(" *-") for line in bench.seed_table(results).splitlines()]
    assert "0.1900 to 0.2100 (10.00%)" in lines
    assert "1.5" in lines
    assert bench.SAMPLE not in lines  # of which there is one seed
