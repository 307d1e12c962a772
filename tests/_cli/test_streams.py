"""Pipes that close, disks that are full, and Ctrl-C end a command in one line, or in none."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "sklearn_rqvae"]


@pytest.fixture(scope="module")
def encode(tmp_path_factory):
    """A command that prints more than a pipe holds."""
    from sklearn_rqvae import ResidualKMeans

    folder = tmp_path_factory.mktemp("streams")
    X = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    ResidualKMeans(2, 4, random_state=0).fit(X).save(folder / "m")
    np.save(folder / "x.npy", X)
    return [*COMMAND, "encode", str(folder / "m"), str(folder / "x.npy")]


def test_a_reader_that_stops_ends_it_quietly(encode):
    with subprocess.Popen(encode, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b'{"item_id": 0, "semantic_id": [')
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode == 141  # as of all that a closed pipe ends


def test_a_closed_output_ends_it_quietly(encode, tmp_path):
    def run(*args):
        command = " ".join([*encode, *args]) + " >&-"
        return subprocess.run(command, shell=True, capture_output=True, check=False)

    done = run()
    assert (done.returncode, done.stderr) == (141, b"")
    done = run("--out", str(tmp_path / "ids.csv"))  # the work is done, and nobody asks
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "ids.csv").read_text().startswith('"item_id"')


def test_a_closed_error_stream_puts_nothing_into_the_output(encode, tmp_path):
    args = [*COMMAND, "fit", encode[-1], "--out", str(tmp_path / "m"), "--method", "kmeans"]
    command = " ".join([*args, "--codebook-size", "4"]) + " 2>&-"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith(b"Fitted 5000 items")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_behind_the_output_is_said(encode):
    with open("/dev/full", "w") as full:
        done = subprocess.run(encode, stdout=full, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode()
    assert said.startswith("sklearn-rqvae: error: ")
    assert "can't write the standard output: No space left on device" in said
    assert said.count("\n") == 1
    assert done.returncode == 1


@pytest.mark.parametrize("delay", [0.2, 0.9, 2.0])
def test_ctrl_c_is_told_in_one_line_from_the_first_second(tmp_path, delay):
    # From the entry on: before it, Python itself starts.
    code = (
        "import sys; from sklearn_rqvae._cli import main; print('started', flush=True); "
        "sys.exit(main(['demo']))"
    )
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=tmp_path) as process:
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    lines = [line for line in err.decode().splitlines() if not line.endswith(" ...")]
    assert lines == ["sklearn-rqvae: interrupted"], err.decode()
    assert process.returncode == 130
    assert out == b""
