"""The whole module: the way of working at the torch level, losses, and every kind of input."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from sklearn_rqvae import metrics
from sklearn_rqvae.nn import Decoder, QuantizeForwardMode, RqVae
from sklearn_rqvae.quantize._residual import residual_codes, sum_codewords

MODES = list(QuantizeForwardMode)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def model_of(seed=0, **kwargs):
    sizes = {"input_dim": 8, "embed_dim": 4, "hidden_dims": [16], "codebook_size": 6}
    return RqVae(**{**sizes, **kwargs}, generator=seeded(seed))


def rows_of(n_rows=40, n_dims=8, seed=1):
    return torch.randn(n_rows, n_dims, generator=seeded(seed))


class Vectors(Dataset):
    """Serve rows one by one, as the data set of a catalog does."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


# The way of working at the torch level


def test_workflow_runs_as_documented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = Vectors(rows_of(200, 768))
    item_features = dataset.rows[:50]

    model = RqVae(
        input_dim=768,
        embed_dim=32,
        hidden_dims=[512, 256, 128],
        codebook_size=256,
        codebook_normalize=False,
        codebook_sim_vq=False,
        n_layers=3,
        n_cat_features=0,
        commitment_weight=0.25,
        codebook_mode=QuantizeForwardMode.ROTATION_TRICK,
    )
    dataloader = DataLoader(dataset, batch_size=64, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0005)
    for batch in dataloader:
        optimizer.zero_grad()
        outputs = model(batch)
        loss = outputs.loss
        loss.backward()
        optimizer.step()
    assert outputs.reconstruction_loss.shape == ()
    trained = model.get_semantic_ids(item_features)
    model.save_checkpoint("checkpoint.pt")

    model = RqVae.load_from_checkpoint("checkpoint.pt")
    model.eval()
    semantic_ids = model.get_semantic_ids(item_features)
    assert semantic_ids.shape == (50, 3)
    assert semantic_ids.dtype == torch.int64
    assert torch.equal(semantic_ids, trained)


def test_subclasses_may_add_to_the_loss():
    class CustomRqVae(RqVae):
        def compute_loss(self, x, outputs):
            return super().compute_loss(x, outputs) + self.custom_regularization(outputs)

        def custom_regularization(self, outputs):
            return 3 * outputs.latent.square().mean()

    x = rows_of()
    plain = model_of(codebook_mode="ste")
    custom = CustomRqVae(8, 4, [16], 6, codebook_mode="ste", generator=seeded(0))
    expected, outputs = plain(x), custom(x)
    torch.testing.assert_close(outputs.loss, expected.loss + 3 * expected.latent.square().mean())
    outputs.loss.backward()
    expected.loss.backward()
    weight = next(custom.encoder.parameters())
    assert not torch.equal(weight.grad, next(plain.encoder.parameters()).grad)


@pytest.mark.parametrize(
    "kwargs",
    [
        *[{"codebook_mode": mode} for mode in MODES],
        {"codebook_normalize": True},
        {"codebook_sim_vq": True},
        {"linear_path": True},
        {"n_cat_features": 3},
        {"linear_path": True, "n_cat_features": 3, "codebook_normalize": True},
    ],
    ids=str,
)
def test_training_lowers_the_loss_in_every_mode(kwargs):
    # Sixteen clusters, which three levels of six codewords can tell apart.
    centers = rows_of(16, 8, seed=4)
    x = centers[torch.randint(16, (256,), generator=seeded(5))] + 0.05 * rows_of(256, 8)
    if "n_cat_features" in kwargs:
        x[:, -3:] = (x[:, -3:] > 0).float()
    model = model_of(**kwargs)
    model.initialize_codebooks(x)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

    def reconstruction_losses(n_steps):
        for step in range(n_steps):
            model.anneal(step / n_steps)
            optimizer.zero_grad()
            model(x).loss.backward()
            optimizer.step()
        model.eval()
        outputs = model(x)
        model.train()
        return (outputs.reconstruction_loss + outputs.categorical_loss).item()

    start, middle, end = (reconstruction_losses(n_steps) for n_steps in (0, 40, 80))
    # More training doesn't hand back an early epoch.
    assert middle < 0.8 * start
    assert end < 0.8 * middle


# Losses


@pytest.mark.parametrize("training", [True, False])
def test_loss_is_the_weighted_sum_of_its_parts(training):
    model = model_of(commitment_weight=0.5, codebook_weight=2.0, n_cat_features=2)
    x = rows_of()
    x[:, -2:] = (x[:, -2:] > 0).float()
    outputs = model.train(training)(x)
    expected = (
        outputs.reconstruction_loss
        + outputs.categorical_loss
        + 2.0 * outputs.codebook_loss
        + 0.5 * outputs.commitment_loss
    )
    torch.testing.assert_close(outputs.loss, expected)
    # Codebook and commitment loss have one value and two gradients.
    torch.testing.assert_close(outputs.codebook_loss, outputs.commitment_loss)
    for part in outputs[:5]:
        assert part.shape == ()


def test_reconstruction_loss_is_the_mean_squared_error_in_standardized_units():
    model, x = model_of(), 3 + 5 * rows_of()
    model.set_scaling(x.mean(0), 2.5)
    outputs = model(x)
    expected = (x - outputs.reconstruction).square().mean() / 2.5**2
    torch.testing.assert_close(outputs.reconstruction_loss, expected)


def test_weights_mean_the_same_at_every_input_width():
    # The same rows in 32 of 768 dimensions: all parts shrink alike, so their balance stays.
    x = rows_of(60, 32)
    narrow = RqVae(32, 32, [], 8, linear_path=True, codebook_mode="ste", generator=seeded(0))
    wide = RqVae(768, 32, [], 8, linear_path=True, codebook_mode="ste", generator=seeded(0))
    axes = torch.linalg.qr(rows_of(768, 32, seed=3)).Q.T
    narrow.set_linear_path(torch.zeros(32), torch.eye(32))
    wide.set_linear_path(torch.zeros(768), axes)
    for level, other in zip(narrow.quantizer.levels, wide.quantizer.levels, strict=True):
        for codebook in (level, other):
            codebook.initialize(level.codewords.detach())
    parts, others = narrow(x), wide(x @ axes)
    assert torch.equal(parts.codes, others.codes)
    for part, other in zip(parts[:4], others[:4], strict=True):
        torch.testing.assert_close(part, 24 * other, rtol=1e-4, atol=1e-6)
    # With the identity as decoder, the error of the reconstruction is that of the last level.
    last = parts.latent - parts.quantized
    torch.testing.assert_close(parts.reconstruction_loss, last.square().sum(1).mean() / 32)


@given(st.sampled_from(["ste", "rotation_trick"]), st.integers(0, 1000))
@example("ste", 0)
def test_integer_weights_are_repetitions(mode, seed):
    model = model_of(seed, codebook_mode=mode)
    x, weight = rows_of(12, seed=seed), torch.randint(0, 4, (12,), generator=seeded(seed))
    weight[0] = 1
    model.start(x)
    weighted = model(x, sample_weight=weight)
    repeated = model(x.repeat_interleave(weight, 0))
    for part, other in zip(weighted[:5], repeated[:5], strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_without_weight_has_no_loss_and_no_gradient(mode):
    model = model_of(codebook_mode=mode, n_cat_features=2)
    outputs = model(rows_of(), sample_weight=torch.zeros(40))
    assert [part.item() for part in outputs[:5]] == [0.0] * 5
    outputs.loss.backward()
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_decoder_and_codebook_gradients_are_those_of_finite_differences():
    model = model_of(codebook_mode="ste", n_cat_features=2).double()
    x = rows_of().double()
    x[:, -2:] = (x[:, -2:] > 0).double()
    codes = model.get_semantic_ids(x)
    outputs = model(x, codes=codes)
    outputs.loss.backward()
    # The codebook loss is all that codewords see of the loss; for later levels, those of earlier
    # ones are constants.
    cases = [
        (model.decoder.mlp[2].weight, lambda outputs: outputs.loss),
        (model.quantizer.levels[2].weight, lambda outputs: outputs.codebook_loss),
    ]
    for parameter, part in cases:
        index = (int(codes[0, 2]), 1)
        step = torch.zeros_like(parameter)
        step[index] = 1e-6
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step
                values.append(part(model(x, codes=codes)).item())
                parameter -= sign * step
        assert parameter.grad[index].item() == pytest.approx(
            (values[0] - values[1]) / 2e-6, rel=1e-5
        )


@pytest.mark.parametrize("linear_path", [False, True])
def test_the_gradient_of_codes_found_before_is_that_of_finite_differences(linear_path):
    model, x = model_of(linear_path=linear_path).double(), rows_of().double()
    codes = torch.randint(6, (40, 3), generator=seeded(2))
    outputs = model.reconstruct(x, codes)
    torch.testing.assert_close(outputs.reconstruction, model.decode(codes))
    assert outputs.loss == outputs.reconstruction_loss
    outputs.loss.backward()
    assert all(weight.grad is None for weight in model.encoder.parameters())
    for level in model.quantizer.levels:
        weight = level.weight.detach()
        code, step = int(codes[0, 0]), 1e-6
        losses = []
        for sign in (1, -1):
            weight[code, 1] += sign * step
            losses.append(model.reconstruct(x, codes).loss.item())
            weight[code, 1] -= sign * step
        expected = (losses[0] - losses[1]) / (2 * step)
        assert float(level.weight.grad[code, 1]) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_autoencode_leaves_the_quantizer_out():
    model, x = model_of(), rows_of()
    outputs = model.autoencode(x)
    assert torch.equal(outputs.quantized, outputs.latent)
    assert outputs.codebook_loss.item() == outputs.commitment_loss.item() == 0
    torch.testing.assert_close(outputs.loss, (x - outputs.reconstruction).square().mean())
    outputs.loss.backward()
    assert all(level.weight.grad is None for level in model.quantizer.levels)
    assert next(model.encoder.parameters()).grad is not None


# Codes and reconstructions


@pytest.mark.parametrize("mode", MODES)
def test_semantic_ids_are_the_same_in_training_and_leave_no_trace(mode):
    model, x = model_of(codebook_mode=mode), rows_of(300)
    usage = model.quantizer.levels[0].usage.clone()
    state, global_state = model.generator.get_state(), torch.get_rng_state()
    in_training = model.train().get_semantic_ids(x)
    in_evaluation = model.eval().get_semantic_ids(x)
    assert torch.equal(in_training, in_evaluation)
    assert torch.equal(in_training, model(x).codes)
    assert torch.equal(in_training, residual_codes(model.encode(x), model.codebooks))
    assert not in_training.requires_grad
    assert torch.equal(model.quantizer.levels[0].usage, usage)
    assert torch.equal(model.generator.get_state(), state)
    assert torch.equal(torch.get_rng_state(), global_state)


def test_more_rows_than_a_chunk_are_encoded_like_fewer():
    model, x = model_of(), rows_of(5000)
    codes = model.get_semantic_ids(x)
    assert torch.equal(codes, torch.cat([model.get_semantic_ids(rows) for rows in x.split(777)]))


@pytest.mark.parametrize("linear_path", [False, True])
def test_codes_decode_to_the_reconstruction(linear_path):
    model, x = model_of(linear_path=linear_path).eval(), 2 + rows_of()
    model.set_scaling(x.mean(0), 1.7)
    outputs = model(x)
    torch.testing.assert_close(model.decode(outputs.codes), outputs.reconstruction)


def test_first_codes_decode_better_the_more_there_are():
    model, x = model_of(linear_path=True, codebook_size=16), rows_of(500)
    model.initialize_codebooks(x)
    codes = model.get_semantic_ids(x)
    errors = [
        metrics.fraction_variance_unexplained(x, model.decode(codes[:, :n_levels]).detach())
        for n_levels in (1, 2, 3)
    ]
    assert errors[0] > errors[1] > errors[2]
    torch.testing.assert_close(
        model.decode(codes[:, :2]),
        model.mean + sum_codewords(codes[:, :2], model.codebooks) @ model.encoder.components,
    )


@pytest.mark.parametrize("shape", [(5,), (5, 0), (5, 4), (5, 3, 1)])
def test_codes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"codes have shape .*n_layers=3"):
        model_of().decode(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(5, 2), (5, 4), (6, 3)])
def test_given_codes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"codes have shape .*n_layers\)=\(5, 3\)"):
        model_of()(rows_of(5), codes=torch.zeros(shape, dtype=torch.int64))


def test_given_codes_are_taken():
    model, x = model_of(codebook_mode="gumbel_softmax"), rows_of()
    codes = torch.randint(6, (40, 3), generator=seeded(3))
    outputs = model(x, codes=codes)
    assert torch.equal(outputs.codes, codes)
    torch.testing.assert_close(outputs.reconstruction, model.decode(codes))


def test_a_decoder_of_ones_own_gets_latents_and_codes():
    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(6, 8))

        def forward(self, quantized, codes):
            return quantized.new_zeros(len(codes), 8) + self.weight[codes[:, 0]]

    model, x = model_of(decoder=Table()), rows_of()
    with torch.no_grad():
        model.decoder.weight += torch.arange(6.0)[:, None]
    outputs = model.eval()(x)
    assert torch.equal(outputs.reconstruction[:, 0], outputs.codes[:, 0].float())
    outputs.loss.backward()
    assert model.decoder.weight.grad is not None


# Categories


@pytest.mark.parametrize("n_cat_features", [0, 1, 5, 8])
@pytest.mark.parametrize("codebook_normalize", [False, True])
def test_categories_get_a_cross_entropy_and_nothing_else(n_cat_features, codebook_normalize):
    # A slice of [:-0] is empty, and one length for logits and features bounds logits by one.
    model = model_of(n_cat_features=n_cat_features, codebook_normalize=codebook_normalize)
    n_numeric = 8 - n_cat_features
    x = rows_of()
    x[:, n_numeric:] = (x[:, n_numeric:] > 0).float()
    model.set_scaling(x.mean(0), 3.0)
    outputs = model(x)
    numeric, probabilities = outputs.reconstruction.split([n_numeric, n_cat_features], 1)
    error = ((x[:, :n_numeric] - numeric) / 3).square().sum(1).mean() / 8
    torch.testing.assert_close(outputs.reconstruction_loss, error)
    entropy = torch.nn.functional.binary_cross_entropy(
        probabilities, x[:, n_numeric:], reduction="none"
    )
    torch.testing.assert_close(outputs.categorical_loss, entropy.sum(1).mean() / 8)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert torch.equal(model.mean[n_numeric:], torch.zeros(n_cat_features))
    assert torch.equal(model.scale[n_numeric:], torch.ones(n_cat_features))


def test_categories_can_be_learned_to_certainty():
    # With logits of at most one, the cross-entropy can't fall below 0.313 for each category.
    model = model_of(n_cat_features=4, codebook_mode="ste", codebook_normalize=True)
    x = torch.zeros(60, 8)
    x[torch.arange(60), 4 + torch.arange(60) % 4] = 1
    x[:, :4] = rows_of(4, 4)[torch.arange(60) % 4]
    model.initialize_codebooks(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        model(x).loss.backward()
        optimizer.step()
    assert model.eval()(x).categorical_loss.item() * 8 / 4 < 0.02


def test_the_linear_path_leaves_categories_to_the_network():
    model = model_of(n_cat_features=3, linear_path=True)
    assert torch.equal(model.encoder.components[:, 5:], torch.zeros(4, 3))
    model.set_linear_path(torch.ones(8), torch.ones(4, 8))
    assert torch.equal(model.encoder.components[:, 5:], torch.zeros(4, 3))
    assert model.mean.tolist() == [1.0] * 5 + [0.0] * 3
    # At the start, every category is as likely as not.
    assert torch.equal(model(rows_of().abs()).reconstruction[:, 5:], torch.full((40, 3), 0.5))


# Linear path and standardization


def test_a_model_with_a_linear_path_starts_as_quantized_components():
    x = 1 + rows_of(300) * torch.tensor([5.0, 4, 3, 2, 1, 1, 1, 1])
    model = model_of(linear_path=True, codebook_size=32)
    mean = x.mean(0)
    components = torch.linalg.svd(x - mean, full_matrices=False).Vh[:4]
    model.set_scaling(mean, 2.0)
    model.set_linear_path(mean, components)
    latent = (x - mean) / 2 @ components.T
    torch.testing.assert_close(model.encode(x), latent)
    model.initialize_codebooks(x)
    codes = model.get_semantic_ids(x)
    quantized = sum_codewords(codes, model.codebooks)
    torch.testing.assert_close(model.decode(codes), mean + 2 * quantized @ components)
    # All but one part of the error lies outside of the components.
    assert metrics.fraction_variance_unexplained(latent.detach(), quantized.detach()) < 0.02


def test_scaling_is_invisible_but_for_rounding():
    # Standardized rows in an unscaled model are what raw rows are in a scaled one.
    x = 7 + 4 * rows_of()
    scaled, plain = model_of().eval(), model_of().eval()
    scaled.set_scaling(x.mean(0), 4.0)
    standardized = (x - x.mean(0)) / 4
    torch.testing.assert_close(scaled(x).loss, plain(standardized).loss)
    torch.testing.assert_close(
        scaled(x).reconstruction, 4 * plain(standardized).reconstruction + x.mean(0)
    )


# Every kind of input


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "x",
    [
        rows_of(1),
        rows_of(3),
        rows_of(64),
        rows_of(1).expand(30, -1),
        rows_of(5).repeat(6, 1),
        torch.zeros(30, 8),
        torch.cat([rows_of(30), 100 * rows_of(1, seed=5)]),
        rows_of().double(),
        rows_of(8, 40).T,
        rows_of(80)[::2],
        torch.cat([torch.zeros(5, 8), rows_of(5)]),
    ],
    ids=[
        "one row",
        "fewer rows than codewords",
        "many rows",
        "equal rows",
        "duplicates",
        "zeros",
        "outlier",
        "float64",
        "transposed",
        "every second row",
        "zero rows",
    ],
)
@pytest.mark.parametrize("start", ["random", "k-means"])
def test_any_rows_can_be_trained_on(mode, x, start):
    model = model_of(codebook_mode=mode, codebook_size=[8, 1, 3])
    if start == "k-means":
        model.initialize_codebooks(x)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        outputs = model(x)
        outputs.loss.backward()
        optimizer.step()
        model.reset_dead_codes(x, optimizer, window=1.0)
    assert torch.isfinite(outputs.loss)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    codes = model.get_semantic_ids(x)
    assert codes.shape == (len(x), 3)
    assert (codes < torch.tensor([8, 1, 3])).all()
    assert torch.isfinite(model.decode(codes)).all()


@pytest.mark.parametrize("mode", MODES)
def test_batches_of_64_train_256_codewords_from_random_ones(mode):
    model = RqVae(codebook_mode=mode, generator=seeded(0))
    outputs = model(rows_of(64, 768))
    outputs.loss.backward()
    assert outputs.codes.shape == (64, 3)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("codebook_size", "n_layers"), [(1, 9), (3, 7), (512, 2)])
def test_codebook_sizes_and_numbers_of_levels(mode, codebook_size, n_layers):
    model = model_of(codebook_size=codebook_size, n_layers=n_layers, codebook_mode=mode)
    outputs = model(rows_of(700))
    outputs.loss.backward()
    assert outputs.codes.shape == (700, n_layers)
    assert int(outputs.codes.max()) < codebook_size


@pytest.mark.parametrize("mode", MODES)
def test_a_step_in_mixed_precision_stays_finite(mode):
    model, x = model_of(codebook_mode=mode), rows_of()
    with torch.autocast("cpu", torch.bfloat16):
        model(x).loss.backward()  # which starts the codebooks
    model.start(x)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(x).loss
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    torch.testing.assert_close(loss, model(x).loss, rtol=0.05, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_module_of_another_dtype_can_be_initialized_and_trained(dtype):
    model, x = model_of(codebook_mode="ste", linear_path=True).to(dtype), rows_of()
    model.initialize_codebooks(x, torch.ones(40))
    for outputs in (model(x), model.autoencode(x)):
        outputs.loss.backward()
        assert {part.dtype for part in outputs} == {dtype, torch.int64}
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_float32_module_stays_one_whatever_the_default_dtype():
    model, x = model_of(linear_path=True, codebook_mode="ste"), rows_of()
    torch.set_default_dtype(torch.float64)
    try:
        model.initialize_codebooks(x)
        model.set_interactions(torch.tensor([0, 5]), torch.ones(2, 3, dtype=torch.float32))
        parts = [*model(x), *model.autoencode(x), *model.state_dict().values()]
    finally:
        torch.set_default_dtype(torch.float32)
    assert {part.dtype for part in parts} == {torch.float32, torch.int64}


def test_no_rows_have_no_codes():
    assert model_of().get_semantic_ids(torch.empty(0, 8)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(8,), (4, 7), (4, 9), (2, 4, 8)])
@pytest.mark.parametrize("method", ["forward", "autoencode", "encode", "get_semantic_ids"])
def test_rows_of_another_shape_are_refused(shape, method):
    with pytest.raises(ValueError, match=r"x has shape .*input_dim=8"):
        getattr(model_of(), method)(torch.zeros(shape))


# Construction


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, "input_dim=0 should be an integer of at least 1"),
        ({"input_dim": 8.0}, r"input_dim=8\.0"),
        ({"embed_dim": 0}, "embed_dim=0"),
        ({"embed_dim": True}, "embed_dim=True"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"n_layers": "3"}, "n_layers='3'"),
        ({"hidden_dims": [4, 0]}, r"hidden_dims=\[4, 0\] has the entry 0"),
        ({"hidden_dims": [2.7]}, r"hidden_dims=\[2\.7\] has the entry 2\.7"),
        ({"hidden_dims": "88"}, "hidden_dims='88' has the entry '8'"),
        ({"hidden_dims": 16}, r"hidden_dims=16 should be a sequence .*\[16\]"),
        ({"n_cat_features": 9}, "n_cat_features=9 should be .* between 0 and input_dim=8"),
        ({"n_cat_features": -1}, "n_cat_features=-1"),
        ({"n_cat_features": 1.5}, r"n_cat_features=1\.5"),
        ({"commitment_weight": -0.1}, "commitment_weight=-0.1"),
        ({"codebook_weight": float("nan")}, "codebook_weight=nan"),
        ({"codebook_mode": "soft"}, "codebook_mode='soft'"),
        ({"codebook_size": [4, 4]}, "2 entries but n_layers=3"),
        ({"gumbel_temperature": 0.0}, r"^gumbel_temperature=0\.0"),
        ({"sinkhorn_epsilon": float("inf")}, "^sinkhorn_epsilon=inf"),
        ({"interactions": {"n_pairs": 1, "dim": 2}}, "linear_path=False"),
        ({"linear_path": True, "interactions": {"n_pairs": 1, "dim": 5}}, "dim=5.*embed_dim=4"),
        ({"linear_path": True, "interactions": {"n_pairs": 1}}, "n_pairs and dim"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_of(**arguments)


def test_decoder_mirrors_the_encoder():
    model = RqVae(10, 2, [7, 5], 4)
    shapes = [tuple(layer.weight.shape) for layer in model.encoder.mlp[::2]]
    mirrored = [tuple(layer.weight.shape)[::-1] for layer in model.decoder.mlp[::2]]
    assert shapes == [(7, 10), (5, 7), (2, 5)]
    assert mirrored == shapes[::-1]


@pytest.mark.parametrize("n_rows", [3, 700])
def test_relu_follows_all_layers_but_the_last(n_rows):
    model = RqVae(60, 20, [90, 70], 4, generator=seeded(0))
    for mlp, n_dims in ((model.encoder.mlp, 60), (model.decoder.mlp, 20)):
        x = rows_of(n_rows, n_dims)
        first, _, second, _, last = mlp
        hidden = second.weight @ (first.weight @ x.T + first.bias[:, None]).relu()
        expected = last.weight @ (hidden + second.bias[:, None]).relu() + last.bias[:, None]
        torch.testing.assert_close(mlp(x), expected.T, rtol=1e-4, atol=1e-5)
        with torch.no_grad():  # the product is then called another way
            torch.testing.assert_close(mlp(x), expected.T, rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_given_generator_only():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    states = [model_of(seed, linear_path=True).state_dict() for seed in (0, 0, 1)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    assert not torch.equal(states[0]["encoder.mlp.0.weight"], states[2]["encoder.mlp.0.weight"])
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_without_a_generator_the_global_one_is_used():
    torch_state = torch.get_rng_state()
    try:
        torch.manual_seed(0)
        first = RqVae(8, 4, [16], 6).state_dict()
        torch.manual_seed(0)
        again = RqVae(8, 4, [16], 6).state_dict()
    finally:
        torch.set_rng_state(torch_state)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name


def test_weights_are_drawn_as_linear_layers_draw_theirs():
    model = RqVae(400, 300, [], 4, generator=seeded(0))
    layer = model.encoder.mlp[0]
    other = torch.nn.Linear(400, 300)
    for name in ("weight", "bias"):
        ours, theirs = getattr(layer, name).detach(), getattr(other, name).detach()
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.02)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.15)


def test_copies_and_pickles_encode_alike():
    model, x = model_of(linear_path=True, codebook_mode="gumbel_softmax"), rows_of()
    model.initialize_codebooks(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.get_semantic_ids(x), model.get_semantic_ids(x))
        # Noise goes on from where it was.
        assert torch.equal(copy.deepcopy(model)(x).codes, twin(x).codes)


def test_temperature_is_annealed_and_saved():
    model = model_of(gumbel_temperature=2.0)
    model.anneal(0.5)
    assert model.quantizer.temperature.item() == pytest.approx(2.0 * 0.1**0.5)
    model.anneal(1.0, start=1.0, end=0.5)
    assert model.state_dict()["quantizer.temperature"].item() == pytest.approx(0.5)


@pytest.mark.parametrize("mode", [mode for mode in QuantizeForwardMode if mode.name != "SINKHORN"])
def test_gradients_of_the_functional_form_are_those_of_backward(mode):
    module = RqVae(64, 16, (32,), [8, 4], n_layers=2, codebook_mode=mode).eval()
    x = torch.randn(300, 64, generator=torch.Generator().manual_seed(0))
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    found = torch.func.grad(lambda p: torch.func.functional_call(module, p, (x,)).loss)(parameters)
    module(x).loss.backward()
    for name, value in module.named_parameters():
        torch.testing.assert_close(found[name], value.grad)


@pytest.mark.parametrize("training", [False, True])
def test_mapped_over_modules_and_batches_it_does_what_each_module_does(training):
    # More rows than are searched at a time.
    models = [
        RqVae(8, 4, (6,), [8, 4], n_layers=2, codebook_mode="ste", generator=seeded(i)).train(
            training
        )
        for i in range(3)
    ]
    x = torch.randn(3, 1100, 8, generator=seeded(7))
    for model, rows in zip(models, x, strict=True):
        model.start(rows)
    parameters, buffers = torch.func.stack_module_state(models)

    def outputs(parameters, buffers, x):
        return tuple(torch.func.functional_call(models[0], (parameters, buffers), (x,)))

    found = torch.func.vmap(outputs)(parameters, buffers, x)
    expected = [torch.stack(parts) for parts in zip(*map(RqVae.__call__, models, x), strict=True)]
    for value, other in zip(found, expected, strict=True):
        torch.testing.assert_close(value, other)


def test_semantic_ids_can_be_mapped_over_batches():
    model, x = model_of(), torch.randn(3, 5, 8, generator=seeded(7))
    found = torch.func.vmap(model.get_semantic_ids)(x)
    assert torch.equal(found, torch.stack([model.get_semantic_ids(rows) for rows in x]))


def test_dead_codes_are_reset_by_rows():
    model, x = model_of(codebook_mode="ste"), rows_of(400)
    model.start(x)
    with torch.no_grad():
        model.quantizer.levels[0].weight += 100
        model.quantizer.levels[0].weight[2] = 0
    optimizer = torch.optim.AdamW(model.parameters())
    assert model.reset_dead_codes(x, optimizer) == [0, 0, 0]
    for _ in range(2):
        model(x)
    assert model.reset_dead_codes(x, optimizer)[0] == 5
    assert len(model.get_semantic_ids(x)[:, 0].unique()) == 6


def test_the_parts_stand_alone():
    decoder = Decoder(4, [5], 8, generator=seeded(0))
    assert decoder(torch.zeros(3, 4), torch.zeros(3, 2, dtype=torch.int64)).shape == (3, 8)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("x", [rows_of().numpy(), [rows_of()], (rows_of(),)])
def test_what_is_no_tensor_is_refused_with_the_way_to_one(x, train):
    model = model_of().train(train)
    for method in (model, model.get_semantic_ids, model.encode, model.start):
        with pytest.raises(TypeError, match=r"x is a (ndarray|list|tuple).*batch\[0\]"):
            method(x)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_without_rows_is_no_error(mode):
    # A process that shares a small batch may get none.
    model = model_of(codebook_mode=mode)
    model(rows_of())
    assert model(rows_of()[:0]).codes.shape == (0, 3)
    assert float(model(rows_of()[:0], torch.ones(0)).loss) == 0
