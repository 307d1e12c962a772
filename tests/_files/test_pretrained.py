"""Folders of the Hub's layout: equal models come back, from here and from there."""

import json
import os

import numpy as np
import pytest

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer
from sklearn_rqvae.exceptions import CheckpointError

pytest.importorskip("safetensors")

X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
TRAINED = {"codebook_mode": "STE", "max_epochs": 2, "hidden_dims": [4], "embed_dim": 3}
MODELS = {
    "closed": RQVAETransformer(codebook_size=4, random_state=0).fit(X),
    "trained": RQVAETransformer(codebook_size=4, random_state=0, **TRAINED).fit(X),
    "kmeans": ResidualKMeans(codebook_size=4, random_state=0).fit(X),
    "product": ProductQuantizer(3, 4, random_state=0).fit(X),
    "stream": ResidualKMeans(codebook_size=4, random_state=0).partial_fit(X),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def assert_same(one, other):
    assert type(one) is type(other)
    assert one.fingerprint == other.fingerprint
    codes = one.transform(X)
    np.testing.assert_array_equal(codes, other.transform(X))
    np.testing.assert_array_equal(one.inverse_transform(codes), other.inverse_transform(codes))


def test_a_folder_gives_the_model_back(model, tmp_path):
    model.save_pretrained(tmp_path / "new" / "folder")
    names = {"README.md", "config.json", "model.safetensors"}
    assert set(os.listdir(tmp_path / "new" / "folder")) == names
    assert_same(model, type(model).from_pretrained(tmp_path / "new" / "folder"))


def test_a_loaded_model_learns_on(tmp_path):
    MODELS["stream"].save_pretrained(tmp_path)
    ResidualKMeans.from_pretrained(str(tmp_path)).partial_fit(X + 1)


def test_saved_twice_the_bytes_are_equal(model, tmp_path):
    for name in ("one", "two"):
        model.save_pretrained(tmp_path / name)
    for name in os.listdir(tmp_path / "one"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_a_card_says_what_the_model_is_and_is_not_overwritten(model, tmp_path):
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: sklearn-rqvae\n")
    for part in (
        model.fingerprint,
        "4 × 4 × 4",
        "60 distinct rows",
        f"{type(model).__name__}.from_pretrained",
        "| 2 | 4 | 100.0% |",
    ):
        assert part in card
    assert ("2 epochs, the last one with train_loss" in card) == (model is MODELS["trained"])
    (tmp_path / "README.md").write_text("my own words")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "my own words"


def test_safetensors_reads_the_arrays_by_name(tmp_path):
    from safetensors.numpy import load_file

    MODELS["kmeans"].save_pretrained(tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(arrays["state.mean_"], MODELS["kmeans"].mean_)


def test_a_repository_is_downloaded_by_its_id(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    MODELS["kmeans"].save_pretrained(tmp_path)
    asked = []

    def download(repo_id, *, revision, allow_patterns):
        asked.append((repo_id, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = ResidualKMeans.from_pretrained("somebody/ids", revision="v1")
    assert_same(found, MODELS["kmeans"])
    assert asked == [("somebody/ids", "v1", ["config.json", "model.safetensors"])]


@pytest.mark.parametrize("name", ["no folder", "../none", "a/b/c", "/none/there", "/none", ""])
def test_what_is_neither_a_folder_nor_an_id_is_said_to_be_none(name):
    with pytest.raises(FileNotFoundError, match="neither a folder nor the id of a repository"):
        ResidualKMeans.from_pretrained(name)


def test_a_folder_without_a_file_names_it(tmp_path):
    MODELS["kmeans"].save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        ResidualKMeans.from_pretrained(tmp_path)


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(format_version=0),
        lambda config: config.update(format_version=99),
        lambda config: config.update(kind="RQVAETransformer"),
        lambda config: config.update(state=[]),
        lambda config: config.pop("state"),
        lambda config: config.pop("sha256"),
        lambda config: config["state"]["__dict__"].append(["transform", "x"]),
        lambda config: config["state"]["__dict__"].append(["n_beams", -1]),
        lambda config: config["state"]["__dict__"].append(["mean_", {"__array__": "none"}]),
    ],
)
def test_crafted_configurations_are_refused(tmp_path, change):
    MODELS["kmeans"].save_pretrained(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(CheckpointError):
        ResidualKMeans.from_pretrained(tmp_path)


def test_damage_to_the_weights_is_seen(tmp_path):
    MODELS["kmeans"].save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        weights.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="isn't the one that"):
            ResidualKMeans.from_pretrained(tmp_path)


def test_a_failed_save_leaves_the_old_folder(tmp_path):
    model = MODELS["kmeans"]
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    bad = ResidualKMeans(codebook_size=4, random_state=np.random.RandomState(0)).fit(X)
    with pytest.raises(TypeError, match="random_state"):
        bad.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
