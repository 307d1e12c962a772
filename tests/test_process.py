"""Whatever the process has set, codes are the same."""

import contextlib
import locale
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch

from sklearn_rqvae import ResidualKMeans, RQVAETransformer, SemanticIDIndex, TextEmbedder
from sklearn_rqvae.metrics import get_scorers
from sklearn_rqvae.report import report

X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
SMALL = {"n_layers": 2, "codebook_size": 8, "random_state": 0}
GRADIENTS = {**SMALL, "max_epochs": 2, "hidden_dims": [8]}
ESTIMATORS = {
    "closed form": RQVAETransformer(**SMALL),
    "k-means": ResidualKMeans(**SMALL),
    **{
        mode: RQVAETransformer(**GRADIENTS, codebook_mode=mode)
        for mode in ("STE", "ROTATION_TRICK", "GUMBEL_SOFTMAX", "SINKHORN")
    },
    "textbook": RQVAETransformer(**GRADIENTS, linear_path=False),
    "sim_vq": RQVAETransformer(**GRADIENTS, codebook_mode="STE", codebook_sim_vq=True),
    "normalize": RQVAETransformer(**SMALL, codebook_normalize=True),
}


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def threads(number):
    torch.set_num_threads(number)
    try:
        yield
        assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(1)


@contextlib.contextmanager
def decimal_comma():
    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            break
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "deterministic": deterministic,
    "pandas": lambda: sklearn.config_context(transform_output="pandas"),
    "polars": lambda: sklearn.config_context(transform_output="polars"),
    "routing": lambda: sklearn.config_context(enable_metadata_routing=True),
    "threads": lambda: threads(2),
    "locale": decimal_comma,
}
AROUND = pytest.mark.parametrize("setting", SETTINGS)


@AROUND
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_process_changes_no_code(name, setting):
    fitted = sklearn.clone(ESTIMATORS[name]).fit(X)
    codes, score = fitted.transform(X), fitted.score(X)
    candidates = fitted.candidate_codes(X[:5], 3)[0]
    with SETTINGS[setting]():
        again = sklearn.clone(fitted).fit(X)
        np.testing.assert_array_equal(np.asarray(again.transform(X)), codes)
        np.testing.assert_array_equal(np.asarray(fitted.transform(X)), codes)
        np.testing.assert_array_equal(again.candidate_codes(X[:5], 3)[0], candidates)
        assert again.score(X) == pytest.approx(score)
        more = sklearn.clone(fitted).partial_fit(X[:100]).partial_fit(X[100:])
        assert np.asarray(more.transform(X)).shape == codes.shape
    np.testing.assert_array_equal(again.transform(X), codes)
    assert again.codebooks_[0].dtype == np.float32


@AROUND
def test_the_process_changes_no_text_vector(setting):
    texts = pd.Series([f"a red lamp of {number} watts" for number in range(40)])
    vectors = TextEmbedder(n_components=8, random_state=0).fit_transform(texts)
    with SETTINGS[setting]():
        again = TextEmbedder(n_components=8, random_state=0).fit_transform(texts)
    np.testing.assert_allclose(np.asarray(again), vectors, atol=1e-6)


def numbers_of(said):
    """Return a report's contents without times, numbers cut after a few digits."""
    without = re.sub(r"'\w+_seconds': [^,}]*", "", str(said.to_dict()))
    return re.sub(r"(\d\.\d{5})\d+", r"\1", without)


@AROUND
@pytest.mark.parametrize("name", ["closed form", "k-means"])
def test_the_process_changes_no_report_scorer_or_catalog(name, setting):
    fitted = sklearn.clone(ESTIMATORS[name]).fit(X)
    said = numbers_of(report(fitted, X))
    scores = {scorer: score(fitted, X) for scorer, score in get_scorers().items()}
    ids = SemanticIDIndex.from_estimator(fitted, X[:40], collisions="reassign").ids_
    with SETTINGS[setting]():
        assert numbers_of(report(fitted, X)) == said
        for scorer, score in get_scorers().items():
            assert score(fitted, X) == pytest.approx(scores[scorer], abs=1e-6)
        again = SemanticIDIndex.from_estimator(fitted, X[:40], collisions="reassign").ids_
    np.testing.assert_array_equal(again, ids)


def test_the_callers_default_dtype_survives_calls_from_many_threads():
    from concurrent.futures import ThreadPoolExecutor

    fitted = RQVAETransformer(**SMALL).fit(X)
    codes = fitted.transform(X)
    with default_dtype(torch.float64), ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: fitted.transform(X), range(40)):
            np.testing.assert_array_equal(found, codes)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_fits_after_its_parent_has_on_two_threads():
    code = """
import os, numpy as np, torch
torch.set_num_threads(2)
from sklearn_rqvae import RQVAETransformer, ResidualKMeans
X = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
for estimator in (RQVAETransformer(codebook_size=16, random_state=0),
                  ResidualKMeans(codebook_size=16, random_state=0)):
    codes = estimator.fit(X).transform(X)
    child = os.fork()
    if not child:
        os._exit(int((estimator.fit(X).transform(X) != codes).any()) or torch.get_num_threads() - 2)
    assert os.waitpid(child, 0)[1] == 0
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100, env=environment)
