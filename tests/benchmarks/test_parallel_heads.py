"""Parallel heads score items by their codes, in no order, as the slow way does."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("_ranking", "_generator", "_parallel_heads")


@pytest.fixture
def load(monkeypatch):
    """Import a file of the benchmarks by name."""
    if not (FOLDER / "_generator.py").exists():
        pytest.skip("this copy has no benchmark of recommenders")
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def codes():
    """Forty items of three codes, two of which are the same."""
    drawn = np.random.default_rng(1).integers([3, 4, 5], size=(40, 3))
    drawn[7] = drawn[3]
    return drawn


def built(load, codes, seed=0):
    """Return a recommender with large random weights, so that its rankings differ."""
    generator = load("_generator")
    recipe = generator.RECIPE._replace(dim=32, epochs=30, batch_users=16)
    model = load("_parallel_heads").ParallelRecommender(generator.Trie(codes), recipe, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=model.generator)
    return model.eval()


def slow_scores(model, codes, state):
    """Score items one by one: a softmax for each head, looked up code by code."""
    numbered = np.stack([np.unique(column, return_inverse=True)[1] for column in codes.T], 1)
    starts = np.cumsum([0, *model.sizes])
    total = np.zeros(len(codes))
    for level, head in enumerate(model.heads):
        own = slice(starts[level], starts[level + 1])
        logits = head(state) @ model.written.weight[own].T + model.bias[own]
        chance = np.exp((logits - logits.max()).detach().numpy().astype(float))
        for item, code in enumerate(numbered[:, level]):
            total[item] += np.log(chance[code] / chance.sum())
    return total


def test_scores_are_sums_over_the_codes(load, codes):
    model = built(load, codes)
    states = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    expected = [slow_scores(model, codes, state) for state in states]
    np.testing.assert_allclose(model.scores(states), expected, rtol=1e-4, atol=1e-4)
    losses = model.losses(states, torch.tensor([3, 7, 11, 0]))
    np.testing.assert_allclose(
        losses.detach(), [-row[item] for row, item in zip(expected, [3, 7, 11, 0], strict=True)],
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert losses.shape == (4,)


def test_rankings_count_the_items_above(load, codes):
    model = built(load, codes)
    rng = np.random.default_rng(0)
    histories = [rng.integers(40, size=n) for n in (1, 5, 3, 30)]
    targets = np.array([3, 7, 20, 1])
    ranks = model.rank(histories, targets)
    for user, history in enumerate(histories):
        items = torch.from_numpy(history[-model.recipe.max_length :])[None]
        with torch.no_grad():
            state = model.states(items)[0, -1]
        scores = slow_scores(model, codes, state)
        above = scores > scores[targets[user]] + 1e-6
        assert ranks.better[user] == above.sum()
    assert ranks.load.tolist()[:2] == [2, 2]


def test_it_learns_what_comes_next(load):
    # Users walk around a ring of thirty items, each of which has codes of its own.
    rng = np.random.default_rng(0)
    codes = np.stack([rng.permutation(30) for _ in range(4)], axis=1) % [5, 6, 7, 8]
    codes = np.column_stack([codes, np.arange(30)])
    generator = load("_generator")
    recipe = generator.RECIPE._replace(dim=32, epochs=30, batch_users=16)
    model = load("_parallel_heads").ParallelRecommender(generator.Trie(codes), recipe, 0)
    histories = [(rng.integers(30) + np.arange(6)) % 30 for _ in range(200)]
    generator.train(model, histories, 0)
    ranks = model.rank(
        [history[:-1] for history in histories], np.array([h[-1] for h in histories])
    )
    assert (ranks.better == 0).mean() > 0.9
