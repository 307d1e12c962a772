"""Which vectors of behavior tell what users touch next?

Ways from histories to item vectors learn from training histories, without the last two items. Each
is judged alone and beside the vectors of the texts, all views with the same weight: by how often
the item that is kept out for validation is among the ten nearest of the one before it. How much
behavior should weigh is rated by the package itself, between what IDs of texts and co-occurrence
decode to, on training histories without their last items.

    python benchmarks/bench_behavior.py
    python benchmarks/bench_behavior.py --catalogs scientific --ways cooccurrence ppmi --seeds 1
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _behavior_vectors import MAX_ITEMS, WAYS
from _catalogs import NAMES, Catalog, Missing, load
from _common import (
    GENERATED,
    Cell,
    Results,
    describe_environment,
    environment_line,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
)
from _id_sets import rate_weights

from sklearn_rqvae.embedding import ViewFusion
from sklearn_rqvae.metrics import next_item_recall

KEYS = ("catalog", "way", "seed")
N_QUERIES = 5000
TEXTS, WEIGHTS = "texts", "weights"  # what else stands where the way does


def hit_rate(vectors: np.ndarray, catalog: Catalog) -> float:
    """Return how often the validation item is among the ten nearest of the one before it."""
    steps = [history[-3:-1] for history in catalog.histories if len(history) > 2]
    return next_item_recall(vectors, steps, n_queries=N_QUERIES, random_state=0)


def measure(catalog: Catalog, way: str, seed: int) -> dict[str, Any]:
    """Learn vectors and judge them alone and beside the texts."""
    start = time.process_time()
    behavior = WAYS[way][1](catalog, seed)
    seconds = time.process_time() - start
    X = np.hstack([catalog.vectors, behavior])
    n_text = catalog.vectors.shape[1]
    rates = {
        name: hit_rate(ViewFusion([n_text, -1], weights=weights).fit_transform(X), catalog)
        for name, weights in (("alone", [0, 1]), ("beside texts", None))
    }
    return {**rates, "seconds": seconds}


def measure_weights(catalog: Catalog, seed: int) -> dict[str, Any]:
    """Let the package rate weights of behavior, where texts weigh 1."""
    start = time.process_time()
    found = rate_weights(catalog, seed)
    rates = dict(zip(map(str, found.candidates[:, 1]), found.hit_rates, strict=True))
    return {"rates": rates, "chosen": found.weights[1], "seconds": time.process_time() - start}


def run(results: Results, args: argparse.Namespace) -> None:
    """Measure what isn't finished."""
    results.require_environment(describe_environment(1))
    for name in args.catalogs:
        try:
            catalog = load(name, args.wheels)
        except Missing as reason:
            print(f"{name} is skipped: {reason}.", file=sys.stderr, flush=True)
            continue
        texts = {"catalog": name, "way": TEXTS, "seed": 0}
        if not results.find(texts):
            results.add(texts, {"alone": hit_rate(catalog.vectors, catalog)})
        for seed in range(args.seeds):
            for way in args.ways:
                cell = {"catalog": name, "way": way, "seed": seed}
                too_large = way == "ease" and len(catalog.vectors) > MAX_ITEMS
                if not too_large and not results.find(cell):
                    found = (
                        measure_weights(catalog, seed)
                        if way == WEIGHTS
                        else measure(catalog, way, seed)
                    )
                    results.add(cell, found)
                    print(results.cells[-1], flush=True)


def table(results: Results) -> str:
    """Return the hit rates and seconds of each way, three columns for each catalog."""
    found: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in results.cells:
        found[cell["way"], cell["catalog"]].append(cell)
    catalogs = [name for name in NAMES if any(name == catalog for _, catalog in found)]
    rows = []
    for way in (TEXTS, *WAYS):
        row = [WAYS[way][0] if way in WAYS else "texts alone"]
        for catalog in catalogs:
            cells = found[way, catalog]
            entries = ["", "", ""]
            if cells:
                entries[0] = mean_and_spread(cells, "alone", 4)
            if cells and way != TEXTS:
                entries[1:] = (
                    mean_and_spread(cells, "beside texts", 4),
                    f"{mean_of(cells, 'seconds'):.1f}",
                )
            row += entries
        if any(row[1:]):
            rows.append(row)
    header = ["vectors"]
    for catalog in catalogs:
        header += [f"{catalog}, alone", "beside texts", "CPU s"]
    title = "Share of the items touched next that are among the ten nearest"
    return list_table(title, header, rows) if catalogs else not_measured(Path(__file__).name)


def weights_table(results: Results) -> str:
    """Return the rates of each weight of behavior, a column for each catalog, the best in bold."""
    columns: dict[str, dict[str, float]] = {}
    for name in NAMES:
        cells = [c for c in results.cells if (c["catalog"], c["way"]) == (name, WEIGHTS)]
        if cells:
            columns[name] = {
                weight: float(np.mean([cell["rates"][weight] for cell in cells]))
                for weight in cells[0]["rates"]
            }
    if not columns:
        return not_measured(Path(__file__).name)
    rows = [
        [weight, *(_in_bold_if_best(rates[weight], rates) for rates in columns.values())]
        for weight in next(iter(columns.values()))
    ]
    title = "Share of the items touched next, by what the IDs decode to"
    return list_table(title, ["weight of behavior", *columns], rows)


def _in_bold_if_best(rate: float, rates: dict[str, float]) -> str:
    return f"**{rate:.4f}**" if rate == max(rates.values()) else f"{rate:.4f}"


def main(argv: list[str] | None = None) -> None:
    """Measure what isn't finished and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalogs", nargs="+", choices=NAMES, default=["scientific", "beauty"])
    ways = [*WAYS, WEIGHTS]
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--wheels", type=Path, default=Path("wheels"), help="folder of the wheel")
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write tables")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds={args.seeds} should be at least 1")
    torch.set_num_threads(1)
    results = Results(args.output / "behavior.json", KEYS)
    if not args.report_only:
        run(results, args)
    parts = {
        "table": table(results),
        "weights": weights_table(results),
        "environment": environment_line(results),
    }
    for name, text in parts.items():
        (args.output / f"behavior_{name}.rst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
