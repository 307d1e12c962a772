"""
A training loop of your own
===========================

:class:`~sklearn_rqvae.nn.RqVae` is an ordinary torch module. Here it is trained by a plain loop,
with a loss of its own, saved, and loaded again.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.utils.data import DataLoader

from sklearn_rqvae import RQVAETransformer, TextEmbedder, metrics
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae

generator = torch.Generator().manual_seed(0)
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(load_api_docs().data)
items = torch.from_numpy(vectors)

# %%
# A loss of one's own
# -------------------
# Override :meth:`~sklearn_rqvae.nn.RqVae.compute_loss`. This one also asks for latents that are
# small.


class SmallLatents(RqVae):
    """An RQ-VAE that keeps its latents small."""

    def compute_loss(self, x, outputs):
        """Add the mean squared latent to the usual loss."""
        return super().compute_loss(x, outputs) + 0.01 * self.encode(x).square().mean()


model = SmallLatents(
    input_dim=64,
    embed_dim=32,
    hidden_dims=[128],
    codebook_size=64,
    n_layers=3,
    codebook_mode=QuantizeForwardMode.ROTATION_TRICK,
    generator=generator,
)

# %%
# The loop
# --------
# Scale the input once and start the codebooks from the data. ``autoencode`` trains without the
# quantizer: eight epochs of that give latents worth quantizing.

model.set_scaling(items.mean(0), items.std())
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
loader = DataLoader(items, batch_size=256, shuffle=True, generator=generator)
losses = []
for epoch in range(24):
    if epoch == 8:
        model.initialize_codebooks(items)
    total = 0.0
    for batch in loader:
        optimizer.zero_grad()
        outputs = model(batch) if epoch >= 8 else model.autoencode(batch)
        outputs.loss.backward()
        optimizer.step()
        if 8 <= epoch < 20:
            model.reset_dead_codes(batch, optimizer)
        total += outputs.reconstruction_loss.item() * len(batch)
    losses.append(total / len(items))

# %%
# Quantization costs some of the reconstruction; training wins part of it back.

fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(range(1, 25), losses, color="#0072b2")
ax.axvline(8.5, color="black", linestyle="dashed", linewidth=1)
ax.annotate("codebooks start", (8.8, 0.85), xycoords=("data", "axes fraction"))
ax.set(xlabel="epoch", ylabel="reconstruction loss", ylim=(0, None))
plt.show()

# %%
# Semantic IDs
# ------------

model.eval()
codes = model.get_semantic_ids(items)
print(codes.shape, codes.dtype)
print("utilization by level:", metrics.code_utilization(codes.numpy(), codebook_size=64))

# %%
# A checkpoint holds tensors and plain values, and runs no code when it is loaded.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "checkpoint.pt"
    model.save_checkpoint(path)
    again = SmallLatents.load_from_checkpoint(path).eval()
print("same codes after loading:", torch.equal(again.get_semantic_ids(items), codes))

# %%
# In the estimator
# ----------------
# The estimator trains the same class, with its own schedule, start and choice of epoch.

estimator = RQVAETransformer(
    module=SmallLatents,
    linear_path=False,
    codebook_mode="ROTATION_TRICK",
    hidden_dims=[128],
    codebook_size=64,
    max_epochs=24,
    batch_size=256,
    random_state=0,
).fit(vectors)
for name, reconstruction in (
    ("own loop", model.decode(codes).detach().numpy()),
    ("estimator", estimator.inverse_transform(estimator.transform(vectors))),
):
    unexplained = metrics.fraction_variance_unexplained(vectors, reconstruction)
    print(f"{name:9s} fraction of variance unexplained: {unexplained:.3f}")
