"""Renaming codes changes names and nothing else."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._learning._names import matching_names, names_by_rows, renamed
from sklearn_rqvae.nn import RqVae

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype(np.float32)
SMALL = {"n_layers": 3, "codebook_size": [6, 8, 5], "random_state": 0}
TRAINED = {"codebook_mode": "STE", "max_epochs": 2, "hidden_dims": (8,)}
MODELS = {
    "closed form": RQVAETransformer(**SMALL),
    "k-means": ResidualKMeans(**SMALL),
    "trained": RQVAETransformer(**SMALL, **TRAINED),
    "textbook": RQVAETransformer(**SMALL, **TRAINED, linear_path=False),
    "SimVQ": RQVAETransformer(**SMALL, **TRAINED, codebook_sim_vq=True, codebook_normalize=True),
}
pytestmark = pytest.mark.filterwarnings("ignore:Codebook collapse", "ignore:.*collapse")


def shuffled(model):
    """Return the model with its codes called otherwise, and the names."""
    names = [np.random.default_rng(1).permutation(len(book)) for book in model.codebooks_]
    other = type(model)(**model.get_params(deep=False))
    other.__dict__.update(model.__getstate__() | renamed(model.__dict__, names))
    other.__dict__.pop("_versions", None)
    return other, names


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_only_names_change_and_come_back(model):
    model.fit(X)
    other, names = shuffled(model)
    codes = model.transform(X)
    called = np.stack([name[c] for name, c in zip(names, codes.T, strict=True)], axis=1)
    assert (other.transform(X) == called).mean() > 0.999  # ties within rounding
    for depth in (1, 2, 3):
        np.testing.assert_array_equal(
            other.inverse_transform(called[:, :depth]), model.inverse_transform(codes[:, :depth])
        )
    back = other.relabel_like(model, X)
    assert back.fingerprint == model.fingerprint
    for one, same in zip(back.code_usage_, model.code_usage_, strict=True):
        np.testing.assert_array_equal(one, same)
    assert other.fingerprint != model.fingerprint  # the model itself keeps its names


@pytest.mark.parametrize("name", ["closed form", "k-means"])
def test_codewords_tell_the_names_without_items(name):
    model = MODELS[name].fit(X)
    assert shuffled(model)[0].relabel_like(model).fingerprint == model.fingerprint


def test_codewords_of_two_kinds_of_model_lie_in_one_space():
    tight = np.repeat(4 * RNG.normal(size=(6, 6)), 50, axis=0) + 0.1 * RNG.normal(size=(300, 6))
    one = RQVAETransformer(n_layers=1, codebook_size=6, random_state=0).fit(tight)
    other = ResidualKMeans(n_layers=1, codebook_size=6, random_state=5).fit(tight)
    assert (one.relabel_like(other).transform(tight) == other.transform(tight)).all()
    assert (one.relabel_like(other, tight).transform(tight) == other.transform(tight)).all()


def test_two_fits_share_more_codes_after_relabeling():
    old, new = ResidualKMeans(2, 8, random_state=0).fit(X), ResidualKMeans(2, 8, random_state=1)
    new.fit(X)
    before = (new.transform(X) == old.transform(X)).mean(axis=0)
    after = (new.relabel_like(old, X).transform(X) == old.transform(X)).mean(axis=0)
    assert (after > before).all()


@pytest.mark.parametrize(("old_size", "new_size"), [(4, 7), (7, 4)])
def test_codebooks_may_grow_and_shrink(old_size, new_size):
    old = ResidualKMeans(1, old_size, random_state=0).fit(X)
    new = ResidualKMeans(1, new_size, random_state=0).fit(X)
    renamed_model = new.relabel_like(old, X)
    assert sorted(map(tuple, renamed_model.codebooks_[0])) == sorted(map(tuple, new.codebooks_[0]))
    assert (renamed_model.transform(X) == old.transform(X)).mean() > 0.3


def test_what_has_no_match_takes_the_names_left():
    names = matching_names(np.array([[5.0, 1.0], [2.0, 9.0], [0.5, 3.0]]))
    assert sorted(names) == [0, 1, 2]
    assert names.tolist() == [1, 2, 0]


def test_models_that_cannot_be_matched_are_refused():
    old = ResidualKMeans(2, 8, random_state=0).fit(X)
    with pytest.raises(ValueError, match="3 and 2 levels"):
        MODELS["k-means"].fit(X).relabel_like(old)
    trained = RQVAETransformer(**{**SMALL, "n_layers": 2, "codebook_size": 8}, **TRAINED).fit(X)
    with pytest.raises(ValueError, match=r"relabel_like\(other, X\)"):
        trained.relabel_like(old)
    assert trained.relabel_like(old, X).transform(X).shape == (400, 2)
    for items in ((), (X,)):
        with pytest.raises(NotFittedError, match="ResidualKMeans"):
            old.relabel_like(ResidualKMeans(), *items)
        with pytest.raises(TypeError, match=r"Pipeline has no codebooks_.*its last step"):
            old.relabel_like(make_pipeline(old), *items)


@pytest.mark.parametrize("name", ["closed form", "k-means"])
def test_codewords_far_from_zero_are_matched_as_well(name):
    # Means differ by less than float32 tells apart here, codewords by less than their squares do.
    model = MODELS[name]
    far = X.astype(np.float64) + 1e9
    names = {}
    for place, rows in (("near", X), ("far", far)):
        old = clone(model).fit(rows)
        new = clone(model).set_params(random_state=1).fit(rows[:350])
        names[place] = new.relabel_like(old).transform(rows)
    assert (names["near"] == names["far"]).mean() > 0.99


class ByName(RqVae):
    """Decodes to what the codes are called."""

    def decode(self, codes):
        return super().decode(codes) + codes.sum(1, keepdim=True)


def test_a_module_that_decodes_by_name_is_refused():
    model = RQVAETransformer(n_layers=2, codebook_size=8, **TRAINED, module=ByName, random_state=0)
    with pytest.raises(TypeError, match="ByName"):
        model.fit(X).relabel_like(ResidualKMeans(2, 8, random_state=0).fit(X), X)


def prefixes_kept(names, codes, old):
    kept = np.stack([name[c] for name, c in zip(names, codes.T, strict=True)], axis=1) == old
    return np.logical_and.accumulate(kept, axis=1).sum(axis=0).tolist()


def test_rows_that_lost_their_first_code_have_no_say_in_the_second():
    # 9 rows keep their first code, and would keep the second under swapped names; the 12 that lose
    # the first would keep the second as it is.
    kept, lost = [(a, a) for a in range(3)] * 3, [(a, b) for a in range(3) for b in range(3)]
    lost = [pair for pair in lost if pair[0] != pair[1]] * 2
    first = np.array(kept + lost)
    second = np.arange(len(first)) % 2
    codes = np.stack([first[:, 0], second], axis=1)
    old = np.stack([first[:, 1], np.where(np.arange(len(first)) < 9, 1 - second, second)], axis=1)
    names = names_by_rows(codes, [3, 2], old)
    assert [name.tolist() for name in names] == [[0, 1, 2], [1, 0]]
    assert prefixes_kept(names, codes, old) == [9, 9]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_names_of_one_level_keep_more(seed):
    rng = np.random.default_rng(seed)
    codes, old = rng.integers(0, 3, size=(2, 60, 3))
    names = names_by_rows(codes, [3, 3, 3], old)
    total = sum(prefixes_kept(names, codes, old))
    for level in range(3):
        for name in map(np.array, permutations(range(3))):
            others = [*names[:level], name, *names[level + 1 :]]
            assert sum(prefixes_kept(others, codes, old)) <= total
