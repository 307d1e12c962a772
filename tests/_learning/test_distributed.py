"""Two processes train as one: the same model on both, and the steps of a single process."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from sklearn_rqvae import RQVAETransformer

pytest.importorskip("accelerate", reason="data_parallel needs accelerate")

# Run by each process: fits, then writes what it got.
SCRIPT = """
import json, sys
import numpy as np, torch
torch.set_num_threads(1)
from sklearn_rqvae import RQVAETransformer
rows = np.load(sys.argv[1] + "/rows.npy")
params = json.loads(sys.argv[2])
estimator = RQVAETransformer(device="data_parallel", **params).fit(rows)
import os
np.savez(sys.argv[1] + "/rank" + os.environ["RANK"], **estimator.state_)
with open(sys.argv[1] + "/history" + os.environ["RANK"], "w") as file:
    json.dump(estimator.history_, file)
"""

PARAMS = {
    "codebook_size": 8,
    "n_layers": 2,
    "codebook_mode": "STE",
    "embed_dim": 4,
    "hidden_dims": [16],
    "n_beams": 2,
    "lr": 1e-2,
    "lr_schedule": "constant",
    "random_state": 0,
}


def make_rows(n=200):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(6, 10))[rng.integers(0, 6, n)] + rng.normal(size=(n, 10))).astype("f")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def fit_on_two_processes(folder, rows, params):
    """Return the states and histories of both processes."""
    np.save(folder / "rows.npy", rows)
    port = str(free_port())
    processes = []
    for rank in ("0", "1"):
        place = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip
        command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(params)]
        processes.append(subprocess.Popen(command, env={**os.environ, **place}))
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    return (
        [dict(np.load(folder / f"rank{rank}.npz")) for rank in (0, 1)],
        [json.loads((folder / f"history{rank}").read_text()) for rank in (0, 1)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["STE", "GUMBEL_SOFTMAX"])
def test_both_processes_get_the_same_model(tmp_path, mode):
    # 202 rows in batches of 67: shares differ by a row, and the last batch leaves one process
    # without rows. No random_state: the processes have to agree on one.
    params = {**PARAMS, "codebook_mode": mode, "max_epochs": 6, "batch_size": 67}
    params = {**params, "random_state": None, "linear_path": False}
    rows = make_rows(202)
    states, histories = fit_on_two_processes(tmp_path, rows, params)
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    for one, other in zip(*histories, strict=True):
        assert {**one, "dur": 0} == {**other, "dur": 0}
    assert len(histories[0]) == 6


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    # A batch of all rows has no order. Weights differ, so that the processes' shares do, too.
    rows = make_rows()
    rows = np.concatenate([rows, rows[:50], rows[:20]])
    params = {**PARAMS, "max_epochs": 3, "batch_size": len(rows), "net_params": {"precision": None}}
    states, histories = fit_on_two_processes(tmp_path, rows, params)
    alone = RQVAETransformer(**params).fit(rows)
    for name, array in alone.state_.items():
        if not name.endswith("usage"):  # counts are relative to a process's mean weight
            np.testing.assert_allclose(states[0][name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    for one, other in zip(histories[0], alone.history_, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["perplexity"] == pytest.approx(other["perplexity"], rel=1e-3)


def test_alone_a_process_trains_as_without_it():
    rows = make_rows()
    params = {**PARAMS, "max_epochs": 2, "batch_size": 64}
    params["linear_path"] = False
    one = RQVAETransformer(**params, device="data_parallel").fit(rows)
    assert one.n_iter_ == 2
    assert torch.isfinite(torch.tensor(one.score(rows)))


def test_the_closed_form_has_nothing_to_share():
    rows = make_rows()
    one = RQVAETransformer(codebook_size=8, random_state=0, device="data_parallel").fit(rows)
    other = RQVAETransformer(codebook_size=8, random_state=0).fit(rows)
    np.testing.assert_array_equal(one.transform(rows), other.transform(rows))
