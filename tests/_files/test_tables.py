"""Tables lose no row, no column and no text, whatever file they are in."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae._files._arrays import load_array, load_arrays, read_matrix
from sklearn_rqvae._files._ids import check_ids, writable_ids
from sklearn_rqvae._files._kinds import file_kind
from sklearn_rqvae._files._tables import read_table, write_table

HOSTILE = [
    "", '"', '""', 'a"b', ",", "\t", "\n", "\r", "\r\n", "a\rb", "\ufeff", "\ufeffa", "\0", "a\0b",
    "\u202eright to left", "שלום", "\U0001f469\u200d\U0001f680", "\u2028", "\x85", "\x1a", "\\",
    "null", "NaN", "nan", "None", "1", "01", "1e5", "-0", "=1+1", " padded ",
    "x" * 200_000, "[1, 2]",
]  # fmt: skip
KINDS = ["jsonl", "jsonl.gz", "csv", "csv.gz", "tsv", "parquet"]

texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))


@st.composite
def tables(draw):
    names = draw(st.lists(texts.map(lambda t: t[:50]), min_size=1, max_size=4, unique=True))
    n_rows = draw(st.integers(1, 5))
    return {name: [draw(texts) for _ in range(n_rows)] for name in names}


def need(kind):
    if "parquet" in kind:
        pytest.importorskip("pyarrow")


@pytest.mark.parametrize("kind", KINDS)
@given(table=tables())
@example(table={"text": HOSTILE, "other": HOSTILE[::-1]})
@example(table={"text": HOSTILE})
@example(table={"a": ["x"], "": [""]})
@example(table={"": [""]})
@example(table={"item_id": ["x", ""], "n": [1, 2]})
def test_any_table_comes_back(kind, table, tmp_path_factory):
    need(kind)
    path = tmp_path_factory.mktemp("tables") / f"a.{kind}"
    write_table(path, table)
    found = read_table(path)
    columns = {name: found.column(name) for name in found}
    if "n" in table:  # numbers are text in text files
        columns["n"] = [int(value) for value in columns["n"]]
    assert columns == table
    assert list(found) == list(table)
    before = path.read_bytes()
    write_table(path, table)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_our_csv_is_what_the_standard_reader_reads(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    short = [text for text in HOSTILE if len(text) < 1000]
    write_table(path, {"t": short})
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t" if kind == "tsv" else ","))
    assert rows == [["t"], *([text] for text in short)]


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_character_is_refused_by_name(kind, tmp_path):
    need(kind)
    path = tmp_path / f"a.{kind}"
    with pytest.raises(ValueError, match=rf"can't write .*a\.{kind}: .*half of a character"):
        write_table(path, {"t": ["i\ud83d"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,title,brand\n1,red lamp\n2,cup,acme\n",
            "line 2 of .* 2 fields, .* 3; the record is cut",
        ),
        ("id,title\n1,red,lamp\n", "line 2 of .* has 3 fields, but the header has 2; put"),
        ('id,title\n1,"red\nlamp"\n2\n', "line 4 of .* has 1 fields"),
        ("id,id\n1,2\n", "two columns of one name among 'id', 'id'; rename one"),
        ('id,title\n1,"red\n2,lamp\n', "record that begins in line 2 .* is damaged"),
        ('id,title\n1,a\n2,"Weird" Al\n', "record that begins in line 3 .* two for each inside"),
        ("title\na\n\nb\n", 'line 3 of .* is empty; write ""'),
        ("id,title\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_records_that_do_not_fit_are_named_by_line(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("id,title\n1,a\n\n2,b\n", {"id": ["1", "2"], "title": ["a", "b"]}),
        ("title\na\nb\n\n\n", {"title": ["a", "b"]}),
        ('title\na\n""\nb\n', {"title": ["a", "", "b"]}),
        ("id,title,,\n1,a,,\n2,b,,\n", {"id": ["1", "2"], "title": ["a", "b"]}),
        (",id\n0,a\n", {"": ["0"], "id": ["a"]}),
        ("id\r\n1\r\n2", {"id": ["1", "2"]}),
        ("\ufeff\ufeffid\n1\n", {"\ufeffid": ["1"]}),  # one mark, as ever
    ],
)
def test_what_spreadsheets_and_editors_add_is_no_data(tmp_path, text, columns):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    assert read_table(path) == columns


def test_a_field_of_any_length_is_read(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(2, 7168))
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([["v"], *([json.dumps(row)] for row in vectors.tolist())])
    np.testing.assert_array_equal(read_matrix(tmp_path / "a.csv", "v"), vectors)
    assert csv.field_size_limit() == 131072  # that of other readers stays


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_table_of_ours_that_is_cut_is_refused(tmp_path, kind):
    # A code can lose its last digits and still be one.
    path = tmp_path / f"a.{kind}"
    write_table(path, {"item_id": ["a", "b"], "code": np.array([[1, 23], [4, 123]])})
    whole = path.read_bytes()
    n_rows = []
    for end in range(1, len(whole)):
        path.write_bytes(whole[:end])
        try:
            n_rows.append(read_table(path).n_rows)
        except ValueError as error:
            n_rows += [] if str(path) in str(error) else ["unnamed"]
    assert n_rows == [1]  # at the end of a line nothing shows it


def test_tables_of_others_may_end_without_a_line_break(tmp_path):
    for text in ("item_id,code_0\na,1\nb,2", '"item_id","code_0"\n"a","1"\n"b","2"'):
        (tmp_path / "a.csv").write_text(text)
        assert read_table(tmp_path / "a.csv")["code_0"] == ["1", "2"]


def test_fields_named_twice_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 1, "id": 2}\n')
    with pytest.raises(
        ValueError, match=r"line 2 of .* is not JSON: an object has two fields 'id'"
    ):
        read_table(tmp_path / "a.jsonl")


def test_endless_nesting_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"line 1 of .*a\.jsonl is not JSON"):
        read_table(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["A.JSONL", "a.NDJSON", "a.json", "a.JSON.GZ", "a.jsonl.gz"])
def test_names_of_any_case_and_json_lines_by_other_names(tmp_path, name):
    content = b'{"id": "a", "t": 1}\n{"id": "b"}\n'
    packed = gzip.compress(content) if name.lower().endswith("gz") else content
    (tmp_path / name).write_bytes(packed)
    assert read_table(tmp_path / name) == {"id": ["a", "b"], "t": [1, None]}
    assert file_kind("a.CSV") == ".csv"
    with pytest.raises(ValueError, match=r"the format of a\.json is unknown"):
        file_kind("a.json")  # to write one, say .jsonl


def test_a_list_of_records_is_a_table(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff[{"id": "a"},\n {"id": "b", "t": 2}]')
    assert read_table(path) == {"id": ["a", "b"], "t": [None, 2]}
    for text, message in (("[1]", "record 0 .* no object"), ("[{]", "is not JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_table(path)


def test_a_directory_of_parts_is_one_table(tmp_path):
    for name, text in {
        "b.csv": "id,t\n3,c\n", "a.CSV": "id,t\n1,a\n2,b\n", "c/d.csv": "t,id\nd,4\n",
        "none/a.txt": "",
        "empty.csv": "id,t\n", "nothing.csv": "", "_SUCCESS": "", ".crc.csv": "x\n1\n",
        "notes.txt": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_table(tmp_path) == {"id": ["1", "2", "3", "4"], "t": ["a", "b", "c", "d"]}
    (tmp_path / "e.csv").write_text("id,u\n1,a\n")
    with pytest.raises(ValueError, match=r"the columns '.*', but .*e.csv has 'id', 'u'|e.csv has"):
        read_table(tmp_path)
    (tmp_path / "e.csv").unlink()
    (tmp_path / "f.jsonl.gz").touch()
    with pytest.raises(ValueError, match=r"files of one kind .* but holds \.csv, \.jsonl"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match=r"a directory; .* but holds none"):
        read_table(tmp_path / "none")


def test_parts_of_json_lines_may_lack_fields(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": "b", "t": "x"}\n'))
    (tmp_path / "c.jsonl").write_text("")
    assert read_table(tmp_path) == {"id": ["a", "b"], "t": [None, "x"]}


def test_parts_of_parquet_of_other_types_lose_nothing(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    words = pa.array(["x", "y"]).dictionary_encode()
    parts = [
        {"id": pa.array([1, 2], pa.int32()), "t": words, "v": pa.array([[1.0], [2.0]])},
        {"id": pa.array([2**60 + 1]), "t": pa.array(["z"]), "v": pa.array([[3.0]])},
        {"id": pa.array([], pa.null()), "t": pa.array([], pa.null()), "v": pa.array([], pa.null())},
        {"id": pa.array([7]), "t": pa.array([None], pa.null()), "v": pa.array([[4.0]])},
    ]  # fmt: skip
    for number, part in enumerate(parts):
        pq.write_table(pa.table(part), tmp_path / f"{number}.parquet")
    table = read_table(tmp_path)
    assert table.column("id") == [1, 2, 2**60 + 1, 7]
    assert table.column("t") == ["x", "y", "z", None]
    np.testing.assert_array_equal(read_matrix(tmp_path / "0.parquet", "v"), [[1], [2]])


def test_tensors_are_vectors_in_a_file_and_in_a_directory(tmp_path):
    from sklearn_rqvae import ResidualKMeans
    from sklearn_rqvae.io import fit_parquet

    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    table = pa.table({"v": pa.FixedShapeTensorArray.from_numpy_ndarray(X)})
    (tmp_path / "parts").mkdir()
    pq.write_table(table, tmp_path / "parts" / "a.parquet")
    np.testing.assert_array_equal(read_matrix(tmp_path / "parts" / "a.parquet", "v"), X)
    np.testing.assert_array_equal(read_matrix_of_directory(tmp_path / "parts"), X)
    params = {"n_layers": 2, "codebook_size": 4, "random_state": 0}
    fitted = fit_parquet(ResidualKMeans(**params), tmp_path / "parts", vector_column="v")
    expected = ResidualKMeans(**params).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), expected.transform(X))


def read_matrix_of_directory(path):
    from sklearn_rqvae._files._vectors import matrix_of

    return matrix_of(read_table(path), "v", path)


@pytest.mark.parametrize("where", ["file", "directory"])
@pytest.mark.parametrize(
    "column", [[{"list": [{"element": 1.0}]}] * 2, ["[1]", "[2]"], [1.0, 2.0]], ids=repr
)
def test_other_columns_are_refused_alike_in_a_file_and_a_directory(tmp_path, where, column):
    from sklearn_rqvae import ResidualKMeans
    from sklearn_rqvae.io import fit_parquet

    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"v": column}), tmp_path / "a.parquet")

    def read():
        if where == "file":
            return read_matrix(tmp_path / "a.parquet", "v")
        return fit_parquet(ResidualKMeans(), tmp_path, vector_column="v")

    with pytest.raises(TypeError, match=r"column 'v' of .*a\.parquet holds .* lists of numbers"):
        read()


def test_pages_that_changed_are_noticed(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    write_table(path, {"id": [f"item {i}" for i in range(500)]})
    whole = path.read_bytes()
    for place in range(60, 1000, 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.parquet is no Parquet file, or is damaged"):
            read_table(path)


def test_messages_list_the_first_columns_only(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{i}" for i in range(5000)) + "\n" + "," * 4999)
    with pytest.raises(ValueError, match=r"no column 'x'; .*'c19' and 4980 more\.$"):
        read_table(tmp_path / "a.csv", ["x"])


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04", b"\x80\x04N.", b"", b"\x93NUMPY\x01\x00\x04\x00{'a\n", b"[1, 2]"]
)
def test_other_files_are_no_arrays(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npy is no array of numbers"):
        load_array(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"a\.npy holds no arrays that numpy.savez wrote"):
        load_arrays(tmp_path / "a.npy")


def test_damaged_arrays_are_named(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", np.arange(40))
    np.savez(tmp_path / "b.npz", codes=np.arange(40), item_ids=np.array(["a", "b"]))
    for name, load in (("a.npy", load_array), ("b.npz", load_arrays)):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            start = int(rng.integers(len(whole)))
            damaged = whole[:start] + rng.bytes(8) + whole[start + 8 :]
            (tmp_path / name).write_bytes(damaged[: rng.integers(len(damaged))])
            with pytest.raises(ValueError, match=name):
                load(tmp_path / name)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a", "a"], "2 ids that repeat an earlier one, such as 'a' in row 2"),
        (["a", None], "row 1 .* has no id in column 'sku'; fill it in, or .* --id"),
        (["a", ""], "row 1 .* has no id"),
        ([1, float("nan")], "row 1 .* has no id"),
        ([[1], [1]], r"such as \[1\] in row 1"),
    ],
)
def test_ids_that_name_no_item_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        check_ids(ids, "a.csv", "sku")
    check_ids(["a", "b"], "a.csv", "sku")
    check_ids(range(3), "a.csv", "sku")


@pytest.mark.parametrize("bad", ["i\ud83d", b"x", 1.5, True, 7, ["a"], {"a": 1}, Decimal(1)])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "-", "a.parquet"])
def test_ids_that_no_catalog_takes_are_refused_before_they_are_written(bad, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="can't hold the id"):
        writable_ids(name, ["a", "b", bad])
    if isinstance(bad, float | bool | list | dict | Decimal):
        with pytest.raises(ValueError, match="can't hold the id"):
            writable_ids(name, [bad, bad])
    with pytest.raises(ValueError, match=r"can't hold the id \d+ of row 1 .* make the ids text"):
        writable_ids(name, [1, 2**63])
    with pytest.raises(ValueError, match=r"can't hold the id b'\\xff' of row 0"):
        writable_ids(name, [b"\xff"])
    assert writable_ids(name, ["a", "b"]) == ["a", "b"]
    assert writable_ids(name, [b"a", "ä".encode()]) == ["a", "ä"]
    assert writable_ids(name, [-(2**63), 2**63 - 1]) == [-(2**63), 2**63 - 1]
    assert writable_ids(name, [date(2020, 1, 2)]) == ["2020-01-02"]


def test_half_a_character_in_an_id_is_refused_for_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=re.escape("row 1 (from 0): half of a character")):
        writable_ids(tmp_path / "a.parquet", ["a", "i\ud83d"])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_lines_are_printed_in_any_encoding(encoding):
    code = (
        "from sklearn_rqvae._files._tables import write_table as w; w('-', {'id': ['é\U0001f600']})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert json.loads(done.stdout.decode("utf-8")) == {"id": "é\U0001f600"}


def test_a_missing_column_of_a_csv_is_told_by_its_header(tmp_path):
    (tmp_path / "a.csv").write_text("id,title\n1,tea\n2,cup,pot\n")
    with pytest.raises(ValueError, match="no column 'name'; it has 'id', 'title'"):
        read_table(tmp_path / "a.csv", ["name"])
    with pytest.raises(ValueError, match=r"line 3 of .* has 3 fields"):
        read_table(tmp_path / "a.csv", ["title"])
