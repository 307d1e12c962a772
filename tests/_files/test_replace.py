"""A file takes the place of an old one when it is complete, and only then."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sklearn_rqvae._files import _replace
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


def test_a_draft_of_a_fixed_name_is_written_by_one_process_at_a_time(tmp_path):
    path, draft = tmp_path / "a", tmp_path / ".a.part"
    with replace_file(path, draft=draft) as file:
        file.write(b"first")
        with (
            pytest.raises(OSError, match=r"can't write .*a: another process is writing it"),
            replace_file(path, draft=draft),
        ):
            pass
        file.write(b" and last")
    assert path.read_bytes() == b"first and last"
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


def test_what_a_link_names_is_replaced_not_the_link(tmp_path):
    (tmp_path / "shelf").mkdir()
    real, link = tmp_path / "shelf" / "a", tmp_path / "a"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with replace_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert os.listdir(tmp_path / "shelf") == ["a"]


def test_devices_and_pipes_stay_what_they_are(tmp_path):
    # A rename would put a file in the place of /dev/null.
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/null", tmp_path / "pipe"):
        with pytest.raises(OSError, match="it is a device or a pipe"), replace_file(place):
            pass
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs names of open files")
def test_what_a_shell_has_opened_is_not_replaced(tmp_path):
    # /dev/stdout behind ">> log" names the log, which would be lost.
    log = tmp_path / "log"
    log.write_bytes(b"old")
    (tmp_path / "link").symlink_to("/dev/fd/0")
    with open(log, "ab") as file:
        for place in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            with pytest.raises(OSError, match="it is a device or a pipe"), replace_file(place):
                pass
    with pytest.raises(OSError, match="it is a device or a pipe"), replace_file(tmp_path / "link"):
        pass
    assert log.read_bytes() == b"old"


def test_a_name_of_any_length_has_a_draft(tmp_path):
    for name in ("x" * 255, "ü" * 127, "\udcff"):
        with replace_file(tmp_path / name) as file:
            file.write(b"new")
        assert os.listdir(tmp_path) == [name]
        os.unlink(tmp_path / name)


KILLED = """
import os, signal, sys
from sklearn_rqvae._files._replace import replace_file
with replace_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def writer(path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    return process


def test_the_next_save_removes_the_drafts_of_killed_ones_only(tmp_path):
    path, other = tmp_path / "a", tmp_path / "a.b"
    dead, living, neighbor = writer(path), writer(path), writer(other)
    unlike = [".a.part", ".a.0123456789abcde", ".a.0123456789abcdef0", ".a.b.0123456789abcdeg"]
    for name in unlike:
        (tmp_path / name).touch()
    for process in (dead, neighbor):
        process.kill()
        process.wait()
    assert len(os.listdir(tmp_path)) == 3 + len(unlike)
    with replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    left = set(os.listdir(tmp_path)) - set(unlike)
    assert len(left) == 3  # the file, the draft of the living one, and that of another file
    living.communicate()
    assert living.returncode == 0
    assert path.read_bytes() == b"half"  # its last word
    with replace_file(other) as file:
        file.write(b"new")
    assert set(os.listdir(tmp_path)) == {"a", "a.b", *unlike}


def test_writers_of_one_name_at_once_do_not_take_each_others_drafts(tmp_path):
    def save(number):
        with replace_file(tmp_path / "a") as file:
            file.write(b"%04d" % number * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(400)))
    content = (tmp_path / "a").read_bytes()
    assert content == content[:4] * 1000
    assert os.listdir(tmp_path) == ["a"]


def test_a_draft_that_was_taken_for_stale_is_made_anew(tmp_path, monkeypatch):
    # Another process looks between the opening of a draft and its lock.
    lock, taken = _replace.lock_file, []

    def late(descriptor, wait):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        return lock(descriptor, wait)

    monkeypatch.setattr(_replace, "lock_file", late)
    with replace_file(tmp_path / "a") as file:
        file.write(b"new")
    assert taken
    assert os.listdir(tmp_path) == ["a"]


FULL = """
import os, resource, signal, sys
import numpy as np
from sklearn_rqvae import SemanticIDIndex, ResidualKMeans
from sklearn_rqvae._cli import main
from sklearn_rqvae._files._tables import write_table
from sklearn_rqvae.nn import RqVae
X = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)
index = SemanticIDIndex().fit(np.abs(X).astype(int), [f"item {i}" for i in range(len(X))])
module = RqVae(input_dim=8, embed_dim=8, hidden_dims=[99], codebook_size=99, n_layers=3,
               n_cat_features=0)
quantizer = ResidualKMeans(2, 512, random_state=0).fit(X[:2000])
writes = {
    "model": quantizer.save,
    "catalog": index.save,
    "module": module.save_checkpoint,
    "codes": lambda path: index.export(path, "npy"),
    **{kind: lambda path, kind=kind: index.export(path, kind)
       for kind in ("index.json", "flashrec", "csv", "jsonl", "parquet")},
    **{"a." + kind: lambda path: write_table(path, {"a": X}) for kind in ("csv.gz", "tsv")},
}
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for name, write in writes.items():
    try:
        write(name)
    except OSError as error:
        assert name in str(error), (name, error)
    else:
        raise AssertionError(name)
    assert open(name, "rb").read() == b"old", name
assert sorted(os.listdir()) == sorted(writes), os.listdir()
print("all", len(writes))
"""


def test_no_room_on_the_disk_leaves_the_old_file_and_names_it(tmp_path):
    # A limit on the size of files fails the writes as a full disk does.
    pytest.importorskip("pyarrow")
    names = ["model", "catalog", "module", "codes", "index.json", "flashrec", "csv", "jsonl"]
    for name in [*names, "parquet", "a.csv.gz", "a.tsv"]:
        (tmp_path / name).write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "all 11\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="folders can't be opened there")
@pytest.mark.parametrize("linked", [False, True])
def test_the_name_is_on_disk_before_the_call_returns(tmp_path, monkeypatch, linked):
    # The journal beside a catalog is emptied next: a loss of power must not undo the new name then.
    (tmp_path / "shelf").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shelf" / "a")
    synced = []
    real = os.fsync

    def noted(descriptor):
        names = sorted(name for name in os.listdir(tmp_path / "shelf") if name[0] != ".")
        synced.append((os.path.realpath(f"/proc/self/fd/{descriptor}"), names))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with replace_file(tmp_path / "link" if linked else tmp_path / "shelf" / "a") as file:
        file.write(b"new")
    assert [names for _, names in synced] == [[], ["a"]]
    if os.path.exists("/proc/self/fd"):
        assert synced[-1][0] == os.path.realpath(tmp_path / "shelf")
