"""What notebooks show of a catalog and of reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["Shown", "catalog_table"]


class Shown:
    """Show an object in notebooks as it is printed."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def catalog_table(
    rows: Iterable[tuple[Any, Sequence[int]]], n_items: int, width: int, facts: str, link: str
) -> str:
    """Write some items of a catalog with their IDs, a column for each level.

    Parameters
    ----------
    rows : iterable of (item id, semantic ID)
        The items to show.
    n_items : int
        Number of all items.
    width : int
        Number of codes in an ID.
    facts : str
        What stands above the table.
    link : str
        Address of the page that explains it, "" for none.

    Returns
    -------
    html : str
        A fragment in the colors of the page around it.
    """
    levels = "".join(f"<th>{level}</th>" for level in range(width))
    body, n_shown = "", 0
    for item, codes in rows:
        cells = "".join(f"<td>{code}</td>" for code in codes)
        body += f"<tr><th style='text-align:left'>{escape(str(item))}</th>{cells}</tr>"
        n_shown += 1
    rest = f"<p>… and {n_items - n_shown:,} more</p>" if n_items > n_shown else ""
    doc = f" <a href='{escape(link)}' rel='noreferrer' target='_blank'>?</a>" if link else ""
    return (
        f"<div><strong>SemanticIDIndex</strong>{doc}<br>{escape(facts)}"
        f"<table><thead><tr><th style='text-align:left'>item</th>{levels}</tr></thead>"
        f"<tbody>{body}</tbody></table>{rest}</div>"
    )
