"""Tables and plots of the benchmark of recommenders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from _catalogs import NAMES
from _common import (
    Cell,
    Results,
    environment_line,
    figure,
    list_table,
    mean_and_spread,
    mean_of,
    not_measured,
)
from _id_sets import ID_SETS
from _ranking import Difference, Ranks, compare, item_hit, item_ndcg, rank_correlation

REFERENCE, OURS, SUFFIX = "text", "behavior", "behavior-suffix"
RIVAL = "cgr_rkmeans_zcr_cf"
TEXT_ROWS = (
    "text-suffix", "text-shared", "text-nearest", "text-1-beam", "text-kmeans", "text-2", "text-4",
    "text-4x64", "text-1024", "kmeans", "faiss", "semantic-id", "rqvae", "random", "behavior",
)  # fmt: skip
BEHAVIOR_ROWS = (
    "text", "behavior-chosen", "behavior-attention", "behavior-only", "behavior-kmeans",
    "behavior-suffix", "behavior-2", "behavior-4", "behavior-neighbors",
)  # fmt: skip
MIN_SETS = 8  # for a correlation
KINDS = {
    "ours, behavior": "this package, texts and behavior",
    "ours, text": "this package, texts",
    "published": "published",
    "rival": "other software, texts",
    "control": "control",
    "floor": "without semantic IDs",
}

LAYOUTS = {
    "items": "codes and prefixes",
    "codes": "codes",
    "flat": "flat",
    "parallel": "codes at once",
}

Sets = dict[str, list[Cell]]
Metric = Callable[[Ranks, int], np.ndarray]


def report(results: Results, folder: Path) -> None:
    """Write the tables and the plot of the docs."""
    folder.mkdir(parents=True, exist_ok=True)
    catalogs = _by_catalog(results)
    parts = {
        "environment": environment_line(results),
        "table": "\n".join(full_table(name, sets) for name, sets in catalogs.items()),
        "aim": aim_table(catalogs),
        "text": choices_table("Text alone, against the defaults", catalogs, "text", TEXT_ROWS),
        "behavior": choices_table(
            "Text and behavior, against the defaults", catalogs, "behavior", BEHAVIOR_ROWS
        ),
        "layouts": layouts_table(results),
        "correlations": correlations_table(catalogs),
        "plot": draw(catalogs, folder) if catalogs else "",
    }
    for name, text in parts.items():
        text = text or not_measured("bench_recommend.py")
        (folder / f"recommend_{name}.rst").write_text(text, encoding="utf-8")


def _by_catalog(results: Results, layouts: Sequence[str] = ("items", "none")) -> dict[str, Sets]:
    """Return the measurements of each catalog by set, the best first."""
    found: dict[str, Sets] = defaultdict(lambda: defaultdict(list))
    for cell in results.cells:
        if cell["layout"] in layouts:
            found[cell["catalog"]][cell["ids"]].append(cell)
    return {
        name: dict(sorted(found[name].items(), key=lambda item: -mean_of(item[1], "item_ndcg@10")))
        for name in NAMES
        if name in found
    }


def label(name: str) -> str:
    """Return a set's or floor's name for readers."""
    return ID_SETS[name].label if name in ID_SETS else name


def kind(name: str) -> str:
    """Return whose a set is."""
    return ID_SETS[name].kind if name in ID_SETS else "floor"


def gains(cells: list[Cell], metric: Metric = item_ndcg) -> np.ndarray:
    """Return each user's metric at 10, a row for each seed."""
    in_order = sorted(cells, key=lambda cell: cell["seed"])
    return np.stack([metric(Ranks.unpack(cell["ranks"]), 10) for cell in in_order])


def difference(first: list[Cell], second: list[Cell], metric: Metric = item_ndcg) -> Difference:
    """Compare two sets over all seeds, or over those of both if each seed gave them one fit."""
    if all(kind(cells[0]["ids"]).startswith("ours") for cells in (first, second)):
        common = {cell["seed"] for cell in first} & {cell["seed"] for cell in second}
        first, second = (
            [cell for cell in cells if cell["seed"] in common] for cells in (first, second)
        )
    return compare(gains(first, metric), gains(second, metric))


def signed(found: Difference) -> str:
    """Write a relative difference and its interval in percent."""
    values = [f"{100 * value:+.1f}" for value in found]
    return f"{values[0]} [{values[1]}, {values[2]}]"


def full_table(catalog: str, sets: Sets) -> str:
    """Return the table of all sets of one catalog."""
    rows = []
    for name, cells in sets.items():
        against = "–"
        if REFERENCE in sets and name != REFERENCE:
            against = signed(difference(cells, sets[REFERENCE]))
        rows.append(
            [
                label(name),
                KINDS[kind(name)],
                str(cells[0].get("n_levels", "–")),
                str(len(cells)),
                mean_and_spread(cells, "item_ndcg@10", 4),
                mean_and_spread(cells, "item_hit@10", 4),
                f"{mean_of(cells, 'item_hit@5'):.4f}",
                f"{mean_of(cells, 'id_hit@10'):.4f}",
                against,
            ]
        )
    header = [
        "IDs", "whose", "codes", "seeds", "ItemNDCG@10", "ItemHit@10", "ItemHit@5", "Recall@10",
        "NDCG against text, %",
    ]  # fmt: skip
    n_users = gains(next(iter(sets.values()))).shape[1]
    return list_table(f"{catalog}: {n_users:,} users", header, rows)


def aim_table(catalogs: dict[str, Sets]) -> str:
    """Return how texts and behavior compare with the strongest others."""
    rows = []
    for catalog, sets in catalogs.items():
        if OURS not in sets:
            continue
        published = [name for name in sets if kind(name) == "published"]
        others = [name for name in sets if kind(name) in ("rival", "control")]
        floors = [name for name in sets if kind(name) == "floor"]
        rivals = dict.fromkeys([RIVAL, *published[:3], REFERENCE, *others, *floors[:2], "SASRec"])
        for rival in rivals:
            if rival in sets:
                found = [
                    signed(difference(sets[name], sets[rival], metric)) if name in sets else ""
                    for name in (OURS, SUFFIX)
                    for metric in (item_ndcg, item_hit)
                ]
                n_seeds = f"{len(sets[OURS])}, {len(sets[rival])}"
                rows.append([catalog, label(rival), n_seeds, *found])
    header = ["catalog", "against", "seeds", "ItemNDCG@10, %", "ItemHit@10, %"]
    header += ["with a suffix: ItemNDCG@10, %", "with a suffix: ItemHit@10, %"]
    return list_table("Text and behavior, defaults: differences", header, rows) if rows else ""


def choices_table(
    title: str, catalogs: dict[str, Sets], reference: str, names: Sequence[str]
) -> str:
    """Return differences of choices to a set, a column for each catalog."""
    chosen = {catalog: sets for catalog, sets in catalogs.items() if reference in sets}
    rows = []
    for name in names:
        row = []
        for sets in chosen.values():
            if name in sets:
                found = difference(sets[name], sets[reference])
                row.append(f"{signed(found)}; {len(sets[name])}")
            else:
                row.append("")
        if any(row):
            rows.append([label(name), *row])
    header = ["IDs", *(f"{catalog}: %; seeds" for catalog in chosen)]
    return list_table(title, header, rows) if rows else ""


def layouts_table(results: Results) -> str:
    """Return how sets do in each layout, a column for each catalog and layout."""
    columns = {
        (layout, catalog): sets
        for layout in LAYOUTS
        for catalog, sets in _by_catalog(results, [layout]).items()
        if OURS in sets
    }
    if len({layout for layout, _ in columns}) < 2:
        return ""
    catalogs = {catalog for layout, catalog in columns if layout != "items"}
    columns = {key: sets for key, sets in columns.items() if key[1] in catalogs}
    names = dict.fromkeys(
        name for (layout, _), sets in columns.items() if layout != "items" for name in sets
    )
    rows = []
    for name in names:
        row = [label(name)]
        for sets in columns.values():
            if name not in sets:
                row.append("")
                continue
            entry = f"{mean_of(sets[name], 'item_ndcg@10'):.4f}"
            if name != OURS:
                entry += f"; {signed(difference(sets[name], sets[OURS]))}"
            row.append(entry)
        rows.append(row)
    header = ["IDs", *(f"{catalog}, {LAYOUTS[layout]}" for layout, catalog in columns)]
    return list_table("ItemNDCG@10 by layout; difference to text and behavior, %", header, rows)


def correlations_table(catalogs: dict[str, Sets]) -> str:
    """Return how well what is known before training ranks the sets."""
    rows: dict[str, list[str]] = defaultdict(list)
    header = ["known before training"]
    for catalog, sets in catalogs.items():
        known = _different({name: cells for name, cells in sets.items() if name in ID_SETS})
        for title, chosen in (
            (catalog, known),
            (f"{catalog} without controls", _without_controls(known)),
        ):
            if len(chosen) < MIN_SETS:
                continue
            header.append(f"{title}: {len(chosen)} sets")
            quality = np.array([mean_of(cells, "item_ndcg@10") for cells in chosen.values()])
            for prop in next(iter(chosen.values()))[0]["properties"]:
                values = np.array(
                    [
                        np.mean([cell["properties"][prop] for cell in cells])
                        for cells in chosen.values()
                    ]
                )
                has_it = ~np.isnan(values)  # two codes aren't a prefix where there are two levels
                middle, low, high = rank_correlation(values[has_it], quality[has_it])
                rows[prop].append(f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]")
    if not rows:
        return ""
    title = "Spearman's correlation with ItemNDCG@10 over the sets"
    return list_table(title, header, [[name, *row] for name, row in rows.items()])


def _different(sets: Sets) -> Sets:
    """Drop sets that are others again, as weights that are chosen may be those of the defaults."""
    found: dict[tuple[float, ...], str] = {}
    for name, cells in sorted(sets.items(), key=lambda item: -len(item[1])):
        first = min(cells, key=lambda cell: cell["seed"])
        found.setdefault(tuple(first["properties"].values()), name)
    return {name: sets[name] for name in sets if name in found.values()}


def _without_controls(sets: Sets) -> Sets:
    return {name: cells for name, cells in sets.items() if kind(name) != "control"}


def draw(catalogs: dict[str, Sets], folder: Path) -> str:
    """Draw each set's NDCG, a panel for each catalog."""
    import matplotlib.pyplot as plt

    from sklearn_rqvae.plotting._matplotlib import COLORS

    colors = dict(zip(KINDS, (*COLORS, "#888888", "#888888"), strict=False))
    heights = [len(sets) for sets in catalogs.values()]
    fig, axes = plt.subplots(
        len(catalogs),
        1,
        figsize=(7.2, 0.9 + 0.21 * sum(heights) + 0.5 * len(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    shown: dict[str, object] = {}
    for ax, (catalog, sets) in zip(axes[:, 0], catalogs.items(), strict=True):
        for y, (name, cells) in enumerate(sets.items()):
            values = [cell["item_ndcg@10"] for cell in cells]
            color, whose = colors[kind(name)], KINDS[kind(name)]
            marker = "s" if kind(name) == "floor" else "o"
            ax.plot(values, [y] * len(values), marker, color=color, alpha=0.35, markersize=4)
            shown[whose] = ax.plot(np.mean(values), y, marker, color=color)[0]
        ax.set_yticks(range(len(sets)), [label(name).replace("`", "") for name in sets])
        ax.tick_params(axis="y", labelsize="small")
        ax.invert_yaxis()
        ax.set_xlim(left=0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        ax.set_title(catalog, loc="left", fontsize="medium")
    axes[-1, 0].set_xlabel("ItemNDCG@10 of the last item of each user; small: seeds, large: mean")
    names = [whose for whose in KINDS.values() if whose in shown]
    fig.legend(
        [shown[name] for name in names], names, loc="outside upper center", ncols=2, frameon=False
    )
    fig.savefig(folder / "recommend.png", dpi=130)
    plt.close(fig)
    return figure("recommend.png", "ItemNDCG@10 by set of IDs: higher is better", 700)
