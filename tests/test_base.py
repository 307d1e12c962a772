"""What both estimators have in common once they are fitted, saving above all."""

import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._files._state import write_state
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.semantic_id import SemanticIDIndex

SIZES = {"n_layers": 2, "codebook_size": [5, 4], "random_state": 0}
X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)

BOTH = pytest.mark.parametrize("cls", [RQVAETransformer, ResidualKMeans])


@BOTH
def test_save_and_load_keep_everything(cls, tmp_path):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    estimator = cls(**SIZES, n_beams=3).fit(frame, sample_weight=np.arange(120.0))
    path = tmp_path / "model"
    estimator.save(path)
    loaded = cls.load(path)
    assert type(loaded) is cls
    codes = estimator.transform(frame)
    np.testing.assert_array_equal(loaded.transform(frame), codes)
    np.testing.assert_array_equal(
        loaded.inverse_transform(codes), estimator.inverse_transform(codes)
    )
    assert loaded.get_params() == estimator.get_params()
    assert loaded.feature_names_in_.tolist() == list("abcdef")
    assert vars(loaded).keys() == vars(estimator).keys()
    again = tmp_path / "again"
    loaded.save(again)
    assert again.read_bytes()[:4] == path.read_bytes()[:4] == b"PK\x03\x04"
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(again) as other:
        assert {n: one.read(n) for n in one.namelist()} == {
            n: other.read(n) for n in other.namelist()
        }


@BOTH
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 6),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    n_beams=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
@example(n=1, d=1, sizes=[1], n_beams=1, seed=0)
@example(n=2, d=6, sizes=[9, 1, 9, 1], n_beams=5, seed=0)
def test_loaded_estimators_give_the_codes_of_the_saved_ones(
    cls, n, d, sizes, n_beams, seed, tmp_path_factory
):
    rows = np.random.default_rng(seed).integers(-2, 3, size=(n + 20, d)).astype(np.float32)
    params = {"n_layers": len(sizes), "codebook_size": sizes, "n_beams": n_beams}
    estimator = cls(**params, random_state=seed).fit(rows[:n])
    path = tmp_path_factory.mktemp("law") / "model"
    estimator.save(path)
    np.testing.assert_array_equal(cls.load(path).transform(rows), estimator.transform(rows))


@BOTH
def test_a_saved_file_holds_a_header_and_plain_arrays_only(cls, tmp_path):
    cls(**SIZES).fit(X).save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model") as archive:
        names = archive.namelist()
        assert names[0] == "header.json"
        for name in names[1:]:
            with archive.open(name) as member:
                np.lib.format.read_array(member, allow_pickle=False)


@BOTH
def test_an_estimator_that_cannot_be_saved_leaves_the_old_file(cls, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(NotFittedError):
        cls().save(path)
    assert not path.exists()
    estimator = cls(**SIZES).fit(X)
    estimator.save(path)
    before = path.read_bytes()
    estimator.set_params(random_state=np.random.RandomState(0))
    with pytest.raises(TypeError, match=r"random_state is of type RandomState.*joblib"):
        estimator.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_of_the_other_estimator_is_refused(tmp_path):
    path = tmp_path / "model"
    ResidualKMeans(**SIZES).fit(X).save(path)
    with pytest.raises(CheckpointError, match=r"ResidualKMeans, not a RQ.*ResidualKMeans\.load"):
        RQVAETransformer.load(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="damaged"):
        ResidualKMeans.load(path)
    SemanticIDIndex().fit([[0, 1]]).save(path)
    with pytest.raises(CheckpointError, match=r"holds a SemanticIDIndex.*SemanticIDIndex\.load"):
        ResidualKMeans.load(path)


@BOTH
@pytest.mark.parametrize("state", [None, [1], "text", {}, {"n_layers": 2}])
def test_a_state_that_is_no_fitted_estimators_is_damage(cls, state, tmp_path):
    write_state(tmp_path / "model", cls.__name__, state)
    with pytest.raises(CheckpointError, match="damaged"):
        cls.load(tmp_path / "model")


@BOTH
def test_candidates_start_with_the_codes_whose_errors_they_tell(cls):
    estimator = cls(**SIZES, n_beams=3).fit(X)
    codes, errors = estimator.candidate_codes(X, n_candidates=3)
    assert codes.shape == (120, 3, 2)
    np.testing.assert_array_equal(codes[:, 0], estimator.transform(X))
    decoded = estimator.inverse_transform(codes[:, 2])
    np.testing.assert_allclose(np.square(X - decoded).sum(axis=1), errors[:, 2], rtol=1e-3)
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match=f"n_candidates={wrong}"):
            estimator.candidate_codes(X, n_candidates=wrong)


@BOTH
def test_weights_are_checked_alike_in_fit_and_score(cls):
    zeros, negative = np.zeros(120), np.full(120, -1.0)
    estimator = cls(**SIZES).fit(X)
    for method in (cls(**SIZES).fit, estimator.score):
        with pytest.raises(ValueError, match="zero"):
            method(X, sample_weight=zeros)
        with pytest.raises(ValueError, match=r"[Nn]egative"):
            method(X, sample_weight=negative)


@BOTH
def test_codes_come_as_the_frame_that_was_asked_for(cls):
    frame = cls(**SIZES).set_output(transform="pandas").fit_transform(X)
    prefix = cls.__name__.lower()
    assert frame.columns.tolist() == [f"{prefix}0", f"{prefix}1"]
    assert (frame.to_numpy() < [5, 4]).all()


@pytest.mark.parametrize("spread", [1e2, 1e4])
@pytest.mark.parametrize("cls", [RQVAETransformer, ResidualKMeans])
def test_errors_of_candidates_keep_their_digits_beside_long_rows(cls, spread):
    rng = np.random.default_rng(0)
    far, near = spread * rng.normal(size=(8, 16)), rng.normal(size=(8, 16))
    X = far[rng.integers(8, size=500)] + near[rng.integers(8, size=500)]
    X += 0.05 * rng.normal(size=X.shape)
    estimator = cls(n_layers=2, codebook_size=8, random_state=0).fit(X)
    codes, errors = estimator.candidate_codes(X, n_candidates=4)
    decoded = estimator.inverse_transform(codes.reshape(-1, 2)).reshape(*codes.shape[:2], -1)
    expected = np.square(X[:, None].astype(np.float32) - decoded).sum(2)
    np.testing.assert_allclose(errors, expected, rtol=2e-2)
    assert (np.diff(errors, axis=1) >= 0).all()
