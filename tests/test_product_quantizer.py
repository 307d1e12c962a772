"""ProductQuantizer keeps scikit-learn's contract, and its codes are independent and near."""

from collections import Counter

import numpy as np
import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, SemanticIDIndex
from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.metrics import fraction_variance_unexplained
from tests.test_residual_kmeans import COMMON_CHECKS


@pytest.mark.parametrize("codebook_size", [256, [4, 3]])
def test_all_estimator_checks_pass_and_none_is_skipped(codebook_size):
    results = check_estimator(ProductQuantizer(2, codebook_size), on_fail=None)
    assert Counter(result["status"] for result in results) == {"passed": len(results)}


@pytest.mark.parametrize("check", COMMON_CHECKS)
def test_common_checks_that_check_estimator_leaves_out_pass(check):
    getattr(estimator_checks, check)("ProductQuantizer", ProductQuantizer(n_layers=2))


def mixed_signals(n=600, n_features=12, seed=0):
    """Return rows of which each of three blocks is one of four points, all rotated."""
    rng = np.random.default_rng(seed)
    points = 3.0 * rng.normal(size=(3, 4, n_features // 3))
    codes = rng.integers(4, size=(n, 3))
    rows = np.concatenate([points[block, codes[:, block]] for block in range(3)], axis=1)
    rotation = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    return rows @ rotation + 0.05 * rng.normal(size=rows.shape), codes


def small_model(**params):
    return ProductQuantizer(**{"n_layers": 3, "codebook_size": 4, "random_state": 0, **params})


@pytest.mark.parametrize("seed", range(3))
def test_codewords_of_different_codes_are_orthogonal(seed):
    model = small_model(n_layers=5, random_state=seed).fit(mixed_signals(seed=seed)[0])
    blocks = np.array_split(model.rotation_, 5, axis=1)
    for level, block in enumerate(blocks):
        outside = np.concatenate([other for other in blocks if other is not block], axis=1)
        assert np.abs(model.codebooks_[level] @ outside).max() < 1e-4
    np.testing.assert_allclose(model.rotation_.T @ model.rotation_, np.eye(12), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_no_combination_of_codewords_is_nearer_than_the_codes(seed):
    # The oracle compares all 4 ** 3 combinations.
    X = mixed_signals(seed=seed)[0][:50]
    model = small_model(random_state=seed).fit(X)
    combinations = np.stack(np.meshgrid(*[range(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    decoded = model.inverse_transform(combinations)
    errors = ((X[:, None] - decoded) ** 2).sum(-1)
    np.testing.assert_array_equal(model.transform(X), combinations[errors.argmin(1)])
    candidates, found = model.candidate_codes(X, 5)
    np.testing.assert_allclose(found, np.sort(errors, 1)[:, :5], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(candidates[:, 0], model.transform(X))


def test_the_rotation_is_learned():
    # Rows whose blocks mix principal axes: only a rotation tells the blocks apart.
    X, _ = mixed_signals()
    learned, axes = (-small_model(n_iter=n_iter).fit(X).score(X) for n_iter in (20, 0))
    assert learned < 0.9 * axes


def test_codewords_add_up_in_any_order():
    X, _ = mixed_signals()
    model = small_model().fit(X)
    codes = model.transform(X)
    parts = [book[code] for book, code in zip(model.codebooks_, codes.T, strict=True)]
    decoded = model.inverse_transform(codes)
    np.testing.assert_allclose(model.mean_ + sum(parts[::-1]), decoded, atol=1e-5)


def test_more_codes_than_features_are_refused():
    with pytest.raises(ValueError, match="n_layers=13 should be at most n_features=12"):
        ProductQuantizer(13, 4).fit(mixed_signals()[0])


@pytest.mark.parametrize("collisions", ["suffix", "reassign"])
def test_long_ids_make_an_index(collisions, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40)).astype(np.float32)
    X[1] = X[0]
    model = ProductQuantizer(32, 256, n_iter=1, random_state=0).fit(X)
    index = SemanticIDIndex.from_estimator(model, X, collisions=collisions)
    assert len(np.unique(index.ids_, axis=0)) == 300
    index.save(tmp_path / "index")
    again = SemanticIDIndex.load(tmp_path / "index")
    assert again.fingerprint == index.fingerprint
    items, distances = index.decoded_neighbors(0, n_neighbors=3)
    assert items[0] == 1
    assert distances[0] < distances[1]


def test_a_file_whose_parts_do_not_fit_is_damaged(tmp_path):
    model = small_model().fit(mixed_signals()[0])
    model.rotation_ = model.rotation_[:, 1:]
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="damaged"):
        ProductQuantizer.load(tmp_path / "model")


class OptimizedFaiss:
    """Product quantizer of faiss after its optimized rotation, on centered rows."""

    def __init__(self, X, n_codes):
        faiss = pytest.importorskip("faiss")
        faiss.omp_set_num_threads(1)
        self.mean = X.mean(axis=0)
        self.rotation = faiss.OPQMatrix(X.shape[1], n_codes)
        self.rotation.train(X - self.mean)
        self.quantizer = faiss.ProductQuantizer(X.shape[1], n_codes, 8)
        self.quantizer.train(self.rotation.apply(X - self.mean))

    def reconstruct(self, X):
        codes = self.quantizer.compute_codes(self.rotation.apply(X - self.mean))
        return self.rotation.reverse_transform(self.quantizer.decode(codes)) + self.mean


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["beauty", "scientific"])
def test_real_vectors_are_quantized_better_than_by_faiss(load_catalog, catalog):
    X = load_catalog(catalog)
    held_out = np.arange(len(X)) % 10 == 0
    train, test = X[~held_out], X[held_out]
    model = ProductQuantizer(8, random_state=0).fit(train)
    ours = fraction_variance_unexplained(test, model.inverse_transform(model.transform(test)))
    rival = fraction_variance_unexplained(test, OptimizedFaiss(train, 8).reconstruct(test))
    assert ours <= 0.97 * rival


def test_the_default_takes_the_place_of_residual_kmeans():
    params = ProductQuantizer().get_params()
    assert set(params) <= set(ResidualKMeans().get_params())
