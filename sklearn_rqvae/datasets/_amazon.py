"""The Amazon catalogs of 2014: items, their texts, and who bought what."""

from __future__ import annotations

import ast
import gzip
import html
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae.datasets._download import fetch_gzip, read_failure

__all__ = ["AMAZON_SPLITS", "fetch_amazon_items", "is_test_item"]

# Split → category in the file names.
AMAZON_SPLITS = {
    "beauty": "Beauty",
    "sports": "Sports_and_Outdoors",
    "toys": "Toys_and_Games",
    "clothing": "Clothing_Shoes_and_Jewelry",
}
_BASE_URL = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
_TEXT_FIELDS = ("title", "brand", "categories", "description", "price")
_ASIN = re.compile(r"""["']asin["']\s*:\s*["'](\w+)["']""")
_TEST_SHARE = 20  # one item in twenty
_CATALOG_FORMAT = 1


def fetch_amazon_items(
    split: str = "beauty",
    *,
    root: str | os.PathLike[str] | None = None,
    text_fields: Sequence[str] = ("title", "brand", "categories"),
    download_if_missing: bool = True,
    base_url: str = _BASE_URL,
    known_hashes: Mapping[str, str] | None = None,
    n_retries: int = 3,
    delay: float = 1.0,
    verbose: int = 1,
) -> Bunch:
    """Load the items of an Amazon catalog of 2014, with their texts and the users' purchases.

    These are the 5-core files [1]_: every user and every item has at least five reviews. They are
    the data sets of most papers on generative retrieval. A catalog is made of two files,
    ``reviews_<Category>_5.json.gz`` and ``meta_<Category>.json.gz``, which are downloaded if `root`
    doesn't hold them. What was read from them is stored beside them, so that it is quick the second
    time, unless the folder is read-only.

    Items are numbered in the order of their first use: users in the order in which they first occur
    in the file of reviews, and the reviews of a user from the oldest to the newest, those of the
    same day in the order of the file. The sequences published with S3-Rec [2]_ are numbered in this
    way, from 1.

    Parameters
    ----------
    split : {"beauty", "sports", "toys", "clothing"}, default="beauty"
        Which catalog.
    root : str or path-like, optional
        Folder of the files. By default ``amazon_2014`` in scikit-learn's data home, see
        :func:`sklearn.datasets.get_data_home`.
    text_fields : sequence of str, default=("title", "brand", "categories")
        What the text of an item is joined from, among ``"title"``, ``"brand"``, ``"categories"``,
        ``"description"`` and ``"price"``. Fields that an item lacks are left out.
    download_if_missing : bool, default=True
        Whether to download missing files. This needs pooch: ``pip install "sklearn-rqvae[data]"``.
    base_url : str, default="https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
        Folder on the web to download from; give a mirror's if need be.
    known_hashes : mapping of str to str, optional
        Hash by file name, such as ``{"meta_Beauty.json.gz": "sha256:..."}``, to check a download
        against. The publisher gives none, so that only the checksums inside the files are checked
        by default.
    n_retries : int, default=3
        How often a broken connection is taken up again. Whatever has arrived is kept for the next
        call too.
    delay : float, default=1.0
        Seconds between tries.
    verbose : int, default=1
        Whether to show the progress of a download.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        A dictionary-like object with these attributes.

        data : list of str
            Text of each item: its fields, joined by ``". "``; "" for an item without any.
        item_ids : list of str
            Amazon's identifier (ASIN) of each item.
        is_test : ndarray of shape (n_items,), dtype=bool
            Whether an item is held out: those whose ASIN has a CRC-32 divisible by 20, one in
            twenty. So an item is on the same side whatever the other items are.
        sequences : list of ndarray of dtype int64
            Items that each user reviewed, as positions in `data`, the oldest first.
        user_ids : list of str
            Amazon's identifier of each user.
        DESCR : str
            What was loaded.

    Raises
    ------
    FileNotFoundError
        If a file is missing and `download_if_missing` is false.
    ImportError
        If a download is needed and pooch isn't installed.
    OSError
        If a download fails or a file is damaged.
    ValueError
        If `split` or `text_fields` has an unknown name, or a file isn't of the expected layout.

    References
    ----------
    .. [1] McAuley, J., Targett, C., Shi, Q. and van den Hengel, A. "Image-based recommendations on
       styles and substitutes". SIGIR 2015.
    .. [2] Zhou, K. et al. "S3-Rec: Self-supervised learning for sequential recommendation with
       mutual information maximization". CIKM 2020.

    Examples
    --------
    >>> from sklearn_rqvae.datasets import fetch_amazon_items
    >>> beauty = fetch_amazon_items("beauty")  # doctest: +SKIP
    >>> len(beauty.data)  # doctest: +SKIP
    12101
    """
    if split not in AMAZON_SPLITS:
        raise ValueError(f"split={split!r} should be one of {', '.join(map(repr, AMAZON_SPLITS))}.")
    unknown = [field for field in text_fields if field not in _TEXT_FIELDS]
    if isinstance(text_fields, str) or not len(text_fields) or unknown:
        raise ValueError(
            f"text_fields={text_fields!r} should be a sequence of names among "
            f"{', '.join(map(repr, _TEXT_FIELDS))}."
        )
    folder = Path(get_data_home()) / "amazon_2014" if root is None else Path(root).expanduser()
    category = AMAZON_SPLITS[split]
    reviews = folder / f"reviews_{category}_5.json.gz"
    meta = folder / f"meta_{category}.json.gz"
    for path in (reviews, meta):
        if path.exists():
            continue
        url = base_url.rstrip("/") + "/" + path.name
        if not download_if_missing:
            raise FileNotFoundError(
                f"{path} doesn't exist; put {url} there, or call with download_if_missing=True."
            )
        fetch_gzip(
            url,
            path,
            known_hash=(known_hashes or {}).get(path.name),
            n_retries=n_retries,
            delay=delay,
            verbose=verbose,
        )
    catalog = _load_catalog(reviews, meta, folder / f"catalog_{split}.json.gz")
    item_ids = catalog["item_ids"]
    return Bunch(
        data=[_text(record, text_fields) for record in catalog["records"]],
        item_ids=item_ids,
        is_test=np.array([is_test_item(asin) for asin in item_ids], dtype=bool),
        sequences=[np.array(sequence, dtype=np.int64) for sequence in catalog["sequences"]],
        user_ids=catalog["user_ids"],
        DESCR=(
            f"Amazon {category.replace('_', ' ')}, 2014, 5-core: {len(item_ids)} items, "
            f"{len(catalog['user_ids'])} users, {sum(map(len, catalog['sequences']))} reviews. "
            f"Texts are made of {', '.join(text_fields)}."
        ),
    )


def is_test_item(asin: str) -> bool:
    """Tell whether an item is held out, from its identifier alone."""
    return zlib.crc32(asin.encode()) % _TEST_SHARE == 0


def _load_catalog(reviews: Path, meta: Path, cache: Path) -> dict[str, Any]:
    """Read both files, or what was stored when they were read before."""
    made_of = [_CATALOG_FORMAT] + [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in (reviews, meta)
    ]
    if cache.exists():
        try:
            stored = json.loads(gzip.decompress(cache.read_bytes()))
        except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
            raise OSError(f"{cache} is damaged ({error}); delete it and call again.") from error
        if not isinstance(stored, dict):
            raise OSError(f"{cache} is damaged (it holds no object); delete it and call again.")
        if stored.get("made_of") == made_of:
            return stored
    item_ids, user_ids, sequences = _read_reviews(reviews)
    catalog = {
        "made_of": made_of,
        "item_ids": item_ids,
        "user_ids": user_ids,
        "sequences": sequences,
        "records": _read_meta(meta, item_ids),
    }
    if os.access(cache.parent, os.W_OK):
        with replace_file(cache) as file:
            file.write(gzip.compress(json.dumps(catalog).encode(), compresslevel=1))
    return catalog


def _read_reviews(path: Path) -> tuple[list[str], list[str], list[list[int]]]:
    """Return the items by first use, the users by occurrence, and their sequences."""
    histories: dict[str, list[tuple[int, str]]] = {}
    for number, line in _lines(path):
        review = _parse(line, path, number)
        try:
            time, asin, user = (review[k] for k in ("unixReviewTime", "asin", "reviewerID"))
        except KeyError as error:
            raise ValueError(
                f"line {number} of {path} has no {error}; is it a file of reviews?"
            ) from error
        try:
            seconds = int(time)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"line {number} of {path} has unixReviewTime={time!r}, which should be a number of "
                "seconds; repair the line, or delete the file and download it again."
            ) from error
        histories.setdefault(str(user), []).append((seconds, str(asin)))
    position: dict[str, int] = {}
    sequences = [
        [position.setdefault(asin, len(position)) for _, asin in sorted(events, key=lambda e: e[0])]
        for events in histories.values()
    ]
    if not position:
        raise ValueError(f"{path} holds no review; delete it and download it again.")
    return list(position), list(histories), sequences


def _read_meta(path: Path, item_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the fields that texts can be made of; {} for an item without a record."""
    wanted = set(item_ids)
    records: dict[str, dict[str, Any]] = {}
    for number, line in _lines(path):
        # The file describes some twenty times as many items as the catalog has; parsing takes
        # longest.
        named = _ASIN.findall(line)
        if named and wanted.isdisjoint(named):
            continue
        record = _parse(line, path, number)
        if record.get("asin") in wanted:
            records[record["asin"]] = {k: record[k] for k in _TEXT_FIELDS if record.get(k)}
    return [records.get(asin, {}) for asin in item_ids]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a gzip file that aren't blank, with their numbers from 1."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise read_failure(path, error) from error


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    """Read one record: JSON, or the Python literal that the old files hold."""
    try:
        record = json.loads(line)
    except ValueError:  # no JSON, or an integer of thousands of digits
        try:
            record = ast.literal_eval(line.strip())
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise ValueError(
                f"line {number} of {path} is neither JSON nor a Python literal: {line[:60]!r}..."
            ) from error
    if not isinstance(record, dict):
        raise ValueError(f"line {number} of {path} is no record of named fields: {line[:60]!r}...")
    return record


def _text(record: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Join an item's fields; of several paths of categories, the first counts."""
    parts = []
    for field in fields:
        value = record.get(field)
        if field == "categories" and value and isinstance(value, list | tuple):
            path = value[0] if isinstance(value[0], list | tuple) else value
            value = ", ".join(map(str, path))
        if value:
            parts.append(" ".join(html.unescape(str(value)).split()))
    return ". ".join(part for part in parts if part)
