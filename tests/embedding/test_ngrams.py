"""The n-gram encoder is latent semantic analysis, row by row."""

import sys
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_rqvae import TextEmbedder
from sklearn_rqvae.embedding import _ngrams
from sklearn_rqvae.embedding._ngrams import NgramEncoder

WORDS = ["red", "rose", "hair", "dryer", "lipstick", "travel", "soap", "mint", "kit", "blue"]


def make_texts(n_texts, seed=0):
    rng = np.random.default_rng(seed)
    return sorted({" ".join(rng.choice(WORDS, size=4)) for _ in range(n_texts)})


def make_encoder(
    n_components=5, weights="tfidf", analyzer="char_wb", ngram_range=(3, 4), max_features=1000
):
    return NgramEncoder(weights, n_components, analyzer, ngram_range, max_features)


def test_vectors_span_the_leading_singular_directions():
    # Oracle: the exact decomposition of the dense TF-IDF matrix. Signs are free, so compare inner
    # products.
    texts = make_texts(80)
    counts = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True
    ).fit_transform(texts)
    left, singular, _ = np.linalg.svd(counts.toarray(), full_matrices=False)
    expected = left[:, :5] * singular[:5]
    vectors = make_encoder().fit(texts, np.random.RandomState(0)).encode(texts)
    assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)


def test_all_components_keep_every_inner_product():
    # With as many components as texts the projection is a rotation of the TF-IDF rows.
    texts = make_texts(12)
    counts = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True
    ).fit_transform(texts)
    encoder = make_encoder(n_components=len(texts)).fit(texts, np.random.RandomState(0))
    vectors = encoder.encode(texts)
    assert_allclose(vectors @ vectors.T, (counts @ counts.T).toarray(), atol=1e-5)


@pytest.mark.parametrize("weights", ["tfidf", "hashing"])
def test_a_vector_does_not_depend_on_the_other_texts(weights):
    texts = make_texts(60)
    encoder = make_encoder(weights=weights, max_features=512).fit(texts, np.random.RandomState(0))
    together = encoder.encode(texts)
    alone = np.vstack([encoder.encode([text]) for text in texts])
    assert_array_equal(together, alone)


def test_chunks_are_invisible(monkeypatch):
    texts = make_texts(50)
    encoder = make_encoder().fit(texts, np.random.RandomState(0))
    whole = encoder.encode(texts)
    monkeypatch.setattr("sklearn_rqvae.embedding._ngrams.CHUNK_TEXTS", 7)
    assert_array_equal(encoder.encode(texts), whole)


def test_hashing_agrees_with_the_vocabulary_where_nothing_collides():
    texts = make_texts(40)
    make = {w: make_encoder(weights=w, max_features=2**20) for w in ("tfidf", "hashing")}
    vectors = {w: e.fit(texts, np.random.RandomState(0)).encode(texts) for w, e in make.items()}
    tfidf, hashing = vectors["tfidf"], vectors["hashing"]
    assert_allclose(hashing @ hashing.T, tfidf @ tfidf.T, atol=1e-4)


@pytest.mark.parametrize("weights", ["tfidf", "hashing"])
def test_texts_without_an_ngram_get_the_zero_vector(weights):
    encoder = make_encoder(weights=weights).fit(make_texts(20), np.random.RandomState(0))
    assert_array_equal(encoder.encode(["", "  ", "\n"]), np.zeros((3, 5)))


@pytest.mark.parametrize("weights", ["tfidf", "hashing"])
@pytest.mark.parametrize("texts", [["", "  "], [""]])
def test_a_corpus_without_any_ngram_is_refused(weights, texts):
    with pytest.raises(
        ValueError, match=r"None of the \d distinct texts has an n-gram.*lower ngram_range"
    ):
        make_encoder(weights=weights).fit(texts, np.random.RandomState(0))


@pytest.mark.parametrize("texts", [["ab"], ["ab", "cd"], ["", "soap", "soap dish"]])
def test_tiny_corpora_get_fewer_components_with_a_warning(texts):
    with pytest.warns(UserWarning, match=r"n_components=5 is more than \d distinct texts"):
        encoder = make_encoder().fit(texts, np.random.RandomState(0))
    vectors = encoder.encode(texts)
    assert vectors.shape[1] == len(encoder.components_) <= len(texts)
    assert np.isfinite(vectors).all()


def test_a_single_ngram_is_enough():
    with pytest.warns(UserWarning, match="1 different n-grams"):
        encoder = make_encoder(n_components=2, ngram_range=(4, 4)).fit(
            ["ab"], np.random.RandomState(0)
        )
    assert_allclose(np.abs(encoder.encode(["ab"])), [[1.0]], rtol=1e-6)


def test_at_most_max_features_ngrams_are_kept():
    encoder = make_encoder(max_features=30).fit(make_texts(50), np.random.RandomState(0))
    assert encoder.components_.shape == (5, 30)


def test_vectors_are_float32_without_a_copy_of_the_projection():
    encoder = make_encoder().fit(make_texts(50), np.random.RandomState(0))
    assert encoder.components_.dtype == np.float32
    assert encoder.components_.T.flags["C_CONTIGUOUS"]
    assert encoder.encode(["soap"]).dtype == np.float32


def many_texts(n):
    words = [f"{a}{b}" for a in ("lamp", "sofa", "kettle", "brush") for b in "abcdefghij"]
    return [f"{words[i % 40]} {words[i // 40 % 40]} number {i}" for i in range(n)]


def test_of_many_texts_a_sample_is_learned_from_whatever_their_order(monkeypatch):
    monkeypatch.setattr(_ngrams, "MOST_TEXTS", 200)
    texts = many_texts(1000)
    one = TextEmbedder(n_components=8, random_state=0).fit(texts)
    other = TextEmbedder(n_components=8, random_state=0).fit(texts[::-1] + texts[:10])
    np.testing.assert_array_equal(one.transform(texts), other.transform(texts))
    monkeypatch.setattr(_ngrams, "MOST_TEXTS", 1000)
    whole = TextEmbedder(n_components=8, random_state=0).fit(texts)
    assert (one.transform(texts) != whole.transform(texts)).any()
    monkeypatch.setattr(_ngrams, "MOST_TEXTS", 10**9)  # up to the size of a sample all are used
    again = TextEmbedder(n_components=8, random_state=0).fit(texts)
    np.testing.assert_array_equal(whole.transform(texts), again.transform(texts))


def test_a_fit_to_many_texts_holds_less_than_twice_their_size(monkeypatch):
    monkeypatch.setattr(_ngrams, "MOST_TEXTS", 1000)
    texts = many_texts(150_000)
    size = sum(map(sys.getsizeof, texts))
    tracemalloc.start()
    TextEmbedder(n_components=8, random_state=0).fit(texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * size


def test_texts_that_repeat_take_no_second_copy_of_the_vectors():
    texts = many_texts(1000)
    embedder = TextEmbedder(n_components=64, random_state=0).fit(texts)
    expected = embedder.transform(texts)
    rows = np.random.default_rng(1).integers(1000, size=20_000)
    repeated = [texts[row] for row in rows]
    tracemalloc.start()
    found = embedder.transform(repeated)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, expected[rows])
    assert peak < 1.6 * found.nbytes


def test_progress_is_shown_if_asked_for(capsys):
    texts = many_texts(50)
    TextEmbedder(n_components=4, random_state=0).fit_transform(texts)
    assert capsys.readouterr().err == ""
    TextEmbedder(n_components=4, random_state=0, verbose=1).fit_transform(texts)
    said = capsys.readouterr().err
    assert all(what in said for what in ("counting n-grams", "finding directions", "embedding"))
