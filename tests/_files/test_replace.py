"""A file takes the place of an old one when it is complete, and only then."""

import os
import stat

import pytest

from sklearn_rqvae._files._replace import check_place, replace_file
from sklearn_rqvae._files._state import write_state
from sklearn_rqvae.nn._checkpoint import write_checkpoint


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with replace_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail_half_way():
        with replace_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_draft_of_a_fixed_name_takes_over_what_a_killed_process_has_left(tmp_path):
    path, draft = tmp_path / "a", tmp_path / ".a.part"
    draft.write_bytes(b"more than the new one")
    with replace_file(path, draft=draft) as file:
        file.write(b"new")
        assert sorted(os.listdir(tmp_path)) == [".a.part"]
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_state(path, "Thing", {"a": 1}),
        lambda path: write_checkpoint(path, {"a": 1}, {}),
    ],
)
def test_models_get_the_permissions_of_any_new_file(tmp_path, write):
    (tmp_path / "plain").write_bytes(b"")
    write(tmp_path / "model")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "model")]
    assert modes[0] == modes[1]


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no.model: the folder doesn't exist; make it"):
        check_place(tmp_path / "no" / "model")
    with pytest.raises(IsADirectoryError, match="it is a folder; name a file in it"):
        check_place(tmp_path)
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match="read-only for you"):
        check_place(tmp_path / "model")
    assert not list(tmp_path.iterdir())
