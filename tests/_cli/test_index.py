"""The index on the command line, from codes to every export."""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sklearn_rqvae._cli._index_commands import EXPORTS, add_index_commands
from sklearn_rqvae.semantic_id import SemanticIDIndex
from sklearn_rqvae.semantic_id._formats import FORMATS


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_index_commands(parser.add_subparsers(required=True))
    args = parser.parse_args(["index", *map(str, arguments)])
    args.run(args)


def test_export_offers_all_formats():
    assert set(EXPORTS) == {*FORMATS, "token_ids"}


CODES = np.array([[3, 1], [3, 1], [0, 2]])


@pytest.fixture
def inputs(tmp_path):
    """Write the same codes and ids in every format."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    items = ["tea", "cup", "pen"]
    np.save(tmp_path / "codes.npy", CODES)
    (tmp_path / "items.txt").write_text("\n".join(items) + "\n")
    np.savez(tmp_path / "codes.npz", codes=CODES, item_ids=np.array(items))
    table = pyarrow.table({"item_id": items, "semantic_id": CODES.tolist()})
    parquet.write_table(table, tmp_path / "codes.parquet")
    (tmp_path / "codes.csv").write_text("id,code_0,code_1\ntea,3,1\ncup,3,1\npen,0,2\n")
    lines = [
        json.dumps({"id": i, "semantic_id": c}) for i, c in zip(items, CODES.tolist(), strict=True)
    ]
    (tmp_path / "codes.jsonl").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("name", ["npy", "npz", "parquet", "csv", "jsonl"])
def test_build_reads_every_format(inputs, name, capsys):
    extra = ["--item-ids", inputs / "items.txt"] if name == "npy" else []
    run("build", inputs / f"codes.{name}", "--out", inputs / "catalog", *extra)
    index = SemanticIDIndex.load(inputs / "catalog")
    assert index.item_ids_.tolist() == ["tea", "cup", "pen"]
    assert index.ids_.tolist() == [[3, 1, 1], [3, 1, 0], [0, 2, 0]]
    assert "collision rate 33.33%" in capsys.readouterr().out


def test_append_keeps_ids_and_lookup_finds_them(inputs, capsys):
    catalog = inputs / "catalog"
    run("build", inputs / "codes.csv", "--out", catalog, "--json")
    assert json.loads(capsys.readouterr().out)["n_colliding"] == 2
    (inputs / "new.csv").write_text("item_id,code_0,code_1\n7,3,1\n")
    run("append", catalog, inputs / "new.csv", "--grow")
    capsys.readouterr()
    run("lookup", catalog, "--item", "tea", "7")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"item_id": "tea", "semantic_id": [3, 1, 1]},
        {"item_id": "7", "semantic_id": [3, 1, 2]},
    ]
    run("lookup", catalog, "--prefix", "3,1")
    found = [json.loads(line)["item_id"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["cup", "tea", "7"]
    run("lookup", catalog, "--prefix", "3,0")
    assert capsys.readouterr().out == ""
    run("lookup", catalog, "--near", "pen", "--limit", 1)
    assert json.loads(capsys.readouterr().out)["item_id"] == "cup"
    with pytest.raises(ValueError, match="'ink' is not in the catalog"):
        run("lookup", catalog, "--item", "ink")


def test_append_to_another_file_leaves_the_first(inputs):
    catalog, second = inputs / "catalog", inputs / "second"
    run("build", inputs / "codes.npy", "--out", catalog)
    np.savez(inputs / "new.npz", codes=[[0, 2]], item_ids=[9])
    run("append", catalog, inputs / "new.npz", "--out", second)
    assert len(SemanticIDIndex.load(catalog)) == 3
    assert SemanticIDIndex.load(second)[9] == (0, 2, 1)


@pytest.mark.parametrize("name", ["index.json", "flashrec", "parquet", "csv", "jsonl"])
def test_export_writes_what_read_reads(inputs, name):
    run("build", inputs / "codes.csv", "--out", inputs / "catalog")
    run("export", inputs / "catalog", "--format", name, "--out", inputs / "out")
    other = SemanticIDIndex.read(inputs / "out", name, collisions="suffix")
    assert other["tea"] == (3, 1, 1)


def test_export_of_token_ids_has_an_offset(inputs):
    run("build", inputs / "codes.npy", "--out", inputs / "catalog", "--codebook-sizes", 4)
    run(
        "export", inputs / "catalog", "--format", "token_ids", "--out", inputs / "out.npy",
        "--offset", 100,
    )  # fmt: skip
    assert np.load(inputs / "out.npy").tolist() == [
        [103, 105, 108], [103, 105, 109], [100, 106, 108]
    ]  # fmt: skip


def test_a_failed_export_of_token_ids_leaves_the_old_file(inputs, monkeypatch):
    run("build", inputs / "codes.npz", "--out", inputs / "catalog")
    out = inputs / "out.npy"
    out.write_bytes(b"old")

    def save(file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError, match="disk full"):
        run("export", inputs / "catalog", "--format", "token_ids", "--out", out)
    assert out.read_bytes() == b"old"


def test_reassign_takes_candidates_from_the_archive(inputs, capsys):
    np.savez(
        inputs / "full.npz",
        codes=[[0], [0]],
        candidates=[[[0], [1]], [[0], [1]]],
        errors=[[0.0, 1.0], [0.0, 0.5]],
        vectors=[[0.0], [1.0]],
    )
    run(
        "build", inputs / "full.npz", "--out", inputs / "catalog", "--collisions", "reassign",
        "--codebook-sizes", 2, "--json",
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert (report["n_moved"], report["error_after"], report["n_duplicates"]) == (1, 0.5, 0)
    assert SemanticIDIndex.load(inputs / "catalog").ids_.tolist() == [[0], [1]]
    with pytest.raises(ValueError, match=r"give --model MODEL and --items ITEMS, or an .npz"):
        run("build", inputs / "codes.npy", "--out", inputs / "other", "--collisions", "reassign")
    assert not (inputs / "other").exists()


def test_new_items_are_asked_for_ids_of_the_kind_in_the_catalog(inputs):
    catalog = inputs / "catalog"
    run("build", inputs / "codes.npy", "--out", catalog)
    with pytest.raises(ValueError, match=r"have no ids, .* with --id, or give --item-ids"):
        run("append", catalog, inputs / "codes.npy")
    with pytest.raises(ValueError, match=r"integers, but 'tea' is none; .*--item-type str"):
        run("append", catalog, inputs / "codes.csv")
    run("build", inputs / "codes.csv", "--out", catalog)
    with pytest.raises(ValueError, match=r"codes.csv: .*'tea'.* in the index already|already"):
        run("append", catalog, inputs / "codes.csv")


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ('{"semantic_id": [1, 2]}', "row 1 .* has no item id; fill it in"),
        ('{"item_id": null, "semantic_id": [1, 2]}', "row 1 .* has no item id"),
        ('{"item_id": NaN, "semantic_id": [1, 2]}', "row 1 .* has no item id"),
        ('{"item_id": "", "semantic_id": [1, 2]}', "row 1 .* has no item id"),
        ('{"item_id": 1.5, "semantic_id": [1, 2]}', "id 1.5, but ids are text or|got float"),
        ('{"item_id": true, "semantic_id": [1, 2]}', "id True, but ids are text or|got bool"),
        ('{"item_id": ["b"], "semantic_id": [1, 2]}', "but ids are text or integers|got list"),
    ],
)
def test_what_is_no_id_becomes_no_text(inputs, record, match):
    # "None", "nan" and "True" were items of the catalog then.
    catalog, new = inputs / "catalog", inputs / "new.jsonl"
    run("build", inputs / "codes.csv", "--out", catalog)
    new.write_text('{"item_id": "a", "semantic_id": [1, 1]}\n' + record)
    for command in (["append", catalog, new, "--grow"], ["build", new, "--out", inputs / "b"]):
        with pytest.raises(ValueError, match=match):
            run(*command)
    assert list(SemanticIDIndex.load(catalog)) == ["tea", "cup", "pen"]


def test_ids_that_other_files_lack_become_no_text(inputs):
    pa = pytest.importorskip("pyarrow")
    catalog, new = inputs / "catalog", inputs / "new.parquet"
    run("build", inputs / "codes.csv", "--out", catalog)
    codes = [[0, 0], [0, 1], [1, 1]]
    pa.parquet.write_table(pa.table({"item_id": [5, None, 7], "semantic_id": codes}), new)
    with pytest.raises(ValueError, match=r"row 1 \(from 0\) of .*new.parquet has no item id"):
        run("append", catalog, new)
    np.save(inputs / "ids.npy", [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"the id 1\.0, but ids are text or integers"):
        run("append", catalog, inputs / "codes.npy", "--item-ids", inputs / "ids.npy")
    (inputs / "ids.txt").write_text("a\n\nb\n")
    with pytest.raises(ValueError, match=r"row 1 \(from 0\) of .*ids.txt has no item id"):
        run("append", catalog, inputs / "codes.npy", "--item-ids", inputs / "ids.txt")
    assert list(SemanticIDIndex.load(catalog)) == ["tea", "cup", "pen"]


def test_a_vocabulary_grows_only_where_that_is_asked_for(inputs, capsys):
    catalog = inputs / "catalog"
    run("build", inputs / "codes.csv", "--out", catalog)
    (inputs / "new.csv").write_text("item_id,code_0,code_1\nink,3,1\n")
    before = catalog.read_bytes()
    with pytest.raises(
        ValueError, match=r"new\.csv: .* 3 codes at level 2, which has 2.*"
    ) as error:
        run("append", catalog, inputs / "new.csv")
    assert all(option in str(error.value) for option in ("--suffix-size", "--grow"))
    assert "grow=True" not in str(error.value)
    assert catalog.read_bytes() == before
    run("append", catalog, inputs / "new.csv", "--grow")
    assert "codes by level: (4, 3, 3)" in capsys.readouterr().out
    args = ["--suffix-size", 9, "--codebook-sizes", 9]
    run("build", inputs / "codes.csv", "--out", catalog, *args)
    capsys.readouterr()
    run("append", catalog, inputs / "new.csv")
    assert capsys.readouterr().err == ""


def test_a_name_that_says_another_format_is_refused(inputs):
    run("build", inputs / "codes.csv", "--out", inputs / "catalog")
    for name, out in (("token_ids", "tok.json"), ("csv", "a.jsonl"), ("index.json", "a.npy")):
        with pytest.raises(ValueError, match=rf"ends in .*, but --format {name} writes another"):
            run("export", inputs / "catalog", "--format", name, "--out", inputs / out)
        assert not (inputs / out).exists()
    run("export", inputs / "catalog", "--format", "index.json", "--out", inputs / "a.index.json")


def test_no_output_takes_the_place_of_an_input(inputs):
    run("build", inputs / "codes.csv", "--out", inputs / "catalog")
    before = {path.name: path.read_bytes() for path in inputs.iterdir()}
    for args in (
        ["build", inputs / "codes.csv", "--out", inputs / "codes.csv"],
        ["append", inputs / "catalog", inputs / "codes.csv", "--out", inputs / "." / "codes.csv"],
        ["export", inputs / "catalog", "--format", "csv", "--out", inputs / "catalog"],
    ):
        with pytest.raises(ValueError, match="would overwrite a file that is read"):
            run(*args)
    assert {path.name: path.read_bytes() for path in inputs.iterdir()} == before


def test_columns_of_ids_are_named_or_asked_for(inputs):
    (inputs / "sku.csv").write_text("sku,code_0,code_1\nx-1,1,2\nx-2,1,3\n")
    with pytest.raises(ValueError, match=r"no column item_id, but 'sku'; .*--id"):
        run("build", inputs / "sku.csv", "--out", inputs / "catalog")
    run("build", inputs / "sku.csv", "--id", "sku", "--out", inputs / "catalog")
    assert SemanticIDIndex.load(inputs / "catalog").item_ids_.tolist() == ["x-1", "x-2"]
    (inputs / "parts").mkdir()
    for number in (3, 4):
        text = f"sku,code_0,code_1\nx-{number},1,{number}\n"
        (inputs / "parts" / f"{number}.csv").write_text(text)
    run("append", inputs / "catalog", inputs / "parts", "--id", "sku", "--grow")
    assert SemanticIDIndex.load(inputs / "catalog").item_ids_.tolist()[2:] == ["x-3", "x-4"]


def test_drift_compares_two_catalogs(inputs, capsys):
    run("build", inputs / "codes.csv", "--out", inputs / "old")
    (inputs / "new.csv").write_text("item_id,code_0,code_1\ntea,3,0\ncup,3,1\nink,3,1\n")
    run("build", inputs / "new.csv", "--out", inputs / "new")
    capsys.readouterr()
    run("drift", inputs / "old", inputs / "new", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["n_common"], report["n_added"], report["n_removed"]) == (2, 1, 1)
    assert report["changed_by_level"] == [0.0, 0.5]
    run("drift", inputs / "old", inputs / "new")
    assert "2 items in both, 1 added, 1 removed" in capsys.readouterr().out


def test_digits_in_text_are_text_unless_integers_are_asked_for(inputs):
    (inputs / "items.txt").write_text("10\n7\n8\n")
    args = ["build", inputs / "codes.npy", "--item-ids", inputs / "items.txt"]
    run(*args, "--out", inputs / "c")
    assert SemanticIDIndex.load(inputs / "c").item_ids_.tolist() == ["10", "7", "8"]
    run(*args, "--item-type", "int", "--out", inputs / "c")
    assert SemanticIDIndex.load(inputs / "c").item_ids_.tolist() == [10, 7, 8]
    (inputs / "items.txt").write_text("10\n07\n7")
    run("build", inputs / "codes.npy", "--item-ids", inputs / "items.txt", "--out", inputs / "c")
    assert SemanticIDIndex.load(inputs / "c").item_ids_.tolist() == ["10", "07", "7"]


def test_a_byte_order_mark_is_no_part_of_an_id(inputs):
    (inputs / "items.txt").write_text("tea\ncup\npen\n", encoding="utf-8-sig")
    run("build", inputs / "codes.npy", "--item-ids", inputs / "items.txt", "--out", inputs / "c")
    assert SemanticIDIndex.load(inputs / "c").item_ids_.tolist() == ["tea", "cup", "pen"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"x": [1]}, "no codes"),
        ({"codes": [[1]], "errors": [[1.0]]}, "both candidates and errors"),
    ],
)
def test_malformed_archives_are_errors(inputs, content, match):
    np.savez(inputs / "bad.npz", **content)
    with pytest.raises(ValueError, match=match):
        run("build", inputs / "bad.npz", "--out", inputs / "catalog")
    with pytest.raises(ValueError, match="unknown; the name should end in"):
        run("build", inputs / "items.txt", "--out", inputs / "catalog")
    with pytest.raises(ValueError, match="leave out --item-ids"):
        run(
            "build", inputs / "codes.csv", "--item-ids", inputs / "items.txt",
            "--out", inputs / "catalog",
        )  # fmt: skip


def test_a_damaged_array_is_named(tmp_path):
    empty = tmp_path / "empty.npy"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.npy is no array"):
        run("build", empty, "--out", tmp_path / "catalog")


def test_a_journal_takes_the_change_and_leaves_the_catalog(inputs, capsys):
    catalog = inputs / "catalog.sid"
    run("build", inputs / "codes.csv", "--out", catalog)
    content = catalog.read_bytes()
    (inputs / "new.csv").write_text("id,code_0,code_1\npot,3,1\n")
    run("append", catalog, inputs / "new.csv", "--journal", "--grow")
    run("remove", catalog, "--item", "cup", "--journal")
    assert catalog.read_bytes() == content
    assert (inputs / "catalog.sid.journal").stat().st_size > 0
    capsys.readouterr()
    run("lookup", catalog, "--prefix", "3,1")
    items = [json.loads(line)["item_id"] for line in capsys.readouterr().out.splitlines()]
    assert items == ["tea", "pot"]
    # Without it the changes go into the catalog, and the journal goes.
    run("remove", catalog, "--item", "pen", "--release")
    assert not (inputs / "catalog.sid.journal").exists()
    assert SemanticIDIndex.load(catalog).item_ids_.tolist() == ["tea", "pot"]
    with pytest.raises(ValueError, match="'mug' is not in the catalog"):
        run("remove", catalog, "--item", "mug")
    with pytest.raises(SystemExit):  # two places
        run("append", catalog, inputs / "new.csv", "--journal", "--out", inputs / "other")


def test_limits_are_kept_in_the_catalog(inputs):
    catalog = inputs / "catalog.sid"
    grid = np.array([[a, b] for a in (0, 1) for b in (0, 1)])
    codes = np.zeros((3, 2), dtype=int)
    errors = np.arange(4.0) + np.array([[0.0], [1], [2]]) * (grid[:, 0] + 1)
    np.savez(inputs / "near.npz", codes=codes, candidates=np.tile(grid, (3, 1, 1)), errors=errors)
    run(
        "build", inputs / "near.npz", "--collisions", "reassign", "--codebook-sizes", 2,
        "--max-items-per-id", 2, "--max-items-per-first-code", 2, "--out", catalog,
    )  # fmt: skip
    index = SemanticIDIndex.load(catalog)
    assert (index.max_items_per_id, index.max_items_per_first_code) == (2, 2)
    assert np.bincount(index.ids_[:, 0]).tolist() == [2, 1]


def test_json_has_null_for_what_does_not_exist(inputs, capsys):
    # NaN is no JSON, and other programs refuse it.
    run("build", inputs / "codes.csv", "--out", inputs / "a")
    (inputs / "others.csv").write_text("id,code_0,code_1\nink,3,1\n")
    run("build", inputs / "others.csv", "--out", inputs / "b")
    capsys.readouterr()
    run("drift", inputs / "a", inputs / "b", "--json")
    shares = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (shares["changed"], shares["changed_by_level"]) == (None, [None, None])
    run("remove", inputs / "b", "--item", "ink")
    capsys.readouterr()
    run("drift", inputs / "a", inputs / "b", "--json")
    assert json.loads(capsys.readouterr().out)["n_removed"] == 3


def test_only_what_is_printed_may_be_called_a_hyphen(inputs, monkeypatch, capsys):
    monkeypatch.chdir(inputs)
    run("build", "codes.csv", "--out", "a")
    capsys.readouterr()
    for command in (
        ("build", "codes.csv", "--out", "-"),
        ("export", "a", "--format", "csv", "--out", "-"),
        ("append", "a", "codes.csv", "--out", "-"),
    ):
        with pytest.raises(ValueError, match=r"--out - would be printed, .* name a file"):
            run(*command)
    assert capsys.readouterr().out == ""
    SemanticIDIndex.load("a").export("-", "csv")  # in Python it is a name like any other
    assert (inputs / "-").exists()
    assert capsys.readouterr().out == ""


def test_commands_that_change_one_catalog_wait_for_each_other(inputs, monkeypatch):
    # Each reads the catalog, and writes it as a whole: at once, the last one would undo the others.
    catalog = inputs / "catalog"
    run("build", inputs / "codes.csv", "--out", catalog, "--suffix-size", "16")
    load = SemanticIDIndex.load

    def load_slowly(*args, **kwargs):
        index = load(*args, **kwargs)
        time.sleep(0.05)
        return index

    monkeypatch.setattr(SemanticIDIndex, "load", load_slowly)
    commands = [("remove", catalog, "--item", "tea")]
    for number in range(3):
        (inputs / f"new{number}.csv").write_text(f"id,code_0,code_1\nnew{number},3,1\n")
        commands.append(("append", catalog, inputs / f"new{number}.csv"))
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(run, *command) for command in commands]:
            done.result()
    assert sorted(load(catalog).item_ids_) == ["cup", "new0", "new1", "new2", "pen"]


def test_an_offset_that_would_do_nothing_is_refused(inputs):
    run("build", inputs / "codes.csv", "--out", inputs / "a")
    with pytest.raises(ValueError, match="--offset belongs to --format token_ids"):
        run("export", inputs / "a", "--format", "csv", "--out", inputs / "o.csv", "--offset", "5")
    assert not (inputs / "o.csv").exists()
