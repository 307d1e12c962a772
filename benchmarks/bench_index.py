"""Ask how fast a catalog is built, extended and searched, and how much memory an item takes.

    python benchmarks/bench_index.py --n-items 5000000

Codes are drawn with unequal probabilities, so that levels are used unevenly and some items collide,
as those of real catalogs do. Times are the best of ``--repeats``; lookups are means over 1,000
random items or prefixes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_rqvae.semantic_id import SemanticIDIndex


def draw_codes(n_items: int, n_levels: int, codebook_size: int, seed: int) -> np.ndarray:
    """Draw codes whose frequencies fall off like those of k-means on text embeddings."""
    rng = np.random.default_rng(seed)
    share = rng.gamma(2.0, size=(n_levels, codebook_size))
    share /= share.sum(axis=1, keepdims=True)
    columns = [rng.choice(codebook_size, size=n_items, p=row) for row in share]
    return np.stack(columns, axis=1)


def best_time(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the shortest wall time in seconds, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def mean_time(function: Callable[[Any], Any], arguments: list[Any]) -> float:
    """Return the mean wall time per call in microseconds."""
    start = time.perf_counter()
    for argument in arguments:
        function(argument)
    return (time.perf_counter() - start) / len(arguments) * 1e6


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, default=1_000_000)
    parser.add_argument("--n-levels", type=int, default=4)
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    n_items, n_levels = arguments.n_items, arguments.n_levels

    codes = draw_codes(n_items, n_levels, arguments.codebook_size, seed=0)
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(n_items)
    n_new = n_items // 100
    new_codes = draw_codes(n_new, n_levels, arguments.codebook_size, seed=2)

    result: dict[str, Any] = {"n_items": n_items, "n_levels": n_levels}
    for name, item_ids in (("sorted ids", None), ("shuffled ids", shuffled)):
        seconds, index = best_time(
            lambda item_ids=item_ids: SemanticIDIndex().fit(codes, item_ids), arguments.repeats
        )
        result[f"build, {name} (s)"] = round(seconds, 2)
        result[f"bytes per item, {name}"] = round(index.nbytes / n_items, 1)
    result["collision rate"] = round(index.report_.collision_rate, 4)

    items = rng.choice(n_items, size=1000).tolist()
    whole = [tuple(row) for row in index.ids_of(items).tolist()]
    result["item to ID (us)"] = round(mean_time(index.__getitem__, items), 1)
    result["ID to item (us)"] = round(mean_time(index.item, whole), 1)
    # Two levels leave tens of items at this size, so the lookup counts and not the copying.
    for depth in range(1, n_levels):
        prefixes = [row[:depth] for row in whole]
        result[f"capacity at depth {depth} (us)"] = round(mean_time(index.capacity, prefixes), 1)
        result[f"children at depth {depth} (us)"] = round(mean_time(index.children, prefixes), 1)
        result[f"items at depth {depth} (us)"] = round(mean_time(index.items, prefixes), 1)
        counts = [index.capacity(prefix).n_items for prefix in prefixes]
        result[f"items found at depth {depth}"] = round(float(np.mean(counts)), 1)
    seconds, trie = best_time(index.trie, 1)
    result["trie (s)"] = round(seconds, 2)
    for depth in range(n_levels):
        prefixes = [row[:depth] for row in whole]
        result[f"trie children at depth {depth} (us)"] = round(
            mean_time(trie.children, prefixes), 1
        )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sid"
        result["save (s)"] = round(best_time(lambda: index.save(path), 1)[0], 2)
        result["load (s)"] = round(best_time(lambda: SemanticIDIndex.load(path), 1)[0], 2)
        result["file bytes per item"] = round(path.stat().st_size / n_items, 1)
    new_ids = np.arange(n_items, n_items + n_new)
    seconds, _ = best_time(lambda: index.append(new_codes, new_ids), 1)
    result["append 1 % (s)"] = round(seconds, 2)
    seconds, _ = best_time(lambda: index.remove(new_ids), 1)
    result["remove 1 % (s)"] = round(seconds, 2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
