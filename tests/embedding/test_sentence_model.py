"""Language models come from a folder, the cache or the hub, or fail at once with the ways out."""

import pickle
import sys
import time
import types

import numpy as np
import pytest

from sklearn_rqvae.embedding._sentence_model import SentenceModel, _looks_like_path


class StoredModel:
    """Stand in for a loaded sentence-transformers model."""

    def __init__(self, source):
        self.source = source

    def encode(self, texts, batch_size, show_progress_bar, convert_to_numpy):
        assert batch_size == len(texts)
        assert not show_progress_bar
        assert convert_to_numpy
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


@pytest.fixture
def libraries(monkeypatch):
    """Replace both libraries by a cache, a hub, and a log of what they were asked."""
    world = types.SimpleNamespace(cached=set(), hub=set(), asked=[])

    def load(name, device=None, local_files_only=False):
        world.asked.append(("load", name, device, local_files_only))
        if name in world.cached or (not local_files_only and name in world.hub):
            return StoredModel(name)
        raise OSError("not here")

    def download(repository, allow_patterns, etag_timeout):
        world.asked.append(("download", repository))
        assert etag_timeout <= 10
        if repository.removeprefix("sentence-transformers/") not in world.hub:
            raise OSError("no answer")

    sentence_transformers = types.ModuleType("sentence_transformers")
    sentence_transformers.SentenceTransformer = load
    huggingface_hub = types.ModuleType("huggingface_hub")
    huggingface_hub.snapshot_download = download
    monkeypatch.setitem(sys.modules, "sentence_transformers", sentence_transformers)
    monkeypatch.setitem(sys.modules, "huggingface_hub", huggingface_hub)
    return world


def test_the_cache_is_tried_before_the_hub(libraries):
    libraries.cached.add("MiniLM")
    SentenceModel("MiniLM", "cpu", store_model=False).load()
    assert libraries.asked == [("load", "MiniLM", "cpu", True)]


def test_the_hub_is_asked_when_the_cache_is_empty(libraries):
    libraries.hub.add("MiniLM")
    SentenceModel("MiniLM", None, store_model=False).load()
    assert libraries.asked == [
        ("load", "MiniLM", None, True),
        ("download", "sentence-transformers/MiniLM"),
        ("load", "MiniLM", None, False),
    ]


def test_an_owner_in_the_name_is_kept(libraries):
    libraries.hub.add("owner/model")
    SentenceModel("owner/model", None, store_model=False).load()
    assert ("download", "owner/model") in libraries.asked


def test_a_model_that_is_nowhere_is_an_error_with_the_ways_out(libraries):
    with pytest.raises(
        OSError,
        match=r"model='MiniLM' can't be loaded: .*hub can't be reached.*model='tfidf'.*folder",
    ):
        SentenceModel("MiniLM", None, store_model=False).load()


def test_a_folder_is_loaded_without_the_hub(libraries, tmp_path):
    libraries.cached.add(str(tmp_path))
    SentenceModel(str(tmp_path), None, store_model=False).load()
    assert libraries.asked == [("load", str(tmp_path), None, True)]


def test_a_folder_without_a_model_never_asks_the_hub(libraries, tmp_path):
    with pytest.raises(OSError, match="holds no complete sentence-transformers model"):
        SentenceModel(str(tmp_path), None, store_model=False).load()
    assert [asked[0] for asked in libraries.asked] == ["load"]


def test_a_missing_folder_is_told_before_any_library_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        SentenceModel("./no/such/folder", None, store_model=False).load()


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn-rqvae\[text\]"'):
        SentenceModel("MiniLM", None, store_model=False).load()


@pytest.mark.parametrize(
    ("name", "is_path"),
    [
        ("all-MiniLM-L6-v2", False),
        ("owner/model", False),
        ("./model", True),
        ("../model", True),
        ("/model", True),
        ("~/model", True),
        ("models/a/b", True),
        (r"models\a", True),
    ],
)
def test_names_that_can_only_be_folders_are_told_from_hub_names(name, is_path):
    assert _looks_like_path(name) is is_path


def test_weights_stay_out_of_pickles_and_are_loaded_again(libraries):
    libraries.cached.add("MiniLM")
    model = SentenceModel("MiniLM", None, store_model=False).load()
    again = pickle.loads(pickle.dumps(model))
    assert again._model is None
    np.testing.assert_array_equal(again.encode(["ab", "abc"]), model.encode(["ab", "abc"]))
    assert len(libraries.asked) == 2


def test_weights_are_stored_on_request(libraries):
    libraries.cached.add("MiniLM")
    model = pickle.loads(pickle.dumps(SentenceModel("MiniLM", None, store_model=True).load()))
    model.encode(["a"])
    assert len(libraries.asked) == 1


def test_an_unknown_model_fails_within_seconds(monkeypatch, tmp_path):
    # Real libraries: offline, the search must end at once instead of repeating requests for
    # minutes.
    pytest.importorskip("sentence_transformers", reason="needs the extra [text]")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(OSError, match="Ways out"):
        SentenceModel("sklearn-rqvae-no-such-model", "cpu", store_model=False).load()
    assert time.perf_counter() - start < 20
