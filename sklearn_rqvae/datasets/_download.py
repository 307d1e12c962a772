"""Download of large files: resumed where it broke off, checked, and in place only when whole."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["fetch_gzip", "read_failure"]

_CHUNK_BYTES = 1 << 16
_TIMEOUT_SECONDS = 30.0


def fetch_gzip(
    url: str,
    path: Path,
    *,
    known_hash: str | None = None,
    n_retries: int = 3,
    delay: float = 1.0,
    verbose: int = 1,
) -> None:
    """Download a gzip file to `path`, which appears only when the file is whole and checked.

    What has arrived so far is kept beside it as ``<name>.part``, and the next call goes on from
    there.

    Parameters
    ----------
    url : str
        Where the file is.
    path : Path
        Where it should be. Nothing is done if it exists.
    known_hash : str, optional
        ``"sha256:<hex digits>"`` or another algorithm of :mod:`hashlib`. Without it, the checksums
        inside the gzip file are checked.
    n_retries : int, default=3
        How often a broken connection is taken up again.
    delay : float, default=1.0
        Seconds between tries.
    verbose : int, default=1
        Whether to show a progress bar.

    Raises
    ------
    ImportError
        If pooch is not installed.
    OSError
        If the file can't be had from there, with what to do.
    ValueError
        If what arrived isn't the file that it should be.
    """
    if path.exists():
        return
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            'Downloading needs pooch: run pip install "sklearn-rqvae[data]", or download '
            f"{url} by other means and put it at {path}."
        ) from error

    path.parent.mkdir(parents=True, exist_ok=True)
    stream = partial(
        _download,
        part=path.with_name(path.name + ".part"),
        n_retries=n_retries,
        delay=delay,
        verbose=verbose,
    )
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # the progress bar says it all
    try:
        # pooch hands `stream` a temporary file, checks the hash of what was written, and moves it
        # into place.
        pooch.retrieve(
            url, known_hash=known_hash, fname=path.name, path=path.parent, downloader=stream
        )
    finally:
        logger.setLevel(level)


def read_failure(path: Path, error: BaseException) -> OSError:
    """Return the error that says a gzip file can't be read, and what to do."""
    return OSError(
        f"{path} is damaged ({type(error).__name__}: {error}); delete it and call again with "
        "download_if_missing=True, or replace it by a whole copy."
    )


def _download(
    url: str,
    destination: str,
    _pooch: Any,
    *,
    part: Path,
    n_retries: int,
    delay: float,
    verbose: int,
) -> None:
    import requests
    import urllib3

    for n_left in range(n_retries, -1, -1):
        try:
            _append(url, part, verbose)
            break
        except requests.HTTPError as error:
            raise OSError(
                f"{url} can't be had: {error}. Give another base_url, or download the file by "
                "other means and put it into root."
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if n_left == 0:
                n_bytes = part.stat().st_size if part.exists() else 0
                raise OSError(
                    f"The connection to {url} failed ({error}). {n_bytes} bytes have arrived and "
                    "are kept: call again to go on from there, or give another base_url."
                ) from error
            time.sleep(delay)
    _check_gzip(part, url)
    os.replace(part, destination)


def _append(url: str, part: Path, verbose: int) -> None:
    """Download what is missing in `part`."""
    import requests
    from tqdm import tqdm

    n_have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if n_have:
        headers["Range"] = f"bytes={n_have}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{n_have}":
                return  # nothing is missing
            part.unlink()  # longer than the file: it belongs to another one
            raise requests.ConnectionError("what had arrived earlier doesn't belong to this file")
        if response.status_code >= 500:
            raise requests.ConnectionError(f"the server answered {response.status_code}")
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        n_before = n_have if resumed else 0
        n_expected = response.headers.get("Content-Length")
        total = None if n_expected is None else n_before + int(n_expected)
        with (
            open(part, "ab" if resumed else "wb") as file,
            tqdm(
                desc=part.stem,
                total=total,
                initial=n_before,
                unit="B",
                unit_scale=True,
                disable=not verbose,
            ) as bar,
        ):
            # The raw stream: some servers declare a gzip file as gzip-encoded, and requests would
            # unpack it.
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise requests.ConnectionError(f"{part.stat().st_size} of {total} bytes arrived")


def _check_gzip(part: Path, url: str) -> None:
    """Read the file through, which compares the checksums in it; remove it if they don't match."""
    try:
        with gzip.open(part) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        part.unlink()
        raise ValueError(
            f"{url} is not a whole gzip file ({type(error).__name__}: {error}); what arrived was "
            "removed. Call again, or give another base_url."
        ) from error
