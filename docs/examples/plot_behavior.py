"""
From texts and behavior to recommendations
==========================================

Texts say what items are, histories what is used together. Both become vectors, the vectors one ID
per item, and IDs that share a prefix the candidates for what comes next.

The items are the functions and classes of NumPy, SciPy and scikit-learn, the texts the first
paragraphs of their docstrings. The histories are choices of people, too: whoever wrote a docstring
listed under "See Also" where a reader should go next.
"""

import importlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex, TextEmbedder, metrics
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.embedding import Histories, InteractionEmbedder, ViewFusion

docs = load_api_docs()
items = pd.DataFrame({"item": docs.names, "text": docs.data})
items = items[~items["item"].str.startswith("torch")].drop_duplicates("item", ignore_index=True)

# %%
# Histories
# ---------
# One history for each docstring: the function itself, then those that it sends its readers to.

full_names = {}  # by the last part of the name
for name in items["item"]:
    full_names.setdefault(name.rpartition(".")[2], []).append(name)


def see_also(name):
    """Return the names of the catalog that a docstring lists under "See Also"."""
    module, _, attribute = name.rpartition(".")
    try:
        doc = getattr(importlib.import_module(module), attribute).__doc__ or ""
    except (ImportError, AttributeError):
        return []
    section = re.search(r"See Also\s*\n\s*-+\n(.*?)(\n\s*\n\s*[A-Z][\w ]+\n\s*-{3,}|\Z)", doc, re.S)
    if section is None:
        return []
    found = []
    for line in section[1].splitlines():
        for word in re.findall(r"[\w.]+", line.partition(":")[0] if " : " in line else line):
            known = full_names.get(word.rpartition(".")[2], [])
            near = [other for other in known if other.startswith(module.partition(".")[0])]
            if len(near) == 1 and near[0] != name and near[0] not in found:
                found.append(near[0])
    return found


with np.errstate(all="ignore"):
    lists = [[name, *found] for name in items["item"] if len(found := see_also(name)) >= 2]
histories = Histories.read(lists)
print(histories)
print(" → ".join(max(lists, key=len)[:6]))

# %%
# From tables to IDs
# ------------------
# The last item of each history is kept to judge by. Many links go both ways, so another history may
# still show what one hides, as customers do. A function that no history holds has no behavior: the
# fusion fills it in from functions with similar texts.

past = histories.without_last()
embedder = TextEmbedder(n_components=48, random_state=0)
views = ColumnTransformer(
    [
        ("text", embedder, "text"),
        ("behavior", InteractionEmbedder(n_components=32, random_state=0), ["item"]),
    ]
)
quantizer = ResidualKMeans(n_layers=3, codebook_size=32, random_state=0)
both = make_pipeline(views, ViewFusion([48, 32]), quantizer)
with sklearn.config_context(enable_metadata_routing=True):
    codes = {"texts and behavior": both.fit_transform(items, interactions=past)}
text_only = make_pipeline(embedder, quantizer)
codes["texts"] = text_only.fit_transform(items["text"])
ids = {name: SemanticIDIndex().fit(found, items["item"]) for name, found in codes.items()}
print(ids["texts and behavior"].report_)

# %%
# Do items of one history share prefixes?
# ---------------------------------------
# The lift is how much more often two functions of a history share a prefix than two functions drawn
# by popularity. It is measured on the links that were kept out: from the last but one to the last.

links = Histories.read([history[-2:] for history in lists])
lifts = {
    name: metrics.cooccurrence_lift(found, links, item_ids=items["item"]).lift
    for name, found in codes.items()
}
print(pd.DataFrame(lifts, index=["1 code", "2 codes", "3 codes"]).round(1))

# %%
# What comes next?
# ----------------
# The candidates are the items with the longest common prefix. The share of histories whose last
# item is among them rises where behavior had its say.

n_candidates = [1, 2, 5, 10, 20]
found = {}
for name, index in ids.items():
    places = []
    for before, last in ((history[-2], history[-1]) for history in lists):
        neighbors = index.prefix_neighbors(before, max(n_candidates))[0].tolist()
        places.append(neighbors.index(last) if last in neighbors else len(items))
    found[name] = [np.mean(np.array(places) < n) for n in n_candidates]

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for (name, lift), marker in zip(lifts.items(), "os", strict=True):
    left.plot([1, 2, 3], lift, marker=marker, label=name)
    right.plot(n_candidates, found[name], marker=marker, label=name)
left.set(xlabel="codes of the prefix", ylabel="lift over chance", xticks=[1, 2, 3], ylim=0)
right.set(xlabel="candidates by prefix", ylabel="share of last items found", ylim=0)
right.set_xticks(n_candidates)
left.legend(frameon=False)

# %%
# A cold item
# -----------
# Nobody has touched this one: only its text is known. Its neighbors by prefix have behavior.

touched = set(np.concatenate(lists))
cold = next(name for name in items["item"] if name.startswith("scipy.fft") and name not in touched)
print(cold, "near", ids["texts and behavior"].prefix_neighbors(cold, 4)[0].tolist())

plt.show()
