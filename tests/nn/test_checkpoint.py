"""Saved modules: tensors and plain values, and nothing else."""

import os
import pickle
from collections import OrderedDict

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
        content = {**layers, "rq.vq_layers.0.embedding.weight": torch.ones(3, 4)}
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
