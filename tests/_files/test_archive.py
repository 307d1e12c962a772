"""A header and arrays come back equal from one file; what is no such file is said to be none."""

import os
import zipfile

import numpy as np
import pytest

from sklearn_rqvae._files._archive import open_archive, write_archive
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


def test_compressed_members_are_refused(tmp_path):
    # They may unpack to any size, and are never written.
    with zipfile.ZipFile(tmp_path / "file", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", "{" + " " * 10_000_000 + "}")
    assert (tmp_path / "file").stat().st_size < 20_000
    with (
        pytest.raises(CheckpointError, match=r"header\.json is compressed"),
        open_archive(tmp_path / "file", "a thing"),
    ):
        pass


@pytest.mark.parametrize("byte", range(46))
def test_any_damage_to_the_directory_of_members_is_damage(tmp_path, byte):
    # The checksums of the members don't cover it: flags ask for a password, versions for features.
    write_archive(tmp_path / "file", {}, ARRAYS)
    content = bytearray((tmp_path / "file").read_bytes())
    content[content.index(b"PK\x01\x02") + byte] ^= 0xFF
    (tmp_path / "file").write_bytes(content)
    try:
        with open_archive(tmp_path / "file", "a thing") as archive:
            found = {name: archive.read(name) for name in ARRAYS}
        assert archive.header == {}
    except CheckpointError:
        return
    for name, array in ARRAYS.items():  # dates and the like
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(4611686018427387904, 2)", "(-1,)"])
def test_an_array_larger_than_its_file_is_damage(tmp_path, shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        file.writestr("header.json", "{}")
        size = len(text).to_bytes(2, "little")
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + size + text.encode())
    with (
        pytest.raises(CheckpointError, match="damaged"),
        open_archive(tmp_path / "file", "a thing") as archive,
    ):
        archive.read("a")


def test_endless_nesting_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "file", "w") as file:
        file.writestr("header.json", "[" * 100_000)
    with (
        pytest.raises(CheckpointError, match="recursion"),
        open_archive(tmp_path / "file", "a thing"),
    ):
        pass
