"""The benchmark of recommenders ranks exactly, counts by hand, and lets nothing leak."""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = (
    "_common", "_quantizers", "_catalogs", "_id_sets", "_ranking", "_generator", "_floors",
    "_parallel_heads", "_recommend_report", "bench_recommend",
)  # fmt: skip


@pytest.fixture
def load(monkeypatch):
    """Import a file of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def catalog(load):
    """Forty items in a ring; users walk around it."""
    rng = np.random.default_rng(0)
    histories = [(rng.integers(40) + np.arange(rng.integers(5, 9))) % 40 for _ in range(150)]
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    return load("_catalogs").Catalog("ring", vectors, histories, [], {})


@pytest.fixture
def ids():
    """Forty IDs of three codes, of which some are shared."""
    rng = np.random.default_rng(1)
    drawn = rng.integers([3, 4, 5], size=(40, 3))
    drawn[7] = drawn[3]
    return drawn


def log_probabilities(model, states):
    """Score every item by walking its codes: the slow way."""
    n_items = len(model.codes)
    rows = [-model.losses(state.expand(n_items, -1), torch.arange(n_items)) for state in states]
    return torch.stack(rows)


@pytest.fixture(params=["Recommender", "CodeRecommender", "FlatRecommender"])
def model(request, load, ids):
    """A recommender with large random weights, so that its rankings differ."""
    generator = load("_generator")
    recipe = generator.RECIPE._replace(dim=32)
    model = getattr(generator, request.param)(generator.Trie(ids), recipe, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model


@torch.no_grad()
def test_probabilities_of_all_ids_sum_to_one(load, model, ids, catalog):
    _, first = np.unique(ids, axis=0, return_index=True)
    _, states = next(load("_generator").last_states(model, catalog.histories[:4]))
    scores = log_probabilities(model, states)[:, first]
    np.testing.assert_allclose(scores.exp().sum(1), 1, rtol=1e-5)


@torch.no_grad()
def test_the_flat_layout_writes_as_it_reads(load, ids, catalog):
    # What it was trained on, all codes in one pass, is what it says code by code.
    generator = load("_generator")
    model = generator.FlatRecommender(generator.Trie(ids), generator.RECIPE, seed=0).eval()
    history = catalog.histories[0]
    at_once = model.loss(torch.from_numpy(history[None]), torch.ones(1, len(history)).bool())
    one_by_one = [model.surprise([history[:k]], history[k : k + 1]) for k in range(1, len(history))]
    first = model.losses(torch.tensor([[0]]), torch.from_numpy(history[:1]))
    expected = (float(first[0]) + sum(one_by_one)) / len(history)
    np.testing.assert_allclose(float(at_once), expected, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("width", [1, 3, 40])
def test_ranking_equals_scoring_every_item(load, model, ids, catalog, monkeypatch, width):
    # Even from a width of one: the bound tells where to search wider.
    generator = load("_generator")
    monkeypatch.setattr(generator, "FIRST_WIDTH", width)
    targets = np.array([history[-1] for history in catalog.histories])
    histories = [history[:-1] for history in catalog.histories]
    ranks = model.rank(histories, targets)
    for rows, states in generator.last_states(model, histories):
        scores = log_probabilities(model, states).numpy()
        own = scores[np.arange(len(rows)), targets[rows]][:, None]
        tied = np.isclose(scores, own, rtol=0, atol=1e-4)
        better = ((scores > own) & ~tied).sum(axis=1)
        known = better < 8  # loads of up to two items reach beyond ten IDs
        assert known.sum() > 10
        np.testing.assert_array_equal(ranks.better[rows][known], better[known])
        assert (ranks.better[rows][better >= 20] == 255).all()
    assert set(ranks.load[np.isin(targets, [3, 7])]) == {2 + (ids == ids[3]).all(1).sum() - 2}


def test_metrics_by_hand(load):
    # Targets alone at the first and third place, and one of four that share places 9 to 12.
    ranking = load("_ranking")
    ranks = ranking.Ranks(np.array([0, 2, 8, 255]), np.array([1, 1, 4, 1]))
    assert ranking.item_hit(ranks, 10).tolist() == [1, 1, 0.5, 0]
    expected = [1, 1 / 2, (1 / np.log2(10) + 1 / np.log2(11)) / 4, 0]
    np.testing.assert_allclose(ranking.item_ndcg(ranks, 10), expected)
    assert ranking.id_hit(ranks, 10).tolist() == [1, 1, 1, 0]


def test_packed_ranks_keep_what_metrics_look_at(load):
    ranking = load("_ranking")
    ranks = ranking.Ranks(np.array([0, 2, 8, 10, 254, 300]), np.array([1, 1, 4, 7, 300, 1]))
    again = ranking.Ranks.unpack(ranks.pack())
    assert ranking.metrics_of(again) == ranking.metrics_of(ranks)
    assert (again.better.tolist(), again.load.tolist()) == (
        [0, 2, 8, *[255] * 3],
        [1, 1, 4, 1, 1, 1],
    )


def test_items_with_equal_scores_share_their_places(load):
    ranks = load("_ranking").ranks_by_scores(np.array([[3.0, 1, 1, 0]]), np.array([2]))
    assert (ranks.better.tolist(), ranks.load.tolist()) == ([1], [2])


def test_a_share_of_what_all_users_gain_has_no_interval(load):
    gains = np.random.default_rng(0).uniform(size=(3, 50))
    found = load("_ranking").compare(1.1 * gains, gains)
    np.testing.assert_allclose(found, 0.1)


def test_all_seeds_count_where_one_side_has_fewer(load):
    # Users are alike, so that only the seeds that are drawn move the ratio: both good, or both bad.
    seeds = np.array([[1.0], [2.0]]).repeat(50, axis=1)
    found = load("_ranking").compare(seeds, np.ones((1, 50)))
    np.testing.assert_allclose(found, [0.5, 0, 1])


def test_the_interval_of_a_mean_is_that_of_the_normal_law(load):
    # Second gains are all one: the ratio is the mean of the first ones.
    first = np.random.default_rng(0).normal(1, 0.5, size=(1, 4000))
    found = load("_ranking").compare(first, np.ones((1, 4000)))
    half = 1.96 * first.std() / np.sqrt(4000)
    np.testing.assert_allclose([found.low, found.high], first.mean() - 1 + [-half, half], atol=2e-3)


def test_planted_targets_raise_hits_and_others_are_never_seen(load, catalog):
    generator, ranking = load("_generator"), load("_ranking")
    rng = np.random.default_rng(0)
    marked = [np.r_[h[:-1], rng.integers(40)] for h in catalog.histories]  # nothing foretells these
    targets = np.array([history[-1] for history in marked])
    hits = {}
    for name, histories in (
        ("honest", catalog._replace(histories=marked).training()),
        ("planted", marked),
    ):
        recipe = generator.RECIPE._replace(epochs=40, batch_users=32, dropout=0.0, weight_decay=0.0)
        model = generator.Recommender(generator.Trie(np.arange(40)[:, None]), recipe, 0)
        generator.train(model, histories, seed=0)
        ranks = model.rank([history[:-1] for history in marked], targets)
        hits[name] = ranking.item_hit(ranks, 3).mean()
    assert hits["honest"] < 0.2 < 0.5 < hits["planted"]


def test_behavior_is_learned_without_the_items_that_are_predicted(load, catalog):
    id_sets = load("_id_sets")
    params = {"n_components": 4}
    others = [np.r_[history[:-2], 0, 1] for history in catalog.histories]
    views = [
        id_sets.fused_views(found, 0, **params)
        for found in (catalog, catalog._replace(histories=others))
    ]
    np.testing.assert_array_equal(*views)


@pytest.mark.parametrize("layout", ["Recommender", "FlatRecommender"])
def test_a_trained_recommender_learns_the_ring(load, catalog, layout):
    generator, ranking = load("_generator"), load("_ranking")
    recipe = generator.RECIPE._replace(epochs=30, batch_users=16, dropout=0.0)
    codes = np.stack(np.divmod(np.arange(40), 8), axis=1)
    model = getattr(generator, layout)(generator.Trie(codes), recipe, 0)
    generator.train(model, catalog.training(), 0)
    new_users = [(start + np.arange(3)) % 40 for start in range(40)]
    ranks = model.rank(new_users, (np.arange(40) + 3) % 40)
    assert ranking.item_hit(ranks, 1).mean() > 0.8


def test_codes_in_no_order_are_for_what_writes_them_at_once(load):
    bench = load("bench_recommend")
    args = argparse.Namespace(
        catalogs=["beauty"], ids=["behavior", "behavior-product"], layouts=list(bench.LAYOUTS),
        seeds=1, floors=[],
    )  # fmt: skip
    asked = [(cell["layout"], cell["ids"]) for cell in bench.queue(args)]
    assert [layout for layout, ids in asked if ids == "behavior"] == list(bench.LAYOUTS)
    assert [layout for layout, ids in asked if ids == "behavior-product"] == ["parallel"]


def test_item_neighbors_and_markov_learn_the_ring(load, catalog):
    floors, ranking = load("_floors"), load("_ranking")
    for name, least in (("Markov", 0.9), ("item-kNN", 0.5), ("popularity", 0.0)):
        ranks = floors.rank_by(floors.FLOORS[name](catalog), catalog, 1)
        assert ranking.item_hit(ranks, 2).mean() >= least


def test_a_decoder_of_unique_codes_is_a_ridge_regression(load):
    # One code per item, one item per code: each vector goes half way from the mean.
    X = np.array([[2.0, 0], [0, 2], [4, 4]])
    decoded = load("bench_recommend").decode(np.arange(3)[:, None], X)
    np.testing.assert_allclose(decoded, (X + X.mean(axis=0)) / 2)


def test_a_catalog_that_is_not_there_is_skipped_with_the_reason(load, tmp_path, capsys):
    bench = load("bench_recommend")
    arguments = ["--catalogs", "movielens", "--wheels", str(tmp_path), "--output", str(tmp_path)]
    bench.main(arguments)
    assert "recbole" in capsys.readouterr().err
    assert "Not measured yet" in (tmp_path / "recommend_table.rst").read_text()


def test_the_report_compares_users_and_seeds(load, tmp_path):
    # Every user of the one set finds the target first, every second user of the other.
    ranking, common = load("_ranking"), load("_common")
    results = common.Results(tmp_path / "recommend.json", load("bench_recommend").KEYS)
    for name, layout, better in (
        ("behavior", "items", 0),
        ("text", "items", 1),
        ("Markov", "none", 2),
    ):
        for seed in range(1 if layout == "none" else 2):
            ranks = ranking.Ranks(np.full(50, better), np.ones(50, dtype=int))
            results.add(
                {"catalog": "beauty", "ids": name, "layout": layout, "seed": seed},
                ranking.metrics_of(ranks) | {"ranks": ranks.pack(), "properties": {"lift 1": 2.0}},
            )
    load("_recommend_report").report(results, tmp_path)
    aim = (tmp_path / "recommend_aim.rst").read_text()
    gain = 100 * (np.log2(3) - 1)
    assert f"text, defaults\n     - 2, 2\n     - +{gain:.1f} [+{gain:.1f}, +{gain:.1f}]\n" in aim
    assert "Markov\n     - 2, 1\n     - +100.0 [+100.0, +100.0]" in aim
    assert "0.6309 ± 0.0000" in (tmp_path / "recommend_table.rst").read_text()


def test_own_sets_are_compared_over_the_seeds_of_both(load):
    ranking, report = load("_ranking"), load("_recommend_report")
    cells = {
        (name, seed): {
            "ids": name,
            "seed": seed,
            "ranks": ranking.Ranks(np.full(9, seed), np.ones(9, dtype=int)).pack(),
        }
        for name in ("behavior", "text", "faiss")
        for seed in (0, 1)
    }
    ours = [cells["behavior", 0], cells["behavior", 1]]
    assert report.difference(ours, [cells["text", 0]]).relative == 0
    assert report.difference(ours, [cells["faiss", 0]]).relative < -0.1


def test_sets_that_are_others_again_count_once(load):
    one, two = ({"seed": seed, "properties": {"lift 1": 2.0 + seed}} for seed in (0, 1))
    sets = {"behavior": [two, one], "behavior-chosen": [one], "text": [two]}
    assert list(load("_recommend_report")._different(sets)) == ["behavior", "text"]
