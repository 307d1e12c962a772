"""Does a training loop of one's own around the module get as far as the estimator?

The loop is the shortest one that works: shuffled batches of 64, AdamW, ``loss.backward()``. It sets
nothing from data by itself; the module's first steps do. The rival is the estimator's textbook
model, trained for as many epochs with its habits: a warm-up, a schedule of the learning rate,
codewords that move. Codes are greedy on both sides. Each measurement has a process of its own;
finished ones are kept in ``loop.json``, and a run that was stopped goes on where it was.

    python benchmarks/bench_loop.py
    python benchmarks/bench_loop.py --catalogs beauty --seeds 1
    python benchmarks/bench_loop.py --rows 1500 --epochs 5 --seeds 1 --output /tmp/trial
    python benchmarks/bench_loop.py --report-only
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    CATALOGS,
    Cell,
    Results,
    add_arguments,
    check_arguments,
    environment_line,
    judge,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
    run,
    serve,
)
from _quantizers import Quantizer, Transformer

KEYS = ("catalog", "seed", "way", "epochs", "rows")
WAYS = {"loop": "a plain loop", "estimator": "the estimator, textbook model"}
SIZES = [256] * 3
MODE = "ROTATION_TRICK"


class Loop(Quantizer):
    """The module in a loop as one writes it: batches, loss, step."""

    epochs = 1

    def fit(self, X: np.ndarray) -> None:
        """Train for as many epochs as were asked for."""
        import torch

        from sklearn_rqvae.nn import RqVae

        torch.set_num_threads(self.n_threads)
        torch.manual_seed(self.seed)
        rows = torch.from_numpy(X)
        self.model = RqVae(X.shape[1], codebook_mode=MODE)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-4)
        for _ in range(self.epochs):
            for batch in torch.randperm(len(rows)).split(64):
                optimizer.zero_grad()
                self.model(rows[batch]).loss.backward()
                optimizer.step()
        self.model.eval().requires_grad_(False)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Return greedy codes."""
        import torch

        return self.model.get_semantic_ids(torch.from_numpy(X)).numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Reconstruct rows."""
        import torch

        return self.model.decode(torch.from_numpy(codes)).numpy()

    def n_floats(self) -> int:
        """Count weights and buffers."""
        return sum(tensor.numel() for tensor in self.model.state_dict().values())


def measure(cell: Cell, X: np.ndarray) -> dict[str, Any]:
    """Measure one way on one catalog with one seed."""
    if cell["way"] == "loop":
        quantizer: Quantizer = Loop(SIZES, cell["seed"], cell["n_threads"])
        quantizer.epochs = cell["epochs"]
    else:
        params = {"linear_path": False, "codebook_mode": MODE, "n_beams": 1}
        params["max_epochs"] = cell["epochs"]
        quantizer = Transformer(SIZES, cell["seed"], cell["n_threads"], params=params)
    return judge(quantizer, X, cell["seed"])


def table(results: Results, rows: int | None) -> str:
    """Return a line for each catalog and way."""
    lines = []
    for catalog in CATALOGS:
        for way, words in WAYS.items():
            key = (catalog, way, rows)
            cells = [c for c in results.cells if (c["catalog"], c["way"], c["rows"]) == key]
            if cells:
                lines.append(
                    [
                        catalog,
                        words,
                        str(cells[0]["epochs"]),
                        mean_and_spread(cells, "fvu_held_out"),
                        mean_and_spread(cells, "fvu_train"),
                        f"{100 * mean_of(cells, 'utilization'):.0f}",
                        f"{mean_of(cells, 'fit_seconds'):.1f}",
                    ]
                )
    header = ["catalog", "way", "epochs", "FVU held out", "FVU training", "utilization, %"]
    return list_table("Greedy codes, 3 × 256", [*header, "fit, s"], lines) if lines else ""


def report(results: Results, rows: int | None, folder: Path) -> None:
    """Write the table of the docs."""
    folder.mkdir(parents=True, exist_ok=True)
    none = not_measured(Path(__file__).name)
    for name, text in {
        "environment": environment_line(results),
        "table": table(results, rows),
    }.items():
        (folder / f"loop_{name}.rst").write_text(text or none, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return the number of failed measurements."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        serve(argv[1], argv[2], measure)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalogs", nargs="+", choices=CATALOGS, default=["scientific"])
    parser.add_argument("--epochs", type=int, default=60)
    add_arguments(parser)
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    results = Results(args.output / "loop.json", KEYS)
    failed = 0
    if not args.report_only:
        cells = [
            dict(zip(KEYS, (catalog, seed, way, args.epochs, args.rows), strict=True))
            for catalog in args.catalogs
            for seed in range(args.seeds)
            for way in WAYS
        ]
        failed = run(__file__, results, cells, args)
    report(results, args.rows, args.output)
    return failed


if __name__ == "__main__":
    sys.exit(main())
