"""Saved modules: tensors and plain values, and nothing else."""

import os
import pickle
import zipfile
from collections import OrderedDict
from inspect import signature

import pytest
import torch

from sklearn_rqvae.exceptions import CheckpointError
from sklearn_rqvae.nn import (
    Decoder,
    PairInteractions,
    QuantizeForwardMode,
    RqVae,
    convert_checkpoint,
)
from sklearn_rqvae.nn._config import plain_config


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_model(seed=0, **kwargs):
    sizes = {"input_dim": 8, "embed_dim": 4, "hidden_dims": [6], "codebook_size": 5}
    return RqVae(**{**sizes, **kwargs}, generator=seeded(seed))


@pytest.fixture
def x():
    return torch.rand(30, 8, generator=seeded(1))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"codebook_size": [5, 3, 1], "codebook_mode": ["ste", "gumbel_softmax", "sinkhorn"]},
        {"codebook_normalize": True, "codebook_sim_vq": True, "n_cat_features": 3},
        {"linear_path": True, "n_layers": 1, "hidden_dims": []},
    ],
)
def test_loaded_model_gives_the_same_codes_and_reconstruction_at_once(tmp_path, x, kwargs):
    # Where a Python flag says that codewords are initialized, it is lost here, and the first call
    # of the loaded model overwrites them.
    model = small_model(**kwargs)
    model.set_scaling(x.mean(0), 0.3)
    model.initialize_codebooks(x)
    model(x).loss.backward()
    path = tmp_path / "checkpoint.pt"
    model.save_checkpoint(path)
    loaded = RqVae.load_from_checkpoint(path)
    assert torch.equal(loaded.get_semantic_ids(x), model.get_semantic_ids(x))
    model.eval(), loaded.eval()
    for before, after in zip(model(x), loaded(x), strict=True):
        assert torch.equal(before, after)
    assert loaded.quantizer.modes == model.quantizer.modes
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_training_goes_on_from_where_it_was(tmp_path, x):
    model = small_model(codebook_mode="ste")
    model.start(x)
    model(x)
    model.anneal(0.5)
    model.save_checkpoint(tmp_path / "checkpoint.pt")
    loaded = RqVae.load_from_checkpoint(tmp_path / "checkpoint.pt")
    outputs, others = model(x), loaded(x)
    assert torch.equal(outputs.codes, others.codes)
    assert torch.equal(outputs.loss, others.loss)


def test_loading_draws_nothing_from_the_global_generator(tmp_path):
    small_model().save_checkpoint(tmp_path / "checkpoint.pt")
    before = torch.get_rng_state()
    RqVae.load_from_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_subclass_loads_as_itself(tmp_path, x):
    class Louder(RqVae):
        def compute_loss(self, x, outputs):
            return 2 * super().compute_loss(x, outputs)

    model = small_model().eval()
    model.save_checkpoint(tmp_path / "checkpoint.pt")
    louder = Louder.load_from_checkpoint(tmp_path / "checkpoint.pt").eval()
    assert type(louder) is Louder
    torch.testing.assert_close(louder(x).loss, 2 * model(x).loss)


def test_a_decoder_of_ones_own_is_saved_by_its_weights(tmp_path, x):
    model = small_model(decoder=Decoder(4, [3], 8, generator=seeded(2)))
    path = tmp_path / "checkpoint.pt"
    model.save_checkpoint(path)
    loaded = RqVae.load_from_checkpoint(path, decoder=Decoder(4, [3], 8, generator=seeded(3)))
    codes = model.get_semantic_ids(x)
    assert torch.equal(loaded.decode(codes), model.decode(codes))
    with pytest.raises(CheckpointError, match=r"(?s)doesn't fit RqVae.*size mismatch"):
        RqVae.load_from_checkpoint(path)


def test_interactions_of_codes_are_saved(tmp_path, x):
    model = small_model(linear_path=True)
    codes = model.get_semantic_ids(x)
    without = model.decode(codes)
    keys = PairInteractions([5, 5, 5], n_pairs=1, dim=3).pair_keys(codes)[0].sort().values
    model.set_interactions(keys, torch.full((len(keys), 3), 7.0))
    model.save_checkpoint(tmp_path / "checkpoint.pt")
    loaded = RqVae.load_from_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.equal(loaded.decode(codes), model.decode(codes))
    assert not torch.equal(loaded.decode(codes), without)


class Exploit:
    """Create a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("where", ["whole", "config", "state"])
def test_code_in_the_file_is_refused_and_not_run(tmp_path, where):
    trace = tmp_path / "trace"
    path = tmp_path / "checkpoint.pt"
    small_model().save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    if where == "whole":
        content = Exploit(trace)
    else:
        content[where]["extra"] = Exploit(trace)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="tensors and plain values"):
        RqVae.load_from_checkpoint(path)
    assert not trace.exists()


def test_a_pickled_module_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save(small_model(), path)
    with pytest.raises(CheckpointError, match="tensors and plain values"):
        RqVae.load_from_checkpoint(path)
    path.write_bytes(pickle.dumps(small_model().state_dict()))
    with pytest.raises(CheckpointError):
        RqVae.load_from_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut"])
def test_files_that_are_no_checkpoint_are_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        RqVae.load_from_checkpoint(path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    small_model().save_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError):
        RqVae.load_from_checkpoint(path)


# An unpickler's stack can be empty, and the files of old versions of torch are cut in other ways.
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("load", [RqVae.load_from_checkpoint, convert_checkpoint])
def test_any_damage_is_a_checkpoint_error_that_names_the_file(tmp_path, load, zipped):
    path = tmp_path / "checkpoint.pt"
    if load == convert_checkpoint:
        layers = {
            f"{part}.mlp_layers.1.{name}": torch.ones(shape)
            for part in ("encoder", "decoder")
            for name, shape in (("weight", (4, 4)), ("bias", (4,)))
        }
        content = {**layers, CODEWORDS: torch.ones(3, 4)}
    else:
        small_model().save_checkpoint(path)
        content = torch.load(path, weights_only=True)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    load(path)
    damaged = [b"\x80\x02.", *(whole[:end] for end in range(0, len(whole), len(whole) // 60))]
    for position in torch.randint(len(whole), (60,), generator=seeded(0)).tolist():
        damaged.append(whole[:position] + b"\xff" + whole[position + 1 :])
    messages = []
    for part in damaged:
        path.write_bytes(part)
        try:
            load(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 60  # all that are cut; a flipped weight may be read
    assert all("checkpoint.pt" in message for message in messages)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_of_the_weights_is_kept(tmp_path, x, dtype):
    model = small_model(linear_path=True).to(dtype).eval()
    path = tmp_path / "checkpoint.pt"
    model.save_checkpoint(path)
    loaded = RqVae.load_from_checkpoint(path).eval()
    for before, after in zip(model(x), loaded(x), strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(before, after)


def test_the_dtype_of_the_weights_is_kept_whatever_the_default_one(tmp_path, x):
    model = small_model(linear_path=True).eval()
    path = tmp_path / "checkpoint.pt"
    model.save_checkpoint(path)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = RqVae.load_from_checkpoint(path).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    assert torch.equal(loaded(x).reconstruction, model(x).reconstruction)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        RqVae.load_from_checkpoint(tmp_path / "none.pt")


def ordered_with_metadata(metadata):
    """Return weights with what torch keeps beside those of a module's state_dict."""
    weights = OrderedDict()
    weights._metadata = metadata
    return weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something else"}, "isn't a saved RqVae"),
        ({"format_version": 99}, "format version 99.*upgrade"),
        ({"format_version": torch.ones(2)}, "format version is tensor"),
        ({"config": [1]}, "lacks its configuration"),
        ({"state": {"mean": 3.0}}, "entry 'mean' of type float"),
        ({"config": {"input_dim": 8, "unknown": 1}}, "doesn't fit RqVae.*unknown"),
        ({"config": {"input_dim": -8}}, "doesn't fit RqVae.*input_dim=-8"),
        (
            {"config": {"interactions": [1], "linear_path": True}},
            r"doesn't fit .*interactions=\[1\]",
        ),
        ({"state": ordered_with_metadata(3)}, "doesn't fit RqVae"),
        ({"state": {}}, "doesn't fit RqVae.*Missing key"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, message):
    path = tmp_path / "checkpoint.pt"
    small_model().save_checkpoint(path)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        RqVae.load_from_checkpoint(path)


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    model = small_model()
    model.save_checkpoint(path)
    before = path.read_bytes()

    def full_disk(*args):
        args[1].write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        model.save_checkpoint(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_configuration_is_plain(tmp_path):
    path = tmp_path / "checkpoint.pt"
    small_model(codebook_mode=QuantizeForwardMode.SINKHORN).save_checkpoint(path)
    config = torch.load(path, weights_only=True)["config"]
    assert config["codebook_mode"] == ["SINKHORN"] * 3
    for value in config.values():
        values = value if isinstance(value, list) else [value]
        assert all(entry is None or isinstance(entry, int | float | str) for entry in values)


@pytest.fixture
def saved(tmp_path):
    """A file, and what it holds."""
    path = tmp_path / "checkpoint.pt"
    model = small_model(linear_path=True)
    model.set_interactions(torch.tensor([2, 40]), torch.ones(2, 3))
    model.save_checkpoint(path)
    return path, torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_dims": [200_000, 200_000]},
        {"hidden_dims": [6, 6]},
        {"hidden_dims": []},
        {"codebook_size": [30_000_000] * 3},
        {"codebook_size": 10**12},
        {"input_dim": 30_000_000},
        {"embed_dim": 10**9},
        {"n_layers": 10**12},
        {"n_layers": 2},
        {"codebook_sim_vq": True},
        {"interactions": {"n_pairs": 10**12, "dim": 3}},
        {"interactions": {"n_pairs": 2, "dim": 4}},
        {"input_dim": True},
        {"input_dim": 8.0},
        {"n_cat_features": 10**12},
        {"codebook_mode": "nonsense"},
        {"codebook_weight": float("nan")},
        {"gumbel_temperature": float("inf")},
        {"decoder": None},
        {"generator": 3},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_its_weights_builds_nothing(saved, monkeypatch, change):
    # A file of some kilobytes once asked for gigabytes.
    path, content = saved
    torch.save({**content, "config": {**content["config"], **change}}, path)

    def build(*args, **kwargs):
        raise AssertionError("a module was built")

    monkeypatch.setattr(RqVae, "__init__", build)
    with pytest.raises(CheckpointError, match="doesn't fit RqVae"):
        RqVae.load_from_checkpoint(path)


WEIGHT = "quantizer.levels.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({WEIGHT: torch.full((5, 4), float("nan"))}, "NaN or infinity"),
        ({"mean": torch.full((8,), float("inf"))}, "NaN or infinity"),
        ({"scale": torch.zeros(8)}, "scale should be positive"),
        ({"quantizer.temperature": torch.tensor(-1.0)}, "temperature should be positive"),
        ({"mean": torch.zeros(1).expand(8)}, "more numbers than the file holds"),
        ({"mean": torch.zeros(1).expand(10**9)}, "more numbers than the file holds"),
        ({"mean": torch.zeros(8, dtype=torch.complex64)}, "complex"),
        ({"mean": torch.zeros(8).to_sparse()}, "no plain tensor"),
        ({"mean": torch.empty(8, device="meta")}, "no plain tensor"),
        ({WEIGHT: torch.zeros(5, 3)}, "size mismatch"),
        ({WEIGHT: torch.zeros(5)}, "size mismatch"),
        ({"decoder.interactions.keys": torch.tensor([0, 2**40])}, r"numbers in \[0, 75\)"),
        ({"decoder.interactions.keys": torch.tensor([-1, 3])}, r"numbers in \[0, 75\)"),
        ({"decoder.interactions.keys": torch.tensor([4, 3])}, r"rising numbers"),
        ({"decoder.interactions.keys": torch.tensor([2.0, 3.0])}, "float32, not in int64"),
        ({"quantizer.levels.3.weight": torch.zeros(5, 4)}, "codewords of 4 levels"),
    ],
)
def test_weights_that_no_module_has_are_refused(saved, change, message):
    path, content = saved
    torch.save({**content, "state": {**content["state"], **change}}, path)
    with pytest.raises(CheckpointError, match=message):
        RqVae.load_from_checkpoint(path)


def damaged_copies(whole, n_copies):
    """Yield copies of a file with a flipped bit, a block of zeros, or two blocks exchanged."""
    places = torch.randint(len(whole) - 64, (n_copies, 2), generator=seeded(0)).tolist()
    for number, (i, j) in enumerate(places):
        copy = bytearray(whole)
        if number % 3 == 0:
            copy[i] ^= 1 << (j % 8)
        elif number % 3 == 1:
            copy[i : i + 64] = bytes(64)
        else:
            copy[i : i + 64], copy[j : j + 64] = copy[j : j + 64], copy[i : i + 64]
        yield bytes(copy)


CODEWORDS = "rq.vq_layers.0.embedding.weight"


def lcrec_weights():
    """Return weights in the layout of LC-Rec."""
    layers = {
        f"{part}.mlp_layers.{layer}.{name}": torch.randn(shape, generator=seeded(layer))
        for part, layer in (("encoder", 1), ("decoder", 2))
        for name, shape in (("weight", (8, 8)), ("bias", (8,)))
    }
    return {**layers, CODEWORDS: torch.randn(5, 8, generator=seeded(3))}


@pytest.mark.parametrize("convert", [False, True])
def test_what_is_damaged_never_loads_with_other_weights(tmp_path, x, convert):
    # torch doesn't look at the checksums in its files.
    path = tmp_path / "checkpoint.pt"
    if convert:
        torch.save(lcrec_weights(), path)
    else:
        small_model().save_checkpoint(path)
    load = convert_checkpoint if convert else RqVae.load_from_checkpoint
    whole, original = path.read_bytes(), load(path).state_dict()
    n_refused = 0
    for copy in damaged_copies(whole, 150):
        path.write_bytes(copy)
        try:
            found = load(path).state_dict()
        except CheckpointError:
            n_refused += 1
            continue
        for name, tensor in original.items():
            assert torch.equal(found[name], tensor), name
    assert n_refused > 50


def test_compressed_members_are_refused(saved):
    path, _ = saved
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(CheckpointError, match="is compressed"):
        RqVae.load_from_checkpoint(path)


class Wider(RqVae):
    """A model with a layer of its own, and another encoder in the place of ours."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gate = torch.nn.Linear(3, 3)
        self.encoder = torch.nn.Sequential(torch.nn.Linear(8, 4))
        self.encoder.components = None


def test_a_subclass_may_have_layers_of_its_own(tmp_path, saved):
    path = tmp_path / "wider.pt"
    model = Wider(8, 4, [6], 5, generator=seeded(0))
    model.save_checkpoint(path)
    loaded = Wider.load_from_checkpoint(path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    content = torch.load(path, weights_only=True)
    content["config"]["hidden_dims"] = [200_000, 200_000]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="missing, and would be large"):
        Wider.load_from_checkpoint(path)


def test_the_defaults_of_a_configuration_are_those_of_the_module():
    ours = signature(RqVae).parameters
    for name, parameter in signature(plain_config).parameters.items():
        assert parameter.default == ours[name].default, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.mlp_layers.1.weight": torch.zeros(1, 1).expand(8, 8)}, "more numbers than"),
        ({"encoder.mlp_layers.1.bias": torch.full((8,), float("nan"))}, "NaN or infinity"),
        ({"encoder.mlp_layers.1.bias": torch.zeros(1)}, "doesn't fit RqVae"),
        ({"encoder.mlp_layers.3.weight": torch.zeros(100_000, 1)}, "doesn't fit RqVae"),
        ({CODEWORDS: torch.zeros(100_000, 1)}, "has the shape"),
        ({CODEWORDS: torch.zeros(0, 8)}, "has the shape"),
        ({CODEWORDS: torch.full((5, 8), 1e300, dtype=torch.float64)}, "range"),
    ],
)
def test_foreign_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    path = tmp_path / "weights.pt"
    torch.save({**lcrec_weights(), **change}, path)
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(path)


def test_saved_twice_the_bytes_are_equal(tmp_path):
    model = small_model()
    for name in ("one", "two"):
        model.save_checkpoint(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
