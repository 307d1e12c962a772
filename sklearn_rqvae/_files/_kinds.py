"""Which kind of table or array a file's name says it is."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FORMATS", "file_kind"]

FORMATS = ".jsonl, .csv, .tsv, .parquet or .npy (.jsonl, .csv and .tsv also with .gz)"
_TEXT_KINDS = (".jsonl", ".csv", ".tsv")


def file_kind(path: str | os.PathLike[str], *, reading: bool = False) -> str:
    """Return the format that a file's name says, as its plain suffix.

    Parameters
    ----------
    path : str or path-like
        The file.
    reading : bool, default=False
        Whether the file is there already: many keep JSON lines, or a list of records, in files that
        end in ``.json``.

    Returns
    -------
    kind : str
        ``".jsonl"``, ``".csv"``, ``".tsv"``, ``".parquet"`` or ``".npy"``.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    name = Path(path).name.lower()
    plain = name.removesuffix(".gz")
    suffix = Path(plain).suffix
    kind = {".ndjson": ".jsonl", ".json": ".jsonl" if reading else suffix}.get(suffix, suffix)
    if kind in _TEXT_KINDS or (kind in (".parquet", ".npy") and plain == name):
        return kind
    raise ValueError(f"the format of {path} is unknown; the name should end in {FORMATS}.")
