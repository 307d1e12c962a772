"""Sets of semantic IDs to recommend by: this package's, its rivals', published ones, controls.

Where items collide, IDs get one more code that counts them, as TIGER does, unless a set has its own
way. Behavior is learned from training histories alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from _catalogs import Catalog
from _common import parse_sizes
from _quantizers import METHODS
from scipy.sparse import diags
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae.embedding import (
    Histories,
    InteractionEmbedder,
    ViewFusion,
    ViewWeights,
    choose_view_weights,
)
from sklearn_rqvae.embedding._cooccurrence import cooccurrence_counts
from sklearn_rqvae.metrics import collision_rate

BITS = "3x256"
REASSIGN = "reassign"


class IdSet(NamedTuple):
    """A way to semantic IDs.

    Attributes
    ----------
    label : str
        Name in tables.
    make : callable
        Takes a catalog and a seed, returns IDs of shape (n_items, n_levels).
    kind : {"ours, text", "ours, behavior", "published", "rival", "control"}
        Whose it is.
    is_fitted : bool
        Whether seeds give different IDs.
    """

    label: str
    make: Callable[[Catalog, int], np.ndarray]
    kind: str
    is_fitted: bool = True


def with_suffix(codes: np.ndarray) -> np.ndarray:
    """Return unique IDs: codes and, if items collide, one more that counts those before."""
    codes = np.asarray(codes, dtype=np.int64)
    return SemanticIDIndex("suffix").fit(codes).ids_ if collision_rate(codes) > 0 else codes


# -- This package, by texts --


def _text(
    collisions: str = REASSIGN, bits: str = BITS, estimator: Any = RQVAETransformer, **params: Any
) -> Callable[[Catalog, int], np.ndarray]:
    sizes = parse_sizes(bits)

    def make(catalog: Catalog, seed: int) -> np.ndarray:
        quantizer = estimator(
            n_layers=len(sizes), codebook_size=sizes, random_state=seed, **params
        ).fit(catalog.vectors)
        return _ids(quantizer, catalog.vectors, collisions)

    return make


def _ids(quantizer: Any, X: np.ndarray, collisions: str) -> np.ndarray:
    if collisions == "suffix":
        return with_suffix(quantizer.transform(X))
    return SemanticIDIndex.from_estimator(quantizer, X, collisions=collisions).ids_


def _text_without_distinct_choice(catalog: Catalog, seed: int) -> np.ndarray:
    with _no_distinct_choice():
        return _text()(catalog, seed)


@contextlib.contextmanager
def _no_distinct_choice() -> Iterator[None]:
    """Let rows choose their nearest codes in training, though others have the same ones."""
    from sklearn_rqvae.quantize import _soft_codes

    def nearest(keys: Any, errors: Any, *_: Any) -> Any:
        return errors.argmin(1)

    with mock.patch.object(_soft_codes, "distinct_choices", nearest):
        yield


# -- This package, by texts and behavior --


def fused_views(
    catalog: Catalog, seed: int, weights: Any = None, method: str = "cooccurrence", **params: Any
) -> np.ndarray:
    """Return texts' and behavior's vectors side by side, scaled and weighted."""
    steps = _steps(catalog, seed, weights, method, **params)
    return steps.fit_transform(_table(catalog))


def _steps(catalog: Catalog, seed: int, weights: Any, method: str, **params: Any) -> Pipeline:
    embedder = InteractionEmbedder(
        method, interactions=Histories.read(catalog.training()), random_state=seed, **params
    )
    n_text = catalog.vectors.shape[1]
    views = ColumnTransformer(
        [("text", "passthrough", slice(0, n_text)), ("behavior", embedder, [n_text])]
    )
    return make_pipeline(views, ViewFusion([n_text, -1], weights=weights))


def _table(catalog: Catalog) -> Any:
    """Return the vectors of texts and, as the last column, the numbers of the items."""
    import pandas as pd

    table = pd.DataFrame(catalog.vectors)
    table.columns = [f"text{i}" for i in range(table.shape[1])]
    return table.assign(item=np.arange(len(table)))


def _behavior(
    weights: Any = None,
    collisions: str = REASSIGN,
    bits: str = BITS,
    method: str = "cooccurrence",
    estimator: Any = RQVAETransformer,
    **params: Any,
) -> Callable[[Catalog, int], np.ndarray]:
    sizes = parse_sizes(bits)

    def make(catalog: Catalog, seed: int) -> np.ndarray:
        chosen = rate_weights(catalog, seed).weights if weights == "chosen" else weights
        X = fused_views(catalog, seed, chosen, method, **params)
        quantizer = estimator(n_layers=len(sizes), codebook_size=sizes, random_state=seed)
        return _ids(quantizer.fit(X), X, collisions)

    return make


def rate_weights(catalog: Catalog, seed: int) -> ViewWeights:
    """Let the package rate and choose the weights, by the last items of training histories."""
    pipeline = _steps(catalog, seed, None, "cooccurrence")
    pipeline.steps.append(("quantizer", ResidualKMeans(random_state=seed)))
    training = Histories.read(catalog.training())
    return choose_view_weights(pipeline, _table(catalog), training)


def _three_views(catalog: Catalog, seed: int) -> np.ndarray:
    """Add a third view: the mean text of what is touched near an item, one share of it its own."""
    n_text = catalog.vectors.shape[1]
    fused = fused_views(catalog, seed)
    X = np.hstack([fused, _texts_of_neighbors(catalog, fused[:, :n_text])])
    X = ViewFusion([n_text, -1, n_text]).fit_transform(X)
    return _ids(RQVAETransformer(random_state=seed).fit(X), X, REASSIGN)


def _texts_of_neighbors(catalog: Catalog, texts: np.ndarray) -> np.ndarray:
    """Return means over co-occurring items, those that are touched often counting less."""
    histories = Histories.read(catalog.training())
    shares = cooccurrence_counts(histories, window=5, decay=0.6)
    shares.setdiag(1)
    shares = shares @ diags(np.asarray(shares.sum(axis=1)).ravel() ** -0.5)
    shares = diags(1 / np.asarray(shares.sum(axis=1)).ravel()) @ shares
    means = texts.copy()  # what nobody has touched keeps its own
    means[histories.item_ids] = shares @ texts[histories.item_ids]
    return means


# -- Others --


def _rival(name: str) -> Callable[[Catalog, int], np.ndarray]:
    def make(catalog: Catalog, seed: int) -> np.ndarray:
        quantizer = METHODS[name].quantizer(parse_sizes(BITS), seed, 1, None)
        quantizer.fit(catalog.vectors)
        return with_suffix(quantizer.encode(catalog.vectors))

    return make


def _random(catalog: Catalog, seed: int) -> np.ndarray:
    """Deal distinct IDs at random."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice(256**3, len(catalog.vectors), replace=False)
    return np.stack(np.unravel_index(numbers, (256, 256, 256)), axis=1)


def _category(catalog: Catalog, seed: int) -> np.ndarray:
    """Number the steps of each item's path of categories, three at most, and count the items."""
    depth = min(max(map(len, catalog.categories)), 3)
    paths = [(*path[-depth:], *[""] * (depth - len(path))) for path in catalog.categories]
    columns = [np.unique(column, return_inverse=True)[1] for column in zip(*paths, strict=True)]
    order = np.random.default_rng(seed).permutation(len(paths))
    ids = np.empty((len(paths), depth + 1), dtype=np.int64)
    ids[order] = _counted(np.stack(columns, axis=1)[order])
    return ids


def _counted(codes: np.ndarray) -> np.ndarray:
    """Append the number of earlier rows with the same codes."""
    seen: dict[tuple[int, ...], int] = {}
    count = []
    for row in map(tuple, codes.tolist()):
        count.append(seen.get(row, 0))
        seen[row] = count[-1] + 1
    return np.column_stack([codes, count])


def _published(name: str) -> Callable[[Catalog, int], np.ndarray]:
    def make(catalog: Catalog, seed: int) -> np.ndarray:
        return with_suffix(catalog.published[name])

    return make


ID_SETS = {
    "behavior": IdSet("text and behavior, defaults", _behavior(), "ours, behavior"),
    "text": IdSet("text, defaults", _text(), "ours, text"),
    "behavior-chosen": IdSet(
        "text and behavior, weights chosen", _behavior("chosen"), "ours, behavior"
    ),
    "behavior-attention": IdSet(
        "text and behavior, self-attention", _behavior(method="self-attention"), "ours, behavior"
    ),
    "behavior-suffix": IdSet(
        "text and behavior, suffix", _behavior(collisions="suffix"), "ours, behavior"
    ),
    "behavior-kmeans": IdSet(
        "text and behavior, `ResidualKMeans`", _behavior(estimator=ResidualKMeans), "ours, behavior"
    ),
    "behavior-2": IdSet("text and behavior, 2 × 256", _behavior(bits="2x256"), "ours, behavior"),
    "behavior-4": IdSet("text and behavior, 4 levels", _behavior(bits="4x256"), "ours, behavior"),
    "behavior-only": IdSet("behavior alone", _behavior([0.0, 1.0]), "ours, behavior"),
    "behavior-neighbors": IdSet(
        "text, behavior and texts of neighbors", _three_views, "ours, behavior"
    ),
    "behavior-product": IdSet(
        "text and behavior, 16 independent codes",
        _behavior(bits="16x256", estimator=ProductQuantizer),
        "ours, behavior",
    ),
    "text-suffix": IdSet("text, suffix", _text("suffix"), "ours, text"),
    "text-shared": IdSet("text, IDs shared", _text("none"), "ours, text"),
    "text-1-beam": IdSet("text, 1 beam", _text(n_beams=1), "ours, text"),
    "text-kmeans": IdSet("text, `ResidualKMeans`", _text(estimator=ResidualKMeans), "ours, text"),
    "text-nearest": IdSet("text, no distinct choice", _text_without_distinct_choice, "ours, text"),
    "text-2": IdSet("text, 2 × 256", _text(bits="2x256"), "ours, text"),
    "text-4": IdSet("text, 4 × 256", _text(bits="4x256"), "ours, text"),
    "text-4x64": IdSet("text, 4 × 64", _text(bits="4x64"), "ours, text"),
    "text-1024": IdSet("text, 3 × 1024", _text(bits="3x1024"), "ours, text"),
    "rqvae": IdSet("textbook RQ-VAE", _text(linear_path=False), "rival"),
    "semantic-id": IdSet("semantic-id RQKMeans", _rival("semantic-id-rqkmeans"), "rival"),
    "faiss": IdSet("faiss RQ, refined", _rival("faiss-rq5-refined"), "rival"),
    "kmeans": IdSet("plain residual k-means", _rival("kmeans-start"), "rival"),
    "category": IdSet("category path", _category, "control"),
    "random": IdSet("random", _random, "control"),
}
UNORDERED = ("behavior-product",)  # for models that write all codes at once
PUBLISHED = {
    "scientific": (
        "cgr_rkmeans_zcr_cf", "cgr_rkmeans_zcr", "cgr_rqvae_zcr", "cgr_letter_zcr",
        "cgr_quasid_zcr", "cgr_rkmeans_native", "cgr_rqvae_native", "cgr_letter_native",
        "cgr_quasid_native", "cgr_mql4grec",
    ),
    "beauty": ("unigenrec_text_rqvae_faiss", "unigenrec_text_rqkmeans", "letter"),
}  # fmt: skip
for _names in PUBLISHED.values():
    for _name in _names:
        ID_SETS[_name] = IdSet(_name.removeprefix("cgr_"), _published(_name), "published", False)
