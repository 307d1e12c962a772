"""Histories for the shell: a table of user, item and time, whose items are those of another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sklearn_rqvae._cli._arguments import HISTORY_COLUMNS
from sklearn_rqvae._files._table import Table
from sklearn_rqvae._files._tables import read_table

if TYPE_CHECKING:
    from sklearn_rqvae.embedding import Histories

__all__ = ["read_histories"]


def read_histories(args: argparse.Namespace, ids: Sequence[Any]) -> Histories | None:
    """Read the histories that the arguments name, None if they name none.

    Ids of items are compared as text: 7 in one file is "7" in the other.

    Parameters
    ----------
    args : Namespace
        With `histories`, `history_columns`, and `input`, the items' file.
    ids : sequence
        Ids of the items.

    Returns
    -------
    histories : Histories or None
        With the items' ids as text.

    Raises
    ------
    ValueError
        If a column is missing, a field is empty, a time can't be told, or an item isn't among the
        items.
    """
    if args.histories is None:
        return None
    from sklearn_rqvae.embedding import Histories

    table = read_table(args.histories)
    columns = args.history_columns or _default_columns(table)
    if len(columns) not in (2, 3):
        raise ValueError(
            f"--history-columns should name 2 or 3 columns, user, item and time, not "
            f"{len(columns)}: {' '.join(columns)}"
        )
    read = {name: _filled(table, name) for name in columns}
    known = set(map(str, ids))
    items = [str(value) for value in read[columns[1]]]
    row = next((row for row, item in enumerate(items) if item not in known), None)
    if row is not None:
        raise ValueError(
            f"row {row} of {args.histories} has the item {items[row]!r}, which {args.input} has "
            "not; name the column of ids there with --id, the columns here with "
            "--history-columns, or drop rows of other items."
        )
    read[columns[0]] = [str(value) for value in read[columns[0]]]
    read[columns[1]] = items
    return Histories.read(read, columns=columns)


def _default_columns(table: Table) -> Sequence[str]:
    """Return user, item and time, or the first two of them where there is no time."""
    columns = HISTORY_COLUMNS if HISTORY_COLUMNS[-1] in table else HISTORY_COLUMNS[:-1]
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(
            f"{table.path} has no column {missing[0]!r}, only {', '.join(map(repr, table))}; name "
            "its columns of user, item and time with --history-columns."
        )
    return columns


def _filled(table: Table, name: str) -> list[Any]:
    """Return a column that has a value in each row."""
    values = table.column(name)
    row = next((row for row, value in enumerate(values) if value is None or value == ""), None)
    if row is not None:
        raise ValueError(
            f"row {row} of {table.path} has no {name!r}; drop rows without user, item or time."
        )
    return values
