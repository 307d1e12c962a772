"""Rows in files larger than memory: the same results as in memory, without a copy."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._rows._source import RowSource

SMALL = {"n_layers": 2, "codebook_size": 8, "random_state": 0}
ESTIMATORS = {
    "closed form": RQVAETransformer(**SMALL),
    "gradients": RQVAETransformer(**SMALL, codebook_mode="STE", max_epochs=2),
    "kmeans": ResidualKMeans(**SMALL),
}


def make_rows(n=1500, d=6, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(12, d)) * 3
    return (centers[rng.integers(0, 12, n)] + rng.normal(size=(n, d))).astype(np.float32)


X = make_rows()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("sklearn_rqvae._rows._source._BLOCK_FLOATS", 6 * 256)
    monkeypatch.setattr("sklearn_rqvae._rows._source._GATHERED_ROWS", 100)


@pytest.fixture
def on_disk(tmp_path):
    """Return a function that writes an array and opens it as a memory map."""

    def write(array, mode="r"):
        np.save(tmp_path / "rows.npy", array)
        return np.load(tmp_path / "rows.npy", mmap_mode=mode)

    return write


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *(("closed form", dtype) for dtype in ("float16", "float32", "float64", "int16")),
        *(("gradients", dtype) for dtype in ("float64", "int16")),
        *(("kmeans", dtype) for dtype in ("float16", "float32", "float64", "int16")),
    ],
)
def test_memory_maps_give_what_arrays_in_memory_give(kind, dtype, on_disk):
    estimator = ESTIMATORS[kind]
    rows = X.astype(dtype)
    mapped = on_disk(rows)
    in_memory = clone(estimator).fit(rows.astype(np.float32).tolist())
    from_disk = clone(estimator).fit(mapped)
    for a, b in zip(in_memory.codebooks_, from_disk.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)
    codes = in_memory.transform(rows.astype(np.float32).tolist())
    np.testing.assert_array_equal(from_disk.transform(mapped), codes)
    assert from_disk.score(mapped) == pytest.approx(
        -((rows - in_memory.inverse_transform(codes)) ** 2).mean(dtype=np.float64), rel=1e-5
    )
    weight = np.arange(len(rows)) % 3
    expected = from_disk.score(rows[weight > 0].repeat(weight[weight > 0], axis=0))
    assert from_disk.score(mapped, sample_weight=weight) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_layout_does_not_matter(order, on_disk):
    estimator = RQVAETransformer(**SMALL).fit(X)
    mapped = on_disk(np.asarray(np.repeat(X, 2, axis=1), order=order))
    np.testing.assert_array_equal(estimator.transform(mapped[:, ::2]), estimator.transform(X))


def test_codes_may_be_mapped_too(on_disk):
    estimator = RQVAETransformer(**SMALL).fit(X)
    codes = estimator.transform(X)
    expected = np.concatenate([estimator.inverse_transform(part) for part in np.split(codes, 10)])
    np.testing.assert_array_equal(estimator.inverse_transform(on_disk(codes)), expected)
    codes[1300, 1] = 8
    with pytest.raises(ValueError, match=r"level 1 should be in \[0, 8\), got 8"):
        estimator.inverse_transform(on_disk(codes))


@pytest.mark.parametrize("method", ["fit", "transform", "score", "partial_fit"])
@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "Input X contains NaN.\nRQVAETransformer does not accept missing"),
        (np.inf, "float16", r"Input X contains infinity or a value too large for dtype\('float32"),
        (1e300, "float64", r"Input X contains infinity or a value too large for dtype\('float32"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_a_bad_number_in_a_late_block_is_refused(method, value, dtype, message, on_disk):
    estimator = RQVAETransformer(**SMALL)
    if method in ("transform", "score"):
        estimator.fit(X)
    rows = X.astype(dtype)
    rows[1400, 3] = value
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(on_disk(rows))


def test_changes_in_a_copy_on_write_map_are_kept(on_disk):
    # Pages of such a map have no file behind them: giving them back would undo the changes.
    mapped = on_disk(np.zeros_like(X), mode="c")
    mapped[:] = X
    codes = RQVAETransformer(**SMALL).fit(mapped).transform(mapped)
    np.testing.assert_array_equal(mapped, X)
    np.testing.assert_array_equal(codes, RQVAETransformer(**SMALL).fit(X).transform(X))


def test_changes_in_a_writable_map_are_kept(on_disk, tmp_path):
    mapped = on_disk(np.zeros_like(X), mode="r+")
    mapped[:] = X
    RQVAETransformer(**SMALL).fit(mapped).transform(mapped)
    np.testing.assert_array_equal(mapped, X)
    mapped.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), X)


def test_rows_are_gathered_in_the_order_asked_for(on_disk):
    index = np.random.default_rng(0).permutation(len(X))[:700]
    np.testing.assert_array_equal(RowSource(on_disk(X)).take(index), X[index])


@pytest.mark.parametrize("kind", ["closed form", "kmeans"])
def test_a_fit_to_a_sample_depends_on_the_set_of_rows_only(kind, monkeypatch, on_disk):
    estimator = ESTIMATORS[kind]
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", 600)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    monkeypatch.setattr("sklearn_rqvae._rows._distinct._LEAST_PENDING", 300)
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(X))
    repeated = np.repeat(X, weight, axis=0)[rng.permutation(weight.sum())]
    one = clone(estimator).fit(X, sample_weight=weight)
    other = clone(estimator).fit(on_disk(repeated))
    for a, b in zip(one.codebooks_, other.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)
    whole = clone(estimator).fit(X[:600])
    assert any((a != b).any() for a, b in zip(one.codebooks_, whole.codebooks_, strict=True))
    everything = X.var()
    assert -one.score(X) < 0.5 * everything


def test_gradient_training_starts_from_a_sample_and_sees_all_rows(monkeypatch):
    seen = []

    def start(module, rows, generator, **kwargs):
        seen.append(len(rows.x))
        assert rows.weight.mean() == pytest.approx(1)
        original(module, rows, generator, **kwargs)

    from sklearn_rqvae._learning import _gradients

    original = _gradients.start_module
    monkeypatch.setattr(_gradients, "start_module", start)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", 600)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    estimator = RQVAETransformer(**SMALL, codebook_mode="STE", max_epochs=1).fit(X)
    assert set(seen) == {600}
    assert estimator.code_usage_[0].sum() == pytest.approx(len(X))


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_peak_memory_does_not_grow_with_the_file(tmp_path):
    n_rows, n_features = 2_000_000, 64  # 488 MiB
    matrix = np.lib.format.open_memmap(
        tmp_path / "rows.npy", "w+", np.float32, (n_rows, n_features)
    )
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 100_000):
        matrix[start : start + 100_000] = rng.normal(size=(100_000, n_features))
    del matrix
    code = """
        import sys, numpy as np
        from sklearn_rqvae import ResidualKMeans
        from sklearn_rqvae._rows._distinct import canonical_rows
        from sklearn_rqvae._rows._source import RowSource
        X = np.load(sys.argv[1], mmap_mode="r")
        model = ResidualKMeans(2, 8, n_iter=1, n_beams=1).fit(X[:2000])
        def peak():  # unlike getrusage, this isn't inherited from the process that started this one
            status = open("/proc/self/status").read()
            return int(status.split("VmHWM:")[1].split()[0]) / 1024
        before = peak()
        canonical_rows(RowSource(X, model), max_rows=10_000)
        model.transform(X)
        model.score(X)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "rows.npy")],
        check=True,
        capture_output=True,
        text=True,
    )
    # Codes take 31 MiB, the list of hashes 24; the file has 488 and isn't held.
    assert float(done.stdout) < 150


# --- dask ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of dask."""
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("dask.array")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.slow
def test_dask_maps_transform_over_blocks(cluster):
    import dask.array as da

    model = RQVAETransformer(**SMALL).fit(X)
    rows = da.from_array(X, chunks=(400, X.shape[1]))
    codes = rows.map_blocks(
        model.transform, dtype=np.int64, chunks=(rows.chunks[0], (model.n_layers,))
    )
    assert codes.shape == (len(X), 2)
    np.testing.assert_array_equal(codes.compute(), model.transform(X))


@pytest.mark.slow
def test_dask_is_a_backend_of_grid_search(cluster):
    import joblib
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(ResidualKMeans(2, 4, random_state=0), {"codebook_size": [4, 8]}, cv=2)
    alone = clone(search).fit(X)
    with joblib.parallel_backend("dask"):
        search.fit(X)
    assert search.best_params_ == alone.best_params_ == {"codebook_size": 8}
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_tensors_are_read_in_blocks_too():
    model = RQVAETransformer(**SMALL).fit(torch.from_numpy(X))
    np.testing.assert_array_equal(model.transform(torch.from_numpy(X)), model.transform(X))
