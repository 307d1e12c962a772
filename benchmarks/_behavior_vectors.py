"""Ways from histories to item vectors: this package's, and those that others are known for.

All take a catalog and a seed, and return one vector per item, NaN for items that no training
history holds. Pairs are of items up to five steps apart, and fade by .6 with each step more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from _catalogs import Catalog
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd

from sklearn_rqvae.embedding import Histories, InteractionEmbedder

DIM, WINDOW, DECAY = 128, 5, 0.6
RIDGE = 100.0  # of EASE; its author takes 200 to 1000 for much larger data
MAX_ITEMS = 6000  # of EASE, which inverts a matrix of items by items
EPOCHS, BATCH, N_NEGATIVES, RATE = 20, 4096, 64, 1e-2  # of item2vec
Embed = Callable[[Catalog, int], np.ndarray]


def embedded(method: str) -> Embed:
    """Return a way of this package."""

    def embed(catalog: Catalog, seed: int) -> np.ndarray:
        interactions = Histories.read(catalog.training())
        embedder = InteractionEmbedder(method, interactions=interactions, random_state=seed)
        return embedder.fit_transform(np.arange(len(catalog.vectors)))

    return embed


def ppmi(catalog: Catalog, seed: int) -> np.ndarray:
    """Decompose positive pointwise mutual information [1]_, contexts smoothed by the power .75.

    References
    ----------
    .. [1] Levy, O. and Goldberg, Y. "Neural word embedding as implicit matrix factorization".
       NeurIPS 2014.
    """
    steps = _steps(catalog)
    counts = (steps + steps.T).tocoo()
    rows = np.maximum(_sums(counts, 1), 1)
    contexts = np.maximum(_sums(counts, 0), 1) ** 0.75
    expected = rows[counts.row] * contexts[counts.col] / contexts.sum()
    information = np.maximum(np.log(counts.data / expected), 0)
    matrix = csr_matrix((information, (counts.row, counts.col)), shape=counts.shape)
    left, values, _ = randomized_svd(matrix, DIM, n_iter=7, random_state=seed)
    return _known(left * np.sqrt(values), catalog)


def directed(catalog: Catalog, seed: int) -> np.ndarray:
    """Decompose what follows what, damped as this package does: half as before, half as after."""
    steps = _steps(catalog)
    before, after = (diags(np.maximum(_sums(steps, axis), 1) ** -0.25) for axis in (1, 0))
    left, values, right = randomized_svd(
        before @ steps.log1p() @ after, DIM // 2, n_iter=7, random_state=seed
    )
    return _known(np.hstack([left, right.T]) * np.tile(np.sqrt(values), 2), catalog)


def ease(catalog: Catalog, seed: int) -> np.ndarray:
    """Decompose the item weights of EASE [1]_.

    References
    ----------
    .. [1] Steck, H. "Embarrassingly shallow autoencoders for sparse data". WWW 2019.
    """
    n_items, training = len(catalog.vectors), catalog.training()
    users = np.repeat(np.arange(len(training)), [len(history) for history in training])
    items = np.concatenate(training)
    touched = csr_matrix((np.ones(len(items)), (users, items)), (len(training), n_items))
    touched.data[:] = 1
    inverse = np.linalg.inv((touched.T @ touched).toarray() + RIDGE * np.eye(n_items))
    weights = np.eye(n_items) - inverse / np.diag(inverse)
    left, values, _ = randomized_svd(weights, DIM, n_iter=7, random_state=seed)
    return _known(left * np.sqrt(values), catalog)


def item2vec(catalog: Catalog, seed: int) -> np.ndarray:
    """Train skip-grams with negative samples by popularity to the power .75 [1]_.

    References
    ----------
    .. [1] Barkan, O. and Koenigstein, N. "Item2vec: neural item embedding for collaborative
       filtering". MLSP 2016.
    """
    steps = _steps(catalog)
    pairs = (steps + steps.T).tocoo()
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.from_numpy(part.astype(np.int64)) for part in (pairs.row, pairs.col))
    weight = torch.from_numpy(pairs.data.astype(np.float32))
    popularity = torch.from_numpy(_sums(pairs, 0).astype(np.float32)) ** 0.75
    items, contexts = (
        torch.randn(len(catalog.vectors), DIM, generator=generator).mul_(0.1).requires_grad_()
        for _ in range(2)
    )
    optimizer = torch.optim.Adam([items, contexts], lr=RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows), generator=generator).split(BATCH):
            others = torch.multinomial(popularity, N_NEGATIVES, True, generator=generator)
            state = items[rows[batch]]
            right = torch.nn.functional.logsigmoid((state * contexts[columns[batch]]).sum(1))
            wrong = torch.nn.functional.logsigmoid(-(state @ contexts[others].T)).mean(1)
            loss = -(weight[batch] * (right + 5 * wrong)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return _known(items.detach().numpy(), catalog)


WAYS: dict[str, tuple[str, Embed]] = {
    "cooccurrence": ('``method="cooccurrence"``', embedded("cooccurrence")),
    "self-attention": ('``method="self-attention"``', embedded("self-attention")),
    "directed": ("the same with direction", directed),
    "ppmi": ("PPMI, decomposed", ppmi),
    "item2vec": ("item2vec", item2vec),
    "ease": ("EASE, decomposed", ease),
}


def _steps(catalog: Catalog) -> csr_matrix:
    """Count what follows what in training, fading with the distance."""
    shape = (len(catalog.vectors),) * 2
    total = csr_matrix(shape)
    for gap in range(1, WINDOW + 1):
        pairs = [(h[:-gap], h[gap:]) for h in catalog.training() if len(h) > gap]
        before, after = map(np.concatenate, zip(*pairs, strict=True))
        total += csr_matrix((np.full(len(before), DECAY ** (gap - 1)), (before, after)), shape)
    return total


def _sums(matrix: csr_matrix, axis: int) -> np.ndarray:
    return np.asarray(matrix.sum(axis=axis)).ravel()


def _known(vectors: np.ndarray, catalog: Catalog) -> np.ndarray:
    """Scale vectors to unit length, NaN where no training history holds the item."""
    known = np.bincount(np.concatenate(catalog.training()), minlength=len(vectors)) > 0
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return np.where(known[:, None], unit, np.nan).astype(np.float32)
