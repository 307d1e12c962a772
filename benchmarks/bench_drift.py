"""What shares of `drift` are normal: between two fits of one catalog, and between two catalogs?

A catalog is fitted; then it is fitted again with another seed, with a quarter more items, from
other vectors of the same items; it is refitted by a warm start; and its IDs are dealt to other
items. `SemanticIDIndex.drift` compares each with the first. "Groups" are the shares of items in
another group after the names of codes were matched.

    python benchmarks/bench_drift.py
    python benchmarks/bench_drift.py --catalogs api_docs --output /tmp
"""

from __future__ import annotations

import argparse
import copy
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

from sklearn_rqvae import RQVAETransformer, SemanticIDIndex

# The share of the items that are there at first.
OLDER = 0.8
WAYS = {
    "warm start": "a warm start with a quarter more items",
    "seed": "another seed, the same items",
    "more items": "a new fit with a quarter more items",
    "other vectors": "a new fit to other vectors: the first half of the old ones",
    "dealt": "the same IDs, dealt to other items",
}


def measure(X: np.ndarray) -> dict[str, Any]:
    """Return what drift says of each way."""
    X = np.random.default_rng(0).permutation(X)
    older = X[: int(OLDER * len(X))]
    ids = np.arange(len(X))
    first = RQVAETransformer(random_state=0).fit(older)

    def catalog(model: Any, rows: np.ndarray) -> SemanticIDIndex:
        return SemanticIDIndex.from_estimator(model, rows, ids[: len(rows)], "none")

    old = catalog(first, older)
    half = older[:, : older.shape[1] // 2]
    codes = np.random.default_rng(0).permutation(old.ids_)
    others = {
        "warm start": catalog(copy.deepcopy(first).set_params(warm_start=True).fit(X), X),
        "seed": catalog(RQVAETransformer(random_state=1).fit(older), older),
        "more items": catalog(RQVAETransformer(random_state=0).fit(X), X),
        "other vectors": catalog(RQVAETransformer(random_state=0).fit(half), half),
        "dealt": SemanticIDIndex("none").fit(codes, old.item_ids_),
    }
    reports = {way: old.drift(other) for way, other in others.items()}
    return {
        way: {"changed": report.changed, "matched": report.changed_matched}
        for way, report in reports.items()
    }


def table(results: Results) -> str:
    """Return the tables, one for each catalog."""
    text = []
    for cell in sorted(results.cells, key=lambda cell: cell["catalog"]):
        rows = [
            [
                title,
                f"{100 * cell[way]['changed']:.1f}",
                *(f"{100 * share:.1f}" for share in cell[way]["matched"]),
            ]
            for way, title in WAYS.items()
        ]
        header = ["compared with the first fit", "changed, %", "groups, level 0, %", "1", "2"]
        text.append(list_table(cell["catalog"], header, rows))
    return "\n".join(text)


def main() -> None:
    """Measure what isn't measured yet, and write the tables."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalogs", choices=CATALOGS, nargs="+", default=["beauty", "scientific"])
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(args.output / "drift.json", ("catalog",))
    results.require_environment(describe_environment(1))
    for catalog in args.catalogs:
        if not results.find({"catalog": catalog}):
            results.add({"catalog": catalog}, measure(load_catalog(catalog)))
            print(results.cells[-1], flush=True)
    (args.output / "drift_table.rst").write_text(table(results))
    (args.output / "drift_environment.rst").write_text(environment_line(results))


if __name__ == "__main__":
    main()
