"""Sizes that are suggested, by a law that measurements made."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sklearn_rqvae._cli._main import main
from sklearn_rqvae.semantic_id import expected_collision_rate, suggest_sizes
from sklearn_rqvae.semantic_id._sizes import LIKENESS_RANGE, _rate

MEASURED = Path(__file__).resolve().parents[2] / "docs/benchmarks/_generated/sizes.json"


def test_rate_by_hand():
    # 4000 items, 2 levels of 100: 40 items per codeword and 10,000 IDs.
    odds = 4000 / 10_000 + 0.01 / 4 * 40 / (1 + 40 / 50) ** 0.5
    assert expected_collision_rate(4000, 100, 2) == pytest.approx(odds / (1 + odds))


def test_sizes_of_levels_count_by_their_geometric_mean():
    even = expected_collision_rate(4000, 64, 2)
    assert expected_collision_rate(4000, [32, 128], 2) == pytest.approx(even)


@pytest.mark.parametrize("n_items", [500, 12_000, 300_000, 10**8])
def test_more_items_collide_more_and_more_ids_collide_less(n_items):
    rate = expected_collision_rate(n_items)
    assert 0 < rate < 1
    assert expected_collision_rate(2 * n_items) > rate
    assert expected_collision_rate(n_items, 512) < rate
    assert expected_collision_rate(n_items, 256, 4) < rate


@pytest.mark.parametrize("n_items", [1, 40, 1000, 30_000, 10**6, 10**9])
@pytest.mark.parametrize("n_layers", [None, 1, 4])
def test_suggestion_is_what_it_says(n_items, n_layers):
    found = suggest_sizes(n_items, n_layers)
    rate = expected_collision_rate(n_items, found.codebook_size, found.n_layers)
    assert found.collision_rate == pytest.approx(rate)
    low, high = found.collision_range
    assert low < found.collision_rate < high
    assert n_layers is None or found.n_layers == n_layers
    assert found.codebook_size == 16 or n_items >= 10 * found.codebook_size
    assert (found.collision_rate > 0.1) == ("That is more than 10.0%" in str(found))
    assert str(found).count(" <") == 1


def test_a_stricter_target_asks_for_more_bits():
    loose, strict = suggest_sizes(30_000), suggest_sizes(30_000, target_collisions=0.03)
    assert strict.collision_rate <= 0.03
    assert strict.n_layers * math.log2(strict.codebook_size) > 24
    assert (loose.n_layers, loose.codebook_size) == (3, 256)  # the defaults


@pytest.mark.parametrize("wrong", [0, -3, 2.5, "many", True])
def test_numbers_of_items_are_positive_integers(wrong):
    with pytest.raises(ValueError, match="n_items="):
        suggest_sizes(wrong)
    with pytest.raises(ValueError, match="n_items="):
        expected_collision_rate(wrong)


def test_targets_are_shares():
    with pytest.raises(ValueError, match=r"target_collisions=10 .* such as 0\.1"):
        suggest_sizes(1000, target_collisions=10)


def test_measured_rates_are_within_the_range_of_the_law():
    cells = json.loads(MEASURED.read_text())["cells"]
    within = []
    for cell in cells:
        if cell["collision_rate"] * cell["items"] >= 10:
            n_layers, size = map(int, cell["sizes"].split("x"))
            low, high = (
                _rate(cell["items"], [size] * n_layers, likeness) for likeness in LIKENESS_RANGE
            )
            within.append(low / 1.5 < cell["collision_rate"] < high * 1.5)
    assert len(within) > 50
    assert np.mean(within) > 0.85


def test_command_prints_the_table_and_the_options_to_type(capsys):
    assert main(["sizes", "30000", "--n-layers", "4", "--collisions", "0.05"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(str(suggest_sizes(30_000, 4, target_collisions=0.05)))
    assert out.rstrip().endswith("fit ... --n-layers 4 --codebook-size 256")
