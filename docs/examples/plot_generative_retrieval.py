"""
Generative retrieval
====================

Search without an index of vectors: a small transformer reads a query and writes the ID of the item
that answers it, as in DSI [1]_ and NCI [2]_. From texts to IDs, to pairs of query and item, to a
trained model, and back from what it writes to items; beside it, what searches of the ordinary kind
find. Nothing is downloaded. It needs ``pip install "sklearn-rqvae[generate]"``.
"""

import inspect
import re
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from sklearn_rqvae import RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs

# %%
# Queries
# -------
# Real ones that every machine has. "See Also" sections say in a few words what *other* functions
# do, often in other words than these say it themselves: whoever documented ``numpy.delete``
# describes ``numpy.append``. Such a description is a query, and the function that it describes is
# what should be found.


def documentation(name):
    """Return the docstring of a function or class, "" if it can't be imported."""
    module, _, function = name.rpartition(".")
    try:
        return inspect.getdoc(getattr(import_module(module), function)) or ""
    except (ImportError, AttributeError):  # experimental, or gone
        return ""


docs = load_api_docs()
names = [name for name in docs.names if name.startswith(("numpy.", "scipy.", "sklearn."))]
doc_of = {name: documentation(name) for name in names}

SEE_ALSO = re.compile(r"^See Also\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", re.M | re.S)
ENTRY = re.compile(r"^(\S[^\n:]*?)\s*:[ \n]\s*(.+?)(?=^\S|\Z)", re.M | re.S)


def plain(text):
    """Return words on one line."""
    return " ".join(re.sub(r":\w+:|[`*~]", "", text).split())


def full_name(name, where):
    """Return the full name of what a docstring calls by a part of it, or None."""
    parts = where.split(".")[:-1]
    names = (".".join([*parts[:n], name.strip(" `~")]) for n in range(len(parts), -1, -1))
    return next((name for name in names if name in doc_of), None)


queries = set()
for where, doc in doc_of.items():
    for section in SEE_ALSO.findall(doc):
        for names, description in ENTRY.findall(section):
            found = (full_name(name, where) for name in names.split(","))
            queries |= {(plain(description), item) for item in found if item}
queries = sorted(queries)
items = sorted({item for _, item in queries})
print(f"{len(queries)} queries, {len(items)} items that they ask for")

# %%
# A third of the queries is held out. Left out of these is what an item says of itself in the same
# words. To learn from there are the other queries, the items' texts, and the first sentences of
# their documentation, which stand for queries nobody has asked yet.


def sentences(item):
    """Return the first sentences of an item's documentation."""
    doc = re.split(r"\n(?:Parameters|See Also)\n", doc_of[item])[0]
    found = map(plain, re.split(r"(?<=[.:])\s+(?=[A-Z])|\n\s*\n", doc))
    return [text for text in found if 15 < len(text) < 300 and "(" not in text[:12]][:3]


def same_words(text):
    """Return a text without what doesn't matter when two are compared."""
    return re.sub(r"\W+", " ", text.lower()).strip()


text_of = dict(zip(docs.names, docs.data, strict=True))
pairs = [(text, item) for item in items for text in (text_of[item], *sentences(item))]
asked = sorted({same_words(text) for text, _ in queries})
held_out = set(np.random.default_rng(0).permutation(asked)[: len(asked) // 3].tolist())
known = {same_words(text) for text, _ in pairs}
known |= {same_words(text_of[item].partition(": ")[2]) for item in items}
test = [pair for pair in queries if same_words(pair[0]) in held_out - known]
pairs += [pair for pair in queries if same_words(pair[0]) not in held_out]
print(f"{len(pairs)} pairs to learn from, {len(test)} queries to judge by")

# %%
# Items to IDs
# ------------
# The items' texts become vectors, vectors become codes, and the index makes IDs unique. Similar
# items have similar IDs, so the model can find the first codes before it knows the item.

vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(
    [text_of[item] for item in items]
)
rqvae = RQVAETransformer(n_layers=3, codebook_size=16, random_state=0).fit(vectors)
index = SemanticIDIndex.from_estimator(rqvae, vectors, items, collisions="reassign")
for item in ("numpy.fmax", "numpy.fmin", "sklearn.linear_model.Ridge"):
    print(f"  {index[item]}  {item}")

# %%
# A model that reads queries and writes IDs
# -----------------------------------------
# A model of the usual size learns to read from millions of texts. Here there are a few thousand,
# so the reading is left to an embedder: n-grams of the texts to learn from. The query's vector is
# the prompt, as if it were the embedding of a first token; the transformer writes the ID behind it.

texts, targets = map(list, zip(*pairs, strict=True))
embedder = TextEmbedder(n_components=256, random_state=0).fit(texts)


def embed(queries):
    """Return vectors of queries, each feature about one large."""
    return torch.from_numpy(16 * np.asarray(embedder.transform(queries), dtype=np.float32))


torch.manual_seed(0)
vocabulary = index.vocabulary(2, pad_token_id=0, eos_token_id=1)
config = GPT2Config(
    vocab_size=vocabulary.n_tokens,
    n_positions=1 + index.width,
    n_embd=128,
    n_layer=2,
    n_head=4,
    bos_token_id=None,
    eos_token_id=1,
    pad_token_id=0,
    resid_pdrop=0.2,
    embd_pdrop=0.2,
    attn_pdrop=0.2,
)
model = GPT2LMHeadModel(config)
as_prompt = nn.Linear(256, config.n_embd)

read = embed(texts)
written = torch.from_numpy(vocabulary.encode(index.ids_of(targets)))
n_epochs, batch_size = 25, 64
parameters = [*model.parameters(), *as_prompt.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 3e-3, total_steps=n_epochs * -(-len(pairs) // batch_size)
)
model.train()
for epoch in range(n_epochs):
    losses = []
    for rows in torch.randperm(len(pairs)).split(batch_size):
        prompt = as_prompt(read[rows])[:, None]
        codes = model.get_input_embeddings()(written[rows, :-1])
        logits = model(inputs_embeds=torch.cat([prompt, codes], dim=1)).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), written[rows].flatten())
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    if epoch % 8 == 0:
        print(f"epoch {epoch + 1}: {np.mean(losses):.2f} nats per code")

# %%
# Generation, and back to items
# -----------------------------
# Only what leads to an item of the catalog passes, so each beam is an item. The prompt is a vector
# and no token, so there is none to strip: ``prompt_length=0``.


@torch.no_grad()
def retrieve(queries, n_items=10):
    """Return the likeliest items of each query, best first."""
    prompts = as_prompt(embed(queries))[:, None]
    output = model.eval().generate(
        inputs_embeds=prompts,
        attention_mask=torch.ones(len(prompts), 1, dtype=torch.long),
        prefix_allowed_tokens_fn=index.prefix_allowed_tokens_fn(vocabulary, prompt_length=0),
        num_beams=2 * n_items,
        num_return_sequences=n_items,
        max_new_tokens=index.width,
    )
    return index.items_of_token_ids(
        output, vocabulary, prompt_length=0, num_return_sequences=n_items
    ).tolist()


questions, answers = map(list, zip(*test, strict=True))
generated = [row for at in range(0, len(test), 64) for row in retrieve(questions[at : at + 64])]
for example in np.random.default_rng(2).choice(len(test), 4, replace=False):
    print("asked:    ", questions[example])
    print("meant:    ", answers[example])
    print("generated:", ", ".join(generated[example][:3]), "\n")

# %%
# Is it any good?
# ---------------
# How often the item that was meant is among the first ten. The rivals know the same texts: each
# item has all of its own as one document. *Nearest vector* compares the vectors that the model
# reads. *tf-idf* and *BM25* compare words.

document = {item: [] for item in items}
for text, item in pairs:
    document[item].append(text)
documents = [" ".join(document[item]) for item in items]


def bm25(documents, queries, k=1.2, b=0.75):
    """Return the BM25 score of each document for each query."""
    counter = CountVectorizer().fit(documents)
    n = counter.transform(documents).toarray().astype(float)
    length = n.sum(axis=1, keepdims=True) / n.sum(axis=1).mean()
    in_documents = (n > 0).sum(axis=0)
    idf = np.log1p((len(n) - in_documents + 0.5) / (in_documents + 0.5))
    weight = idf * n * (k + 1) / (n + k * (1 - b + b * length))
    return (counter.transform(queries) > 0) @ weight.T


def ten_best(scores):
    """Return the ten items with the highest scores."""
    return np.array(items)[np.argsort(-scores, axis=1, kind="stable")[:, :10]].tolist()


tfidf = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit(documents)
likeness = (tfidf.transform(questions) @ tfidf.transform(documents).T).toarray()
rankings = {
    "random": [np.random.default_rng(0).permutation(items)[:10].tolist()] * len(test),
    "nearest vector": ten_best(embedder.transform(questions) @ embedder.transform(documents).T),
    "tf-idf": ten_best(likeness),
    "BM25": ten_best(bm25(documents, questions)),
    "generated": generated,
}
rates = {
    name: np.mean([item in row for item, row in zip(answers, ranking, strict=True)])
    for name, ranking in rankings.items()
}
for name, ranking in rankings.items():
    first = np.mean([item == row[0] for item, row in zip(answers, ranking, strict=True)])
    print(f"{name:15s} among ten {rates[name]:6.1%}   first {first:6.1%}")
assert rates["generated"] > 20 * rates["random"]

# %%
# Not with so few queries. They share most of their words with what they ask for, and words are what
# tf-idf and BM25 look at, without any training. Nor does the generator reach the nearest vector of
# the embedder that it reads with; it has the catalog by heart, and compares with nothing. Some
# queries ("Equivalent function in the top level NumPy module.") nobody can answer. What speaks for
# generated IDs is elsewhere: one model that searches, recommends and talks, and that learns what
# users mean from what they click, where words don't tell. That takes many more queries than these.

fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
errors = [100 * np.sqrt(rate * (1 - rate) / len(test)) for rate in rates.values()]
colors = ["#B0B0B0"] * 4 + ["#0072B2"]
ax.barh(list(rates), [100 * rate for rate in rates.values()], xerr=errors, color=colors)
ax.set(xlabel="item that was meant among the first ten, % (± standard error)")
ax.spines[["top", "right"]].set_visible(False)
ax.invert_yaxis()
plt.show()

# %%
# References
# ----------
# .. [1] Tay, Y. et al. "Transformer Memory as a Differentiable Search Index". NeurIPS 2022.
# .. [2] Wang, Y. et al. "A Neural Corpus Indexer for Document Retrieval". NeurIPS 2022.
