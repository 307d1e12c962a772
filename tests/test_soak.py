"""Hundreds of fits in one process leave nothing behind, and one model serves all workers at once.

Run with ``-m slow -s`` to see the counts.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex, TextEmbedder

pytestmark = pytest.mark.slow

N_FITS = 300
SECONDS = 240  # of one kind; a slow machine makes fewer fits, and the count is printed
N_FITS_AT_LEAST = 60
SIZES = {"n_layers": 2, "codebook_size": 8, "random_state": 0}
TRAINED = {"max_epochs": 2, "hidden_dims": (8,), "embed_dim": 4, **SIZES}
MODELS = {
    "closed form": RQVAETransformer(**SIZES),
    "straight-through": RQVAETransformer(codebook_mode="STE", **TRAINED),
    "rotation trick": RQVAETransformer(codebook_mode="ROTATION_TRICK", **TRAINED),
    "Gumbel": RQVAETransformer(codebook_mode="GUMBEL_SOFTMAX", **TRAINED),
    "Sinkhorn": RQVAETransformer(codebook_mode="SINKHORN", **TRAINED),
    "k-means": ResidualKMeans(**SIZES),
}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def rows(n: int = 200) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)


def held() -> tuple[float, int, int]:
    """Return what this process holds: memory in MB, open files, threads."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return memory, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def fit_and_use(name: str) -> bytes:
    """Do one round of work; return what it gave."""
    if name == "texts":
        texts = [f"{color} thing number {n}" for n in range(20) for color in ("red", "blue")]
        vectors = TextEmbedder(n_components=4, random_state=0).fit_transform(texts)
        return np.asarray(vectors).tobytes()
    if name == "catalog":
        codes = np.random.default_rng(0).integers(8, size=(500, 2))
        index = SemanticIDIndex().fit(codes, [f"item number {i * 7 % 500}" for i in range(500)])
        index.remove(index.item_ids_[:50])
        index.append(codes[:50], [f"a later item {i}" for i in range(50)], grow=True)
        return index.ids_.tobytes()
    model = clone(MODELS[name]).fit(rows())
    codes = model.transform(rows())
    pickle.dumps(model)
    return codes.tobytes() + model.inverse_transform(codes).tobytes()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells what is held")
@pytest.mark.parametrize("name", [*MODELS, "texts", "catalog"])
def test_many_fits_in_one_process_hold_no_more_than_a_few(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = fit_and_use(name)
    for _ in range(19):  # what libraries load and keep once
        fit_and_use(name)
    before, start, n_fits = held(), time.monotonic(), 20
    while n_fits < N_FITS and time.monotonic() - start < SECONDS:
        assert fit_and_use(name) == first
        n_fits += 1
    after = held()
    with capsys.disabled():
        print(
            f"\n{name}, {n_fits} fits, from the 20th on: {after[0] - before[0]:+.1f} MB, "
            f"{after[1] - before[1]:+d} open files, {after[2] - before[2]:+d} threads"
        )
    assert n_fits >= N_FITS_AT_LEAST
    assert after[0] - before[0] < 10
    assert after[1:] == before[1:]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", MODELS)
def test_threads_and_processes_of_both_kinds_use_one_model_at_once(name, capsys):
    X = rows(600)
    model = pickle.loads(pickle.dumps(clone(MODELS[name]).fit(X)))  # no module is built yet
    expected = clone(MODELS[name]).fit(X).transform(X)
    parts = [slice(start, start + 97) for start in range(0, 600, 97)]
    done, wrong = {"threads": 0, "pickles": 0}, []
    whole, stop, lock = pickle.dumps(model), threading.Event(), threading.Lock()

    def transform(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            part = parts[rng.integers(len(parts))]
            if not np.array_equal(model.transform(X[part]), expected[part]):
                wrong.append(part)
            with lock:
                done["threads"] += 1

    def copy() -> None:
        while not stop.is_set():
            data = pickle.dumps(model)
            if data != whole or not np.array_equal(pickle.loads(data).transform(X), expected):
                wrong.append("pickle")
            done["pickles"] += 1

    threads = [threading.Thread(target=transform, args=(seed,)) for seed in range(6)]
    threads.append(threading.Thread(target=copy))
    for thread in threads:
        thread.start()
    try:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=spawn) as pool:
            spawned = [pool.submit(methodcaller("transform", X[part]), model) for part in parts]
            from_loky = Parallel(n_jobs=2, backend="loky")(
                delayed(methodcaller("transform", X[part]))(model) for part in parts
            )
            from_spawn = [future.result(timeout=300) for future in spawned]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with capsys.disabled():
        print(
            f"\n{name}: {done['threads']} calls in 6 threads, {done['pickles']} pickles, "
            f"{len(from_spawn)} calls in spawned processes, {len(from_loky)} in loky's"
        )
    assert not wrong
    assert min(done.values()) > 0
    np.testing.assert_array_equal(np.concatenate(from_spawn), expected)
    np.testing.assert_array_equal(np.concatenate(from_loky), expected)
