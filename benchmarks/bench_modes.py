"""Which quantize mode is best, and what does it cost?

Trains the four modes side by side, five seeds each: in the plain architecture, two MLPs around the
quantizer, and with the linear path, where gradient training starts from the closed form. Sinkhorn
is there a second time, at the last level only. The closed form alone is the reference. Each
measurement has a process of its own; finished ones are kept in ``modes.json``, and a run that was
stopped goes on where it was. Tables and a plot for the docs are written at the end.

    python benchmarks/bench_modes.py
    python benchmarks/bench_modes.py --catalogs beauty --architectures plain --seeds 2
    python benchmarks/bench_modes.py --catalogs digits --bits 3x16 --architectures linear
    python benchmarks/bench_modes.py --catalogs glove --architectures linear --seeds 1
    python benchmarks/bench_modes.py --rows 1500 --seeds 1 --output /tmp/trial
    python benchmarks/bench_modes.py --report-only
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    DIGITS,
    WORDS,
    Cell,
    Results,
    add_arguments,
    bits_argument,
    check_arguments,
    environment_line,
    figure,
    judge,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
    parse_sizes,
    run,
    serve,
)
from _quantizers import Transformer

CATALOGS_AND_OTHERS = (*CATALOGS, DIGITS, WORDS)
# Rows taken of what would take too long as a whole.
ROWS = {WORDS: 200_000}
# Of hundreds of thousands of rows a fiftieth says which epoch is best: a trial before the training
# would double its time. Epochs of fewer, larger batches are cheaper, and twenty are enough.
OF_WORDS = {
    "early_stopping": True,
    "validation_fraction": 0.02,
    "n_iter_no_change": 3,
    "max_epochs": 20,
    "batch_size": 2048,
    "lr": 8e-3,
}
KEYS = ("catalog", "bits", "seed", "architecture", "mode", "rows")
MODES = {
    "STE": "straight-through",
    "STE_WIDE": "straight-through, a layer of 1024",
    "STE_WIDER": "straight-through, a layer of 2048",
    "ROTATION_TRICK": "rotation trick",
    "GUMBEL_SOFTMAX": "Gumbel-softmax",
    "SINKHORN": "Sinkhorn",
    "SINKHORN_LAST": "Sinkhorn, last level only",
    "none": "closed form alone",
}
# Two MLPs have no closed form, and widths of their own.
LINEAR_ONLY = ("none", "STE_WIDE", "STE_WIDER")
WIDTHS = {"STE_WIDE": 1024, "STE_WIDER": 2048}
ARCHITECTURES = {"plain": "two MLPs", "linear": "linear path"}


def codebook_mode(mode: str, n_layers: int) -> Any:
    """Return the estimator's parameter for a mode of this benchmark."""
    if mode == "none":
        return None
    if mode in WIDTHS:
        return "STE"
    if mode == "SINKHORN_LAST":
        return ["STE"] * (n_layers - 1) + ["SINKHORN"]
    return mode


def measure(cell: Cell, X: np.ndarray) -> dict[str, Any]:
    """Measure one mode in one architecture on one catalog with one seed."""
    sizes = parse_sizes(cell["bits"])
    params: dict[str, Any] = {
        "linear_path": cell["architecture"] == "linear",
        "codebook_mode": codebook_mode(cell["mode"], len(sizes)),
    }
    if cell["mode"] in WIDTHS:
        params["hidden_dims"] = (WIDTHS[cell["mode"]],)
    if cell["catalog"] == WORDS and cell["mode"] != "none":
        params |= OF_WORDS
    quantizer = Transformer(sizes, cell["seed"], cell["n_threads"], params=params)
    return judge(quantizer, X, cell["seed"]) | {"n_epochs": quantizer.estimator.n_iter_}


def by_mode(
    results: Results, catalog: str, architecture: str, rows: int | None
) -> dict[str, list[Cell]]:
    """Return the measurements of each mode, in order: of the seeds that all of them have."""
    key = (catalog, architecture, rows)
    cells = [c for c in results.cells if (c["catalog"], c["architecture"], c["rows"]) == key]
    modes = {mode: [cell for cell in cells if cell["mode"] == mode] for mode in MODES}
    modes = {mode: of_mode for mode, of_mode in modes.items() if of_mode}
    seeds = [{cell["seed"] for cell in of_mode} for of_mode in modes.values()]
    common = set.intersection(*seeds) if seeds else set()
    return {mode: [c for c in cells if c["seed"] in common] for mode, cells in modes.items()}


def groups_of(results: Results, rows: int | None) -> dict[tuple[str, str], dict[str, list[Cell]]]:
    """Return the measurements of each catalog and architecture by mode, in order."""
    groups = {
        (catalog, architecture): by_mode(results, catalog, architecture, rows or ROWS.get(catalog))
        for catalog in CATALOGS_AND_OTHERS
        for architecture in ARCHITECTURES
    }
    return {key: modes for key, modes in groups.items() if modes}


def tables(groups: dict[tuple[str, str], dict[str, list[Cell]]]) -> str:
    """Return the tables, one for each catalog and architecture."""
    header = [
        "mode", "FVU held out", "FVU training", "cosine", "utilization, %", "perplexity",
        "collisions, %", "epochs", "fit, s", "peak, MiB",
    ]  # fmt: skip
    parts = []
    for (catalog, architecture), modes in groups.items():
        rows = [
            [
                MODES[mode],
                mean_and_spread(cells, "fvu_held_out"),
                mean_and_spread(cells, "fvu_train"),
                f"{mean_of(cells, 'cosine_held_out'):.3f}",
                f"{100 * mean_of(cells, 'utilization'):.0f}",
                mean_and_spread(cells, "perplexity", 0),
                f"{100 * mean_of(cells, 'collision_rate'):.1f}",
                f"{mean_of(cells, 'n_epochs'):.0f}",
                f"{mean_of(cells, 'fit_seconds'):.1f}",
                f"{mean_of(cells, 'peak_mib'):.0f}",
            ]
            for mode, cells in modes.items()
        ]
        bits = next(iter(modes.values()))[0]["bits"].replace("x", " × ")
        parts.append(list_table(f"{catalog}, {ARCHITECTURES[architecture]}, {bits}", header, rows))
    return "\n".join(parts)


def short_table(catalog: str, modes: dict[str, list[Cell]]) -> str:
    """Return what the guide shows of digits and words: errors, epochs and seconds."""
    rows = [
        [
            MODES[mode],
            mean_and_spread(cells, "fvu_held_out"),
            mean_and_spread(cells, "fvu_train"),
            f"{mean_of(cells, 'n_epochs'):.0f}",
            f"{mean_of(cells, 'fit_seconds'):.1f}",
        ]
        for mode, cells in modes.items()
    ]
    header = ["mode", "FVU held out", "FVU training", "epochs", "fit, s"]
    first = next(iter(modes.values()))[0]
    of_rows = f"{first['rows']} rows, " if first["rows"] else ""
    return list_table(f"{catalog}, {of_rows}{first['bits'].replace('x', ' × ')}", header, rows)


def tables_of_words(results: Results) -> str:
    """Return the short tables of all numbers of words that were measured."""
    numbers = {cell["rows"] for cell in results.cells if cell["catalog"] == WORDS}
    return "\n".join(
        short_table(WORDS, by_mode(results, WORDS, "linear", n)) for n in sorted(numbers)
    )


def draw(groups: dict[tuple[str, str], dict[str, list[Cell]]], folder: Path) -> str:
    """Draw held-out FVU by mode, a panel for each catalog and architecture."""
    import matplotlib.pyplot as plt

    from sklearn_rqvae.plotting._matplotlib import COLORS

    fig, axes = plt.subplots(
        len(groups), 1, figsize=(6.4, 0.7 + 1.9 * len(groups)), layout="constrained", squeeze=False
    )
    for ax, ((catalog, architecture), modes) in zip(axes[:, 0], groups.items(), strict=True):
        for y, cells in enumerate(modes.values()):
            held_out = [cell["fvu_held_out"] for cell in cells]
            training = [cell["fvu_train"] for cell in cells]
            for values, marker, filled in ((held_out, "o", True), (training, "s", False)):
                ax.errorbar(
                    np.mean(values),
                    y,
                    xerr=np.std(values),
                    color=COLORS[0] if filled else COLORS[2],
                    marker=marker,
                    markerfacecolor=None if filled else "none",
                    capsize=3,
                    label=("held-out rows" if filled else "training rows") if y == 0 else None,
                )
        ax.set_yticks(range(len(modes)), [MODES[mode] for mode in modes])
        ax.invert_yaxis()
        ax.margins(y=0.15)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        ax.set_title(f"{catalog}, {ARCHITECTURES[architecture]}", loc="left", fontsize="medium")
    axes[-1, 0].set_xlabel("fraction of variance unexplained")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False
    )
    fig.savefig(folder / "modes.png", dpi=150)
    plt.close(fig)
    return figure("modes.png", "Fraction of variance unexplained by mode: lower is better", 640)


def report(results: Results, rows: int | None, folder: Path) -> None:
    """Write the tables and the plot of the docs."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = groups_of(results, rows)
    none = not_measured(Path(__file__).name)
    parts = {
        "environment": environment_line(results),
        "table": tables(groups),
        DIGITS: short_table(DIGITS, groups[DIGITS, "linear"])
        if (DIGITS, "linear") in groups
        else "",
        WORDS: tables_of_words(results),
        "plot": draw(groups, folder) if groups else "",
    }
    for name, text in parts.items():
        (folder / f"modes_{name}.rst").write_text(text or none, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the number of failed measurements."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        serve(argv[1], argv[2], measure)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--catalogs", nargs="+", choices=CATALOGS_AND_OTHERS, default=["beauty", "scientific"]
    )
    parser.add_argument(
        "--architectures", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES)
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--bits", type=bits_argument, default="3x256", metavar="LxK")
    add_arguments(parser)
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    results = Results(args.output / "modes.json", KEYS)
    failed = 0
    if not args.report_only:
        cells = [
            dict(zip(KEYS, (catalog, args.bits, seed, architecture, mode, rows), strict=True))
            for catalog in args.catalogs
            for rows in [args.rows or ROWS.get(catalog)]
            for seed in range(args.seeds)
            for architecture in args.architectures
            for mode in args.modes
            if architecture == "linear" or mode not in LINEAR_ONLY
        ]
        failed = run(__file__, results, cells, args)
    report(results, args.rows, args.output)
    return failed


if __name__ == "__main__":
    sys.exit(main())
