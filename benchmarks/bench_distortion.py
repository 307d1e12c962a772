"""How much variance is left unexplained at the same bits?

Fits every method to nine tenths of a catalog and reports what its codes leave of the variance of
these rows and of the held-out tenth, beside collisions, size, time and memory. Each measurement has
a process of its own. Finished ones are kept in ``distortion.json``: a run that was stopped goes on
where it was. Tables and plots for the docs are written at the end.

    python benchmarks/bench_distortion.py                                  # all of it: many hours
    python benchmarks/bench_distortion.py --catalogs beauty --bits 3x256
    python benchmarks/bench_distortion.py --methods ours faiss-rq5-refined vector-quantize@600
    python benchmarks/bench_distortion.py --catalogs glove --rows 66667 --output /tmp/words
    python benchmarks/bench_distortion.py --rows 1500 --seeds 1 --output /tmp/trial
    python benchmarks/bench_distortion.py --report-only

Methods trained until their time is over get as long as the plain RQ-VAE took on the same catalog,
bits and seed, or the seconds after "@".
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import textwrap
from collections import defaultdict
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
    figure,
    items_per_second,
    judge,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
    parse_sizes,
    run,
    serve,
    split,
    thousands,
)
from _quantizers import METHODS

from sklearn_rqvae import metrics

KEYS = ("catalog", "bits", "seed", "method", "rows")
BITS = ("3x256", "2x256", "4x256", "8x256", "3x1024")
BEAMS = (1, 2, 4, 8, 16, 32)

# Methods whose codes are also decoded by oracles, and searched with other numbers of beams.
ORACLES = ("ours", "residual-kmeans", "faiss-rq5-refined")
SEARCHED = ("ours", "residual-kmeans")


# -- One measurement --


def measure(cell: Cell, X: np.ndarray) -> dict[str, Any]:
    """Measure one method on one catalog with one seed."""
    name = cell["method"].partition("@")[0]
    quantizer = METHODS[name].quantizer(
        parse_sizes(cell["bits"]), cell["seed"], cell["n_threads"], cell["budget"]
    )
    result = judge(quantizer, X, cell["seed"])
    training, held_out = (X[rows] for rows in split(len(X), cell["seed"]))
    if name in ORACLES:
        result["oracle"] = ask_oracles(quantizer, training, held_out)
    if name in SEARCHED:
        result["beams"] = {
            str(n_beams): search_with(quantizer, held_out, n_beams) for n_beams in BEAMS
        }
    return result


def search_with(quantizer: Any, X: np.ndarray, n_beams: int) -> dict[str, float]:
    """Return quality and speed of encoding with a number of beams."""

    def encode(rows: np.ndarray) -> np.ndarray:
        return quantizer.encode_with_beams(rows, n_beams)

    return {
        "fvu_held_out": metrics.fraction_variance_unexplained(X, quantizer.decode(encode(X))),
        "encode_per_second": items_per_second(encode, X),
    }


def ask_oracles(quantizer: Any, training: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Return what decoders that know more than a model may would leave of the held-out variance.

    ``additive``: codewords fitted by least squares to all rows, held-out ones included.
    ``tuple_mean``: the mean of all rows that share the semantic ID, held-out ones included; no
    decoder of these codes can do better on all rows together.
    ``neighbors``: the model's reconstruction, moved towards the mean of the n training rows that
    share the semantic ID by n / (n + 1). It has seen no held-out row, but stores the catalog.
    ``known_ids``: share of the held-out rows whose semantic ID a training row has.
    ``gaussian``: what Gaussian rows with the same covariance would have to leave at these bits.
    """
    X = np.concatenate([training, held_out])
    new = slice(len(training), None)
    codes = quantizer.encode(X)
    fvu = metrics.fraction_variance_unexplained
    _, group = np.unique(codes, axis=0, return_inverse=True)
    group = group.ravel()
    known = np.bincount(group[: len(training)], minlength=group.max() + 1)
    n_known = known[group[new]][:, None]
    known_mean = _group_sums(training, group[: len(training)], len(known))[group[new]]
    known_mean /= np.maximum(n_known, 1)
    reconstruction = quantizer.decode(codes[new])
    moved = reconstruction + n_known / (n_known + 1) * (known_mean - reconstruction)
    everyone = _group_sums(X, group, len(known)) / np.bincount(group)[:, None]
    n_bits = sum(math.log2(size) for size in quantizer.sizes)
    return {
        "additive": fvu(held_out, additive_least_squares(X, codes, quantizer.sizes)[new]),
        "tuple_mean": fvu(held_out, everyone[group[new]]),
        "neighbors": fvu(held_out, moved),
        "known_ids": float(np.mean(n_known > 0)),
        "gaussian": gaussian_distortion(X, n_bits),
    }


def _group_sums(X: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Add up the rows of each group."""
    from scipy.sparse import csr_array

    ones = np.ones(len(X))
    return csr_array((ones, (group, np.arange(len(X)))), shape=(n_groups, len(X))) @ X


def additive_least_squares(X: np.ndarray, codes: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Return the best sums of one vector per code, in float64."""
    from scipy.linalg import solve
    from scipy.sparse import csr_array

    columns = codes + np.cumsum([0, *sizes[:-1]])
    rows = np.repeat(np.arange(len(X)), codes.shape[1])
    shape = (len(X), sum(sizes))
    design = csr_array((np.ones(rows.size), (rows, columns.ravel())), shape=shape)
    mean = X.mean(0, dtype=np.float64)
    gram = (design.T @ design).toarray()
    # One vector can move from a level to another: the system is singular without a trace of ridge.
    gram[np.diag_indices_from(gram)] += 1e-6
    return mean + design @ solve(gram, design.T @ (X - mean), assume_a="pos")


def gaussian_distortion(X: np.ndarray, n_bits: float) -> float:
    """Return the rate-distortion function of a Gaussian with the covariance of X, as an FVU.

    Its value at so many bits per row, by reverse water-filling (Cover and Thomas, "Elements of
    information theory", section 10.3.3).
    """
    variance = np.maximum(np.linalg.eigvalsh(np.cov(X.T, dtype=np.float64)), 0)
    low, high = 0.0, variance.max()
    for _ in range(100):
        level = (low + high) / 2
        rate = np.log2(np.maximum(variance / level, 1)).sum() / 2
        low, high = (level, high) if rate > n_bits else (low, level)
    return float(np.minimum(variance, high).sum() / variance.sum())


# -- What stands in the docs --


def by_group(results: Results, rows: int | None) -> dict[tuple[str, str], dict[str, list[Cell]]]:
    """Return the measurements of each catalog and bits by method, in the order of `METHODS`."""
    groups: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in results.cells:
        if cell["rows"] == rows:
            groups[cell["catalog"], cell["bits"]][cell["method"]].append(cell)
    known = (*CATALOGS, WORDS)
    return {
        key: {name: groups[key][name] for name in sorted(groups[key], key=_method_order)}
        for key in sorted(groups, key=lambda key: (known.index(key[0]), _n_bits(key[1])))
    }


def _method_order(name: str) -> tuple[int, float]:
    name, _, seconds = name.partition("@")
    return list(METHODS).index(name), float(seconds or 0)


def _n_bits(bits: str) -> float:
    return sum(math.log2(size) for size in parse_sizes(bits))


def label(method: str) -> str:
    """Return the name of a method for readers."""
    name, _, seconds = method.partition("@")
    return METHODS[name].label + (f", {seconds} s" if seconds else "")


def _code(method: str) -> str:
    """Return the name of a method in reStructuredText."""
    text = label(method)
    return f"`{text}`" if text.endswith(")") else text


def describe(catalog: str, bits: str) -> str:
    """Return the heading of a table."""
    return f"{catalog}, {bits.replace('x', ' × ')}: {_n_bits(bits):g} bits"


def full_table(title: str, methods: dict[str, list[Cell]], indent: int) -> str:
    """Return the table of everything that was measured on one catalog at one rate."""
    best = {
        name: min(
            (mean_of(cells, name) for method, cells in methods.items() if "faiss" in method),
            default=math.nan,
        )
        for name in ("fvu_held_out", "fvu_train")
    }

    def with_ratio(cells: list[Cell], name: str) -> list[str]:
        return [mean_and_spread(cells, name), f"{mean_of(cells, name) / best[name]:.3f}"]

    rows = [
        [
            _code(method),
            *with_ratio(cells, "fvu_held_out"),
            *with_ratio(cells, "fvu_train"),
            f"{mean_of(cells, 'cosine_held_out'):.3f}",
            f"{100 * mean_of(cells, 'collision_rate'):.1f}",
            f"{100 * mean_of(cells, 'utilization'):.0f}",
            f"{mean_of(cells, 'perplexity'):.0f}",
            thousands(mean_of(cells, "floats")),
            f"{mean_of(cells, 'fit_seconds'):.1f}",
            thousands(mean_of(cells, "encode_per_second")),
            f"{mean_of(cells, 'peak_mib'):.0f}",
        ]
        for method, cells in methods.items()
    ]
    header = [
        "method", "FVU held out", "÷ best faiss", "FVU training", "÷ best faiss", "cosine",
        "collisions, %", "utilization, %", "perplexity", "floats", "fit, s", "encoded / s",
        "peak, MiB",
    ]  # fmt: skip
    return list_table(title, header, rows, indent)


def tables(groups: dict[tuple[str, str], dict[str, list[Cell]]], first: str) -> str:
    """Return all full tables; those at other rates than the first one can be unfolded."""
    parts = []
    for (catalog, bits), methods in groups.items():
        title = describe(catalog, bits)
        if bits == first:
            parts.append(full_table(title, methods, 0))
        else:
            parts.append(f".. dropdown:: {title}\n\n{full_table(title, methods, 3)}")
    return "\n".join(parts)


def rates(groups: dict[tuple[str, str], dict[str, list[Cell]]]) -> str:
    """Return held-out FVU and collisions at all rates, a table for each catalog."""
    parts = []
    for catalog in CATALOGS:
        found = {bits: methods for (name, bits), methods in groups.items() if name == catalog}
        if len(found) < 2:
            continue
        names = sorted({name for methods in found.values() for name in methods}, key=_method_order)
        rows = [
            [_code(name)]
            + [
                f"{mean_of(methods[name], 'fvu_held_out'):.3f} "
                f"({100 * mean_of(methods[name], 'collision_rate'):.1f} %)"
                if name in methods
                else ""
                for methods in found.values()
            ]
            for name in names
        ]
        header = ["method", *(f"{bits.replace('x', ' × ')}" for bits in found)]
        parts.append(
            list_table(f"{catalog}: FVU held out (and collisions on training rows)", header, rows)
        )
    return "\n".join(parts)


def prefixes(groups: dict[tuple[str, str], dict[str, list[Cell]]]) -> str:
    """Return the held-out FVU of the first codes, a table for each catalog and rate."""
    parts = []
    for (catalog, bits), methods in groups.items():
        n_levels = len(parse_sizes(bits))
        chosen = [name for name in methods if "pq" not in name]  # their parts have no order
        rows = [
            [_code(name)]
            + [f"{v:.3f}" for v in np.mean([c["prefix_fvu_held_out"] for c in methods[name]], 0)]
            for name in chosen
        ]
        if not rows:
            continue
        header = ["method", *(f"{k} code{'s' * (k > 1)}" for k in range(1, n_levels + 1))]
        table = list_table(describe(catalog, bits), header, rows)
        parts.append(_folded(describe(catalog, bits), table, bits))
    return "\n".join(parts)


def beams(groups: dict[tuple[str, str], dict[str, list[Cell]]]) -> str:
    """Return held-out FVU and encoding speed by number of beams."""
    parts = []
    for (catalog, bits), methods in groups.items():
        rows = []
        for name in [name for name in methods if "beams" in methods[name][0]]:
            row = [_code(name)]
            for n_beams in BEAMS:
                found = [cell["beams"][str(n_beams)] for cell in methods[name]]
                fvu = mean_of(found, "fvu_held_out")
                row.append(f"{fvu:.4f}; {thousands(mean_of(found, 'encode_per_second'))}/s")
            rows.append(row)
        if rows:
            title = describe(catalog, bits)
            header = ["method", *(f"{n} beam{'s' * (n > 1)}" for n in BEAMS)]
            parts.append(_folded(title, list_table(title, header, rows), bits))
    return "\n".join(parts)


def oracles(groups: dict[tuple[str, str], dict[str, list[Cell]]]) -> str:
    """Return what decoders that know more would reach, a table for each catalog and rate."""
    parts = []
    for (catalog, bits), methods in groups.items():
        rows = []
        for name in [name for name in methods if "oracle" in methods[name][0]]:
            found = [cell["oracle"] for cell in methods[name]]
            rows.append(
                [
                    _code(name),
                    mean_and_spread(methods[name], "fvu_held_out"),
                    mean_and_spread(found, "additive"),
                    mean_and_spread(found, "neighbors"),
                    mean_and_spread(found, "tuple_mean"),
                    f"{100 * mean_of(found, 'known_ids'):.1f}",
                    f"{mean_of(found, 'gaussian'):.3f}",
                ]
            )
        if rows:
            title = describe(catalog, bits)
            header = [
                "codes of", "own decoder", "additive, sees all", "stores the catalog",
                "mean of the ID, sees all", "known IDs, %", "Gaussian",
            ]  # fmt: skip
            parts.append(_folded(title, list_table(title, header, rows), bits))
    return "\n".join(parts)


def _folded(title: str, table: str, bits: str) -> str:
    """Hide a table at another rate than the first one until it is unfolded."""
    return table if bits == BITS[0] else f".. dropdown:: {title}\n\n{textwrap.indent(table, '   ')}"


# Curves of the rate-distortion plot: more could not be told apart. Who comes near ours is there.
_CURVES = (
    "ours", "residual-kmeans", "faiss-rq5-refined", "faiss-lsq", "faiss-rq5", "vector-quantize",
    "semantic-id-rqkmeans", "faiss-rq16-refined",
)  # fmt: skip


def draw_rates(groups: dict[tuple[str, str], dict[str, list[Cell]]], folder: Path) -> str:
    """Draw the rate-distortion curves of each catalog; return what includes them."""
    import matplotlib.pyplot as plt

    from sklearn_rqvae.plotting import RateDistortionDisplay

    text = ""
    for catalog in CATALOGS:
        points: dict[str, list[tuple[float, float, float]]] = {name: [] for name in _CURVES}
        for (name, bits), methods in groups.items():
            for method in _CURVES:
                if name == catalog and methods.get(method):
                    values = [cell["fvu_held_out"] for cell in methods[method]]
                    points[method].append((_n_bits(bits), np.mean(values), np.std(values)))
        curves = {name: np.array(sorted(found)).T for name, found in points.items() if found}
        if max((curve.shape[1] for curve in curves.values()), default=0) < 2:
            continue
        display = RateDistortionDisplay(
            bits=[curve[0] for curve in curves.values()],
            distortion=[curve[1] for curve in curves.values()],
            spread=[curve[2] for curve in curves.values()],
            names=[label(name) for name in curves],
            ylabel="FVU on held-out rows",
        )
        ax = plt.subplots(figsize=(8.6, 4.6), layout="constrained")[1]
        display.plot(ax)
        ax.set_title(catalog, loc="left")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
        ax.figure.savefig(folder / f"rates_{catalog}.png", dpi=150)
        plt.close(ax.figure)
        text += figure(
            f"rates_{catalog}.png", f"Rate-distortion curves on {catalog}: lower is better", 700
        )
    return text


def draw_times(groups: dict[tuple[str, str], dict[str, list[Cell]]], folder: Path) -> str:
    """Draw held-out FVU against the time of the fit at the first rate."""
    import matplotlib.pyplot as plt

    from sklearn_rqvae.plotting._matplotlib import line_look, tidy

    found = {catalog: methods for (catalog, bits), methods in groups.items() if bits == BITS[0]}
    if not found:
        return ""
    n_columns = min(2, len(found))
    n_rows = -(-len(found) // n_columns)
    size = (3.6 * n_columns + 3.4, 0.4 + 3.6 * max(n_rows, 1))
    fig, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    names = sorted({name for methods in found.values() for name in methods}, key=_method_order)
    handles = {}
    for ax, (catalog, methods) in zip(axes.flat, found.items(), strict=False):
        for name, cells in methods.items():
            x, y = mean_of(cells, "fit_seconds"), mean_of(cells, "fvu_held_out")
            if y > 1:
                continue  # worse than the mean: it would only squeeze the others together
            number = names.index(name)
            look = line_look(number) | {"linestyle": "none", "markersize": 6}
            (handles[name],) = ax.plot(x, y, label=f"{number + 1} {label(name)}", **look)
            ax.annotate(str(number + 1), (x, y), (5, 3), textcoords="offset points", fontsize=8)
        ax.set(xscale="log", title=catalog)
        tidy(ax)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    fig.supxlabel("seconds of fit", fontsize="medium")
    fig.supylabel("FVU on held-out rows", fontsize="medium")
    shown = sorted(handles, key=_method_order)
    fig.legend(
        [handles[name] for name in shown],
        [handles[name].get_label() for name in shown],
        loc="outside right upper",
        frameon=False,
        fontsize="small",
    )
    fig.savefig(folder / "distortion_times.png", dpi=150)
    plt.close(fig)
    return figure("distortion_times.png", "Held-out FVU against seconds of fit", 900)


def report(results: Results, rows: int | None, folder: Path) -> None:
    """Write the tables and plots of the docs."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = by_group(results, rows)
    none = not_measured(Path(__file__).name)
    parts = {
        "environment": environment_line(results),
        "table": tables(groups, BITS[0]),
        "rates": (draw_rates(groups, folder) + rates(groups)) if groups else "",
        "times": draw_times(groups, folder) if groups else "",
        "prefixes": prefixes(groups),
        "beams": beams(groups),
        "oracles": oracles(groups),
    }
    for name, text in parts.items():
        (folder / f"distortion_{name}.rst").write_text(text or none, encoding="utf-8")


# -- Command line --


def check_methods(parser: argparse.ArgumentParser, methods: list[str], measure: bool) -> list[str]:
    """Return the methods in an order that suits; refuse unknown ones.

    Where they are to be measured, refuse those that aren't installed, too.
    """
    for method in methods:
        name, at, seconds = method.partition("@")
        if name not in METHODS:
            parser.error(f"--methods: {name!r} should be one of {', '.join(METHODS)}")
        if at and not (METHODS[name].needs_budget and seconds.isdigit() and int(seconds)):
            parser.error(
                f"--methods: {method!r} should have whole seconds after @, and be one of "
                f"{', '.join(name for name, method in METHODS.items() if method.needs_budget)}"
            )
        package = METHODS[name].requires
        if measure and package and importlib.util.find_spec(package) is None:
            parser.error(f'{name} needs {package}: pip install "sklearn-rqvae[bench]"')
    if any(method in METHODS and METHODS[method].needs_budget for method in methods):
        methods = ["plain", *methods]  # it says how long they may take
    return sorted(set(methods), key=_method_order)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the number of failed measurements."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        serve(argv[1], argv[2], measure)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalogs", nargs="+", choices=(*CATALOGS, WORDS), default=list(CATALOGS))
    parser.add_argument("--bits", nargs="+", type=bits_argument, default=list(BITS), metavar="LxK")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    add_arguments(parser)
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    methods = check_methods(parser, args.methods, measure=not args.report_only)
    results = Results(args.output / "distortion.json", KEYS)
    failed = 0
    if not args.report_only:
        cells = [
            dict(zip(KEYS, (catalog, bits, seed, method, args.rows), strict=True))
            for catalog in args.catalogs
            for bits in args.bits
            for seed in range(args.seeds)
            for method in methods
        ]

        def with_budget(cell: Cell) -> Cell:
            name, at, seconds = cell["method"].partition("@")
            if at:
                return cell | {"budget": float(seconds)}
            if not METHODS[name].needs_budget:
                return cell | {"budget": None}
            plain = results.find(cell | {"method": "plain"})
            if plain is None:
                raise RuntimeError("the plain RQ-VAE, whose time it would have, failed")
            return cell | {"budget": plain["fit_seconds"]}

        failed = run(__file__, results, cells, args, with_budget)
    report(results, args.rows, args.output)
    return failed


if __name__ == "__main__":
    sys.exit(main())
