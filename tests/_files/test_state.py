"""State written to a file comes back equal, and nothing else is read."""

import copy
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import sklearn

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._files._archive import write_archive
from sklearn_rqvae._files._header import FORMAT_VERSION
from sklearn_rqvae._files._state import flat_state, read_state, write_state
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


def stream_of(kind, rows):
    return kind(n_layers=2, codebook_size=4, random_state=0).partial_fit(rows)


X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
NAN, INFINITE = np.float32("nan"), np.float32("inf")


def holed(array, value=NAN):
    array = array.copy()
    array.ravel()[0] = value
    return array


def change(name, make):
    """Return a crafting of one entry of a state, or of one in a part of it."""

    def craft(state):
        *parts, last = name.split("/")
        for part in parts:
            state = state[int(part) if part.isdigit() else part]
        state[int(last) if last.isdigit() else last] = make(
            state.get(last) if isinstance(state, dict) else state[int(last)]
        )

    return pytest.param(craft, id=f"{name} {make.__code__.co_consts}")


OF_BOTH = [
    change("transform", lambda _: "x"),
    change("__class__", lambda _: "x"),
    change("fingerprint", lambda _: "x"),
    change("_coder", lambda _: "x"),
    change("not an attribute", lambda _: 1),
    change("n_beams", lambda _: -1),
    change("n_beams", lambda _: 0),
    change("n_beams", lambda _: "2"),
    change("n_beams", lambda _: 1.5),
    change("n_features_in_", lambda _: 6.0),
    change("n_features_in_", lambda _: True),
    change("n_features_in_", lambda _: 7),
    change("codebooks_", lambda _: []),
    change("codebooks_", lambda books: books[:1]),
    change("codebooks_", lambda _: "ab"),
    change("codebooks_/0", lambda book: holed(book)),
    change("codebooks_/1", lambda book: holed(book, INFINITE)),
    change("codebooks_/0", lambda book: book.astype(np.float64)),
    change("codebooks_/0", lambda book: book.astype(np.int32)),
    change("codebooks_/0", lambda book: book[:, :3]),
    change("codebooks_/0", lambda book: book[:2]),
    change("codebooks_/0", lambda book: book[None]),
    change("codebooks_/0", lambda book: book[:0]),
    change("codebooks_/0", lambda book: book.tolist()),
    change("code_usage_/0", lambda usage: holed(usage)),
    change("code_usage_/0", lambda usage: -usage),
    change("code_usage_/0", lambda usage: usage[:2]),
    change("feature_names_in_", lambda _: ["a"] * 6),
    change("feature_names_in_", lambda _: np.array(["a"] * 5, dtype=object)),
    change("reservoir_/rows", lambda rows: rows[:3]),
    change("reservoir_/rows", lambda rows: holed(rows)),
    change("reservoir_/rows", lambda rows: rows.astype(np.float64)),
    change("reservoir_/weight", lambda weight: holed(weight)),
    change("reservoir_", lambda _: {}),
    change("reservoir_", lambda _: 3),
]
OF_MEANS = [
    change("mean_", lambda mean: holed(mean)),
    change("mean_", lambda mean: mean.astype(np.float64)),
    change("mean_", lambda mean: mean[:5]),
    change("mean_", lambda mean: mean[None]),
    change("mean_", lambda _: 3),
]
OF_MODULES = [
    change("state_", lambda _: []),
    change("state_/mean", lambda mean: holed(mean, INFINITE)),
    change("state_/scale", lambda scale: 0 * scale),
    change("state_/mean", lambda mean: mean.astype(np.float64)),
    change("state_/quantizer.levels.0.weight", lambda weight: holed(weight)),
    change("state_/quantizer.levels.0.weight", lambda weight: weight + 1),
    change("state_/quantizer.levels.2.weight", lambda _: np.zeros((4, 6), np.float32)),
    change("state_/decoder.interactions.keys", lambda keys: holed(keys, 2**40)),
    change("state_/decoder.interactions.keys", lambda keys: holed(keys, -1)),
    change("state_/decoder.interactions.keys", lambda keys: keys[::-1].copy()),
    change("state_/decoder.interactions.keys", lambda keys: keys.astype(np.float32)),
    change("state_/decoder.interactions.vectors", lambda vectors: holed(vectors)),
    change("state_/decoder.interactions.vectors", lambda vectors: vectors[:, :1]),
    change("state_/extra", lambda _: np.zeros(3, np.float32)),
    change("architecture_", lambda _: 3),
    change("architecture_/n_layers", lambda _: 10**12),
    change("architecture_/codebook_size", lambda _: [4, 10**12]),
    change("architecture_/hidden_dims", lambda _: [10**6, 10**6]),
    change("architecture_/interactions", lambda _: {"n_pairs": 10**12, "dim": 1}),
    change("architecture_/interactions", lambda _: None),
    change("architecture_/unknown", lambda _: 1),
    change("module", lambda _: "os.system"),
]


@pytest.fixture(scope="module", params=[RQVAETransformer, ResidualKMeans])
def stream(request):
    return stream_of(request.param, X)


def refuse(model, craft, path):
    state = model._plain_state()
    write_state(path, type(model).__name__, copy.deepcopy(state))
    state = read_state(path, type(model).__name__)
    type(model)._of_state(copy.deepcopy(state))
    craft(state)
    write_state(path, type(model).__name__, state)
    with pytest.raises(CheckpointError, match="damaged"):
        type(model).load(path)


@pytest.mark.parametrize("craft", OF_BOTH)
def test_crafted_states_are_refused(stream, craft, tmp_path):
    refuse(stream, craft, tmp_path / "model")


@pytest.mark.parametrize("craft", OF_MEANS)
def test_crafted_means_are_refused(craft, tmp_path):
    refuse(stream_of(ResidualKMeans, X), craft, tmp_path / "model")


@pytest.mark.parametrize("craft", OF_MODULES)
def test_crafted_modules_are_refused(craft, tmp_path):
    refuse(stream_of(RQVAETransformer, X), craft, tmp_path / "model")


def test_an_array_is_read_once(stream, tmp_path):
    # A header of a megabyte could ask for a large array a hundred thousand times.
    path = tmp_path / "model"
    header, arrays = flat_state(type(stream).__name__, stream._plain_state())
    text = json.dumps(header).replace("state.codebooks_.1", "state.codebooks_.0")
    write_archive(path, json.loads(text), arrays)
    with pytest.raises(CheckpointError, match="is used twice"):
        type(stream).load(path)


def test_what_set_output_set_is_kept(tmp_path):
    pytest.importorskip("pandas")
    model = stream_of(ResidualKMeans, X).set_output(transform="pandas")
    model.save(tmp_path / "model")
    assert list(ResidualKMeans.load(tmp_path / "model").transform(X).shape) == [60, 2]
    assert hasattr(ResidualKMeans.load(tmp_path / "model").transform(X), "columns")


def test_what_could_not_be_loaded_is_not_saved(stream, tmp_path):
    bad = copy.deepcopy(stream)
    bad.n_beams = -1
    noted = copy.deepcopy(stream)
    noted.note = "mine"
    with sklearn.config_context(enable_metadata_routing=True):
        routed = copy.deepcopy(stream).set_fit_request(sample_weight=True)
    for model, message in (
        (bad, "'n_beams' parameter"),
        (noted, "'note' is neither a parameter"),
        (routed, "requests of metadata, which set_fit_request .* del estimator._metadata_request"),
    ):
        with pytest.raises(ValueError, match=message):
            model.save(tmp_path / "model")
        with pytest.raises(ValueError, match=message):
            model.save_pretrained(tmp_path / "folder")
    assert not os.listdir(tmp_path)
    del routed._metadata_request
    routed.save(tmp_path / "model")
