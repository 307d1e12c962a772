"""PrefixFeatures: each prefix of an ID is a feature, and what wasn't seen is none."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.fixes import parse_version

from sklearn_rqvae import TRUSTED_TYPES, PrefixFeatures, ResidualKMeans, RQVAETransformer
from sklearn_rqvae.datasets import make_residual_blobs
from sklearn_rqvae.semantic_id._prefix_features import _hashes

CODES = np.array([[0, 5], [0, 7], [2, 5], [0, 7]])
EXTRA_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    "check_inplace_ensure_writeable",
    "check_get_feature_names_out_error",
]


def prefix_sets(codes):
    """The slow obvious version: each sample's prefixes."""
    return [{tuple(row[:k]) for k in range(1, len(row) + 1)} for row in codes.tolist()]


codes_of_any_kind = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0, 1, 2, 7, 2**31]), min_size=width, max_size=width),
        min_size=2,
        max_size=20,
    )
)


@given(rows=codes_of_any_kind, min_count=st.integers(1, 3))
@example(rows=[[0, 0, 0], [0, 0, 0]], min_count=1)
@example(rows=[[0, 1], [1, 0]], min_count=2)
def test_features_are_the_prefixes_seen_often_enough(rows, min_count):
    codes = np.array(rows)
    seen, asked = codes[: len(codes) // 2 + 1], codes
    counts = {}
    for prefixes in prefix_sets(seen):
        for prefix in prefixes:
            counts[prefix] = counts.get(prefix, 0) + 1
    known = sorted((p for p, n in counts.items() if n >= min_count), key=lambda p: (len(p), p))
    features = PrefixFeatures(min_count=min_count).fit(seen)
    assert features.get_feature_names_out().tolist() == [
        "/".join(f"{'abcd'[level]}_{code}" for level, code in enumerate(prefix)) for prefix in known
    ]
    expected = [[float(prefix in prefixes) for prefix in known] for prefixes in prefix_sets(asked)]
    result = features.transform(asked)
    assert result.has_sorted_indices
    np.testing.assert_array_equal(result.toarray(), np.reshape(expected, result.shape))


def test_rare_prefixes_have_no_column():
    features = PrefixFeatures(min_count=2).fit(CODES)
    assert features.get_feature_names_out().tolist() == ["a_0", "a_0/b_7"]
    np.testing.assert_array_equal(features.transform([[2, 5], [0, 7]]).toarray(), [[0, 0], [1, 1]])


def test_levels_choose_where_prefixes_end():
    features = PrefixFeatures(levels=[1]).fit(CODES)
    assert features.get_feature_names_out().tolist() == ["a_0/b_5", "a_0/b_7", "a_2/b_5"]
    np.testing.assert_array_equal(features.transform([[2, 5]]).toarray(), [[0, 0, 1]])
    assert PrefixFeatures(levels=range(1)).fit(CODES).transform(CODES).shape == (4, 2)
    hashed = PrefixFeatures(2**20, levels=[1]).fit(CODES).transform(CODES)
    assert hashed.sum() == 4
    whole = PrefixFeatures(2**20).fit(CODES).transform(CODES)
    assert (hashed.multiply(whole) != hashed).nnz == 0  # the same columns


@given(rows=codes_of_any_kind)
@example(rows=[[0, 0, 0], [0, 0, 0]])
def test_hashing_tells_prefixes_apart_as_names_do(rows):
    codes = np.array(rows)
    names = [tuple(row[:k]) for k in range(1, codes.shape[1] + 1) for row in rows]
    hashes = np.concatenate(list(_hashes(codes))).tolist()
    pairs = set(zip(names, hashes, strict=True))
    assert len(pairs) == len(set(names)) == len(set(hashes))


def test_hashed_columns_stay_what_they_are():
    # Other columns in a later version would make nonsense of a ranker that was trained before.
    hashed = PrefixFeatures(16).fit(CODES).transform([[0, 5], [2, 5]])
    assert hashed.indices.tolist() == [7, 15, 0, 14]
    np.testing.assert_array_equal(
        PrefixFeatures(16).fit([[9, 9]]).transform(CODES).toarray(),
        PrefixFeatures(16).fit(CODES).transform(CODES).toarray(),
    )
    np.testing.assert_array_equal(
        PrefixFeatures(1).fit(CODES).transform(CODES).toarray(), [[2]] * 4
    )


def test_hashes_spread_evenly():
    codes = np.stack(np.meshgrid(np.arange(100), np.arange(100)), axis=-1).reshape(-1, 2)
    for hashes in list(_hashes(codes))[1:]:
        counts = np.bincount((hashes % np.uint64(64)).astype(int), minlength=64)
        chi_square = ((counts - 10_000 / 64) ** 2 / (10_000 / 64)).sum()
        assert 30 < chi_square < 110  # 63 degrees of freedom


OLD_CHECKS = parse_version(sklearn.__version__) < parse_version("1.7")


@pytest.mark.parametrize("features", [PrefixFeatures(), PrefixFeatures(8)], ids=["exact", "hashed"])
def test_scikit_learns_checks_pass(features):
    problems = [
        f"{result['check_name']}: {result['exception']!r}"
        for result in check_estimator(features, on_fail=None)
        if result["status"] != "passed"
        # The check of scikit-learn 1.6 subtracts a float from integers in place.
        and not (OLD_CHECKS and result["check_name"] == "check_positive_only_tag_during_fit")
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.filterwarnings("ignore:X ")
@pytest.mark.parametrize("check", EXTRA_CHECKS)
def test_common_checks_that_check_estimator_leaves_out(check):
    getattr(estimator_checks, check)("PrefixFeatures", PrefixFeatures())


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        ({}, [[0, -1]], "Negative values in data: X has -1"),
        ({}, [[0.5, 1]], "whole numbers, got 0.5"),
        ({}, [[0, 2**33]], r"level 1 should be in \[0, 4294967296\), got 8589934592"),
        ({}, [["a", "b"]], "could not convert|dtype"),
        ({"levels": [2]}, CODES, r"levels=\[2\] has the entry 2, but .* levels 0 to 1"),
        ({"levels": [True]}, CODES, r"entry True"),
        ({"levels": []}, CODES, "levels is empty"),
        ({"levels": 1}, CODES, "'levels' parameter"),
        ({"n_features": 0}, CODES, "'n_features' parameter"),
        ({"n_features": 8, "min_count": 2}, CODES, "min_count=2 should be 1 with n_features=8"),
    ],
)
def test_what_makes_no_sense_is_named(params, X, message):
    with pytest.raises(ValueError, match=message):
        PrefixFeatures(**params).fit(X)


def test_another_number_of_levels_is_refused():
    with pytest.raises(ValueError, match="X has 3 features, but PrefixFeatures is expecting 2"):
        PrefixFeatures().fit(CODES).transform([[0, 1, 2]])


def test_codes_of_any_container_and_type_are_the_same_codes():
    features = PrefixFeatures().fit(CODES)
    expected = features.transform(CODES).toarray()
    for same in (
        torch.from_numpy(CODES),
        CODES.astype(np.uint8),
        CODES.astype("f"),
        CODES[:, ::-1],
    ):
        same = same[:, ::-1] if isinstance(same, np.ndarray) and same.base is CODES else same
        np.testing.assert_array_equal(features.transform(same).toarray(), expected)
        again = PrefixFeatures().fit(same)
        np.testing.assert_array_equal(again.transform(CODES).toarray(), expected)


def test_a_second_fit_forgets_the_first():
    features = PrefixFeatures().fit(CODES).set_params(n_features=4).fit(CODES)
    assert features.prefixes_ is None
    assert features.get_feature_names_out().tolist() == ["prefix0", "prefix1", "prefix2", "prefix3"]
    assert features.set_params(n_features=None).fit(CODES).transform(CODES).shape == (4, 5)


def test_parameters_changed_after_fit_leave_what_was_learned_alone():
    features = PrefixFeatures().fit(CODES)
    expected = features.transform(CODES).toarray()
    features.set_params(n_features=2, levels=[0])
    np.testing.assert_array_equal(features.transform(CODES).toarray(), expected)


@pytest.mark.parametrize("features", [PrefixFeatures(min_count=2), PrefixFeatures(8)])
def test_copies_give_the_same_features(features, tmp_path):
    fitted = clone(features).fit(CODES)
    expected = fitted.transform(CODES).toarray()
    joblib.dump(fitted, tmp_path / "features")
    copies = [pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "features")]
    for copy in copies:
        np.testing.assert_array_equal(copy.transform(CODES).toarray(), expected)


def test_skops_needs_no_other_names():
    sio = pytest.importorskip("skops.io")
    data = sio.dumps(make_pipeline(ResidualKMeans(n_layers=2, codebook_size=2), PrefixFeatures()))
    assert set(sio.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    fitted = PrefixFeatures().fit(CODES)
    loaded = sio.loads(sio.dumps(fitted), trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(
        loaded.transform(CODES).toarray(), fitted.transform(CODES).toarray()
    )


def test_frames_need_dense_output():
    features = PrefixFeatures(sparse_output=False).set_output(transform="pandas").fit(CODES)
    frame = features.transform(CODES)
    assert frame.columns.tolist() == ["a_0", "a_2", "a_0/b_5", "a_0/b_7", "a_2/b_5"]
    with pytest.raises(ValueError, match=r"dense array|sparse_output=False"):
        PrefixFeatures().set_output(transform="pandas").fit(CODES).transform(CODES)


@pytest.fixture(scope="module")
def items():
    X, codes = make_residual_blobs(400, 8, n_layers=2, codebook_size=4, noise=0.2, random_state=0)
    return X, (codes[:, 0] == codes[:, 1]).astype(
        int
    )  # a matter of the second code given the first


@pytest.mark.parametrize("quantizer", [ResidualKMeans, RQVAETransformer])
def test_a_linear_model_learns_from_prefixes_what_codes_alone_do_not_say(items, quantizer):
    X, y = items
    quantizer = quantizer(n_layers=2, codebook_size=4, random_state=0)
    ranker = make_pipeline(quantizer, PrefixFeatures(), LogisticRegression(C=100))
    first_only = clone(ranker).set_params(prefixfeatures__levels=[0])
    assert ranker.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.95
    assert first_only.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) < 0.9
    frames = clone(ranker)
    frames[0].set_output(transform="pandas")
    np.testing.assert_array_equal(frames.fit(X[::2], y[::2]).predict(X), ranker.predict(X))


def test_a_search_goes_over_all_parameters(items):
    X, y = items
    ranker = make_pipeline(
        ResidualKMeans(n_layers=2, codebook_size=4, random_state=0),
        PrefixFeatures(sparse_output=False),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
    )
    grid = {
        "prefixfeatures__levels": [None, [0]],
        "prefixfeatures__n_features": [None, 64],
    }
    search = GridSearchCV(ranker, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["prefixfeatures__levels"] is None
    assert PrefixFeatures(min_count=3).fit(clone(ranker)[:1].fit_transform(X)).prefixes_


def test_columns_of_a_table_become_features():
    table = pd.DataFrame({"hour": [3.0, 4, 5, 6], "code0": CODES[:, 0], "code1": CODES[:, 1]})
    columns = ColumnTransformer(
        [("id", PrefixFeatures(), ["code0", "code1"])], remainder="passthrough", sparse_threshold=1
    )
    features = columns.fit_transform(table)
    assert issparse(features)
    assert columns.get_feature_names_out().tolist()[2:] == [
        "id__a_0/b_5", "id__a_0/b_7", "id__a_2/b_5", "remainder__hour",
    ]  # fmt: skip


def test_pickles_of_another_version_say_so():
    state = PrefixFeatures().fit(CODES).__getstate__()
    state["_versions"] = state["_versions"] | {"sklearn_rqvae": "0.0.1"}
    with pytest.warns(UserWarning, match=r"0\.0\.1"):
        PrefixFeatures().__setstate__(state)


def test_samples_that_a_join_left_without_codes_are_named():
    # The advice of scikit-learn's own message is another model, or an imputer.
    codes = pd.DataFrame({"code_0": [1, 2], "code_1": [0, 0]}, index=["tea", "cup"])
    joined = codes.reindex(["cup", "pen", "tea", "ink"])
    with pytest.raises(
        ValueError, match=r"X has NaN .* 2 of 4 samples, the first in row 1: .*drop"
    ):
        PrefixFeatures().fit(joined)


def test_texts_among_the_codes_are_named_with_the_way_out():
    codes = pd.DataFrame({"user": ["u1", "u2"], "code_0": [1, 2]})
    with pytest.raises(ValueError, match=r"X holds text, .*'u1'.*OrdinalEncoder"):
        PrefixFeatures().fit(codes)
