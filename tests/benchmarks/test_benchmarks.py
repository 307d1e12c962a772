"""The benchmarks measure what they say, and go on where they were stopped."""

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_rqvae import metrics

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a file of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("_common", "_quantizers", "bench_distortion", "bench_modes")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def X():
    """Rows around a few centers, so that codes have something to find."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(12, 7))
    return (centers[rng.integers(12, size=240)] + 0.3 * rng.normal(size=(240, 7))).astype("f")


def test_every_row_is_held_out_by_one_of_ten_seeds(load):
    split = load("_common").split
    held_out = [split(95, seed)[1] for seed in range(10)]
    assert sorted(np.concatenate(held_out)) == list(range(95))
    training, first = split(95, 0)
    assert not set(training) & set(first)


@pytest.mark.parametrize("text", ["3", "x256", "0x4", "3x-1"])
def test_bits_that_are_not_levels_by_codewords_are_refused(load, text):
    with pytest.raises(argparse.ArgumentTypeError, match="3x256"):
        load("_common").parse_sizes(text)


def test_finished_measurements_are_found_again(load, tmp_path):
    common = load("_common")
    path = tmp_path / "results.json"
    results = common.Results(path, ("method", "seed"))
    results.require_environment({"threads": 1})
    results.add({"method": "a", "seed": 0, "budget": 3}, {"fvu": 0.123456789, "list": [1 / 3]})
    again = common.Results(path, ("method", "seed"))
    assert again.find({"method": "a", "seed": 0}) == {
        "method": "a",
        "seed": 0,
        "fvu": 0.12346,
        "list": [0.33333],
    }
    assert again.find({"method": "a", "seed": 1}) is None
    again.discard([{"method": "a", "seed": 0}])
    assert again.find({"method": "a", "seed": 0}) is None


def test_measurements_of_two_environments_are_not_mixed(load, tmp_path):
    results = load("_common").Results(tmp_path / "results.json", ("seed",))
    results.require_environment({"threads": 1})
    results.add({"seed": 0}, {"fvu": 0.5})
    with pytest.raises(SystemExit, match="threads: 1 before, 2 now"):
        results.require_environment({"threads": 2})


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ("ours", None),
        ("residual-kmeans", None),
        ("faiss-rq5", "faiss"),
        ("faiss-rq5-refined", "faiss"),
        ("faiss-lsq", "faiss"),
        ("faiss-pq", "faiss"),
        ("faiss-opq", "faiss"),
        ("semantic-id-rqkmeans", "semantic_id"),
    ],
)
def test_reported_distortion_is_that_of_the_codes(load, X, method, package):
    if package:
        pytest.importorskip(package)
    common, quantizers = load("_common"), load("_quantizers")
    quantizer = quantizers.METHODS[method].quantizer([8, 8, 8], 1, 1)
    result = common.judge(quantizer, X, 1)
    _, held_out = common.split(len(X), 1)
    codes = quantizer.encode(X[held_out])
    assert codes.shape == (24, 3)
    assert codes.min() >= 0
    assert codes.max() < 8
    fvu = metrics.fraction_variance_unexplained(X[held_out], quantizer.decode(codes))
    assert result["fvu_held_out"] == fvu == result["prefix_fvu_held_out"][-1]
    assert 0 < result["fvu_train"] < fvu < 1
    assert result["floats"] >= 3 * 8 * (7 // 3)


@pytest.mark.parametrize("method", ["faiss-rq5-refined", "faiss-lsq", "faiss-opq"])
def test_codes_unpacked_from_faiss_decode_as_faiss_does(load, X, method):
    pytest.importorskip("faiss")
    quantizer = load("_quantizers").METHODS[method].quantizer([16, 16, 16], 0, 1)
    quantizer.fit(X)
    rows = quantizer.prepare(X)
    decoded = quantizer.quantizer.decode(quantizer.quantizer.compute_codes(rows))
    if method == "faiss-opq":
        decoded = (decoded @ quantizer.rotation)[:, :7]
    np.testing.assert_allclose(
        quantizer.decode(quantizer.encode(X)), decoded + X.mean(0), atol=1e-5
    )


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ("vector-quantize", "vector_quantize_pytorch"),
        ("semantic-id-rqvae-tuned", "semantic_id"),
    ],
)
def test_trained_rival_keeps_to_its_time_and_learns(load, X, method, package):
    pytest.importorskip(package)
    quantizer = load("_quantizers").METHODS[method].quantizer([8, 8], 0, 1, 0.7)
    result = load("_common").judge(quantizer, X, 0)
    assert 0.2 < result["fit_seconds"] < 7
    assert result["fvu_train"] < 1


def test_oracle_that_sees_all_is_no_worse_than_the_least_squares_it_generalizes(load, X):
    bench = load("bench_distortion")
    codes = np.random.default_rng(0).integers(4, size=(len(X), 2))
    found = bench.additive_least_squares(X, codes, [4, 4])
    design = np.eye(8)[codes[:, 0]] + np.eye(8)[4 + codes[:, 1]]
    weights = np.linalg.lstsq(design, X, rcond=None)[0]
    np.testing.assert_allclose(found, design @ weights, atol=1e-4)


def test_gaussian_distortion_halves_deviations_with_each_bit_per_dimension(load):
    # Equal variances share the bits: D = σ² 2^(-2R/d), as long as all dimensions have some.
    bench = load("bench_distortion")
    X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert bench.gaussian_distortion(X, 0) == pytest.approx(1)
    assert bench.gaussian_distortion(X, 2) == pytest.approx(1 / 4)
    assert bench.gaussian_distortion(X, 4) == pytest.approx(1 / 16)


def test_numbers_of_a_part_stay_out_of_the_docs(load, capsys):
    with pytest.raises(SystemExit):
        load("bench_distortion").main(["--rows", "100"])
    assert "--output" in capsys.readouterr().err


def test_missing_results_leave_pages_that_say_so(load, tmp_path):
    for name in ("distortion", "modes"):
        load(f"bench_{name}").main(["--report-only", "--output", str(tmp_path)])
        text = (tmp_path / f"{name}_table.rst").read_text()
        assert f"bench_{name}.py" in text
        docs = FOLDER.parent / "docs"
        pages = [docs / folder / f"{name}.rst" for folder in ("benchmarks", "user_guide")]
        included = "".join(page.read_text() for page in pages if page.exists())
        for part in tmp_path.glob(f"{name}_*.rst"):
            assert f"_generated/{part.name}\n" in included


@pytest.mark.slow
def test_stopped_run_goes_on_and_ends_in_tables(load, X, tmp_path, monkeypatch):
    monkeypatch.setattr(load("_common"), "load_catalog", lambda name, n_rows: X)
    bench = load("bench_distortion")
    arguments = [
        "--catalogs",
        "api_docs",
        "--bits",
        "2x8",
        "3x256",
        "--seeds",
        "1",
        "--rows",
        "240",
    ]
    arguments += ["--threads", "1", "--methods", "residual-kmeans", "--output", str(tmp_path)]
    assert bench.main(arguments) == 0
    stored = json.loads((tmp_path / "distortion.json").read_text())
    assert [cell["bits"] for cell in stored["cells"]] == ["2x8", "3x256"]
    assert set(stored["cells"][0]["beams"]) == {"1", "2", "4", "8", "16", "32"}
    before = (tmp_path / "distortion.json").read_bytes()
    assert bench.main(arguments) == 0  # nothing is left to do
    assert (tmp_path / "distortion.json").read_bytes() == before
    for part in ("table", "rates", "prefixes", "beams", "oracles"):
        assert "ResidualKMeans()" in (tmp_path / f"distortion_{part}.rst").read_text()
    assert (tmp_path / "rates_api_docs.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn_rqvae.exceptions.CodebookCollapseWarning")
@pytest.mark.parametrize(
    ("script", "arguments", "last_line"),
    [
        (
            "bench_throughput.py",
            ["--n-rows", "300", "--batch-sizes", "100", "--n-repeats", "1"],
            "A single row, 16 beams",
        ),
        ("bench_memory.py", ["--scale", "0.001", "--only", "transform-float32"], "transform"),
    ],
)
def test_scripts_that_print_run_to_the_end(script, arguments, last_line):
    run = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert last_line in run.stdout
