"""Commands hold the vectors of a file once, whatever else stands in it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N_ROWS, N_FEATURES = 100_000, 128
COMMANDS = {
    "fit": ["fit", "ITEMS", "--vector", "v", "--id", "sku", "--out", "OUT", "SMALL"],
    "encode": ["encode", "MODEL", "ITEMS", "--out", "OUT.npy"],
    "report": ["report", "MODEL", "ITEMS"],
    "index build": ["index", "build", "--model", "MODEL", "--items", "ITEMS", "--out", "OUT"],
}
# Runs a command on few items, then on many, and prints by how much the peak grew.
CODE = """
    import sys
    import sklearn_rqvae._learning._rows as rows
    from sklearn_rqvae._cli._main import main

    def peak():  # unlike getrusage, this isn't inherited from the process that started this one
        status = open("/proc/self/status").read()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    rows._CLOSED_FORM_ROWS = rows._ROWS_PER_CODEWORD = 1000  # what a fit keeps is another matter
    few, many, *command = sys.argv[1:]
    assert main([few if word == "ITEMS" else word for word in command]) == 0
    before = peak()
    assert main([many if word == "ITEMS" else word for word in command]) == 0
    print(peak() - before)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write few and many items with two columns of vectors, and a model of one of them."""
    from sklearn_rqvae._cli._main import main
    from sklearn_rqvae._files._vectors import list_column

    folder = tmp_path_factory.mktemp("memory")
    X = np.random.default_rng(0).normal(size=(N_ROWS, N_FEATURES)).astype(np.float32)
    for name, n in (("few", 3000), ("many", N_ROWS)):
        columns = {"sku": np.arange(n), "v": list_column(X[:n]), "other": list_column(X[:n])}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    args = ["--vector", "v", "--id", "sku", "--out", str(folder / "m"), *SMALL]
    assert main(["fit", str(folder / "few.parquet"), *args]) == 0
    return folder


SMALL = ["--method", "kmeans", "--n-layers", "2", "--codebook-size", "8"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_parquet_file_takes_few_bytes_for_each_number(command, folder):
    places = {"MODEL": folder / "m", "OUT": folder / "out", "OUT.npy": folder / "out.npy"}
    words = [str(places.get(word, word)) for word in COMMANDS[command]]
    words = [part for word in words for part in (SMALL if word == "SMALL" else [word])]
    files = [str(folder / "few.parquet"), str(folder / "many.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), *files, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    # A number has 4 bytes. Fit and report hold a reconstruction beside the vectors.
    grown = int(done.stdout.splitlines()[-1])
    assert grown / (N_ROWS * N_FEATURES) < 12
