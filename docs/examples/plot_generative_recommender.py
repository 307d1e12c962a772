"""
A tiny generative recommender
=============================

From texts and histories to recommendations, end to end: items become semantic IDs, histories
become sequences of tokens, a small transformer learns to write the ID of the next item, and what it
writes turns back into items. Nothing is downloaded. It needs ``pip install
"sklearn-rqvae[generate]"``.
"""

import ast
import importlib.util
from collections import Counter
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from sklearn_rqvae import RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs

# %%
# Histories
# ---------
# Real ones that every machine has: which documented functions a piece of code calls, one after the
# other. Each function in the source and the tests of scikit-learn is a "user", the functions of
# NumPy, SciPy and scikit-learn that it calls are what the user touched, and the task is to tell the
# next one.


def calls(path, known):
    """Yield, for each function in a file, the known functions that it calls, in order."""
    tree = ast.parse(path.read_bytes())
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({a.asname or a.name: a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})

    def full_name(node):
        if isinstance(node, ast.Attribute):
            return f"{full_name(node.value)}.{node.attr}"
        return names.get(getattr(node, "id", None), "")

    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            found = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            found.sort(key=lambda node: (node.lineno, node.col_offset))
            called = dict.fromkeys(full_name(node.func) for node in found)  # each once
            yield [name for name in called if name in known]


docs = load_api_docs()
known = set(docs.names)
folder = Path(importlib.util.find_spec("sklearn").origin).parent
train, test = [], []
for number, path in enumerate(sorted(folder.rglob("*.py"))):
    # Whole files are held out: functions of one file are too much alike.
    part = test if number % 8 == 0 else train
    part += [history for history in calls(path, known) if len(history) >= 3]
print(f"{len(train)} histories to learn from, {len(test)} to judge by; one of them:")
print(" → ".join(test[0]))

# %%
# Items to IDs
# ------------
# The catalog is what the histories speak of. Texts become vectors, vectors become codes, and the
# index makes IDs unique: items that collide move to the nearest free ID.

items = sorted({name for history in train + test for name in history})
text_of = dict(zip(docs.names, docs.data, strict=True))
texts = [text_of[name] for name in items]
vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(texts)
rqvae = RQVAETransformer(n_layers=3, codebook_size=16, random_state=0).fit(vectors)
index = SemanticIDIndex.from_estimator(rqvae, vectors, items, collisions="reassign")

print(f"{len(items)} items, such as")
for name in ("sklearn.linear_model.Ridge", "sklearn.linear_model.Lasso", "numpy.zeros"):
    print(f"  {index[name]}  {name}")

# %%
# IDs to tokens
# -------------
# The model reads nothing but IDs, so it needs no tokenizer: the vocabulary numbers the codes of all
# levels through, behind the tokens that pad and end. (:doc:`/user_guide/generators` gives the same
# tokens to the tokenizer of a language model, and lets its embeddings start from the codebooks.)

vocabulary = index.vocabulary(2, pad_token_id=0, eos_token_id=1)
N_ITEMS = 8  # the last ones of a history


def tokens_of(history):
    """Return the tokens of the last items of a history."""
    return vocabulary.encode(index.ids_of(history[-N_ITEMS:])).ravel()


print(tokens_of(["sklearn.linear_model.Ridge", "numpy.zeros"]))

# %%
# Training
# --------
# An ordinary language model, of an ordinary kind: at each token it tells the next one.

torch.manual_seed(0)
config = GPT2Config(
    vocab_size=vocabulary.n_tokens,
    n_positions=3 * (N_ITEMS + 1),
    n_embd=64,
    n_layer=2,
    n_head=4,
    bos_token_id=None,
    eos_token_id=1,
    pad_token_id=0,
    resid_pdrop=0.2,
    embd_pdrop=0.2,
)
model = GPT2LMHeadModel(config)
sequences = torch.zeros(len(train), 3 * N_ITEMS, dtype=torch.long)
for row, history in enumerate(train):
    tokens = torch.from_numpy(tokens_of(history))
    sequences[row, : len(tokens)] = tokens

n_epochs, batch_size = 12, 64
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 3e-3, total_steps=n_epochs * -(-len(train) // batch_size)
)
model.train()
for epoch in range(n_epochs):
    losses = []
    for rows in torch.randperm(len(train)).split(batch_size):
        batch = sequences[rows]
        batch = batch[:, : int((batch > 0).sum(1).max())]  # no more padding than needed
        labels = batch.masked_fill(batch == 0, -100)
        loss = model(batch, attention_mask=(batch > 0).long(), labels=labels).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    if epoch % 4 == 3:
        print(f"epoch {epoch + 1}: {np.mean(losses):.2f} nats per token")

# %%
# Generation, and back to items
# -----------------------------
# ``prefix_allowed_tokens_fn`` lets pass only what leads to an item of the catalog, so that each
# beam is one. ``items_of_token_ids`` turns all that came out into items, a row for each prompt.


def recommend(histories, n_beams=20):
    """Return the likeliest next items of each history, best first."""
    prompts = [tokens_of(history) for history in histories]
    length = max(map(len, prompts))
    batch = torch.zeros(len(prompts), length, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        batch[row, length - len(prompt) :] = torch.from_numpy(prompt)  # padded at the left
    output = model.eval().generate(
        batch,
        attention_mask=(batch > 0).long(),
        prefix_allowed_tokens_fn=index.prefix_allowed_tokens_fn(vocabulary, prompt_length=length),
        num_beams=n_beams,
        num_return_sequences=n_beams,
        max_new_tokens=index.width,
    )
    found = index.items_of_token_ids(
        output, vocabulary, prompt_length=length, num_return_sequences=n_beams
    )
    return [
        [name for name in row if name not in seen]
        for row, seen in zip(found, histories, strict=True)
    ]


histories, targets = [history[:-1] for history in test], [history[-1] for history in test]
found = [row for at in range(0, len(test), 64) for row in recommend(histories[at : at + 64])]
for example in np.random.default_rng(3).choice(len(test), 4, replace=False):
    print("called:   ", ", ".join(histories[example][-3:]))
    print("then came:", targets[example])
    print("generated:", ", ".join(found[example][:3]), "\n")

# %%
# Is it any good?
# ---------------
# The share of held-out histories whose next item is among ten recommended ones. Beside chance and
# the most popular items stands a table of what followed the last item most often, which is hard to
# beat with so few histories. What was called already is never recommended, by nobody.

popularity = Counter(name for history in train for name in history)
followers = {name: Counter() for name in items}
for history in train:
    for first, second in pairwise(history):
        followers[first][second] += 1
popular = [name for name, _ in popularity.most_common()]


def hit(ranking, seen, target):
    """Return whether the target is among the first ten that weren't seen."""
    return target in [name for name in dict.fromkeys(ranking) if name not in seen][:10]


shuffled = np.random.default_rng(0).permutation(items).tolist()
rankings = {
    "random": [shuffled] * len(test),
    "popular": [popular] * len(test),
    "followed the last": [
        [name for name, _ in followers[history[-1]].most_common()] + popular
        for history in histories
    ],
    "generated": found,
}
rates = {
    name: np.mean([hit(*case) for case in zip(ranked, histories, targets, strict=True)])
    for name, ranked in rankings.items()
}
for name, rate in rates.items():
    print(f"{name:18s} {rate:.1%}")
assert rates["generated"] > rates["popular"] > rates["random"]

fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
colors = ["#B0B0B0"] * 3 + ["#0072B2"]
errors = [np.sqrt(rate * (1 - rate) / len(test)) for rate in rates.values()]
bars = ax.barh(list(rates), [100 * rate for rate in rates.values()], color=colors)
ax.errorbar(
    [100 * rate for rate in rates.values()],
    range(len(rates)),
    xerr=[100 * error for error in errors],
    fmt="none",
    color="black",
)
ax.set(xlabel="next item among ten recommended, % (± standard error)")
ax.spines[["top", "right"]].set_visible(False)
ax.invert_yaxis()
plt.show()
