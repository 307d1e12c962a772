"""
A map of the codes
==================

Where the items of a code lie, on two principal components: first those of the first level, then
those of the second within one code of the first. And, for hundreds of codes, which are similar.
"""

# sphinx_gallery_thumbnail_number = 3

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.plotting import CodebookMapDisplay, CodeMapDisplay

docs = load_api_docs()
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(docs.data)
codes = RQVAETransformer(codebook_size=[16, 16, 16], random_state=0).fit_transform(vectors)

# %%
# The eight most frequent codes have a color and a mark, the others are grey. Their names are the
# library that most of their items come from, and its share.

library = np.array([name.partition(".")[0] for name in docs.names])
names = {}
for code in range(16):
    members = library[codes[:, 0] == code]
    kinds, counts = np.unique(members, return_counts=True)
    names[code] = f"{code}: {kinds[counts.argmax()]} {counts.max() / len(members):.0%}"

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
CodeMapDisplay.from_codes(vectors, codes, code_names=names, ax=ax)
plt.show()

# %%
# Two components show little of 64 dimensions, and the title says so: groups that overlap here are
# apart elsewhere. What the second level adds is seen best among the items of one code, on
# components of their own.

largest = np.bincount(codes[:, 0]).argmax()
members = codes[:, 0] == largest
fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
CodeMapDisplay.from_codes(vectors[members], codes[members], level=1, ax=ax)
plt.show()

# %%
# Eight colors are few for 256 codes, which are the default.
# :class:`~sklearn_rqvae.plotting.CodebookMapDisplay` shows codes instead of items: each bubble is a
# first code, as large as its number of items, beside those that are similar.

many = RQVAETransformer(random_state=0).fit_transform(vectors)
fig, ax = plt.subplots(figsize=(11, 6.5), layout="constrained")
CodebookMapDisplay.from_codes(vectors, many, texts=docs.data, ax=ax)
plt.show()

# %%
# Any two coordinates will do, of UMAP or t-SNE for example: pass them as ``coordinates`` of
# `CodeMapDisplay`.
