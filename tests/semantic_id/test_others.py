"""Files of other projects: read by their own readers where these are installed, and back."""

import csv
import json

import numpy as np
import pytest

from sklearn_rqvae.semantic_id import SemanticIDIndex

CODES = [[3, 1], [3, 1], [0, 2], [2, 0]]


def catalog(items=None, **parameters):
    return SemanticIDIndex(codebook_sizes=4, suffix_size=3, **parameters).fit(CODES, items)


@pytest.mark.parametrize("file_format", ["sidinspector", "torcheasyrec", "grid", "recbole"])
@pytest.mark.parametrize("items", [None, ["tea", "cup", "pen", "pot"]])
def test_what_is_written_is_read(tmp_path, file_format, items):
    if file_format == "torcheasyrec":
        pytest.importorskip("pyarrow")
    index, path = catalog(items), tmp_path / "ids"
    if file_format == "grid" and items:
        with pytest.raises(ValueError, match=r"item ids should be 0, 1, …, 3"):
            index.export(path, file_format)
        return
    index.export(path, file_format)
    back = SemanticIDIndex.read(path, file_format, item_type=None if items else "int")
    assert back.level_sizes_ == (4, 4, 3)
    for item in index.item_ids_.tolist():
        assert back[item] == index[item]


@pytest.mark.parametrize("file_format", ["index.json", "csv", "jsonl", "sidinspector", "recbole"])
def test_ids_with_what_ends_a_line_elsewhere_are_read(tmp_path, file_format):
    items = ["a\u2028b", "c\x85", "\x0b", "d\x1c e"]
    index, path = catalog(items), tmp_path / "ids"
    index.export(path, file_format)
    back = SemanticIDIndex.read(path, file_format)
    assert {item: back[item] for item in back} == {item: index[item] for item in items}


def test_sidinspectors_adapter_finds_its_columns(tmp_path):
    # Its normalize_sid_export sorts the columns sid_<level> by number and wants item_id.
    index, path = catalog(["tea", "cup", "pen", "pot"]), tmp_path / "ids.csv"
    index.export(path, "sidinspector")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["item_id", "sid_0", "sid_1", "sid_2"]
    assert [int(row["sid_2"]) for row in rows] == index.ids_[:, 2].tolist()
    # What it writes in turn has these columns.
    path.write_text("item_id,sid_level_0,sid_level_1,sid,method,dataset\n7,1,2,1-2,rq,toys\n")
    (tmp_path / "_ids.csv.vocabulary.json").unlink()
    assert SemanticIDIndex.read(path, "csv", item_type="int")[7] == (1, 2)


def test_torcheasyrecs_columns_by_its_rule(tmp_path):
    # Its documentation: level l of offset_codebook lies in [offset_l, offset_l + codebook_l).
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "part-0.parquet"
    catalog(["tea", "cup", "pen", "pot"]).export(path, "torcheasyrec")
    table = parquet.read_table(path).to_pydict()
    assert table["codebook"] == [[3, 1, 1], [3, 1, 0], [0, 2, 0], [2, 0, 0]]
    assert table["offset_codebook"] == [[3, 5, 9], [3, 5, 8], [0, 6, 8], [2, 4, 8]]
    assert table["index"] == [0, 0, 0, 0]
    shared = SemanticIDIndex("none", codebook_sizes=4).fit(CODES)
    shared.export(path, "torcheasyrec")
    assert parquet.read_table(path).to_pydict()["index"] == [0, 1, 0, 0]


def test_grids_tensor_has_an_item_in_each_column(tmp_path):
    # Its model takes codebooks.t(), of which the second size should be the number of levels.
    import torch

    index, path = catalog([2, 0, 3, 1]), tmp_path / "ids.pt"
    index.export(path, "grid")
    tensor = torch.load(path, weights_only=True)
    assert (tensor.shape, tensor.dtype) == ((3, 4), torch.int64)
    assert tensor.t().tolist() == [list(index[item]) for item in range(4)]
    for wrong in ({"a": 1}, torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)):
        torch.save(wrong, path)
        with pytest.raises(ValueError, match=r"ids\.pt holds .*\(n_levels, n_items\)"):
            SemanticIDIndex.read(path, "grid")
    path.write_bytes(b"no tensor")
    with pytest.raises(ValueError, match=r"ids\.pt is no tensor"):
        SemanticIDIndex.read(path, "grid")


def test_recboles_atomic_file_by_its_documented_form(tmp_path):
    index, path = catalog(["tea", "a cup", "pen", "pot"]), tmp_path / "toys.item"
    index.export(path, "recbole")
    lines = path.read_text().splitlines()
    assert lines[:2] == ["item_id:token\tsemantic_id:token_seq", "tea\t<a_3> <b_1> <c_1>"]
    for item in ("a\tb", 'a "b"', ""):
        with pytest.raises(ValueError, match="can't hold the item id"):
            catalog([item, "b", "c", "d"]).export(path, "recbole")
    path.write_text("item_id:token\tprice:float\n1\t2.0\n")
    with pytest.raises(ValueError, match="expected"):
        SemanticIDIndex.read(path, "recbole")


def test_recbole_reads_the_atomic_file(tmp_path):
    dataset = pytest.importorskip("recbole.data.dataset")
    import logging
    from collections import defaultdict

    index, path = catalog(["tea", "cup", "pen", "pot"]), tmp_path / "toys.item"
    index.export(path, "recbole")
    # Its reader of atomic files, without the settings of a training run.
    reader = dataset.Dataset.__new__(dataset.Dataset)
    reader.logger = logging.getLogger("recbole")
    reader.field2source, reader.field2type, reader.field2bucketnum = {}, {}, {}
    reader.field2seqlen = defaultdict(int)
    reader.config = defaultdict(
        lambda: None, {"field_separator": "\t", "seq_separator": " ", "encoding": "utf-8"}
    )
    frame = reader._load_feat(str(path), dataset.dataset.FeatureSource.ITEM)
    assert frame["item_id"].tolist() == ["tea", "cup", "pen", "pot"]
    assert [tokens.tolist() for tokens in frame["semantic_id"]] == index.to_tokens()
    assert reader.field2type["semantic_id"].value == "token_seq"


def test_cornac_takes_the_array(tmp_path):
    letter = pytest.importorskip("cornac.models.letter.recom_letter")
    import torch

    index = SemanticIDIndex("none", codebook_sizes=4).fit(CODES, ["tea", "cup", "pen", "pot"])
    in_their_order = index.ids_of(["pot", "tea", "pen", "cup"])  # as its global_iid_map has them
    model = letter.LETTER(
        precomputed_semantic_ids=in_their_order, rqvae_num_levels=2, rqvae_codebook_size=4,
        cf_weight=0,
    )  # fmt: skip
    model.iid_map = dict.fromkeys(["pot", "tea", "pen", "cup"])
    codes = model._tokenize(torch, None)
    np.testing.assert_array_equal(codes, in_their_order)
    assert model.sid_collisions_after == 1
    back = SemanticIDIndex.from_ids(
        model.precomputed_semantic_ids, ["pot", "tea", "pen", "cup"], collisions="none"
    )
    assert back["pot"] == index["pot"]


def test_torch_rechub_reads_the_index_file(tmp_path):
    data = pytest.importorskip("torch_rechub.utils.data")
    index, path = catalog(), tmp_path / "toys.index.json"
    index.export(path, "index.json")
    read = data.TigerSeqDataset({"u": [0, 1, 2, 3]}, json.loads(path.read_text()), 10, "test")
    assert read[0] == {"input_ids": "<a_3><b_1><c_0><a_3><b_1><c_1><a_0><b_2><c_0>",
                       "labels": "<a_2><b_0><c_0>"}  # fmt: skip
    path.write_text(json.dumps({"7": "<a_3><b_1>", "8": "<a_0><b_2>"}))  # in one string
    with pytest.warns(UserWarning, match="describes an export"):
        assert SemanticIDIndex.read(path, "index.json", item_type="int")[7] == (3, 1)


def test_transposed_codes_are_noticed():
    codes = np.random.default_rng(0).integers(0, 8, size=(300, 3))
    for take in (SemanticIDIndex().fit, SemanticIDIndex.from_ids):
        with pytest.raises(ValueError, match=r"\(3, 300\), .* pass the transpose, codes\.T"):
            take(codes.T)
        with pytest.raises(ValueError, match=r"\(3, 12\), .* pass the transpose, codes\.T"):
            take(codes[:12].T, list(range(12)))
    # Long IDs of few items are no mistake: 32 codes are what some quantizers make.
    assert SemanticIDIndex("none").fit(np.zeros((3, 40), dtype=int)).width == 40
    assert SemanticIDIndex("none").fit(codes[:3].T, [1, 2, 3]).width == 3
