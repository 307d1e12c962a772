"""A fit of shards is the fit of the whole, to the bit."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae.io import parquet_array

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

MODELS = [
    RQVAETransformer(codebook_size=16, device="cpu", random_state=0),
    RQVAETransformer(codebook_size=16, embed_dim=6, device="cpu", random_state=0),
    ResidualKMeans(codebook_size=16, random_state=0),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=["pairs", "some axes", "kmeans"])


@pytest.fixture(autouse=True)
def small_sample(monkeypatch):
    """Find codebooks on 300 rows, merge two results at a time, in this process."""
    monkeypatch.setattr("sklearn_rqvae._learning._rows._CLOSED_FORM_ROWS", 300)
    monkeypatch.setattr("sklearn_rqvae._learning._rows._ROWS_PER_CODEWORD", 1)
    monkeypatch.setattr("sklearn_rqvae._rows._shards._FAN_IN", 2)
    with dask.config.set(scheduler="synchronous"):
        yield


def make_rows(n=2000, d=8, dtype=np.float32):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, d))[rng.integers(0, 200, n)] + 0.3 * rng.normal(size=(n, d))
    X[n // 2 : n // 2 + 50] = X[:50]  # copies in another shard
    return X.astype(dtype)


def assert_same_fit(one, other, X):
    for name in ("codebooks_", "code_usage_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_array_equal(a, b)
    codes = one.transform(X)
    np.testing.assert_array_equal(codes, other.transform(X))
    np.testing.assert_array_equal(one.inverse_transform(codes), other.inverse_transform(codes))


@each_model
def test_neither_the_number_of_shards_nor_their_sizes_change_a_bit(model):
    X = make_rows()
    whole = clone(model).fit(X)
    for chunks in [(2000,), (700, 1, 299, 1000)]:
        assert_same_fit(clone(model).fit(da.from_array(X, chunks=(chunks, 3))), whole, X)


def test_rows_far_from_zero_and_weights_count_as_in_one_array():
    X = make_rows(dtype=np.float64) + 1e6
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    weight[:700] = 0  # a shard without any
    model = RQVAETransformer(n_layers=2, codebook_size=16, device="cpu", random_state=0)
    whole = clone(model).fit(X, sample_weight=weight)
    of_shards = da.from_array(X, chunks=(700, -1))
    parts = da.from_array(weight, chunks=100)
    assert_same_fit(clone(model).fit(of_shards, sample_weight=parts), whole, X)


def test_a_frame_of_unknown_length_has_names_and_rows():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X = make_rows(600)
    frame = pd.DataFrame(X, columns=[f"x{column}" for column in range(8)])
    lazy = dd.from_pandas(frame, npartitions=3)
    model = ResidualKMeans(n_layers=2, codebook_size=8, random_state=0)
    fitted = clone(model).fit(lazy[lazy.x0 > -5.0])
    assert fitted.feature_names_in_.tolist() == frame.columns.tolist()
    assert_same_fit(fitted, clone(model).fit(frame), frame)


def test_a_stream_of_shards_is_a_stream_of_their_rows():
    X = make_rows(600)
    model = ResidualKMeans(n_layers=2, codebook_size=8, random_state=0)
    streamed = clone(model).partial_fit(da.from_array(X, chunks=(250, -1)))
    assert_same_fit(streamed, clone(model).partial_fit(X), X)


def test_what_isnt_a_matrix_of_numbers_is_refused():
    model = ResidualKMeans(n_layers=2, codebook_size=8)
    with pytest.raises(ValueError, match="1 dimensions"):
        model.fit(da.zeros(5))
    with pytest.raises(TypeError, match="numbers were expected"):
        model.fit(da.from_array(np.array([["a", "b"]])))
    with pytest.raises(ValueError, match="no rows"):
        model.fit(da.zeros((0, 3)))
    X = make_rows(100)
    X[70, 2] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN[\s\S]*ResidualKMeans"):
        model.fit(da.from_array(X, chunks=(50, -1)))


@pytest.mark.slow
def test_processes_of_a_cluster_find_the_fit_of_one(tmp_path):
    distributed = pytest.importorskip("distributed")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = make_rows()
    for part, some in enumerate(np.split(X, [700, 701])):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), 8)
        pq.write_table(pa.table({"vector": vectors}), tmp_path / f"{part}.parquet")
    lazy = parquet_array(tmp_path, vector_column="vector")
    assert len(pickle.dumps(dict(lazy.dask))) < 10_000  # names, no numbers
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster), dask.config.set(scheduler=None):
        fitted = clone(MODELS[0]).fit(lazy)
    assert_same_fit(fitted, clone(MODELS[0]).fit(X), X)


def test_parts_of_a_stream_have_the_features_of_the_first():
    X = make_rows(400)
    stream = clone(MODELS[2]).partial_fit(da.from_array(X, chunks=100))
    with pytest.raises(ValueError, match=r"X has 7 features, but .* is expecting 8"):
        stream.partial_fit(da.from_array(X[:, :7], chunks=100))
    assert stream.n_features_in_ == 8
