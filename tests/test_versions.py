"""Versions are kept with what is saved, others are warned of; equal fits are equal bytes."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning as SklearnWarning

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex, TextEmbedder, _versions
from sklearn_rqvae.embedding import ViewFusion
from sklearn_rqvae.exceptions import InconsistentVersionWarning
from sklearn_rqvae.nn import QuantizeForwardMode, RqVae
from sklearn_rqvae.semantic_id import SemanticIDTrie

X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
TRAINED = {"codebook_mode": "STE", "max_epochs": 2, "hidden_dims": [4], "embed_dim": 3}


def trained():
    return RQVAETransformer(codebook_size=4, random_state=0, **TRAINED).fit(X)


FITTED = {
    "closed": RQVAETransformer(codebook_size=4, random_state=0).fit(X),
    "trained": trained(),
    "kmeans": ResidualKMeans(codebook_size=4, random_state=0).fit(X),
    "catalog": SemanticIDIndex().fit(np.arange(6).reshape(3, 2), ["a", "b", "c"]),
    "views": ViewFusion(views=[2, 4]).fit(X),
    "trie": SemanticIDTrie([[0, 1], [2, 1]]),
    "texts": TextEmbedder(n_components=2).fit(["red lamp", "blue lamp", "red cup"]),
}
SAVED = [name for name in FITTED if name not in ("texts", "trie", "views")]


@pytest.fixture(params=FITTED)
def fitted(request):
    return FITTED[request.param]


@pytest.fixture
def by_file(tmp_path):
    def copied(fitted):
        fitted.save(tmp_path / "file")
        return type(fitted).load(tmp_path / "file")

    return copied


def other_versions(monkeypatch, package, version):
    """Let what was saved before seem to come from another version."""
    now = {**_versions.present_versions(), package: version}
    for module in ("_versions", "_files._header"):
        monkeypatch.setattr(f"sklearn_rqvae.{module}.present_versions", lambda: now)


@pytest.mark.parametrize("package", ["sklearn_rqvae", "sklearn"])
def test_another_version_is_warned_of_in_a_pickle(fitted, monkeypatch, package):
    content = pickle.dumps(fitted)
    other_versions(monkeypatch, package, "99.0")
    ours = package == "sklearn_rqvae"
    with pytest.warns(InconsistentVersionWarning if ours else SklearnWarning) as caught:
        pickle.loads(content)
    mine = [one for one in caught if issubclass(one.category, InconsistentVersionWarning)]
    assert len(mine) == ours
    assert type(fitted).__name__ in str(caught[0].message)
    assert "99.0" in str(caught[0].message)
    assert {one.filename for one in mine} <= {__file__}


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("package", ["sklearn_rqvae", "sklearn"])
def test_another_version_is_warned_of_in_a_file(name, monkeypatch, package, tmp_path):
    fitted = FITTED[name]
    fitted.save(tmp_path / "file")
    other_versions(monkeypatch, package, "99.0")
    with pytest.warns(SklearnWarning, match=r"99\.0"):
        type(fitted).load(tmp_path / "file")


def test_another_version_is_warned_of_in_a_checkpoint(monkeypatch, tmp_path):
    RqVae(3, 2, [2], 2).save_checkpoint(tmp_path / "file")
    other_versions(monkeypatch, "sklearn_rqvae", "99.0")
    with pytest.warns(InconsistentVersionWarning, match=r"RqVae was saved by .* read by 99\.0"):
        RqVae.load_from_checkpoint(tmp_path / "file")


def test_the_versions_are_in_the_state_and_not_in_the_object(fitted):
    versions = fitted.__getstate__()["_versions"]
    assert versions["sklearn"] == sklearn.__version__
    again = pickle.loads(pickle.dumps(fitted))
    assert "_versions" not in vars(again)
    assert "_versions" not in vars(fitted)


def test_no_warning_in_normal_use(fitted, by_file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(fitted))
        copy.deepcopy(fitted)
        if hasattr(fitted, "get_params"):
            clone(fitted)
        if hasattr(fitted, "save"):
            by_file(fitted)


def test_pickled_twice_the_bytes_are_equal(fitted):
    content = pickle.dumps(fitted)
    assert pickle.dumps(fitted) == content
    again = pickle.loads(content)
    assert pickle.dumps(pickle.loads(pickle.dumps(again))) == pickle.dumps(again)
    assert joblib.hash(fitted) == joblib.hash(copy.deepcopy(fitted))


def test_equal_fits_are_equal_bytes_whatever_time_they_took(tmp_path):
    one, other = trained(), trained()
    assert "dur" not in one.history_[0]
    assert pickle.dumps(one) == pickle.dumps(other)
    assert joblib.hash(one) == joblib.hash(other)
    one.save(tmp_path / "one")
    other.save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_modes_are_pickled_by_their_names():
    modes = (QuantizeForwardMode.STE, "gumbel_softmax")
    model = RQVAETransformer(n_layers=2, codebook_mode=modes)
    assert pickle.loads(pickle.dumps(model)).codebook_mode == ("STE", "gumbel_softmax")
    assert model.codebook_mode is modes


# Names for content


@pytest.mark.parametrize("name", SAVED)
def test_a_fingerprint_is_kept_by_every_way_of_saving(name, by_file):
    fitted = FITTED[name]
    assert len(fitted.fingerprint) == 64
    for again in (pickle.loads(pickle.dumps(fitted)), by_file(fitted), copy.deepcopy(fitted)):
        assert again.fingerprint == fitted.fingerprint


def test_a_fingerprint_of_equal_fits_is_equal_and_of_others_is_not():
    closed = {"codebook_size": 4, "random_state": 0}
    models = [
        RQVAETransformer(**closed).fit(X),
        RQVAETransformer(**closed, n_beams=1).fit(X),
        RQVAETransformer(**closed, n_layers=2).fit(X),
        RQVAETransformer(**closed).fit(X[:50]),
        RQVAETransformer(**closed, **TRAINED).fit(X),
        ResidualKMeans(**closed).fit(X),
        ResidualKMeans(**closed, n_beams=1).fit(X),
    ]
    assert len({model.fingerprint for model in models}) == len(models)
    again = RQVAETransformer(codebook_size=4, random_state=0, verbose=0).fit(X)
    assert again.fingerprint == models[0].fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"verbose": 1},
        {"max_epochs": 7},
        {"lr": 0.5},
        {"device": "cpu"},
        {"random_state": 5},
    ],
)
def test_what_codes_do_not_depend_on_has_no_part_in_a_fingerprint(change):
    model = trained()
    before = model.fingerprint
    assert model.set_params(**change).fingerprint == before


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("quantizer.levels.0.usage", False),
        ("quantizer.temperature", False),
        ("quantizer.levels.0.radius", False),
        ("quantizer.levels.0.weight", True),
        ("decoder.mlp.0.bias", True),
        ("mean", True),
    ],
)
def test_what_is_learned_counts_where_codes_or_rows_depend_on_it(name, counts):
    model = trained()
    before, codes = model.fingerprint, model.transform(X)
    rows = model.inverse_transform(codes)
    model.state_ = {**model.state_, name: model.state_[name] + np.float32(1)}
    assert (model.fingerprint != before) == counts
    if not counts:
        np.testing.assert_array_equal(model.transform(X), codes)
        np.testing.assert_array_equal(model.inverse_transform(codes), rows)


def test_an_unfitted_estimator_has_no_fingerprint():
    for empty in (RQVAETransformer(), ResidualKMeans(), SemanticIDIndex()):
        assert not hasattr(empty, "fingerprint")
