"""
When the catalog drifts away
============================

New items are encoded by an old model. How well it still fits them, how that shows, and what a new
fit does to the IDs.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.semantic_id import fit_shift

docs = load_api_docs()
names, first_rows = np.unique(docs.names, return_index=True)
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(
    [docs.data[row] for row in first_rows]
)
is_torch = np.char.startswith(names.astype(str), "torch.")

# %%
# A model of the items of three libraries. Some of their own items are held out, and those of the
# fourth, torch, are the new assortment.

later = np.arange(len(names)) % 5 == 0
train = ~is_torch & ~later
parts = {"training": train, "new, same kind": ~is_torch & later, "new, other kind": is_torch}
model = ResidualKMeans(codebook_size=64, random_state=0).fit(vectors[train])

# %%
# Does the model still fit?
# -------------------------
# Items of the same kind, but unseen, are the yardstick: they are already farther from their
# reconstruction than training items. Items of another kind are farther still.

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
styles = zip(("#0072b2", "#009e73", "#d55e00"), ("solid", "dashed", "dotted"), strict=True)
for (name, rows), (color, style) in zip(parts.items(), styles, strict=True):
    X = vectors[rows]
    error = np.square(X - model.inverse_transform(model.transform(X))).sum(axis=1)
    ax.ecdf(error, label=name, color=color, linestyle=style, linewidth=2)
ax.set(xlabel="squared error of the reconstruction", ylabel="share of items")
ax.legend(loc="lower right")
plt.show()

# %%
# :func:`~sklearn_rqvae.semantic_id.fit_shift` puts that in numbers. Compare with held-out items,
# not with training items: these are always better.

for name in ("new, other kind", "training"):
    shift = fit_shift(model, vectors[parts["new, same kind"]], vectors[parts[name]])
    print(
        f"{name:16s} against unseen items of the same kind: error × {shift.ratio_by_depth[-1]:.2f},"
        f" beyond the 95th percentile {shift.beyond_95:.0%}"
    )

# %%
# What a new fit changes
# ----------------------
# A new fit names everything anew. ``drift`` matches the codes of both fits as well as it can; what
# changes even then is a new grouping, not a new name.

again = ResidualKMeans(codebook_size=64, random_state=0).fit(vectors)
old = SemanticIDIndex.from_estimator(model, vectors[~is_torch], names[~is_torch])
new = SemanticIDIndex.from_estimator(again, vectors, names)
print(old.drift(new))

# %%
# :doc:`/user_guide/shift` says when that is worth it.
