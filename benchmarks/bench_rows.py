"""Ask what more rows cost, and what they are good for: ours, our sample alone, and faiss.

    python benchmarks/bench_rows.py --vectors vectors.npy --n-rows 10000 100000 380000
    python benchmarks/bench_rows.py --n-rows 10000 100000 1000000

The second draws rows from a mixture whose clusters have Zipf's weights. Fits are to the first rows
of a random order; the last 20,000 are held out. "Sample only" is `partial_fit`, which keeps no more
rows than codebooks are found on. Seconds are of one thread, by the process's own clock; errors are
shares of the variance left, of held-out rows and of 20,000 of those fitted to. Lines are JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from _common import bits_argument, parse_sizes
from _quantizers import FaissRQRefined, Transformer

from sklearn_rqvae.metrics import fraction_variance_unexplained

_N_JUDGED = 20_000


class SampleOnly(Transformer):
    """The closed form without passes over all rows."""

    def fit(self, X: np.ndarray) -> None:
        """Fit to what a stream keeps."""
        self.estimator.partial_fit(X)


METHODS = {"ours": Transformer, "sample only": SampleOnly, "faiss refined": FaissRQRefined}


def draw_mixture(n_rows: int, n_features: int = 64, n_clusters: int = 20_000) -> np.ndarray:
    """Draw rows around centers, the more frequent ones as often as Zipf's law says."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(n_clusters, n_features)).astype(np.float32)
    share = 1 / np.arange(1.0, n_clusters + 1)
    X = centers[rng.choice(n_clusters, n_rows, p=share / share.sum())]
    X += 0.5 * rng.standard_normal(X.shape, dtype=np.float32)
    return X


def judge(method: str, sizes: list[int], seed: int, X: np.ndarray, new: np.ndarray) -> dict:
    """Fit to rows, and say how much is left of some of them and of new ones."""
    quantizer = METHODS[method](sizes, seed, n_threads=1)
    start = time.process_time()
    quantizer.fit(X)
    seconds = time.process_time() - start
    old = X[:_N_JUDGED]
    left: dict[str, Any] = {
        name: fraction_variance_unexplained(rows, quantizer.decode(quantizer.encode(rows)))
        for name, rows in (("fvu_held_out", new), ("fvu_fitted", old))
    }
    return {
        "method": method,
        "n_rows": len(X),
        "seed": seed,
        "cpu_seconds": round(seconds, 2),
        **{name: round(float(value), 4) for name, value in left.items()},
        "n_floats": int(quantizer.n_floats()),
    }


def main() -> None:
    """Judge each method on each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", help="a matrix (.npy); else rows are drawn")
    parser.add_argument("--n-rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--bits", type=bits_argument, default="3x256")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()

    most = max(args.n_rows) + _N_JUDGED
    X = draw_mixture(most) if args.vectors is None else np.load(args.vectors).astype(np.float32)
    if len(X) < most:
        parser.error(
            f"--n-rows {max(args.n_rows)} and the {_N_JUDGED} held out are more than the "
            f"{len(X)} rows of {args.vectors}; ask for at most {len(X) - _N_JUDGED}."
        )
    X = X[np.random.default_rng(0).permutation(len(X))]
    for n_rows in args.n_rows:
        for seed in args.seeds:
            for method in args.methods:
                found = judge(
                    method, parse_sizes(args.bits), seed, X[:n_rows], X[len(X) - _N_JUDGED :]
                )
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
