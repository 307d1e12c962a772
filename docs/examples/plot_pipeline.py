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
from sklearn_rqvae.metrics import code_perplexity, code_usage, fraction_variance_unexplained

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
        (
            "rq",
            RQVAETransformer(n_layers=3, codebook_size=64, n_beams=4, max_epochs=5, random_state=0),
        ),
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
    print("   ", ", ".join(docs.names[members[:3]]), "…")

# %%
# Each code adds detail, and all are used
# ---------------------------------------
# A prefix decodes, too. The reconstruction gets closer with every code: the fraction of variance
# unexplained falls (left). At a healthy level most codewords are in use (right). A perplexity of 40
# means: as informative as 40 codewords used alike.

vectors = pipeline.named_steps["emb"].transform(docs.data)
rq = pipeline.named_steps["rq"]
n_levels = codes.shape[1]
unexplained = [1.0] + [
    fraction_variance_unexplained(vectors, rq.inverse_transform(codes[:, :k]))
    for k in range(1, n_levels + 1)
]
perplexity = code_perplexity(codes, codebook_size=64)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(range(n_levels + 1), unexplained, "o-", color="tab:blue")
left.set(
    xlabel="number of codes",
    ylabel="fraction of variance unexplained",
    ylim=(0, 1.05),
    xticks=range(n_levels + 1),
    title="Every code adds detail",
)
for level, usage in enumerate(code_usage(codes, codebook_size=64)):
    right.step(
        np.arange(64),
        np.sort(usage)[::-1],
        where="mid",
        linestyle=["-", "--", ":"][level],
        label=f"level {level}: perplexity {perplexity[level]:.0f}",
    )
right.set(
    xlabel="codewords, most used first",
    ylabel="items",
    yscale="log",
    title="All codes are used",
)
right.legend()
plt.show()

# %%
# New items
# ---------
# ``transform`` encodes texts that weren't there in ``fit``. Its neighbors in the catalog share its
# first code.

query = "sort_rows: Sort the rows of a matrix by the values in one column."
query_codes = pipeline.transform([query])[0]
same_first = np.flatnonzero(codes[:, 0] == query_codes[0])
closest = same_first[
    np.argsort(((vectors[same_first] - rq.inverse_transform([query_codes])) ** 2).sum(1))
][:5]
print(query)
print("codes", tuple(map(int, query_codes)))
for item in closest:
    print("-", docs.data[item][:70])
