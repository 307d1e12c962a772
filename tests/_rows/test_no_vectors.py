"""Texts and sparse matrices are refused with the way to vectors."""

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae.embedding import TextEmbedder
from sklearn_rqvae.metrics import collision_rate

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

TEXTS = [
    f"{color} {thing} {size}"
    for color in ["red", "blue"]
    for thing in ["lamp", "cup"]
    for size in range(5)
]
HOLDERS = {
    "list": TEXTS,
    "lists": [[text] for text in TEXTS],
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, dtype=object)[:, None],
    "new strings": np.array(TEXTS, dtype=np.dtypes.StringDType()),
    "series": pd.Series(TEXTS),
    "polars series": pl.Series(TEXTS),
    "arrow": pa.array(TEXTS),
    "one text": "red lamp 0",
}


@pytest.fixture(params=[RQVAETransformer, ResidualKMeans])
def estimator(request):
    return request.param(n_layers=2, codebook_size=4, random_state=0)


@pytest.mark.parametrize("holder", HOLDERS)
def test_texts_are_sent_to_the_embedder(holder, estimator):
    name = type(estimator).__name__
    advice = rf"such as 'red lamp 0', but .* make_pipeline\(TextEmbedder\(\), {name}\(\)\)"
    fitted = clone(estimator).fit(np.eye(8))
    for method in (estimator.partial_fit, estimator.fit, fitted.transform, fitted.score):
        with pytest.raises(ValueError, match=advice):
            method(HOLDERS[holder])
    make_pipeline(TextEmbedder(n_components=4), estimator).fit(TEXTS)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_column_of_texts_is_named(frame, estimator):
    X = frame({"price": np.arange(20.0), "digits": ["1"] * 20, "title": TEXTS})
    with pytest.raises(ValueError, match=r"column 'title'.*TextEmbedder\(text_columns=\['title'\]"):
        estimator.fit(X)
    assert estimator.fit(X[["price", "digits"]]).n_features_in_ == 2


def test_long_texts_are_cut(estimator):
    with pytest.raises(ValueError, match=r"such as 'x{36}\.\.\., but"):
        estimator.fit(["x" * 1000] * 9)


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_sparse_matrices_are_sent_to_a_reduction(kind, estimator):
    X = TfidfVectorizer().fit_transform(TEXTS)
    for method in (estimator.fit, estimator.fit(np.eye(8)).transform):
        with pytest.raises(TypeError, match=r"sparse.*TruncatedSVD\(256\).*TextEmbedder"):
            method(kind(X))
    make_pipeline(TruncatedSVD(3), Normalizer(), estimator).fit(X)


def test_other_errors_stay_what_they_are(estimator):
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit([[1.0, None]] * 9)
    with pytest.raises(TypeError, match="argument must be a string or a real number"):
        estimator.fit([{"a": 1}] * 9)


def test_sparse_codes_are_refused(estimator):
    estimator.fit(np.eye(8))
    for call in (estimator.inverse_transform, collision_rate, SemanticIDIndex().fit):
        with pytest.raises(TypeError, match=r"codes are a sparse matrix .* codes\.toarray\(\)"):
            call(csr_matrix(estimator.transform(np.eye(8))))


def test_masked_weights_are_refused(estimator):
    weight = np.ma.masked_less(np.arange(8.0), 2)
    with pytest.raises(ValueError, match="2 masked entries"):
        estimator.fit(np.eye(8), sample_weight=weight)
    with pytest.raises(ValueError, match="2 masked entries"):
        estimator.fit(np.eye(8)).score(np.eye(8), sample_weight=weight)


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_a_frame_of_sparse_columns_is_refused_with_the_way_to_dense_ones(fill, estimator):
    dense = pd.DataFrame(np.eye(8))
    sparse = dense.astype(pd.SparseDtype("float64", fill))
    fitted = clone(estimator).fit(dense)
    for method in (estimator.partial_fit, estimator.fit, fitted.transform, fitted.score):
        with pytest.raises(TypeError, match=r"X\.sparse\.to_dense\(\)"):
            method(sparse)
    codes = fitted.transform(dense)
    np.testing.assert_array_equal(fitted.transform(sparse.sparse.to_dense()), codes)
