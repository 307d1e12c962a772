"""How much memory do fit and transform take on matrices that are larger than memory?

Each case runs in a process of its own and prints the largest resident memory of that process above
what it had after ``import sklearn_rqvae``, beside the limit that it should stay under. Pages of
memory maps count as resident. Matrices and models are written to a folder first and reused.

    export OMP_NUM_THREADS=2
    python benchmarks/bench_memory.py                  # 10 million rows of 64, fit on 4 GiB
    python benchmarks/bench_memory.py --scale 0.01     # a hundredth of that
    python benchmarks/bench_memory.py --only transform-float32 fit-64
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MIB = 2**20
N_ROWS = 10_000_000
N_FEATURES = 64
FIT_BYTES = 4 * 2**30
N_FILES = 8

# Name, and the limit in MiB above the import baseline.
CASES = {
    "transform-float32": 300,
    "transform-float16": 300,
    "transform-float64": 300,
    "score-float32": 300,
    "fit-64": 1024,
    "fit-256": 1024,
    "fit-768": 1024,
    "kmeans-64": 1024,
    "gradients-768": 1024,
    "transform-parquet": 600,
    "fit-parquet": 1024,
}

FITTED = ("fit", "kmeans", "gradients")


def peak_mib():
    """Return the largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def blocks(n_rows, n_features, seed=0):
    """Yield blocks of rows around 1000 centers that have 16 directions in common."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(1000, n_features)).astype(np.float32)
    axes = rng.normal(size=(16, n_features)).astype(np.float32) / 4
    for start in range(0, n_rows, 65536):
        size = min(65536, n_rows - start)
        rows = centers[rng.integers(0, len(centers), size)]
        rows += rng.standard_normal((size, 16), dtype=np.float32) @ axes
        rows += 0.3 * rng.standard_normal((size, n_features), dtype=np.float32)
        yield slice(start, start + size), rows


def write_matrix(path, n_rows, n_features, dtype):
    """Write a matrix that can be memory mapped, unless it is there."""
    if path.exists():
        return
    unfinished = path.with_suffix(".part")
    matrix = np.lib.format.open_memmap(unfinished, "w+", dtype, (n_rows, n_features))
    for rows, block in blocks(n_rows, n_features):
        matrix[rows] = block
    matrix.flush()
    del matrix
    unfinished.rename(path)


def write_parquet(folder, n_rows, n_features):
    """Write rows and their numbers to some Parquet files, unless they are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.exists():
        return
    unfinished = folder.with_suffix(".part")
    unfinished.mkdir()
    for number in range(N_FILES):
        path = unfinished / f"part-{number}.parquet"
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), n_features))])
        with pq.ParquetWriter(path, schema) as writer:
            for rows, block in blocks(n_rows // N_FILES, n_features, seed=number):
                ids = pa.array(np.arange(rows.start, rows.stop) + number * (n_rows // N_FILES))
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), n_features)
                writer.write_table(pa.table([ids, vectors], schema=schema))
    unfinished.rename(folder)


def run_case(case, folder, scale):
    """Run one case in this process and return what it measured."""
    import sklearn_rqvae
    from sklearn_rqvae import ResidualKMeans, RQVAETransformer

    n_rows = int(N_ROWS * scale)
    task, _, kind = case.partition("-")
    if kind == "parquet":
        import pyarrow.parquet  # noqa: F401

        import sklearn_rqvae.io
    baseline = peak_mib()
    start = time.perf_counter()
    if task in ("transform", "score") and kind != "parquet":
        X = np.load(folder / f"rows-{n_rows}-{kind}.npy", mmap_mode="r")
        model = RQVAETransformer.load(folder / "model")
        getattr(model, task)(X)
    elif task in FITTED and kind != "parquet":
        X = np.load(folder / f"fit-{int(FIT_BYTES * scale)}-{kind}.npy", mmap_mode="r")
        model = {
            "fit": RQVAETransformer(random_state=0),
            "kmeans": ResidualKMeans(random_state=0),
            "gradients": RQVAETransformer(codebook_mode="STE", max_epochs=1, random_state=0),
        }[task]
        model.fit(X)
    elif task == "transform":
        X = np.empty((n_rows, 0))
        with tempfile.TemporaryDirectory(dir=folder) as target:
            sklearn_rqvae.io.transform_parquet(
                RQVAETransformer.load(folder / "model"),
                folder / f"parquet-{n_rows}",
                target,
                id_column="id",
                vector_column="vector",
            )
    else:
        X = np.empty((n_rows, 0))
        sklearn_rqvae.io.fit_parquet(
            RQVAETransformer(random_state=0), folder / f"parquet-{n_rows}", vector_column="vector"
        )
    seconds = time.perf_counter() - start
    return {"mib": peak_mib() - baseline, "seconds": seconds, "n_rows": len(X)}


def prepare(case, folder, scale):
    """Write what a case reads."""
    from sklearn_rqvae import RQVAETransformer

    n_rows = int(N_ROWS * scale)
    task, _, kind = case.partition("-")
    model = folder / "model"
    if not model.exists():
        rows = np.concatenate([block for _, block in blocks(20_000, N_FEATURES)])
        RQVAETransformer(random_state=0).fit(rows).save(model)
    if kind == "parquet":
        write_parquet(folder / f"parquet-{n_rows}", n_rows, N_FEATURES)
    elif task in FITTED:
        n_bytes = int(FIT_BYTES * scale)
        n_features = int(kind)
        path = folder / f"fit-{n_bytes}-{kind}.npy"
        write_matrix(path, n_bytes // (4 * n_features), n_features, np.float32)
    else:
        write_matrix(folder / f"rows-{n_rows}-{kind}.npy", n_rows, N_FEATURES, np.dtype(kind))


def main():
    """Print a table of the cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--folder", type=Path, help="where matrices are kept; else a temporary one")
    parser.add_argument("--run", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        prepare(args.prepare, args.folder, args.scale)
        return
    if args.run:
        print(json.dumps(run_case(args.run, args.folder, args.scale)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        print(f"{'case':20} {'rows':>10} {'seconds':>8} {'rows/s':>8} {'peak MiB':>9} {'limit':>6}")
        for case in args.only:
            # A process inherits the peak of the one that starts it: this one stays small.
            command = [sys.executable, __file__, "--folder", str(folder)]
            command += ["--scale", str(args.scale)]
            subprocess.run([*command, "--prepare", case], check=True)
            done = subprocess.run([*command, "--run", case], check=True, stdout=subprocess.PIPE)
            found = json.loads(done.stdout)
            print(
                f"{case:20} {found['n_rows']:10,} {found['seconds']:8.1f} "
                f"{found['n_rows'] / found['seconds']:8,.0f} {found['mib']:9.0f} "
                f"{CASES[case]:6}",
                flush=True,
            )


if __name__ == "__main__":
    main()
