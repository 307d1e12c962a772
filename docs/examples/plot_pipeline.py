"""
Semantic IDs for a catalog of texts
===================================

From item texts to semantic IDs in one pipeline, and a look at what the IDs mean.

The catalog is :func:`~sklearn_rqvae.datasets.load_api_docs`: the functions and classes of the
installed numerical libraries, each with its name and the first sentence of its documentation.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.metrics import fraction_variance_unexplained
from sklearn_rqvae.plotting import CodebookUsageDisplay, PrefixTreeDisplay

docs = load_api_docs()
print(len(docs.data), "items, for example:")
for text in docs.data[::1200]:
    print("-", text[:70])

# %%
# Fit
# ---
# :class:`~sklearn_rqvae.TextEmbedder` makes vectors from the texts' character n-grams, without any
# model or download. :class:`~sklearn_rqvae.RQVAETransformer` learns the codes. Its sizes are
# smaller here than the defaults, to be quick.

pipeline = Pipeline(
    [
        ("emb", TextEmbedder(n_components=64, random_state=0)),
        ("rq", RQVAETransformer(codebook_size=64, random_state=0)),
    ]
)
codes = pipeline.fit_transform(docs.data)
print("codes", codes.shape, codes.dtype)

# %%
# Items that share a prefix
# -------------------------
# Items with the same first code form a coarse group, items with the same first two codes a finer
# one. These are the largest groups of two codes, with some of their items.

pairs, group, sizes = np.unique(codes[:, :2], axis=0, return_inverse=True, return_counts=True)
for largest in np.argsort(sizes)[::-1][:4]:
    members = np.flatnonzero(group == largest)
    print(f"codes {pairs[largest]}, {sizes[largest]} items:")
    print("   ", ", ".join(docs.names[member] for member in members[:3]), "…")

# %%
# All first codes in branches of similar ones, with the words that set their items apart:

PrefixTreeDisplay.from_estimator(pipeline, docs.data, texts=docs.data)
plt.show()

# %%
# Each code adds detail
# ---------------------
# A prefix decodes, too. The reconstruction gets closer with every code: the fraction of variance
# unexplained falls.

vectors = pipeline.named_steps["emb"].transform(docs.data)
rq = pipeline.named_steps["rq"]
for n_codes in (1, 2, 3):
    reconstruction = rq.inverse_transform(codes[:, :n_codes])
    print(n_codes, "codes:", round(fraction_variance_unexplained(vectors, reconstruction), 3))

# %%
# All codes are used
# ------------------
# At a healthy level most codewords are in use, and none by a large part of the catalog. A
# perplexity of 40 means: as informative as 40 codewords that are used alike.

CodebookUsageDisplay.from_codes(codes, codebook_size=64)
plt.show()

# %%
# New items
# ---------
# ``transform`` encodes texts that weren't there in ``fit``. Its neighbors in the catalog share its
# first code.

query = "poisson_noise: Draw random samples from a Poisson distribution."
query_codes = pipeline.transform([query])[0]
same_first = np.flatnonzero(codes[:, 0] == query_codes[0])
closest = same_first[
    np.argsort(((vectors[same_first] - rq.inverse_transform([query_codes])) ** 2).sum(1))
][:5]
print(query)
print("codes", tuple(map(int, query_codes)))
for item in closest:
    print("-", docs.data[item][:70])
