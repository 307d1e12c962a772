"""How many IDs does a catalog need for few of its items to collide?

Fits the default model to parts of each catalog, with codebooks of many sizes, and counts the items
that share their ID with an earlier one. Equal vectors are counted once. Then the law behind
`sklearn_rqvae.semantic_id.suggest_sizes` is fitted to the counts: one number for each catalog says
how much its items are alike.

    python benchmarks/bench_sizes.py
    python benchmarks/bench_sizes.py --catalogs api_docs --output /tmp
    python benchmarks/bench_sizes.py --check vectors.npy --output /tmp    # the law beside your own
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _common import (
    CATALOGS,
    Results,
    add_arguments,
    describe_environment,
    list_table,
    load_catalog,
    parse_sizes,
)
from scipy.optimize import least_squares

from sklearn_rqvae.semantic_id import expected_collision_rate
from sklearn_rqvae.semantic_id._sizes import CROWDED, LIKENESS, LIKENESS_RANGE

MEASURED = ("beauty", "scientific", "api_docs")

ITEMS = (1000, 2000, 4000, 12000)
SIZES = (
    *("2x64", "2x128", "2x256", "2x512", "3x32", "3x64", "3x128", "3x256", "3x512"),
    *("4x32", "4x64", "4x128", "4x256"),
)
# With fewer items for each codeword, codes follow the items one by one.
_ITEMS_PER_CODEWORD = 4
# Fewer collisions than these say little of the rate.
_MIN_COLLISIONS = 10


def count_collisions(X: np.ndarray, n_items: int, sizes: Sequence[int], seed: int) -> float:
    """Fit a random part of the rows, and return the share that shares its ID with earlier ones."""
    from sklearn_rqvae import RQVAETransformer, metrics

    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:n_items])
    model = RQVAETransformer(n_layers=len(sizes), codebook_size=list(sizes), random_state=seed)
    return metrics.collision_rate(model.fit_transform(X[rows]))


def measure(results: Results, catalogs: Sequence[str], n_seeds: int) -> None:
    """Measure what isn't in the results yet."""
    for catalog in catalogs:
        X = np.unique(load_catalog(catalog), axis=0)
        for n_items in (n for n in ITEMS if n <= len(X)):
            for name in SIZES:
                sizes = parse_sizes(name)
                if sizes[0] * _ITEMS_PER_CODEWORD > n_items:
                    continue
                for seed in range(n_seeds):
                    cell = {"catalog": catalog, "items": n_items, "sizes": name, "seed": seed}
                    if results.find(cell):
                        continue
                    start = time.process_time()
                    rate = count_collisions(X, n_items, sizes, seed)
                    seconds = time.process_time() - start
                    results.add(cell, {"collision_rate": rate, "seconds": seconds})
                    print(*cell.values(), f"{rate:.4f} {seconds:.1f} s", flush=True)


# -- The law --


def counted(results: Results) -> list[dict]:
    """Return the cells with enough collisions to tell a rate."""
    cells = [cell | {"n": cell["items"]} for cell in results.cells]
    return [cell for cell in cells if cell["collision_rate"] * cell["n"] >= _MIN_COLLISIONS]


def shape_of(cell: dict) -> tuple[float, float, int]:
    """Return items per ID, items per codeword, and levels."""
    sizes = parse_sizes(cell["sizes"])
    return cell["n"] / np.prod(np.float64(sizes)), cell["n"] / sizes[0], len(sizes)


def likeness(cells: Sequence[dict]) -> tuple[float, float]:
    """Fit what a catalog adds to the odds of a collision; return it and the spread of the rates.

    The spread is the factor by which two thirds of the rates are off at most.
    """
    shapes = [shape_of(cell) for cell in cells]
    odds = np.array([cell["collision_rate"] / (1 - cell["collision_rate"]) for cell in cells])
    even = np.array([shape[0] for shape in shapes])
    alike = np.array([u / np.sqrt(1 + u / CROWDED) / n_layers**2 for _, u, n_layers in shapes])

    def off(log_like: np.ndarray) -> np.ndarray:
        return np.log(even + np.exp(log_like[0]) * alike) - np.log(odds)

    fit = least_squares(off, [-5.0], loss="soft_l1", f_scale=0.5)
    return float(np.exp(fit.x[0])), float(np.exp(np.quantile(abs(off(fit.x)), 2 / 3)))


# -- Tables --


def tables(results: Results) -> dict[str, str]:
    """Return the files that the guide includes, by name."""
    shown = ("2x64", "2x256", "3x64", "3x128", "3x256", "4x64", "4x256")
    groups = sorted({(cell["catalog"], cell["items"]) for cell in results.cells})
    rates = {
        (cell["catalog"], cell["items"], cell["sizes"]): cell["collision_rate"]
        for cell in results.cells
    }
    rows = [
        [name, f"{n:,}"]
        + [
            f"{100 * rates[name, n, size]:.1f}" if (name, n, size) in rates else ""
            for size in shown
        ]
        for name, n in groups
    ]
    header = ["catalog", "items", *(size.replace("x", " × ") for size in shown)]
    cells = counted(results)
    said = []
    for catalog in sorted({cell["catalog"] for cell in cells}):
        like, spread = likeness([cell for cell in cells if cell["catalog"] == catalog])
        said.append(f"``{catalog}`` {like:.4f} (off by a factor of {spread:.1f})")
    law = (
        "The law behind the suggestion has one number for how much the items of a catalog are "
        f"alike: {', '.join(said)}. In brackets is what two thirds of its rates are off by at "
        f"most. :func:`~sklearn_rqvae.semantic_id.suggest_sizes` takes {LIKENESS}, and gives the "
        f"range for {LIKENESS_RANGE[0]} to {LIKENESS_RANGE[1]}.\n"
    )
    return {
        "sizes_table.rst": list_table("Collisions, %, by levels × codewords", header, rows),
        "sizes_law.rst": law,
    }


def check(path: Path) -> None:
    """Print measured and expected collisions of vectors in a file."""
    X = np.unique(np.load(path).astype(np.float32), axis=0)
    for name in ("3x64", "3x256", "4x256"):
        sizes = parse_sizes(name)
        rate = count_collisions(X, len(X), sizes, 0)
        expected = expected_collision_rate(len(X), sizes, len(sizes))
        print(f"{len(X):,} items, {name}: {rate:.1%} measured, {expected:.1%} expected")


def main() -> None:
    """Measure what the command line asks for and write the tables."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalogs", choices=CATALOGS, nargs="+", default=list(MEASURED))
    parser.add_argument("--check", type=Path, metavar="NPY", help="vectors; measure only these")
    add_arguments(parser)
    parser.set_defaults(seeds=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.check:
        check(args.check)
        return
    results = Results(args.output / "sizes.json", ("catalog", "items", "sizes", "seed"))
    if not args.report_only:
        results.require_environment(describe_environment(args.threads))
        measure(results, args.catalogs, args.seeds)
    for name, text in tables(results).items():
        (args.output / name).write_text(text)
        print(text)


if __name__ == "__main__":
    main()
