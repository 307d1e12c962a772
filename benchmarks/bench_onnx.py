"""Ask whether ONNX files give the codes of `transform`, how large they are and how fast.

    python benchmarks/bench_onnx.py --catalogs beauty scientific
    python benchmarks/bench_onnx.py --catalogs api_docs --batches 16 1024

Each model is fitted to all items and written; onnxruntime and the estimator then code the same
items in the same process on one thread, in turn, and the fastest of ``--repeats`` runs counts, in
CPU seconds: other work on the machine takes none of them. A row whose codes differ is a tie if both
codes' reconstruction errors are equal up to rounding, and counted as another code otherwise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import load_catalog

from sklearn_rqvae import ResidualKMeans, RQVAETransformer

MODELS: dict[str, Callable[[], Any]] = {
    "default": lambda: RQVAETransformer(random_state=0),
    "default, greedy": lambda: RQVAETransformer(random_state=0, n_beams=1),
    "ResidualKMeans": lambda: ResidualKMeans(random_state=0),
    "STE, 3 epochs": lambda: RQVAETransformer(codebook_mode="STE", max_epochs=3, random_state=0),
}
# Errors of reconstructions that are equal up to the rounding of float32, relative to the row.
ROUNDING = 1e-5


def open_session(path: Path) -> Any:
    """Return a session of onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session: Any, rows: np.ndarray, batch: int) -> np.ndarray:
    """Return the output for all rows, a batch at a time."""
    name = session.get_inputs()[0].name
    parts = [
        session.run(None, {name: rows[start : start + batch]})[0]
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(parts)


def count_differences(
    model: Any, X: np.ndarray, codes: np.ndarray, others: np.ndarray
) -> tuple[int, int]:
    """Return how many rows have other codes with the same error, and how many with another one."""
    differ = np.flatnonzero((codes != others).any(1))
    if not len(differ):
        return 0, 0
    rows = X[differ].astype(np.float64)
    errors = [
        np.square(model.inverse_transform(some[differ]) - rows).sum(1) for some in (codes, others)
    ]
    ties = np.abs(errors[0] - errors[1]) <= ROUNDING * np.square(rows).sum(1)
    return int(ties.sum()), int((~ties).sum())


def best_seconds(functions: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the shortest CPU time of each function; they take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def measure(model: Any, X: np.ndarray, batches: list[int], repeats: int) -> dict[str, Any]:
    """Write both parts of a fitted model, and compare them with it."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{part}.onnx" for part in ("encode", "decode")]
        for path, part in zip(files, ("encode", "decode"), strict=True):
            model.to_onnx(path, part=part)
        sizes = [os.path.getsize(path) for path in files]
        encode, decode = map(open_session, files)
    codes = model.transform(X)
    ties, others = count_differences(model, X, codes, run(encode, X, batches[0]))
    rows = model.inverse_transform(codes)
    coders: dict[str, Callable[[], Any]] = {"transform": lambda: model.transform(X)}
    for batch in batches:
        coders[f"onnx in batches of {batch}"] = partial(run, encode, X, batch)
    seconds = best_seconds(list(coders.values()), repeats)
    return {
        "ties": ties,
        "other codes": others,
        "decoded": float(np.abs(run(decode, codes, batches[0]) - rows).max()),
        "encode MB": sizes[0] / 1e6,
        "decode MB": sizes[1] / 1e6,
        **{
            f"{name} us/row": taken / len(X) * 1e6
            for name, taken in zip(coders, seconds, strict=True)
        },
    }


def main() -> None:
    """Print a line for each catalog and model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--catalogs", nargs="+", default=["api_docs"])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for catalog in args.catalogs:
        X = load_catalog(catalog)
        for name, build in MODELS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = build().fit(X)
            found = measure(model, X, args.batches, args.repeats)
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
            print(f"{catalog} ({len(X)} rows), {name}: {numbers}", flush=True)


if __name__ == "__main__":
    main()
