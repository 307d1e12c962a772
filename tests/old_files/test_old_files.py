"""Every kind of file that an earlier version saved is still read, and gives what it gave."""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae._cli._model import load_model
from sklearn_rqvae.nn import RqVae

HERE = Path(__file__).parent
X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
COLORS, THINGS = ("red", "blue", "green"), ("lamp", "cup", "tea")
TEXTS = [f"{color} {thing}" for color in COLORS for thing in THINGS]
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "expected.npz").exists())


@pytest.fixture(params=VERSIONS)
def folder(request):
    return HERE / request.param


@pytest.fixture
def expected(folder):
    with np.load(folder / "expected.npz") as arrays:
        return dict(arrays)


def test_there_are_files_to_read():
    assert "0.1.0" in VERSIONS


@pytest.mark.parametrize(
    ("name", "kind"),
    [("closed", RQVAETransformer), ("trained", RQVAETransformer), ("kmeans", ResidualKMeans)],
)
def test_estimators_give_the_same_codes_and_rows(folder, expected, name, kind):
    for model in (kind.load(folder / f"{name}.model"), joblib.load(folder / f"{name}.joblib")):
        np.testing.assert_array_equal(model.transform(X), expected[name])
        rows = model.inverse_transform(expected[name])
        np.testing.assert_allclose(rows, expected[f"{name}_rows"], rtol=1e-5, atol=1e-6)


def test_a_stream_goes_on_where_its_pickle_ended(folder, expected):
    model = joblib.load(folder / "stream.joblib").partial_fit(X[40:])
    # By the stored rows alone: how codebooks start from them has changed since, units included.
    np.testing.assert_array_equal(model.transform(X), clone(model).fit(X).transform(X))


def test_a_pipeline_of_texts(folder, expected):
    with warnings.catch_warnings():
        # scikit-learn's own parts, pickled by another version of it
        warnings.filterwarnings("ignore", "Trying to unpickle")
        pipeline = joblib.load(folder / "texts.joblib")
    np.testing.assert_array_equal(pipeline.transform(TEXTS), expected["texts"])


def test_indexes(folder, expected):
    suffix = SemanticIDIndex.load(folder / "suffix.catalog")
    pickled = joblib.load(folder / "suffix.joblib")
    for index in (suffix, pickled):
        np.testing.assert_array_equal(index.ids_, expected["suffix_ids"])
        assert index.item_ids_[3] == "item 21"
        assert index["item 21"] == tuple(expected["suffix_ids"][3])
        assert index.collisions == "suffix"
        codes = index.codes_[:1]
        new = index.append(codes, ["a new one"])
        np.testing.assert_array_equal(new[:, :-1], codes)
    moved = SemanticIDIndex.load(folder / "reassign.catalog")
    np.testing.assert_array_equal(moved.ids_, expected["reassign_ids"])
    trie = joblib.load(folder / "trie.joblib")
    assert trie.level_sizes == suffix.trie().level_sizes[:2] + trie.level_sizes[2:]


def test_torch_modules(folder, expected):
    whole = torch.load(folder / "module_whole.pt", weights_only=False)
    for module in (RqVae.load_from_checkpoint(folder / "module.pt"), whole):
        codes = module.eval().get_semantic_ids(torch.from_numpy(X)).numpy()
        np.testing.assert_array_equal(codes, expected["module"])


def test_models_of_the_command_line(folder, expected):
    model = load_model(str(folder / "command_line.model"))
    np.testing.assert_array_equal(model["pipeline"].transform(X), expected["command_line"])
