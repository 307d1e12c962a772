"""One header for all saved files, and readers of those of before."""

import time

import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex
from sklearn_rqvae._files._header import (
    FORMAT_VERSION,
    Origin,
    check_header,
    file_header,
    origin_of,
)
from sklearn_rqvae.exceptions import CheckpointError

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def test_a_header_says_what_it_is_of_and_who_wrote_it():
    header = file_header("Thing")
    assert origin_of(header) == Origin("Thing", FORMAT_VERSION)
    assert set(header["versions"]) == {"sklearn_rqvae", "sklearn", "numpy"}
    check_header(header, "Thing", "path")


@pytest.mark.parametrize(
    "header",
    [
        {"format": 1, "kind": "Thing", "state": {}},
        {"format": "sklearn_rqvae.Thing", "version": 1},
        {"format": "sklearn_rqvae.Thing", "format_version": 1},
    ],
)
def test_the_three_headers_of_format_1_are_known(header):
    assert origin_of(header) == Origin("Thing", 1)
    check_header(header, "Thing", "path")


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "2", None, float("nan")])
def test_a_version_that_is_none_is_damage(version):
    with pytest.raises(CheckpointError, match="is damaged: its format version"):
        check_header({**file_header("Thing"), "format_version": version}, "Thing", "path")


def test_what_is_later_or_of_another_kind_or_no_header_is_refused():
    later = {**file_header("Thing"), "format_version": FORMAT_VERSION + 1}
    with pytest.raises(CheckpointError, match="upgrade it"):
        check_header(later, "Thing", "path")
    with pytest.raises(CheckpointError, match=r"holds a Thing, not a Cup; call Thing\.load"):
        check_header(file_header("Thing"), "Cup", "path")
    for header in (None, [], {}, {"format": "other"}, {"format": 1}):
        with pytest.raises(CheckpointError, match="is not a saved Thing"):
            check_header(header, "Thing", "path")


@pytest.mark.parametrize(
    "fitted",
    [
        RQVAETransformer(codebook_size=4, random_state=0).fit(X),
        ResidualKMeans(codebook_size=4, random_state=0).fit(X),
        SemanticIDIndex().fit(np.arange(6).reshape(3, 2), ["a", "b", "c"]),
    ],
    ids=lambda fitted: type(fitted).__name__,
)
def test_saved_twice_the_bytes_are_equal(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "one")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    fitted.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
