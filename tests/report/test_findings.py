"""Each rule speaks when its numbers say so, and is silent otherwise."""

from dataclasses import replace

import pytest

from sklearn_rqvae.report._comparison import Comparison
from sklearn_rqvae.report._findings import Model, find, verdict
from sklearn_rqvae.report._measures import LevelMeasures, Measures

OVERALL = Measures(
    n_items=1000,
    n_features=8,
    n_distinct_rows=1000,
    bits=12.0,
    collision_floor=0.0,
    cosine=0.9,
    n_neighbors=10,
    neighbor_recall=0.5,
    prefix_neighbor_recall=0.3,
    chance_recall=0.01,
)
LEVEL = LevelMeasures(
    level=0,
    codebook_size=16,
    n_dead=0,
    utilization=1.0,
    perplexity=15.0,
    gini=0.1,
    largest_bucket=80,
    n_distinct=16,
    collision_rate=0.984,
    colliding_share=1.0,
    largest_group=80,
    entropy=3.9,
    unexplained=0.6,
    consistency=0.9,
    purity=None,
    mutual_information=None,
)
LEVELS = [
    LEVEL,
    replace(LEVEL, level=1, n_distinct=240, collision_rate=0.76, unexplained=0.4),
    replace(LEVEL, level=2, n_distinct=950, collision_rate=0.05, unexplained=0.2),
]
PLAIN = Model("RQVAETransformer", trained=False, linear_path=True, history=[])
TRAINED = Model("RQVAETransformer", trained=True, linear_path=False, history=[{}])


def said(topic, overall=OVERALL, levels=LEVELS, comparison=None, model=PLAIN):
    """What the findings say about a topic, and of which kind they are."""
    found = find(overall, levels, comparison, model)
    return [
        (finding.kind, f"{finding.text} {finding.advice}")
        for finding in found
        if finding.topic == topic
    ]


def with_level(number, **changes):
    return [replace(level, **changes) if level.level == number else level for level in LEVELS]


def test_healthy_levels_are_said_to_be():
    ((kind, text),) = said("usage")
    assert kind == "good"
    assert "93.8%" in text  # perplexity 15 of 16


@pytest.mark.parametrize("changes", [{"n_dead": 9}, {"perplexity": 1.5}])
def test_collapse_names_the_level_and_ways_out(changes):
    levels = with_level(1, **changes)
    ((kind, text),) = said("usage", levels=levels, model=TRAINED)
    assert kind == "problem"
    assert "level 1" in text
    assert "level 0" not in text
    assert "commitment_weight" in text
    assert "linear_path=True" in text
    ((_, text),) = said("usage", levels=levels)
    assert "commitment_weight" not in text  # means nothing without gradient training
    assert "scale" in text


def test_few_rows_cannot_use_all_codewords_and_are_no_collapse():
    levels = with_level(0, n_dead=9, perplexity=6.0)
    few = replace(OVERALL, n_distinct_rows=8)
    assert all("Collapsed" not in text for _, text in said("usage", few, levels))


def test_dead_codewords_are_a_note():
    ((kind, text),) = said("usage", levels=with_level(2, n_dead=2, perplexity=13.0))
    assert kind == "note"
    assert "level 2 (2 dead)" in text


@pytest.mark.parametrize(
    ("rate", "floor", "kind", "words"),
    [
        (0.0, 0.0, "good", "of its own"),
        (0.05, 0.05, "good", "only equal vectors"),
        (0.05, 0.0, "note", "Another level"),
        (0.05, 0.04, "note", "Most of it is duplicates"),
        (0.5, 0.0, "problem", "Another level"),
    ],
)
def test_collisions_are_judged_by_what_duplicates_enforce(rate, floor, kind, words):
    overall = replace(OVERALL, collision_floor=floor)
    ((found, text),) = said("collisions", overall, with_level(2, collision_rate=rate))
    assert found == kind
    assert words in text


def test_too_few_bits_are_a_problem():
    ((kind, text),) = said("bits", replace(OVERALL, bits=9.0))
    assert kind == "problem"
    assert "9.0 bits" in text
    assert "10.0" in text  # log2 of 1000


def test_too_many_codewords_for_the_rows_are_a_note():
    ((kind, text),) = said("bits", levels=with_level(1, codebook_size=200))
    assert kind == "note"
    assert "Level 1 has a codeword for every 5.0 different rows" in text


def test_prefixes_that_tell_all_apart_are_a_note():
    ((kind, text),) = said("bits", levels=with_level(1, collision_rate=0.0))
    assert kind == "note"
    assert "first 2 codes" in text
    assert said("bits") == []


def test_reconstruction_is_a_finding_only_where_it_is_bad():
    assert said("reconstruction") == []
    assert said("reconstruction", levels=with_level(2, unexplained=1.2))[0][0] == "problem"
    coarse = [replace(level, unexplained=0.6 + (2 - level.level) * 0.1) for level in LEVELS]
    ((kind, text),) = said("reconstruction", levels=coarse)
    assert kind == "note"
    assert "60.0%" in text


def test_a_level_that_adds_nothing_is_named():
    ((kind, text),) = said("reconstruction", levels=with_level(2, unexplained=0.399))
    assert kind == "note"
    assert "By adding level 2" in text


def test_prefixes_without_meaning_are_named():
    assert said("neighbors")[0][0] == "good"
    ((kind, text),) = said("neighbors", levels=with_level(1, consistency=0.55))
    assert kind == "note"
    assert "level 1 (55.0%)" in text
    assert said("neighbors", levels=with_level(1, consistency=None))[0][0] == "good"


@pytest.mark.parametrize(("information", "kind"), [(0.4, "good"), (0.01, "note")])
def test_labels_are_judged_at_their_best_length(information, kind):
    assert said("labels") == []
    levels = [
        replace(level, purity=0.5 + level.level / 10, mutual_information=value)
        for level, value in zip(LEVELS, (0.0, information, 0.005), strict=True)
    ]
    ((found, text),) = said("labels", levels=levels)
    assert found == kind
    assert "2 codes" in text
    assert "purity 60.0%" in text


def test_worse_new_rows_are_noted(contender):
    rival = contender("ResidualKMeans", 0.5)
    mine = contender("RQVAETransformer", 0.5, training_unexplained=0.2)
    ((kind, text),) = said("new items", comparison=Comparison([mine, rival], 100, 20, True))
    assert kind == "note"
    assert "2.5 times" in text
    assert "early_stopping" not in text
    mine = contender("RQVAETransformer", 0.5, training_unexplained=0.4)
    assert said("new items", comparison=Comparison([mine, rival], 100, 20, True)) == []


def test_a_rival_that_keeps_more_neighbors_is_named_even_if_the_model_wins(contender):
    mine = contender("RQVAETransformer", 0.4, recall=0.40)
    rivals = [contender("A", 0.5, 0.1, recall=0.39), contender("B", 0.6, 0.2, recall=0.46)]
    comparison = Comparison([mine, *rivals], 100, 20, True)
    ((kind, text),) = said("new items", comparison=comparison)
    assert kind == "note"
    assert "B is ahead" in text
    rivals[1] = contender("B", 0.6, 0.2, recall=0.41)
    assert said("new items", comparison=Comparison([mine, *rivals], 100, 20, True)) == []


def test_a_textbook_network_that_loses_is_told_of_the_linear_path(contender):
    mine, rival = contender("RQVAETransformer", 0.6), contender("ResidualKMeans", 0.5, -0.1)
    comparison = Comparison([mine, rival], 100, 20, True)
    ((kind, text),) = said("model", comparison=comparison, model=TRAINED)
    assert kind == "problem"
    assert "linear_path=True" in text
    assert said("model", comparison=comparison, model=PLAIN) == []


@pytest.mark.parametrize("key", ["train_distortion", "valid_distortion"])
def test_a_fit_that_was_still_improving_is_noted(key):
    falling = [{}, {key: None}, *({key: value} for value in (0.5, 0.4, 0.3))]
    ((kind, text),) = said("training", model=replace(TRAINED, history=falling))
    assert kind == "note"
    assert "last of 5 epochs" in text
    flat = [{key: value} for value in (0.3, 0.3, 0.2999)]
    assert said("training", model=replace(TRAINED, history=flat)) == []


@pytest.mark.parametrize(("last", "is_noted"), [(0.29, False), (0.25, True)])
def test_a_fall_counts_by_the_epochs_that_it_took(last, is_noted):
    # Of 0.3, a fall by 3 % in 30 epochs is none to go on for; in 2 epochs it would be.
    history = [{} for _ in range(45)]
    for epoch, value in ((15, 0.3), (30, 0.295), (45, last)):
        history[epoch - 1] = {"train_distortion": value}
    assert bool(said("training", model=replace(TRAINED, history=history))) is is_noted
    close = [{"train_distortion": value} for value in (0.3, 0.295, last)]
    assert said("training", model=replace(TRAINED, history=close))


def test_problems_come_first():
    levels = with_level(1, n_dead=16)
    kinds = [finding.kind for finding in find(OVERALL, levels, None, PLAIN)]
    assert kinds[0] == "problem"
    assert kinds == sorted(kinds, key=["problem", "note", "good"].index)


@pytest.mark.parametrize(
    ("difference", "error", "first"),
    [(0.1, 0.01, "Worth it"), (-0.1, 0.01, "Not worth it"), (0.1, 0.2, "No clear winner")],
)
def test_the_verdict_is_said_with_its_numbers(contender, difference, error, first):
    mine = contender("Mine", 0.5 - difference, n_numbers=40)
    rival = contender("Rival", 0.5, difference, error)
    text = verdict("Mine", Comparison([mine, rival], 100, 20, True), "")
    assert text.startswith(f"{first}. ")
    assert "On 20 held-out rows" in text
    assert "50.0%" in text
    assert ("4.0 times as many numbers" in text) == (first != "Not worth it")


def test_no_comparison_gives_no_verdict():
    assert verdict("Mine", None, "too few rows") == "Not judged: too few rows."
