"""Rows that are as they should be skip scikit-learn's checks; all others get what it says."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae._rows import _source

PLAIN = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
MODEL = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(PLAIN)
NAMED = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(
    pd.DataFrame(PLAIN, columns=list("abc"))
)
BAD = PLAIN.copy()
BAD[3, 1] = np.nan
ENDLESS = PLAIN.copy()
ENDLESS[3, 1] = np.inf


def outcome(model, X):
    """Codes, or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            codes = model.transform(X).tolist()
        except ValueError as error:
            codes = str(error)
    return codes, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("model", [MODEL, NAMED])
@pytest.mark.parametrize(
    "X",
    [
        PLAIN, PLAIN[:1], BAD, ENDLESS, PLAIN[:, :2], PLAIN[:0], PLAIN[0], PLAIN[::2],
        np.asfortranarray(PLAIN), np.full_like(PLAIN, 3e38), PLAIN.astype(np.float64),
        np.full((2, 3), 1e300), PLAIN.astype(np.float16), PLAIN.astype(">f4"),
        (10 * PLAIN).astype(int), PLAIN.tolist(), pd.DataFrame(PLAIN, columns=list("abc")),
    ],
    ids=range(17),
)  # fmt: skip
def test_quick_checks_change_nothing(model, X, monkeypatch):
    found = outcome(model, X)
    monkeypatch.setattr(_source, "_is_plain", lambda *_: False)
    assert outcome(model, X) == found


def test_plain_rows_are_not_checked_twice(monkeypatch):
    monkeypatch.setattr(_source, "validate_data", None)
    MODEL.transform(PLAIN)
    with pytest.raises(TypeError):
        MODEL.transform(BAD)


def test_who_promises_finite_numbers_isn_t_asked_again():
    with config_context(assume_finite=True):
        assert MODEL.transform(BAD).shape == (40, 2)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64])
def test_large_integers_keep_their_digits_in_large_matrices(dtype, monkeypatch):
    # A small matrix becomes float64 as a whole; float32 holds no difference of less than 64 here.
    rows = (10**9 + np.random.default_rng(0).integers(0, 50, size=(600, 3))).astype(dtype)
    small = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(rows)
    monkeypatch.setattr(_source, "_BLOCK_FLOATS", 1)
    large = ResidualKMeans(n_layers=2, codebook_size=4, random_state=0).fit(rows)
    assert large.fingerprint == small.fingerprint
    with pytest.raises(ValueError, match="Subtract a constant"):
        ResidualKMeans(n_layers=2, codebook_size=4).partial_fit(rows)
