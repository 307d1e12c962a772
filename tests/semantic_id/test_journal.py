"""A catalog with a journal is, after any end of the process, the one that the last call left."""

import copy
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id import SemanticIDIndex


def start(path, **options):
    index = SemanticIDIndex(**options).fit([[3, 1], [3, 1], [0, 2]], ["tea", "cup", "pen"])
    index.save(path, journal=True)
    return index


def same(a, b):
    return (
        a.fingerprint == b.fingerprint
        and a.item_ids_.tolist() == b.item_ids_.tolist()
        and np.array_equal(a.ids_, b.ids_)
        and a.level_sizes_ == b.level_sizes_
        and a.report_ == b.report_
        and a._store.layout.sizes == b._store.layout.sizes
    )


STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.integers(0, 9), min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["remove", "release"]), st.integers(0, 8)),
    st.tuples(st.sampled_from(["save", "load"]), st.none()),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(st.lists(STEP, max_size=8), st.booleans(), st.sampled_from(["suffix", "none"]))
def test_what_is_loaded_equals_what_was_in_memory(tmp_path_factory, steps, as_text, collisions):
    # Codes beyond those seen widen levels, and suffixes outgrow their bits, as they do in memory.
    path = tmp_path_factory.mktemp("journal") / "catalog.sid"
    name = str if as_text else int
    index = SemanticIDIndex(collisions).fit([[3, 1], [0, 2]], [name(100), name(101)])
    index.save(path, journal=True)
    n_added = 0
    for kind, what in steps:
        if kind == "append":
            items = [name(n_added + i) for i in range(len(what))]
            index.append([[code, 1 << code] for code in what], items, grow=True)
            n_added += len(what)
        elif kind == "save":
            index.save(path)
        elif kind == "load":
            index._journal.close()
            index = SemanticIDIndex.load(path, journal=True)
        elif name(what) in index:
            index.remove([name(what)], release=kind == "release")
        assert same(SemanticIDIndex.load(path), index)


def test_the_file_stays_and_the_journal_grows_until_save(tmp_path):
    path = tmp_path / "catalog.sid"
    index = start(path)
    whole, journal = path.read_bytes(), tmp_path / "catalog.sid.journal"
    sizes = [journal.stat().st_size]
    for number in range(3):
        index.append([[3, 1]], [f"mug {number}"], grow=True)
        sizes.append(journal.stat().st_size)
    assert sizes == sorted(set(sizes))
    assert path.read_bytes() == whole
    index.save(path)
    assert journal.stat().st_size == sizes[0]
    assert path.read_bytes() != whole
    index.remove(["tea"])  # and on it goes
    assert "tea" not in SemanticIDIndex.load(path)
    index.save(path, journal=False)
    assert not journal.exists()
    index.append([[0, 0]], ["pot"], grow=True)
    assert "pot" not in SemanticIDIndex.load(path)
    assert "tea" not in SemanticIDIndex.load(path)


def test_a_new_fit_goes_to_the_file_as_a_whole(tmp_path):
    path = tmp_path / "catalog.sid"
    index = start(path)
    index.append([[3, 1]], ["mug"], grow=True)
    index.fit([[1, 1]], ["new"])
    assert same(SemanticIDIndex.load(path), index)
    index.append([[1, 1]], ["newer"], grow=True)
    assert same(SemanticIDIndex.load(path), index)


def test_saving_elsewhere_leaves_the_journal_where_it_is(tmp_path):
    path, other = tmp_path / "catalog.sid", tmp_path / "other.sid"
    index = start(path)
    index.append([[3, 1]], ["mug"], grow=True)
    index.save(other)
    assert os.listdir(tmp_path).count("other.sid.journal") == 0
    index.append([[3, 1]], ["pot"], grow=True)
    assert "pot" in SemanticIDIndex.load(path)
    assert "pot" not in SemanticIDIndex.load(other)
    index.save(other, journal=True)  # now it moves
    index.append([[3, 1]], ["jar"], grow=True)
    assert "jar" in SemanticIDIndex.load(other)
    assert "jar" not in SemanticIDIndex.load(path)


def test_a_change_that_fails_is_in_neither(tmp_path, monkeypatch):
    path = tmp_path / "catalog.sid"
    index = start(path)
    with pytest.raises(ValueError, match="already"):
        index.append([[3, 1]], ["tea"], grow=True)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        index.append([[3, 1]], ["mug"], grow=True)
    with pytest.raises(OSError, match="full"):
        index.remove(["tea"])
    monkeypatch.undo()
    assert "mug" not in index
    assert "tea" in index
    assert same(SemanticIDIndex.load(path), index)


@pytest.mark.parametrize("by_fit", [False, True])
def test_a_journal_that_could_not_be_begun_anew_loses_no_later_change(
    tmp_path, monkeypatch, by_fit
):
    # The disk is full after the file and before its journal: later changes go with the file.
    path = tmp_path / "catalog.sid"
    index = start(path)
    index.remove(["tea"])
    real, journal = os.fsync, index._journal._file._file.fileno()

    def full(descriptor):
        if descriptor == journal:
            raise OSError(28, "full")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        index.fit([[1, 1]], ["new"]) if by_fit else index.save(path)
    monkeypatch.undo()
    assert list(SemanticIDIndex.load(path)) == (["new"] if by_fit else ["cup", "pen"])
    for item in ("mug", "pot"):
        index.append([[3, 1]], [item], grow=True)
        assert list(index)[:2] == ["cup", "pen"]
        assert same(SemanticIDIndex.load(path), index)


@pytest.mark.parametrize("items", [["a\0"], np.array(["a\0"], dtype=object), ("a\0",)])
def test_a_journal_keeps_zero_characters_at_the_end_of_ids(tmp_path, items):
    path = tmp_path / "catalog.sid"
    index = SemanticIDIndex("raise").fit([[0, 1], [1, 1], [2, 1]], ["a", "a\0", "b"])
    index.save(path, journal=True)
    index.remove(items)
    assert list(index) == ["a", "b"]
    assert same(SemanticIDIndex.load(path), index)


def test_copies_and_pickles_write_no_journal(tmp_path):
    path = tmp_path / "catalog.sid"
    index = start(path)
    for other in (copy.deepcopy(index), pickle.loads(pickle.dumps(index)), index.snapshot()):
        other.append([[3, 1]], ["mug"], grow=True)
        assert "mug" in other
    assert same(SemanticIDIndex.load(path), index)
    index.append([[3, 1]], ["mug"], grow=True)


def test_one_index_keeps_a_journal_at_a_time(tmp_path):
    path = tmp_path / "catalog.sid"
    index = start(path)
    with pytest.raises(OSError, match="another process, or another object"):
        SemanticIDIndex.load(path, journal=True)
    with pytest.raises(OSError, match="another process, or another object"):
        SemanticIDIndex().fit([[0]], ["a"]).save(path)
    assert same(SemanticIDIndex.load(path), index)
    del index
    assert len(SemanticIDIndex.load(path, journal=True)) == 3


def test_a_link_leads_to_the_journal_of_its_file(tmp_path):
    path, link = tmp_path / "catalog.sid", tmp_path / "link.sid"
    index = start(path)
    link.symlink_to(path)
    index.append([[3, 1]], ["mug"], grow=True)
    assert "mug" in SemanticIDIndex.load(link)
    index.save(link)
    assert same(SemanticIDIndex.load(path), index)


def test_a_journal_of_another_file_is_an_error_and_not_ignored(tmp_path):
    path, backup = tmp_path / "catalog.sid", tmp_path / "backup"
    index = start(path)
    shutil.copy(path, backup)
    for item in ("mug", "pot"):
        index.append([[3, 1]], [item], grow=True)
        index.save(path)
    index.append([[3, 1]], ["jar"], grow=True)
    shutil.copy(backup, path)
    with pytest.raises(CheckpointError, match="changes of another file"):
        SemanticIDIndex.load(path)


def test_a_save_killed_between_file_and_journal_counts_changes_once(tmp_path):
    path, journal = tmp_path / "catalog.sid", tmp_path / "catalog.sid.journal"
    index = start(path)
    index.append([[3, 1]], ["mug"], grow=True)
    old = journal.read_bytes()
    index.save(path)
    journal.write_bytes(old)
    assert same(SemanticIDIndex.load(path), index)
    journal.write_bytes(b"")  # or while the journal was begun anew
    assert same(SemanticIDIndex.load(path), index)
    index._journal.close()
    journal.write_bytes(old)
    again = SemanticIDIndex.load(path, journal=True)
    again.append([[3, 1]], ["pot"], grow=True)
    assert same(SemanticIDIndex.load(path), again)


def test_a_damaged_journal_is_named(tmp_path):
    path, journal = tmp_path / "catalog.sid", tmp_path / "catalog.sid.journal"
    index = start(path)
    for item in ("mug", "pot"):
        index.append([[3, 1]], [item], grow=True)
    index._journal.close()
    whole = journal.read_bytes()
    place = whole.index(b'"append": ["mug"]')
    journal.write_bytes(whole[:place] + b"X" + whole[place + 1 :])
    for options in ({}, {"journal": True}):
        with pytest.raises(CheckpointError, match=r"sid\.journal.* damaged \(record 1"):
            SemanticIDIndex.load(path, **options)
    journal.write_bytes(whole[:-1])  # cut by a kill
    assert SemanticIDIndex.load(path, journal=True).items((3, 1)).tolist() == ["cup", "tea", "mug"]


def test_no_journal_is_left_where_there_is_nothing_to_load(tmp_path):
    with pytest.raises(FileNotFoundError):
        SemanticIDIndex.load(tmp_path / "catalog.sid", journal=True)
    with pytest.raises(FileNotFoundError, match="folder doesn't exist"):
        start(tmp_path / "no folder" / "catalog.sid")
    assert not os.listdir(tmp_path)


WRITER = """
import json, sys
from sklearn_rqvae.semantic_id import SemanticIDIndex
path, first = sys.argv[1], int(sys.argv[2])
index = SemanticIDIndex.load(path, journal=True)
for number in range(first, first + 100_000):
    index.append([[number % 3, 1]], [number], grow=True)
    print(json.dumps(["append", number, index[number]]), flush=True)
    if number % 3 == 0:
        index.remove([number])
        print(json.dumps(["remove", number, None]), flush=True)
    if number % 7 == 0:
        index.save(path)
"""


def test_a_kill_at_any_time_loses_no_change_that_returned(tmp_path):
    path, random_ = tmp_path / "catalog.sid", random.Random(0)
    SemanticIDIndex(codebook_sizes=4).fit([[0, 1]], [-1]).save(path, journal=True)
    expected, gone = {-1: (0, 1, 0)}, set()
    for round_ in range(4):
        first = 100_000 * round_
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(first)], stdout=subprocess.PIPE, text=True
        )
        lines = [process.stdout.readline()]
        time.sleep(random_.random() / 4)
        process.send_signal(signal.SIGKILL)
        lines += process.communicate()[0].splitlines()
        assert process.returncode == -signal.SIGKILL
        for line in lines:
            try:
                kind, item, semantic_id = json.loads(line)
            except ValueError:
                continue  # the last line, cut
            if kind == "append":
                expected[item] = tuple(semantic_id)
            else:
                del expected[item]
                gone.add(item)
        index = SemanticIDIndex.load(path)
        found = {item: index[item] for item in index.item_ids_.tolist()}
        assert not gone & set(found)
        # What returned, and at most the one change that was on its way.
        extra, missing = set(found) - set(expected), set(expected) - set(found)
        assert len(extra) + len(missing) <= 1
        assert all(item > max(i for i in expected if i in found) for item in extra)
        assert all(found[item] == expected[item] for item in set(found) & set(expected))
        expected, gone = found, gone | missing
        assert set(os.listdir(tmp_path)) <= {
            "catalog.sid",
            "catalog.sid.journal",
            *(name for name in os.listdir(tmp_path) if name.startswith(".catalog.sid.")),
        }
