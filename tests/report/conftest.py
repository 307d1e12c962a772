"""A small catalog with known structure, and a fitted quantizer; figures without a screen."""

import matplotlib
import numpy as np
import pytest

from sklearn_rqvae import ResidualKMeans
from sklearn_rqvae.datasets import make_residual_blobs
from sklearn_rqvae.report import Contender

matplotlib.use("Agg")


@pytest.fixture(scope="session")
def X():
    rows = make_residual_blobs(400, 8, n_layers=3, codebook_size=4, noise=0.3, random_state=0)[0]
    rows = rows.astype(np.float32)
    rows[390:] = rows[:10]  # ten duplicates
    return rows


@pytest.fixture(scope="session")
def quantizer(X):
    return ResidualKMeans(n_layers=3, codebook_size=4, random_state=0).fit(X)


@pytest.fixture(scope="session")
def contender():
    """Make a contender of which only some numbers matter."""

    def make(name, unexplained, difference=0.0, error=0.001, recall=0.5, **numbers):
        rest = {
            "curve": [unexplained],
            "training_unexplained": unexplained,
            "collision_rate": 0.0,
            "fit_seconds": 1.0,
            "encode_seconds": 1.0,
            "n_numbers": 10,
        }
        return Contender(
            name=name,
            unexplained=unexplained,
            difference=difference,
            difference_error=error,
            neighbor_recall=recall,
            **(rest | numbers),
        )

    return make
