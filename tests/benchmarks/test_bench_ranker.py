"""The benchmark of rankers holds cold films out, and says why it can't run."""

import importlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("_common", "bench_ranker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("bench_ranker")
    for name in ("_common", "bench_ranker"):
        sys.modules.pop(name, None)


@pytest.fixture
def wheel(bench, tmp_path):
    """A wheel with a hundred films, of which each of twenty users has rated ten."""
    rng = np.random.default_rng(0)
    tables = {
        "item": [[str(i), f"Film {i % 9}", "1999", f"G{i % 4} H{i % 3}"] for i in range(100)],
        "inter": [
            [str(user), str(film), str(rng.integers(1, 6)), "0"]
            for user in range(20)
            for film in rng.choice(100, 10, replace=False)
        ],
        "link": [[str(i), f"m.{i}"] for i in range(50)],
        "kg": [[f"m.{i}", "made.by", f"m.d{i % 5}"] for i in range(60)],
    }
    path = tmp_path / "recbole-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for kind, rows in tables.items():
            text = "\n".join("\t".join(row) for row in [["header"], *rows])
            archive.writestr(f"{bench.FOLDER}.{kind}", text)
    return path


def test_facts_of_a_film_are_among_its_words(bench, wheel):
    data = bench.read_films(wheel)
    assert data.words[7] == [
        "genre G3", "genre H1", "title film", "title 7", "year 1999", "decade 199",
        "made.by m.d2",
    ]  # fmt: skip
    assert len(data.users) == 200


@pytest.mark.parametrize("task", ["liked", "touched"])
def test_the_parts_are_apart_and_negatives_are_untouched(bench, wheel, task):
    data, rng = bench.read_films(wheel), np.random.default_rng(0)
    is_cold = bench.split_films(100, rng)
    assert is_cold.sum() == 20
    examples = bench.make_examples(data, task, is_cold, rng)
    parts = examples.training.astype(int) + examples.warm + examples.cold
    assert (parts == 1).all()
    assert not is_cold[examples.films[examples.training]].any()
    if task == "touched":
        touched = set(zip(data.users, data.films, strict=True))
        negatives = ~examples.labels
        pairs = zip(examples.users[negatives], examples.films[negatives], strict=True)
        assert not touched & set(pairs)
        assert (is_cold[examples.films[:200]] == is_cold[examples.films[200:]]).all()


def test_words_of_cold_films_teach_nothing(bench, wheel):
    words = bench.read_films(wheel).words
    is_cold = np.arange(100) < 20
    changed = [["genre none"] if cold else row for cold, row in zip(is_cold, words, strict=True)]
    bench.N_DIMS = 4
    first, second = (bench.learn_vectors(some, is_cold)[20:] for some in (words, changed))
    assert first.shape == (80, 4)
    np.testing.assert_allclose(second, first, atol=1e-6)


def test_without_the_wheel_it_says_so(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_ranker.py", "--wheel", str(tmp_path / "none")])
    bench.main()
    assert "Skipped: there is no recbole-*.whl" in capsys.readouterr().err
