"""Tiny catalogs of the true layout, and a local server that can cut connections."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

# (user, asin, time) in the order of the file, which is that of the ASINs.
REVIEWS = [
    ("U2", "B0001", 30),
    ("U1", "B0002", 20),
    ("U2", "B0002", 10),
    ("U1", "B0003", 10),
    ("U2", "B0003", 30),
    ("U3", "B0004", 5),
]
META = [
    {"asin": "B0009", "title": "not in the catalog"},
    {"asin": "B0001", "title": 'Rose &amp; "Lily" Soap', "brand": "Acme", "price": 3.5},
    {"asin": "B0003", "title": "It's a Comb", "categories": [["Beauty", "Hair"], ["Gifts"]]},
    {"asin": "B0002", "title": "Brush", "description": "similar to 'asin': 'B0009'"},
]


def reviews_gz(reviews=REVIEWS):
    """Make a file of reviews: one JSON object a line."""
    lines = [
        json.dumps(
            {
                "reviewerID": user,
                "asin": asin,
                "reviewText": "fine\u2028really",
                "overall": 5.0,
                "unixReviewTime": time,
            }
        )
        for user, asin, time in reviews
    ]
    return gzip.compress(("\n".join(lines) + "\n").encode())


def meta_gz(records=META):
    """Make a file of items: one Python literal a line, as in the files of 2014."""
    return gzip.compress("".join(f"{record!r}\n" for record in records).encode())


class CatalogServer:
    """Serve `files` with byte ranges; `cuts` are the bytes after which answers break off."""

    def __init__(self):
        self.files = {
            "/reviews_Beauty_5.json.gz": reviews_gz(),
            "/meta_Beauty.json.gz": meta_gz(),
        }
        self.cuts = []
        self.failures = []
        self.ranges = True
        self.content_encoding = None
        self.requests = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        if self.failures:
            handler.send_error(self.failures.pop(0))
            return
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        start = 0
        if asked and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            handler.send_response(200)
        if self.content_encoding:
            handler.send_header("Content-Encoding", self.content_encoding)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        stop = start + self.cuts.pop(0) if self.cuts else len(content)
        handler.wfile.write(content[start:stop])
        handler.wfile.flush()
        if stop < len(content):
            handler.connection.shutdown(2)

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = CatalogServer()
    yield server
    server.close()


def write_files(folder):
    """Write the two files of a catalog of 120 items."""
    reviews = [(f"U{i % 7}", f"B{i:04d}", i) for i in range(120)]
    words = ["rose", "lily", "soap", "comb", "brush", "cream", "oil", "scent"]
    meta = [
        {
            "asin": f"B{i:04d}",
            "title": f"{words[i % 8]} {words[i // 8 % 8]} no {i}",
            "brand": "Acme",
        }
        for i in range(120)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reviews_Beauty_5.json.gz").write_bytes(reviews_gz(reviews))
    (folder / "meta_Beauty.json.gz").write_bytes(meta_gz(meta))


@pytest.fixture
def catalog_root(tmp_path):
    """Return a folder that holds the two files of a catalog of 120 items."""
    write_files(tmp_path)
    return tmp_path


@pytest.fixture
def write_catalog():
    """Return the function that writes these two files into another folder."""
    return write_files


@pytest.fixture
def write_reviews():
    """Return the function that makes a file of reviews of (user, asin, time)."""
    return reviews_gz
