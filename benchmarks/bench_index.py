"""Ask how fast a catalog is built, extended and searched, and how much memory an item takes.

    python benchmarks/bench_index.py --n-items 5000000
    python benchmarks/bench_index.py --single --n-items 10000000
    python benchmarks/bench_index.py --vectors vectors.npy

The second asks what a server asks: one item in, one out, one look-up, in CPU time, as a mean over
thousands of calls and as the slowest of them, with and without a journal; the rival is a Python
dictionary in both directions, which keeps no order and answers no prefix.

The third asks what it takes to leave no collision without a suffix: codes come from faiss's
residual quantizer (beam 5, codebooks refined), candidates from a beam of 32.

Codes are drawn with unequal probabilities, so that levels are used unevenly and some items collide,
as those of real catalogs do. Times are the best of ``--repeats``; lookups are means over 1,000
random items or prefixes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_rqvae.semantic_id import SemanticIDIndex, last_level_candidates


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


def beam_search(
    vectors: np.ndarray, codebooks: np.ndarray, n_beams: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best code tuples of each vector and their squared errors."""
    codes = np.zeros((len(vectors), 1, 0), dtype=np.int64)
    residual = vectors[:, None]
    for codebook in codebooks:
        found_codes, found_residual = [], []
        for start in range(0, len(vectors), 256):
            rest, prefix = residual[start : start + 256], codes[start : start + 256]
            scores = (rest**2).sum(-1)[..., None] - 2 * rest @ codebook.T + (codebook**2).sum(1)
            flat = scores.reshape(len(rest), -1)
            size = min(n_beams, flat.shape[1])
            top = np.argsort(flat, axis=1, kind="stable")[:, :size]
            parent, code = np.divmod(top, len(codebook))
            taken = np.take_along_axis(prefix, parent[..., None], 1)
            found_codes.append(np.concatenate([taken, code[..., None]], axis=2))
            found_residual.append(np.take_along_axis(rest, parent[..., None], 1) - codebook[code])
        codes, residual = np.concatenate(found_codes), np.concatenate(found_residual)
    return codes, (residual.astype(np.float64) ** 2).sum(-1)


def measure_reassign(path: str, n_levels: int, repeats: int) -> dict[str, Any]:
    """Quantize vectors, reassign what collides, and say what that cost."""
    import faiss

    vectors = np.load(path).astype(np.float32)
    vectors -= vectors.mean(axis=0)
    quantizer = faiss.ResidualQuantizer(vectors.shape[1], n_levels, 8)
    quantizer.train_type |= faiss.ResidualQuantizer.Train_refine_codebook
    quantizer.train(vectors)
    codebooks = faiss.vector_to_array(quantizer.codebooks).reshape(n_levels, 256, -1)
    result: dict[str, Any] = {"file": path}
    beam = beam_search(vectors, codebooks, 32)
    codes = beam[0][:, 0]
    for name, candidates in (
        ("beam", beam),
        ("last level", last_level_candidates(vectors, codes, codebooks)),
    ):
        seconds, index = best_time(
            lambda candidates=candidates: SemanticIDIndex("reassign").fit(
                codes, vectors=vectors, candidates=candidates, codebooks=list(codebooks)
            ),
            repeats,
        )
        assert len(np.unique(index.ids_, axis=0)) == len(vectors)
        result[f"reassign, {name} (s)"] = round(seconds, 2)
        result[f"report, {name}"] = index.report_.to_dict()
    return result


def single_times(function: Callable[[Any], Any], arguments: list[Any]) -> dict[str, float]:
    """Return the CPU time of single calls in microseconds."""
    times = []
    for argument in arguments:
        start = time.process_time_ns()
        function(argument)
        times.append((time.process_time_ns() - start) / 1e3)
    names = ("mean", "median", "99 %", "slowest")
    found = (np.mean(times), np.median(times), np.percentile(times, 99), max(times))
    return {name: round(float(value), 1) for name, value in zip(names, found, strict=True)}


def measure_single(n_items: int, n_levels: int, codebook_size: int, n_calls: int) -> dict[str, Any]:
    """Measure one item at a time in a catalog with integer ids in no order."""
    rng = np.random.default_rng(1)
    codes = draw_codes(n_items, n_levels, codebook_size, seed=0)
    index = SemanticIDIndex(codebook_sizes=codebook_size).fit(codes, rng.permutation(n_items))
    result: dict[str, Any] = {
        "n_items": n_items,
        "bytes per item": round(index.nbytes / n_items, 1),
    }
    new = list(range(n_items, n_items + n_calls))
    rows = draw_codes(n_calls, n_levels, codebook_size, seed=2)
    given = [(row[None], [item]) for row, item in zip(rows, new, strict=True)]
    known = rng.choice(n_items, size=n_calls).tolist()
    whole = [tuple(row) for row in index.ids_of(known).tolist()]
    prefixes = [row[: n_levels - 1] for row in whole]
    result["append (us)"] = single_times(lambda pair: index.append(*pair), given)
    result["item to ID, after changes (us)"] = single_times(index.__getitem__, known)
    result["ID to item (us)"] = single_times(index.item, whole)
    result["items of a prefix (us)"] = single_times(index.items, prefixes)
    result["children of a prefix (us)"] = single_times(index.children, prefixes)
    result["snapshot (us)"] = single_times(lambda _: index.snapshot(), known)
    result["remove (us)"] = single_times(lambda item: index.remove([item]), new)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sid"
        index.save(path, journal=True)
        n_kept = n_calls // 10
        kept = [(codes, [item + n_calls]) for codes, [item] in given[:n_kept]]
        result["append with a journal (us)"] = single_times(lambda pair: index.append(*pair), kept)
        size = Path(f"{path}.journal").stat().st_size
        result["bytes of journal per change"] = round(size / n_kept, 1)
        start = time.process_time()
        SemanticIDIndex.load(path)
        result["load, with its journal (s)"] = round(time.process_time() - start, 2)
    start = time.process_time()
    by_id = dict(zip(map(tuple, index.ids_.tolist()), index.item_ids_.tolist(), strict=True))
    by_item = {item: semantic_id for semantic_id, item in by_id.items()}
    result["rival: build two dictionaries (s)"] = round(time.process_time() - start, 2)
    result["rival: item to ID (us)"] = single_times(by_item.__getitem__, known)
    sample = list(by_id.items())[:1000]
    objects = sum(
        sys.getsizeof(key) + sum(map(sys.getsizeof, key)) + sys.getsizeof(item)
        for key, item in sample
    ) / len(sample)
    tables = sys.getsizeof(by_id) + sys.getsizeof(by_item)
    result["rival: bytes per item"] = round(tables / n_items + objects, 1)
    return result


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, default=1_000_000)
    parser.add_argument("--n-levels", type=int, help="4, with --vectors 3")
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--single", action="store_true", help="measure one item at a time")
    parser.add_argument("--n-calls", type=int, default=20_000, help="calls of each, with --single")
    parser.add_argument("--vectors", metavar="FILE", help="measure reassignment on these (.npy)")
    arguments = parser.parse_args()
    if arguments.vectors:
        levels = 3 if arguments.n_levels is None else arguments.n_levels
        print(json.dumps(measure_reassign(arguments.vectors, levels, arguments.repeats), indent=2))
        return
    arguments.n_levels = 4 if arguments.n_levels is None else arguments.n_levels
    n_items, n_levels = arguments.n_items, arguments.n_levels
    if arguments.single:
        size, n_calls = arguments.codebook_size, arguments.n_calls
        print(json.dumps(measure_single(n_items, n_levels, size, n_calls), indent=2))
        return

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
