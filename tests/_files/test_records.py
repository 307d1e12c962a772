"""Files of records: what was added is there, what was cut is not, and damage is told apart."""

import os
import subprocess
import sys

import pytest

from sklearn_rqvae._files._records import RecordFile, read_records

RECORDS = [b"one", b"", b"\0" * 40, bytes(range(256))]


def write(path, records=RECORDS):
    file = RecordFile(path)
    file.rewrite(records[:1])
    for record in records[1:]:
        file.append(record)
    file.close()
    return path.read_bytes()


def test_records_come_back_and_go_on(tmp_path):
    path = tmp_path / "a"
    write(path)
    assert read_records(path) == RECORDS
    file = RecordFile(path)
    assert file.read() == RECORDS
    file.append(b"more")
    assert read_records(path) == [*RECORDS, b"more"]
    file.rewrite([b"new"])
    assert read_records(path) == [b"new"]
    file.remove()
    assert not path.exists()


def test_a_file_cut_anywhere_has_the_records_before(tmp_path):
    path, whole = tmp_path / "a", write(tmp_path / "a")
    ends = []
    for stop in range(len(whole) + 1):
        path.write_bytes(whole[:stop])
        found = read_records(path)
        assert found == RECORDS[: len(found)]
        ends.append(len(found))
    assert ends == sorted(ends)
    assert set(ends) == set(range(len(RECORDS) + 1))
    # What comes next takes the place of the half-written record.
    path.write_bytes(whole[:-1])
    file = RecordFile(path)
    assert file.read() == RECORDS[:-1]
    file.append(b"next")
    assert read_records(path) == [*RECORDS[:-1], b"next"]


def test_zeros_at_the_end_are_room_that_was_not_used(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(write(path) + bytes(500))
    assert read_records(path) == RECORDS
    file = RecordFile(path)
    file.read()
    file.append(b"next")
    assert read_records(path) == [*RECORDS, b"next"]


def test_damage_of_the_last_record_is_said(tmp_path):
    # It was whole once, or power was lost before all of it was on disk: nobody can tell.
    path, whole = tmp_path / "a", write(tmp_path / "a")
    for place in (len(whole) - len(RECORDS[-1]), len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.warns(UserWarning, match=r"the last change in .* is damaged"):
            assert read_records(path) == RECORDS[:-1]


def test_damage_before_the_end_is_an_error_and_never_fewer_records(tmp_path):
    path, whole = tmp_path / "a", write(tmp_path / "a")
    last = len(whole) - len(RECORDS[-1])
    for place in range(last):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"damaged|doesn't begin"):
            read_records(path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match="doesn't begin"):
        RecordFile(path).read()


def test_a_record_that_cannot_be_written_leaves_none(tmp_path, monkeypatch):
    path = tmp_path / "a"
    whole = write(path)
    file = RecordFile(path)
    file.read()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"can't write .*a: No space left"):
        file.append(b"too much")
    monkeypatch.undo()
    assert path.read_bytes() == whole
    file.append(b"next")
    assert read_records(path) == [*RECORDS, b"next"]


def test_two_cannot_write_one_file(tmp_path):
    path = tmp_path / "a"
    write(path)
    file = RecordFile(path)
    with pytest.raises(OSError, match=r"another process, or another object"):
        RecordFile(path)
    code = f"from sklearn_rqvae._files._records import *; RecordFile({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "another process" in done.stderr
    assert read_records(path) == RECORDS  # reading is free
    file.close()
    RecordFile(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_does_not_write_into_the_file_of_the_other(tmp_path):
    path = tmp_path / "a"
    write(path)
    file = RecordFile(path)
    file.read()
    child = os.fork()
    if not child:
        try:
            file.append(b"no")
        except OSError as error:
            os._exit(7 if "forked" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    file.append(b"yes")
    assert read_records(path) == [*RECORDS, b"yes"]
