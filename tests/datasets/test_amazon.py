"""fetch_amazon_items: order, texts, downloads that break, files that are damaged."""

import gzip
import hashlib
import json
import os
import sys
import zlib

import numpy as np
import pytest

from sklearn_rqvae.datasets import _amazon as amazon
from sklearn_rqvae.datasets import fetch_amazon_items

REVIEWS = "reviews_Beauty_5.json.gz"
META = "meta_Beauty.json.gz"


def fetch(root, server=None, **params):
    if server is not None:
        params["base_url"] = server.url
    return fetch_amazon_items("beauty", root=root, delay=0.0, verbose=0, **params)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_items_are_numbered_by_first_use_of_users_in_file_order(tmp_path, server):
    # U2 comes first in the file: B0002 at time 10, then B0001 and B0003, both at 30, in file order.
    catalog = fetch(tmp_path, server)
    assert catalog.user_ids == ["U2", "U1", "U3"]
    assert catalog.item_ids == ["B0002", "B0001", "B0003", "B0004"]
    assert [s.tolist() for s in catalog.sequences] == [[0, 1, 2], [2, 0], [3]]
    assert all(s.dtype == np.int64 for s in catalog.sequences)


def test_texts_join_the_fields_that_an_item_has(tmp_path, server):
    catalog = fetch(tmp_path, server)
    assert catalog.data == ["Brush", 'Rose & "Lily" Soap. Acme', "It's a Comb. Beauty, Hair", ""]
    again = fetch(tmp_path, text_fields=["brand", "price"])
    assert again.data == ["", "Acme. 3.5", "", ""]


@pytest.mark.parametrize(
    ("categories", "text"),
    [
        ("Beauty", "Beauty"),
        (["Beauty", "Hair"], "Beauty, Hair"),
        ((("Beauty", "Hair"), ("Gifts",)), "Beauty, Hair"),
        ([["Beauty", 7]], "Beauty, 7"),
        ([], ""),
    ],
)
def test_categories_of_every_shape_are_joined(tmp_path, server, categories, text):
    record = {"asin": "B0002", "categories": categories}
    server.files["/" + META] = gzip.compress(f"{record!r}\n".encode())
    assert fetch(tmp_path, server).data[0] == text
    assert fetch(tmp_path).data[0] == text  # as it was stored


def test_metadata_in_json_reads_like_python_literals(tmp_path, server):
    literal = fetch(tmp_path / "literal", server)
    lines = gzip.decompress(server.files["/" + META]).decode().splitlines()
    as_json = "\n".join(json.dumps(amazon._parse(line, tmp_path, 0)) for line in lines)
    server.files["/" + META] = gzip.compress(as_json.encode())
    assert fetch(tmp_path / "json", server).data == literal.data


def test_metadata_is_never_evaluated(tmp_path, server):
    code = "{'asin': 'B0001', 'title': __import__('os').getcwd()}\n"
    server.files["/" + META] = gzip.compress(code.encode())
    with pytest.raises(ValueError, match=r"line 1 of .*neither JSON nor a Python literal"):
        fetch(tmp_path, server)


def test_an_item_is_held_out_by_its_identifier_alone(catalog_root):
    catalog = fetch(catalog_root)
    by_hand = [zlib.crc32(asin.encode()) % 20 == 0 for asin in catalog.item_ids]
    assert catalog.is_test.tolist() == by_hand
    assert 0 < catalog.is_test.sum() < 20


def test_files_are_downloaded_once_and_nothing_else_is_left(tmp_path, server):
    first = fetch(tmp_path, server)
    assert [path for path, _ in server.requests] == ["/" + REVIEWS, "/" + META]
    second = fetch(tmp_path, server)
    assert len(server.requests) == 2
    assert second.data == first.data
    assert names(tmp_path) == ["catalog_beauty.json.gz", META, REVIEWS]


def test_a_stored_catalog_is_read_anew_when_its_files_change(tmp_path, server):
    fetch(tmp_path, server)
    (tmp_path / META).write_bytes(gzip.compress(b"{'asin': 'B0004', 'title': 'New'}\n"))
    assert fetch(tmp_path).data == ["", "", "", "New"]


def test_a_stored_catalog_spares_the_reading(tmp_path, server, monkeypatch):
    expected = fetch(tmp_path, server)
    monkeypatch.setattr(amazon, "_read_meta", None)
    assert fetch(tmp_path).data == expected.data


def test_a_cut_connection_is_taken_up_where_it_broke(tmp_path, server):
    server.cuts = [50, 20]
    catalog = fetch(tmp_path, server, n_retries=2)
    assert len(catalog.data) == 4
    assert server.requests[:3] == [
        ("/" + REVIEWS, None),
        ("/" + REVIEWS, "bytes=50-"),
        ("/" + REVIEWS, "bytes=70-"),
    ]


def test_the_next_call_goes_on_after_a_cut_connection(tmp_path, server):
    server.cuts = [50]
    with pytest.raises(OSError, match="50 bytes have arrived and are kept: call again"):
        fetch(tmp_path, server, n_retries=0)
    assert names(tmp_path) == [REVIEWS + ".part"]
    catalog = fetch(tmp_path, server, n_retries=0)
    assert server.requests[1] == ("/" + REVIEWS, "bytes=50-")
    assert len(catalog.data) == 4
    assert (tmp_path / REVIEWS).read_bytes() == server.files["/" + REVIEWS]


def test_a_server_without_ranges_starts_again(tmp_path, server):
    server.ranges = False
    server.cuts = [50]
    assert len(fetch(tmp_path, server, n_retries=1).data) == 4
    assert (tmp_path / REVIEWS).read_bytes() == server.files["/" + REVIEWS]


def test_a_part_that_is_whole_already_is_used(tmp_path, server):
    (tmp_path / (REVIEWS + ".part")).write_bytes(server.files["/" + REVIEWS])
    assert len(fetch(tmp_path, server).data) == 4
    assert len(server.requests) == 2


def test_a_part_of_another_longer_file_is_dropped(tmp_path, server):
    (tmp_path / (REVIEWS + ".part")).write_bytes(bytes(10_000))
    assert len(fetch(tmp_path, server, n_retries=1).data) == 4


def test_a_part_of_another_file_of_less_length_is_noticed(tmp_path, server):
    (tmp_path / (REVIEWS + ".part")).write_bytes(bytes(30))
    with pytest.raises(ValueError, match=r"not a whole gzip file .* removed"):
        fetch(tmp_path, server)
    assert names(tmp_path) == []
    assert len(fetch(tmp_path, server).data) == 4


def test_a_file_declared_as_encoded_is_stored_as_it_is(tmp_path, server):
    # Some servers call a .gz file gzip-encoded text, which HTTP clients then unpack.
    server.content_encoding = "x-gzip"
    fetch(tmp_path, server)
    assert (tmp_path / REVIEWS).read_bytes() == server.files["/" + REVIEWS]


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:-20], lambda b: b[:40] + b"\xff\xff" + b[42:], lambda b: b"<html>sorry</html>"],
    ids=["truncated", "flipped", "a web page"],
)
def test_a_broken_archive_is_never_put_in_place(tmp_path, server, spoil):
    server.files["/" + REVIEWS] = spoil(server.files["/" + REVIEWS])
    with pytest.raises(ValueError, match=f"{REVIEWS} is not a whole gzip file"):
        fetch(tmp_path, server)
    assert names(tmp_path) == []


def test_a_known_hash_is_checked(tmp_path, server):
    right = "sha256:" + hashlib.sha256(server.files["/" + REVIEWS]).hexdigest()
    with pytest.raises(ValueError, match="does not match the known hash"):
        fetch(tmp_path, server, known_hashes={REVIEWS: "sha256:" + "0" * 64})
    assert names(tmp_path) == []
    assert len(fetch(tmp_path, server, known_hashes={REVIEWS: right}).data) == 4


def test_a_server_error_is_tried_again(tmp_path, server):
    server.failures = [503]
    assert len(fetch(tmp_path, server, n_retries=1).data) == 4


def test_a_missing_page_says_how_to_go_on_and_is_not_tried_again(tmp_path, server):
    del server.files["/" + META]
    with pytest.raises(OSError, match=r"404.*base_url.*put it into root"):
        fetch(tmp_path, server)
    assert [path for path, _ in server.requests] == ["/" + REVIEWS, "/" + META]


def test_an_unreachable_server_says_how_to_go_on(tmp_path, server):
    url = server.url
    server.close()
    with pytest.raises(OSError, match="call again to go on from there, or give another base_url"):
        fetch_amazon_items("beauty", root=tmp_path, base_url=url, n_retries=1, delay=0.0, verbose=0)


def test_progress_is_shown(tmp_path, server, capsys):
    fetch_amazon_items("beauty", root=tmp_path, base_url=server.url)
    assert "reviews_Beauty_5.json.gz: 100%" in capsys.readouterr().err


def test_silence_is_kept(tmp_path, server, capsys):
    fetch(tmp_path, server)
    assert capsys.readouterr() == ("", "")


def test_a_missing_file_is_named_with_its_address(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"{REVIEWS} doesn't exist; put https://.*{REVIEWS}"
    ):
        fetch(tmp_path, download_if_missing=False)


def test_a_missing_pooch_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"sklearn-rqvae\[data\]"):
        fetch(tmp_path)


def test_a_damaged_file_on_disk_is_named(catalog_root):
    path = catalog_root / META
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(OSError, match=rf"{META} is damaged .* delete it"):
        fetch(catalog_root)


def test_a_catalog_that_could_not_be_stored_leaves_no_file(catalog_root, monkeypatch):
    before = sorted(catalog_root.iterdir())

    def sync(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="disk full"):
        fetch(catalog_root)
    assert sorted(catalog_root.iterdir()) == before


def test_a_damaged_stored_catalog_is_named(catalog_root):
    fetch(catalog_root)
    (catalog_root / "catalog_beauty.json.gz").write_bytes(b"nothing")
    with pytest.raises(OSError, match=r"catalog_beauty.json.gz is damaged .* delete it"):
        fetch(catalog_root)


def test_a_stored_catalog_of_another_layout_is_named(catalog_root):
    (catalog_root / "catalog_beauty.json.gz").write_bytes(gzip.compress(b"[1, 2]"))
    with pytest.raises(OSError, match=r"catalog_beauty.json.gz is damaged .* delete it"):
        fetch(catalog_root)
    (catalog_root / "catalog_beauty.json.gz").write_bytes(gzip.compress(b"{}"))
    assert len(fetch(catalog_root).data) == 120


@pytest.mark.parametrize("time", ['"yesterday"', "null", "[5]", "NaN", "1e999"])
def test_a_time_that_is_no_number_is_named_by_file_and_line(catalog_root, time):
    good = b'{"asin": "B1", "reviewerID": "U", "unixReviewTime": 5}\n'
    path = catalog_root / REVIEWS
    path.write_bytes(gzip.compress(good + good.replace(b"5", time.encode())))
    with pytest.raises(ValueError, match=rf"line 2 of .*{REVIEWS} has unixReviewTime=.* seconds"):
        fetch(catalog_root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"asin": ' + b"1" * 5000 + b"}\n", "line 1 of .* is neither JSON nor a Python literal"),
        (b"{[1]: 2}\n", "line 1 of .* is neither JSON nor a Python literal"),
        (b'{"asin": "B1"}\n', "line 1 of .* has no 'unixReviewTime'; is it a file of reviews"),
        (b"[1, 2]\n", "line 1 of .* is no record of named fields"),
        (b"\n", "holds no review"),
    ],
)
def test_other_files_are_refused(catalog_root, line, message):
    (catalog_root / REVIEWS).write_bytes(gzip.compress(line))
    with pytest.raises(ValueError, match=message):
        fetch(catalog_root)


def test_default_root_is_in_the_data_home(tmp_path, monkeypatch, server):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    fetch(None, server)
    assert (tmp_path / "amazon_2014" / REVIEWS).exists()


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="split='books' should be one of 'beauty', 'sports'"):
        fetch_amazon_items("books", root=tmp_path)
    for fields in ("title", [], ["titel"]):
        with pytest.raises(ValueError, match=r"text_fields=.* should be a sequence of names among"):
            fetch_amazon_items("beauty", root=tmp_path, text_fields=fields)
