"""Figures without a screen, closed after each test; a small fitted quantizer."""

import matplotlib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

matplotlib.use("Agg")


class Quantizer(TransformerMixin, BaseEstimator):
    """Two levels on the line: what displays ask of a fitted transformer, and no more."""

    codebooks_ = (np.array([[-4.0], [0.0], [4.0]]), np.array([[-1.0], [1.0]]))
    history_ = (
        {"epoch": 1, "train_distortion": 0.6, "valid_distortion": 0.7, "perplexity": [2.0, 1.5]},
        {"epoch": 2, "train_distortion": 0.4, "valid_distortion": 0.5, "perplexity": [2.5, 1.9]},
        {"epoch": 3, "train_distortion": 0.3, "valid_distortion": 0.55, "perplexity": [2.6, 2.0]},
    )

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        first = np.abs(X - self.codebooks_[0].T).argmin(axis=1)
        residual = X - self.codebooks_[0][first]
        return np.stack([first, (residual[:, 0] > 0).astype(int)], axis=1)

    def inverse_transform(self, codes):
        columns = zip(codes.T, self.codebooks_, strict=False)  # a prefix has fewer columns
        return sum(codebook[column] for column, codebook in columns)


@pytest.fixture
def quantizer():
    return Quantizer()


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 3, (80, 1))


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
