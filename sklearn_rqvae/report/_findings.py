"""What the numbers mean, and what to change: one rule for each kind of finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from sklearn_rqvae._learning._collapse import has_collapsed
from sklearn_rqvae.report._comparison import Comparison
from sklearn_rqvae.report._measures import LevelMeasures, Measures
from sklearn_rqvae.report._words import and_list, count, percent, plural

__all__ = ["Finding", "find", "verdict"]

# The rules' thresholds, as the user guide states them.
_DEAD_SHARE = 0.1
_ITEMS_PER_CODEWORD = 10
_MIN_STEP = 0.01
_AVOIDABLE = 0.001
_HIGH_UNEXPLAINED = 0.5
_CONSISTENT = 0.7
_OVERFIT = 1.5
_SMALL_INFORMATION = 0.05
_RECALL_GAP = 0.03
_FALL_PER_EPOCH = 0.0025


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers say.

    Attributes
    ----------
    kind : {"problem", "note", "good"}
        Whether something should be changed, may be, or is as it should be.
    topic : str
        What it is about, in a word or two.
    text : str
        What was found, with the numbers.
    advice : str
        What to do about it; empty if nothing.
    """

    kind: str
    topic: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Model:
    """What the rules ask about the estimator."""

    name: str
    trained: bool
    linear_path: bool
    history: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, last_step: Any) -> Model:
        """Look at the last step of a fitted estimator."""
        history = getattr(last_step, "history_", [])
        linear = getattr(last_step, "linear_path", True)
        return cls(type(last_step).__name__, len(history) > 0, bool(linear), history)


def verdict(name: str, comparison: Comparison | None, why_none: str) -> str:
    """Say in plain words whether the estimator beats its rivals."""
    if comparison is None:
        return f"Not judged: {why_none}."
    mine, rival = comparison.contenders[0], comparison.best_rival
    where = f"On {count(comparison.n_held_out)} held-out rows and at equal bits, {name} leaves"
    spread = f"{100 * abs(rival.difference):.2g} ± {200 * rival.difference_error:.2g} points"
    numbers = (
        f"{where} {percent(mine.unexplained)} of the variance unexplained and {rival.name}, its "
        f"best rival, {percent(rival.unexplained)}: a difference of {spread} (two standard errors)"
    )
    ratio = mine.n_numbers / rival.n_numbers
    size = f" It stores {ratio:.1f} times as many numbers." if ratio >= 2 else ""
    if comparison.outcome == "better":
        return f"Worth it. {numbers}, {percent(comparison.gain)} of the rival's error.{size}"
    if comparison.outcome == "worse":
        larger = f", which stores {1 / ratio:.1f} times as many numbers" if ratio <= 0.5 else ""
        return (
            f"Not worth it. {numbers}. Take {rival.name}{larger}, or change {name} as the "
            "findings suggest."
        )
    return (
        f"No clear winner. {numbers}, too little to choose by. Take the simpler and faster one."
        f"{size}"
    )


def find(
    overall: Measures,
    levels: Sequence[LevelMeasures],
    comparison: Comparison | None,
    model: Model,
) -> list[Finding]:
    """Apply all rules; problems come first."""
    found = [
        *_collapse(overall, levels, model),
        *_collisions(overall, levels),
        *_bits(overall, levels),
        *_reconstruction(levels),
        *_hierarchy(overall, levels),
        *_labels(levels),
        *_held_out(comparison, model),
        *_training(model),
    ]
    return sorted(found, key=lambda finding: ["problem", "note", "good"].index(finding.kind))


def _collapse(overall: Measures, levels: Sequence[LevelMeasures], model: Model) -> list[Finding]:
    collapsed = [level for level in levels if _has_collapsed(level, overall.n_distinct_rows)]
    if collapsed:
        names = and_list(
            [
                f"level {level.level} (perplexity {level.perplexity:.1f} of {level.codebook_size}, "
                f"{percent(level.utilization)} in use)"
                for level in collapsed
            ]
        )
        if model.trained:
            advice = (
                "In this order: a smaller lr, a larger commitment_weight, "
                "codebook_mode='ROTATION_TRICK', a smaller codebook_size"
            )
            advice += "." if model.linear_path else ", or linear_path=True."
        else:
            advice = (
                "Look at the input first: one feature far larger than the others, or a few rows "
                "far from the rest, take all codewords; scale or clip them. Then a smaller "
                "codebook_size."
            )
        return [Finding("problem", "usage", f"Collapsed: {names}.", advice)]
    dead = [level for level in levels if level.n_dead > _DEAD_SHARE * level.codebook_size]
    if dead:
        names = and_list([f"level {level.level} ({count(level.n_dead)} dead)" for level in dead])
        return [
            Finding(
                "note",
                "usage",
                f"More than {percent(_DEAD_SHARE)} of the codewords have no item at {names}.",
                "These bits are unused: a smaller codebook_size at that level costs nothing.",
            )
        ]
    lowest = min(level.perplexity / level.codebook_size for level in levels)
    text = f"All levels use their codewords: perplexity is at least {percent(lowest)} of the size."
    return [Finding("good", "usage", text)]


def _has_collapsed(level: LevelMeasures, n_distinct_rows: int) -> bool:
    """Apply the rule by which `fit` warns of a collapse."""
    n_used = level.codebook_size - level.n_dead
    return has_collapsed(n_used, level.perplexity, level.codebook_size, n_distinct_rows)


def _collisions(overall: Measures, levels: Sequence[LevelMeasures]) -> list[Finding]:
    last, floor = levels[-1], overall.collision_floor
    avoidable = last.collision_rate - floor
    if last.collision_rate == 0:
        return [Finding("good", "collisions", "Every item has a semantic ID of its own.")]
    rate = f"The collision rate is {percent(last.collision_rate)}"
    unique = "SemanticIDIndex makes IDs unique, by a suffix or by moving items to free IDs nearby."
    if avoidable <= _AVOIDABLE:
        text = (
            f"{rate}; duplicate rows enforce {percent(floor)}: only equal vectors share an ID, "
            f"up to {count(last.largest_group)} of them."
        )
        return [Finding("good", "collisions", text, unique)]
    text = (
        f"{rate}, of which duplicate rows enforce {percent(floor)}; "
        f"{percent(last.colliding_share)} of the items share their ID, up to "
        f"{count(last.largest_group)} the same one."
    )
    if floor > avoidable:
        return [Finding("note", "collisions", f"{text} Most of it is duplicates.", unique)]
    kind = "problem" if avoidable > 0.2 else "note"
    return [
        Finding(
            kind, "collisions", text, f"{unique} Another level, or a larger one, lowers the rate."
        )
    ]


def _bits(overall: Measures, levels: Sequence[LevelMeasures]) -> list[Finding]:
    n, needed = overall.n_distinct_rows, log2(overall.n_distinct_rows)
    if overall.bits < needed:
        text = (
            f"A semantic ID has {overall.bits:.1f} bits, and telling {count(n)} different rows "
            f"apart takes {needed:.1f}: collisions can't be avoided."
        )
        return [Finding("problem", "bits", text, "Add a level, or enlarge the codebooks.")]
    largest = max(levels, key=lambda level: level.codebook_size)
    if n < _ITEMS_PER_CODEWORD * largest.codebook_size:
        text = (
            f"Level {largest.level} has a codeword for every "
            f"{n / largest.codebook_size:.1f} different rows: codewords copy rows instead of "
            "standing for many."
        )
        advice = (
            "Smaller codebooks with more levels, or more items; a few dozen items per codeword "
            "is a good number."
        )
        return [Finding("note", "bits", text, advice)]
    enough = next(
        (
            level.level + 1
            for level in levels[:-1]
            if level.collision_rate - overall.collision_floor <= _AVOIDABLE
        ),
        None,
    )
    if enough is not None:
        text = (
            f"The first {plural(enough, 'code')} already tell the items apart: later levels only "
            "sharpen the reconstruction."
        )
        return [Finding("note", "bits", text, "Fewer levels give a shorter ID, if that matters.")]
    return []


def _reconstruction(levels: Sequence[LevelMeasures]) -> list[Finding]:
    left = levels[-1].unexplained
    text = f"The reconstruction leaves {percent(left)} of the variance on these rows."
    found = []
    if left > 1:
        advice = "Train longer or with a smaller lr, and compare with ResidualKMeans."
        text += " The mean of all rows would be a better one."
        found.append(Finding("problem", "reconstruction", text, advice))
    elif left > _HIGH_UNEXPLAINED:
        advice = (
            "More bits (a level more, or larger codebooks) lower it; noise in the vectors that no "
            "bits pay for can be cut off by PCA before."
        )
        found.append(Finding("note", "reconstruction", text, advice))
    steps = -np.diff([level.unexplained for level in levels])
    idle = (
        [
            i + 1
            for i in np.flatnonzero(
                steps < _MIN_STEP * np.array([level.unexplained for level in levels[:-1]])
            ).tolist()
        ]
        if left > 1e-6
        else []
    )
    if idle:
        names = and_list([f"level {level}" for level in idle])
        found.append(
            Finding(
                "note",
                "reconstruction",
                f"By adding {names} the error falls by less than {percent(_MIN_STEP)}.",
                "Leave such a level out, or train it: its bits buy nothing.",
            )
        )
    return found


def _hierarchy(overall: Measures, levels: Sequence[LevelMeasures]) -> list[Finding]:
    weak = [
        level
        for level in levels
        if level.consistency is not None and level.consistency < _CONSISTENT
    ]
    recall = (
        f"Of the {overall.n_neighbors} nearest neighbors, decoded vectors keep "
        f"{percent(overall.neighbor_recall)} and prefixes {percent(overall.prefix_neighbor_recall)}"
        f" (chance {percent(overall.chance_recall)})."
    )
    if not weak:
        return [Finding("good", "neighbors", f"{recall} Items that share more codes are closer.")]
    names = and_list([f"level {level.level} ({percent(level.consistency)})" for level in weak])
    return [
        Finding(
            "note",
            "neighbors",
            f"{recall} Sharing a code means little at {names}: 50% is chance.",
            "Don't rely on prefixes of that length; the first levels carry the meaning.",
        )
    ]


def _labels(levels: Sequence[LevelMeasures]) -> list[Finding]:
    information = [
        level.mutual_information for level in levels if level.mutual_information is not None
    ]
    if not information:
        return []
    best = int(np.argmax(information))
    text = (
        f"Labels agree best with prefixes of {plural(best + 1, 'code')}: adjusted mutual "
        f"information {information[best]:.2f}, purity {percent(levels[best].purity)}."
    )
    if information[best] < _SMALL_INFORMATION:
        advice = "Do the vectors hold what the labels say? Compare with k-means on the vectors."
        return [Finding("note", "labels", f"{text} That is hardly more than chance.", advice)]
    return [Finding("good", "labels", text)]


def _held_out(comparison: Comparison | None, model: Model) -> list[Finding]:
    if comparison is None:
        return []
    mine, rival = comparison.contenders[0], comparison.best_rival
    found = []
    ratio = mine.unexplained / max(mine.training_unexplained, 1e-12)
    if mine.unexplained > 0.01 and ratio > _OVERFIT:
        advice = "More rows per codeword: smaller codebooks, or more items"
        advice += ", and early_stopping=True." if model.trained else "."
        found.append(
            Finding(
                "note",
                "new items",
                f"New rows are reconstructed {ratio:.1f} times as badly as training rows "
                f"({percent(mine.unexplained)} and {percent(mine.training_unexplained)} "
                "unexplained).",
                advice,
            )
        )
    if comparison.outcome == "worse" and model.trained and not model.linear_path:
        found.append(
            Finding(
                "problem",
                "model",
                f"{rival.name} does better without a network.",
                "linear_path=True starts from such a solution and only corrects it.",
            )
        )
    return found + _neighbors_of_rivals(comparison)


def _neighbors_of_rivals(comparison: Comparison) -> list[Finding]:
    """Say so where neighbors and reconstruction favor different quantizers."""
    mine = comparison.contenders[0]
    if mine.neighbor_recall is None:
        return []
    rival = max(comparison.contenders[1:], key=lambda other: other.neighbor_recall or 0.0)
    gap = mine.neighbor_recall - (rival.neighbor_recall or 0.0)
    if abs(gap) < _RECALL_GAP or comparison.outcome == ("better" if gap > 0 else "worse"):
        return []
    winner = mine.name if gap > 0 else rival.name
    return [
        Finding(
            "note",
            "new items",
            f"By neighbors among held-out rows {winner} is ahead: {mine.name} keeps "
            f"{percent(mine.neighbor_recall)}, {rival.name} {percent(rival.neighbor_recall)}.",
            "If the IDs serve retrieval of similar items, weigh this more than reconstruction.",
        )
    ]


def _training(model: Model) -> list[Finding]:
    errors = [row.get("valid_distortion", row.get("train_distortion")) for row in model.history]
    # None in warm-up epochs, and not in all others.
    measured = [epoch for epoch, error in enumerate(errors) if error is not None]
    if len(measured) < 3:
        return []
    values = [float(errors[epoch]) for epoch in measured]
    flat = values[-3] * (1 - _FALL_PER_EPOCH * (measured[-1] - measured[-3]))
    if int(np.argmin(values)) == len(values) - 1 and values[-1] < flat:
        n_epochs = len(model.history)
        text = f"The last of {n_epochs} epochs was the best, and the error was still falling."
        return [Finding("note", "training", text, "Raise max_epochs.")]
    return []
