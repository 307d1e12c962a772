"""Ask how fast a trie of a large catalog is built, masks a batch of beams, and follows the stock.

    python benchmarks/bench_trie.py --n-items 10000000

IDs are distinct and drawn at random. Times are CPU seconds of one thread, the best of
``--repeats``; masks are for 64 prompts with 50 beams each. The rivals are a trie of Python
dictionaries, as GENRE and LC-Rec have it, on a sample of the items; its walk in
``prefix_allowed_tokens_fn``, beam by beam; and the arrays of YouTube's STATIC, decoded as its
kernel does in PyTorch, where the package ``static_decoding`` can be imported.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sklearn_rqvae import SemanticIDIndex

SIZE = 256


def draw_ids(n_items: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw distinct IDs."""
    rng = np.random.default_rng(seed)
    n_ids = SIZE**width
    if n_ids <= 2**28:
        picked = rng.choice(n_ids, size=n_items, replace=False)
    else:
        picked = np.unique(rng.integers(n_ids, size=n_items + n_items // 10))[:n_items]
        picked = rng.permutation(picked)
    return np.stack([(picked >> (8 * level)) & 255 for level in reversed(range(width))], axis=1)


def best(function: Callable[[], Any], repeats: int) -> float:
    """Return the shortest CPU time in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return round(min(times) * 1e3, 3)


def dictionary_trie(ids: list[list[int]]) -> dict[int, Any]:
    """Build a trie of dictionaries."""
    root: dict[int, Any] = {}
    for row in ids:
        node = root
        for code in row:
            node = node.setdefault(code, {})
    return root


def walk(root: dict[int, Any], beams: list[list[int]]) -> list[list[int]]:
    """Return the codes that follow each beam, one after the other."""
    found = []
    for beam in beams:
        node = root
        for code in beam:
            node = node[code]
        found.append(list(node))
    return found


def static_times(trie: Any, beams: np.ndarray, repeats: int) -> dict[str, Any]:
    """Measure STATIC's builder and kernel on the last level, if they are here."""
    try:
        from static_decoding.csr_utils import build_static_index
        from static_decoding.decoding_pt import generate_and_apply_logprobs_mask
    except ImportError:
        return {"STATIC": "not installed"}
    ids = trie.ids()
    theirs = build_static_index(ids, SIZE, 2)
    ours = trie.to_static(SIZE)
    same = all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    states = torch.from_numpy(theirs[5][beams[:, 0], beams[:, 1]])
    arrays = [torch.from_numpy(array) for array in theirs[:2]]
    scores = torch.randn(len(beams), SIZE)
    arguments = (*arrays, theirs[2][2], SIZE, torch.device("cpu"))
    return {
        "STATIC: equal bit for bit": same,
        "STATIC: build (s)": best(lambda: build_static_index(ids, SIZE, 2), 1) / 1e3,
        "STATIC: candidates of the third level (ms)": best(
            lambda: generate_and_apply_logprobs_mask(scores, states, *arguments), repeats
        ),
    }


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=3)
    parser.add_argument("--n-beams", type=int, default=64 * 50)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sample", type=int, default=200_000, help="items of the dictionaries")
    arguments = parser.parse_args()
    width, repeats = arguments.width, arguments.repeats
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    index = SemanticIDIndex("none", codebook_sizes=SIZE).fit(
        draw_ids(arguments.n_items, width), rng.permutation(arguments.n_items)
    )
    result: dict[str, Any] = {"n_items": len(index), "width": width, "beams": arguments.n_beams}
    result["build (s)"] = best(index.trie, 2) / 1e3
    trie = index.trie()
    result["bytes per item"] = round(trie.nbytes / len(index), 2)
    stock = rng.random(len(index)) < 0.3
    result["change the items allowed (ms)"] = best(lambda: trie.restrict(stock), 3)
    some = trie.restrict(stock)
    ids = some.ids()
    beams = ids[rng.integers(len(ids), size=arguments.n_beams)]
    tensors, as_tensor = trie.to_torch(), torch.from_numpy(beams)
    for level in range(width):
        prefixes, nodes = beams[:, :level], trie.nodes(beams[:, :level])
        at = f"level {level} (ms)"
        result[f"mask, {at}"] = best(lambda n=nodes, v=level: trie.mask(n, v), repeats)
        result[f"mask from codes, {at}"] = best(lambda p=prefixes: trie.allowed(p), repeats)
        result[f"mask from codes, some items, {at}"] = best(
            lambda p=prefixes: some.allowed(p), repeats
        )
        result[f"mask from codes, torch, {at}"] = best(
            lambda v=level: tensors.allowed(as_tensor[:, :v]), repeats
        )
    result["STATIC's arrays (s)"] = best(lambda: trie.to_static(SIZE), 1) / 1e3
    if width == 3:
        result.update(static_times(trie, beams, repeats))
    sample = [*ids[: arguments.sample].tolist(), *beams.tolist()]
    tracemalloc.start()
    root = dictionary_trie(sample)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    n_sample = len({tuple(row) for row in sample})
    result["dictionaries: bytes per item"] = round(size / n_sample, 1)
    result["dictionaries: build, us per item"] = round(
        best(lambda: dictionary_trie(sample), 2) * 1e3 / n_sample, 2
    )
    prefixes = beams[:, : width - 1].tolist()
    result["dictionaries: children of the last level (ms)"] = best(
        lambda: walk(root, prefixes), repeats
    )
    function = trie_function(index, width)
    tokens = [[0, *(code + 1 + SIZE * v for v, code in enumerate(beam))] for beam in prefixes]
    result["prefix_allowed_tokens_fn, beam by beam (ms)"] = best(
        lambda: [function(0, beam) for beam in tokens], 2
    )
    print(json.dumps(result, indent=2))


def trie_function(index: SemanticIDIndex, width: int) -> Callable[[int, list[int]], list[int]]:
    """Return what transformers asks once for each beam."""
    return index.prefix_allowed_tokens_fn(1, eos_token_id=SIZE * width + 1, prompt_length=1)


if __name__ == "__main__":
    main()
