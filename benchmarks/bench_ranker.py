"""What do semantic IDs give a ranker, on items it knows and on items it has never seen?

A linear model is to tell which films of MovieLens-100k a user rated from films that he didn't
("touched"), and which of his films he rated 4 or 5 ("liked"). A fifth of the films is cold: the
ranker sees none of their ratings, nor are vectors and IDs learned from them. Films are known by
title, year, genres, and what a graph of facts links them to.

The data come from the wheel of recbole, which isn't installed for this: its name is looked for in
the folder of ``--wheel``. Without it the benchmark says so and ends.

    pip download --no-deps recbole==1.2.1 --dest wheels
    python benchmarks/bench_ranker.py --wheel wheels
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import GENERATED, describe_environment, list_table, thousands
from scipy.sparse import csr_matrix, hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_rqvae import PrefixFeatures, RQVAETransformer

N_DIMS, N_LEVELS, CODEBOOK_SIZE = 64, 3, 16
N_HASHED, MIN_COUNT = 4096, 10
STRENGTH = 0.1  # C of the ranker, the same for all features
FOLDER = "recbole/dataset_example/ml-100k/ml-100k"


class Films(NamedTuple):
    """Users, films and stars of all ratings; the words of each film."""

    users: np.ndarray
    films: np.ndarray
    stars: np.ndarray
    words: list[list[str]]


class Examples(NamedTuple):
    """Pairs of user and film with their label, and which part each is in."""

    users: np.ndarray
    films: np.ndarray
    labels: np.ndarray
    training: np.ndarray
    warm: np.ndarray
    cold: np.ndarray


# -- Data --


def find_wheel(folder: Path) -> Path | None:
    """Return the wheel with the data, or None."""
    return next(iter(sorted(folder.glob("recbole-*.whl"))), None)


def read_films(wheel: Path) -> Films:
    """Read ratings, descriptions and facts from the wheel."""
    with zipfile.ZipFile(wheel) as archive:

        def table(kind: str) -> list[list[str]]:
            with io.TextIOWrapper(archive.open(f"{FOLDER}.{kind}"), encoding="utf-8") as file:
                return [line.rstrip("\n").split("\t") for line in file][1:]

        items, ratings = table("item"), table("inter")
        links, facts = table("link"), table("kg")
    place = {row[0]: film for film, row in enumerate(items)}
    words = [
        [f"genre {genre}" for genre in genres.split()]
        + [f"title {word.lower()}" for word in title.split()]
        + [f"year {year}", f"decade {year[:3]}"]
        for _, title, year, genres in items
    ]
    entities = {entity: place[item] for item, entity in links if item in place}
    for head, relation, tail in facts:
        for film, other in ((head, tail), (tail, head)):
            if film in entities:
                words[entities[film]].append(f"{relation} {other}")
    users = np.unique([row[0] for row in ratings], return_inverse=True)[1]
    films = np.array([place[row[1]] for row in ratings])
    return Films(users, films, np.array([float(row[2]) for row in ratings]), words)


def split_films(n_films: int, rng: np.random.Generator) -> np.ndarray:
    """Return which films are cold: a fifth, at random."""
    return rng.permutation(n_films) < n_films // 5


def make_examples(
    data: Films, task: str, is_cold: np.ndarray, rng: np.random.Generator
) -> Examples:
    """Return the pairs of a task: ratings, or ratings and as many films without one."""
    users, films = data.users, data.films
    if task == "liked":
        labels = data.stars >= 4
    else:
        labels = np.repeat([True, False], len(users))
        films = np.concatenate([films, draw_untouched(data, is_cold, rng)])
        users = np.tile(users, 2)
    cold = is_cold[films]
    tested = rng.random(len(users)) < 0.2
    return Examples(users, films, labels, ~cold & ~tested, ~cold & tested, cold)


def draw_untouched(data: Films, is_cold: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a film that the user didn't rate for each rating, cold ones for cold ones."""
    touched = np.zeros((data.users.max() + 1, len(is_cold)), dtype=bool)
    touched[data.users, data.films] = True
    drawn = data.films.copy()
    open_ = np.ones(len(drawn), dtype=bool)
    while open_.any():
        rows = np.flatnonzero(open_)
        for part in (False, True):
            mine = rows[is_cold[data.films[rows]] == part]
            drawn[mine] = rng.choice(np.flatnonzero(is_cold == part), len(mine))
        open_[rows] = touched[data.users[rows], drawn[rows]]
    return drawn


def learn_vectors(words: list[list[str]], is_cold: np.ndarray) -> np.ndarray:
    """Return a vector for each film, learned from the words of those that aren't cold."""
    warm = [row for row, cold in zip(words, is_cold, strict=True) if not cold]
    tfidf = TfidfVectorizer(analyzer=list, min_df=2, sublinear_tf=True).fit(warm)
    svd = TruncatedSVD(N_DIMS, random_state=0).fit(tfidf.transform(warm))
    return svd.transform(tfidf.transform(words)).astype(np.float32)


# -- Features: of the user, of the film, and of both together --


class Features(NamedTuple):
    """Features of each example, and the numbers that a film takes where they come from."""

    matrix: csr_matrix
    n_bytes: float


def one_hot(columns: np.ndarray, training: np.ndarray) -> csr_matrix:
    """Return a column for each value in the training rows."""
    encoder = OneHotEncoder(handle_unknown="ignore").fit(columns[training])
    return csr_matrix(encoder.transform(columns))


def of_prefixes(
    codes: np.ndarray,
    examples: Examples,
    is_cold: np.ndarray,
    n_features: int | None = None,
    min_count: int = 1,
) -> csr_matrix:
    """Return the prefixes of each film's ID, and those of user and ID together."""
    params = {"n_features": n_features, "min_count": min_count}
    films = PrefixFeatures(**params).fit(codes[~is_cold]).transform(codes)
    with_user = np.column_stack([examples.users, codes[examples.films]])
    users = PrefixFeatures(**params).fit(with_user[examples.training]).transform(with_user)
    return hstack([films[examples.films], users]).tocsr()


def of_vectors(X: np.ndarray, examples: Examples) -> csr_matrix:
    """Return each film's vector, and the same once more in columns of the user's own."""
    rows = X[examples.films].astype(np.float64)
    n_rows, n_dims = rows.shape
    columns = examples.users[:, None] * n_dims + np.arange(n_dims)
    starts = np.arange(n_rows + 1) * n_dims
    shape = (n_rows, (examples.users.max() + 1) * n_dims)
    own = csr_matrix((rows.ravel(), columns.ravel(), starts), shape=shape)
    return hstack([csr_matrix(rows), own]).tocsr()


def all_features(
    X: np.ndarray, codes: np.ndarray, examples: Examples, is_cold: np.ndarray, seed: int
) -> dict[str, Features]:
    """Return the features of each way to tell the ranker of a film; all know the user."""
    user = one_hot(examples.users[:, None], examples.training)
    item = one_hot(examples.films[:, None], examples.training)
    scaler = StandardScaler().fit(X[~is_cold])
    scaled = scaler.transform(X) / np.sqrt(N_DIMS)
    shuffled = codes[np.random.default_rng(seed).permutation(len(codes))]
    exact = of_prefixes(codes, examples, is_cold)
    hashed = of_prefixes(codes, examples, is_cold, n_features=N_HASHED)
    frequent = of_prefixes(codes, examples, is_cold, min_count=MIN_COUNT)
    dealt = of_prefixes(shuffled, examples, is_cold)
    n_bytes = codes.shape[1] * np.log2(CODEBOOK_SIZE) / 8
    ways = {
        "the user alone": (None, 0),
        "item ids": (item, 0),
        "codes, each by itself": (one_hot(codes[examples.films], examples.training), n_bytes),
        "prefixes": (exact, n_bytes),
        f"prefixes of {MIN_COUNT} films and more": (frequent, n_bytes),
        f"prefixes, hashed to {N_HASHED:,}": (hashed, n_bytes),
        "prefixes of IDs dealt at random": (dealt, n_bytes),
        "raw vectors": (of_vectors(scaled, examples), 4 * N_DIMS),
        "item ids and prefixes": (hstack([item, exact]), n_bytes),
        "item ids and raw vectors": (hstack([item, of_vectors(scaled, examples)]), 4 * N_DIMS),
    }
    return {
        name: Features(user if matrix is None else hstack([user, matrix]).tocsr(), size)
        for name, (matrix, size) in ways.items()
    }


# -- Measuring --


def judge(features: Features, examples: Examples) -> dict[str, float]:
    """Train the ranker and return its AUC on warm and on cold films, and what is stored."""
    matrix, labels = features.matrix, examples.labels
    ranker = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3)
    ranker.fit(matrix[examples.training], labels[examples.training])
    scores = ranker.decision_function(matrix)
    return {
        "warm": roc_auc_score(labels[examples.warm], scores[examples.warm]),
        "cold": roc_auc_score(labels[examples.cold], scores[examples.cold]),
        "n_bytes": features.n_bytes,
        "weights": float(ranker.coef_.size),
    }


def measure(data: Films, task: str, seed: int) -> dict[str, dict[str, float]]:
    """Measure all features on one split."""
    rng = np.random.default_rng(seed)
    is_cold = split_films(len(data.words), rng)
    examples = make_examples(data, task, is_cold, rng)
    X = learn_vectors(data.words, is_cold)
    sizes: dict[str, Any] = {"n_layers": N_LEVELS, "codebook_size": CODEBOOK_SIZE}
    codes = RQVAETransformer(**sizes, random_state=seed).fit(X[~is_cold]).transform(X)
    ways = all_features(X, codes, examples, is_cold, seed)
    return {name: judge(features, examples) for name, features in ways.items()}


def table(title: str, runs: list[dict[str, dict[str, float]]]) -> str:
    """Return the table of means and standard deviations over the runs."""
    rows = []
    for name in runs[0]:
        of = {key: np.array([run[name][key] for run in runs]) for key in runs[0][name]}
        auc = [f"{of[part].mean():.3f} ± {of[part].std(ddof=1):.3f}" for part in ("cold", "warm")]
        size = of["n_bytes"].mean()
        rows.append([name, *auc, f"{size:g}" if size else "–", thousands(of["weights"].mean())])
    header = ["the ranker knows", "AUC, cold films", "AUC, warm films", "bytes a film", "weights"]
    return list_table(title, header, rows)


TASKS = {
    "touched": "Which films does a user rate, and which not?",
    "liked": "Which of the films that he rates does a user give 4 or 5 stars?",
}


def main() -> None:
    """Measure and write the tables."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheel", type=Path, default=Path("wheels"), help="folder of the wheel")
    parser.add_argument("--seeds", type=int, default=5, help="number of splits, at least 2")
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the tables")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error(f"--seeds={args.seeds} should be at least 2, as deviations are shown")
    wheel = find_wheel(args.wheel)
    if wheel is None:
        print(
            f"Skipped: there is no recbole-*.whl in {args.wheel}; "
            "pip download --no-deps recbole==1.2.1 brings it.",
            file=sys.stderr,
        )
        return
    torch.set_num_threads(1)
    data = read_films(wheel)
    args.output.mkdir(parents=True, exist_ok=True)
    for task, title in TASKS.items():
        runs = [measure(data, task, seed) for seed in range(args.seeds)]
        text = table(title, runs)
        (args.output / f"ranker_{task}.rst").write_text(text)
        print(text, flush=True)
    known = describe_environment(1)
    versions = ", ".join(f"{name} {known[name]}" for name in ("numpy", "scikit-learn", "torch"))
    (args.output / "ranker_environment.rst").write_text(
        f"Measured on {known['processor']}, 1 thread, {len(data.users):,} ratings of "
        f"{len(data.words):,} films, IDs of {N_LEVELS} × {CODEBOOK_SIZE}, vectors of {N_DIMS} "
        f"numbers, logistic regression with C={STRENGTH}, means and standard deviations over "
        f"{args.seeds} splits; {versions}.\n"
    )


if __name__ == "__main__":
    main()
