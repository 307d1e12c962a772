"""Settings for all tests, made before scipy and torch are imported."""

import os

# Without the first, scikit-learn skips one of its estimator checks. The second is for speed: on
# tiny matrices a second thread costs more than it brings.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "default",
    deadline=None,
    max_examples=25,
    derandomize="CI" in os.environ,  # new examples are for those who can look into them
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

CATALOGS = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def load_catalog():
    """Load the vectors of a real catalog by name, or skip where the catalog isn't there."""

    def load(name: str, file: str = "emb_minilm_384_f16.npy") -> np.ndarray:
        path = CATALOGS / name / file
        if not path.exists():
            pytest.skip(f"the {name} catalog is not on this machine")
        return np.load(path).astype(np.float32)

    return load
