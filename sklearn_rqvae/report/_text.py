"""The report as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sklearn_rqvae.report._behavior import behavior_note, behavior_rows
from sklearn_rqvae.report._words import count, percent, plural, seconds

if TYPE_CHECKING:
    from sklearn_rqvae.report._report import Report

__all__ = ["comparison_rows", "level_rows", "overall_line", "prefix_rows", "write_text"]

_WIDTH = 88
_MARKS = {"problem": "[problem]", "note": "[note]", "good": "[good]"}


def overall_line(report: Report) -> str:
    """Say what was looked at."""
    overall = report.overall
    sizes = [level.codebook_size for level in report.levels]
    shape = f"{len(sizes)} × {sizes[0]}" if len(set(sizes)) == 1 else " + ".join(map(str, sizes))
    return (
        f"{plural(overall.n_items, 'item')} ({count(overall.n_distinct_rows)} distinct) with "
        f"{plural(overall.n_features, 'feature')}; semantic IDs of {shape} codewords, "
        f"{overall.bits:.3g} bits"
    )


def level_rows(report: Report) -> list[list[str]]:
    """Return the table of codebook use, its header first."""
    rows = [["level", "codewords", "in use", "dead", "perplexity", "Gini", "largest bucket"]]
    for level in report.levels:
        rows.append(
            [
                str(level.level),
                count(level.codebook_size),
                percent(level.utilization),
                count(level.n_dead),
                f"{level.perplexity:.1f}",
                f"{level.gini:.2f}",
                f"{count(level.largest_bucket)} "
                f"({percent(level.largest_bucket / report.overall.n_items)})",
            ]
        )
    return rows


def prefix_rows(report: Report) -> list[list[str]]:
    """Return the table by prefix length, its header first."""
    with_labels = report.levels[0].purity is not None
    header = [
        "codes",
        "distinct",
        "collision rate",
        "items sharing",
        "largest group",
        "entropy (bits)",
        "unexplained",
        "consistency",
    ]
    rows = [[*header, "purity", "label information"] if with_labels else header]
    for level in report.levels:
        row = [
            str(level.level + 1),
            count(level.n_distinct),
            percent(level.collision_rate),
            percent(level.colliding_share),
            count(level.largest_group),
            f"{level.entropy:.1f}",
            percent(level.unexplained),
            percent(level.consistency),
        ]
        if with_labels:
            row += [percent(level.purity), f"{level.mutual_information:.2f}"]
        rows.append(row)
    return rows


def comparison_rows(report: Report) -> list[list[str]]:
    """Return the table of the comparison, its header first; the report has one."""
    assert report.comparison is not None
    contenders = report.comparison.contenders
    n_held_out = report.comparison.n_held_out
    rows = [
        [
            "quantizer",
            "unexplained",
            "training rows",
            "neighbors kept",
            "collision rate",
            "fit",
            "encode a row",
            "numbers stored",
        ]
    ]
    for contender in contenders:
        rows.append(
            [
                contender.name,
                percent(contender.unexplained),
                percent(contender.training_unexplained),
                percent(contender.neighbor_recall),
                percent(contender.collision_rate),
                seconds(contender.fit_seconds),
                f"{1e6 * contender.encode_seconds / n_held_out:.0f} µs",
                count(contender.n_numbers),
            ]
        )
    return rows


def write_text(report: Report) -> str:
    """Write everything but the pictures."""
    parts = [report.title, "=" * len(report.title), _wrap(overall_line(report)), ""]
    parts += [_section("Verdict"), _wrap(report.verdict), ""]
    if report.comparison is not None:
        parts += [_table(comparison_rows(report)), "", _wrap(report.method), ""]
    parts.append(_section("Findings"))
    for finding in report.findings:
        parts.append(_wrap(f"{_MARKS[finding.kind]} {finding.text}", indent="    "))
        if finding.advice:
            parts.append(_wrap(f"    → {finding.advice}", indent="      "))
    parts += ["", _section("Use of the codewords"), _table(level_rows(report)), ""]
    parts += [_section("Prefixes, by length"), _table(prefix_rows(report))]
    overall = report.overall
    parts.append(
        _wrap(
            f"Collision rate by duplicate rows: {percent(overall.collision_floor)}. "
            f"{overall.n_neighbors} nearest neighbors kept by decoded vectors: "
            f"{percent(overall.neighbor_recall)}, by prefixes: "
            f"{percent(overall.prefix_neighbor_recall)} (chance {percent(overall.chance_recall)})."
        )
    )
    if report.behavior is not None:
        parts += ["", _section("Behavior"), _table(behavior_rows(report.behavior))]
        parts.append(_wrap(behavior_note(report.behavior)))
    if report.samples:
        parts += ["", _section("Items that share codes")]
        for sample in report.samples:
            parts.append(f"{_id(sample.semantic_id)}  {_short(sample.name)}")
            for group in sample.groups:
                parts.append(f"  {_id(group.prefix)}  {plural(group.n_items, 'more item')}:")
                parts += [f"      {_short(name)}" for name in group.names]
    if report.collisions:
        parts += ["", _section("Largest groups with one semantic ID")]
        for group in report.collisions:
            parts.append(
                f"{_id(group.prefix)}  {plural(group.n_items, 'item')}, "
                f"{plural(group.n_distinct_rows or 0, 'different vector')}:"
            )
            parts += [f"      {_short(name)}" for name in group.names]
    return "\n".join(parts)


def _section(title: str) -> str:
    return f"{title}\n{'-' * len(title)}"


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align a table; headers of two words take two lines."""
    header = [_two_lines(cell) for cell in rows[0]]
    lines = [[top for top, _ in header], [bottom for _, bottom in header], *rows[1:]]
    widths = [max(len(row[i]) for row in lines) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
        if any(row)
    )


def _two_lines(header: str) -> tuple[str, str]:
    first, _, second = header.partition(" ")
    return (first, second) if second else ("", first)


def _id(codes: Sequence[int]) -> str:
    return "-".join(map(str, codes))


def _short(name: str, width: int = 76) -> str:
    return textwrap.shorten(name, width, placeholder=" …") or "(no name)"
