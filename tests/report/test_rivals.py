"""The rivals: PCA and k-means, and faiss, behind the interface of our estimators."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from sklearn_rqvae.report._rivals import FaissResidualQuantizer, PCAKMeans, why_not_faiss


def test_one_level_of_pca_and_kmeans_is_scikit_learns(X):
    rival = PCAKMeans([5], n_components=3, random_state=0).fit(X)
    pca = PCA(3, random_state=0).fit(X)
    kmeans = KMeans(5, n_init=1, random_state=0).fit(pca.transform(X))
    np.testing.assert_array_equal(rival.transform(X)[:, 0], kmeans.predict(pca.transform(X)))
    centers = pca.inverse_transform(kmeans.cluster_centers_)
    np.testing.assert_allclose(rival.inverse_transform(np.arange(5)[:, None]), centers, rtol=1e-5)


def test_later_levels_quantize_what_is_left(X):
    rival = PCAKMeans([4, 4, 4], random_state=0).fit(X)
    codes = rival.transform(X)
    errors = [np.square(X - rival.inverse_transform(codes[:, :k])).sum() for k in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2]


def test_more_codewords_than_rows_or_distinct_rows_are_no_error():
    rows = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    rival = PCAKMeans([8, 8], random_state=0).fit(rows)
    np.testing.assert_allclose(rival.inverse_transform(rival.transform(rows)), rows, atol=1e-5)


def test_faiss_decodes_its_codes_as_faiss_does(X):
    faiss = pytest.importorskip("faiss")
    rival = FaissResidualQuantizer([8, 4, 2], random_state=0).fit(X)  # 3, 2 and 1 bits
    codes = rival.transform(X)
    assert (codes.max(axis=0) < [8, 4, 2]).all()
    assert (codes.max(axis=0) > 0).all()
    packed = rival.quantizer_.compute_codes(np.ascontiguousarray(X - rival.mean_))
    theirs = rival.quantizer_.decode(packed) + rival.mean_
    np.testing.assert_allclose(rival.inverse_transform(codes), theirs, atol=1e-5)
    assert [len(codebook) for codebook in rival.codebooks_] == [8, 4, 2]
    assert faiss.__version__


@pytest.mark.parametrize(
    ("sizes", "n_rows", "reason"),
    [([4, 6], 100, "powers of two, and codebook_size has 6"), ([16], 10, "10 < 16")],
)
def test_why_faiss_is_left_out(sizes, n_rows, reason):
    pytest.importorskip("faiss")
    assert reason in why_not_faiss(sizes, n_rows)


def test_faiss_is_compared_where_it_can_be():
    pytest.importorskip("faiss")
    assert why_not_faiss([4, 8], 8) is None
