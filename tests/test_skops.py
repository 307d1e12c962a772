"""skops dumps and loads all that can be fitted, and needs to trust nothing but TRUSTED_TYPES."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_rqvae import (
    TRUSTED_TYPES,
    ProductQuantizer,
    ResidualKMeans,
    RQVAETransformer,
    SemanticIDIndex,
    TextEmbedder,
)
from sklearn_rqvae.embedding import Histories, InteractionEmbedder, ViewFusion
from sklearn_rqvae.nn import QuantizeForwardMode

sio = pytest.importorskip("skops.io")

X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
TRAINED = {"max_epochs": 2, "hidden_dims": [4], "embed_dim": 3}
TEXTS = [f"{color} {thing}" for color in ("red", "blue", "green") for thing in ("lamp", "cup")]
CODES = [[0, 1], [2, 1], [2, 1]]
FITTED = {
    "closed": lambda: RQVAETransformer(codebook_size=4, random_state=0).fit(X),
    "trained": lambda: RQVAETransformer(
        codebook_size=4, codebook_mode=QuantizeForwardMode.STE, random_state=0, **TRAINED
    ).fit(X),
    "product": lambda: ProductQuantizer(2, codebook_size=4, random_state=0).fit(X),
    "stream": lambda: ResidualKMeans(codebook_size=4, random_state=0).partial_fit(X),
    "texts": lambda: make_pipeline(
        TextEmbedder(n_components=3), ResidualKMeans(codebook_size=2, random_state=0)
    ).fit(TEXTS),
    "neighbors": lambda: ViewFusion(views=[2, 4]).fit(X),
    "ridge": lambda: ViewFusion(views=[2, 3, 1], fill="ridge").fit(X),
    "behavior": lambda: InteractionEmbedder(n_components=2, random_state=0).fit(
        TEXTS, interactions=[TEXTS[:3], TEXTS[3:], TEXTS[::2]]
    ),
    "interactions": lambda: InteractionEmbedder(
        n_components=2, interactions=Histories.read([TEXTS[:3], TEXTS[3:], TEXTS[::2]])
    ).fit(TEXTS),
    "catalog": lambda: SemanticIDIndex().fit(CODES, ["a", "ü", "c"]),
    "numbers": lambda: SemanticIDIndex("none").fit(CODES, [2**40, 1, 7]),
    "codebooks": lambda: SemanticIDIndex().fit(CODES, codebooks=[np.zeros((3, 2))] * 2),
    "empty": SemanticIDIndex,
}


@pytest.mark.parametrize("name", FITTED)
def test_what_is_fitted_comes_back(name):
    fitted = FITTED[name]()
    content = sio.dumps(fitted)
    assert set(sio.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    again = sio.loads(content, trusted=TRUSTED_TYPES)
    if name == "empty":
        assert again.get_params() == fitted.get_params()
    elif isinstance(fitted, SemanticIDIndex):
        assert again.fingerprint == fitted.fingerprint
        assert again.item_ids_.tolist() == fitted.item_ids_.tolist()
        assert again.report_ == fitted.report_
        if name != "numbers":
            np.testing.assert_array_equal(
                again.append([[2, 1]], ["new"] if name == "catalog" else [9], grow=True),
                fitted.append([[2, 1]], ["new"] if name == "catalog" else [9], grow=True),
            )
    else:
        rows = TEXTS if name in ("texts", "behavior", "interactions") else X.copy()
        if name in ("neighbors", "ridge"):
            rows[::2, :2] = np.nan  # to be filled in
        np.testing.assert_array_equal(again.transform(rows), fitted.transform(rows))
