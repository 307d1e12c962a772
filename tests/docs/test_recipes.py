"""The recipes for engines run as the guide prints them, and give the codes of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_rqvae import RQVAETransformer

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "recipes"
X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Write a model, its items in files of both kinds, and return their folder."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("catalog")
    RQVAETransformer(n_layers=2, codebook_size=8, random_state=0).fit(X).save(
        folder / "model.rqvae"
    )
    np.save(folder / "items.npy", np.tile(X, (20, 1)))  # more than one slice
    (folder / "items").mkdir()
    for part in range(3):
        ids = np.arange(1000 * part, 1000 * (part + 1))
        table = pa.table({"sku": ids, "vector": pa.array(X[ids].tolist(), pa.list_(pa.float32()))})
        pq.write_table(table, folder / "items" / f"{part}.parquet")
    return folder


def run(script, *args):
    paths = [str(RECIPES.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(RECIPES / script), *map(str, args)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def expected_codes(catalog):
    return RQVAETransformer.load(catalog / "model.rqvae").transform(X)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "engine"),
    [("dask_parquet.py", "distributed"), ("ray_data.py", "ray"), ("spark.py", "pyspark")],
)
def test_a_directory_of_parquet_files_is_encoded(script, engine, catalog, tmp_path):
    pytest.importorskip(engine)
    pq = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "ids"
    run(script, catalog / "model.rqvae", catalog / "items", out)
    found = {}
    for path in out.glob("*.parquet"):
        table = pq.ParquetFile(path).read()
        found.update(
            zip(*(table[name].to_pylist() for name in ("sku", "semantic_id")), strict=True)
        )
    assert [found[sku] for sku in range(len(X))] == expected_codes(catalog).tolist()


@pytest.mark.slow
def test_an_array_in_a_file_is_encoded_and_stays_out_of_the_graph(catalog, tmp_path):
    pytest.importorskip("distributed")
    said = run("dask_npy.py", catalog / "model.rqvae", catalog / "items.npy", tmp_path / "c.npy")
    expected = np.tile(expected_codes(catalog), (20, 1))
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), expected)
    assert "large graph" not in said


@pytest.mark.slow
def test_a_fit_on_a_cluster_is_the_fit_of_one_process(tmp_path):
    pytest.importorskip("distributed")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = np.random.default_rng(0).normal(size=(70_000, 4)).astype(np.float32)  # over the sample
    (tmp_path / "items").mkdir()
    for part, some in enumerate(np.split(rows, [20_000, 20_001, 45_000])):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), 4)
        pq.write_table(pa.table({"vector": vectors}), tmp_path / "items" / f"{part}.parquet")
    said = run("dask_fit.py", tmp_path / "items", tmp_path / "model.rqvae")
    fitted = RQVAETransformer.load(tmp_path / "model.rqvae")
    whole = RQVAETransformer(subsample=None, random_state=0).fit(rows)
    for one, other in zip(fitted.codebooks_, whole.codebooks_, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(fitted.transform(rows), whole.transform(rows))
    assert "large graph" not in said
