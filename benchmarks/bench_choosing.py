"""How many levels, codewords, beams and items, and with or without gradients?

Measures the tables of the user guide's page on choosing: sizes of codebooks at several bits, the
number of beams, the number of items that codebooks are learned from, and the ways to train. All of
it on one catalog, every tenth item held out, means over the seeds.

    python benchmarks/bench_choosing.py
    python benchmarks/bench_choosing.py --catalog beauty --questions sizes --seeds 1 --output /tmp
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    GENERATED,
    describe_environment,
    list_table,
    load_catalog,
    parse_sizes,
    split,
    thousands,
)

from sklearn_rqvae import metrics

# The same bits in fewer, larger codebooks and in more, smaller ones.
SIZES = ("2x64", "3x16", "2x512", "3x64", "6x8", "2x1024", "3x256", "4x64", "6x16", "4x256")
BEAMS = (1, 2, 4, 8, 16, 32, 64)
ITEMS = (250, 500, 1000, 2000, 4000)
WAYS = {
    "`ResidualKMeans`": None,
    "closed form (default)": {},
    "gradients, STE": {"codebook_mode": "STE"},
    "gradients, rotation trick": {"codebook_mode": "ROTATION_TRICK"},
    "textbook, STE": {"codebook_mode": "STE", "linear_path": False},
    "textbook, rotation trick": {"codebook_mode": "ROTATION_TRICK", "linear_path": False},
}

Row = dict[str, float]


# -- Measuring --


def build(sizes: Sequence[int], seed: int, params: dict[str, Any] | None) -> Any:
    """Return the transformer with these parameters, or residual k-means for None."""
    from sklearn_rqvae import ResidualKMeans, RQVAETransformer

    common = {"n_layers": len(sizes), "codebook_size": list(sizes), "random_state": seed}
    return ResidualKMeans(**common) if params is None else RQVAETransformer(**common, **params)


def fitted(model: Any, X: np.ndarray) -> float:
    """Fit the model and return the processor seconds; wall time depends on the neighbors."""
    start = time.process_time()
    model.fit(X)
    return time.process_time() - start


def encoded_per_second(model: Any, X: np.ndarray) -> float:
    """Return how many rows are encoded in a second of the processor, by the fastest of three."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        model.transform(X)
        seconds.append(time.process_time() - start)
    return len(X) / min(seconds)


def n_floats(model: Any) -> int:
    """Return how many numbers of four bytes the model stores."""
    if hasattr(model, "state_"):
        return sum(array.nbytes for array in model.state_.values()) // 4
    return sum(codebook.size for codebook in model.codebooks_) + model.mean_.size


def judged(model: Any, training: np.ndarray, held_out: np.ndarray) -> Row:
    """Return distortion on both parts, collisions of all items and kept neighbors."""
    codes, new_codes = model.transform(training), model.transform(held_out)
    fvu = metrics.fraction_variance_unexplained
    X, all_codes = np.vstack([training, held_out]), np.vstack([codes, new_codes])
    return {
        "training": fvu(training, model.inverse_transform(codes)),
        "held_out": fvu(held_out, model.inverse_transform(new_codes)),
        "collisions": metrics.collision_rate(all_codes),
        "neighbors": metrics.prefix_neighbor_recall(X, all_codes, n_neighbors=10, random_state=0),
    }


def measure_sizes(training: np.ndarray, held_out: np.ndarray, seed: int) -> dict[str, Row]:
    """Measure the closed form with codebooks of several sizes."""
    rows = {}
    for name in SIZES:
        sizes = parse_sizes(name)
        model = build(sizes, seed, {})
        seconds = fitted(model, training)
        rows[name.replace("x", " × ")] = judged(model, training, held_out) | {
            "bits": metrics.bits_per_item(sizes),
            "items": len(training) / sizes[0],
            "seconds": seconds,
            "floats": n_floats(model),
        }
    return rows


def measure_beams(training: np.ndarray, held_out: np.ndarray, seed: int) -> dict[str, Row]:
    """Measure one fit with several numbers of beams."""
    model = build([256] * 3, seed, {})
    fitted(model, training)
    rows = {}
    for n_beams in BEAMS:
        model.set_params(n_beams=n_beams)
        rows[str(n_beams)] = judged(model, training, held_out) | {
            "speed": encoded_per_second(model, training)
        }
    return rows


def measure_items(training: np.ndarray, held_out: np.ndarray, seed: int) -> dict[str, Row]:
    """Measure codebooks of two sizes that are learned from samples of the items."""
    order = np.random.default_rng(seed).permutation(len(training))
    rows = {}
    for n_items in (n for n in ITEMS if n <= len(training)):
        row: Row = {}
        for size in (64, 256):
            sample = training[np.sort(order[:n_items])]
            model = build([size] * 3, seed, {})
            fitted(model, sample)
            result = judged(model, sample, held_out)
            row |= {f"training_{size}": result["training"], f"held_out_{size}": result["held_out"]}
        rows[f"{n_items:,}"] = row
    return rows


def measure_ways(training: np.ndarray, held_out: np.ndarray, seed: int) -> dict[str, Row]:
    """Measure the ways to train at the same bits."""
    rows = {}
    for name, params in WAYS.items():
        model = build([64] * 3, seed, params)
        seconds = fitted(model, training)
        rows[name] = judged(model, training, held_out) | {
            "seconds": seconds,
            "floats": n_floats(model),
        }
    return rows


# -- Tables --

# Entry, heading and how it is written, for the columns of each question's table.
Column = tuple[str, str, Callable[[float], str]]


def _share(value: float) -> str:
    return f"{value:.3f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


_JUDGED: tuple[Column, ...] = (
    ("held_out", "held out", _share),
    ("training", "training", _share),
    ("collisions", "collisions, %", _percent),
    ("neighbors", "neighbors, %", _percent),
)
_COSTS: tuple[Column, ...] = (
    ("floats", "numbers", thousands),
    ("seconds", "fit, s", "{:.1f}".format),
)
QUESTIONS: dict[str, tuple[Callable[..., dict[str, Row]], str, str, tuple[Column, ...]]] = {
    "sizes": (
        measure_sizes,
        "Closed form, codebooks of several sizes",
        "levels × codewords",
        (("bits", "bits", "{:.0f}".format), ("items", "items each", "{:.0f}".format))
        + _JUDGED
        + _COSTS,
    ),
    "beams": (
        measure_beams,
        "One fit of 3 × 256, encoded with several numbers of beams",
        "`n_beams`",
        (*_JUDGED[:3], ("speed", "items per second", thousands)),
    ),
    "items": (
        measure_items,
        "Codebooks learned from samples of the catalog",
        "items",
        (
            ("held_out_64", "3 × 64: held out", _share),
            ("training_64", "training", _share),
            ("held_out_256", "3 × 256: held out", _share),
            ("training_256", "training", _share),
        ),
    ),
    "ways": (measure_ways, "Ways to train, 3 × 64", "way", _JUDGED + _COSTS),
}


def table(title: str, first: str, columns: Sequence[Column], runs: Iterable[dict[str, Row]]) -> str:
    """Return the table of the means over the runs."""
    runs = list(runs)
    lines = []
    for name in runs[0]:
        means = {key: float(np.mean([run[name][key] for run in runs])) for key in runs[0][name]}
        lines.append([name, *(write(means[key]) for key, _, write in columns)])
    return list_table(title, [first, *(heading for _, heading, _ in columns)], lines)


def _threads(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def main() -> None:
    """Measure what the command line asks for and write the tables."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalog", choices=CATALOGS, default="api_docs")
    parser.add_argument("--questions", choices=QUESTIONS, nargs="+", default=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, hence of splits")
    parser.add_argument("--rows", type=int, help="evenly spaced rows to take from the catalog")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the tables")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds={args.seeds} should be at least 1")
    if args.output == GENERATED and (args.rows is not None or args.catalog != "api_docs"):
        parser.error("other catalogs and parts need --output: the page is about api_docs")
    torch.set_num_threads(args.threads)
    X = load_catalog(args.catalog, args.rows)
    args.output.mkdir(parents=True, exist_ok=True)
    for question in args.questions:
        measure, title, first, columns = QUESTIONS[question]
        runs = []
        for seed in range(args.seeds):
            training, held_out = (X[rows] for rows in split(len(X), seed))
            runs.append(measure(training, held_out, seed))
        text = table(title, first, columns, runs)
        (args.output / f"choosing_{question}.rst").write_text(text)
        print(text, flush=True)
    known = describe_environment(args.threads)
    versions = ", ".join(f"{name} {known[name]}" for name in ("numpy", "scikit-learn", "torch"))
    (args.output / "choosing_environment.rst").write_text(
        f"Measured on {known['processor']}, {_threads(args.threads)}, {len(X):,} items of "
        f"{X.shape[1]} dimensions, means over {args.seeds} seeds; {versions}.\n"
    )


if __name__ == "__main__":
    main()
