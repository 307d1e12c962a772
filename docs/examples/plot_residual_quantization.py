"""
Residual quantization in the plane
==================================

Two levels of four codewords each, on points in two dimensions, where everything can be seen.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_rqvae.nn import ResidualQuantizer

rng = np.random.default_rng(0)
centers = np.array([[2.0, 1.5], [-2.0, 1.2], [-1.2, -1.8], [1.8, -1.4]])
points = np.concatenate([rng.normal(center, 0.6, size=(150, 2)) for center in centers])

# %%
# :class:`~sklearn_rqvae.nn.ResidualQuantizer` starts its codebooks by k-means: the first on the
# points, the second on what the first leaves.

latent = torch.tensor(points, dtype=torch.float32)
quantizer = ResidualQuantizer(
    codebook_size=4, embed_dim=2, n_layers=2, generator=torch.Generator().manual_seed(1)
)
quantizer.initialize(latent)
quantizer.eval()
quantization = quantizer(latent)
codes = quantization.codes.numpy()
first, second = (codebook.detach().numpy() for codebook in quantizer.codebooks)
quantized = quantization.quantized.detach().numpy()

# %%
# The first level picks the nearest of four codewords (large marks). What is left of a point, its
# residual, is quantized by the second level, whose codewords are corrections: the same four for all
# first codewords. Their sums are sixteen places for points. On the right is the same in the second
# level's coordinates.

colors = np.array(["#0072b2", "#d55e00", "#009e73", "#cc79a7"])
marks = np.array(["o", "s", "^", "D"])
fig, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")

axes[0].scatter(*points.T, s=6, c=colors[codes[:, 0]], alpha=0.5)
for color, mark, codeword in zip(colors, marks, first, strict=True):
    axes[0].scatter(*codeword, s=140, c=color, marker=mark, edgecolors="black", zorder=3)
    for correction in second:
        axes[0].annotate(
            "",
            codeword + correction,
            codeword,
            arrowprops={"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0},
        )
axes[0].set(title="Level 0: codewords, and what level 1 can add", aspect="equal")

residuals = quantization.residuals[1].detach().numpy()
for code, (color, mark) in enumerate(zip(colors, marks, strict=True)):
    members = codes[:, 0] == code
    axes[1].scatter(*residuals[members].T, s=8, c=color, marker=mark, alpha=0.5)
for correction in second:
    axes[1].annotate(
        "",
        correction,
        (0, 0),
        arrowprops={"arrowstyle": "->", "color": "black", "lw": 2, "shrinkB": 0},
    )
axes[1].set(title="Level 1: residuals, and its codewords", aspect="equal")
plt.show()

# %%
# A point is the sum of its codewords and the last residual, exactly. Each level makes the residual
# shorter.

last_residual = latent - quantization.quantized
for name, left in (
    ("points around their mean", latent - latent.mean(0)),
    ("after level 0", quantization.residuals[1]),
    ("after level 1", last_residual),
):
    print(f"{name:26s} mean squared length {left.detach().square().sum(1).mean():.3f}")
