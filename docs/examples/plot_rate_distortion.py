"""
What a bit buys
===============

Rate and distortion of three quantizers on items that none of them has seen, the length of what each
level leaves, and the same picture from a search.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV, train_test_split

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, TextEmbedder, metrics
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.plotting import RateDistortionDisplay, ResidualNormDisplay

vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(load_api_docs().data)
train, held_out = train_test_split(vectors, test_size=0.1, random_state=0)

# %%
# Each level adds its bits
# ------------------------
# A point is a prefix: after one level an ID has 6 bits, after four it has 24. Compare models at
# equal bits only: distortion falls with every bit, whoever spends it.

sizes = {"n_layers": 4, "codebook_size": 64, "random_state": 0}
models = {
    "RQVAETransformer": RQVAETransformer(**sizes),
    "ResidualKMeans": ResidualKMeans(**sizes),
    "textbook RQ-VAE": RQVAETransformer(
        **sizes, linear_path=False, hidden_dims=[128], max_epochs=20
    ),
}
for model in models.values():
    model.fit(train)
RateDistortionDisplay.from_estimators(models, held_out)
plt.show()

# %%
# What is left
# ------------
# The residual by level: its mean length, and how it spreads over the items. A level that hardly
# shortens it wastes its bits.

ResidualNormDisplay.from_estimator(models["RQVAETransformer"], held_out)
plt.show()

# %%
# From a search
# -------------
# A search over sizes makes such curves by cross-validation, one for each codebook size.

search = GridSearchCV(
    ResidualKMeans(n_iter=2, random_state=0),
    {"n_layers": [1, 2, 3], "codebook_size": [16, 64]},
    scoring={"neg_fraction_variance_unexplained": metrics.neg_fraction_variance_unexplained},
    refit=False,
    cv=2,
).fit(train)
RateDistortionDisplay.from_cv_results(search.cv_results_)
plt.show()
