"""The report as a page: no script, no file but itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import log2
from typing import TYPE_CHECKING

from sklearn_rqvae._version import __version__
from sklearn_rqvae.report._behavior import behavior_note, behavior_rows
from sklearn_rqvae.report._pictures import Picture
from sklearn_rqvae.report._text import (
    comparison_rows,
    level_rows,
    overall_line,
    prefix_rows,
)
from sklearn_rqvae.report._words import percent, plural

if TYPE_CHECKING:
    from sklearn_rqvae.report._report import Report

__all__ = ["write_fragment", "write_page"]

# Colors of Okabe and Ito's palette on white; kinds are told by words and marks too.
_STYLE = """
.rqvae-report{--ink:#1a1a1a;--soft:#555;--line:#d5d5d5;--back:#f6f7f8;--blue:#005a8e;
--problem:#a63c00;--good:#00664b;--note:#005a8e;--ground:#fff;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:60rem;margin:0 auto;
padding:1rem;color-scheme:light dark;overflow-wrap:break-word;container-type:inline-size}
.rqvae-report h1{font-size:1.6rem;line-height:1.2;margin:0 0 .4rem}
.rqvae-report h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);
padding-bottom:.2rem}
.rqvae-report p{margin:.5rem 0}
.rqvae-report .soft{color:var(--soft);font-size:.9rem}
.rqvae-report .verdict{border:1px solid var(--line);border-left:6px solid var(--note);
background:var(--back);padding:.7rem 1rem;border-radius:4px}
.rqvae-report .verdict strong{display:block;font-size:1.15rem}
.rqvae-report .better{border-left-color:var(--good)}
.rqvae-report .worse{border-left-color:var(--problem)}
.rqvae-report ul.findings{list-style:none;margin:0;padding:0}
.rqvae-report ul.findings li{border-left:4px solid var(--note);padding:.15rem 0 .15rem .8rem;
margin:.7rem 0}
.rqvae-report ul.findings li.problem{border-left-color:var(--problem);border-left-width:8px}
.rqvae-report ul.findings li.good{border-left-color:var(--good);border-left-style:dotted}
.rqvae-report .kind{font-weight:600;color:var(--note)}
.rqvae-report .problem .kind{color:var(--problem)}
.rqvae-report .good .kind{color:var(--good)}
.rqvae-report .scroll{overflow-x:auto;margin:.6rem 0}
.rqvae-report .id{white-space:nowrap}
.rqvae-report .scroll:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.rqvae-report table{display:table;width:auto;margin:0;border:0;background:none;
border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
.rqvae-report th,.rqvae-report td{padding:.3rem .7rem;text-align:right;vertical-align:bottom;
min-width:0;border:0;border-bottom:1px solid var(--line);background:none;color:var(--ink)}
.rqvae-report tr,.rqvae-report tbody tr:nth-child(odd),.rqvae-report tbody tr:nth-child(even){
background:none;color:var(--ink)}
.rqvae-report td{white-space:nowrap}
.rqvae-report thead th{font-weight:600;border-bottom:2px solid #888;max-width:7rem;
overflow-wrap:normal}
.rqvae-report th:first-child,.rqvae-report td:first-child{text-align:left;padding-left:0}
.rqvae-report tbody th{font-weight:400;white-space:nowrap}
.rqvae-report tr.best td:nth-child(2),.rqvae-report tr.best th{font-weight:700}
.rqvae-report figure{margin:1rem 0}
.rqvae-report img{display:block;max-width:none;height:auto;background:#fff;filter:none;
border-radius:4px}
.rqvae-report .small img{max-width:100%}
.rqvae-report figcaption{color:var(--soft);font-size:.9rem;margin-top:.3rem}
.rqvae-report code{font-family:ui-monospace,SFMono-Regular,Consolas,monospace;font-size:.9em;
background:var(--back);color:var(--ink);padding:.05rem .3rem;border-radius:3px}
.rqvae-report .samples{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
.rqvae-report .sample{border:1px solid var(--line);border-radius:4px;padding:.7rem .9rem;
font-size:.92rem;min-width:0}
.rqvae-report .sample h3{font-size:1rem;margin:0 0 .4rem}
.rqvae-report .sample ul{margin:.1rem 0 .6rem;padding-left:1.2rem}
.rqvae-report .sample .what{margin:.3rem 0 0}
@media (prefers-color-scheme:dark){.rqvae-report{--ink:#e6e6e6;--soft:#b0b0b0;--line:#4a4a4a;
--back:#262a2e;--ground:#181a1d;--blue:#6bb8e8;--problem:#f0905a;--good:#4cc39a;--note:#6bb8e8}}
@media (max-width:600px){.rqvae-report{padding:.8rem;font-size:15px}
.rqvae-report .wide figcaption::after{content:" Scroll it sideways."}
.rqvae-report table{font-size:.85rem}.rqvae-report th,.rqvae-report td{padding:.25rem .5rem}}
@container (max-width:50rem){.rqvae-report table{font-size:.82rem}
.rqvae-report th,.rqvae-report td{padding:.3rem}}
@media (min-width:601px){.rqvae-report img{max-width:100%}}
@media print{.rqvae-report{max-width:none;--ink:#000;--soft:#444;--ground:#fff}
.rqvae-report .scroll{overflow:visible}
.rqvae-report img{max-width:100%}.rqvae-report figure,.rqvae-report .sample{break-inside:avoid}}
"""
_KINDS = {"problem": "▲ Problem", "note": "● Note", "good": "✓ Good"}
_NAME_LENGTH = 140
# Pictures of at most this many pixels stay legible when they are fitted to a phone.
_SMALL = 560


def write_page(report: Report) -> str:
    """Write a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n"
        "<style>html,body{margin:0;background:#fff}\n@media (prefers-color-scheme:dark)"
        "{html,body{background:#181a1d}}</style>\n</head>\n<body>\n"
        f"{write_fragment(report)}\n</body>\n</html>\n"
    )


def write_fragment(report: Report) -> str:
    """Write the page's content with its style, for notebooks."""
    try:
        pictures = {picture.key: picture for picture in report.pictures()}
        missing = ""
    except ImportError as error:
        pictures = {}
        missing = f'<p class="soft">There are no pictures: {escape(str(error))}.</p>'
    parts = [
        f"<style>{_STYLE}</style>",
        '<main class="rqvae-report" lang="en">',
        f"<h1>{escape(report.title)}</h1>",
        f"<p>{escape(overall_line(report))}.</p>",
        f'<p class="soft"><code>{escape(report.estimator)}</code></p>',
        missing,
        *_verdict(report, pictures),
        *_findings(report),
        *_usage(report, pictures),
        *_prefixes(report, pictures),
        *_neighbors(report),
        *_behavior(report),
        *_look(pictures),
        *_samples(report),
        f'<p class="soft">Made by sklearn-rqvae {escape(__version__)}.</p>',
        "</main>",
    ]
    return "\n".join(part for part in parts if part)


def _verdict(report: Report, pictures: dict[str, Picture]) -> Iterable[str]:
    outcome = "" if report.comparison is None else f" {report.comparison.outcome}"
    head, _, rest = report.verdict.partition(". ")
    yield "<h2>Is it worth it?</h2>"
    yield (
        f'<div class="verdict{outcome}"><strong>{escape(head.rstrip("."))}.</strong> '
        f"{escape(rest)}</div>"
    )
    if report.comparison is None:
        return
    rows = comparison_rows(report)
    lowest = min(contender.unexplained for contender in report.comparison.contenders)
    best = [contender.unexplained == lowest for contender in report.comparison.contenders]
    yield _table(rows, "The estimator and its rivals on held-out rows", best)
    yield (
        f'<p class="soft">{escape(report.method)} Unexplained: share of the held-out variance that '
        "the reconstruction leaves, lower is better. Bold: the lowest. Neighbors kept: share of "
        f"the {report.overall.n_neighbors} nearest among the held-out rows.</p>"
    )
    yield _figure(pictures.get("rate"))


def _findings(report: Report) -> Iterable[str]:
    yield "<h2>Findings</h2>"
    yield '<ul class="findings">'
    for finding in report.findings:
        advice = f" <em>{escape(finding.advice)}</em>" if finding.advice else ""
        yield (
            f'<li class="{finding.kind}"><span class="kind">{_KINDS[finding.kind]}, '
            f"{escape(finding.topic)}:</span> {escape(finding.text)}{advice}</li>"
        )
    yield "</ul>"


def _usage(report: Report, pictures: dict[str, Picture]) -> Iterable[str]:
    yield "<h2>Use of the codewords</h2>"
    yield _table(level_rows(report), "Use of the codewords of each level")
    yield (
        '<p class="soft">Perplexity: the number of equally used codewords that would be as '
        "uneven. Gini: 0 if all are used alike, near 1 if one has everything. Largest bucket: "
        "items with the most frequent code.</p>"
    )
    yield _figure(pictures.get("usage"))
    yield _figure(pictures.get("training"))


def _prefixes(report: Report, pictures: dict[str, Picture]) -> Iterable[str]:
    overall = report.overall
    yield "<h2>Prefixes, by length</h2>"
    yield _table(prefix_rows(report), "Measures of prefixes by their length")
    labels = (
        " Purity: share of items with the most frequent label of their prefix. Label information: "
        "adjusted mutual information, 0 for chance."
        if report.levels[0].purity is not None
        else ""
    )
    yield (
        f'<p class="soft">Duplicate rows enforce a collision rate of '
        f"{percent(overall.collision_floor)}; log2 of the number of items, the most that entropy "
        f"can reach, is {log2(overall.n_items):.1f}. Unexplained: variance left by the "
        "reconstruction from the prefix. Consistency: how often the item that shares this code "
        f"too is the closer one, 50% for chance.{labels}</p>"
    )
    yield _figure(pictures.get("collisions"))
    yield _figure(pictures.get("residuals"))


def _neighbors(report: Report) -> Iterable[str]:
    overall = report.overall
    yield "<h2>Neighbors</h2>"
    yield (
        f"<p>Of the {overall.n_neighbors} nearest neighbors of an item, the decoded vectors keep "
        f"<strong>{percent(overall.neighbor_recall)}</strong> and lookups by prefix "
        f"<strong>{percent(overall.prefix_neighbor_recall)}</strong>; chance is "
        f"{percent(overall.chance_recall)}. The mean cosine between vectors and reconstructions "
        f"is {overall.cosine:.3f}.</p>"
    )


def _behavior(report: Report) -> Iterable[str]:
    if report.behavior is not None:
        yield "<h2>Behavior</h2>"
        yield _table(behavior_rows(report.behavior), "How users' items share prefixes")
        yield f'<p class="soft">{escape(behavior_note(report.behavior))}</p>'


def _look(pictures: dict[str, Picture]) -> Iterable[str]:
    if "map" in pictures or "tree" in pictures:
        yield "<h2>What the first codes mean</h2>"
    yield _figure(pictures.get("tree"))
    yield _figure(pictures.get("map"))


def _samples(report: Report) -> Iterable[str]:
    if report.samples:
        yield "<h2>Items that share codes</h2>"
        yield '<div class="samples">'
        for sample in report.samples:
            yield (
                f'<section class="sample"><h3>{_name(sample.name)} '
                f"<code class='id'>{_id(sample.semantic_id)}</code></h3>"
            )
            for group in sample.groups:
                length = (
                    "all codes"
                    if len(group.prefix) == len(sample.semantic_id)
                    else (plural(len(group.prefix), "code"))
                )
                yield (
                    f'<p class="what">{plural(group.n_items, "more item")} with {length} in common '
                    f"<code class='id'>{_id(group.prefix)}</code></p>{_list(group.names)}"
                )
            yield "</section>"
        yield "</div>"
    if report.collisions:
        yield "<h2>Largest groups with one semantic ID</h2>"
        yield '<div class="samples">'
        for group in report.collisions:
            yield (
                f'<section class="sample"><h3>{plural(group.n_items, "item")} '
                f"<code class='id'>{_id(group.prefix)}</code></h3>"
                f'<p class="what">{plural(group.n_distinct_rows or 0, "different vector")}</p>'
                f"{_list(group.names)}</section>"
            )
        yield "</div>"


def _table(rows: Sequence[Sequence[str]], label: str, best: Sequence[bool] = ()) -> str:
    header = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = []
    for number, row in enumerate(rows[1:]):
        mark = ' class="best"' if best and best[number] else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        body.append(f'<tr{mark}><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    # Focusable, so that the keyboard can scroll it.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{header}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _figure(picture: Picture | None) -> str:
    if picture is None:
        return ""
    kind = "small" if picture.width <= _SMALL else "wide"
    return (
        f'<figure class="{kind}"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Picture: {escape(picture.caption)}"><img src="{picture.uri}" '
        f'width="{picture.width}" alt="{escape(picture.alt)}"></div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _list(names: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_name(name)}</li>' for name in names)}</ul>"


def _name(name: str) -> str:
    short = name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 2]} …"
    return escape(short) or "(no name)"


def _id(codes: Sequence[int]) -> str:
    return "-".join(map(str, codes))
