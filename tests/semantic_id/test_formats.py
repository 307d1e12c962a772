"""Every format against what its consumers read, and back."""

import copy
import csv
import json
import subprocess
import sys
import zipfile
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id import (
    SemanticIDIndex,
    level_letters,
    token_ids_to_ids,
    token_names,
    tokens_to_ids,
)

HOSTILE = ["", "<a_1>", "a\0", "a", "é", "\U0001f600", "x" * 3000, "1,2", '"\n', "\r", "7", "null"]
FILES = ["index.json", "flashrec", "parquet", "csv", "jsonl"]


@st.composite
def indexes(draw):
    as_text = draw(st.booleans())
    kind = (
        st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5))
        if as_text
        else st.integers(-(2**63), 2**63 - 1)
    )
    items = draw(st.lists(kind, unique=True, min_size=1, max_size=12))
    n_levels = draw(st.integers(1, 4))
    code = st.integers(0, 3)
    codes = [draw(st.tuples(*[code] * n_levels)) for _ in items]
    return SemanticIDIndex("suffix", codebook_sizes=5).fit(codes, items)


def hostile_index():
    return SemanticIDIndex().fit([[0, 1]] * len(HOSTILE), HOSTILE)


def same(index, other):
    assert other.item_ids_.tolist() == index.item_ids_.tolist()
    assert [type(item) for item in other.item_ids_.tolist()] == [
        type(item) for item in index.item_ids_.tolist()
    ]
    np.testing.assert_array_equal(other.ids_, index.ids_)
    assert other.collisions == index.collisions


@pytest.mark.parametrize("file_format", FILES)
@given(index=indexes())
@example(index=hostile_index())
def test_files_round_trip(file_format, index, tmp_path_factory):
    if file_format == "parquet":
        pytest.importorskip("pyarrow")
    index = copy.deepcopy(index)  # the example is the same one for all formats
    path = tmp_path_factory.mktemp("formats") / "catalog"
    index.export(path, file_format)
    kind = "str" if isinstance(index.item_ids_.tolist()[0], str) else "int"
    other = SemanticIDIndex.read(path, file_format, collisions="suffix", item_type=kind)
    same(index, other)
    if file_format == "parquet":
        remembered = SemanticIDIndex.read(path, file_format)
        same(index, remembered)
        assert remembered.level_sizes_ == index.level_sizes_
    # What was read continues as the original does.
    new_item = "new item" if kind == "str" else -12345
    if new_item not in index:
        row = index.codes_[:1]
        assert (
            other.append(row, [new_item], grow=True).tolist()
            == index.append(row, [new_item], grow=True).tolist()
        )


@given(indexes())
@example(hostile_index())
@example(SemanticIDIndex().fit([[0], [0]], [2**63 - 1, -(2**63)]))
def test_frames_round_trip(index):
    pytest.importorskip("pandas")
    frame = index.to_frame()
    assert next(iter(frame.columns)) == "item_id"
    assert list(frame.columns)[-1] == "suffix"
    same(index, SemanticIDIndex.from_frame(frame))
    polars = pytest.importorskip("polars")
    same(index, SemanticIDIndex.from_frame(polars.from_pandas(frame)))


@given(indexes(), st.integers(0, 10**6))
@example(SemanticIDIndex(codebook_sizes=5).fit([[4, 4, 4, 4]] * 12), 10**6)
def test_token_ids_round_trip_and_ranges_do_not_overlap(index, offset):
    tokens = index.to_token_ids(offset)
    ends = offset + np.cumsum(index.level_sizes_)
    assert (tokens >= ends - index.level_sizes_).all()
    assert (tokens < ends).all()
    back = SemanticIDIndex.from_token_ids(
        tokens, index.level_sizes_, index.item_ids_, offset=offset, collisions="suffix"
    )
    same(index, back)
    np.testing.assert_array_equal(token_ids_to_ids(tokens, index.level_sizes_, offset), index.ids_)


@given(indexes())
@example(hostile_index())
@example(SemanticIDIndex().fit([[0], [0]], [2**63 - 1, -(2**63)]))
def test_arrays_round_trip(index):
    back = SemanticIDIndex.from_ids(index.ids_, index.item_ids_, collisions="suffix")
    same(index, back)


def test_npy_is_the_array_that_tiger_style_trainers_read(tmp_path):
    index = SemanticIDIndex().fit([[3, 1], [3, 1], [0, 2]])
    index.export(tmp_path / "ids.npy", "npy")
    array = np.load(tmp_path / "ids.npy")
    assert array.tolist() == [[3, 1, 0], [3, 1, 1], [0, 2, 0]]
    same(index, SemanticIDIndex.read(tmp_path / "ids.npy", "npy", collisions="suffix"))


def test_index_json_serves_a_reader_in_the_manner_of_lcrec(tmp_path):
    # Such a reader looks items up by the text of their number, joins tokens, and collects new ones.
    rng = np.random.default_rng(0)
    index = SemanticIDIndex().fit(rng.integers(0, 4, size=(50, 3)))
    index.export(tmp_path / "Beauty.index.json", "index.json")
    indices = json.loads((tmp_path / "Beauty.index.json").read_text())
    texts = ["".join(indices[str(item)]) for item in range(50)]
    assert len(set(texts)) == 50
    row = index[7]
    assert texts[7] == "<a_{}><b_{}><c_{}><d_{}>".format(*row)
    new_tokens = {token for tokens in indices.values() for token in tokens}
    assert new_tokens <= {name for level in index.token_names() for name in level}
    by_position = [{tokens[level] for tokens in indices.values()} for level in range(4)]
    assert not set.intersection(*by_position)


def test_published_index_files_are_read(tmp_path):
    # Lines as the public files of LETTER and MiniOneRec have them, collisions included.
    content = {"0": ["<a_60>", "<b_159>"], "1": ["<a_60>", "<b_159>"], "2": ["<a_48>", "<b_1>"]}
    path = tmp_path / "x.index.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"2 of 3 items share.*'0' and '1' with \(60, 159\)"):
        SemanticIDIndex.read(path, "index.json")
    shared = SemanticIDIndex.read(path, "index.json", collisions="none", item_type="int")
    assert shared.items((60, 159)).tolist() == [0, 1]
    assert shared[2] == (48, 1)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('{"0": ["<a_1>"], "0": ["<a_2>"]}', "unique"),
        ('{"0": ["<a_1>"], "1": ["<a_1>", "<b_1>"]}', "from 1 to 2 codes"),
        ('{"0": ["<a_1>"], "1": ["<b_1>"]}', "mix levels"),
        ('{"0": ["none"]}', "not a token"),
        ('{"0": 5}', "list of tokens"),
        ("[1, 2]", "list of tokens"),
        ("{}", "no items"),
        ('{"0": [', "not valid JSON"),
    ],
)
def test_malformed_index_json_is_an_error(tmp_path, content, match):
    path = tmp_path / "x.index.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=match):
        SemanticIDIndex.read(path, "index.json")


def test_items_that_look_like_numbers_are_text_unless_told_otherwise(tmp_path):
    path = tmp_path / "x.index.json"
    SemanticIDIndex().fit([[0], [1]], ["10", "7"]).export(path, "index.json")
    assert SemanticIDIndex.read(path, "index.json").item_ids_.tolist() == ["10", "7"]
    as_numbers = SemanticIDIndex.read(path, "index.json", item_type="int")
    assert as_numbers.item_ids_.tolist() == [10, 7]
    with pytest.raises(KeyError, match="items are text: ask for '10'"):
        as_numbers.__class__.read(path, "index.json")[10]
    SemanticIDIndex().fit([[0], [1]], ["10", "07"]).export(path, "index.json")
    assert SemanticIDIndex.read(path, "index.json").item_ids_.tolist() == ["10", "07"]
    with pytest.raises(ValueError, match="'07' is no integer"):
        SemanticIDIndex.read(path, "index.json", item_type="int")


def test_letters_of_800_levels_differ_and_their_tokens_parse():
    letters = [level_letters(level) for level in range(800)]
    assert len(set(letters)) == 800
    assert letters[:3] == ["a", "b", "c"]
    assert letters[25:28] == ["z", "aa", "ab"]
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, size=(20, 60))
    index = SemanticIDIndex("none").fit(ids)
    assert index.to_tokens()[0][26] == f"<aa_{ids[0, 26]}>"
    np.testing.assert_array_equal(tokens_to_ids(index.to_tokens()), ids)
    np.testing.assert_array_equal(tokens_to_ids(index.to_tokens("[{letter}:{code}]")), ids)


@pytest.mark.parametrize("file_format", ["index.json", "parquet", "csv", "jsonl", "npy", "recbole"])
def test_suffixes_whose_items_have_gone_are_read(tmp_path, file_format):
    # The generator has a token for the suffix 2: a vocabulary for (1, 2, 2) isn't its own.
    index = SemanticIDIndex().fit([[0, 0], [0, 0], [0, 0], [0, 1]], list("abcd"))
    index.remove(["c"])
    index.export(tmp_path / "ids", file_format)
    items = index.item_ids_ if file_format == "npy" else None
    back = SemanticIDIndex.read(tmp_path / "ids", file_format, item_ids=items)
    assert back.level_sizes_ == index.level_sizes_ == (1, 2, 3)
    index.vocabulary(5).check(back)
    given = SemanticIDIndex.from_token_ids(
        index.to_token_ids(5), [1, 2, 3], list("abd"), offset=5, collisions="suffix"
    )
    assert given.level_sizes_ == (1, 2, 3)
    assert given.append([[0, 0]], ["e"]).tolist() == [[0, 0, 2]]


def test_tokens_cost_no_memory_for_codes_that_no_item_has():
    # The names of all codes below the largest were made: four billion here.
    index = SemanticIDIndex().fit([[0, 2**32 - 1], [7, 2**31]])
    assert index.to_tokens() == [
        ["<a_0>", "<b_4294967295>", "<c_0>"],
        ["<a_7>", "<b_2147483648>", "<c_0>"],
    ]
    np.testing.assert_array_equal(tokens_to_ids(index.to_tokens()), index.ids_)


def test_token_names_cover_every_code():
    assert token_names([2, 1]) == [["<a_0>", "<a_1>"], ["<b_0>"]]
    with pytest.raises(ValueError, match="letter"):
        token_names([2, 1], "<{code}>")


FLASHREC_CHECK = """
import importlib, json, sys, types
root, catalog, model = sys.argv[1:]
sys.path.insert(0, root)
from flashrec.catalog import load_unique_sids, infer_levels
from flashrec.sid_layout import infer_sid_layout
from pathlib import Path
sids, n, bad, packed = load_unique_sids(Path(catalog))
layout = infer_sid_layout(model, catalog)
print(json.dumps([sids, n, bad, infer_levels(sids, packed_only=packed), layout.token_range,
                  layout.codebook_sizes]))
"""


def test_flashrec_parses_catalog_and_tokens(tmp_path):
    # Its parser is plain Python; a copy of the wheel need not be installed with its GPU packages.
    import importlib.util

    spec = importlib.util.find_spec("flashrec")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("flashrec is not on this machine")
    rng = np.random.default_rng(0)
    index = SemanticIDIndex("none", codebook_sizes=16).fit(rng.integers(0, 16, size=(300, 3)))
    index.export(tmp_path / "catalog.json", "flashrec")
    names = [name for level in index.token_names("<s_{letter}_{code}>") for name in level]
    names += ["<|sid_begin|>", "<|sid_end|>"]
    added = {name: 1000 + place for place, name in enumerate(names)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    root = str(next(iter(spec.submodule_search_locations))) + "/.."
    output = subprocess.run(
        [sys.executable, "-c", FLASHREC_CHECK, root, tmp_path / "catalog.json", tmp_path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    sids, n, bad, levels, token_range, sizes = json.loads(output)
    assert sids == np.unique(index.ids_, axis=0).tolist()
    assert (n, bad, levels) == (len(sids), 0, 3)
    assert (token_range, sizes) == ("1000:1047", "16,16,16")


def test_flashrec_catalog_by_its_documented_form(tmp_path):
    index = SemanticIDIndex("none").fit([[1, 2], [1, 2], [0, 5]], ["a", "b", "c"])
    path = tmp_path / "catalog.json"
    index.export(path, "flashrec")
    assert json.loads(path.read_text()) == {
        "1,2": [{"pid": "a"}, {"pid": "b"}],
        "0,5": [{"pid": "c"}],
    }
    path = tmp_path / "of_others.json"
    path.write_text('{"1,2": 1, "0,5": 1}')
    unnamed = SemanticIDIndex.read(path, "flashrec")
    assert unnamed.ids_.tolist() == [[1, 2], [0, 5]]
    path.write_text('{"1,2": 1, "0,5": [{"pid": 3}]}')
    with pytest.raises(ValueError, match="some IDs only"):
        SemanticIDIndex.read(path, "flashrec")
    path.write_text('{"1027": 1}')
    with pytest.raises(ValueError, match="has no comma"):
        SemanticIDIndex.read(path, "flashrec")
    with pytest.raises(ValueError, match="2 codes or more"):
        SemanticIDIndex("none").fit([[1]]).export(path, "flashrec")


def test_csv_is_what_the_standard_reader_reads(tmp_path):
    index = SemanticIDIndex().fit([[0, 1]] * len(HOSTILE), HOSTILE)
    index.export(tmp_path / "ids.csv", "csv")
    with open(tmp_path / "ids.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(StringIO(file.read(), newline="")))
    assert [row["item_id"] for row in rows] == HOSTILE
    assert [int(row["suffix"]) for row in rows] == index.ids_[:, 2].tolist()


def test_parquet_holds_a_list_column_for_any_reader(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    index = SemanticIDIndex().fit([[0, 1], [2, 3]], ["x", "y"])
    index.export(tmp_path / "ids.parquet", "parquet")
    table = parquet.read_table(tmp_path / "ids.parquet")
    assert table.to_pydict() == {"item_id": ["x", "y"], "semantic_id": [[0, 1, 0], [2, 3, 0]]}


def test_unknown_formats_and_bad_token_ids_are_errors(tmp_path):
    index = SemanticIDIndex().fit([[0]])
    with pytest.raises(ValueError, match=r"'xml' should be one of 'index\.json'"):
        index.export(tmp_path / "x", "xml")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="level 1 have 9"):
        token_ids_to_ids([[0, 9]], [5, 4])
    with pytest.raises(ValueError, match="2 levels"):
        token_ids_to_ids([[0, 9, 1]], [5, 4])
    assert token_ids_to_ids([[1.0, 5.0]], [5, 4]).tolist() == [[1, 0]]
    for tokens in ([[0.5, 5]], [[np.nan, 5]], [["0", "5"]], [[True, False]]):
        with pytest.raises(ValueError, match="token_ids should be whole numbers"):
            SemanticIDIndex.from_token_ids(tokens, [5, 4])


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_frames_of_lists_are_read_whatever_holds_the_codes(kind):
    ids = [[3, 1], [0, 2]]
    frame = pd.DataFrame({"item_id": ["a", "b"], "semantic_id": list(map(kind, ids))})
    assert SemanticIDIndex.from_frame(frame).ids_.tolist() == ids
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"item_id": ["a", "b"], "semantic_id": ids})
    assert SemanticIDIndex.from_frame(frame).ids_.tolist() == ids


def test_a_frame_with_two_columns_of_one_name_is_refused():
    frame = pd.DataFrame([["a", 0, 1]], columns=["item_id", "code_0", "code_0"])
    with pytest.raises(ValueError, match="two columns of one name among 'item_id', 'code_0'"):
        SemanticIDIndex.from_frame(frame)


@given(index=indexes())
@example(index=hostile_index())
@example(index=SemanticIDIndex().fit([[3]], [5]))  # nothing is left of it after the removal
def test_saved_index_is_the_same(index, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "catalog.sid"
    codebooks = [np.ones((5, 2))] * index.n_levels_
    index = SemanticIDIndex(codebook_sizes=5).fit(
        index.codes_, index.item_ids_, codebooks=codebooks
    )
    index.remove(index.item_ids_[:1].tolist())
    index.save(path)
    other = SemanticIDIndex.load(path)
    same(index, other)
    assert other.report_ == index.report_
    assert other.level_sizes_ == index.level_sizes_
    assert other.capacity() == index.capacity()
    np.testing.assert_array_equal(other.codebooks_[0], codebooks[0])
    row = index.codebooks_[0][:1, :1].astype(int).repeat(index.n_levels_, axis=1)
    new = ["an item"] if index.item_ids_.dtype == object else [-3]
    if new[0] not in index:
        assert (
            other.append(row, new, grow=True).tolist() == index.append(row, new, grow=True).tolist()
        )


def test_saved_file_has_no_pickle_and_a_version(tmp_path):
    path = tmp_path / "catalog.sid"
    SemanticIDIndex().fit([[0], [1]], ["a", "b"]).save(path)
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    assert np.lib.format.read_array(file, allow_pickle=False).dtype != object
    assert header["format_version"] == 2


def rewrite(path, change):
    """Write a saved file again with changed members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array):
    from io import BytesIO

    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def later_version(members):
    header = json.loads(members["header.json"])
    members["header.json"] = json.dumps({**header, "format_version": 99}).encode()


def shorter_header(members):
    header = json.loads(members["header.json"])
    del header["report"]
    members["header.json"] = json.dumps(header).encode()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (later_version, "version 99.*upgrade"),
        (lambda m: m.pop("keys.npy"), "lacks keys"),
        (lambda m: m.update({"keys.npy": npy(np.arange(3))}), "wrong type"),
        (lambda m: m.update({"retired.npy": npy(np.array([2, 1], np.uint64))}), "retired keys"),
        (shorter_header, "header lacks report"),
        (lambda m: m.pop("header.json"), "not a saved"),
        (lambda m: m.update({"header.json": b"{}"}), "not a saved"),
        (lambda m: m.update({"order.npy": npy(np.array([0, 0, 1]))}), "no permutation"),
        (lambda m: m.update({"order.npy": npy(np.array([2, 1, 0]))}), "out of order"),
        (lambda m: m.update({"keys.npy": npy(np.array([1, 1, 1], np.uint64))}), "ID twice"),
        (lambda m: m.update({"item_ids.npy": npy(np.array([3, 3, 4]))}), "item ids out of"),
        (lambda m: m.update({"retired.npy": npy(np.array([None]))}), "damaged"),
        (lambda m: m.update({"keys.npy": m["keys.npy"][:90]}), "damaged"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, match):
    path = tmp_path / "catalog.sid"
    SemanticIDIndex().fit([[0], [1], [2]]).save(path)
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=match):
        SemanticIDIndex.load(path)


def test_a_truncated_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "catalog.sid"
    SemanticIDIndex().fit([[0], [1], [2]]).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PK", b'{"a": 1}'):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a saved SemanticIDIndex"):
            SemanticIDIndex.load(path)


@pytest.mark.parametrize("writer", ["save", "export"])
def test_a_crash_while_saving_leaves_the_old_file_whole(tmp_path, monkeypatch, writer):
    path = tmp_path / "catalog"
    old = SemanticIDIndex().fit([[0], [1]], ["a", "b"])
    new = SemanticIDIndex().fit([[0]], ["c"])
    write = {
        "save": lambda index: index.save(path),
        "export": lambda index: index.export(path, "npy"),
    }[writer]
    write(old)
    before = path.read_bytes()

    def crash(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", crash)
    with pytest.raises(OSError, match="disk full"):
        write(new)
    monkeypatch.undo()
    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        write(new)
    assert path.read_bytes() == before
    beside = {"_catalog.vocabulary.json"} if writer == "export" else set()
    assert {file.name for file in tmp_path.iterdir()} == {"catalog", *beside}


def test_a_killed_process_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "catalog.sid"
    SemanticIDIndex().fit([[0], [1]], ["a", "b"]).save(path)
    before = path.read_bytes()
    code = (
        "import os, sys, numpy as np\n"
        "from sklearn_rqvae.semantic_id import SemanticIDIndex\n"
        "write = np.lib.format.write_array\n"
        "def die(*args, **kwargs):\n"
        "    write(*args, **kwargs)\n"
        "    os._exit(9)\n"
        "np.lib.format.write_array = die\n"
        "SemanticIDIndex().fit([[5]], ['c']).save(sys.argv[1])\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert path.read_bytes() == before
    assert SemanticIDIndex.load(path)["b"] == (1, 0)


DAMAGED = {
    "index.json": [
        b"", b"[]", b"{}", b'{"a": 1}', b'{"a": [1]}',
        b'{"a": ["x"]}', b'{"a": ["<a_1>"]',
    ],
    "flashrec": [
        b"", b"[]", b"{}", b'{"1,2": [{"pie": 1}]}', b'{"1,2": [1]}', b'{"1": [{"pid": 1}]}',
        b'{"1,2": [{"pid": {}}]}', b'{"1_0,2": [{"pid": 1}]}', b'{"1,2": [{"pid": 1}], "1,3": 1}',
        b'{"1,2": [{"pid": 1}], "1,2": [{"pid": 2}]}', b'{"1,2": [{"pid": 1}, {"pid": "a"}]}',
        b'{"99999999999999999999,2": [{"pid": 1}]}',
    ],
    "npy": [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\x06\x00{'a':(", b"\x80\x04N."],
    "parquet": [b"", b"PAR1", b"PAR1PAR1"],
    "csv": [
        b"", b"x\n", b"item_id,code_0\na\n", b"item_id,code_0\na,\n", b"item_id,code_0\na,1.5\n",
        b"item_id,code_0\na,1_0\n", b"item_id,code_0\na,-1\n", b"item_id,code_0\na,1\na,2\n",
        b"item_id,code_0\n\xff,1\n", b"item_id,code_0\na," + b"9" * 30 + b"\n",
        b"sku,code_0\na,1\n",
    ],
    "jsonl": [
        b"", b"1", b"{", b'{"id": 1}', b'{"id": 1, "semantic_id": 3}',
        b'{"id": [], "semantic_id": [1]}',
        b'{"id": 1, "semantic_id": [1.5]}', b'{"id": 1, "semantic_id": [true]}',
        b'{"id": 1, "semantic_id": [1], "id": 2}', b'{"id": null, "semantic_id": [1]}',
        b'{"id": 1, "semantic_id": [1]}\n{"id": 2, "semantic_id": [1, 2]}',
        b'{"id": 1, "semantic_id": [99999999999999999999]}',
        b'{"id": "\\ud83d", "semantic_id": [1]}',
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("file_format", "content"), [(name, c) for name, cs in DAMAGED.items() for c in cs]
)
def test_what_is_no_file_of_the_format_is_a_value_error_that_names_it(
    tmp_path, file_format, content
):
    if file_format == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / "catalog"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        SemanticIDIndex.read(path, file_format)


@pytest.mark.parametrize("file_format", [*FILES, "npy"])
def test_damage_raises_no_other_error(tmp_path, file_format):
    if file_format == "parquet":
        pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    index = SemanticIDIndex().fit(rng.integers(0, 6, (40, 3)), [f"item {i}é" for i in range(40)])
    path = tmp_path / "catalog"
    index.export(path, file_format)
    whole = path.read_bytes()
    n_refused = 0
    for _ in range(150):
        start, other = rng.integers(len(whole), size=2)
        path.write_bytes(
            [
                whole[:start] + bytes([whole[start] ^ 1 << rng.integers(8)]) + whole[start + 1 :],
                whole[:start] + bytes(64) + whole[start + 64 :],
                whole[:start] + whole[other : other + 20] + whole[start + 20 :],
                whole[:start],
            ][rng.integers(4)]
        )
        try:
            found = SemanticIDIndex.read(path, file_format, collisions="suffix")
        except ValueError as error:
            n_refused += 1 if str(path) in str(error) else -1000
        else:
            if file_format == "parquet":  # the one with checksums
                assert found.ids_.tolist() == index.ids_.tolist()
    assert n_refused > 50


def test_ids_of_bytes_are_text_or_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["lämp".encode(), b"cup"], "codes": [[1], [2]]}), path)
    assert SemanticIDIndex.read(path, "parquet").item_ids_.tolist() == ["lämp", "cup"]
    pq.write_table(pa.table({"id": [b"\xff", b"cup"], "codes": [[1], [2]]}), path)
    with pytest.raises(ValueError, match=r"column 'id' of .*a\.parquet holds bytes"):
        SemanticIDIndex.read(path, "parquet")


def test_codes_in_lists_of_every_kind(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    codes = np.array([[1, 2], [1, 3]])
    path = tmp_path / "a.parquet"
    for column in (
        codes.tolist(),
        pa.array(codes.tolist(), pa.list_(pa.int32(), 2)),
        pa.array(codes.tolist(), pa.large_list(pa.uint8())),
        pa.FixedShapeTensorArray.from_numpy_ndarray(codes),
    ):
        pq.write_table(pa.table({"item_id": ["a", "b"], "codes": column}), path)
        assert SemanticIDIndex.read(path, "parquet").ids_.tolist() == codes.tolist()
    for bad in (["1,2", "1,3"], [[1, 2], None], [[1, None], [1, 2]], [["a"], ["b"]], [[1], [1, 2]]):
        pq.write_table(pa.table({"item_id": ["a", "b"], "codes": bad}), path)
        with pytest.raises(ValueError, match=r"a\.parquet"):
            SemanticIDIndex.read(path, "parquet")


def test_exports_in_parts_are_one_catalog(tmp_path):
    for file_format, kind in (("parquet", "parquet"), ("csv", "csv"), ("jsonl", "jsonl")):
        if kind == "parquet":
            pytest.importorskip("pyarrow")
        (tmp_path / kind).mkdir()
        for part in range(3):
            index = SemanticIDIndex("raise").fit([[part, 1], [part, 2]], [f"{part}a", f"{part}b"])
            index.export(tmp_path / kind / f"{part}.{kind}", file_format)
        whole = SemanticIDIndex.read(tmp_path / kind, file_format)
        assert whole.item_ids_.tolist() == ["0a", "0b", "1a", "1b", "2a", "2b"]


def test_item_ids_may_be_the_index_of_a_frame():
    # As row numbers, these items would be called by other items' names.
    index = SemanticIDIndex().fit([[0, 1], [0, 2], [3, 1]], ["tea", "cup", "pen"])
    frame = index.to_frame()
    same(index, SemanticIDIndex.from_frame(frame.set_index("item_id")))
    named = frame.rename(columns={"item_id": "sku"}).set_index("sku")
    same(index, SemanticIDIndex.from_frame(named, id_column="sku"))
    for unclear in (named, frame.drop(columns="item_id").iloc[1:]):
        with pytest.raises(ValueError, match=r"no column item_id, but an index.*reset_index"):
            SemanticIDIndex.from_frame(unclear)
    same(index, SemanticIDIndex.from_frame(frame.set_index(pd.Index([7, 8, 9]))))


def test_codes_of_a_frame_may_be_texts():
    frame = SemanticIDIndex().fit([[0, 10], [0, 2]], ["tea", "cup"]).to_frame().astype(str)
    assert SemanticIDIndex.from_frame(frame).ids_.tolist() == [[0, 10, 0], [0, 2, 0]]
    with pytest.raises(ValueError, match="without whole codes in 'code_1': 'x'"):
        SemanticIDIndex.from_frame(frame.assign(code_1=["1", "x"]))


def test_a_level_that_is_missing_is_named():
    # Codes behind the gap would be dropped without a word.
    frame = pd.DataFrame({"item_id": ["a", "b"], "code_0": [0, 1], "code_2": [5, 6]})
    with pytest.raises(ValueError, match="has a column 'code_2', but no 'code_1'"):
        SemanticIDIndex.from_frame(frame)
