"""
What gradient crosses the quantizer
===================================

In training, the four quantize modes differ in which codeword a level chooses and in the gradient
that the residual receives. In two dimensions both can be drawn.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sklearn_rqvae.nn import QuantizeForwardMode, ResidualQuantizer

codewords = torch.tensor([[1.0, 1.0], [-1.2, 0.6], [-0.5, -1.2], [1.3, -0.6]])
side = np.linspace(-2, 2, 11)
grid = torch.tensor(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), dtype=torch.float32)

# %%
# One level with four codewords, in training mode. The loss pulls every *quantized* vector to the
# right with the same force; its gradient with respect to the *residuals* is what the mode makes of
# that force.


def pull(mode):
    """Return the codes of the grid points and the negative gradient that they receive."""
    quantizer = ResidualQuantizer(
        codebook_size=4,
        embed_dim=2,
        n_layers=1,
        codebook_mode=mode,
        temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    quantizer.levels[0].initialize(codewords)
    residual = grid.clone().requires_grad_()
    quantization = quantizer(residual)
    (-quantization.quantized[:, 0]).sum().backward()
    return quantization.codes[:, 0].numpy(), -residual.grad.numpy()


titles = {
    QuantizeForwardMode.STE: "STE\nunchanged",
    QuantizeForwardMode.ROTATION_TRICK: "Rotation trick\nturned with the residual",
    QuantizeForwardMode.GUMBEL_SOFTMAX: "Gumbel-softmax\nstrong between codewords",
    QuantizeForwardMode.SINKHORN: "Sinkhorn\nunchanged; cells of equal size",
}
colors = np.array(["#0072b2", "#d55e00", "#009e73", "#cc79a7"])
fig, axes = plt.subplots(2, 2, figsize=(8.5, 8.5), layout="constrained", sharex=True, sharey=True)
for ax, (mode, title) in zip(axes.flat, titles.items(), strict=True):
    codes, force = pull(mode)
    longest = np.linalg.norm(force, axis=1).max()
    ax.quiver(*grid.T, *(force / longest).T, color=colors[codes], scale=14, width=0.005)
    ax.scatter(*codewords.T, c=colors, s=110, marker="*", edgecolors="black", zorder=3)
    ax.set(title=title, aspect="equal", xlim=(-2.3, 2.7), ylim=(-2.4, 2.4))
plt.show()

# %%
# Stars are the codewords, and an arrow's color is the codeword that the point was given.
#
# - **STE** passes the force on as it is.
# - The **rotation trick** turns it by the angle between a point and its codeword, and weakens it
#   for points that are farther out than the codeword.
# - **Gumbel-softmax** samples: near the border of two cells either may be chosen. Its force points
#   from one likely codeword to another, so it is strong where the choice is open and vanishes where
#   it is certain.
# - **Sinkhorn** makes cells of equal size, here 30 or 31 of 121 points each, and passes the force
#   on as it is.
#
# :doc:`/user_guide/modes` has the formulas.
