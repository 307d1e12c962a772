"""A generative recommender of one frozen recipe: a causal transformer that writes semantic IDs.

An item is read as the sum of the embeddings of its codes and of its prefixes of two codes and more.
A transformer reads a history; at each item a head says the codes of the next one, level by level,
each given those before. Its softmax goes over the codes that an existing ID continues with, so that
the probabilities of all IDs sum to one.

The recipe was tuned on validation users of one catalog (scientific) with one set of IDs (texts, all
defaults), and then left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from _ranking import BEYOND, RANKED, Ranks
from torch import Tensor, nn

HEAD_DIM = 32
POOL_SIZE = 2**21  # numbers drawn at a time for dropout
POOL_CUTS = 2000
MAX_GRADIENT_NORM = 1.0
LENGTH_JITTER = 1.5
FIRST_WIDTH = 40
MAX_WIDTH = 2**13


class Recipe(NamedTuple):
    """How the recommender is built and trained; the same for every set of IDs.

    Attributes
    ----------
    dim, n_blocks : int
        Width and number of transformer blocks.
    dropout : float
        Share of the activations that are dropped.
    prefix_dropout : float
        Share of the prefix embeddings that are dropped, each as a whole: what is known of an item
        by its codes must do without them.
    max_length : int
        Items of a history that are read at a time.
    epochs, batch_users : int
        Passes, and histories in a batch.
    learning_rate, warmup : float
        Largest rate, and the share of the steps in which it rises; then it falls as a cosine.
    weight_decay : float
        Of matrices and embeddings.
    averaged : float
        Share of the epochs, the last ones, whose weights are averaged.
    """

    dim: int = 64
    n_blocks: int = 1
    dropout: float = 0.4
    prefix_dropout: float = 0.5
    max_length: int = 20
    epochs: int = 20
    batch_users: int = 128
    learning_rate: float = 5e-3
    warmup: float = 0.1
    weight_decay: float = 0.3
    averaged: float = 0.3


RECIPE = Recipe()


class Trie:
    """The existing IDs as a tree.

    Parameters
    ----------
    ids : ndarray of int of shape (n_items, n_levels)
        Semantic ID of each item; items may share one.

    Attributes
    ----------
    sizes : list of int
        Number of codes of each level that occur.
    codes : ndarray of int of shape (n_items, n_levels)
        The IDs, with the codes of each level numbered from 0 without gaps.
    nodes : ndarray of int of shape (n_levels + 1, n_items)
        Number of the prefix of each length, from 0 to ``n_levels``, that an item has.
    next : list of ndarray of int of shape (n_prefixes, size)
        For each level, the number of the prefix that a prefix and a code make; -1 if there is none.
    load : ndarray of int of shape (n_ids,)
        Number of items that have each ID.
    """

    def __init__(self, ids: np.ndarray):
        columns = [np.unique(column, return_inverse=True) for column in np.asarray(ids).T]
        self.sizes = [len(values) for values, _ in columns]
        self.codes = np.stack([numbers.ravel() for _, numbers in columns], axis=1)
        nodes = [np.zeros(len(self.codes), dtype=np.int64)]
        self.next = []
        for size, column in zip(self.sizes, self.codes.T, strict=True):
            keys, node = np.unique(nodes[-1] * size + column, return_inverse=True)
            table = np.full((nodes[-1].max() + 1) * size, -1, dtype=np.int64)
            table[keys] = np.arange(len(keys))
            self.next.append(table.reshape(-1, size))
            nodes.append(node.ravel())
        self.nodes = np.stack(nodes)
        self.load = np.bincount(self.nodes[-1])


# -- The model --


class Dropout(nn.Module):
    """Dropout by masks cut out of a pool of random numbers, which torch draws slowly on CPUs."""

    def __init__(self, rate: float, generator: torch.Generator):
        super().__init__()
        self.rate, self.generator = rate, generator
        self.pool, self.n_cuts = torch.empty(0), 0

    def forward(self, x: Tensor) -> Tensor:
        """Drop a share of the numbers in training."""
        if not self.training or self.rate == 0:
            return x
        if len(self.pool) < 2 * x.numel() or self.n_cuts == POOL_CUTS:
            numbers = torch.rand(max(POOL_SIZE, 2 * x.numel()), generator=self.generator)
            self.pool, self.n_cuts = (numbers >= self.rate).float() / (1 - self.rate), 0
        self.n_cuts += 1
        last = len(self.pool) - x.numel()
        start = int(torch.randint(last + 1, (), generator=self.generator))
        return x * self.pool[start : start + x.numel()].view_as(x)


class Block(nn.Module):
    """Causal self-attention and a perceptron, each after a normalization."""

    def __init__(self, dim: int, drop: nn.Module):
        super().__init__()
        self.n_heads = dim // HEAD_DIM
        self.norm_attention, self.norm_perceptron = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.mix = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Add to each state, of shape (n, length, dim), what those up to it say."""
        return self.finish(x, F.scaled_dot_product_attention(*self.parts(x), is_causal=True))

    def parts(self, x: Tensor) -> Tensor:
        """Return queries, keys and values, each of shape (n, n_heads, length, HEAD_DIM)."""
        n, length, _ = x.shape
        parts = self.query_key_value(self.norm_attention(x)).view(n, length, 3, self.n_heads, -1)
        return parts.permute(2, 0, 3, 1, 4)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add what was attended to, and the perceptron's word on it."""
        x = x + self.drop(self.mix(attended.transpose(1, 2).reshape(x.shape)))
        return x + self.drop(self.down(F.relu(self.up(self.norm_perceptron(x)))))


class Head(nn.Module):
    """What says the next code: a perceptron beside a short cut."""

    def __init__(self, dim: int, drop: nn.Module):
        super().__init__()
        self.norm, self.norm_last = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Return what is compared with the embeddings of codes."""
        return self.norm_last(x + self.drop(self.down(F.relu(self.up(self.norm(x))))))


class SequenceModel(nn.Module):
    """A causal transformer over the items of histories."""

    def __init__(self, recipe: Recipe, seed: int):
        super().__init__()
        self.recipe = recipe
        self.generator = torch.Generator().manual_seed(seed)
        self.drop = Dropout(recipe.dropout, self.generator)
        self.positions = nn.Parameter(torch.empty(recipe.max_length + 1, recipe.dim))
        self.start = nn.Parameter(torch.empty(recipe.dim))
        self.blocks = nn.ModuleList(Block(recipe.dim, self.drop) for _ in range(recipe.n_blocks))

    def reset_parameters(self) -> None:
        """Draw all weights from the model's own generator."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    scale = 0.6 * module.weight.shape[1] ** -0.5
                    module.weight.normal_(0, scale, generator=self.generator)
                    module.bias.zero_()
                elif isinstance(module, nn.Embedding):
                    module.weight.normal_(0, 0.05, generator=self.generator)
            for parameter in (self.positions, self.start):
                parameter.normal_(0, 0.02, generator=self.generator)

    def embed(self, items: Tensor) -> Tensor:
        """Return vectors of items, of shape (*items.shape, dim)."""
        raise NotImplementedError

    def losses(self, states: Tensor, items: Tensor) -> Tensor:
        """Return the loss of each next item, given the states before them."""
        raise NotImplementedError

    def loss(self, items: Tensor, is_real: Tensor) -> Tensor:
        """Return the mean loss of all items of some histories."""
        return self.losses(self.states(items[:, :-1])[is_real], items[is_real]).mean()

    def final_states(self, items: Tensor, is_real: Tensor) -> Tensor:
        """Return the states after the histories, of shape (n_histories, dim)."""
        return self.states(items)[torch.arange(len(items)), is_real.sum(1)]

    def states(self, items: Tensor) -> Tensor:
        """Return the states before the first item of each history and after each.

        Of shape (n_histories, length + 1, dim) for items of shape (n_histories, length).
        """
        first = self.start.expand(len(items), 1, -1)
        x = torch.cat([first, self.embed(items)], dim=1) + self.positions[: items.shape[1] + 1]
        x = self.drop(x)
        for block in self.blocks:
            x = block(x)
        return x


class Recommender(SequenceModel):
    """Reads and writes semantic IDs.

    Parameters
    ----------
    trie : Trie
        The IDs of all items.
    recipe : Recipe
        Sizes and rates.
    seed : int
        Seed of weights and dropout.
    """

    def __init__(self, trie: Trie, recipe: Recipe, seed: int):
        super().__init__(recipe, seed)
        self.sizes, self.offsets = trie.sizes, np.cumsum([0, *trie.sizes])
        self.codes = torch.from_numpy(trie.codes + self.offsets[:-1])
        self.nodes = torch.from_numpy(trie.nodes)
        self.next = [torch.from_numpy(table) for table in trie.next]
        self.blocked = [torch.zeros(t.shape).masked_fill(t < 0, -torch.inf) for t in self.next]
        self.load = torch.from_numpy(trie.load)
        dim, n_codes = recipe.dim, sum(trie.sizes)
        self.read, self.said, self.written = (nn.Embedding(n_codes, dim) for _ in range(3))
        self.prefixes = nn.ModuleList(
            nn.Embedding(int(nodes.max()) + 1, dim) for nodes in trie.nodes[2:]
        )
        self.bias = nn.Parameter(torch.zeros(n_codes))
        self.heads = nn.ModuleList(Head(dim, self.drop) for _ in trie.sizes)
        self.reset_parameters()

    def embed(self, items: Tensor) -> Tensor:
        """Add up the vectors of codes and prefixes."""
        flat = items.reshape(-1)
        x = F.embedding_bag(self.codes[flat], self.read.weight, mode="sum")
        for nodes, prefix in zip(self.nodes[2:], self.prefixes, strict=False):
            x = x + self._drop_rows(prefix(nodes[flat]))
        return x.view(*items.shape, -1)

    def _drop_rows(self, x: Tensor) -> Tensor:
        rate = self.recipe.prefix_dropout
        if not self.training or rate == 0:
            return x
        kept = torch.rand(len(x), 1, generator=self.generator) >= rate
        return x * (kept / (1 - rate))

    def log_probabilities(self, states: Tensor, level: int, nodes: Tensor) -> Tensor:
        """Return those of all codes of a level, minus infinity where no ID goes on so.

        Parameters
        ----------
        states : Tensor of shape (..., dim)
            States that know the codes before.
        level : int
            The level.
        nodes : Tensor of int of shape (...)
            Prefixes of the codes before.
        """
        codes = slice(self.offsets[level], self.offsets[level + 1])
        logits = F.linear(self.heads[level](states), self.written.weight[codes], self.bias[codes])
        return torch.log_softmax(logits + self.blocked[level][nodes], dim=-1)

    def losses(self, states: Tensor, items: Tensor) -> Tensor:
        """Return minus the log-probability of each item's ID."""
        codes, total = self.codes[items], torch.zeros(len(items))
        own, states = torch.zeros(len(items), 1, dtype=torch.long), self.begin(states)
        for level, offset in enumerate(self.offsets[:-1]):
            nodes = self.nodes[level][items][:, None]
            found = self.log_probabilities(states, level, nodes)[:, 0]
            total = total - found.gather(1, (codes[:, level] - offset)[:, None])[:, 0]
            if level < len(self.sizes) - 1:
                states = self.go_on(states, own, codes[:, level, None], level)
        return total

    def begin(self, states: Tensor) -> Any:
        """Return the states before the first code, of shape (n_states, 1, dim)."""
        return states[:, None]

    def go_on(self, states: Any, parents: Tensor, codes: Tensor, level: int) -> Any:
        """Return the states after codes of a level, each said in the state of its parent."""
        parents = parents[..., None].expand(-1, -1, states.shape[2])
        return states.gather(1, parents) + self.said(codes)

    @torch.no_grad()
    def best(self, states: Tensor, n_best: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Search the most probable IDs, and say which are certain to be.

        An ID is at most as probable as its prefixes, so what the search gave up is bounded by the
        best prefix that it dropped.

        Parameters
        ----------
        states : Tensor of shape (n_states, dim)
            States after histories.
        n_best : int
            IDs to return.
        width : int
            Prefixes kept at each level.

        Returns
        -------
        ids : Tensor of int of shape (n_states, n_best)
            Numbers of IDs, best first.
        scores : Tensor of shape (n_states, n_best)
            Their log-probabilities.
        bound : Tensor of shape (n_states,)
            No other ID scores more than this.
        """
        n_states = len(states)
        states, scores = self.begin(states), torch.zeros(n_states, 1)
        nodes = torch.zeros(n_states, 1, dtype=torch.long)
        bound = torch.full((n_states,), -torch.inf)
        for level, size in enumerate(self.sizes):
            is_last = level == len(self.sizes) - 1
            found = scores[..., None] + self.log_probabilities(states, level, nodes)
            n_kept = min(n_best if is_last else width, found[0].numel())
            scores, places = found.flatten(1).topk(min(n_kept + 1, found[0].numel()))
            if scores.shape[1] > n_kept:
                bound = torch.maximum(bound, scores[:, -1])
            scores, places = scores[:, :n_kept], places[:, :n_kept]
            # Places of minus infinity lead nowhere; any number does for them.
            nodes = self.next[level][nodes].flatten(1).gather(1, places).clamp(min=0)
            if not is_last:
                codes = places % size + self.offsets[level]
                states = self.go_on(states, places // size, codes, level)
        return nodes, scores, bound

    @torch.no_grad()
    def rank(self, histories: list[np.ndarray], targets: np.ndarray) -> Ranks:
        """Rank the IDs of target items among all IDs.

        Ranks up to `RANKED` are exact: the search is repeated wider where its bound leaves a doubt.
        """
        self.eval()
        better = np.full(len(targets), BEYOND)
        target_ids = self.nodes[-1].numpy()[targets]
        for rows, states in last_states(self, histories):
            open_, width = np.arange(len(rows)), FIRST_WIDTH
            while len(open_):
                ids, scores, bound = self.best(states[open_], RANKED, width)
                certain = (scores[:, -1] >= bound).numpy() | (width > MAX_WIDTH)
                is_target = ids.numpy() == target_ids[rows[open_], None]
                load = np.where(np.isfinite(scores.numpy()), self.load[ids].numpy(), 0)
                above = (np.cumsum(load, axis=1) - load)[np.arange(len(open_)), is_target.argmax(1)]
                found = certain & is_target.any(axis=1)
                better[rows[open_[found]]] = above[found]
                open_, width = open_[~certain], 4 * width
        return Ranks(np.minimum(better, BEYOND), self.load.numpy()[target_ids])

    @torch.no_grad()
    def surprise(self, histories: list[np.ndarray], targets: np.ndarray) -> float:
        """Return the mean of minus the log-probability of the targets' IDs, in nats."""
        self.eval()
        total = 0.0
        for rows, states in last_states(self, histories):
            total += float(self.losses(states, torch.from_numpy(targets[rows])).sum())
        return total / len(targets)


# -- Training --


def train(model: SequenceModel, histories: list[np.ndarray], seed: int) -> None:
    """Train a model to predict each item of the histories from those before."""
    recipe, rng = model.recipe, np.random.default_rng(seed)
    windows = _windows(histories, recipe.max_length + 1)
    lengths = np.array([len(window) for window in windows])
    optimizer = _optimizer(model)
    n_steps = recipe.epochs * -(-len(windows) // recipe.batch_users)
    step, first_averaged = 0, recipe.epochs - round(recipe.averaged * recipe.epochs)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for epoch in range(recipe.epochs):
        model.train()
        for rows in _batches(lengths, recipe.batch_users, rng):
            items, is_real = _pad([windows[row] for row in rows])
            loss = model.loss(items, is_real)
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _share_of_rate(step / n_steps, recipe.warmup)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
        if epoch >= first_averaged:
            averaged.update_parameters(model)
    with torch.no_grad():
        for now, mean in zip(model.parameters(), averaged.module.parameters(), strict=True):
            now.copy_(mean)
    model.eval()


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": model.recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def _share_of_rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + np.cos(np.pi * (progress - warmup) / (1 - warmup)))


def _windows(histories: list[np.ndarray], length: int) -> list[np.ndarray]:
    """Cut long histories into pieces, the last ones of full length."""
    return [
        history[max(end - length, 0) : end]
        for history in histories
        for end in range(len(history), 0, -length)
    ]


def _batches(
    lengths: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield rows of about one length together, in random order if there is a generator."""
    jitter = 0 if rng is None else rng.uniform(0, LENGTH_JITTER, len(lengths))
    order = np.argsort(lengths + jitter, kind="stable")
    starts = np.arange(0, len(order), size)
    if rng is not None:
        rng.shuffle(starts)
    for start in starts:
        yield order[start : start + size]


def _pad(histories: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return histories padded at their ends, and where items are."""
    lengths = np.array([len(history) for history in histories])
    is_real = np.arange(lengths.max()) < lengths[:, None]
    items = np.zeros(is_real.shape, dtype=np.int64)
    items[is_real] = np.concatenate(histories)
    return torch.from_numpy(items), torch.from_numpy(is_real)


def last_states(
    model: SequenceModel, histories: list[np.ndarray], size: int = 256
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield rows of histories and the states after them."""
    recent = [history[-model.recipe.max_length :] for history in histories]
    for rows in _batches(np.array([len(history) for history in recent]), size):
        yield rows, model.final_states(*_pad([recent[row] for row in rows]))


# -- Other layouts --


class CodeRecommender(Recommender):
    """Reads codes alone: without the prefixes, which tell items apart, all is left to the codes."""

    def __init__(self, trie: Trie, recipe: Recipe, seed: int):
        super().__init__(trie, recipe, seed)
        self.prefixes = nn.ModuleList()


class _Written(NamedTuple):
    """States after codes of the next item, and what codes after them attend to."""

    last: Tensor  # (n, n_beams, dim)
    n_read: Tensor  # (n,): items of each history
    history: list[tuple[Tensor, Tensor]]  # per block, keys and values: (n, n_heads, length, .)
    hidden: Tensor  # (n, 1, 1, length): minus infinity where a history has ended
    own: list[tuple[Tensor, Tensor]]  # per block, of the item's codes: (n, n_heads, n_beams, ., .)


class FlatRecommender(Recommender):
    """Reads and writes IDs code by code, as TIGER does [1]_: a row of codes in place of items.

    A decoder without an encoder. Attention over codes takes the place of the other layout's prefix
    embeddings; all else is the same.

    References
    ----------
    .. [1] Rajput, S. et al. "Recommender systems with generative retrieval". NeurIPS 2023.
    """

    def __init__(self, trie: Trie, recipe: Recipe, seed: int):
        super().__init__(trie, recipe, seed)
        self.prefixes, self.said = nn.ModuleList(), nn.Embedding(1, 1)  # not in this layout
        self.positions = nn.Parameter(torch.zeros(recipe.max_length + 2, recipe.dim))
        self.levels = nn.Parameter(torch.zeros(len(trie.sizes), recipe.dim))

    def loss(self, items: Tensor, is_real: Tensor) -> Tensor:
        """Return the mean over items of what their codes lose together."""
        x = self.drop(self._tokens(items)[:, :-1])
        for block in self.blocks:
            x = block(x)
        states, items = x.view(*items.shape, len(self.sizes), -1)[is_real], items[is_real]
        total = torch.zeros(())
        for level, offset in enumerate(self.offsets[:-1]):
            logs = self.log_probabilities(states[:, level], level, self.nodes[level][items])
            total = total - logs.gather(1, self.codes[items, level, None] - offset).mean()
        return total

    def final_states(self, items: Tensor, is_real: Tensor) -> Tensor:
        """Return the number of items and the items of each history: `begin` reads them."""
        return torch.cat([is_real.sum(1, keepdim=True), items], dim=1)

    def begin(self, states: Tensor) -> Any:
        """Read the histories."""
        n_read, x = states[:, 0], self._tokens(states[:, 1:])
        end = n_read * len(self.sizes)
        history = []
        for block in self.blocks:
            _, key, value = block.parts(x)
            history.append((key, value))
            x = block(x)
        ended = torch.arange(x.shape[1]) > end[:, None]
        hidden = torch.zeros(ended.shape).masked_fill(ended, -torch.inf)[:, None, None]
        last = x[torch.arange(len(x)), end][:, None]
        return _Written(last, n_read, history, hidden, [])

    def go_on(self, states: _Written, parents: Tensor, codes: Tensor, level: int) -> Any:
        """Read one more code in each beam."""
        x = self.read(codes) + self.positions[states.n_read + 1][:, None] + self.levels[level]
        kept = []
        for number, (block, past) in enumerate(zip(self.blocks, states.history, strict=True)):
            query, key, value = block.parts(x)
            own = key[:, :, :, None], value[:, :, :, None]
            if states.own:
                own = tuple(
                    torch.cat([_of_parents(before, parents), now], dim=3)
                    for before, now in zip(states.own[number], own, strict=True)
                )
            kept.append(own)
            x = block.finish(x, _attend(query, past, states.hidden, own))
        return states._replace(last=x, own=kept)

    def log_probabilities(self, states: Any, level: int, nodes: Tensor) -> Tensor:
        """Return those of all codes of a level, minus infinity where no ID goes on so."""
        last = states.last if isinstance(states, _Written) else states
        return super().log_probabilities(last, level, nodes)

    def _tokens(self, items: Tensor) -> Tensor:
        """Return vectors of the start and of all codes: (n, length * n_levels + 1, dim)."""
        n, length = items.shape
        places = self.positions[1 : length + 1, None] + self.levels
        codes = (self.read(self.codes[items]) + places).flatten(1, 2)
        return torch.cat([(self.start + self.positions[0]).expand(n, 1, -1), codes], dim=1)


def _of_parents(x: Tensor, parents: Tensor) -> Tensor:
    """Return what the parents of beams have, for x of shape (n, n_heads, n_beams, length, dim)."""
    shape = (-1, x.shape[1], -1, *x.shape[3:])
    return x.gather(2, parents[:, None, :, None, None].expand(shape))


def _attend(
    query: Tensor, past: tuple[Tensor, Tensor], hidden: Tensor, own: tuple[Tensor, Tensor]
) -> Tensor:
    """Attend to a history that all beams share, and to the codes that each beam has written."""
    query = query * query.shape[-1] ** -0.5
    length = past[0].shape[2]
    scores = torch.cat(
        [query @ past[0].transpose(2, 3) + hidden, (query[..., None, :] * own[0]).sum(-1)], dim=-1
    )
    share = scores.softmax(-1)
    return share[..., :length] @ past[1] + (share[..., length:, None] * own[1]).sum(-2)
