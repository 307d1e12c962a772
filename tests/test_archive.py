"""A header and arrays come back equal from one file; what is no such file is said to be none."""

import os
import zipfile

import numpy as np
import pytest

from sklearn_rqvae._archive import open_archive, write_archive
from sklearn_rqvae.exceptions import CheckpointError

ARRAYS = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b.c": np.array([b"x", b"yz"])}


def test_header_and_arrays_come_back_equal(tmp_path):
    write_archive(tmp_path / "file", {"one": [1, None, "ü"]}, ARRAYS)
    with open_archive(tmp_path / "file", "a thing") as archive:
        assert archive.header == {"one": [1, None, "ü"]}
        assert archive.names == ["a", "b.c"]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(archive.read(name), array)
            assert archive.read(name).dtype == array.dtype


def test_objects_are_neither_written_nor_read(tmp_path):
    objects = np.array([print], dtype=object)
    write_archive(tmp_path / "file", {"kept": True}, {})
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_archive(tmp_path / "file", {}, {"evil": objects})
    assert os.listdir(tmp_path) == ["file"]
    with open_archive(tmp_path / "file", "a thing") as archive:
        assert archive.header == {"kept": True}
    with (
        zipfile.ZipFile(tmp_path / "file", "a") as file,
        file.open("evil.npy", "w") as member,
    ):
        np.lib.format.write_array(member, objects, allow_pickle=True)
    with (
        pytest.raises(CheckpointError, match="Object arrays cannot be loaded"),
        open_archive(tmp_path / "file", "a thing") as archive,
    ):
        archive.read("evil")


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04 and more"])
def test_other_files_are_named_with_the_hint(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with (
        pytest.raises(CheckpointError, match=r"file' is not a thing, or it is damaged .* Try X\."),
        open_archive(tmp_path / "file", "a thing", " Try X."),
    ):
        pass


def test_a_missing_array_is_damage(tmp_path):
    write_archive(tmp_path / "file", {}, ARRAYS)
    with (
        pytest.raises(CheckpointError, match=r"damaged .*z\.npy"),
        open_archive(tmp_path / "file", "a thing") as archive,
    ):
        archive.read("z")


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError), open_archive(tmp_path / "none", "a thing"):
        pass
