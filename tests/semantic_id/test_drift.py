"""Drift between catalogs and fits, by hand and by laws."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.semantic_id import (
    FitShift,
    SemanticIDIndex,
    compare_catalogs,
    fit_shift,
    match_codebooks,
)


def test_shares_by_hand():
    old = SemanticIDIndex("none").fit([[0, 0], [0, 1], [1, 0], [1, 1]], list("abcd"))
    new = SemanticIDIndex("none").fit([[0, 0], [1, 1], [1, 1], [1, 1]], list("abce"))
    report = old.drift(new)
    assert (report.n_common, report.n_added, report.n_removed) == (3, 1, 1)
    assert report.changed == pytest.approx(2 / 3)
    assert report.changed_by_level == pytest.approx([1 / 3, 1 / 3])
    assert report.changed_prefix == pytest.approx([1 / 3, 2 / 3])
    assert report.codeword_shift == []
    assert "3 items in both, 1 added, 1 removed" in str(report)
    assert report.to_dict()["matching"][0] == [0, 1]


@given(st.integers(0, 10**6), st.booleans())
@example(270, False)  # seven codes are used as often as another one
def test_renamed_codes_are_no_change_after_matching(seed, with_codebooks):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 6, size=(200, 3))
    books = [rng.normal(size=(6, 4)) for _ in range(3)]
    names = [rng.permutation(6) for _ in range(3)]
    renamed = np.stack([name[column] for name, column in zip(names, codes.T, strict=True)], axis=1)
    new_books = [book[np.argsort(name)] for name, book in zip(names, books, strict=True)]
    order = rng.permutation(200)
    options = {"codebooks": books}, {"codebooks": new_books}
    if not with_codebooks:
        options = {}, {}
    old = SemanticIDIndex().fit(codes, **options[0])
    new = SemanticIDIndex().fit(renamed[order], order, **options[1])
    report = old.drift(new)
    assert report.changed_matched == [0.0, 0.0, 0.0]
    for name, match in zip(names, report.matching, strict=True):
        np.testing.assert_array_equal(match[name], np.arange(6))
    if with_codebooks:
        assert report.codeword_shift == [0.0, 0.0, 0.0]


@given(st.integers(0, 10**6))
@example(75)  # ten items share an ID
def test_a_catalog_has_not_drifted_from_itself(seed):
    rng = np.random.default_rng(seed)
    index = SemanticIDIndex().fit(rng.integers(0, 5, size=(60, 2)), rng.permutation(60).astype(str))
    report = index.drift(index)
    assert report.changed == 0.0
    assert report.changed_matched == [0.0, 0.0]
    assert (report.n_added, report.n_removed) == (0, 0)


def test_codewords_are_matched_at_least_total_distance():
    # Greedy by nearest would give 0.9 to 1.0 and leave 0.0 for 2.0: 0.01 + 4 instead of 0.81 + 1.
    matching, shift = match_codebooks([[0.0], [1.0]], [[0.9], [2.0]])
    assert matching.tolist() == [0, 1]
    # Root of the mean of 0.81 and 1, over a spread of 1/2.
    assert shift == pytest.approx(np.sqrt(0.905) / 0.5)
    matching, _ = match_codebooks([[0.0]], [[5.0], [1.0], [3.0]])
    assert matching.tolist() == [-1, 0, -1]
    assert match_codebooks([[1.0], [1.0]], [[1.0], [1.0]])[1] == 0.0
    assert match_codebooks([[1.0], [1.0]], [[1.0], [2.0]])[1] == np.inf


def test_codewords_in_other_axes_hide_no_equal_groups():
    # Two fits may turn the latent, so that distances of codewords mean nothing.
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 6, size=(200, 2))
    books = [rng.normal(size=(6, 3)) for _ in range(2)]
    old = SemanticIDIndex("none").fit(codes, codebooks=books)
    new = SemanticIDIndex("none").fit(5 - codes, codebooks=[-book for book in books])
    assert old.drift(new).changed_matched == [0.0, 0.0]


def test_the_reading_tells_names_from_groups():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, size=(400, 2))
    old = SemanticIDIndex("none").fit(codes)

    def reading(new):
        report = old.drift(SemanticIDIndex("none").fit(new))
        assert f"reading: {report.reading}" in str(report)
        return report.reading

    def dealt(share):
        """Return the codes with this share of the items dealt anew, others under their names."""
        return np.where(np.arange(400)[:, None] < 400 * share, rng.permutation(codes), codes)

    assert "nothing to do" in reading(codes)
    assert "but for these few items" in reading(dealt(0.05))
    assert "first codes mean what they meant" in reading(np.c_[codes[:, 0], 7 - codes[:, 1]])
    assert "0% of the items are in another first group, as is usual" in reading(7 - codes)
    assert "are the vectors others" in reading(dealt(1.0))


def test_catalogs_without_common_items_have_no_shares():
    report = SemanticIDIndex().fit([[0]], ["a"]).drift(SemanticIDIndex().fit([[1]], ["b"]))
    assert "nothing to compare" in str(report)
    assert (report.n_common, report.n_added, report.n_removed) == (0, 1, 1)
    assert np.isnan(report.changed)


def test_catalogs_that_cannot_be_compared_are_errors():
    index = SemanticIDIndex().fit([[0]], ["a"])
    with pytest.raises(ValueError, match="1 and 2 levels"):
        index.drift(SemanticIDIndex().fit([[0, 1]], ["a"]))
    with pytest.raises(ValueError, match="integers as item ids, the other strings"):
        compare_catalogs([[0]], [1], [[0]], ["a"])
    with pytest.raises(ValueError, match="should be unique, but 1 repeat an earlier one"):
        compare_catalogs([[0], [1], [2]], ["a", "a", "b"], [[0], [2]], ["a", "b"])
    with pytest.raises(ValueError, match=r"codes should be whole numbers, got 0\.5"):
        compare_catalogs([[0.5]], ["a"], [[0]], ["a"])


class Rounding:
    """Two levels: integers, then tenths."""

    def transform(self, X):
        x = np.asarray(X)
        tenths = np.round(10 * (x - np.round(x)))
        return np.concatenate([np.round(x), tenths + 5], axis=1).astype(int)

    def inverse_transform(self, codes):
        codes = np.asarray(codes, dtype=float)
        return codes[:, :1] + (codes[:, 1:2] - 5) / 10 if codes.shape[1] == 2 else codes[:, :1]


def test_fit_shift_by_hand():
    old = np.array([[0.3], [1.3], [2.3], [3.3]])
    shift = fit_shift(Rounding(), old, old)
    assert shift.ratio_by_depth == [1.0, 1.0]
    assert shift.ks_statistic == 0.0
    x = np.linspace(0, 10, 200, endpoint=False)[:, None] + 0.01
    wide = fit_shift(Rounding(), x, x + 0.04)
    first = ((x - np.round(x)) ** 2).mean(), ((x + 0.04 - np.round(x + 0.04)) ** 2).mean()
    assert wide.ratio_by_depth[0] == pytest.approx(first[1] / first[0])
    # Second residuals alternate between 0.01 and -0.04, shifted between 0.05 and 0.
    assert wide.ratio_by_depth[1] == pytest.approx((25 + 0) / (1 + 16))
    assert wide.ks_pvalue < 1e-6


@pytest.mark.parametrize(
    ("ratio", "median", "beyond", "what"),
    [
        (1.1, 1.1, 0.06, "like old ones"),
        (1.3, 1.2, 0.06, "watch"),
        (1.1, 1.1, 0.15, "watch"),
        (2.0, 1.9, 0.50, "a new fit"),
        (2.0, 1.1, 0.08, "a few items are far off"),
    ],
)
def test_the_reading_of_a_shift_follows_the_table_of_the_guide(ratio, median, beyond, what):
    assert what in str(FitShift([1.0, ratio], median, beyond, 0.1, 0.5))
