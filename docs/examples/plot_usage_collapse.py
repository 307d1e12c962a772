"""
A healthy level and a collapsed one
===================================

What collapse looks like, in numbers and in :class:`~sklearn_rqvae.plotting.CodebookUsageDisplay`;
how the input brings it about, and how a learning rate does.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_rqvae import RQVAETransformer, metrics
from sklearn_rqvae.datasets import make_residual_blobs
from sklearn_rqvae.exceptions import CodebookCollapseWarning
from sklearn_rqvae.plotting import CodebookUsageDisplay

X, _ = make_residual_blobs(2000, 16, n_layers=2, codebook_size=32, noise=1.0, random_state=0)
sizes = {"n_layers": 2, "codebook_size": 32, "random_state": 0}


def fit(model, X):
    """Fit and print the warning, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CodebookCollapseWarning)
        model.fit(X)
    for warning in caught:
        print(warning.message)
    return model


# %%
# Healthy
# -------
# Each panel is a level, its codewords ordered by how many items have them. The flatter the line,
# the more the level says. The perplexity is the number of codewords that, used alike, would say as
# much.

healthy = fit(RQVAETransformer(**sizes), X)
CodebookUsageDisplay.from_estimator(healthy, X)
plt.show()

# %%
# Collapsed by its input
# ----------------------
# The same items, but their vectors now have lengths between a millionth and a million, an
# exaggeration of what sums and counts look like. The squared error is all that a quantizer looks
# at, and a handful of rows has nearly all of it: they take the codewords, and the others share what
# is left. `fit` warns of it and names the levels.

lengths = np.exp(5 * np.random.default_rng(0).normal(size=(len(X), 1)))
collapsed = fit(RQVAETransformer(**sizes), X * lengths)

# %%
# Every codeword is used, by some row at least, so that the utilization sees nothing. The perplexity
# does, and so does the picture.

CodebookUsageDisplay.from_estimator(collapsed, X * lengths)
plt.show()

# %%
# *Way out.* Where the direction of a vector is what matters, as with texts, give all of them the
# same length.

cured = fit(make_pipeline(Normalizer(), RQVAETransformer(**sizes)), X * lengths)

# %%
# Collapsed in training
# ---------------------
# Gradients can do it as well. A learning rate a hundred times too large throws the latents away
# from their codewords, and nobody chooses those again.

plain = {"linear_path": False, "codebook_mode": "STE", "hidden_dims": [64], "batch_size": 128}
wild = fit(RQVAETransformer(**sizes, **plain, max_epochs=20, lr=1.0), X)
tame = fit(RQVAETransformer(**sizes, **plain, max_epochs=20, lr=0.01), X)

# %%
# In numbers
# ----------
# By level, never pooled: two levels with a single code each look like two codes in use.

for name, codes in {
    "healthy": healthy.transform(X),
    "long and short rows": collapsed.transform(X * lengths),
    "the same, normalized": cured.transform(X * lengths),
    "lr=1": wild.transform(X),
    "lr=0.01": tame.transform(X),
}.items():
    print(
        f"{name:20s} utilization {np.round(metrics.code_utilization(codes, codebook_size=32), 2)}"
        f"  perplexity {np.round(metrics.code_perplexity(codes, codebook_size=32), 1)}"
        f"  collisions {metrics.collision_rate(codes):.0%}"
    )

# %%
# :doc:`/user_guide/collapse` has the other causes and ways out.
