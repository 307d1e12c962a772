"""Each way to vectors of behavior learns who is touched together, from training histories alone."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = (
    "_common", "_catalogs", "_quantizers", "_id_sets", "_behavior_vectors", "bench_behavior",
)  # fmt: skip
WAYS = ("cooccurrence", "directed", "ppmi", "item2vec", "ease")


@pytest.fixture
def bench(monkeypatch):
    """Import the benchmark."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    bench = importlib.import_module("bench_behavior")
    for name, value in (("DIM", 8), ("BATCH", 64)):
        monkeypatch.setattr(sys.modules["_behavior_vectors"], name, value)
    yield bench
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def catalog(bench):
    """Four groups of ten items; users stay in one. Item 40 is touched in none of the training."""
    rng = np.random.default_rng(0)
    histories = [rng.permutation(10)[:8] + 10 * rng.integers(4) for _ in range(200)]
    histories[0] = np.r_[histories[0], 40]
    vectors = rng.normal(size=(41, 4)).astype(np.float32)
    return bench.Catalog("groups", vectors, histories, [], {})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:n_components")
def test_items_of_one_group_are_near_and_untouched_ones_missing(bench, catalog, way):
    vectors = bench.WAYS[way][1](catalog, 0)
    assert np.isnan(vectors).any(axis=1).nonzero()[0].tolist() == [40]
    centered = vectors[:40] - vectors[:40].mean(0)
    centered /= np.linalg.norm(centered, axis=1, keepdims=True)
    groups = np.arange(40) // 10
    near = centered @ centered.T
    same = groups[:, None] == groups
    np.fill_diagonal(same, False)
    assert near[same].mean() > 0.3 > near[groups[:, None] != groups].mean()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:n_components")
def test_what_is_kept_out_leaves_no_trace(bench, catalog, way):
    others = [np.r_[history[:-2], 0, 10] for history in catalog.histories]
    vectors = [
        bench.WAYS[way][1](found, 0) for found in (catalog, catalog._replace(histories=others))
    ]
    np.testing.assert_array_equal(*vectors)


def test_the_table_has_what_was_measured(bench, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "load", lambda name, wheels: catalog)
    arguments = ["--catalogs", "beauty", "--ways", "ppmi", "--seeds", "2"]
    arguments += ["--output", str(tmp_path)]
    bench.main(arguments)
    before = (tmp_path / "behavior.json").read_text()
    bench.main(arguments)  # all is finished
    assert (tmp_path / "behavior.json").read_text() == before
    table = (tmp_path / "behavior_table.rst").read_text()
    assert table.count("   * -") == 3  # header, texts, PPMI


def test_the_table_of_weights_has_the_rates_and_the_best_in_bold(
    bench, catalog, tmp_path, monkeypatch
):
    monkeypatch.setattr(bench, "load", lambda name, wheels: catalog)
    found = sys.modules["_id_sets"].ViewWeights(
        np.array([1, 0.5]), 0.2, np.array([[1, 0.5], [1, 2]]), np.array([0.2, 0.1])
    )
    monkeypatch.setattr(bench, "rate_weights", lambda catalog, seed: found)
    bench.main(["--catalogs", "beauty", "--ways", "weights", "--output", str(tmp_path)])
    table = (tmp_path / "behavior_weights.rst").read_text()
    assert "* - 0.5\n     - **0.2000**\n   * - 2.0\n     - 0.1000" in table
