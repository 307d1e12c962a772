"""
A catalog that grows
====================

:class:`~sklearn_rqvae.SemanticIDIndex` gives each item an ID of its own, finds items by prefix,
takes new items without moving old ones, and says how full its prefixes are.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rqvae import RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs

docs = load_api_docs()
names, first_rows = np.unique(docs.names, return_index=True)
texts = [docs.data[row] for row in first_rows]
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(texts)

# %%
# Build it
# --------
# Nine tenths of the items are the catalog, the others come later.

new = np.arange(len(names)) % 10 == 0
model = RQVAETransformer(codebook_size=32, random_state=0).fit(vectors[~new])
index = SemanticIDIndex.from_estimator(
    model, vectors[~new], names[~new], collisions="suffix", suffix_size=256
)
print(index.report_)

# %%
# Look things up
# --------------

item = "numpy.sort"
item = item if item in index else index.item_ids_[0]
print(item, index[item])
print("the item behind the ID:", index.item(index[item]))
neighbors, n_shared = index.prefix_neighbors(item, 5)
for neighbor, shared in zip(neighbors, n_shared, strict=True):
    print(f"  shares {shared} codes: {neighbor}")

# %%
# New items
# ---------
# They get IDs from the model as it is. No ID that was given before moves.

before = {name: index[name] for name in names[~new]}
added = index.append_from_estimator(model, vectors[new], names[new])
print(len(added), "new items, for example", names[new][0], tuple(map(int, added[0])))
moved = [name for name, semantic_id in before.items() if index[name] != semantic_id]
print("old IDs that moved:", len(moved))

# %%
# How full is it
# --------------
# A suffix of 256 leaves room. The picture counts the items behind each prefix of three codes, which
# is what the suffix has to tell apart.

_, counts = index.prefix_counts(3)
sizes, how_often = np.unique(counts, return_counts=True)
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.bar(sizes, how_often, color="#0072b2")
ax.set(xlabel="items with the same three codes", ylabel="number of prefixes", yscale="log")
plt.show()

# %%
# Only IDs that exist
# -------------------
# A generator that writes an ID code by code may only continue to items of the catalog: a row of
# this mask for each sequence says which codes may follow.

mask = index.trie().allowed([list(index[item][:2])])
print("codes that may follow", index[item][:2], "are", np.flatnonzero(mask[0])[:10], "…")
