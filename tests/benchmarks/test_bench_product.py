"""The benchmark of product quantizers measures, resumes and writes its table."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("_common", "_quantizers", "bench_product")


@pytest.fixture
def bench(monkeypatch):
    """Import the benchmark."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("bench_product")
    for name in NAMES:
        sys.modules.pop(name, None)


def test_what_is_measured_stands_in_the_table(bench, tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    results = importlib.import_module("_common").Results(tmp_path / "product.json", bench.KEYS)
    methods = ["product", *(["faiss-opq"] if importlib.util.find_spec("faiss") else [])]
    for method in methods:
        cell = dict(zip(bench.KEYS, ("api_docs", "8x256", 0, method, None), strict=True))
        small = cell | {"bits": "3x16", "n_threads": 1}
        results.add(cell, bench.measure(small, X))
    bench.report(results, None, tmp_path)
    text = (tmp_path / "product_table.rst").read_text()
    assert "`ProductQuantizer()`" in text
    fvu = results.cells[0]["fvu_held_out"]
    assert f"{fvu:.3f}" in text
    if len(methods) > 1:
        assert f"{fvu / results.cells[1]['fvu_held_out']:.3f}" in text


def test_codes_that_depend_on_each_other_are_measured_up_to_eight(bench):
    args = type("Args", (), {"seeds": 2, "rows": None})
    cells = bench.cells_of(["api_docs"], ["8x256", "16x256"], ["product", "faiss-lsq"], args)
    assert len(cells) == 6
    assert {cell["bits"] for cell in cells if cell["method"] == "faiss-lsq"} == {"8x256"}
