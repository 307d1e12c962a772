"""``sklearn-rqvae demo``: IDs for a catalog that needs no download, shown beside siblings."""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_rqvae._cli._fit import fit_quantizer
from sklearn_rqvae._cli._items import in_batches, say
from sklearn_rqvae._cli._quality import quality_of, summary_of

__all__ = ["demo", "show_items"]

_DEFAULT_ITEMS = (
    "sklearn.cluster.KMeans",
    "scipy.signal.butter",
    "torch.nn.functional.conv2d",
    "numpy.linalg.svd",
)
_N_SHOWN = 5
_WIDTH = 78
_NEXT = """
What to type next, for a table of your own:
  sklearn-rqvae fit items.csv --text title --out model.joblib --ids ids.csv
  sklearn-rqvae report model.joblib items.csv --html report.html
  sklearn-rqvae index build ids.csv --out catalog.sid"""


def show_items(
    docs: Any,
    vectors: NDArray[np.float32],
    codes: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> str:
    """Describe some items of the catalog by their neighbors in the tree of IDs.

    Parameters
    ----------
    docs : Bunch
        The catalog of :func:`~sklearn_rqvae.datasets.load_api_docs`.
    vectors : ndarray of shape (n_items, n_features)
        Vector of each item, to show the nearest of many neighbors.
    codes : ndarray of shape (n_items, n_layers)
        Semantic ID of each item.
    names : sequence of str
        Full names of the items to show, all in the catalog; a few well-known ones if empty.
    seed : int
        Determines which pairs of items are compared by their modules.

    Returns
    -------
    text : str
        Lines to print.
    """
    lines: list[str] = []
    for name in names or [name for name in _DEFAULT_ITEMS if name in docs.names]:
        item = docs.names.index(name)
        lines += ["", f"{_dashed(codes[item])}  {_shortened(name, docs.data[item], 0)}"]
        for length in range(codes.shape[1], 0, -1):
            lines += _siblings(docs, vectors, codes, item, length)
    lines += ["", *_agreement(docs.target, codes, check_random_state(seed))]
    return "\n".join(lines)


def _siblings(
    docs: Any, vectors: NDArray[np.float32], codes: NDArray[np.int64], item: int, length: int
) -> list[str]:
    """Describe the items that share so many codes with one, and no more; the nearest first."""
    in_group = (codes[:, :length] == codes[item, :length]).all(axis=1)
    others = in_group & (np.arange(len(codes)) != item)
    if length < codes.shape[1]:
        others &= codes[:, length] != codes[item, length]  # the rest is listed above
    rows = np.flatnonzero(others)
    if not len(rows):
        return []
    distance = np.square(vectors[rows] - vectors[item]).sum(axis=1)
    nearest = rows[np.argsort(distance, kind="stable")[:_N_SHOWN]]
    if length == codes.shape[1]:
        what = f"{len(rows)} more with the same ID"
    else:
        what = f"{len(rows)} more start with {_dashed(codes[item, :length])}"
    if len(rows) > len(nearest):
        what += f", the nearest {len(nearest)}"
    if length == 1:
        average = len(codes) / len(np.unique(codes[:, 0]))
        what += f" (a group of {in_group.sum()}; the average one has {average:.0f})"
    return [f"  {what}:", *(f"    {_shortened(docs.names[i], docs.data[i], 4)}" for i in nearest)]


def _check_names(names: Sequence[str]) -> None:
    """Refuse names that the catalog lacks, after a look at their own libraries alone."""
    from sklearn_rqvae.datasets._api_docs import LIBRARIES, library_texts

    for name in names:
        library = name.partition(".")[0]
        known = library_texts(library) if library in LIBRARIES else {}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or _DEFAULT_ITEMS
            raise ValueError(
                f"the catalog has no item {name!r}; give full names such as {near[0]!r}."
            )


def _agreement(
    target: NDArray[np.int64], codes: NDArray[np.int64], rng: np.random.RandomState
) -> list[str]:
    """Say how often two items of one prefix are from one module, beside two items at random."""
    chance = _same_module(target, target[rng.permutation(len(target))])
    lines = [f"Two items at random are from the same module in {chance:.1%} of cases."]
    for length in range(1, codes.shape[1]):
        _, group = np.unique(codes[:, :length], axis=0, return_inverse=True)
        # Neighbors in a shuffled list ordered by group are a random pair within the group.
        order = rng.permutation(len(group))
        order = order[np.argsort(group.ravel()[order], kind="stable")]
        pairs = group.ravel()[order[1:]] == group.ravel()[order[:-1]]
        share = _same_module(target[order[1:]][pairs], target[order[:-1]][pairs])
        prefix = "code" if length == 1 else f"{length} codes"
        lines.append(f"For two that share the first {prefix} it is {share:.1%}.")
    return lines


def _same_module(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    return float(np.mean(first == second)) if len(first) else 0.0


def _dashed(codes: NDArray[np.int64]) -> str:
    return "-".join(map(str, codes))


def _shortened(name: str, text: str, indent: int) -> str:
    """Return the full name and as much of the description as fits on the line."""
    line = f"{name}: {text.partition(': ')[2]}"
    return line if len(line) <= _WIDTH - indent else line[: _WIDTH - indent - 1] + "…"


def demo(args: argparse.Namespace) -> None:
    """Run the command."""
    started = time.monotonic()
    _check_names(args.items)
    from sklearn_rqvae import RQVAETransformer
    from sklearn_rqvae.datasets import load_api_docs
    from sklearn_rqvae.embedding import TextEmbedder

    say("reading the documentation of numpy, scipy, scikit-learn and torch")
    docs = load_api_docs()
    say(f"embedding {len(docs.data)} texts")
    vectors = TextEmbedder(n_components=128, random_state=args.seed).fit_transform(docs.data)
    quantizer = RQVAETransformer(n_layers=4, codebook_size=64, random_state=args.seed)
    fit_quantizer(quantizer, vectors)
    codes = in_batches(quantizer.transform, vectors, "encoding")
    print(show_items(docs, vectors, codes, args.items, args.seed))
    print(_collisions(vectors, codes))
    print(
        f"Learned IDs for {len(codes)} items in {time.monotonic() - started:.0f} s: "
        f"{summary_of(quality_of(quantizer, vectors, codes))}."
    )
    print(_NEXT)


def _collisions(vectors: NDArray[np.float32], codes: NDArray[np.int64]) -> str:
    """Say what the rate of collisions means here, and what cures it."""
    from sklearn_rqvae import metrics

    excess = round(metrics.collision_rate(codes) * len(codes))
    equal = round(metrics.collision_floor(vectors) * len(codes))
    return (
        f"\n{excess} items have an ID that an item before them has ({excess / len(codes):.1%}), "
        f"{equal} of them\nwith equal texts. That is many: numpy, scipy and torch describe much "
        "in nearly the same\nwords. More or larger codebooks leave fewer (see: sklearn-rqvae sizes "
        f"{len(codes)}), and\nindex build gives each item an ID of its own.\n"
    )
