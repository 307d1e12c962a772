"""How many items keep their ID when a catalog has grown and the model is fitted again?

A model is fitted to the older items of a catalog. Then there are more: 20 % or 2 %, drawn at
random, or those that came into use last. What becomes of the IDs, and of the error of items that no
fit has seen, is measured for several ways to go on: the old model as it is, a new fit, a new fit
whose codes are called like the old ones, and a warm start at several strengths.

    python benchmarks/bench_refit.py
    python benchmarks/bench_refit.py --catalogs api_docs --splits "20 %" --output /tmp
"""

from __future__ import annotations

import argparse
import copy
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    DATA,
    GENERATED,
    Cell,
    Results,
    describe_environment,
    environment_line,
    figure,
    list_table,
    load_catalog,
    mean_of,
    split,
)

from sklearn_rqvae import ResidualKMeans, RQVAETransformer

MODELS = {"RQVAETransformer": RQVAETransformer, "ResidualKMeans": ResidualKMeans}
# Items added, as a share of those that are there, and whether they are the last to come into use.
SPLITS = {"20 %": (0.2, False), "2 %": (0.02, False), "20 % by first use": (0.2, True)}
STABILITIES = (0.0, 0.1, 0.3, 1.0)
KEYS = ("model", "catalog", "split", "seed")
WAYS = ("old model", "new fit", "new fit, relabeled", *(f"stability={s:g}" for s in STABILITIES))


# -- Measuring --


def first_used(catalog: str, n_items: int) -> np.ndarray:
    """Return the items in the order in which the histories first name them; the rest at the end."""
    place = np.full(n_items, n_items)
    with gzip.open(DATA / catalog / "sequences.txt.gz", "rt") as histories:
        steps = [np.array(line.split(), dtype=int) for line in histories]
    # Histories have no dates: what comes early in them was there early.
    for step in range(max(map(len, steps))):
        for history in steps:
            if step < len(history):
                place[history[step]] = min(place[history[step]], step)
    return np.lexsort((np.arange(n_items), place))


def parts(X: np.ndarray, cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the older items, all but the held-out ones, and these."""
    share, by_use = SPLITS[cell["split"]]
    training, held_out = split(len(X), cell["seed"])
    if by_use:
        order = first_used(cell["catalog"], len(X))
        training = order[np.isin(order, training)]
    else:
        training = np.random.default_rng(cell["seed"]).permutation(training)
    n_old = round(len(training) / (1 + share))
    return X[training[:n_old]], X[training], X[held_out]


def measure(cell: Cell, X: np.ndarray) -> dict[str, Any]:
    """Return kept IDs, kept first codes, held-out error and seconds of each way to go on."""
    old_items, items, held_out = parts(X, cell)
    model = MODELS[cell["model"]](random_state=cell["seed"])
    old = copy.deepcopy(model).fit(old_items)
    codes = old.transform(old_items)
    result = {}

    def judge(way: str, learn: Callable[[], Any]) -> Any:
        start = time.process_time()
        new = learn()
        seconds = time.process_time() - start
        same = new.transform(old_items) == codes
        result[way] = {
            "kept": float(same.all(1).mean()),
            "first": float(same[:, 0].mean()),
            "error": -float(new.score(held_out)),
            "seconds": seconds,
        }
        return new

    def warm(stability: float) -> Any:
        return copy.deepcopy(old).set_params(warm_start=True, stability=stability).fit(items)

    judge("old model", lambda: old)
    fresh = judge("new fit", lambda: copy.deepcopy(model).fit(items))
    judge("new fit, relabeled", lambda: fresh.relabel_like(old, old_items))
    for stability in STABILITIES:
        judge(f"stability={stability:g}", lambda stability=stability: warm(stability))
    return result


# -- Tables and the figure --


def summary(cells: list[Cell], way: str) -> dict[str, float]:
    """Return the means over the seeds of one way to go on."""
    rows = [
        {**cell[way], "more": cell[way]["error"] / cell["new fit"]["error"] - 1} for cell in cells
    ]
    return {name: mean_of(rows, name) for name in ("kept", "first", "more", "seconds")}


def _more(name: str) -> str:
    """Return a split in words: "20 % more items by first use"."""
    return name.replace("%", "% more items")


def groups(results: Results) -> dict[tuple[str, str, str], list[Cell]]:
    """Return the finished cells by model, catalog and split."""
    found: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in results.cells:
        found.setdefault((cell["model"], cell["catalog"], cell["split"]), []).append(cell)
    return found


def tables(results: Results) -> str:
    """Return a table for each model, catalog and split."""
    text = []
    for (model, catalog, name), cells in groups(results).items():
        lines = []
        for way in WAYS:
            row = summary(cells, way)
            lines.append([
                way,
                *(f"{100 * row[key]:.1f}" for key in ("kept", "first")),
                f"{100 * row['more']:+.1f}",
                f"{row['seconds']:.1f}",
            ])  # fmt: skip
        seeds = f"{len(cells)} seed{'s' * (len(cells) > 1)}"
        title = f"``{model}``, {catalog}, {_more(name)}, {seeds}"
        header = ["way", "IDs kept, %", "first codes kept, %", "held-out error, %", "fit, s"]
        text.append(list_table(title, header, lines))
    return "\n".join(text)


def draw(results: Results, path: Path) -> None:
    """Draw kept IDs against held-out error, a panel for each catalog and split."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = {
        key[1:]: cells for key, cells in groups(results).items() if key[0] == next(iter(MODELS))
    }
    if not shown:
        return
    catalogs = list(dict.fromkeys(catalog for catalog, _ in shown))
    splits = list(dict.fromkeys(name for _, name in shown))
    size = (3.4 * len(splits) + 0.6, 2.9 * len(catalogs) + 0.6)
    grid = {"layout": "constrained", "squeeze": False, "sharey": True, "sharex": "row"}
    fig, axes = plt.subplots(len(catalogs), len(splits), figsize=size, **grid)
    for (catalog, name), cells in shown.items():
        ax = axes[catalogs.index(catalog), splits.index(name)]
        points = {way: summary(cells, way) for way in WAYS}
        curve = [points[f"stability={s:g}"] for s in STABILITIES]
        x, y = ([100 * p[key] for p in curve] for key in ("more", "kept"))
        ax.plot(x, y, "o-", label="warm_start, by stability")
        for stability, x_one, y_one in zip(STABILITIES, x, y, strict=True):
            offset = {"textcoords": "offset points", "xytext": (6, -10), "fontsize": 8}
            ax.annotate(f"{stability:g}", (x_one, y_one), **offset)
        for way, marker in zip(WAYS[:3], "sXD", strict=True):
            ax.plot(100 * points[way]["more"], 100 * points[way]["kept"], marker, ms=7, label=way)
        ax.set_title(f"{catalog}, {_more(name)}", fontsize=10)
        ax.grid(alpha=0.3)
    for ax in axes.flat:
        if not ax.lines:  # not measured
            ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("held-out error over that of a new fit, %")
    for ax in axes[:, 0]:
        ax.set_ylabel("old items that keep their ID, %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def write(results: Results, folder: Path) -> None:
    """Write tables, figure and what they were measured with."""
    (folder / "refit_table.rst").write_text(tables(results))
    (folder / "refit_environment.rst").write_text(environment_line(results))
    draw(results, folder / "refit.png")
    alt = "Kept IDs against held-out error: the warm start keeps nearly all at little more error."
    (folder / "refit_plot.rst").write_text(figure("refit.png", alt, 800))


def main() -> None:
    """Measure what the command line asks for, and write table and figure."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", choices=MODELS, nargs="+", default=["RQVAETransformer"])
    parser.add_argument("--catalogs", choices=CATALOGS, nargs="+", default=["scientific", "beauty"])
    parser.add_argument("--splits", choices=SPLITS, nargs="+", default=list(SPLITS))
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds, hence of splits")
    parser.add_argument("--rows", type=int, help="evenly spaced rows to take from each catalog")
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write tables")
    args = parser.parse_args()
    if args.rows is not None and args.output == GENERATED:
        parser.error("--rows needs --output: numbers of a part don't belong in the docs")
    if args.rows is not None and any(SPLITS[name][1] for name in args.splits):
        parser.error("--rows takes items that histories don't name; leave out splits by first use")
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    results = Results(args.output / "refit.json", KEYS)
    if not args.report_only:
        results.require_environment(describe_environment(1))
        for seed in range(args.seeds):
            for model in args.models:
                for catalog in args.catalogs:
                    X = load_catalog(catalog, args.rows)
                    for name in args.splits:
                        cell = dict(zip(KEYS, (model, catalog, name, seed), strict=True))
                        if results.find(cell) is None:
                            results.add(cell, measure(cell, X))
                            print(*cell.values(), results.cells[-1]["stability=0.3"], flush=True)
    if not results.cells:
        sys.exit("nothing is measured yet")
    write(results, args.output)


if __name__ == "__main__":
    main()
