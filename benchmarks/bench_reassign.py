"""Ask how long it takes to give colliding items IDs of their own, and at what error.

    python benchmarks/bench_reassign.py --n-items 100000 1000000
    python benchmarks/bench_reassign.py --vectors vectors.npy

The first draws items around points whose popularity falls off like 1/rank, so that about half of
them collide; their candidates are the nearest of the points, with the squared distances as errors.
The second fits the default quantizer to vectors (.npy) and lets it search for candidates.
``--exact`` runs the exact solver too, whose time grows with the square of the number of items.
Times are CPU seconds; the peak is that of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._collisions import _assignment


def draw_catalog(
    n_items: int, n_candidates: int, seed: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Draw the codes of items and their candidates among points on a line, and the errors.

    Points lie in order, so that the candidates of an item are those around its own point.
    """
    rng = np.random.default_rng(seed)
    n_points = 4 * n_items
    share = 1 / np.arange(20, n_points + 20)
    place = rng.permutation(n_points)[rng.choice(n_points, size=n_items, p=share / share.sum())]
    # Half of the items are drawn uniformly, as an even quantizer would place them.
    uniform = rng.random(n_items) < 0.5
    place[uniform] = rng.integers(n_points, size=uniform.sum())
    exact = place + rng.normal(size=n_items, scale=0.2)
    near = place[:, None] + np.arange(-(n_candidates // 2), n_candidates - n_candidates // 2)
    errors = (near - exact[:, None]) ** 2 + rng.gamma(2.0, size=near.shape)
    errors[:, n_candidates // 2] = 1.0
    errors[(near < 0) | (near >= n_points)] = np.inf
    near = near.clip(0, n_points - 1)
    by_level = [(place >> 16) & 255, (place >> 8) & 255, place & 255]
    codes = np.stack([place >> 24, *by_level], axis=1)
    levels = [near >> 24, (near >> 16) & 255, (near >> 8) & 255, near & 255]
    return codes, (np.stack(levels, axis=-1), errors)


def measure(build: Callable[[], SemanticIDIndex]) -> dict[str, Any]:
    """Build an index; return what it took and did."""
    start = time.process_time()
    report = build().report_
    seconds = time.process_time() - start
    added = report.error_after - report.error_before
    return {
        "CPU (s)": round(seconds, 1),
        "peak of the process (MiB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "items": report.n_items,
        "colliding": report.n_colliding,
        "moved": report.n_moved,
        "beyond candidates": report.n_fallback,
        "added error": round(added, 2),
        "added error, share": round(report.added_error, 5),
        "gap at most, share of added error": round(report.error_gap / added, 4),
    }


def compare(build: Callable[[], SemanticIDIndex], exact: bool) -> None:
    """Print what reassignment takes, and what the exact solver takes if that is asked for."""
    result = {"as shipped": measure(build)}
    if exact:
        shipped, _assignment.EXACT_ITEMS = _assignment.EXACT_ITEMS, 2**62
        result["exact"] = measure(build)
        _assignment.EXACT_ITEMS = shipped
    print(json.dumps(result, indent=2), flush=True)


def main() -> None:
    """Run and print one JSON object per catalog."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--n-candidates", type=int, default=32)
    parser.add_argument("--vectors", metavar="FILE", help="measure on these (.npy)")
    parser.add_argument(
        "--exact", action="store_true", help="also solve exactly: hours at a million"
    )
    arguments = parser.parse_args()
    if arguments.vectors:
        vectors = np.load(arguments.vectors).astype(np.float32)
        model = RQVAETransformer(random_state=0).fit(vectors)
        compare(
            lambda: SemanticIDIndex.from_estimator(
                model, vectors, collisions="reassign", n_candidates=arguments.n_candidates
            ),
            arguments.exact,
        )
        return
    for n_items in arguments.n_items:
        codes, candidates = draw_catalog(n_items, arguments.n_candidates, seed=0)
        compare(
            lambda codes=codes, candidates=candidates: SemanticIDIndex(
                "reassign", codebook_sizes=256
            ).fit(codes, candidates=candidates),
            arguments.exact,
        )


if __name__ == "__main__":
    main()
