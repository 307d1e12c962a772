"""
How many items share an ID
==========================

Collisions by length of the prefix, what part of them no quantizer can avoid, and what it costs to
make all IDs unique.
"""

import matplotlib.pyplot as plt

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex, TextEmbedder, metrics
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.plotting import CollisionDisplay

docs = load_api_docs()
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(docs.data)
model = ResidualKMeans(codebook_size=64, random_state=0).fit(vectors)
codes = model.transform(vectors)

# %%
# The prefix of one code is meant to be shared: that is what makes it a group. Of complete IDs, the
# part below the dashed line belongs to items with equal vectors, which no quantizer can tell apart.

CollisionDisplay.from_codes(codes, X=vectors)
plt.show()

# %%
# Two ways to unique IDs
# ----------------------
# :class:`~sklearn_rqvae.SemanticIDIndex` appends a code that counts the items with equal codes, or
# moves some of these items to the next best ID that is free.

names = [f"{number}: {name}" for number, name in enumerate(docs.names)]
for collisions in ("suffix", "reassign"):
    index = SemanticIDIndex.from_estimator(model, vectors, names, collisions=collisions)
    print(f"--- {collisions}: IDs of {index.width} codes")
    print(index.report_)

# %%
# What a suffix must be able to tell apart is the largest group.

print("largest group of items with one ID:", metrics.largest_group(codes))

# %%
# :doc:`/user_guide/catalog` says which of the two to take.
