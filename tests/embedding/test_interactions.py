"""InteractionEmbedder keeps scikit-learn's contract, and items touched together are near."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.utils import estimator_checks

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.embedding import Histories, InteractionEmbedder, TextEmbedder, ViewFusion

N_GROUPS, GROUP_SIZE = 3, 8
ITEMS = np.arange(N_GROUPS * GROUP_SIZE)


def make_histories(n_users=150, seed=0):
    """Users who stay in one group of items, number // GROUP_SIZE."""
    rng = np.random.default_rng(seed)
    return [
        (rng.permutation(GROUP_SIZE)[:5] + GROUP_SIZE * rng.integers(N_GROUPS)).tolist()
        for _ in range(n_users)
    ]


def make_items():
    titles = [f"{['soap', 'drill', 'novel'][item // GROUP_SIZE]} {item}" for item in ITEMS]
    return pd.DataFrame({"item": ITEMS, "title": titles, "price": ITEMS * 1.5})


def make_embedder(method="cooccurrence", **parameters):
    parameters = {"n_components": 6, "max_epochs": 3, "random_state": 0, **parameters}
    return InteractionEmbedder(method, **parameters)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


METHODS = ["cooccurrence", "self-attention"]
DATALESS_CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", DATALESS_CHECKS, ids=lambda check: check.__name__)
def test_check_without_data(check):
    check("InteractionEmbedder", InteractionEmbedder())


def test_parameters_are_checked_by_name():
    for name, value in {
        "method": "ease",
        "n_components": 0,
        "window": 0,
        "decay": 0.0,
        "max_length": 0,
        "max_epochs": 0,
        "min_interactions": 0,
        "columns": 3,
        "random_state": "seed",
        "verbose": -1,
    }.items():
        with pytest.raises(ValueError, match=f"The '{name}' parameter of InteractionEmbedder must"):
            InteractionEmbedder(**{name: value}).fit(ITEMS, interactions=make_histories())


# -- the vectors --


@pytest.mark.parametrize(("method", "max_epochs"), [("cooccurrence", 1), ("self-attention", 200)])
def test_items_touched_by_the_same_users_are_near(method, max_epochs):
    embedder = make_embedder(method, n_components=16, max_epochs=max_epochs)
    vectors = embedder.fit_transform(ITEMS, interactions=make_histories())
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    similarity = vectors @ vectors.T
    same = np.equal.outer(ITEMS // GROUP_SIZE, ITEMS // GROUP_SIZE)
    np.fill_diagonal(similarity, -1)
    nearest = similarity.argmax(axis=1)
    assert (same[ITEMS, nearest]).all()
    off_diagonal = ~np.eye(len(ITEMS), dtype=bool)
    assert similarity[same & off_diagonal].mean() > similarity[~same].mean() + 0.3


@pytest.mark.parametrize("method", METHODS)
def test_forms_of_interactions_give_the_same_vectors(method):
    histories = make_histories(40)
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    times = np.concatenate([np.arange(len(history)) for history in histories])
    table = pd.DataFrame({"user": users, "item": np.concatenate(histories), "time": times})
    table = table.sample(frac=1, random_state=0)
    expected = make_embedder(method).fit_transform(ITEMS, interactions=histories)
    for same in (table, pl.from_pandas(table), Histories.read(histories)):
        assert_array_equal(make_embedder(method).fit_transform(ITEMS, interactions=same), expected)


def test_matrix_is_read_by_column_numbers_or_ids():
    histories = make_histories()
    users = np.repeat(np.arange(len(histories)), 5)
    matrix = csr_matrix((np.ones(len(users)), (users, np.concatenate(histories))))
    by_number = InteractionEmbedder(n_components=6, random_state=0)
    vectors = by_number.fit_transform(ITEMS, interactions=matrix)
    names = [f"item {item}" for item in ITEMS]
    named = Histories.read(matrix, item_ids=names)
    assert_array_equal(clone(by_number).fit_transform(names, interactions=named), vectors)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_vectors_and_no_global_draws(method):
    histories = make_histories()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = make_embedder(method).fit_transform(ITEMS, interactions=histories)
    assert_array_equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert_array_equal(make_embedder(method).fit_transform(ITEMS, interactions=histories), first)


@pytest.mark.parametrize("method", METHODS)
def test_last_items_that_are_held_out_leave_no_trace(method):
    # Planted leak: the last item alone differs, and tells what comes next exactly.
    histories = make_histories(60)
    planted = [[*history[:-1], 23 - history[-2]] for history in histories]
    kept = [Histories.read([*h, ITEMS.tolist()]).without_last() for h in (histories, planted)]
    first, second = (make_embedder(method).fit_transform(ITEMS, interactions=h) for h in kept)
    assert_array_equal(first, second)
    whole = make_embedder(method).fit_transform(ITEMS, interactions=planted)
    assert np.nanmax(np.abs(whole - first)) > 0.01  # it would show


@pytest.mark.parametrize("method", METHODS)
def test_items_without_interactions_are_missing(method):
    embedder = make_embedder(method).fit(ITEMS, interactions=make_histories())
    vectors = embedder.transform([100, 3, None, float("nan"), -1])
    assert np.isnan(vectors[[0, 2, 3, 4]]).all()
    assert np.isfinite(vectors[1]).all()
    assert vectors.dtype == np.float32


def test_items_with_few_interactions_can_count_as_missing():
    histories = [*make_histories(), [50, 0], [51, 1], [51, 2]]
    items = [*ITEMS, 50, 51]
    embedder = make_embedder(min_interactions=2).fit(items, interactions=histories)
    assert_array_equal(np.isnan(embedder.transform(items)[:, 0]), [False] * 24 + [True, False])
    assert embedder.n_interactions_.min() == 2
    assert 50 not in embedder.item_ids_


def test_ids_may_be_strings_or_whole_floats():
    histories = make_histories()
    vectors = make_embedder().fit_transform(ITEMS, interactions=histories)
    as_floats = make_embedder().fit_transform(ITEMS.astype(float), interactions=histories)
    assert_array_equal(as_floats, vectors)
    names = [f"item {item:02d}" for item in ITEMS]
    named = [[names[item] for item in history] for history in histories]
    for X in (names, np.array(names), pd.Series(names), pl.Series(names)):
        assert_array_equal(make_embedder().fit_transform(X, interactions=named), vectors)


# -- pipelines --


def make_views(**parameters):
    return ColumnTransformer(
        [
            ("text", TextEmbedder(n_components=4, random_state=0), "title"),
            ("behavior", make_embedder(**parameters), ["item"]),
        ]
    )


def test_column_transformer_hands_interactions_on(routing):
    views = make_views()
    matrix = views.fit_transform(make_items(), interactions=make_histories())
    alone = make_embedder().fit_transform(ITEMS, interactions=make_histories())
    assert_array_equal(matrix[:, 4:], alone)
    assert views.get_feature_names_out()[-1] == "behavior__interactionembedder5"


def test_union_finds_the_column_of_ids_by_name(routing):
    items = make_items().rename(columns={"item": "asin"})
    table = pd.DataFrame(
        [(user, item) for user, history in enumerate(make_histories()) for item in history],
        columns=["user", "asin"],
    )
    union = FeatureUnion(
        [
            ("text", TextEmbedder(n_components=4, text_columns=["title"], random_state=0)),
            ("behavior", make_embedder(columns=("user", "asin"))),
        ]
    )
    matrix = union.fit_transform(items, interactions=table)
    alone = make_embedder().fit_transform(ITEMS, interactions=make_histories())
    assert_array_equal(matrix[:, 4:], alone)


def test_pipeline_from_tables_to_semantic_ids(routing):
    quantizer = ResidualKMeans(codebook_size=3, n_layers=2, random_state=0)
    pipeline = make_pipeline(make_views(), ViewFusion([4, 6]), quantizer)
    items = make_items()
    codes = pipeline.fit_transform(items, interactions=make_histories())
    assert codes.shape == (24, 2)
    # The level's three codes are the three groups.
    assert len({(code, item // GROUP_SIZE) for item, code in enumerate(codes[:, 0])}) == 3
    # A new item without interactions gets the first code of items with similar texts.
    new = pd.DataFrame({"item": [900], "title": ["drill 12"], "price": [1.0]})
    assert pipeline.transform(new)[0, 0] == codes[GROUP_SIZE, 0]
    again = pickle.loads(pickle.dumps(pipeline))
    assert_array_equal(again.transform(items), codes)
    assert_array_equal(clone(pipeline).fit_transform(items, interactions=make_histories()), codes)


def test_search_hands_histories_on_whole(routing):
    # As many users as items: raw lists would be cut with the rows of X.
    histories = Histories.read(make_histories(n_users=len(ITEMS)))
    assert histories.n_users == len(ITEMS)
    pipeline = Pipeline(
        [("views", make_views()), ("fusion", ViewFusion([4, -1])), ("ids", ResidualKMeans(3))]
    )
    search = GridSearchCV(pipeline, {"views__behavior__n_components": [2, 3]}, cv=2)
    search.set_params(estimator__ids__random_state=0)
    search.fit(make_items(), interactions=histories)
    behavior = search.best_estimator_["views"].named_transformers_["behavior"]
    assert behavior.n_interactions_.sum() == 5 * len(ITEMS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_constructor_holds_interactions_without_routing():
    histories = Histories.read(make_histories())
    views = make_views(interactions=histories)
    matrix = views.fit_transform(make_items())
    alone = make_embedder().fit_transform(ITEMS, interactions=make_histories())
    assert_array_equal(matrix[:, 4:], alone)
    copy = clone(make_embedder(interactions=histories))
    assert copy.interactions is histories
    # What fit is given comes first.
    other = make_histories(seed=1)
    given = copy.fit_transform(ITEMS, interactions=other)
    assert_array_equal(given, make_embedder().fit_transform(ITEMS, interactions=other))


def test_pandas_output_and_names():
    embedder = make_embedder().set_output(transform="pandas")
    frame = embedder.fit_transform(make_items(), interactions=make_histories())
    assert list(frame.columns) == [f"interactionembedder{i}" for i in range(6)]


def test_pickle_holds_vectors_alone():
    embedder = make_embedder().fit(ITEMS, interactions=make_histories(2000))
    assert len(pickle.dumps(embedder)) < 5000
    again = pickle.loads(pickle.dumps(embedder))
    assert_array_equal(again.transform(ITEMS), embedder.transform(ITEMS))


def test_importing_and_counting_need_no_torch():
    code = (
        "import sys; from sklearn_rqvae.embedding import InteractionEmbedder; "
        "InteractionEmbedder(n_components=1).fit([1], interactions=[[1, 2]]); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- errors --


def test_not_fitted():
    with pytest.raises(NotFittedError):
        make_embedder().transform(ITEMS)


@pytest.mark.parametrize(
    ("X", "options", "interactions", "message"),
    [
        (ITEMS, {}, None, r"no interactions \(interactions=None\); give them to fit"),
        (["1", "2"], {}, [[1, 2]], "None of the 2 items in X .* ids in X are like '1', .* like 1"),
        ([1, 2], {"min_interactions": 2}, [[1, 2]], "has min_interactions=2"),
        ([1], {}, [[1], [2]], "longest of 2 histories has 1 interaction"),
        ([1], {"columns": ("item",)}, [[1, 2]], "columns=.*should name the columns"),
        ([], {}, [[1, 2]], r"X has 0 sample\(s\)"),
        (np.ones((3, 2)), {}, [[1, 2]], "X should hold one id per item, but has shape"),
        (make_items()[["title", "price"]], {}, [[1, 2]], "X has no column 'item', only"),
        ([0], {"method": "self-attention"}, csr_matrix([[1, 1]]), "needs the order of interact"),
    ],
)
def test_wrong_values_are_named(X, options, interactions, message):
    with pytest.raises(ValueError, match=message):
        make_embedder(**options).fit(X, interactions=interactions)


@pytest.mark.parametrize("X", ["text", {1: 2}, 3, csr_matrix(np.ones((2, 2)))])
def test_items_should_be_a_list_of_ids(X):
    with pytest.raises(TypeError, match="X should be a list, array or series of item ids"):
        make_embedder().fit(X, interactions=[[1, 2]])


def test_too_many_components_warn():
    embedder = make_embedder(n_components=9)
    with pytest.warns(UserWarning, match="n_components=9 is more than the 3 items span"):
        vectors = embedder.fit_transform([1, 2], interactions=[[1, 2, 3]])
    assert vectors.shape == (2, 3)
    assert len(embedder.get_feature_names_out()) == 3
