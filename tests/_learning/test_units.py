"""A catalog in other units, or counted from another point, is the same catalog."""

import numpy as np
import pytest
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer

# As many digits as a number has, also after it was shifted.
X = np.random.default_rng(0).normal(size=(400, 8))
SMALL = {"n_layers": 3, "codebook_size": 16, "random_state": 0}
# Errors of categories have no unit: beams would weigh them against the others anew.
ESTIMATORS = {
    "closed form": RQVAETransformer(**SMALL),
    "gradients": RQVAETransformer(**SMALL, codebook_mode="STE", max_epochs=3, hidden_dims=[16]),
    "categories": RQVAETransformer(
        **SMALL, n_cat_features=2, n_beams=1, max_epochs=3, hidden_dims=[16]
    ),
    "k-means": ResidualKMeans(**SMALL),
}


@pytest.fixture(scope="module")
def codes():
    return {
        name: estimator.fit(rows_of(name)).transform(rows_of(name))
        for name, estimator in ESTIMATORS.items()
    }


def rows_of(name, factor=1.0, shift=0.0):
    rows = factor * X + shift
    if name == "categories":
        rows[:, -2:] = np.eye(2)[(X[:, -1] > 0).astype(int)]
    return rows


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(
    ("factor", "shift"), [(2, 0), (1e-6, 0), (1e6, 0), (3.7, -1), (1, 1e4), (0.3, 1e8)]
)
def test_units_and_origin_change_no_code(name, factor, shift, codes):
    rows = rows_of(name, factor, shift)
    again = ESTIMATORS[name].fit(rows).transform(rows)
    assert (again == codes[name]).all(axis=1).mean() > 0.99


@pytest.mark.parametrize("name", ["closed form", "k-means"])
def test_float32_is_the_same_in_other_units(name, codes):
    rows = X.astype(np.float32) * np.float32(1e-3)
    again = ESTIMATORS[name].fit(rows).transform(rows)
    assert (again == codes[name]).all(axis=1).mean() > 0.5


@pytest.mark.parametrize("name", ["closed form", "gradients", "k-means"])
@pytest.mark.parametrize("factor", [2.0**-20, 2, 2.0**20])
def test_powers_of_two_change_nothing_in_single_precision(name, factor):
    single = X.astype(np.float32)
    estimator = ESTIMATORS[name].fit(single)
    codes, score = estimator.transform(single), estimator.score(single)
    rows = np.float32(factor) * single
    np.testing.assert_array_equal(estimator.fit(rows).transform(rows), codes)
    assert estimator.score(rows) == score * factor**2


UNITS = [(1024, 0), (1e-6, 0), (1e6, 0), (3, 0), (1, 1), (1, 100), (1, 1e4)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("n_rows", "n_features", "codebook_size", "n_seeds"), [(400, 8, 16, 5), (4000, 64, 64, 1)]
)
def test_share_of_equal_codes_in_other_units(
    dtype, n_rows, n_features, codebook_size, n_seeds, capsys
):
    # What is left to chance where single precision rounds: the codes, but not how good they are.
    shares = {units: [] for units in UNITS}
    for seed in range(n_seeds):
        rng = np.random.default_rng(seed)
        mix = rng.normal(size=(n_features, n_features))
        rows = (rng.normal(size=(n_rows, n_features)) @ mix).astype(dtype)
        estimator = RQVAETransformer(codebook_size=codebook_size, random_state=0)
        codes, left = estimator.fit_transform(rows), -estimator.score(rows)
        for factor, shift in UNITS:
            moved = dtype(factor) * rows + dtype(shift)
            again = estimator.fit_transform(moved)
            shares[factor, shift].append(float((again == codes).all(axis=1).mean()))
            assert -estimator.score(moved) / factor**2 == pytest.approx(left, rel=0.05)
    with capsys.disabled():
        told = ", ".join(f"{a:g}x+{b:g}: {np.mean(s):.3f}" for (a, b), s in shares.items())
        print(f"\n{np.dtype(dtype)}, {n_rows} x {n_features}, {codebook_size} codewords: {told}")
    assert min(shares[1024, 0]) == 1
    if dtype is np.float64:
        assert min(map(min, shares.values())) > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", [RQVAETransformer(random_state=0), ResidualKMeans(random_state=0)]
)
@pytest.mark.parametrize("name", ["scientific", "beauty"])
def test_new_items_of_a_catalog_lose_as_much_in_other_units(name, estimator, load_catalog, capsys):
    # Half-precision vectors in float32: some digits are to spare.
    rows = load_catalog(name)
    is_new = np.arange(len(rows)) % 10 == 0
    codes = estimator.fit(rows[~is_new]).transform(rows)
    left = estimator.score(rows[is_new])
    for factor, shift in [(3, 0), (1e-6, 0), (1, 1), (1, 100), (1, 1e4)]:
        moved = np.float32(factor) * rows + np.float32(shift)
        again = estimator.fit(moved[~is_new]).transform(moved)
        ratio = estimator.score(moved[is_new]) / factor**2 / left
        with capsys.disabled():
            share = (again == codes).all(axis=1).mean()
            print(f"\n{name}, {estimator}, {factor:g}x+{shift:g}: {share:.3f}, error {ratio:.4f}")
        assert ratio == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("name", ["closed form", "gradients", "k-means"])
def test_rows_far_from_zero_come_back(name):
    far = 1e8 + X
    near, estimator = ESTIMATORS[name].fit(X).score(X), ESTIMATORS[name].fit(far)
    assert estimator.score(far) == pytest.approx(near, rel=1e-3)
    decoded = estimator.inverse_transform(estimator.transform(far))
    assert decoded.dtype == np.float64
    assert -np.square(decoded - far).mean() == pytest.approx(near, rel=1e-3)
    np.testing.assert_allclose(estimator.origin_, far.mean(axis=0), rtol=1e-9)


def test_a_fit_of_near_rows_forgets_where_far_ones_lay():
    estimator = ResidualKMeans(**SMALL).fit(1e8 + X).fit(X)
    assert not hasattr(estimator, "origin_")
    assert estimator.inverse_transform(estimator.transform(X)).dtype == np.float32


def test_far_rows_survive_saving_and_the_module_takes_them_as_they_come(tmp_path):
    far = (1e4 + X).astype(np.float32)
    estimator = RQVAETransformer(**SMALL).fit(far)
    estimator.save(tmp_path / "m")
    loaded = RQVAETransformer.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.transform(far), estimator.transform(far))
    codes = loaded.set_params(n_beams=1).transform(far)
    assert (loaded.net_.get_semantic_ids(torch.from_numpy(far)).numpy() == codes).mean() > 0.98


def test_training_goes_on_far_from_zero():
    far = 1e8 + X
    estimator = ESTIMATORS["gradients"].fit(far)
    before = estimator.score(far)
    estimator.partial_fit(far)
    assert estimator.score(far) > 2 * before
    np.testing.assert_allclose(estimator.origin_, far.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("estimator", [RQVAETransformer(**SMALL), ResidualKMeans(**SMALL)])
def test_a_stream_that_single_precision_cannot_hold_is_refused(estimator):
    with pytest.raises(ValueError, match="Subtract a constant near their mean"):
        estimator.partial_fit(1e8 + X)
    estimator.partial_fit(1e3 + X[:1])  # one row has no reach
    estimator.partial_fit(1e3 + X[1:])
    np.testing.assert_array_equal(
        estimator.transform(1e3 + X), estimator.fit(np.float32(1e3 + X)).transform(1e3 + X)
    )


@pytest.mark.parametrize("estimator", [RQVAETransformer(**SMALL), ResidualKMeans(**SMALL)])
def test_an_outlier_does_not_hide_what_is_lost(estimator):
    # The middle lies between an outlier and rows that single precision can't tell apart.
    rows = np.concatenate([1e12 + X, np.zeros((1, 8))])
    assert estimator.fit(rows).score(rows) < -0.1
