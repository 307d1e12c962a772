"""State written to a file comes back equal, and nothing else is read."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._files._header import FORMAT_VERSION
from sklearn_rqvae._files._state import read_state, write_state
from sklearn_rqvae.exceptions import CheckpointError


def test_state_round_trips(tmp_path):
    state = {
        "params": {"hidden_dims": (4, 2), "lr": 0.1, "module": None, "flag": True},
        "codebooks": [np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((0, 2))],
        "names": np.array(["a", "ü"], dtype=object),
        "history": [{"epoch": 1, "loss": float("nan")}],
        "count": np.int64(3),
    }
    write_state(tmp_path / "model", "Thing", state)
    back = read_state(tmp_path / "model", "Thing")
    assert back["params"] == state["params"]
    assert back["count"] == 3
    assert np.isnan(back["history"][0]["loss"])
    assert back["names"].tolist() == ["a", "ü"]
    for old, new in zip(state["codebooks"], back["codebooks"], strict=True):
        np.testing.assert_array_equal(old, new)
        assert old.dtype == new.dtype


def test_a_failed_save_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "model"
    write_state(path, "Thing", {"a": 1})
    with pytest.raises(TypeError, match=r"state\.b is of type object"):
        write_state(path, "Thing", {"b": object()})

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        write_state(path, "Thing", {"b": np.ones(3)})
    assert read_state(path, "Thing") == {"a": 1}
    assert os.listdir(tmp_path) == ["model"]


def test_foreign_files_are_refused_with_the_way_out(tmp_path):
    pickled = tmp_path / "model.pkl"
    pickled.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match=r"joblib\.load"):
        read_state(pickled, "Thing")
    write_state(tmp_path / "other", "Other", {"a": 1})
    with pytest.raises(CheckpointError, match="holds a Other, not a Thing"):
        read_state(tmp_path / "other", "Thing")
    with zipfile.ZipFile(tmp_path / "late", "w") as archive:
        header = {"format": FORMAT_VERSION + 1, "kind": "Thing", "state": {}}
        archive.writestr("header.json", json.dumps(header))
    with pytest.raises(CheckpointError, match="upgrade"):
        read_state(tmp_path / "late", "Thing")


def test_no_pickled_array_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil", "w") as archive:
        header = {"format": 1, "kind": "Thing", "state": {"__dict__": [["a", {"__array__": "a"}]]}}
        archive.writestr("header.json", json.dumps(header))
        with archive.open("a.npy", "w") as member:
            np.lib.format.write_array(member, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises((CheckpointError, ValueError), match=r"pickle|damaged"):
        read_state(tmp_path / "evil", "Thing")


SHAPES = {"input_dim": 10**9, "embed_dim": 10**9, "n_layers": 2, "codebook_size": [4, 4, 10**9]}


@pytest.mark.parametrize(
    ("mode", "key", "value"),
    [
        *((mode, key, value) for mode in (None, "STE") for key, value in SHAPES.items()),
        ("STE", "hidden_dims", [10**9]),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path, mode, key, value):
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    params = {"codebook_size": 4, "hidden_dims": [5], "embed_dim": 6, "max_epochs": 1}
    model = RQVAETransformer(**params, codebook_mode=mode, random_state=0).fit(X)
    model.architecture_[key] = value
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError):
        RQVAETransformer.load(tmp_path / "model")


def test_codebooks_of_another_width_are_refused(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    model = ResidualKMeans(codebook_size=4, random_state=0).fit(X)
    model.codebooks_[1] = model.codebooks_[1][:, :5]
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="rows of 6 features"):
        ResidualKMeans.load(tmp_path / "model")


def test_a_model_of_a_device_that_is_not_here_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    model = RQVAETransformer(codebook_size=4, device="cpu", random_state=0).fit(X)
    codes = model.transform(X)
    model.set_params(device="cuda").save(tmp_path / "model")
    loaded = RQVAETransformer.load(tmp_path / "model")
    with pytest.raises(ValueError, match="device='cuda' isn't available"):
        loaded.transform(X)
    np.testing.assert_array_equal(loaded.set_params(device="cpu").transform(X), codes)
