"""A catalog comes back from its file, and a file whose parts don't fit together is damaged."""

import json
import pickle

import numpy as np
import pytest

from sklearn_rqvae._files._archive import open_archive, write_archive
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id import SemanticIDIndex

CODEBOOKS = [np.zeros((3, 2), np.float32), np.ones((2, 2), np.float32)]


@pytest.fixture
def saved(tmp_path):
    index = SemanticIDIndex().fit([[0, 1], [2, 1], [2, 1]], ["a", "b", "c"], codebooks=CODEBOOKS)
    index.save(tmp_path / "index")
    return index, tmp_path / "index"


def parts(path):
    with open_archive(path, "an index") as archive:
        return archive.header, {name: archive.read(name) for name in archive.names}


def test_what_was_written_comes_back(saved):
    index, path = saved
    write_archive(path, *parts(path))
    found = SemanticIDIndex.load(path)
    np.testing.assert_array_equal(found.ids_, index.ids_)
    assert found.report_ == index.report_
    assert found.items((2,)).tolist() == ["b", "c"]


@pytest.mark.parametrize("value", [None, "x", [None], {"a": 1}])
def test_a_header_of_other_values_is_damage(saved, value):
    _, path = saved
    header, arrays = parts(path)
    for name in set(header) - {"sizes_given"}:  # a flag, which anything can be taken for
        if value is None and name in ("suffix_size", "model"):
            continue
        write_archive(path, {**header, name: value}, arrays)
        with pytest.raises(CheckpointError):
            SemanticIDIndex.load(path)


def test_arrays_that_lack_or_do_not_fit_are_damage(saved):
    _, path = saved
    header, arrays = parts(path)
    for name in arrays:
        scalar = {**arrays, name: np.float32(1.5)}
        without = {other: array for other, array in arrays.items() if other != name}
        for some in (scalar, without):
            if "item_order" in some:  # ids in order have none
                write_archive(path, header, some)
                with pytest.raises(CheckpointError):
                    SemanticIDIndex.load(path)


def crafted(part, name, value):
    """Return a crafting that replaces an entry of the header, or an array."""

    def craft(header, arrays):
        old = (header if part == "header" else arrays).get(name)
        (header if part == "header" else arrays)[name] = value(old) if callable(value) else value

    return pytest.param(craft, id=f"{name}-{value if not callable(value) else part}")


@pytest.mark.parametrize(
    "craft",
    [
        crafted("header", "format_version", 0),
        crafted("header", "format_version", -1),
        crafted("header", "format_version", True),
        crafted("header", "format_version", float("nan")),
        crafted("header", "format_version", 99),
        crafted("header", "fields", [16] * 3),
        crafted("header", "fields", [16] * 4),
        crafted("header", "fields", [3, 2]),
        crafted("header", "fields", [3, 2, 0]),
        crafted("header", "fields", [3, 2, True]),
        crafted("header", "fields", [3, 2, 2**40]),
        crafted("header", "sizes", [1, 1, 1]),
        crafted("header", "sizes", [1, 1]),
        crafted("header", "sizes", [-1] * 3),
        crafted("header", "sizes", [3, 2.0]),
        crafted("header", "sizes", [3, float("nan")]),
        crafted("header", "sizes", "xyz"),
        crafted("header", "sizes", []),
        crafted("header", "sizes_given", 1),
        crafted("header", "collisions", "nonsense"),
        crafted("header", "collisions", "none"),
        crafted("header", "suffix_size", -1),
        crafted("header", "suffix_size", True),
        crafted("header", "n_candidates", 0),
        crafted("header", "n_suffixes", -1),
        crafted("header", "n_suffixes", 1),
        crafted("header", "n_suffixes", 1.5),
        crafted("header", "n_codebooks", 1),
        crafted("header", "n_codebooks", 3),
        crafted("header", "n_codebooks", 10**12),
        crafted("header", "strings", ["keys"]),
        crafted("header", "strings", ["item_ids", "item_ids"]),
        crafted("header", "report", lambda report: {**report, "n_items": -1}),
        crafted("header", "report", lambda report: {**report, "n_items": "3"}),
        crafted("header", "report", lambda report: {**report, "error_after": float("nan")}),
        crafted("header", "report", lambda report: {**report, "more": 1}),
        crafted("arrays", "keys", lambda keys: keys | np.uint64(3 << 62)),
        crafted("arrays", "keys", lambda keys: keys | np.uint64(3 << 33)),
        crafted("arrays", "keys", lambda keys: keys[:, None]),
        crafted("arrays", "keys", lambda keys: keys.astype(np.int64)),
        crafted("arrays", "keys", lambda keys: keys[:2]),
        crafted("arrays", "order", lambda order: order[None]),
        crafted("arrays", "order", lambda order: order.astype(np.float64)),
        crafted("arrays", "order", lambda order: order - 1),
        crafted("arrays", "order", lambda order: order * 0),
        crafted("arrays", "retired", lambda retired: np.array([2**63], np.uint64)),
        crafted("arrays", "retired", lambda retired: np.array([1, 1], np.uint64)),
        crafted("arrays", "retired", lambda retired: np.array([[]], np.uint64)),
        crafted("arrays", "item_order", np.array([2, 1, 0])),
        crafted("arrays", "item_ids.ends", lambda ends: ends[::-1]),
        crafted("arrays", "item_ids.ends", lambda ends: ends + 1),
        crafted("arrays", "item_ids.ends", lambda ends: ends.astype(np.float64)),
        crafted("arrays", "item_ids.utf8", lambda utf8: utf8 | 0x80),
        crafted("arrays", "item_ids.utf8", lambda utf8: utf8 * 0 + 97),
        crafted("arrays", "codebook_0", lambda book: book * np.float32("nan")),
        crafted("arrays", "codebook_0", lambda book: book[:2]),
        crafted("arrays", "codebook_0", lambda book: np.zeros((4, 2), np.float32)),
        crafted("arrays", "codebook_0", lambda book: book[:, :1]),
        crafted("arrays", "codebook_1", lambda book: book[0]),
        crafted("arrays", "codebook_1", lambda book: book.astype("S4")),
    ],
)
def test_crafted_catalogs_are_refused(saved, craft):
    _, path = saved
    header, arrays = parts(path)
    craft(header, arrays)
    write_archive(path, header, arrays)
    with pytest.raises(CheckpointError):
        SemanticIDIndex.load(path)


def test_crafted_pickles_are_refused_too(saved):
    index, _ = saved
    state = index.__getstate__()
    state["_header"] = {**state["_header"], "fields": [16] * 3}
    with pytest.raises(CheckpointError, match="IDs are packed for"):
        SemanticIDIndex().__setstate__(state)


def test_wide_ids_come_back(tmp_path):
    # Keys of more than 64 bits are strings of bytes.
    ids = np.array([[2**31, 5, 2**32 - 1], [0, 2**32 - 1, 7]])
    index = SemanticIDIndex().fit(ids, ["ü", "a\0"])
    index.remove(["ü"]).save(tmp_path / "index")
    found = SemanticIDIndex.load(tmp_path / "index")
    assert found.item_ids_.tolist() == ["a\0"]
    np.testing.assert_array_equal(found.ids_, index.ids_)
    assert found.fingerprint == index.fingerprint
    header, arrays = parts(tmp_path / "index")
    header["sizes"] = header["fields"][:3] = [2**31, 2**32, 2**32]
    write_archive(tmp_path / "index", header, arrays)
    with pytest.raises(CheckpointError, match="beyond its"):
        SemanticIDIndex.load(tmp_path / "index")


def test_all_items_removed_come_back_as_none(saved, tmp_path):
    index, _ = saved
    index.remove(["a", "b", "c"]).save(tmp_path / "empty")
    found = SemanticIDIndex.load(tmp_path / "empty")
    assert len(found) == 0
    assert found.fingerprint == index.fingerprint


# The fingerprint


def build(order=slice(None), **kwargs):
    codes, names = np.array([[0, 1], [2, 1], [2, 1]])[order], np.array(["a", "b", "c"])[order]
    return SemanticIDIndex(**kwargs).fit(codes, names.tolist())


def test_a_fingerprint_names_ids_items_and_rules_and_nothing_else(tmp_path):
    index = build()
    same = [build([2, 0, 1]), build(n_candidates=4), pickle.loads(pickle.dumps(index))]
    index.save(tmp_path / "index")
    same.append(SemanticIDIndex.load(tmp_path / "index"))
    assert {other.fingerprint for other in same} == {index.fingerprint}
    others = [
        build(suffix_size=9),
        build(codebook_sizes=4),
        build(codebook_sizes=[3, 2]),
        SemanticIDIndex().fit([[0, 1], [2, 1], [2, 1]], ["a", "b", "d"]),
        SemanticIDIndex().fit([[0, 1], [2, 1], [2, 0]], ["a", "b", "c"]),
        SemanticIDIndex("none").fit([[0, 1], [2, 1], [2, 1]], ["a", "b", "c"]),
        SemanticIDIndex().fit([[0, 1], [2, 1], [2, 1]], ["a", "b", "c"], codebooks=CODEBOOKS),
        build().remove(["c"]),
        build().remove(["c"], release=True),
        SemanticIDIndex().fit([[0, 1], [2, 1], [2, 1]]),
    ]
    assert len({other.fingerprint for other in (index, *others)}) == 1 + len(others)


def test_a_fingerprint_is_the_same_in_every_process_and_on_every_machine():
    wanted = "283385c333f6aade97e97685139055a6f8438e44190baa42a456eb1db0ae4dac"
    assert build().fingerprint == wanted


def test_parquet_exports_name_the_catalog(saved, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    index, _ = saved
    index.export(tmp_path / "ids.parquet", "parquet")
    metadata = parquet.read_schema(tmp_path / "ids.parquet").metadata[b"sklearn_rqvae"]
    assert json.loads(metadata)["fingerprint"] == index.fingerprint
    found = SemanticIDIndex.read(tmp_path / "ids.parquet", "parquet")
    np.testing.assert_array_equal(found.ids_, index.ids_)
