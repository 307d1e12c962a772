"""What does the way from texts to an index and its export cost on the command line?

Each step runs as a command of its own; printed are its CPU seconds and the largest memory that it
had, and their sum and maximum. The texts are those of a CSV file, of which some columns are joined.
With a folder to keep files in, steps can be run one at a time.

    export OMP_NUM_THREADS=1
    python benchmarks/bench_chain.py packages.csv --text name summary
    python benchmarks/bench_chain.py packages.csv --text name summary --fit codebook-size=1024
    python benchmarks/bench_chain.py packages.csv --text name summary --folder chain --steps encode
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

STEPS = ["fit", "encode", "index build", "index export"]


def numbered(source: Path, target: Path, columns: list[str], n_items: int | None) -> int:
    """Write the first rows with a column of numbers, `id`, to a file; return how many."""
    with source.open(encoding="utf-8", newline="") as lines, target.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", *columns])
        for number, row in enumerate(csv.DictReader(lines)):
            if number == n_items:
                return number
            writer.writerow([number, *(row[column] for column in columns)])
        return number + 1


def run(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its CPU seconds, wall seconds and peak of memory in MiB."""
    start, pid = time.perf_counter(), os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start, peak


def steps(folder: Path, text: list[str], fit: list[str]) -> dict[str, list[str]]:
    """Return the arguments of each step."""
    items, model = str(folder / "items.csv"), str(folder / "model.joblib")
    options = [part for pair in fit for part in (f"--{pair}".split("=", 1))]
    named = ["--text", *text, "--id", "id"]
    index = str(folder / "catalog.sid")
    return {
        "fit": ["fit", items, *named, "--out", model, *options],
        "encode": ["encode", model, items, "--id", "id", "--out", str(folder / "ids.csv")],
        "index build": [
            *("index", "build", str(folder / "ids.csv"), "--id", "id"),
            *("--collisions", "reassign", "--model", model, "--items", items, "--out", index),
        ],
        "index export": [
            *("index", "export", index, "--format", "csv"),
            *("--out", str(folder / "catalog.csv")),
        ],
    }


def main() -> None:
    """Run the steps and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("items", type=Path, help="CSV file")
    parser.add_argument("--text", nargs="+", required=True, help="columns that are joined")
    parser.add_argument("--n-items", type=int, help="the first rows; all if not given")
    parser.add_argument("--fit", nargs="*", default=[], help="options of fit, as name=value")
    parser.add_argument("--folder", type=Path, help="where files are kept; else a temporary one")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, metavar="STEP")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        n_items = numbered(args.items, folder / "items.csv", args.text, args.n_items)
        print(f"{n_items} items", flush=True)
        seconds, highest = 0.0, 0.0
        for step in args.steps:
            arguments = steps(folder, args.text, args.fit)[step]
            cpu, wall, peak = run([sys.executable, "-m", "sklearn_rqvae", *arguments])
            print(f"{step:14} {cpu:7.1f} CPU s {wall:7.1f} s {peak:7.0f} MiB", flush=True)
            seconds, highest = seconds + cpu, max(highest, peak)
        print(f"{'all':14} {seconds:7.1f} CPU s {'':9} {highest:7.0f} MiB")


if __name__ == "__main__":
    main()
