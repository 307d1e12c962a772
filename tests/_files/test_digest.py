"""The digest in a Parquet file tells whether it still holds what was written."""

import numpy as np
import pytest

from sklearn_rqvae._files._digest import DIGEST, table_digest
from sklearn_rqvae._files._tables import read_table, write_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLUMNS = {
    "item_id": ["tea", "", "ä\x00", "cup"],
    "number": [1, -(2**62), 0, 7],
    "semantic_id": np.arange(12, dtype=np.int32).reshape(4, 3),
    "vector": np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2),
}


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "ids.parquet"
    write_table(path, COLUMNS, metadata={b"of": b"us"})
    table = read_table(path)
    assert table.metadata == {b"of": b"us"}
    assert table.column("item_id") == COLUMNS["item_id"]
    assert DIGEST in pq.read_metadata(path).metadata


def test_chunks_do_not_count():
    table = pa.table(
        {**COLUMNS, "semantic_id": COLUMNS["semantic_id"].tolist(), "vector": 4 * [[]]}
    )
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1)])
    assert table_digest(parts) == table_digest(table)
    assert table_digest(table.slice(1)) != table_digest(table)
    assert table_digest(table.slice(0, 0)) != table_digest(table)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("item_id", ["tea", "ä", "\x00", "cup"]),
        ("item_id", ["tea", None, "ä\x00", "cup"]),
        ("number", [1, -(2**62), 0, None]),
        ("semantic_id", [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9, 10, 11]]),
        ("semantic_id", [[0, 1, 2], None, [6, 7, 8], [9, 10, 11]]),
        ("vector", [[0.0, 0.1]] * 4),
    ],
)
def test_another_value_is_another_digest(column, values, tmp_path):
    path = tmp_path / "ids.parquet"
    write_table(path, COLUMNS)
    table = pq.read_table(path)
    other = pa.array(values, type=table.schema.field(column).type)
    pq.write_table(table.set_column(table.column_names.index(column), column, other), path)
    with pytest.raises(
        ValueError, match=r"ids\.parquet is damaged, or was changed .* another digest"
    ):
        read_table(path)


def test_names_and_metadata_count(tmp_path):
    path = tmp_path / "ids.parquet"
    write_table(path, COLUMNS, metadata={b"sizes": b"[3, 4]"})
    table = pq.read_table(path)
    for changed in (
        table.rename_columns(["item", "number", "semantic_id", "vector"]).replace_schema_metadata(
            table.schema.metadata
        ),
        table.replace_schema_metadata({**table.schema.metadata, b"sizes": b"[3, 5]"}),
    ):
        pq.write_table(changed, path)
        with pytest.raises(ValueError, match="another digest"):
            read_table(path)


def test_files_of_others_have_none(tmp_path):
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "ids.parquet")
    assert read_table(tmp_path / "ids.parquet").n_rows == 1


def test_zeros_in_the_footer_lose_nothing_without_an_error(tmp_path):
    # Zeros end a list of fields: for a reader, the file says nothing of itself.
    path = tmp_path / "ids.parquet"
    write_table(path, COLUMNS, metadata={b"of": b"us"})
    whole, n_errors = path.read_bytes(), 0
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    starts = range(footer, len(whole) - 64, 8)
    for start in starts:
        path.write_bytes(whole[:start] + bytes(64) + whole[start + 64 :])
        try:
            found = read_table(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            n_errors += 1
        else:
            assert found.metadata == {b"of": b"us"}
            assert found.column("item_id") == COLUMNS["item_id"]
    assert n_errors > len(starts) / 2
