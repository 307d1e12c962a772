"""
The loss rises, the reconstruction improves
===========================================

Why the total loss is no measure of a fit, and which epoch is the best:
:class:`~sklearn_rqvae.plotting.TrainingCurveDisplay` on the textbook model, two MLPs around the
quantizer, trained by gradients.
"""

import matplotlib.pyplot as plt

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.plotting import TrainingCurveDisplay

vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(load_api_docs().data)

# %%
# ``early_stopping=True`` holds out a tenth of the items, keeps the weights of the epoch that
# reconstructs these best, and stops when nothing improves for `n_iter_no_change` epochs.

model = RQVAETransformer(
    linear_path=False,
    hidden_dims=[128],
    codebook_size=64,
    max_epochs=45,
    lr=2e-3,
    early_stopping=True,
    random_state=0,
).fit(vectors)
print(model.n_iter_, "epochs of at most", model.max_epochs)

# %%
# The first third of the epochs trains the autoencoder without quantization. Then the codebooks
# start from k-means, and the distortion is that of the quantized model. The codebook and commitment
# losses are in units of the latent, which is free to grow: the sum of the losses says little about
# the reconstruction.

display = TrainingCurveDisplay.from_estimator(model)
display.figure_.set_size_inches(9, 6)
plt.show()

# %%
# ``history_`` has the same as plain numbers, an entry for each epoch.

quantized = [epoch for epoch in model.history_ if "valid_distortion" in epoch]
for epoch in (quantized[0], quantized[-1]):
    print({name: epoch[name] for name in ("epoch", "train_loss", "valid_distortion")})
