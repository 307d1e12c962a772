"""What do more rows cost, and what are they good for? Ours, our sample alone, and faiss.

    python benchmarks/bench_rows.py --vectors texts.npy --n-rows 10000 100000 1000000
    python benchmarks/bench_rows.py --n-rows 10000 100000 1000000 10000000

The second draws rows from a mixture whose clusters have Zipf's weights. Fits are to the first rows
of a random order; the last 20,000 of it are held out. "Sample only" finds codebooks on 65,536 rows
and makes no passes. Seconds are of one thread, by the process's own clock; errors are shares of the
variance left, of held-out rows and of 20,000 of those fitted to.

Measurements go to a file as they are made, and those that are there aren't made again. faiss's are
measured at the same numbers of rows, or at those of ``--rival-rows``: the table sets beside a fit
of ours the largest of faiss's that took at most a fifth more time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    GENERATED,
    Cell,
    Results,
    bits_argument,
    describe_environment,
    environment_line,
    figure,
    list_table,
    mean_and_spread,
    mean_of,
    parse_sizes,
    thousands,
)
from _quantizers import FaissRQRefined, Transformer

from sklearn_rqvae.metrics import fraction_variance_unexplained

OURS, SAMPLE, RIVAL = "RQVAETransformer", "the sample alone", "faiss refined"
METHODS = (OURS, SAMPLE, RIVAL)
KEYS = ("data", "bits", "method", "n_rows", "seed")
MIXTURE = "mixture"
N_JUDGED = 20_000
SAMPLE_ROWS = 65_536
MOST_ROWS = 1_048_576  # of which a fit makes use by default
GRACE = 1.2  # our seconds that the rival may take
ERRORS = {"fvu_held_out": "new rows", "fvu_fitted": "catalog rows"}


# -- Measuring --


def draw_mixture(n_rows: int, n_features: int = 64, n_clusters: int = 20_000) -> np.ndarray:
    """Draw rows around centers, the more frequent ones as often as Zipf's law says."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(n_clusters, n_features)).astype(np.float32)
    share = 1 / np.arange(1.0, n_clusters + 1)
    cluster = rng.choice(n_clusters, n_rows, p=share / share.sum())
    X = np.empty((n_rows, n_features), dtype=np.float32)
    for start in range(0, n_rows, 2**16):
        rows = slice(start, start + 2**16)
        X[rows] = centers[cluster[rows]]
        X[rows] += 0.5 * rng.standard_normal(X[rows].shape, dtype=np.float32)
    return X


def load_rows(path: str) -> np.ndarray:
    """Map a matrix in a file; rows are put in a random order where they are taken."""
    return np.load(path, mmap_mode="r")


def quantizer_of(cell: Cell) -> Any:
    """Return the quantizer that a cell names."""
    sizes = parse_sizes(cell["bits"])
    if cell["method"] == RIVAL:
        return FaissRQRefined(sizes, cell["seed"], n_threads=1)
    params = {"subsample": SAMPLE_ROWS} if cell["method"] == SAMPLE else {}
    return Transformer(sizes, cell["seed"], n_threads=1, params=params)


def measure(cell: Cell, X: np.ndarray, order: np.ndarray) -> dict[str, Any]:
    """Fit to the first rows in an order, and say what is left of some of them and of the last."""
    quantizer = quantizer_of(cell)
    fitted = np.ascontiguousarray(X[np.sort(order[: cell["n_rows"]])], dtype=np.float32)
    start = time.process_time()
    quantizer.fit(fitted)
    result: dict[str, Any] = {"cpu_seconds": time.process_time() - start}
    del fitted
    for name, rows in (
        ("fvu_held_out", order[-N_JUDGED:]),
        ("fvu_fitted", order[: min(N_JUDGED, cell["n_rows"])]),
    ):
        judged = np.ascontiguousarray(X[np.sort(rows)], dtype=np.float32)
        decoded = quantizer.decode(quantizer.encode(judged))
        result[name] = float(fraction_variance_unexplained(judged, decoded))
    return result | {"n_floats": int(quantizer.n_floats())}


# -- Reporting --


def groups(results: Results) -> dict[tuple[str, str], dict[tuple[str, int], list[Cell]]]:
    """Return the cells of each data and size of IDs, by method and number of rows."""
    found: dict[tuple[str, str], dict[tuple[str, int], list[Cell]]] = {}
    for cell in results.cells:
        by_method = found.setdefault((cell["data"], cell["bits"]), {})
        by_method.setdefault((cell["method"], cell["n_rows"]), []).append(cell)
    return found


def rival_in_time(cells: dict[tuple[str, int], list[Cell]], n_rows: int) -> int | None:
    """Return to how many rows of a catalog the rival was fitted in little more time than ours.

    Where its fit to the fewest rows took more time, it is that.
    """
    seconds = GRACE * mean_of(cells[OURS, n_rows], "cpu_seconds")
    measured = {
        rows: mean_of(some, "cpu_seconds")
        for (method, rows), some in cells.items()
        if method == RIVAL and rows <= n_rows
    }
    in_time = [rows for rows, its_seconds in measured.items() if its_seconds <= seconds]
    return max(in_time, default=min(measured, default=None))


def line_of(cells: list[Cell], ours: list[Cell], n_rows: int) -> list[str]:
    """Return a line of the table: errors with their spread, and the means beside those of ours."""
    method, n_used = cells[0]["method"], cells[0]["n_rows"]
    n_used = min(n_used, SAMPLE_ROWS if method == SAMPLE else MOST_ROWS)
    line = [f"{n_rows:,}", method, f"{n_used:,}"]
    line += [mean_and_spread(cells, name, 4) for name in ERRORS]
    line += [f"{mean_of(cells, 'cpu_seconds'):.0f}", thousands(mean_of(cells, "n_floats"))]
    for name in ERRORS:
        over = mean_of(cells, name) / mean_of(ours, name) - 1
        line.append("" if cells is ours else f"{over:+.1%}")
    return line


def tables(results: Results) -> str:
    """Return a table for each data and size of IDs: some lines for each number of rows."""
    header = ["catalog", "method", "rows used", *ERRORS.values(), "CPU s", "numbers stored"]
    header += [f"{what}, over ours" for what in ERRORS.values()]
    text = []
    for (data, bits), cells in groups(results).items():
        lines = []
        for n_rows in sorted(rows for method, rows in cells if method == OURS):
            ours, rival = cells[OURS, n_rows], rival_in_time(cells, n_rows)
            lines.append(line_of(ours, ours, n_rows))
            if (SAMPLE, n_rows) in cells:
                lines.append(line_of(cells[SAMPLE, n_rows], ours, n_rows))
            if rival is not None:
                lines.append(line_of(cells[RIVAL, rival], ours, n_rows))
        if lines:
            text.append(list_table(f"{data}, {bits}", header, lines))
    return "\n".join(text)


def seed_table(results: Results) -> str:
    """Return how far errors of several seeds lie apart, in units of their mean, and seconds."""
    header = ["catalog", "method", "seeds"]
    header += [f"{what}, lowest to highest" for what in ERRORS.values()]
    header.append("CPU s, over the sample's")
    lines = []
    for (data, bits), cells in groups(results).items():
        for (method, n_rows), some in cells.items():
            if len(some) < 3:
                continue
            line = [f"{n_rows:,} {data}, {bits}", method, str(len(some))]
            for name in ERRORS:
                values = [cell[name] for cell in some]
                apart = np.ptp(values) / np.mean(values)
                line.append(f"{min(values):.4f} to {max(values):.4f} ({apart:.2%})")
            sample = cells.get((SAMPLE, n_rows))
            ratio = sample and mean_of(some, "cpu_seconds") / mean_of(sample, "cpu_seconds")
            lines.append([*line, f"{ratio:.1f}" if ratio and method != SAMPLE else ""])
    return list_table("What the seed changes", header, lines) if lines else ""


def draw(results: Results, path: Path) -> None:
    """Draw errors and seconds against the number of rows, a line of panels for each data."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = groups(results)
    grid = {"layout": "constrained", "squeeze": False, "sharex": "col"}
    fig, axes = plt.subplots(len(shown), 3, figsize=(10.5, 3.0 * len(shown) + 0.6), **grid)
    titles = {**{name: f"variance left of {what}" for name, what in ERRORS.items()}}
    titles["cpu_seconds"] = "CPU seconds of the fit"
    for row, ((data, bits), cells) in zip(axes, shown.items(), strict=True):
        for ax, (name, title) in zip(row, titles.items(), strict=True):
            for method, marker in zip(METHODS, "os^", strict=True):
                x = sorted(rows for known, rows in cells if known == method)
                every = [[cell[name] for cell in cells[method, rows]] for rows in x]
                mean, spread = ([f(values) for values in every] for f in (np.mean, np.std))
                ax.errorbar(x, mean, spread, marker=marker, ms=5, capsize=3, label=method)
            ax.set_xscale("log")
            ax.set_title(f"{title}\n{data}, {bits}", fontsize=10)
            ax.grid(alpha=0.3)
        row[2].set_yscale("log")
    for ax in axes[-1]:
        ax.set_xlabel("rows of the catalog")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def write(results: Results, folder: Path) -> None:
    """Write table, figure and what they were measured with."""
    (folder / "rows_table.rst").write_text(tables(results))
    (folder / "rows_seeds.rst").write_text(seed_table(results))
    (folder / "rows_environment.rst").write_text(environment_line(results))
    draw(results, folder / "rows.png")
    alt = "Variance left and seconds against the number of rows, of ours, of its sample and faiss."
    (folder / "rows_plot.rst").write_text(figure("rows.png", alt, 800))


# -- The run --


def cells_of(args: argparse.Namespace, data: str) -> list[Cell]:
    """Return the cells that the command line asks for; of few rows the sample is all."""
    rival_rows = args.rival_rows or args.n_rows
    return [
        dict(zip(KEYS, (data, args.bits, method, n_rows, seed), strict=True))
        for method in args.methods
        for n_rows in (rival_rows if method == RIVAL else args.n_rows)
        for seed in args.seeds
        if method != SAMPLE or n_rows > SAMPLE_ROWS
    ]


def main() -> None:
    """Measure what the command line asks for, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", help="a matrix (.npy); else rows are drawn")
    parser.add_argument("--name", help="what to call the matrix; its file's name by default")
    parser.add_argument("--n-rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rival-rows", type=int, nargs="+", help="the same for faiss")
    parser.add_argument("--bits", type=bits_argument, default="3x256")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write tables")
    args = parser.parse_args()

    results = Results(args.output / "rows.json", KEYS)
    data = args.name or (Path(args.vectors).stem if args.vectors else MIXTURE)
    cells = [cell for cell in cells_of(args, data) if results.find(cell) is None]
    if cells and not args.report_only:
        results.require_environment(describe_environment(1))
        most = max(*args.n_rows, *(args.rival_rows or [0])) + N_JUDGED
        X = draw_mixture(most) if args.vectors is None else load_rows(args.vectors)
        if len(X) < most:
            parser.error(
                f"{most - N_JUDGED} rows and the {N_JUDGED} held out are more than the {len(X)} of "
                f"{args.vectors}; ask for at most {len(X) - N_JUDGED}."
            )
        order = np.random.default_rng(0).permutation(len(X))
        for cell in cells:
            results.add(cell, measure(cell, X, order))
            print(results.cells[-1], flush=True)
    if not results.cells:
        sys.exit("nothing is measured yet")
    write(results, args.output)


if __name__ == "__main__":
    main()
