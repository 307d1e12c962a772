"""Ask what limits cost: items of a first code, and items of an ID.

    python benchmarks/bench_capacity.py
    python benchmarks/bench_capacity.py --catalogs api_docs --output /tmp/trial

Fits the default quantizer of 3 x 256 codes to a catalog and gives all of its items IDs by
``collisions="reassign"``, with several values of ``max_items_per_first_code`` and of
``max_items_per_id``. The rivals are quantizers that are trained to balance their codes: Sinkhorn
at the first level, or at all; with straight-through estimation in its place for comparison. Times
are CPU seconds, of the fit for quantizers and of the index for limits. Tables for the docs are
written at the end.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    GENERATED,
    Results,
    describe_environment,
    environment_line,
    list_table,
    load_catalog,
)

from sklearn_rqvae import RQVAETransformer, metrics
from sklearn_rqvae.semantic_id import SemanticIDIndex

SIZE = 256
FACTORS = (2.0, 1.5, 1.1, 1.0)
SHARED = (1, 2, 4, 8)
RIVALS = {
    "gradient, straight-through": "STE",
    "gradient, Sinkhorn first": ["SINKHORN", "STE", "STE"],
    "gradient, Sinkhorn": "SINKHORN",
}
# Otherwise they stay at their start, the closed form, from which training would even the codes.
TO_THE_END = {"callbacks__best": None}


def judge(model: Any, X: np.ndarray, **limits: Any) -> dict[str, Any]:
    """Give items their IDs under limits; return what that costs and brings."""
    start = time.process_time()
    index = SemanticIDIndex.from_estimator(model, X, collisions="reassign", **limits)
    seconds = time.process_time() - start
    ids, report = index.ids_, index.report_
    first = np.bincount(ids[:, 0], minlength=SIZE)
    return {
        "seconds": seconds,
        "largest": first.max() / first.mean(),
        "gini": float(metrics.code_gini(ids, SIZE)[0]),
        "fvu": metrics.fraction_variance_unexplained(X, model.inverse_transform(ids)),
        "added": report.added_error,
        "moved": report.n_moved / len(X),
        "neighbors": metrics.prefix_neighbor_recall(X, ids, n_queries=None),
        "ids": report.n_items if not limits else len(np.unique(ids, axis=0)),
    }


def measure(catalog: str, name: str, model: Any, X: np.ndarray) -> dict[str, Any]:
    """Measure one way on a catalog; `model` is the default quantizer."""
    if name in RIVALS:
        start = time.process_time()
        rival = RQVAETransformer(random_state=0, codebook_mode=RIVALS[name], net_params=TO_THE_END)
        rival.fit(X)
        seconds = time.process_time() - start
        return judge(rival, X) | {"seconds": seconds}
    if name.startswith("capacity"):
        most = math.ceil(float(name.split()[1]) * len(X) / SIZE)
        return judge(model, X, max_items_per_first_code=most)
    if name.startswith("share"):
        return judge(model, X, max_items_per_id=int(name.split()[1]))
    return judge(model, X)


def write_tables(results: Results, output: Path, catalogs: list[str]) -> None:
    """Write the tables of what was measured."""
    names = ["no limit", *(f"capacity {factor}" for factor in FACTORS), *RIVALS]
    load, shared = [], []
    for catalog in catalogs:
        for name in names:
            if cell := results.find({"catalog": catalog, "way": name}):
                label = name.replace("capacity ", "limit, mean × ")
                load.append([catalog, label, *_columns(cell, "largest", "gini")])
        for n_items in SHARED:
            if cell := results.find({"catalog": catalog, "way": f"share {n_items}"}):
                shared.append([catalog, str(n_items), *_columns(cell), f"{cell['ids']:,}"])
    costs = ["error added", "FVU", "items moved", "neighbors", "CPU (s)"]
    header = ["catalog", "IDs", "largest / mean", "Gini", *costs]
    title = "Items of first codes, and what evenness costs (3 × 256)"
    (output / "capacity_first_codes.rst").write_text(list_table(title, header, load))
    header = ["catalog", "items per ID", *costs, "IDs in use"]
    title = "What it saves to let items share an ID (3 × 256)"
    (output / "capacity_shared.rst").write_text(list_table(title, header, shared))
    (output / "capacity_environment.rst").write_text(environment_line(results))


def _columns(cell: dict[str, Any], *names: str) -> list[str]:
    return [
        *(f"{cell[name]:.2f}" for name in names),
        f"{cell['added']:.1%}",
        f"{cell['fvu']:.4f}",
        f"{cell['moved']:.1%}",
        f"{cell['neighbors']:.3f}",
        f"{cell['seconds']:.1f}",
    ]


def main() -> None:
    """Measure what isn't measured yet, and write tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalogs", nargs="+", choices=CATALOGS, default=["beauty", "scientific"])
    parser.add_argument("--rivals", nargs="*", choices=[*RIVALS], default=[*RIVALS])
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    args = parser.parse_args()
    results = Results(args.output / "capacity.json", ("catalog", "way"))
    results.require_environment(describe_environment(1))
    ways = ["no limit", *(f"capacity {factor}" for factor in FACTORS)]
    ways += [*(f"share {n_items}" for n_items in SHARED), *args.rivals]
    for catalog in args.catalogs:
        X = load_catalog(catalog)
        model = RQVAETransformer(random_state=0).fit(X)
        for way in ways:
            cell = {"catalog": catalog, "way": way}
            if not results.find(cell):
                results.add(cell, measure(catalog, way, model, X))
                print(results.find(cell), flush=True)
    write_tables(results, args.output, args.catalogs)


if __name__ == "__main__":
    main()
