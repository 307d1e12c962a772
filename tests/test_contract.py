"""What every estimator of semantic IDs promises, however it learns: one law, one test."""

import copy
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer
from sklearn_rqvae._files._state import write_state
from sklearn_rqvae.exceptions import CheckpointError, CodebookCollapseWarning
from sklearn_rqvae.nn import QuantizeForwardMode
from sklearn_rqvae.semantic_id import SemanticIDIndex

SIZES = {"n_layers": 3, "codebook_size": 8, "n_beams": 4, "random_state": 0}
MODES = [mode.name for mode in QuantizeForwardMode]


def trained(mode="STE", **params):
    """Return an estimator that is trained by gradients for a few epochs."""
    return RQVAETransformer(**{**SIZES, "max_epochs": 3, "codebook_mode": [mode] * 3, **params})


def textbook(mode="STE", **params):
    """Return one without linear path, searched greedily."""
    plain = {"linear_path": False, "hidden_dims": (16,), "embed_dim": 4, "n_beams": 1}
    return trained(mode, **plain, **params)


LEARNED_AT_ONCE = {
    "closed form": RQVAETransformer(**SIZES),
    "k-means": ResidualKMeans(**SIZES),
    "product": ProductQuantizer(3, 8, random_state=0),
}
ESTIMATORS = {
    **LEARNED_AT_ONCE,
    "gradients": trained(hidden_dims=(16,), embed_dim=4),
    "textbook": textbook(),
}
IN_EVERY_MODE = {
    **LEARNED_AT_ONCE,
    **{f"gradients {mode}": trained(mode) for mode in MODES},
    **{f"textbook {mode}": textbook(mode) for mode in MODES},
}
BOTH = pytest.mark.parametrize("cls", [RQVAETransformer, ResidualKMeans])


def each(estimators):
    """Parametrize a test by estimators, none of them fitted."""
    return pytest.mark.parametrize("estimator", estimators.values(), ids=estimators)


def make_rows(n=200, d=6, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(12, d)) * 3
    return (centers[rng.integers(0, 12, n)] + rng.normal(size=(n, d))).astype(np.float32)


X = make_rows()


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS)
def fitted(request):
    """Give an estimator fitted to `X`, which tests must leave as it is."""
    return clone(request.param).fit(X)


@pytest.fixture(scope="module", params=ESTIMATORS.values(), ids=ESTIMATORS)
def fitted_to_wide_rows(request):
    return clone(request.param).fit(make_rows(200, d=33))


def with_beams(estimator, n_beams):
    """Set the number of beams of an estimator that searches with some."""
    has_beams = "n_beams" in estimator.get_params(deep=False)
    return estimator.set_params(n_beams=n_beams) if has_beams else estimator


def assert_same_codebooks(one, other):
    for a, b in zip(one.codebooks_, other.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)


def have_same_codebooks(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.codebooks_, other.codebooks_, strict=True))


# --- codes and reconstruction -------------------------------------------------------------------


def test_codes_are_int64_in_range_and_decode_to_the_input_shape(fitted):
    codes = fitted.transform(X)
    assert codes.dtype == np.int64
    assert codes.shape == (200, 3)
    assert codes.min() >= 0
    assert codes.max() < 8
    for n_levels in (1, 2, 3):
        coarse = fitted.inverse_transform(codes[:, :n_levels])
        assert coarse.shape == X.shape
        assert coarse.dtype == np.float32


@each({**ESTIMATORS, "textbook": textbook(max_epochs=30)})
def test_each_level_makes_the_reconstruction_better(estimator):
    estimator = clone(estimator).fit(X)
    codes = estimator.transform(X)
    errors = [((X - estimator.inverse_transform(codes[:, :k])) ** 2).mean() for k in (1, 2, 3)]
    assert X.var(axis=0).mean() > errors[0] > errors[1] > errors[2]


@BOTH
def test_levels_may_have_codebooks_of_their_own_sizes(cls):
    sizes = [3, 1, 8, 2, 5, 4, 4, 2, 16]
    estimator = cls(n_layers=9, codebook_size=sizes, random_state=0).fit(X[:100])
    assert [len(codebook) for codebook in estimator.codebooks_] == sizes
    assert (estimator.transform(X) < sizes).all()


@BOTH
def test_a_single_row_is_kept(cls):
    single = cls(random_state=0).fit(X[:1])
    np.testing.assert_allclose(single.inverse_transform(single.transform(X[:1])), X[:1], rtol=1e-5)


def test_inverse_transform_takes_whole_floats_and_refuses_what_are_no_codes(fitted):
    codes = np.array([[0, 7, 3]])
    np.testing.assert_array_equal(
        fitted.inverse_transform(codes.astype(float)), fitted.inverse_transform(codes)
    )
    for wrong in ([[0, 8, 0]], [[-1, 0, 0]], [[0.5, 0, 0]], [[0, 0, 0, 0]], [0, 0, 0]):
        with pytest.raises(ValueError, match="codes"):
            fitted.inverse_transform(wrong)


def test_score_is_the_negative_mean_squared_error(fitted):
    errors = ((X - fitted.inverse_transform(fitted.transform(X))) ** 2).mean(1)
    assert fitted.score(X) == pytest.approx(-errors.mean(), rel=1e-5)
    weight = np.arange(len(X))
    expected = -np.average(errors, weights=weight)
    assert fitted.score(X, sample_weight=weight) == pytest.approx(expected, rel=1e-5)


def test_candidates_start_with_the_codes_and_get_worse(fitted):
    fitted = with_beams(copy.copy(fitted), 4)
    codes, errors = fitted.candidate_codes(X, n_candidates=4)
    assert codes.shape == (200, 4, 3)
    np.testing.assert_array_equal(codes[:, 0], fitted.transform(X))
    assert (np.diff(errors, axis=1) >= 0).all()
    for rank in (2, 3):
        decoded = fitted.inverse_transform(codes[:, rank])
        expected = np.square(X - decoded).sum(axis=1)
        np.testing.assert_allclose(expected, errors[:, rank], rtol=1e-3, atol=1e-4)
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match=f"n_candidates={wrong}"):
            fitted.candidate_codes(X, n_candidates=wrong)


@BOTH
def test_there_are_no_more_candidates_than_code_tuples(cls):
    few = cls(codebook_size=2, n_layers=1, random_state=0).fit(X)
    assert few.candidate_codes(X, n_candidates=9)[0].shape == (200, 2, 1)


@pytest.mark.parametrize("spread", [1e2, 1e4])
@BOTH
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


@each(ESTIMATORS)
def test_usage_counts_the_weights_of_the_training_rows(estimator):
    weight = np.random.default_rng(1).integers(1, 4, size=len(X))
    estimator = clone(estimator).fit(X, sample_weight=weight)
    codes = estimator.transform(X)
    for level, usage in enumerate(estimator.code_usage_):
        expected = np.bincount(codes[:, level], weight / weight.mean(), minlength=8)
        np.testing.assert_allclose(usage, expected, rtol=1e-5)


# --- one function of the weighted set of rows ---------------------------------------------------


@each(ESTIMATORS)
@settings(max_examples=10)  # each of them fits three times
@given(seed=st.integers(0, 50))
@example(seed=0)
def test_weights_are_repetitions_and_row_order_is_invisible(estimator, seed):
    rng = np.random.default_rng(seed)
    rows = make_rows(60, seed=seed)
    repeats = rng.integers(0, 4, size=60)
    repeats[0] = 1
    many = np.repeat(rows, repeats, axis=0)
    weighted = clone(estimator).fit(rows, sample_weight=repeats)
    assert_same_codebooks(weighted, clone(estimator).fit(many[rng.permutation(len(many))]))
    assert_same_codebooks(weighted, clone(estimator).fit(rows, sample_weight=2.0 * repeats))


@given(seed=st.integers(0, 50), n_beams=st.sampled_from([1, 4]))
@example(seed=0, n_beams=4)
@example(seed=0, n_beams=1)
def test_codes_of_a_row_depend_on_the_row_alone(fitted_to_wide_rows, seed, n_beams):
    rng = np.random.default_rng(seed)
    rows = make_rows(400, d=33)
    estimator = with_beams(fitted_to_wide_rows, n_beams)
    codes = estimator.transform(rows)
    subset = rng.permutation(400)[: rng.integers(1, 401)]
    np.testing.assert_array_equal(estimator.transform(rows[subset]), codes[subset])
    row = rng.integers(400)
    np.testing.assert_array_equal(estimator.transform(rows[row : row + 1])[0], codes[row])
    parts = [estimator.transform(rows[i : i + 7]) for i in range(0, 400, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), codes)


@each(LEARNED_AT_ONCE)
def test_codes_and_codebooks_do_not_depend_on_the_number_of_threads(estimator):
    rows = make_rows(1000, d=40)
    estimator = clone(estimator).set_params(codebook_size=32)
    one = clone(estimator).fit(rows)
    torch.set_num_threads(2)
    try:
        two = clone(estimator).fit(rows)
        codes = two.transform(rows)
    finally:
        torch.set_num_threads(1)
    assert_same_codebooks(one, two)
    np.testing.assert_array_equal(one.transform(rows), codes)


@each(IN_EVERY_MODE)
def test_equal_seeds_give_equal_codebooks_side_by_side_in_threads(estimator):
    alone = clone(estimator).fit(X)
    fits = Parallel(n_jobs=4, backend="threading")(
        delayed(clone(estimator).fit)(X) for _ in range(8)
    )
    for fit in fits:
        assert_same_codebooks(alone, fit)
    other = clone(estimator).set_params(random_state=1).fit(X)
    assert not have_same_codebooks(alone, other)


@each(IN_EVERY_MODE)
def test_global_generators_are_untouched(estimator):
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    clone(estimator).fit(X).transform(X)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(before_numpy, np.random.get_state()[1])  # noqa: NPY002


# --- state --------------------------------------------------------------------------------------


def test_state_is_plain(fitted):
    fitted.transform(X)

    def walk(value):
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)
        else:
            assert value is None or isinstance(value, np.ndarray | bool | int | float | str), value

    walk(fitted.__getstate__())
    assert all(type(codebook) is np.ndarray for codebook in fitted.codebooks_)
    assert {codebook.dtype for codebook in fitted.codebooks_} == {np.dtype("float32")}


def test_joblib_keeps_the_codes(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    for mmap_mode in (None, "r"):
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))


def test_pickles_give_the_same_codes_in_another_process(tmp_path):
    fitted = [clone(estimator).fit(X) for estimator in ESTIMATORS.values()]
    (tmp_path / "models").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, numpy as np, sys; models = pickle.load(open(sys.argv[1] + '/models', 'rb'))"
        "; X = np.load(sys.argv[1] + '/X.npy')"
        "; np.save(sys.argv[1] + '/codes.npy', [model.transform(X) for model in models])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    expected = [estimator.transform(X) for estimator in fitted]
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected)


@each(ESTIMATORS)
def test_save_and_load_keep_everything(estimator, tmp_path):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    estimator = clone(estimator).fit(frame, sample_weight=np.arange(200.0))
    path = tmp_path / "model"
    estimator.save(path)
    loaded = type(estimator).load(path)
    assert type(loaded) is type(estimator)
    codes = estimator.transform(frame)
    np.testing.assert_array_equal(loaded.transform(frame), codes)
    np.testing.assert_array_equal(
        loaded.inverse_transform(codes), estimator.inverse_transform(codes)
    )
    assert loaded.get_params() == estimator.get_params()
    assert loaded.feature_names_in_.tolist() == list("abcdef")
    assert vars(loaded).keys() == vars(estimator).keys()
    assert vars(loaded).get("history_") == vars(estimator).get("history_")
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


def test_a_saved_file_holds_a_header_and_plain_arrays_only(fitted, tmp_path):
    fitted.save(tmp_path / "model")
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


def test_a_file_of_something_else_is_refused(tmp_path):
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
    with pytest.raises(CheckpointError):
        RQVAETransformer.load(__file__)


@BOTH
@pytest.mark.parametrize("state", [None, [1], "text", {}, {"n_layers": 2}])
def test_a_state_that_is_no_fitted_estimators_is_damage(cls, state, tmp_path):
    write_state(tmp_path / "model", cls.__name__, state)
    with pytest.raises(CheckpointError, match="damaged"):
        cls.load(tmp_path / "model")


@each(ESTIMATORS)
def test_a_second_fit_forgets_the_first(estimator):
    other = make_rows(d=9, seed=1)
    again, fresh = clone(estimator).fit(X), clone(estimator).fit(other)
    again.transform(X)
    np.testing.assert_array_equal(again.fit(other).transform(other), fresh.transform(other))


def test_parameters_changed_after_fit_leave_what_was_learned_alone(fitted):
    codes = fitted.transform(X)
    changed = copy.deepcopy(fitted).set_params(n_layers=5, codebook_size=3)
    np.testing.assert_array_equal(changed.transform(X), codes)
    np.testing.assert_array_equal(copy.deepcopy(changed).transform(X), codes)


# --- inputs -------------------------------------------------------------------------------------


@BOTH
@given(n=st.integers(1, 12), d=st.integers(1, 5), seed=st.integers(0, 5))
@example(n=1, d=1, seed=0)
@example(n=12, d=1, seed=0)
@example(n=6, d=5, seed=0)
def test_any_small_data_can_be_fitted(cls, n, d, seed):
    rows = np.random.default_rng(seed).integers(-2, 3, (n, d)).astype(float)
    estimator = cls(n_layers=2, codebook_size=5, n_beams=3, random_state=seed)
    estimator.fit(rows)
    assert np.isfinite(estimator.inverse_transform(estimator.transform(rows))).all()


def with_an_outlier(rows):
    rows = rows.copy()
    rows[7] *= 100
    return rows


HOSTILE = {
    "fewer rows than codewords": X[:5],
    "equal": np.tile(X[:1], (50, 1)),
    "ones": np.ones((20, 3)),
    "zero": np.zeros((20, 3)),
    "outlier": with_an_outlier(X),
    "one far away": np.r_[np.random.default_rng(0).normal(size=(50, 3)), [[300.0] * 3]],
    "float64": X.astype(np.float64) + 1e-9,
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("rows", HOSTILE.values(), ids=HOSTILE)
@each(ESTIMATORS)
def test_hostile_rows_are_reconstructed(estimator, rows):
    estimator = clone(estimator).fit(rows)
    reconstruction = estimator.inverse_transform(estimator.transform(rows))
    assert np.isfinite(reconstruction).all()
    if getattr(estimator, "codebook_mode", None) is None:
        error = ((rows - reconstruction) ** 2).mean()
        assert error <= 0.25 * rows.var(axis=0).mean() + 1e-12


def test_tensors_frames_and_memory_maps_give_the_codes_of_arrays(fitted, tmp_path):
    codes = fitted.transform(X)
    np.testing.assert_array_equal(fitted.transform(torch.tensor(X, requires_grad=True)), codes)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(fitted.transform(mapped), codes)
    np.testing.assert_array_equal(fitted.transform(np.asfortranarray(X.astype(np.float64))), codes)
    from_tensor = clone(fitted).fit(torch.from_numpy(X))
    assert_same_codebooks(from_tensor, fitted)
    np.testing.assert_array_equal(from_tensor.transform(torch.from_numpy(X)), codes)


def test_codes_come_as_the_frame_that_was_asked_for(fitted):
    fitted = copy.deepcopy(fitted)
    prefix = type(fitted).__name__.lower()
    frame = fitted.set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == [f"{prefix}{level}" for level in range(3)]
    assert set(frame.dtypes) == {np.dtype("int64")}
    assert (frame.to_numpy() < 8).all()
    assert fitted.set_output(transform="polars").transform(X).dtypes == [pl.Int64] * 3
    back = fitted.inverse_transform(frame)
    np.testing.assert_array_equal(back, fitted.inverse_transform(frame.to_numpy()))


def test_codes_of_the_levels_in_another_order_are_refused(fitted):
    frame = copy.deepcopy(fitted).set_output(transform="pandas").transform(X)
    assert fitted.inverse_transform(frame.iloc[:, :2]).shape == X.shape
    for columns in ([2, 1, 0], [1, 2]):
        with pytest.raises(ValueError, match=r"codes have the columns .* in this order"):
            fitted.inverse_transform(frame.iloc[:, columns])


def test_codes_are_views_of_any_kind(fitted):
    codes = fitted.transform(X)
    expected = fitted.inverse_transform(codes)
    backwards = np.ascontiguousarray(codes[::-1, ::-1])[::-1, ::-1]
    locked = codes.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for view in (backwards, locked, np.asfortranarray(codes), codes.repeat(2, axis=0)[::2]):
            np.testing.assert_array_equal(fitted.inverse_transform(view), expected)


def test_relabeling_does_not_mind_in_what_form_codes_come(fitted):
    framed = copy.deepcopy(fitted).set_output(transform="pandas")
    expected = fitted.relabel_like(fitted, X).fingerprint
    assert framed.relabel_like(framed, X).fingerprint == expected


@BOTH
def test_weights_are_checked_alike_in_fit_and_score(cls):
    zeros, negative = np.zeros(200), np.r_[-1.0, np.ones(199)]
    estimator = cls(**SIZES).fit(X)
    for method in (cls(**SIZES).fit, cls(**SIZES).partial_fit, estimator.score):
        with pytest.raises(ValueError, match=r"at least one (non-zero|of them)"):
            method(X, sample_weight=zeros)
        with pytest.raises(ValueError, match="Negative values"):
            method(X, sample_weight=negative)


@BOTH
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"codebook_size": [4, 4]}, "codebook_size.* has 2 entries but n_layers=3"),
        ({"n_beams": 0}, "n_beams"),
    ],
)
def test_wrong_parameters_are_named(cls, params, message):
    for learn in (cls(**params).fit, cls(**params).partial_fit):
        with pytest.raises(ValueError, match=message):
            learn(X)


# --- warnings -----------------------------------------------------------------------------------

# Three rows far away, which take codewords of their own, leave one for all others.
FAR_AWAY = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
FAR_AWAY[:3] *= 1e8
# After the first level two directions carry nothing: all residuals are one point's neighbors.
FLAT = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32) * [1, 1e-6]
NARROW = {"n_layers": 1, "codebook_size": 64, "random_state": 0}
COLLAPSING = {
    "closed form": (RQVAETransformer(**NARROW), FAR_AWAY, "StandardScaler"),
    "k-means": (ResidualKMeans(**NARROW), FAR_AWAY, "StandardScaler"),
    "gradients": (
        textbook(
            "GUMBEL_SOFTMAX", max_epochs=1, lr=5.0, commitment_weight=0.0
        ).set_params(codebook_size=64),
        FLAT,
        "commitment_weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_transform"])
@pytest.mark.parametrize(
    ("estimator", "rows", "way_out"), COLLAPSING.values(), ids=COLLAPSING.keys()
)
def test_a_collapse_is_said_once_with_level_numbers_and_ways_out(estimator, rows, way_out, method):
    with pytest.warns(
        CodebookCollapseWarning, match=rf"level \d .*utilization .*perplexity .*{way_out}"
    ) as caught:
        getattr(clone(estimator), method)(rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    ways_out = {"StandardScaler", "commitment_weight"}
    assert {way for way in ways_out if way in str(caught[0].message)} == {way_out}


@each(LEARNED_AT_ONCE)
def test_warnings_point_at_the_caller_from_inside_scikit_learn(estimator, tmp_path):
    estimator = clone(estimator).set_params(**NARROW)
    cached = make_pipeline(estimator, OneHotEncoder(), memory=str(tmp_path))
    search = GridSearchCV(estimator, {"random_state": [1, 2]}, cv=2)
    for outer in (make_pipeline("passthrough", estimator), cached, search):
        with pytest.warns(CodebookCollapseWarning) as caught:
            outer.fit(FAR_AWAY)
        assert {warning.filename for warning in caught} == {__file__}


# --- a budget of rows ----------------------------------------------------------------------------


@each(ESTIMATORS)
def test_a_fit_learns_from_as_many_rows_as_subsample_says(estimator):
    rows = make_rows(300)
    for subsample, n_used in ((100, 100), (300, 300), (10**9, 300), (None, 300)):
        fitted = clone(estimator).set_params(subsample=subsample).fit(rows)
        assert fitted.code_usage_[0].sum() == pytest.approx(n_used)
        if n_used == 300:  # it changes no fit that it doesn't limit
            assert_same_codebooks(fitted, clone(estimator).fit(rows))


@each(LEARNED_AT_ONCE)
def test_the_rows_drawn_depend_on_the_set_of_rows_alone(estimator):
    rows = make_rows(300)
    estimator = clone(estimator).set_params(subsample=100)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 2))
    one, other = clone(estimator).fit(rows), clone(estimator).fit(rows[order])
    assert_same_codebooks(one, other)
    stream = clone(estimator).partial_fit(rows[200:]).partial_fit(rows[:200])
    assert_same_codebooks(one, stream)
    assert len(stream.reservoir_["rows"]) == 100


@each(ESTIMATORS)
def test_a_budget_is_searched_set_cloned_and_kept(estimator, tmp_path):
    rows = make_rows(90)
    search = GridSearchCV(estimator, {"subsample": [20, None]}, cv=2, error_score="raise")
    best = search.fit(rows).best_estimator_
    assert search.cv_results_["param_subsample"].tolist() == [20, None]
    fewer = clone(best).set_params(subsample=20)
    assert clone(fewer).subsample == 20
    fewer.fit(rows).save(tmp_path / "model")
    assert type(fewer).load(tmp_path / "model").subsample == 20
    old = pickle.loads(pickle.dumps(fewer))
    state = old.__dict__.copy()
    del state["subsample"]  # as it was pickled before there was one
    old = type(fewer).__new__(type(fewer))
    old.__setstate__(state)
    assert old.subsample == type(fewer)().subsample
    np.testing.assert_array_equal(old.transform(rows), fewer.transform(rows))


@each(ESTIMATORS)
@pytest.mark.parametrize("subsample", [0, -1, 0.5, 100.0, "all"])
def test_a_budget_that_is_no_number_of_rows_is_refused(estimator, subsample):
    with pytest.raises(ValueError, match=r"'subsample' parameter .* must be an int"):
        clone(estimator).set_params(subsample=subsample).fit(make_rows(50))


@each(ESTIMATORS)
def test_a_budget_below_the_codewords_is_named(estimator):
    estimator = clone(estimator).set_params(subsample=5)
    with pytest.warns(UserWarning, match="exceeds the 5 distinct .* a larger subsample than 5"):
        estimator.fit(make_rows(300))


# --- streams ------------------------------------------------------------------------------------

STREAM = make_rows(1500)


@pytest.fixture
def small_blocks(monkeypatch):
    """Read rows in blocks of 256, so that a stream has several."""
    monkeypatch.setattr("sklearn_rqvae._rows._source._BLOCK_FLOATS", 6 * 256)
    monkeypatch.setattr("sklearn_rqvae._rows._source._GATHERED_ROWS", 100)


@pytest.mark.usefixtures("small_blocks")
@each(LEARNED_AT_ONCE)
@pytest.mark.parametrize("cap", [10**6, 500])
def test_a_stream_in_any_order_gives_one_fit(estimator, cap, monkeypatch):
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", cap)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    weight = np.random.default_rng(0).integers(0, 3, len(STREAM))
    whole = clone(estimator).partial_fit(STREAM, sample_weight=weight)
    stream = clone(estimator)
    for part in (slice(700, 1500), slice(0, 300), slice(300, 700)):
        stream.partial_fit(STREAM[part], sample_weight=weight[part])
    assert_same_codebooks(whole, stream)
    if cap > len(STREAM):  # of more rows than are kept a fit makes passes over all
        assert_same_codebooks(clone(estimator).fit(STREAM, sample_weight=weight), stream)
    assert len(stream.reservoir_["rows"]) == min(cap, (weight > 0).sum())


@pytest.mark.usefixtures("small_blocks")
@each(LEARNED_AT_ONCE)
def test_a_stream_does_not_go_on_from_a_fit(estimator):
    stream = clone(estimator).fit(STREAM[:500])
    with pytest.warns(UserWarning, match="partial_fit starts anew") as caught:
        stream.partial_fit(STREAM[500:])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_same_codebooks(stream, clone(estimator).fit(STREAM[500:]))
    stream = clone(estimator).partial_fit(STREAM)
    stream.fit(STREAM[:100])
    assert not hasattr(stream, "reservoir_")


@pytest.mark.usefixtures("small_blocks")
@each(LEARNED_AT_ONCE)
def test_an_interrupted_stream_keeps_its_rows(estimator, monkeypatch):
    stream = clone(estimator).partial_fit(STREAM[:700])
    codes = stream.transform(STREAM)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sklearn_rqvae._learning._closed_form.start_module", interrupt)
        patch.setattr("sklearn_rqvae._learning._residual_kmeans.fit_codebooks", interrupt)
        patch.setattr("sklearn_rqvae._learning._product.fit_product", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stream.partial_fit(STREAM[700:])
    np.testing.assert_array_equal(stream.transform(STREAM), codes)
    whole = clone(estimator).fit(STREAM)
    np.testing.assert_array_equal(
        stream.partial_fit(STREAM[700:]).transform(STREAM), whole.transform(STREAM)
    )


@pytest.mark.usefixtures("small_blocks")
@each(LEARNED_AT_ONCE)
def test_a_stream_survives_saving(estimator, tmp_path):
    stream = clone(estimator).partial_fit(STREAM[:700])
    stream.save(tmp_path / "model")
    loaded = type(estimator).load(tmp_path / "model").partial_fit(STREAM[700:])
    assert_same_codebooks(loaded, clone(estimator).fit(STREAM))


@pytest.mark.usefixtures("small_blocks")
@each(ESTIMATORS)
def test_a_stream_has_the_names_of_the_first_frame(estimator):
    frame = pd.DataFrame(STREAM, columns=list("abcdef"))
    stream = clone(estimator).partial_fit(frame[:700]).partial_fit(frame[700:])
    assert stream.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        stream.partial_fit(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="X has 5 features"):
        stream.partial_fit(STREAM[:, :5])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("estimator", [trained(embed_dim=4), textbook()], ids=["path", "textbook"])
def test_gradients_pass_once_over_each_later_part(estimator):
    stream = clone(estimator).partial_fit(STREAM[:500])
    assert_same_codebooks(stream, clone(estimator).fit(STREAM[:500]))
    before, n_iter, n_epochs = stream.score(STREAM[500:]), stream.n_iter_, len(stream.history_)
    for _ in range(10):
        stream.partial_fit(STREAM[500:1000]).partial_fit(STREAM[1000:])
    assert stream.n_iter_ == n_iter + 20
    assert len(stream.history_) == n_epochs + 20
    assert stream.max_epochs == 3
    assert not stream.warm_start
    assert stream.score(STREAM[500:]) > before


# --- inside scikit-learn ------------------------------------------------------------------------


@each(LEARNED_AT_ONCE)
def test_it_slots_into_pipeline_and_search(estimator):
    name = type(estimator).__name__.lower()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator), {f"{name}__n_layers": [1, 3]}, cv=2
    ).fit(X)
    assert search.best_params_ == {f"{name}__n_layers": 3}
    encoder = OneHotEncoder(handle_unknown="ignore")
    one_hot = make_pipeline(clone(estimator), encoder).fit_transform(X)
    assert one_hot.shape[0] == len(X)
    assert (one_hot.sum(axis=1) == 3).all()
