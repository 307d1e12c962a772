"""The recipe of the user guide for MLflow: a pipeline is logged, loaded, and gives its codes."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_rqvae import TRUSTED_TYPES, ResidualKMeans, RQVAETransformer
from sklearn_rqvae.embedding import TextEmbedder

pytestmark = pytest.mark.slow
mlflow = pytest.importorskip("mlflow")

TEXTS = [
    f"{color} {thing} {size}"
    for color in ("red", "blue")
    for thing in ("cup", "lamp")
    for size in range(10)
]


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_a_pipeline_survives_logging(estimator, tmp_path, monkeypatch):
    # Files, which later versions allow on demand only: the small package has no data base.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    model = estimator(n_layers=2, codebook_size=4, random_state=0)
    pipeline = make_pipeline(TextEmbedder(n_components=4), model).fit(TEXTS)
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(pipeline, name="ids", skops_trusted_types=TRUSTED_TYPES)
        mlflow.log_param("fingerprint", pipeline[-1].fingerprint)
    loaded = mlflow.sklearn.load_model(info.model_uri)
    np.testing.assert_array_equal(loaded.transform(TEXTS), pipeline.transform(TEXTS))
    assert loaded[-1].fingerprint == pipeline[-1].fingerprint
