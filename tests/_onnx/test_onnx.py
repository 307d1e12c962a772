"""ONNX files give the codes of transform and the rows of inverse_transform."""

import os
import sys

import numpy as np
import pytest

from sklearn_rqvae import ProductQuantizer, ResidualKMeans, RQVAETransformer
from sklearn_rqvae._onnx import _module
from sklearn_rqvae.nn import RqVae

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(40, 24))
X = (CENTERS[RNG.integers(40, size=700)] + 0.3 * RNG.normal(size=(700, 24))).astype(np.float32)
KINDS = np.eye(4, dtype=np.float32)[RNG.integers(4, size=700)]
SMALL = {"codebook_size": 16, "random_state": 0}
TRAINED = {**SMALL, "codebook_mode": "STE", "max_epochs": 2, "hidden_dims": [16], "embed_dim": 8}
MODELS = {
    "closed": lambda: RQVAETransformer(**SMALL),
    "closed, greedy": lambda: RQVAETransformer(n_beams=1, **SMALL),
    "closed, one level": lambda: RQVAETransformer(n_layers=1, **SMALL),
    "closed, uneven": lambda: RQVAETransformer(codebook_size=[3, 40, 1, 7], n_layers=4, n_beams=9),
    "closed, few dimensions": lambda: RQVAETransformer(codebook_size=64, embed_dim=4),
    "kmeans": lambda: ResidualKMeans(**SMALL),
    "product": lambda: ProductQuantizer(**SMALL),
    "kmeans, greedy": lambda: ResidualKMeans(n_beams=1, **SMALL),
    "kmeans, all tuples": lambda: ResidualKMeans(codebook_size=3, n_beams=40, random_state=0),
    "trained": lambda: RQVAETransformer(**TRAINED),
    "trained, greedy": lambda: RQVAETransformer(n_beams=1, **TRAINED),
    "trained, textbook": lambda: RQVAETransformer(linear_path=False, **TRAINED),
    "trained, cosine": lambda: RQVAETransformer(
        codebook_normalize=True, codebook_sim_vq=True, **TRAINED
    ),
    "trained, categories": lambda: RQVAETransformer(n_cat_features=4, **TRAINED),
}
# Reconstruction errors that are equal up to rounding, relative to the row.
ROUNDING = 1e-5


def run(path, rows, batch=256):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # others would wait for work at full speed
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    parts = [
        session.run([result.name], {given.name: rows[start : start + batch]})[0]
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(parts)


def assert_ties_only(model, rows, codes, others):
    """Rows whose codes differ have reconstructions that are as good, up to rounding."""
    differ = (codes != others).any(1)
    errors = [
        np.square(model.inverse_transform(some) - rows.astype(float)).sum(1)
        for some in (codes, others)
    ]
    assert differ.mean() < 0.01
    norms = np.square(rows[differ].astype(float)).sum(1)
    assert (np.abs(errors[0] - errors[1])[differ] <= ROUNDING * norms).all()


@pytest.mark.parametrize("name", MODELS)
def test_codes_and_rows_are_those_of_the_estimator(name, tmp_path, monkeypatch):
    rows = np.concatenate([X, KINDS], 1) if "categories" in name else X
    model = MODELS[name]().fit(rows)
    codes, path = model.transform(rows), tmp_path / "model.onnx"
    for most in (1 << 22, 0):  # pairs of codes looked up in a table, and searched for
        monkeypatch.setattr(_module, "_MAX_PAIRS_IN_TABLE", most)
        model.to_onnx(path)
        found = run(path, rows)
        assert found.dtype == np.int64
        assert_ties_only(model, rows, codes, found)
        np.testing.assert_array_equal(run(path, rows[:1]), found[:1])
        model.to_onnx(path, part="decode")
        np.testing.assert_allclose(
            run(path, codes), model.inverse_transform(codes), rtol=1e-5, atol=1e-5
        )
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_a_file_says_what_it_is(tmp_path):
    model = ResidualKMeans(**SMALL).fit(X)
    model.to_onnx(tmp_path / "one.onnx")
    model.to_onnx(tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    found = onnx.load(tmp_path / "one.onnx")
    about = {entry.key: entry.value for entry in found.metadata_props}
    assert about["fingerprint"] == model.fingerprint
    assert about["kind"] == "ResidualKMeans"
    assert found.producer_name == "sklearn_rqvae"
    assert [value.name for value in found.graph.input] == ["X"]
    assert [value.name for value in found.graph.output] == ["codes"]


class Louder(RqVae):
    """Another loss only."""

    def compute_loss(self, x, outputs):
        return 2 * super().compute_loss(x, outputs)


class Deeper(RqVae):
    """Another encoder."""

    def encode(self, x):
        return super().encode(x).tanh()


def test_a_module_of_ones_own_is_exported_if_only_its_loss_is(tmp_path):
    model = RQVAETransformer(module=Louder, **TRAINED).fit(X)
    model.to_onnx(tmp_path / "model.onnx")
    np.testing.assert_array_equal(run(tmp_path / "model.onnx", X), model.transform(X))
    model = RQVAETransformer(module=Deeper, **TRAINED).fit(X)
    for part in ("encode", "decode"):
        with pytest.raises(TypeError, match=r"module=Deeper has .* torch\.onnx\.export"):
            model.to_onnx(tmp_path / "other.onnx", part=part)
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_other_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="part='both' should be one of 'encode', 'decode'"):
        ResidualKMeans(**SMALL).fit(X).to_onnx(tmp_path / "model.onnx", part="both")


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-rqvae\[onnx\]'"):
        ResidualKMeans(**SMALL).fit(X).to_onnx(tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["beauty", "scientific"])
@pytest.mark.parametrize("model", [RQVAETransformer, ResidualKMeans])
@pytest.mark.parametrize("n_beams", [1, 5])
def test_codes_of_real_catalogs_are_those_of_the_estimator(
    load_catalog, tmp_path, catalog, model, n_beams
):
    rows = load_catalog(catalog)
    model = model(random_state=0).fit(rows).set_params(n_beams=n_beams)
    model.to_onnx(tmp_path / "model.onnx")
    assert_ties_only(model, rows, model.transform(rows), run(tmp_path / "model.onnx", rows))
