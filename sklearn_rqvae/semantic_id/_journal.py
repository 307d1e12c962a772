"""Changes of a catalog written beside the file that it was saved to, one after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_rqvae._files._archive import damage_as_checkpoint_error, open_archive
from sklearn_rqvae._files._records import RecordFile, read_records
from sklearn_rqvae._files._replace import check_place
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id._collisions._resolve import Items, Named, Rules, fitting_store
from sklearn_rqvae.semantic_id._level_sizes import check_range
from sklearn_rqvae.semantic_id._report import CollisionReport
from sklearn_rqvae.semantic_id._saved import Content, read_catalog, write_catalog
from sklearn_rqvae.semantic_id._store import asked_ids

__all__ = ["Journal", "appended", "load_catalog", "removed", "save_catalog"]

_WHAT = "a journal of a SemanticIDIndex"

# A reader that meets a file and a journal which don't belong together looks again: somebody may be
# writing both.
_LOOKS = 5


class Journal:
    """The journal of a saved catalog, open for writing.

    Its first record is the stamp of the file whose changes follow. So after a crash at any time,
    the file and the journal tell which of their contents counts.

    Parameters
    ----------
    path : str or path-like
        File of the catalog.

    Attributes
    ----------
    path : Path
        The file.
    base : str or None
        Stamp of the file that its changes belong to.
    is_begun : bool
        Whether a change can be added; False where `begin` failed, after the file was replaced.

    Raises
    ------
    OSError
        If it can't be written, or somebody else writes it.
    CheckpointError
        If it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self.is_begun = True
        place = _beside(path)
        self._file = RecordFile(place)
        try:
            with damage_as_checkpoint_error(place, _WHAT):
                self.base = _base_of(self._file.read())
        except BaseException:
            self.close()
            raise

    def is_beside(self, path: str | os.PathLike[str]) -> bool:
        """Tell whether it lies beside a file."""
        return self.path == Path(os.path.realpath(path))

    def begin(self) -> None:
        """Forget all changes: the file holds them."""
        self.is_begun = False
        base = _stamps(self.path)[0]
        self._file.rewrite([_record({"base": base})])
        self.base, self.is_begun = base, True

    def write(self, change: dict[str, Any]) -> None:
        """Add a change; it's on disk when this returns."""
        self._file.append(_record(change))

    def close(self) -> None:
        """Let others write it."""
        self._file.close()

    def remove(self) -> None:
        """Remove it."""
        self._file.remove()


def save_catalog(
    path: str | os.PathLike[str],
    content: Content,
    *,
    kept: Journal | None,
    keep: bool | None,
) -> Journal | None:
    """Write a catalog, which makes a journal beside it empty or superfluous.

    Parameters
    ----------
    path : str or path-like
        File to write.
    content : Content
        The catalog.
    kept : Journal or None
        The journal that the catalog keeps, here or elsewhere.
    keep : bool or None
        Whether to keep one here from now on; None goes on with one that is kept here.

    Returns
    -------
    kept : Journal or None
        The journal that the catalog keeps now.
    """
    check_place(path)
    here = kept if kept is not None and kept.is_beside(path) else None
    keep = here is not None if keep is None else keep
    journal = here
    if here is None and (keep or _beside(path).exists()):
        journal = Journal(path)
    try:
        base = None if journal is None else journal.base
        write_catalog(path, content, supersedes=base)
        if journal is None:
            return kept
        if not keep:
            journal.remove()
            return None if here is kept else kept
        journal.begin()
    except BaseException:
        if journal is not None and journal is not here:
            journal.close()
        raise
    if kept is not None and kept is not journal:
        kept.close()
    return journal


def load_catalog(path: str | os.PathLike[str], *, keep: bool) -> tuple[Content, Journal | None]:
    """Read a catalog, and the journal beside it.

    Parameters
    ----------
    path : str or path-like
        File to read.
    keep : bool
        Whether to go on with the journal, or to begin one.

    Returns
    -------
    content : Content
        The catalog.
    kept : Journal or None
        The journal.

    Raises
    ------
    CheckpointError
        If the file or its journal is damaged, or they don't belong together.
    """
    if not keep:
        return _read(path), None
    stamp = _stamps(path)[0]  # there is such a file
    journal = Journal(path)
    try:
        found = _read(path)
        if journal.base != stamp:
            journal.begin()
    except BaseException:
        journal.close()
        raise
    return found, journal


def _read(path: str | os.PathLike[str]) -> Content:
    """Read a catalog, and make the changes beside it."""
    place = _beside(path)
    for _ in range(_LOOKS):
        stamps = _stamps(path)
        content = read_catalog(path)
        with damage_as_checkpoint_error(place, _WHAT):
            records = read_records(place) if place.exists() else []
            base = _base_of(records)
        if _stamps(path) != stamps:
            continue
        if base is None or base == stamps[1]:
            return content
        if base == stamps[0]:
            with damage_as_checkpoint_error(place, _WHAT):
                return _replayed(content, records[1:])
    raise CheckpointError(
        f"{os.fspath(place)!r} has changes of another file than {os.fspath(path)!r}; put the file "
        "back that they belong to, or move the journal away to do without them."
    )


def appended(rules: Rules, named: Named, items: Items) -> dict[str, Any]:
    """Return what there is to know of items that were added last, as plain values."""
    store, n_items = named.store, len(items.item_ids)
    return {
        "append": items.item_ids.tolist(),
        "ids": store.layout.unpack(store.last_keys(n_items)).tolist(),
        "ties": None if items.ties is None else items.ties.tolist(),
        "sizes": [int(size) for size in rules.sizes],
        "n_suffixes": int(named.n_suffixes),
        "report": vars(named.report),
    }


def removed(item_ids: Any, retire: bool) -> dict[str, Any]:
    """Return what there is to know of items that were taken out, as plain values."""
    return {"remove": asked_ids(item_ids).tolist(), "retire": retire}


def _replayed(content: Content, records: list[bytes]) -> Content:
    """Make the changes of a journal."""
    rules, named, sizes_given = content
    for record in records:
        change = json.loads(record)
        if "append" in change:
            rules, named = _append(rules, named, change)
        else:
            store = named.store.without_items(change["remove"], retire=change["retire"])
            named = named._replace(store=store, version=named.version + 1)
    return Content(rules, named, sizes_given)


def _append(rules: Rules, named: Named, change: dict[str, Any]) -> tuple[Rules, Named]:
    ids = np.array(change["ids"], dtype=np.int64)
    rules = rules._replace(sizes=change["sizes"])
    store = fitting_store(rules, named, change["n_suffixes"])
    columns = list(ids.T)
    check_range(columns, store.layout.sizes)
    item_ids = store.check_new(change["append"], len(ids))
    ties = None if change["ties"] is None else np.array(change["ties"], dtype=np.intp)
    keys = store.layout.pack(columns)
    order = Items(columns, item_ids, ties=ties).order_of(keys)
    store = store.with_items(keys, item_ids, order)
    report = CollisionReport(**change["report"])
    return rules, Named(store, change["n_suffixes"], report, named.version + 1)


def _beside(path: str | os.PathLike[str]) -> Path:
    return Path(f"{os.path.realpath(path)}.journal")


def _record(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _base_of(records: list[bytes]) -> str | None:
    return json.loads(records[0])["base"] if records else None


def _stamps(path: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Return the stamp of a saved catalog, and of the file before whose journal it holds."""
    with open_archive(path, "a saved SemanticIDIndex") as archive:
        return archive.stamp, archive.header.get("supersedes")
