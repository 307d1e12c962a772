"""Texts to semantic IDs in one pipeline: searched in parallel over the modes, and saved."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_rqvae import RQVAETransformer, TextEmbedder
from sklearn_rqvae.datasets import load_api_docs
from sklearn_rqvae.nn import QuantizeForwardMode


@pytest.fixture(scope="module")
def texts():
    return load_api_docs().data[::10]


def pipeline(**params):
    settings = {"codebook_size": 8, "max_epochs": 3, "n_beams": 2, "random_state": 0}
    return Pipeline(
        [
            ("emb", TextEmbedder(n_components=16, random_state=0)),
            ("rq", RQVAETransformer(**settings, **params)),
        ]
    )


def test_modes_are_searched_in_two_processes_as_in_one(texts):
    # All epochs are trained: where gradients gain nothing, modes would end at their common start.
    trained = {
        "rq__codebook_mode": list(QuantizeForwardMode),
        "rq__net_params": [{"callbacks__best": None}],
    }
    grid = [{"rq__codebook_mode": [None]}, trained]
    parallel = GridSearchCV(pipeline(), grid, cv=2, n_jobs=2, error_score="raise").fit(texts)
    alone = GridSearchCV(pipeline(), grid, cv=2, error_score="raise").fit(texts)
    scores = parallel.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, alone.cv_results_["mean_test_score"], rtol=1e-4)
    assert len(np.unique(scores.round(9))) == len(scores)  # every mode trains in its own way
    assert parallel.best_estimator_.transform(texts).shape == (len(texts), 3)


@pytest.mark.parametrize("mode", [None, "STE"])
def test_a_fitted_pipeline_survives_joblib(texts, mode, tmp_path):
    fitted = pipeline(codebook_mode=mode).fit(texts)
    joblib.dump(fitted, tmp_path / "pipeline.joblib")
    loaded = joblib.load(tmp_path / "pipeline.joblib")
    np.testing.assert_array_equal(loaded.transform(texts), fitted.transform(texts))
