"""
From texts to vectors
=====================

Semantic IDs can only be as good as the vectors. A look at those of
:class:`~sklearn_rqvae.TextEmbedder`: what they find alike, and how many dimensions they need.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rqvae import TextEmbedder
from sklearn_rqvae.datasets import load_api_docs

docs = load_api_docs()
embedder = TextEmbedder(n_components=128, random_state=0)
vectors = embedder.fit_transform(docs.data)
print(vectors.shape, vectors.dtype)

# %%
# Neighbors
# ---------
# Vectors have length 1, so that a product is a cosine. The embedder knows the catalog's own
# vocabulary, and a plural or a typo doesn't disturb it. Synonyms it doesn't know: for these, take a
# language model.

queries = ["singular value decompositions", "draw sampels from a Poisson distribution"]
similarity = embedder.transform(queries) @ vectors.T
for query, row in zip(queries, similarity, strict=True):
    best = np.argsort(row)[::-1][:3]
    print(f"{query}:", ", ".join(f"{docs.names[item]} ({row[item]:.2f})" for item in best))

# %%
# Similarity and names
# --------------------
# Eight items of four kinds. Dark squares are pairs of items that the vectors find alike.

names = [
    "numpy.sort", "numpy.argsort", "numpy.linalg.inv", "scipy.linalg.inv",
    "torch.nn.LazyConv1d", "torch.nn.LazyConv2d", "sklearn.metrics.recall_score",
    "sklearn.metrics.precision_score",
]  # fmt: skip
shown = [docs.names.index(name) for name in names]
fig, ax = plt.subplots(figsize=(7, 5.4), layout="constrained")
image = ax.imshow(vectors[shown] @ vectors[shown].T, cmap="Greys", vmin=0, vmax=1)
labels = [name.rpartition(".")[2] for name in names]
labels[2:4] = ["numpy … inv", "scipy … inv"]
ax.set_xticks(range(len(names)), labels, rotation=40, ha="right")
ax.set_yticks(range(len(names)), labels)
ax.set_title("Cosine between items")
fig.colorbar(image)
plt.show()

# %%
# How many dimensions
# -------------------
# The components are ordered by how much they explain, so fewer of them are the first columns. The
# curve says how many of the ten nearest neighbors by 128 dimensions remain among the ten nearest by
# fewer.

rng = np.random.default_rng(0)
some = rng.choice(len(vectors), 300, replace=False)


def neighbors(X):
    """Return the ten nearest rows of some rows by cosine, themselves left out."""
    X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    closeness = X[some] @ X.T
    closeness[np.arange(len(some)), some] = -np.inf
    return np.argpartition(-closeness, 10, axis=1)[:, :10]


reference = neighbors(vectors)
dimensions = [2, 4, 8, 16, 32, 64, 96]
kept = [
    np.mean(
        [
            len(set(a) & set(b)) / 10
            for a, b in zip(reference, neighbors(vectors[:, :dimension]), strict=True)
        ]
    )
    for dimension in dimensions
]
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(dimensions, kept, marker="o", color="#0072b2")
ax.set(xlabel="dimensions", ylabel="neighbors kept", xscale="log", ylim=(0, 1))
ax.set_xticks(dimensions, dimensions)
ax.minorticks_off()
plt.show()

# %%
# :doc:`/user_guide/text` says how to use a language model instead.
