"""How near do long unordered codes come to the rows?

Measures `ProductQuantizer` against faiss's product quantizers, with and without a rotation, at 8,
16 and 32 codes of 256: distortion on training and held-out rows, collisions, seconds of fit and
encoding. Residual and additive quantizers, whose codes depend on each other, stand beside them for
reference at 8 codes; at more they take hours.

    python benchmarks/bench_product.py
    python benchmarks/bench_product.py --catalogs api_docs --seeds 1 --output /tmp/product
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    WORDS,
    Cell,
    Results,
    add_arguments,
    bits_argument,
    check_arguments,
    environment_line,
    judge,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
    parse_sizes,
    run,
    serve,
    thousands,
)
from _quantizers import METHODS

KEYS = ("catalog", "bits", "seed", "method", "rows")
BITS = ("8x256", "16x256", "32x256")
PRODUCT = ("product", "faiss-pq", "faiss-opq", "faiss-opq-long")
DEPENDENT = ("residual-kmeans", "faiss-lsq")


def measure(cell: Cell, X: np.ndarray) -> dict[str, Any]:
    """Measure one method on one catalog with one seed."""
    sizes = parse_sizes(cell["bits"])
    quantizer = METHODS[cell["method"]].quantizer(sizes, cell["seed"], cell["n_threads"])
    result = judge(quantizer, X, cell["seed"])
    del result["prefix_fvu_held_out"]  # codes have no order
    return result


def cells_of(
    catalogs: Sequence[str], bits: Sequence[str], methods: Sequence[str], args: argparse.Namespace
) -> list[Cell]:
    """Return what is to be measured; codes that depend on each other up to 8 of them."""
    return [
        dict(zip(KEYS, (catalog, rate, seed, method, args.rows), strict=True))
        for catalog in catalogs
        for rate in bits
        for seed in range(args.seeds)
        for method in methods
        if method not in DEPENDENT or len(parse_sizes(rate)) <= 8
    ]


def table(catalog: str, rate: str, methods: dict[str, list[Cell]]) -> str:
    """Return the table of one catalog at one rate."""
    rivals = [
        mean_of(cells, "fvu_held_out") for name, cells in methods.items() if "faiss-opq" in name
    ]
    rows = []
    for name, cells in methods.items():
        held_out = mean_of(cells, "fvu_held_out")
        label = METHODS[name].label
        rows.append(
            [
                f"`{label}`" if label.endswith(")") else label,
                mean_and_spread(cells, "fvu_held_out"),
                f"{held_out / min(rivals):.3f}" if rivals else "–",
                mean_and_spread(cells, "fvu_train"),
                f"{100 * mean_of(cells, 'collision_rate'):.2f}",
                f"{mean_of(cells, 'fit_seconds'):.1f}",
                thousands(mean_of(cells, "encode_per_second")),
                thousands(mean_of(cells, "floats")),
            ]
        )
    header = [
        "method", "FVU held out", "÷ best OPQ", "FVU training", "collisions, %", "fit, s",
        "encoded / s", "floats",
    ]  # fmt: skip
    return list_table(f"{catalog}, {rate.replace('x', ' × ')}", header, rows)


def report(results: Results, rows: int | None, folder: Path) -> None:
    """Write the tables of the docs."""
    groups: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(dict)
    for cell in results.cells:
        if cell["rows"] == rows:
            groups[cell["catalog"], cell["bits"]].setdefault(cell["method"], []).append(cell)
    order = [(catalog, rate) for catalog in (*CATALOGS, WORDS) for rate in BITS]
    parts = [
        table(*key, {name: groups[key][name] for name in METHODS if name in groups[key]})
        for key in order
        if key in groups
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(parts) or not_measured(Path(__file__).name)
    (folder / "product_table.rst").write_text(text, encoding="utf-8")
    (folder / "product_environment.rst").write_text(environment_line(results), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the number of failed measurements."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        serve(argv[1], argv[2], measure)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = (*PRODUCT, *DEPENDENT)
    catalogs = (*CATALOGS, WORDS)
    parser.add_argument("--catalogs", nargs="+", choices=catalogs, default=catalogs)
    parser.add_argument("--bits", nargs="+", type=bits_argument, default=list(BITS), metavar="LxK")
    parser.add_argument("--methods", nargs="+", choices=known, default=known)
    add_arguments(parser)
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    results = Results(args.output / "product.json", KEYS)
    failed = 0
    if not args.report_only:
        cells = cells_of(args.catalogs, args.bits, args.methods, args)
        failed = run(__file__, results, cells, args)
    report(results, args.rows, args.output)
    return failed


if __name__ == "__main__":
    sys.exit(main())
