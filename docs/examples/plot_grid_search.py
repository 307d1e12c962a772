"""
Search over quantize modes
==========================

Is the closed form better than a network trained by gradients, and by which mode? Both are
parameters like any other: a :class:`~sklearn.model_selection.GridSearchCV` over them, in a pipeline
that starts with texts.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.metrics import get_scorers
from sklearn_rqvae.nn import QuantizeForwardMode

texts = load_api_docs().data[::6]

# %%
# All candidates share their vectors: ``memory`` keeps what the embedder returns for each fold.
# ``None`` is the closed form, the default; with ``linear_path=False`` the four modes train the
# textbook RQ-VAE. The scorers measure several things at once, and `refit` says which one decides.

modes = list(QuantizeForwardMode)
with tempfile.TemporaryDirectory() as folder:
    pipeline = Pipeline(
        [
            ("emb", TextEmbedder(n_components=64, random_state=0)),
            ("rq", RQVAETransformer(codebook_size=32, random_state=0)),
        ],
        memory=folder,
    )
    search = GridSearchCV(
        pipeline,
        [
            {"rq__codebook_mode": [None]},
            {
                "rq__codebook_mode": modes,
                "rq__linear_path": [False],
                "rq__hidden_dims": [[64]],
                "rq__max_epochs": [30],
                "rq__batch_size": [64],
            },
        ],
        cv=2,
        scoring=get_scorers(),
        refit="neg_fraction_variance_unexplained",
    ).fit(texts)
names = ["closed form", *(mode.name for mode in modes)]
print("best:", names[search.best_index_])

# %%
# Every row of ``cv_results_`` is a candidate. On the left is what is left of the variance of items
# that weren't seen, lower is better; on the right the seconds of a fit. Four hundred items and
# thirty epochs are little for a network; :doc:`/benchmarks/modes` gives it more.

results = search.cv_results_
unexplained = -results["mean_test_neg_fraction_variance_unexplained"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, values, label in (
    (axes[0], unexplained, "fraction of variance unexplained, held out"),
    (axes[1], results["mean_fit_time"], "seconds of a fit"),
):
    ax.barh(names, values, color="#0072b2")
    ax.set(xlabel=label)
axes[0].invert_yaxis()
plt.show()

# %%
# The other scorers tell whether a good distortion was bought by collapse.

for name, utilization, entropy in zip(
    names,
    results["mean_test_lowest_utilization"],
    results["mean_test_semantic_id_entropy"],
    strict=True,
):
    print(f"{name:15s} lowest utilization {utilization:.2f}, entropy {entropy:.1f} bits")
print("entropy of IDs without collisions:", np.round(np.log2(len(texts) / 2), 1), "bits")
