"""Checkpoints of other projects: the same codes and reconstructions, or an error that says why."""

import argparse
from itertools import pairwise

import pytest
import torch
from torch import nn

from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._convert import convert_checkpoint

SIZES = [12, 10, 7, 4]  # features, hidden, hidden, latent


def lcrec_layers(sizes, batch_norm):
    """Dropout, linear, perhaps batch normalization, ReLU: but the last one linear only."""
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layers += [nn.Dropout(0.0), nn.Linear(fan_in, fan_out)]
        if i < len(sizes) - 2:
            layers += [nn.BatchNorm1d(fan_out)] * batch_norm + [nn.ReLU()]
    return nn.Sequential(*layers)


class Part(nn.Module):
    def __init__(self, name, layers):
        super().__init__()
        self.add_module(name, layers)


class LCRec(nn.Module):
    """The layout of LC-Rec, and how it encodes and decodes."""

    def __init__(self, batch_norm):
        super().__init__()
        self.encoder = Part("mlp_layers", lcrec_layers(SIZES, batch_norm))
        self.decoder = Part("mlp_layers", lcrec_layers(SIZES[::-1], batch_norm))
        levels = []
        for size in (6, 5):
            level = nn.Module()
            level.embedding = nn.Embedding(size, SIZES[-1])
            levels.append(level)
        self.rq = nn.Module()
        self.rq.vq_layers = nn.ModuleList(levels)

    @property
    def codebooks(self):
        return [level.embedding.weight for level in self.rq.vq_layers]

    def encode_and_decode(self, x):
        return encode_and_decode(
            self.encoder.mlp_layers, self.decoder.mlp_layers, self.codebooks, x
        )


class Recommender(nn.Module):
    """The layout of RQ-VAE-Recommender, with ReLU and a plain decoder."""

    def __init__(self, sim_vq):
        super().__init__()
        levels = []
        for _ in range(2):
            level = nn.Module()
            level.embedding = nn.Embedding(6, SIZES[-1])
            projection = nn.Linear(SIZES[-1], SIZES[-1], bias=False) if sim_vq else nn.Identity()
            level.out_proj = nn.Sequential(projection, nn.Identity())
            levels.append(level)
        self.layers = nn.ModuleList(levels)
        self.encoder, self.decoder = (
            Part("mlp", self.plain_layers(sizes)) for sizes in (SIZES, SIZES[::-1])
        )

    @staticmethod
    def plain_layers(sizes):
        layers = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out, bias=False), nn.ReLU()]
        return nn.Sequential(*layers[:-1], nn.Identity())

    def encode_and_decode(self, x):
        codebooks = [level.out_proj(level.embedding.weight) for level in self.layers]
        return encode_and_decode(self.encoder.mlp, self.decoder.mlp, codebooks, x)


def spread(model):
    """Enlarge weights, so that latents lie as far apart as codewords."""
    with torch.no_grad():
        for layer in model.encoder.modules():
            if isinstance(layer, nn.Linear):
                layer.weight *= 3
    return model


def encode_and_decode(encoder, decoder, codebooks, x):
    residual = encoder(x)
    codes, quantized = [], torch.zeros_like(residual)
    for codebook in codebooks:
        code = torch.cdist(residual, codebook).argmin(1)
        residual = residual - codebook[code]
        quantized = quantized + codebook[code]
        codes.append(code)
    return torch.stack(codes, 1), decoder(quantized)


@pytest.fixture
def x():
    return torch.randn(40, SIZES[0], generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


def assert_same(converted, model, x):
    model.eval()
    with torch.no_grad():
        codes, decoded = model.encode_and_decode(x)
        assert len(torch.unique(codes, dim=0)) > 3  # codes that differ, or nothing is compared
        torch.testing.assert_close(converted.quantizer.encode(converted.encode(x)), codes)
        torch.testing.assert_close(converted.decode(codes), decoded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_lcrec_checkpoint_gives_the_same_codes_and_reconstructions(tmp_path, x, batch_norm):
    model = spread(LCRec(batch_norm))
    for _ in range(3):  # moves the running mean and variance off their start
        model.encoder.mlp_layers(3 + 2 * x)
        model.decoder.mlp_layers(torch.randn(40, SIZES[-1]))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    converted = convert_checkpoint(tmp_path / "weights.pt")
    assert not converted.training
    assert_same(converted, model, x)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_lcrec_file_as_it_is_written_is_refused_with_the_way_out(tmp_path, x):
    # Arguments of a command line, and a pickle protocol that torch doesn't read safely.
    model = LCRec(False)
    path = tmp_path / "best_collision_model.pth"
    content = {
        "args": argparse.Namespace(beta=0.25, layers=SIZES[1:-1], sk_epsilons=[0.0, 0.003]),
        "epoch": 3,
        "best_loss": 0.1,
        "best_collision_rate": 0.2,
        "state_dict": model.state_dict(),
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
    }
    torch.save(content, path, pickle_protocol=4)
    with pytest.raises(CheckpointError, match=r"\['state_dict'\], 'weights.pt'\) for LC-Rec"):
        convert_checkpoint(path)
    torch.save(torch.load(path, weights_only=False)["state_dict"], tmp_path / "weights.pt")
    assert convert_checkpoint(tmp_path / "weights.pt").get_semantic_ids(x).shape == (40, 2)


def test_converted_module_can_be_saved_as_ours(tmp_path, x):
    torch.save({"state_dict": LCRec(False).state_dict()}, tmp_path / "theirs.pth")
    converted = convert_checkpoint(tmp_path / "theirs.pth")
    converted.save_checkpoint(tmp_path / "ours.pt")
    loaded = RqVae.load_from_checkpoint(tmp_path / "ours.pt").eval()
    torch.testing.assert_close(loaded.get_semantic_ids(x), converted.get_semantic_ids(x))


@pytest.mark.parametrize("sim_vq", [False, True])
@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_recommender_checkpoint_with_relu_gives_the_same_codes(tmp_path, x, sim_vq, prefix):
    model = spread(Recommender(sim_vq))
    state = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save({"iter": 7, "model": state}, tmp_path / "checkpoint.pt")
    converted = convert_checkpoint(tmp_path / "checkpoint.pt", activation="relu", normalize=False)
    assert_same(converted, model, x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "don't tell their activation"),
        ({"activation": "silu", "normalize": False}, "RqVae has ReLU"),
        ({"activation": "relu", "normalize": True}, "to length one"),
    ],
)
def test_what_our_module_cannot_be_is_refused(tmp_path, given, message):
    torch.save(Recommender(False).state_dict(), tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(tmp_path / "checkpoint.pt", **given)


class Payload:
    def __reduce__(self):
        return (exec, ("raise AssertionError('the file ran code')",))


def test_a_file_with_code_is_refused_and_not_run(tmp_path):
    torch.save({"model": LCRec(False).state_dict(), "model_config": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="the weights alone"):
        convert_checkpoint(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"linear.weight": torch.zeros(2, 2)}, "neither the layout"),
        ({"state_dict": {"a": 1}}, "no dictionary of weights"),
        ([1, 2], "no dictionary of weights"),
        ({1: torch.zeros(2, 2)}, "no dictionary of weights"),
    ],
)
def test_other_contents_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(tmp_path / "other.pt")


def test_a_missing_level_is_named(tmp_path):
    state = LCRec(False).state_dict()
    state["rq.vq_layers.2.embedding.weight"] = state.pop("rq.vq_layers.1.embedding.weight")
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt' has codebooks of the levels \[0, 2\]"):
        convert_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder.mlp_layers.2.running_mean", torch.zeros(3)),
        ("encoder.mlp_layers.1.weight", torch.zeros(())),
        ("rq.vq_layers.0.embedding.weight", torch.zeros(())),
        ("rq.vq_layers.0.embedding.weight", torch.zeros(0, 4)),
    ],
)
def test_weights_of_impossible_shapes_are_damage(tmp_path, name, value):
    torch.save({**LCRec(True).state_dict(), name: value}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        convert_checkpoint(tmp_path / "other.pt")


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        convert_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_default_dtype_is_not_seen(tmp_path, batch_norm):
    torch.save(LCRec(batch_norm).state_dict(), tmp_path / "weights.pt")
    torch.set_default_dtype(torch.float64)
    try:
        converted = convert_checkpoint(tmp_path / "weights.pt")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in converted.state_dict().values()} == {torch.float32}


def test_a_decoder_that_does_not_mirror_the_encoder_is_refused(tmp_path):
    model = LCRec(False)
    model.decoder = Part("mlp_layers", lcrec_layers([SIZES[-1], 9, SIZES[0]], False))
    torch.save({"state_dict": model.state_dict()}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="mirrors the encoder"):
        convert_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_what_semantic_id_saves_is_converted_as_it_is(tmp_path, batch_norm):
    semantic_id = pytest.importorskip("semantic_id")
    x = torch.randn(200, SIZES[0], generator=torch.Generator().manual_seed(0))
    theirs = semantic_id.RQVAE(
        in_dim=SIZES[0], num_emb_list=[8, 8], e_dim=4, layers=[10], bn=batch_norm, epochs=10,
        kmeans_init=True, batch_size=50, lr=1e-2,
    )  # fmt: skip
    theirs.fit(x.numpy())
    theirs.save(str(tmp_path))
    codes = theirs.encode(x.numpy())
    assert len(set(map(tuple, codes.tolist()))) > 10
    ours = convert_checkpoint(tmp_path / "model.pt")
    assert (ours.quantizer.encode(ours.encode(x)).numpy() == codes).all()
