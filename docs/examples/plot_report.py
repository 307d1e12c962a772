"""
Is it worth it? A report
========================

:func:`~sklearn_rqvae.report.report` measures a fit, draws it, compares it with quantizers that need
no network, and says what to change.
"""

import matplotlib.pyplot as plt

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.report import report

docs = load_api_docs()
vectors = TextEmbedder(n_components=32, random_state=0).fit_transform(docs.data)[::2]
model = RQVAETransformer(codebook_size=32, random_state=0).fit(vectors)

# %%
# For the comparison, all are fitted on four fifths of the items and judged by the last fifth, at
# the same number of bits.

judged = report(model, vectors, texts=docs.data[::2], names=docs.names[::2], random_state=0)
print(judged)

# %%
# The verdict as a picture
# ------------------------
# Everything in a report is there as plain values, too: here what each contender leaves of the
# variance of the held-out items, after each of its codes.

fig, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
colors, markers = ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), "os^D"
for contender, color, marker in zip(judged.comparison.contenders, colors, markers, strict=False):
    codes = range(1, len(contender.curve) + 1)
    ax.plot(codes, contender.curve, color=color, marker=marker, label=contender.name)
ax.set(xlabel="codes", ylabel="unexplained, held out", xticks=list(codes), ylim=(0, 1))
ax.set_title(f"At equal bits, the model is {judged.comparison.outcome}")
ax.legend()
plt.show()

# %%
# The page
# --------
# In a notebook, a report at the end of a cell shows itself, as here; ``to_html("report.html")``
# writes the same as a page that needs no other file. Without the comparison it takes no fit. With
# labels, here the library of each item, it says which prefixes agree with them.

library = [name.partition(".")[0] for name in docs.names[::2]]
report(model, vectors, names=docs.names[::2], labels=library, compare_rivals=False)
