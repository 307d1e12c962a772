"""
What the prefixes mean
======================

:class:`~sklearn_rqvae.plotting.PrefixTreeDisplay` is the picture for people who don't know the
method: each area is a prefix, as large as its number of items, with the words that set these items
apart.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np

from sklearn_rqvae import RQVAETransformer, TextEmbedder, metrics
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.plotting import PrefixTreeDisplay

docs = load_api_docs()
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(docs.data)
codes = RQVAETransformer(codebook_size=32, random_state=0).fit_transform(vectors)

# %%
# The twelve largest of the 32 first codes, each divided by second codes.

fig, ax = plt.subplots(figsize=(10, 6.5), layout="constrained")
PrefixTreeDisplay.from_codes(codes, texts=docs.data, ax=ax)
plt.show()

# %%
# At real sizes
# -------------
# Of 256 first codes, which are the default, the twelve largest would show a small part of the
# items. With the vectors the picture knows which codes are similar: its tiles are branches of
# similar codes then, its fields are first codes, and all items are in it.

many = RQVAETransformer(random_state=0).fit_transform(vectors)
fig, ax = plt.subplots(figsize=(10, 6.5), layout="constrained")
PrefixTreeDisplay.from_codes(many, X=vectors, texts=docs.data, ax=ax)
plt.show()

# %%
# In numbers
# ----------
# Of two items that share their first codes with a third, the one that shares the next code as well
# should be the closer one. 0.5 is chance.

consistency = metrics.hierarchy_consistency(vectors, codes, random_state=0)
print("hierarchy consistency by level:", np.round(consistency, 2))

# %%
# Labels tell what the codes agree with. The library that an item comes from isn't in the text; its
# vocabulary gives it away. Random groups of the same sizes have an adjusted mutual information
# of 0.

library = np.array([name.partition(".")[0] for name in docs.names])
print("purity by length of prefix:", np.round(metrics.prefix_purity(codes, library), 2))
information = metrics.prefix_adjusted_mutual_info(codes, library)
print("adjusted mutual information:", np.round(information, 2))
