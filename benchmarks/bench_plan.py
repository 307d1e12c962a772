"""What would a hundred million items cost, and a billion? Computed from throughput measured here.

    export OMP_NUM_THREADS=1
    python benchmarks/bench_plan.py --items 1e8 --sizes 8192 8192 8192
    python benchmarks/bench_plan.py --items 1e9 --sizes 1024 1024 1024 1024

Each step is timed on a few thousand rows on one core; nothing of the size in question is run, and
storage is taken to be as fast as the cores.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from bench_codebooks import draw, draw_codebooks, fit_hours, seconds

from sklearn_rqvae._rows._distinct import canonical_rows
from sklearn_rqvae.quantize._all_rows import add_up
from sklearn_rqvae.quantize._beam import SearchTables, beam_search

GB = 1e9
N_PASSES = 2
# Blocks that share the arrays of sums.
N_BLOCKS = 8


def measure(sizes: list[int], n_dims: int, n_rows: int) -> dict[str, float]:
    """Return the seconds that a row takes in each step."""
    x, codebooks = draw(n_rows, n_dims), draw_codebooks(sizes, n_dims)
    tables = SearchTables(codebooks)
    codes, _ = beam_search(x, codebooks, 1, tables=tables)
    few, _ = seconds(lambda: beam_search(x, codebooks, 5, tables=tables))
    many, _ = seconds(lambda: beam_search(x, codebooks, 16, tables=tables))
    ones = torch.ones(n_rows, dtype=torch.float64)
    none = torch.empty(0, dtype=torch.int64)
    several = codes.repeat(N_BLOCKS, 1, 1)[:, 0], ones.repeat(N_BLOCKS)
    add, _ = seconds(lambda: add_up([x] * N_BLOCKS, *several, codebooks, none))
    hashed, _ = seconds(lambda: canonical_rows(x.numpy()))
    took = {"5 beams": few, "16 beams": many, "add up": add / N_BLOCKS, "hash": hashed}
    return {name: value / n_rows for name, value in took.items()}


def plan(n_items: float, sizes: list[int], n_dims: int, took: dict[str, float]) -> dict[str, float]:
    """Return core hours of each step."""
    a_pass = took["16 beams"] + took["add up"]
    return {
        "fit to a sample": sum(fit_hours(sizes, n_dims, n_items).values()),
        "passes over all": n_items * (2 * took["hash"] + N_PASSES * a_pass) / 3600,
        "transform, 16 beams": n_items * took["16 beams"] / 3600,
        "transform, 5 beams": n_items * took["5 beams"] / 3600,
    }


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=float, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--n-dims", type=int, default=768)
    parser.add_argument("--n-rows", type=int, default=1024, help="rows to time the steps on")
    parser.add_argument("--cores", type=int, default=16, help="cores of a machine")
    parser.add_argument("--core-hour", type=float, default=0.05, help="dollars")
    parser.add_argument("--gb-month", type=float, default=0.023, help="dollars")
    args = parser.parse_args()
    torch.set_num_threads(1)
    took = measure(args.sizes, args.n_dims, args.n_rows)
    print(", ".join(f"{name} {value * 1e6:.0f} us" for name, value in took.items()), "a row")
    for name, hours in plan(args.items, args.sizes, args.n_dims, took).items():
        one, many = hours / args.cores, hours / args.cores / 64
        print(
            f"{name:20} {hours:8.1f} core hours, {one:7.2f} h on a machine, {many * 60:6.1f} min "
            f"on 64, {hours * args.core_hour:8.2f} dollars"
        )
    bits = np.ceil(np.log2(args.sizes)).sum()
    sample = min(args.items, max(2**16, 256 * max(args.sizes)))
    held = {
        "vectors, float32": 4 * args.n_dims * args.items,
        "vectors, float16": 2 * args.n_dims * args.items,
        "codes, packed": bits / 8 * args.items,
        "codes, int64": 8 * len(args.sizes) * args.items,
    }
    for name, size in held.items():
        print(f"{name:20} {size / GB:8.1f} GB, {size / GB * args.gb_month:8.2f} dollars a month")
    crossings = 4 * sum(
        int(np.prod(p)) for p in zip(np.cumsum(args.sizes[:-1]), args.sizes[1:], strict=True)
    )
    print(f"{'sample of the fit':20} {4 * args.n_dims * sample / GB:8.1f} GB of memory")
    print(f"{'tables of a search':20} {crossings / GB:8.1f} GB of memory")


if __name__ == "__main__":
    main()
