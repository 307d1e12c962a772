"""Draw the picture of the first page: items of the bundled catalog under the codes they share.

``python docs/draw_semantic_ids.py`` fits the model of ``sklearn-rqvae demo`` and writes
``docs/images/semantic_ids.svg``. The items are those of the installed libraries.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs

PICTURE = Path(__file__).parent / "images" / "semantic_ids.svg"
# One item of each branch; its nearest siblings are drawn beside it.
ITEMS = ("scipy.signal.butter", "numpy.linalg.svd", "torch.nn.functional.conv2d")
N_SIBLINGS = 5
WIDTH, ROW, GAP, TOP = 880, 25, 16, 46
COLORS = ("#0a7d91", "#8045e5", "#b3541e")


def branch(docs, vectors, codes, name: str) -> list[int]:
    """Return an item and its nearest siblings by first code, in the order of their IDs."""
    item = docs.names.index(name)
    siblings = np.flatnonzero(codes[:, 0] == codes[item, 0])
    distance = np.square(vectors[siblings] - vectors[item]).sum(axis=1)
    nearest = siblings[np.argsort(distance, kind="stable")[: N_SIBLINGS + 1]]
    return sorted(nearest.tolist(), key=lambda row: codes[row].tolist())


def draw(docs, codes, branches: list[list[int]]) -> str:
    """Return the picture: an ID and a name a row, codes that are shared in color."""
    lines, y = [], TOP
    for rows, color in zip(branches, COLORS, strict=True):
        height = len(rows) * ROW + 6
        lines.append(
            f'<rect x="16" y="{y}" width="5" height="{height}" rx="2" fill="{color}"/>'
            f'<rect x="21" y="{y}" width="{WIDTH - 37}" height="{height}" fill="{color}" '
            'fill-opacity=".06"/>'
        )
        for number, row in enumerate(rows):
            baseline = y + ROW * number + 20
            lines += [
                _id(codes[row], _shared(codes, rows, number), color, baseline),
                _item(docs, row, baseline),
            ]
        y += height + GAP
    heading = (
        '<text x="36" y="30" class="head">semantic ID</text>'
        '<text x="190" y="30" class="head">item</text>'
    )
    style = (
        "text{font:14px sans-serif;fill:#222832}.code{font:600 15px monospace}"
        ".head{font-weight:600;fill:#48566b}.more{fill:#5a6577}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" role="img"><title>Items that share their first codes are alike</title>'
        f'<style>{style}</style><rect width="{WIDTH}" height="{y}" rx="8" fill="#fff"/>'
        + "\n".join([heading, *lines])
        + "\n</svg>\n"
    )


def _shared(codes, rows: list[int], number: int) -> int:
    """Return how many first codes an item shares with the one above or below."""
    beside = [rows[n] for n in (number - 1, number + 1) if 0 <= n < len(rows)]
    same = [np.cumprod(codes[rows[number]] == codes[other]).sum() for other in beside]
    return max(map(int, same))


def _id(code, n_shared: int, color: str, y: int) -> str:
    """Draw the codes, those that are shared in color."""
    spans = [
        f'<tspan x="{36 + 34 * level}" fill="{color if level < n_shared else "#7b8794"}">'
        f"{value}</tspan>"
        for level, value in enumerate(code)
    ]
    return f'<text y="{y}" class="code">{"".join(spans)}</text>'


def _item(docs, row: int, y: int) -> str:
    """Draw what the item is, as much of it as there is room for."""
    name, text = docs.names[row], docs.data[row].partition(": ")[2]
    room = 84 - len(name)
    text = text if len(text) <= room else text[: room - 1].rstrip() + "…"
    return (
        f'<text x="190" y="{y}">{escape(name)}'
        f'<tspan class="more" dx="10">{escape(text)}</tspan></text>'
    )


def main() -> None:
    """Fit, draw, write."""
    docs = load_api_docs()
    vectors = TextEmbedder(n_components=128, random_state=0).fit_transform(docs.data)
    codes = RQVAETransformer(n_layers=4, codebook_size=64, random_state=0).fit_transform(vectors)
    branches = [branch(docs, vectors, codes, name) for name in ITEMS]
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(docs, codes, branches), encoding="utf-8")


if __name__ == "__main__":
    main()
