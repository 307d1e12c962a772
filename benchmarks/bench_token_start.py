"""Does a generator learn faster when the embeddings of its tokens start from the codebooks?

    python benchmarks/bench_token_start.py

A small GPT-2 gets the tokens of a catalog's IDs by ``add_tokens``, once with its embeddings as they
come from the codebooks, once from codebooks whose codewords changed places, so that nearness says
nothing, and once with those that transformers' ``resize_token_embeddings`` draws. All then learn
the same histories in the same order; what else there is of the model starts at random. What is
asked is the loss on the items that users took last, after some numbers of steps.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import (
    DATA,
    GENERATED,
    Cell,
    Results,
    describe_environment,
    environment_line,
    list_table,
    load_catalog,
)

from sklearn_rqvae import ResidualKMeans, SemanticIDIndex

KEYS = ("catalog", "seed")
STARTS = ("codebooks", "shuffled", "transformers")
STEPS = (25, 50, 100)
# Items of a history that the model sees, the one to tell last.
N_ITEMS, BATCH = 4, 32


def histories(catalog: str, index: SemanticIDIndex) -> np.ndarray:
    """Return the last items of each user, as tokens counted from 0; -1 before short histories."""
    with gzip.open(DATA / catalog / "sequences.txt.gz", "rt") as lines:
        users = [np.array(line.split(), dtype=int)[-N_ITEMS:] for line in lines]
    ids = index.to_token_ids(0)
    tokens = np.full((len(users), N_ITEMS, ids.shape[1]), -1)
    for row, items in zip(tokens, users, strict=True):
        row[N_ITEMS - len(items) :] = ids[items]
    return tokens.reshape(len(users), -1)


def generator(index: SemanticIDIndex, start: str, seed: int) -> tuple[Any, np.ndarray]:
    """Return a small model that has the tokens, and the number of each."""
    from tokenizers import Tokenizer, models
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["[PAD]", *map(str, range(255))])}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="[PAD]")), pad_token="[PAD]"
    )
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(words), n_positions=64, n_embd=64, n_layer=2, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    draws = np.random.default_rng(seed)
    books = index.codebooks_
    if start == "shuffled":
        books = [draws.permutation(book) for book in books]
    if start != "transformers":
        vocabulary = index.add_tokens(tokenizer, model, codebooks=books, random_state=seed)
    else:
        vocabulary = index.add_tokens(tokenizer)
        model.resize_token_embeddings(len(tokenizer))
    return model, np.concatenate(vocabulary.token_ids)


def loss_of(model: Any, tokens: torch.Tensor, n_last: int | None = None) -> torch.Tensor:
    """Return the mean loss of all tokens, or of the last ones; padding is none."""
    given = tokens >= 0
    labels = torch.where(given, tokens, -100)
    if n_last is not None:
        labels[:, :-n_last] = -100
    return model(input_ids=tokens.clamp(min=0), attention_mask=given.long(), labels=labels).loss


def learn(index: SemanticIDIndex, tokens: np.ndarray, start: str, seed: int) -> dict[str, float]:
    """Train, and return the held-out loss after some numbers of steps."""
    model, numbers = generator(index, start, seed)
    rows = torch.from_numpy(np.where(tokens >= 0, numbers[tokens], -1))
    width = index.width
    training, held_out = rows[:, :-width], rows[np.arange(0, len(rows), 16)]
    draws = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = {}
    for step in range(1, max(STEPS) + 1):
        batch = torch.from_numpy(draws.choice(len(rows), BATCH, replace=False))
        model.train()
        optimizer.zero_grad()
        loss_of(model, training[batch]).backward()
        optimizer.step()
        if step in STEPS:
            with torch.no_grad():
                losses[str(step)] = float(loss_of(model.eval(), held_out, width))
    return losses


def measure(cell: Cell) -> dict[str, Any]:
    """Return the losses of both starts."""
    quantizer = ResidualKMeans(random_state=cell["seed"])
    index = SemanticIDIndex.from_estimator(quantizer.fit(X := load_catalog(cell["catalog"])), X)
    tokens = histories(cell["catalog"], index)
    return {start: learn(index, tokens, start, cell["seed"]) for start in STARTS}


def table(results: Results) -> str:
    """Return the losses by number of steps and start: means over the seeds, and their range."""
    text = []
    for catalog in dict.fromkeys(cell["catalog"] for cell in results.cells):
        cells = [cell for cell in results.cells if cell["catalog"] == catalog]
        lines = []
        for step in map(str, STEPS):
            losses = [[cell[start][step] for cell in cells] for start in STARTS]
            lines.append([
                step, *(f"{np.mean(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in losses)
            ])  # fmt: skip
        title = f"{catalog}: nats per token of the last item, {len(cells)} seeds"
        header = ["steps", "codebooks", "codebooks, shuffled", "drawn by transformers"]
        text.append(list_table(title, header, lines))
    return "\n".join(text)


def main() -> None:
    """Measure what the command line asks for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalogs", nargs="+", default=["scientific"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=GENERATED, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    results = Results(args.output / "token_start.json", KEYS)
    results.require_environment(describe_environment(1))
    for catalog in args.catalogs:
        for seed in range(args.seeds):
            cell = {"catalog": catalog, "seed": seed}
            if results.find(cell) is None:
                results.add(cell, measure(cell))
                print(results.cells[-1], flush=True)
    (args.output / "token_start_table.rst").write_text(table(results))
    (args.output / "token_start_environment.rst").write_text(environment_line(results))


if __name__ == "__main__":
    main()
