"""The benchmark of the embeddings' start reads histories and reports what it measured."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


def test_losses_are_means_over_the_seeds_with_their_range(tmp_path):
    bench, common = import_module("bench_token_start"), import_module("_common")
    results = common.Results(tmp_path / "token_start.json", bench.KEYS)
    for seed, loss in enumerate((1.0, 3.0)):
        losses = {str(step): loss for step in bench.STEPS}
        results.add({"catalog": "x", "seed": seed}, dict.fromkeys(bench.STARTS, losses))
    assert bench.table(results).count("2.00 (1.00 to 3.00)") == 3 * len(bench.STEPS)


def test_a_start_changes_embeddings_of_codes_alone():
    pytest.importorskip("transformers")
    bench = import_module("bench_token_start")
    import numpy as np

    from sklearn_rqvae import SemanticIDIndex

    codes = np.random.default_rng(0).integers(0, 4, size=(30, 2))
    books = [np.random.default_rng(level).normal(size=(4, 3)) for level in range(2)]
    index = SemanticIDIndex(codebook_sizes=4).fit(codes, codebooks=books)
    tables = {}
    for start in bench.STARTS:
        model, numbers = bench.generator(index, start, seed=0)
        tables[start] = model.get_input_embeddings().weight.detach().numpy()
        assert len(numbers) == sum(index.level_sizes_)
    first = tables["codebooks"]
    for table in tables.values():
        np.testing.assert_array_equal(table[: numbers.min()], first[: numbers.min()])
        assert (table is first) == np.array_equal(table, first)
