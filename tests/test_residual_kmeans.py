"""ResidualKMeans keeps scikit-learn's contract and quantizes as well as it should."""

import pickle
import warnings
from collections import Counter

import joblib
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from joblib import Parallel, delayed
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.exceptions import CodebookCollapseWarning

COMMON_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.parametrize("params", [{}, {"n_layers": 2, "codebook_size": [4, 3], "n_beams": 1}])
def test_all_estimator_checks_pass_and_none_is_skipped(params):
    results = check_estimator(ResidualKMeans(**params), on_fail=None)
    assert Counter(result["status"] for result in results) == {"passed": len(results)}


@pytest.mark.parametrize("check", COMMON_CHECKS)
def test_common_checks_that_check_estimator_leaves_out_pass(check):
    getattr(estimator_checks, check)("ResidualKMeans", ResidualKMeans())


def clustered_rows(n=300, n_features=6, seed=0):
    draws = np.random.RandomState(seed)
    centers = 4.0 * draws.randn(12, n_features)
    return (centers[draws.randint(12, size=n)] + draws.randn(n, n_features)).astype(np.float32)


def small_model(**params):
    return ResidualKMeans(**{"n_layers": 3, "codebook_size": 8, "random_state": 0, **params})


def same_codebooks(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.codebooks_, other.codebooks_, strict=True))


def test_two_levels_worked_by_hand():
    # Two pairs far apart: the first code tells the pairs apart, the second the rows of a pair.
    X = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])
    model = ResidualKMeans(n_layers=2, codebook_size=2, random_state=0).fit(X)
    codes = model.transform(X)
    assert codes.dtype == np.int64
    assert len(np.unique(codes, axis=0)) == 4
    assert codes[0, 0] == codes[1, 0] != codes[2, 0] == codes[3, 0]
    np.testing.assert_allclose(model.mean_, [4.0, 0.5])
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=0.05)
    np.testing.assert_allclose(model.inverse_transform(codes[:, :1])[:, 0], X[:, 0], atol=0.5)


@pytest.mark.parametrize("seed", range(3))
def test_one_level_is_kmeans(seed):
    # Codes are those of KMeans.predict, and the best of ten fits is near its best of ten fits.
    X = clustered_rows(seed=seed)
    model = small_model(n_layers=1, random_state=seed).fit(X)
    centers = model.codebooks_[0] + model.mean_
    oracle = KMeans(8, init=centers, n_init=1, max_iter=1).fit(X)
    oracle.cluster_centers_ = centers
    assert np.array_equal(model.transform(X)[:, 0], oracle.predict(X))
    fits = (small_model(n_layers=1, random_state=start).fit(X) for start in range(10))
    ours = min(-fit.score(X) for fit in fits) * X.size
    theirs = KMeans(8, n_init=10, random_state=seed).fit(X).inertia_
    assert ours < 1.02 * theirs


def test_score_is_the_negative_mean_squared_error():
    X = clustered_rows()
    model = small_model().fit(X)
    errors = ((X - model.inverse_transform(model.transform(X))) ** 2).mean(1)
    assert model.score(X) == pytest.approx(-errors.mean(), rel=1e-5)
    weight = np.arange(len(X), dtype=float)
    expected = -np.average(errors, weights=weight)
    assert model.score(X, sample_weight=weight) == pytest.approx(expected, rel=1e-5)


def test_more_levels_codewords_and_beams_score_higher():
    X = clustered_rows(600)
    small = small_model().fit(X).score(X)
    assert small_model(n_layers=4).fit(X).score(X) > small
    assert small_model(codebook_size=16).fit(X).score(X) > small
    assert small > small_model(n_beams=1).fit(X).score(X)


def test_prefixes_of_codes_decode_to_coarser_rows():
    X = clustered_rows()
    model = small_model().fit(X)
    codes = model.transform(X)
    errors = [((X - model.inverse_transform(codes[:, :k])) ** 2).mean() for k in (1, 2, 3)]
    assert X.var(axis=0).mean() > errors[0] > errors[1] > errors[2]


@given(seed=st.integers(0, 50))
@example(seed=0)
def test_weights_are_repetitions_and_row_order_is_invisible(seed):
    draws = np.random.RandomState(seed)
    X = clustered_rows(60, seed=seed)
    repeats = draws.randint(0, 4, size=60)
    repeats[0] = 1
    many = np.repeat(X, repeats, axis=0)
    weighted = small_model().fit(X, sample_weight=repeats)
    assert same_codebooks(weighted, small_model().fit(many[draws.permutation(len(many))]))
    assert same_codebooks(weighted, small_model().fit(X, sample_weight=2.0 * repeats))


@given(seed=st.integers(0, 50), n_beams=st.sampled_from([1, 4]))
@example(seed=0, n_beams=4)
def test_codes_of_a_row_depend_on_the_row_alone(seed, n_beams):
    draws = np.random.RandomState(seed)
    X = clustered_rows(400, n_features=33)
    model = small_model(n_beams=n_beams).fit(X[:200])
    codes = model.transform(X)
    subset = draws.permutation(400)[: draws.randint(1, 400)]
    assert np.array_equal(model.transform(X[subset]), codes[subset])
    row = draws.randint(400)
    assert np.array_equal(model.transform(X[row : row + 1])[0], codes[row])


def test_codes_and_codebooks_do_not_depend_on_the_number_of_threads():
    X = clustered_rows(1000, n_features=40)
    one = small_model(codebook_size=32).fit(X)
    torch.set_num_threads(2)
    try:
        two = small_model(codebook_size=32).fit(X)
        codes = two.transform(X)
    finally:
        torch.set_num_threads(1)
    assert same_codebooks(one, two)
    assert np.array_equal(one.transform(X), codes)


def test_equal_seeds_give_equal_codebooks_side_by_side_in_threads():
    X = clustered_rows()
    alone = small_model().fit(X)
    models = Parallel(n_jobs=4, backend="threading")(
        delayed(small_model().fit)(X) for _ in range(8)
    )
    assert all(same_codebooks(alone, model) for model in models)
    assert not same_codebooks(alone, small_model(random_state=1).fit(X))


def test_global_generators_are_left_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = small_model().fit(clustered_rows())
    model.transform(clustered_rows())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_a_second_fit_forgets_the_first():
    X, Y = clustered_rows(), clustered_rows(seed=1)[:, :4]
    model = small_model().fit(X)
    model.transform(X)
    model.fit(Y)
    assert np.array_equal(model.transform(Y), small_model().fit(Y).transform(Y))


def test_fitted_state_is_small_plain_arrays_and_survives_joblib(tmp_path):
    X = clustered_rows()
    model = small_model().fit(X)
    assert all(type(codebook) is np.ndarray for codebook in model.codebooks_)
    assert {codebook.dtype for codebook in model.codebooks_} == {np.dtype("float32")}
    joblib.dump(model, tmp_path / "model.joblib")
    for mmap_mode in (None, "r"):
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(loaded.transform(X), model.transform(X))
    n_bytes = sum(codebook.nbytes for codebook in model.codebooks_)
    assert len(pickle.dumps(model)) < n_bytes + 4000


def test_uneven_codebooks_nine_levels_and_one_row():
    sizes = [3, 1, 8, 2, 5, 4, 4, 2, 16]
    X = clustered_rows(100)
    model = ResidualKMeans(9, sizes, random_state=0).fit(X)
    assert [len(codebook) for codebook in model.codebooks_] == sizes
    assert (model.transform(X) < sizes).all()
    single = ResidualKMeans(random_state=0).fit(X[:1])
    np.testing.assert_allclose(single.inverse_transform(single.transform(X[:1])), X[:1], rtol=1e-5)


@pytest.mark.parametrize(
    "kind", ["fewer rows than codewords", "equal", "zero", "outlier", "float64", "strided"]
)
def test_hostile_rows_are_reconstructed(kind):
    X = clustered_rows(200)
    if kind == "fewer rows than codewords":
        X = X[:5]
    elif kind == "equal":
        X = np.tile(X[:1], (50, 1))
    elif kind == "zero":
        X = np.zeros((20, 3))
    elif kind == "outlier":
        X[7] *= 100
    elif kind == "float64":
        X = X.astype(np.float64) + 1e-9
    elif kind == "strided":
        X = np.repeat(X, 2, axis=1)[:, ::2]
    model = small_model(n_beams=4).fit(X)
    error = ((X - model.inverse_transform(model.transform(X))) ** 2).mean()
    assert error <= 0.25 * X.var(axis=0).mean() + 1e-12


def test_inverse_transform_takes_whole_floats_and_refuses_what_are_no_codes():
    model = small_model().fit(clustered_rows())
    codes = np.array([[0, 7, 3]])
    assert np.array_equal(
        model.inverse_transform(codes.astype(float)), model.inverse_transform(codes)
    )
    for wrong in ([[0, 8, 0]], [[-1, 0, 0]], [[0.5, 0, 0]], [[0, 0, 0, 0]], [0, 0, 0]):
        with pytest.raises(ValueError, match="codes"):
            model.inverse_transform(wrong)


def test_wrong_parameters_are_named():
    X = clustered_rows(20)
    with pytest.raises(ValueError, match=r"codebook_size.*2 entries but n_layers=3"):
        ResidualKMeans(codebook_size=[4, 4]).fit(X)
    with pytest.raises(ValueError, match="n_beams"):
        ResidualKMeans(n_beams=0).fit(X)
    with pytest.raises(ValueError, match="at least one non-zero"):
        ResidualKMeans().fit(X, sample_weight=np.zeros(20))


def test_torch_rows_give_the_codes_of_numpy_rows():
    X = clustered_rows()
    model = small_model().fit(torch.from_numpy(X))
    assert same_codebooks(model, small_model().fit(X))
    assert np.array_equal(model.transform(torch.from_numpy(X)), model.transform(X))


def test_it_slots_into_pipeline_and_search():
    X = clustered_rows()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small_model()), {"residualkmeans__n_layers": [1, 3]}, cv=2
    ).fit(X)
    assert search.best_params_ == {"residualkmeans__n_layers": 3}
    one_hot = make_pipeline(small_model(), OneHotEncoder(handle_unknown="ignore")).fit_transform(X)
    assert (one_hot.sum(axis=1) == 3).all()


class RefinedFaiss:
    """Residual quantizer of faiss with five beams, refined by least squares, on centered rows."""

    def __init__(self, X):
        faiss = pytest.importorskip("faiss")
        self.mean = X.mean(axis=0)
        self.quantizer = faiss.ResidualQuantizer(X.shape[1], 3, 8)
        self.quantizer.max_beam_size = 5
        self.quantizer.train_type = (
            faiss.ResidualQuantizer.Train_progressive_dim
            | faiss.ResidualQuantizer.Train_refine_codebook
        )
        self.quantizer.train(X - self.mean)
        self.n_floats = self.quantizer.codebooks.size()

    def transform(self, X):
        return self.quantizer.compute_codes(X - self.mean)

    def inverse_transform(self, codes):
        return self.quantizer.decode(codes) + self.mean


def every_tenth_held_out(X):
    held_out = np.arange(len(X)) % 10 == 0
    return X[~held_out], X[held_out]


def unexplained(model, X):
    """Return the share of the variance of rows that their codes don't explain."""
    reconstruction = model.inverse_transform(model.transform(X))
    return ((X - reconstruction) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()


def collision_rate(model, X):
    return 1 - len(np.unique(model.transform(X), axis=0)) / len(X)


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["beauty", "scientific"])
def test_real_vectors_are_quantized_better_than_by_faiss(load_catalog, catalog):
    train, test = every_tenth_held_out(load_catalog(catalog))
    rival, model = RefinedFaiss(train), ResidualKMeans(random_state=0).fit(train)
    assert unexplained(model, test) < unexplained(rival, test)
    assert collision_rate(model, train) <= collision_rate(rival, train)


@pytest.mark.slow
def test_the_default_autoencoder_beats_faiss_by_eight_percent_on_new_rows(load_catalog):
    train, test = every_tenth_held_out(load_catalog("scientific"))
    rival, model = RefinedFaiss(train), RQVAETransformer(random_state=0).fit(train)
    assert unexplained(model, test) <= 0.92 * unexplained(rival, test)
    assert unexplained(model, train) <= 0.75 * unexplained(rival, train)
    assert collision_rate(model, train) <= collision_rate(rival, train)
    assert collision_rate(model, test) <= collision_rate(rival, test)
    n_floats = sum(array.nbytes for array in model.state_.values()) / 4
    assert n_floats <= 6 * rival.n_floats


def test_candidates_start_with_the_codes_and_get_worse():
    rows = clustered_rows()
    model = small_model(n_beams=4).fit(rows)
    codes, errors = model.candidate_codes(rows, n_candidates=4)
    np.testing.assert_array_equal(codes[:, 0], model.transform(rows))
    assert (np.diff(errors, axis=1) >= 0).all()
    decoded = model.inverse_transform(codes[:, 3])
    np.testing.assert_allclose(
        ((rows - decoded) ** 2).sum(1), errors[:, 3], rtol=1e-3, atol=1e-3 * errors.max()
    )
    with pytest.raises(ValueError, match="n_candidates=0"):
        model.candidate_codes(rows, n_candidates=0)


def test_usage_counts_the_weights_of_the_training_rows():
    X = clustered_rows()
    weight = np.random.RandomState(1).randint(1, 4, size=len(X))
    model = small_model().fit(X, sample_weight=weight)
    codes = model.transform(X)
    for level, usage in enumerate(model.code_usage_):
        expected = np.bincount(codes[:, level], weight / weight.mean(), minlength=8)
        np.testing.assert_allclose(usage, expected, rtol=1e-5)


def test_a_collapsed_level_warns_and_names_the_caller():
    X = np.random.RandomState(0).randn(2000, 4)
    X[:3] *= 1e6  # what their codewords are for
    with pytest.warns(CodebookCollapseWarning, match=r"level 0 .*StandardScaler") as caught:
        small_model(n_layers=1, codebook_size=64).fit(X)
    assert caught[0].filename == __file__
