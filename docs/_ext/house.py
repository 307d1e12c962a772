"""Draw the package's folders, floor by floor, and the imports between them.

The drawing is made from the source each time the documentation is built, so that it can't go
stale. Which floor a folder has is read from ``FLOORS`` in ``tests/test_imports.py``, where the law
stands. ``python docs/_ext/house.py house.svg`` writes the picture alone.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sklearn_rqvae"
LAW = ROOT / "tests" / "test_imports.py"

GROUND = "ground"
# What each room answers. A room that isn't listed is described by its docstring.
QUESTIONS = {
    GROUND: "What do all rely on?",
    "_compute": "What multiplies, and where?",
    "_rows": "Which rows?",
    "_files": "Which bytes?",
    "quantize": "Which codeword?",
    "embedding": "Which vector is an item?",
    "nn": "What has weights?",
    "metrics": "How good are the codes?",
    "semantic_id": "Which item has which ID?",
    "datasets": "What to try it on?",
    "callbacks": "What happens in an epoch?",
    "plotting": "What does it look like?",
    "_learning": "How is it learned?",
    "_coders": "How do rows get codes?",
    "_fitting": "What does a fit do?",
    "_saving": "How is a model kept?",
    "_base": "What do all estimators do?",
    "_estimator": "Which way to learn?",
    "_product_quantizer": "And in no order?",
    "_residual_kmeans": "And without a network?",
    "report": "Is it worth it?",
    "io": "What if rows don't fit?",
    "_cli": "What did the user type?",
}

# Sizes of the picture, in its own units.
WIDTH, MARGIN, ROOM, LANE = 900, 44, (192, 54), 14
STOREY, ROOF = 98, 92


class House(NamedTuple):
    """What the source says of the package.

    Parameters
    ----------
    floors : list of list of str
        Names of the rooms on each floor, ground floor first.
    modules : dict of str to list of str
        Modules in each room, by their names below the package.
    words : dict of str to str
        First line of each room's docstring.
    arrows : set of (str, str)
        Pairs of rooms, of which the first imports from the second.
    """

    floors: list[list[str]]
    modules: dict[str, list[str]]
    words: dict[str, str]
    arrows: set[tuple[str, str]]

    @property
    def height(self) -> dict[str, int]:
        """The floor of each room."""
        return {room: floor for floor, rooms in enumerate(self.floors) for room in rooms}

    @property
    def up(self) -> set[tuple[str, str]]:
        """Arrows that don't point down; there should be none."""
        height = self.height
        return {(upper, lower) for upper, lower in self.arrows if height[upper] <= height[lower]}

    @property
    def bearing(self) -> set[tuple[str, str]]:
        """Arrows that no chain of other arrows replaces."""
        below = defaultdict(set)
        for floor in self.floors:
            for room in floor:
                for lower in (lower for upper, lower in self.arrows if upper == room):
                    below[room] |= {lower} | below[lower]
        return {
            (upper, lower)
            for upper, lower in self.arrows
            if not any(lower in below[middle] for first, middle in self.arrows if first == upper)
        }


def read_house(package: Path = PACKAGE, law: Path = LAW) -> House:
    """Read the rooms and their imports from the source, without importing it."""
    constants = _constants(law, "FLOORS", "NOT_JUDGED")
    floors = constants["FLOORS"]
    homes = _constants(package / "__init__.py", "_HOMES")["_HOMES"]

    def room_of(module: str) -> str:
        name = module.partition(".")[0]
        name = homes.get(name, name).removeprefix("sklearn_rqvae.").partition(".")[0]
        return GROUND if name in floors[0] else name

    modules, words, arrows = defaultdict(list), {}, set()
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        module = ".".join(parts).removesuffix("__init__").removesuffix(".")
        if module in constants["NOT_JUDGED"]:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        here = room_of(module)
        modules[here].append(module)
        if module == here:
            words[here] = (ast.get_docstring(tree) or "").partition("\n")[0]
        arrows |= {(here, room_of(name)) for name in _own_imports(tree)} - {(here, here)}
    words[GROUND] = "What lies at the bottom: versions, errors, guards, checks."
    return House([[GROUND], *floors[1:]], dict(modules), words, arrows)


def _constants(path: Path, *names: str) -> dict:
    """Return literals that a file assigns to names, without running it."""
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in names
    }


def _own_imports(tree: ast.AST) -> set[str]:
    """Names below the package that a module imports; relative imports are banned."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = "sklearn_rqvae."
    return {name.removeprefix(ours) for name in found if name.startswith(ours)}


def _width(node: str) -> float:
    """Return how wide a room or lane is; all stand on the ground."""
    if node == GROUND:
        return WIDTH - MARGIN * 1.5 - 4
    return LANE if ">" in node else ROOM[0]


# Where things stand. An arrow that passes floors gets a lane on each, so that it goes around rooms.


def _lanes(house: House) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """Return what stands on each floor, and the lanes that each bearing arrow runs through."""
    height, rows = house.height, [list(floor) for floor in house.floors]
    paths = {}
    for upper, lower in sorted(house.bearing - house.up):
        floors = range(height[upper] - 1, height[lower], -1)
        lanes = [f"{upper}>{lower}@{floor}" for floor in floors]
        for floor, lane in zip(floors, lanes, strict=True):
            rows[floor].append(lane)
        paths[upper, lower] = [upper, *lanes, lower]
    return rows, paths


def place(house: House) -> tuple[dict[str, float], dict[tuple[str, str], list[str]]]:
    """Return the middle of every room and lane, such that arrows are short and cross little."""
    rows, paths = _lanes(house)
    links = [pair for path in paths.values() for pair in pairwise(path)]
    above, below = defaultdict(list), defaultdict(list)
    for upper, lower in links:
        below[upper].append(lower)
        above[lower].append(upper)

    best = None
    for turn in range(2):  # two starts: as listed, and reversed
        order = [row[::-1] if turn else list(row) for row in rows]
        for sweep in range(60):
            order = _sorted_by_neighbors(order, above if sweep % 2 else below, sweep % 2 == 1)
            x = _spread(order, above, below)
            cost = (_crossings(order, links), sum(abs(x[a] - x[b]) for a, b in links))
            if best is None or cost < best[0]:
                best = cost, x
    x = best[1]
    for path in paths.values():
        _straighten(path, rows, x)
    return x, paths


def _straighten(path: list[str], rows: list[list[str]], x: dict[str, float]) -> None:
    """Give all lanes of an arrow one place, as near to both ends as rooms and other lanes let."""
    lanes = path[1:-1]
    others = [
        (x[node], (_width(node) + LANE) / 2)
        for row in rows
        if not set(row).isdisjoint(lanes)
        for node in row
        if node not in lanes
    ]
    free = [
        middle
        for middle in range(MARGIN, WIDTH - MARGIN // 2)
        if all(abs(middle - place) >= room for place, room in others)
    ]
    if lanes and free:
        ends = x[path[0]], 0.5 * x[path[0]] + 0.5 * x[path[-1]], x[path[-1]]
        x.update(dict.fromkeys(lanes, min(free, key=lambda m: sum(abs(m - end) for end in ends))))


def _sorted_by_neighbors(order, neighbors, downward):
    """Sort each floor by the mean place of its neighbors on the floor before."""
    order = list(order)
    floors = range(len(order) - 1, -1, -1) if downward else range(len(order))
    for floor in floors:
        row = order[floor]
        places = {node: k / len(row) for row in order for k, node in enumerate(row, 1)}
        order[floor] = sorted(
            row, key=lambda node: fmean([places[other] for other in neighbors[node] or [node]])
        )
    return order


def _crossings(order, links) -> int:
    rank = {node: k for row in order for k, node in enumerate(row)}
    floor = {node: number for number, row in enumerate(order) for node in row}
    by_floor = defaultdict(list)
    for upper, lower in links:
        by_floor[floor[upper]].append((rank[upper], rank[lower]))
    return sum(
        (a - c) * (b - d) < 0
        for pairs in by_floor.values()
        for k, (a, b) in enumerate(pairs)
        for c, d in pairs[:k]
    )


def _spread(order, above, below) -> dict[str, float]:
    """Move rooms and lanes toward their neighbors without changing the order on a floor."""
    widths = {node: _width(node) for row in order for node in row}
    low, high = MARGIN, WIDTH - MARGIN / 2
    x = {}
    for row in order:
        free = (high - low - sum(widths[node] for node in row)) / (len(row) + 1)
        edge = low
        for node in row:
            edge += free
            x[node] = edge + widths[node] / 2
            edge += widths[node]
    for step in range(80):
        for row in order if step % 2 else order[::-1]:
            wanted = [fmean([x[n] for n in above[node] + below[node]] or [x[node]]) for node in row]
            _fit(row, wanted, widths, x, low, high)
    return x


def _fit(row, wanted, widths, x, low, high) -> None:
    """Place one floor near where it wants to be, at least a gap apart and within the walls."""
    gap = 16
    left, edge = [], low
    for node, middle in zip(row, wanted, strict=True):
        left.append(max(middle, edge + widths[node] / 2))
        edge = left[-1] + widths[node] / 2 + gap
    right, edge = [], high
    for node, middle in zip(row[::-1], wanted[::-1], strict=True):
        right.append(min(middle, edge - widths[node] / 2))
        edge = right[-1] - widths[node] / 2 - gap
    # Between both, then once more from either side, since a mean may leave the walls.
    middles = [(a + b) / 2 for a, b in zip(left, right[::-1], strict=True)]
    edge = high
    for k in range(len(row) - 1, -1, -1):
        half = widths[row[k]] / 2
        middles[k] = min(middles[k], edge - half)
        edge = middles[k] - half - gap
    edge = low
    for k, node in enumerate(row):
        half = widths[node] / 2
        middles[k] = max(middles[k], edge + half)
        edge = middles[k] + half + gap
    x.update(zip(row, middles, strict=True))


# The picture


def draw(house: House) -> str:
    """Return the house as an SVG, in the page's colors where the page has some."""
    x, paths = place(house)
    top, floors = ROOF, len(house.floors)
    bottom = top + floors * STOREY
    y = {
        node: bottom - (floor + 0.5) * STOREY
        for floor, row in enumerate(_lanes(house)[0])
        for node in row
    }
    light = [_arrow([pair[0], pair[1]], pair, x, y, "also") for pair in _other_arrows(house)]
    heavy = [_arrow(path, pair, x, y, "bears") for pair, path in sorted(paths.items())]
    up = [_arrow(list(pair), pair, x, y, "up") for pair in sorted(house.up)]
    rooms = [_room(house, room, x[room], y[room]) for room in house.height]
    return "\n".join(
        [
            f'<svg class="house" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} '
            f'{bottom + 26}" role="img" aria-label="{escape(summary(house))}">',
            f"<style>{_style(house)}</style>",
            '<defs><marker id="house-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto-start-reverse"><path class="tip" d="M0 .8 8 4 0 7.2z"/>'
            "</marker></defs>",
            *_walls(floors, top, bottom),
            *light,
            *heavy,
            *up,
            *rooms,
            "</svg>",
        ]
    )


def _other_arrows(house: House) -> list[tuple[str, str]]:
    return sorted(house.arrows - house.bearing - house.up)


def _walls(floors: int, top: float, bottom: float) -> list[str]:
    left, right = 8, WIDTH - 8
    shapes = [
        f'<path class="roof" d="M{left - 8} {top} {WIDTH / 2} 10 {right + 8} {top}z"/>',
        f'<text class="title" x="{WIDTH / 2}" y="{top - 24}">sklearn_rqvae</text>',
    ]
    for floor in range(floors):
        upper = bottom - (floor + 1) * STOREY
        shapes.append(
            f'<rect class="floor {"odd" if floor % 2 else "even"}" x="{left}" y="{upper}" '
            f'width="{right - left}" height="{STOREY}"/>'
            f'<text class="number" x="{left + 16}" y="{upper + STOREY / 2 + 5}">{floor}</text>'
        )
    shapes.append(
        f'<rect class="wall" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
        f'<path class="earth" d="M0 {bottom + 2}H{WIDTH}"/>'
    )
    return shapes


def _arrow(path, pair, x, y, kind) -> str:
    """Draw an arrow from the floor of the upper room to the ceiling of the lower one."""
    half = ROOM[1] / 2
    points = [(x[node], y[node]) for node in path]
    # Arrows of one room leave and arrive side by side, in the direction of where they go.
    (x0, y0), (x1, y1) = points[0], points[-1]
    start = _door(path[0], x0, points[1][0])
    end = _door(path[-1], x1, points[-2][0])
    d, here = f"M{start:.0f} {y0 + half:.0f}", (start, y0 + half)
    stops = []
    for lane_x, lane_y in points[1:-1]:
        stops += [(lane_x, lane_y - half), (lane_x, lane_y + half)]
    stops.append((end, y1 - half - 2))
    for number, stop in enumerate(stops):
        if number % 2 and stop[0] == here[0]:
            d += f"V{stop[1]:.0f}"
        else:
            bend = (stop[1] - here[1]) / 2
            d += (
                f"C{here[0]:.0f} {here[1] + bend:.0f} {stop[0]:.0f} {stop[1] - bend:.0f} "
                f"{stop[0]:.0f} {stop[1]:.0f}"
            )
        here = stop
    upper, lower = pair
    return (
        f'<path class="arrow {kind} from-{upper} to-{lower}" d="{d}" marker-end="url(#house-tip)"/>'
    )


def _door(room: str, x: float, toward: float) -> float:
    """Return where an arrow leaves or enters a room."""
    reach = _width(room) / 2 - 22
    lean = 1.0 if room == GROUND else 0.35
    return x + max(-reach, min(reach, (toward - x) * lean))


def _room(house: House, room: str, x: float, y: float) -> str:
    width, height = _width(room), ROOM[1]
    modules = house.modules[room]
    is_folder = len(modules) > 1 or modules[0] != room
    name = room if room == GROUND or not is_folder else f"{room}/"
    uses = ", ".join(sorted(lower for upper, lower in house.arrows if upper == room)) or "nothing"
    used = ", ".join(sorted(upper for upper, lower in house.arrows if lower == room)) or "nobody"
    count = f"{len(modules)} modules" if len(modules) > 1 else "1 module"
    words = f"{house.words.get(room, '')}\n{count}\nImports from: {uses}\nImported by: {used}"
    left, upper = x - width / 2, y - height / 2
    line = question(house, room)
    if room == GROUND:
        line += f" \N{EM DASH} {',  '.join(modules)}"
    return (
        f'<g class="room room-{room}"><title>{escape(words)}</title>'
        f'<rect x="{left:.0f}" y="{upper:.0f}" width="{width}" height="{height}" rx="7"/>'
        f'<text class="name" x="{left + 11:.0f}" y="{upper + 22:.0f}">{escape(name)}</text>'
        f'<text class="count" x="{left + width - 11:.0f}" y="{upper + 22:.0f}">'
        f"{len(modules)}</text>"
        f'<text class="question" x="{left + 11:.0f}" y="{upper + 41:.0f}">'
        f"{escape(line)}</text></g>"
    )


def question(house: House, room: str) -> str:
    """Return what a room answers, or how its docstring begins."""
    return QUESTIONS.get(room) or house.words.get(room, "").partition(":")[0]


def _style(house: House) -> str:
    """Colors of the page's theme, or plain ones; a room under the pointer shows its arrows."""
    base = "var(--pst-color-text-base,#222832)"
    muted = "var(--pst-color-text-muted,#48566b)"
    paper = "var(--pst-color-background,#fff)"
    surface = "var(--pst-color-surface,#f3f4f5)"
    border = "var(--pst-color-border,#c9c9c9)"
    accent = "var(--pst-color-primary,#0a7d91)"
    second = "var(--pst-color-secondary,#8045e5)"
    wrong = "var(--pst-color-danger,#d72d47)"
    lines = [
        ".house{display:block;width:100%;height:auto;font-family:inherit}",
        f".house .floor.even{{fill:{surface}}} .house .floor.odd{{fill:{paper}}}",
        f".house .wall{{fill:none;stroke:{border};stroke-width:1.5}}",
        f".house .roof{{fill:{surface};stroke:{border};stroke-width:1.5}}",
        f".house .earth{{stroke:{muted};stroke-width:3}}",
        f".house .number{{fill:{muted};font-size:14px;text-anchor:middle}}",
        f".house .title{{fill:{base};font:600 19px monospace;text-anchor:middle}}",
        f".house .room rect{{fill:{paper};stroke:{muted};stroke-width:1.3}}",
        f".house .name{{fill:{base};font:600 14px monospace}}",
        f".house .count{{fill:{muted};font-size:12px;text-anchor:end}}",
        f".house .question{{fill:{muted};font-size:12px}}",
        ".house .arrow{fill:none;stroke-width:1.6;transition:opacity .15s}",
        f".house .bears{{stroke:{accent};opacity:.85}}",
        f".house .also{{stroke:{muted};stroke-dasharray:3 4;stroke-width:1.1;opacity:0}}",
        f".house .up{{stroke:{wrong};stroke-width:3}}",
        ".house .tip{fill:context-stroke}",
        ".house:has(.room:hover) .bears{opacity:.12}",
        f".house .room:hover rect{{stroke:{accent};stroke-width:2.5}}",
    ]
    for room in house.height:
        pointed = f".house:has(.room-{room}:hover)"
        lines.append(f"{pointed} .from-{room}{{opacity:1;stroke:{accent};stroke-width:2}}")
        lines.append(f"{pointed} .to-{room}{{opacity:1;stroke:{second};stroke-width:2}}")
    return "\n".join(lines)


def summary(house: House) -> str:
    """Return the counts in one sentence."""
    in_root = [m for modules in house.modules.values() for m in modules if "." not in m]
    folders = [room for room in house.modules if any("." in m for m in house.modules[room])]
    in_root = [module for module in in_root if module not in folders]
    n_modules = sum(map(len, house.modules.values()))
    up = len(house.up) or "none"
    return (
        f"{n_modules} modules: {len(in_root)} in the root and the rest in {len(folders)} folders, "
        f"on {len(house.floors)} floors. {len(house.arrows)} arrows between rooms, {up} of them up."
    )


def rooms_table(house: House) -> str:
    """Return a table of the rooms, top floor first, as reStructuredText."""
    lines = [
        *(".. list-table::", "   :header-rows: 1", "   :widths: 24 46 30", ""),
        *("   * - Floor and room", "     - What it answers", "     - Imports from"),
    ]
    for floor in range(len(house.floors) - 1, -1, -1):
        for room in house.floors[floor]:
            uses = sorted(lower for upper, lower in house.arrows if upper == room)
            words = house.words.get(room, "").replace("*", r"\*")
            lines += [
                f"   * - {floor}  ``{room}``",
                f"     - *{question(house, room)}* {words}",
                f"     - {', '.join(uses) or 'nothing'}",
            ]
    return "\n".join(lines)


def setup(app):
    """Offer the directives ``house`` (the picture and its counts) and ``house-rooms`` (a table)."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class HousePicture(SphinxDirective):
        def run(self):
            house = read_house()
            svg = f'<div class="house-frame">{draw(house)}</div>'
            return [nodes.raw("", svg, format="html"), nodes.paragraph("", summary(house))]

    class HouseRooms(SphinxDirective):
        def run(self):
            return self.parse_text_to_nodes(rooms_table(read_house()))

    app.add_directive("house", HousePicture)
    app.add_directive("house-rooms", HouseRooms)
    # The page is as old as the source, whatever the file of its text says.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: ["developers/house"])
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(read_house()), encoding="utf-8")
    print(summary(read_house()))
