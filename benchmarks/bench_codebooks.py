"""What do codebooks of thousands of codewords cost, to search and to fit?

The search of a row is given beside the inner products alone and beside faiss with the same
codebooks. Of a whole fit only parts are timed, on a few rows: the search and the nearest codewords
of k-means grow with the rows, and least squares as a straight line through two numbers of rows,
with codes drawn at random, of which more pairs meet than of real ones. The starts of k-means are
left out. Times are CPU seconds of one thread.

Memory is that of a process which fits the estimator with one round and two iterations of k-means:
later ones need no more. Of two numbers of rows it follows what many rows would take at most, by a
straight line, since pairs of codes that meet become fewer beside the rows.

    export OMP_NUM_THREADS=1
    python benchmarks/bench_codebooks.py --sizes 1024 4096 8192
    python benchmarks/bench_codebooks.py --sizes 8192 --n-rows 2000000
    python benchmarks/bench_codebooks.py --sizes 8192 --n-rows 2000000 --memory-of 100000 200000
    python benchmarks/bench_codebooks.py --sizes 8192 --n-rows 2000000 --whole    # hours
    python benchmarks/bench_codebooks.py --sizes 4096 --n-rows 2000000 --whole --subsample 1048576
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae._learning import _closed_form
from sklearn_rqvae.quantize import _additive
from sklearn_rqvae.quantize._beam import SearchTables, beam_search
from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._kmeans import LARGE
from sklearn_rqvae.quantize._refine import refit_codebooks

N_LEVELS = 3
# Rounds of search and least squares that see a part of the rows, and all.
N_EARLY, N_LATE = 8, 4
# Lloyd iterations of each of k-means's stages.
N_LLOYD = 8
# Rows that a whole fit hasn't seen.
N_NEW = 2**14
# What least squares is timed on.
SOLVED_DIMS, SOLVED_ROWS = 32, (8192, 32768)


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of a call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def draw(n_rows: int, n_dims: int, seed: int = 0) -> Tensor:
    """Draw rows around 2000 centers, with the variances of text vectors."""
    draws = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, n_dims + 1) ** -0.5
    centers = torch.randn(2000, n_dims, generator=draws)
    x = torch.empty(n_rows, n_dims)
    for part in x.split(2**16):
        part.copy_(centers[torch.randint(2000, (len(part),), generator=draws)])
        part.add_(torch.randn(part.shape, generator=draws), alpha=0.7).mul_(scale)
    return x


def draw_codebooks(sizes: Sequence[int], n_dims: int) -> list[Tensor]:
    """Draw codebooks, each level finer than the one before."""
    draws = torch.Generator().manual_seed(1)
    scale = torch.arange(1, n_dims + 1) ** -0.5
    return [
        0.8**level * scale * torch.randn(size, n_dims, generator=draws)
        for level, size in enumerate(sizes)
    ]


def faiss_search(x: Tensor, codebooks: Sequence[Tensor], n_beams: int) -> float | None:
    """Return the seconds of faiss's search with tables of inner products, if it is installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    quantizer = faiss.ResidualQuantizer(x.shape[1], N_LEVELS, len(codebooks[0]).bit_length() - 1)
    quantizer.max_beam_size, quantizer.use_beam_LUT = n_beams, 1
    faiss.copy_array_to_vector(torch.cat(list(codebooks)).numpy().ravel(), quantizer.codebooks)
    quantizer.is_trained = True
    quantizer.compute_codebook_tables()
    search = partial(quantizer.compute_codes, x.numpy())
    search()  # the first one finds its memory, as ours does
    return seconds(search)[0]


def time_search(size: int, n_dims: int, n_rows: int = 1024) -> dict[str, float]:
    """Return microseconds for a row."""
    x, codebooks = draw(n_rows, n_dims), draw_codebooks([size] * N_LEVELS, n_dims)
    tables = SearchTables(codebooks)
    parts = x.split(128)
    for _ in range(2):  # the first one finds its kernels
        took = {"products": seconds(lambda: [tables.scores(part) for part in parts])[0]}
    for n_beams in (5, 16):
        search = partial(beam_search, x, codebooks, n_beams, tables=tables)
        search()  # the first one finds its memory
        took[f"{n_beams} beams"] = seconds(search)[0]
    rival = faiss_search(x, codebooks, 5)
    took |= {} if rival is None else {"faiss, 5 beams": rival}
    return {name: value / n_rows * 1e6 for name, value in took.items()}


def fit_hours(sizes: Sequence[int], n_dims: int, n_rows: float) -> dict[str, float]:
    """Return the core hours of each part of a fit in closed form, without pairs of codes."""
    largest = max(sizes)
    used = min(n_rows, max(2**16, 256 * largest))
    early = used
    if largest >= LARGE:
        early = min(used, _additive._EARLY_ROWS_PER_CODEWORD * largest)
    of_kmeans = min(used, (32 if largest >= LARGE else 256) * largest)
    x, codebooks = draw(512, n_dims), draw_codebooks(sizes, n_dims)
    beam_search(x[:64], codebooks, 5)
    tables = SearchTables(codebooks)
    search = seconds(lambda: beam_search(x, codebooks, 5, tables=tables))[0] / len(x)
    stages = [n_dims // 16, n_dims // 4, n_dims]
    assign = []
    for n in stages:
        rows, codewords = x[:, :n].contiguous(), codebooks[0][:, :n].contiguous()
        nearest_codewords(rows, codewords)  # the first call finds its kernels
        assign.append(seconds(lambda a=rows, b=codewords: nearest_codewords(a, b))[0])
    solve = partial(_solve_seconds, sizes, n_dims)
    hours = {
        "k-means": len(sizes) * N_LLOYD * sum(assign) / len(x) * of_kmeans,
        # One search more for the starts of k-means, one ahead of both parts; one more to shrink.
        "search": ((N_EARLY + 2) * early + (N_LATE + 1) * used) * search,
        "least squares": N_EARLY * solve(early) + (N_LATE + 1) * solve(used),
    }
    return {part: value / 3600 for part, value in hours.items()}


def _solve_seconds(sizes: Sequence[int], n_dims: int, n_rows: float) -> float:
    """Return the seconds of least squares, by a straight line from few rows and coordinates."""
    codebooks, took = draw_codebooks(sizes, SOLVED_DIMS), []
    for n in SOLVED_ROWS:
        draws = torch.Generator().manual_seed(n)
        row = torch.arange(n).repeat_interleave(5)
        codes = torch.stack([torch.randint(k, (5 * n,), generator=draws) for k in sizes], 1)
        x, weight = draw(n, SOLVED_DIMS), torch.rand(5 * n, generator=draws) + 0.01
        took.append(
            seconds(
                lambda a=x, b=codes, w=weight, r=row: refit_codebooks(
                    a, b, codebooks, sample_weight=w, row=r
                )
            )[0]
        )
    slope = (took[1] - took[0]) / (SOLVED_ROWS[1] - SOLVED_ROWS[0])
    return (took[1] + max(slope, 0.0) * (n_rows - SOLVED_ROWS[1])) * n_dims / SOLVED_DIMS


def fit_whole(size: int, n_dims: int, n_rows: int, subsample: int | None) -> str:
    """Fit the estimator, as by default else; say what it took and what it leaves."""
    x = draw(n_rows + N_NEW, n_dims).numpy()
    params = {"codebook_size": size, "n_layers": N_LEVELS, "subsample": subsample}
    model = RQVAETransformer(**params, random_state=0)
    took, _ = seconds(lambda: model.fit(x[:n_rows]))
    left = (unexplained_variance(x[:N_NEW], model), unexplained_variance(x[n_rows:], model))
    return (
        f"{took / 3600:.2f} core hours, {peak_mib():.0f} MiB; "
        f"unexplained variance {left[0]:.4f} of rows of the fit, {left[1]:.4f} of new rows"
    )


def unexplained_variance(x: np.ndarray, model: RQVAETransformer) -> float:
    """Return the share of the variance that reconstructions leave."""
    left = x - model.inverse_transform(model.transform(x))
    return float((left**2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def fit_short(size: int, n_dims: int, n_rows: int) -> float:
    """Fit to all rows with few rounds; return the peak of this process in MiB."""
    _closed_form.fit_codebooks = partial(_additive.fit_codebooks, n_iter=1)
    _additive.progressive_kmeans = partial(_additive.progressive_kmeans, max_iter=2)
    params = {"codebook_size": size, "n_layers": N_LEVELS, "n_beams": 1, "subsample": None}
    RQVAETransformer(**params, random_state=0).fit(draw(n_rows, n_dims).numpy())
    return peak_mib()


def peak_mib() -> float:
    """Return the peak of this process's memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def fit_peaks(size: int, n_dims: int, n_rows: float, measured: Sequence[int]) -> dict[float, float]:
    """Return the peak of fits to numbers of rows in MiB, the last by a straight line."""
    command = [sys.executable, __file__, "--n-dims", str(n_dims), "--sizes", str(size), "--short"]
    peaks = {}
    for n in measured:
        done = subprocess.run([*command, str(n)], check=True, stdout=subprocess.PIPE)
        peaks[float(n)] = float(done.stdout)
    (few, less), (many, more) = list(peaks.items())[-2:]
    return peaks | {n_rows: more + (more - less) / (many - few) * (n_rows - many)}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096, 8192])
    parser.add_argument("--n-dims", type=int, default=128)
    parser.add_argument("--n-rows", type=float, help="estimate a fit to so many rows, too")
    parser.add_argument(
        "--memory-of",
        type=int,
        nargs=2,
        metavar="N",
        help="measure the memory of fits to so many rows, and no times",
    )
    parser.add_argument("--whole", action="store_true", help="fit to --n-rows rows, whole")
    parser.add_argument("--subsample", type=int, help="of a whole fit; all rows by default")
    parser.add_argument("--short", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.whole and args.n_rows is None:
        parser.error("--whole needs --n-rows, the rows to fit to")
    torch.set_num_threads(1)
    if args.short:
        print(fit_short(args.sizes[0], args.n_dims, args.short))
        return
    if args.whole:
        for size in args.sizes:
            words = fit_whole(size, args.n_dims, int(args.n_rows), args.subsample)
            print(f"{N_LEVELS} x {size}, a fit to {args.n_rows:.0f} rows: {words}", flush=True)
        return
    if args.memory_of:
        for size in args.sizes:
            peaks = fit_peaks(size, args.n_dims, args.n_rows or args.memory_of[-1], args.memory_of)
            words = (f"{n:.0f} rows {mib:.0f} MiB" for n, mib in peaks.items())
            print(f"{N_LEVELS} x {size}: {', '.join(words)}", flush=True)
        return
    for size in args.sizes:
        took = time_search(size, args.n_dims)
        words = (f"{name} {us:.0f} us ({us / took['products']:.2f})" for name, us in took.items())
        print(f"{N_LEVELS} x {size}, a row: {', '.join(words)}", flush=True)
        if args.n_rows:
            parts = fit_hours([size] * N_LEVELS, args.n_dims, args.n_rows)
            words = (f"{name} {hours:.2f}" for name, hours in parts.items())
            total = sum(parts.values())
            print(f"    fit to {args.n_rows:.0f} rows: {', '.join(words)}; {total:.2f} core hours")


if __name__ == "__main__":
    main()
