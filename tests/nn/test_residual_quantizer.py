"""The levels together: values of the recursion, and the gradients that go back through it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.nn import QuantizeForwardMode, ResidualQuantizer
from sklearn_rqvae.quantize._distance import nearest_codewords
from sklearn_rqvae.quantize._gradient import rotate
from sklearn_rqvae.quantize._gumbel import gumbel_noise, posterior_logits
from sklearn_rqvae.quantize._residual import residual_codes, sum_codewords

MODES = list(QuantizeForwardMode)
NEAREST = [QuantizeForwardMode.STE, QuantizeForwardMode.ROTATION_TRICK]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def quantizer_of(mode, n_layers=3, size=6, n_dims=4, seed=0, **kwargs):
    return ResidualQuantizer(size, n_dims, n_layers, mode, generator=seeded(seed), **kwargs)


def latents(n_rows=20, n_dims=4, seed=1):
    return torch.randn(n_rows, n_dims, generator=seeded(seed))


def gradient_of_sum(quantizer, latent, gradient, codes=None):
    latent = latent.clone().requires_grad_()
    quantizer(latent, codes).quantized.backward(gradient)
    return latent.grad


# Values


@given(st.sampled_from(MODES), st.integers(0, 1000), st.integers(1, 9))
@example(QuantizeForwardMode.ROTATION_TRICK, 0, 9)
def test_quantized_is_the_sum_of_the_codewords_bit_for_bit(mode, seed, n_layers):
    quantizer = quantizer_of(mode, n_layers, seed=seed)
    latent = latents(seed=seed)
    result = quantizer(latent)
    assert result.codes.dtype == torch.int64
    assert result.codes.shape == (20, n_layers)
    assert torch.equal(result.quantized, sum_codewords(result.codes, quantizer.codebooks))
    last = result.residuals[-1] - result.codewords[-1]
    torch.testing.assert_close(result.quantized + last, latent)


@given(st.sampled_from(NEAREST), st.integers(0, 1000))
@example(QuantizeForwardMode.ROTATION_TRICK, 0)
def test_training_chooses_the_codes_of_evaluation(mode, seed):
    # Without the rotation's scale the outputs aren't codewords, and later levels are trained on
    # residuals that they never see when they encode.
    quantizer, latent = quantizer_of(mode, seed=seed), latents(seed=seed)
    trained = quantizer.train()(latent)
    evaluated = quantizer.eval()(latent)
    assert torch.equal(trained.codes, evaluated.codes)
    assert torch.equal(trained.quantized, evaluated.quantized)
    assert torch.equal(trained.codes, quantizer.encode(latent))


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_is_greedy_without_noise_and_draws_nothing(mode):
    quantizer, latent = quantizer_of(mode).eval(), latents(300)
    before, state = torch.get_rng_state(), quantizer.generator.get_state()
    expected = residual_codes(latent, quantizer.codebooks)
    assert torch.equal(quantizer(latent).codes, expected)
    assert torch.equal(quantizer.encode(latent), expected)
    # Nor does the batch that a row comes in matter, as it does in training with Sinkhorn.
    assert torch.equal(torch.cat([quantizer(row).codes for row in latent.split(1)]), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(quantizer.generator.get_state(), state)
    assert all(float(level.usage.sum()) == 0 for level in quantizer.levels)


def test_one_mode_is_that_of_all_levels():
    # In one public code the last level keeps a default of its own.
    for mode in MODES:
        assert quantizer_of(mode.name.lower(), n_layers=4).modes == [mode] * 4


def test_a_mode_of_the_last_level_leaves_the_others_alone():
    ste = quantizer_of("ste", size=8)
    mixed = quantizer_of(["ste", "ste", "sinkhorn"], size=8)
    latent = latents(400)
    plain, balanced = ste(latent), mixed(latent)
    assert torch.equal(plain.codes[:, :2], balanced.codes[:, :2])
    assert int(balanced.codes[:, 2].bincount(minlength=8).min()) > int(
        plain.codes[:, 2].bincount(minlength=8).min()
    )


def test_noise_comes_from_the_generator_of_the_module():
    quantizer, latent = quantizer_of("gumbel_softmax", temperature=3.0), latents(100)
    before = torch.get_rng_state()
    quantizer.generator = seeded(5)
    first = quantizer(latent).codes
    second = quantizer(latent).codes
    quantizer.generator = seeded(5)
    again = quantizer(latent).codes
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


# Gradients


@given(
    modes=st.lists(st.sampled_from(["ste", "sinkhorn"]), min_size=1, max_size=9),
    n_dims=st.integers(1, 5),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    seed=st.integers(0, 1000),
)
@example(modes=["ste"] * 9, n_dims=4, scale=1.0, seed=0)
@example(modes=["sinkhorn", "ste"], n_dims=1, scale=0.0, seed=0)
def test_straight_through_has_the_identity_as_jacobian_whatever_the_levels(
    modes, n_dims, scale, seed
):
    # A straight-through step at each level multiplies it by the number of levels.
    quantizer = quantizer_of(modes, len(modes), n_dims=n_dims, seed=seed)
    jacobian = torch.autograd.functional.jacobian(
        lambda latent: quantizer(latent).quantized, scale * latents(3, n_dims, seed)
    )
    assert torch.equal(jacobian.reshape(3 * n_dims, 3 * n_dims), torch.eye(3 * n_dims))


@pytest.mark.parametrize("mode", MODES)
def test_every_level_teaches_the_encoder_by_its_commitment(mode):
    # With r - (r + sg(e - r)) as the next residual, levels after the first have the gradient zero.
    latent = latents().requires_grad_()
    result = quantizer_of(mode, n_layers=4)(latent)
    for residual, codeword in zip(result.residuals, result.codewords, strict=True):
        (gradient,) = torch.autograd.grad(
            (residual - codeword.detach()).square().sum(), latent, retain_graph=True
        )
        torch.testing.assert_close(gradient, 2 * (residual - codeword).detach())
        assert float(gradient.norm()) > 0


def test_two_levels_by_hand():
    # (4, 1) -> (3, 0) leaves (1, 1) -> (0, 1) leaves (1, 0). The commitment's gradient is
    # 2 (1, 1) + 2 (1, 0), a codeword's minus its own part.
    quantizer = ResidualQuantizer(2, 2, 2, "ste")
    quantizer.levels[0].initialize(torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    quantizer.levels[1].initialize(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    latent = torch.tensor([[4.0, 1.0]], requires_grad=True)
    result = quantizer(latent)
    assert result.codes.tolist() == [[1, 0]]
    assert result.quantized.tolist() == [[3.0, 1.0]]
    pairs = list(zip(result.residuals, result.codewords, strict=True))
    sum((residual - codeword.detach()).square().sum() for residual, codeword in pairs).backward()
    assert latent.grad.tolist() == [[4.0, 2.0]]
    sum((residual.detach() - codeword).square().sum() for residual, codeword in pairs).backward()
    assert quantizer.levels[0].weight.grad.tolist() == [[0.0, 0.0], [-2.0, -2.0]]
    assert quantizer.levels[1].weight.grad.tolist() == [[-2.0, 0.0], [0.0, 0.0]]


def test_rotations_of_all_levels_add_up():
    quantizer, latent, gradient = quantizer_of("rotation_trick"), latents(), latents(seed=2)
    result = quantizer(latent)
    expected = torch.zeros_like(latent)
    for residual, codeword in zip(result.residuals, result.codewords, strict=True):
        residual = residual.detach().requires_grad_()
        rotate(residual, codeword.detach()).backward(gradient)
        expected += residual.grad
    torch.testing.assert_close(gradient_of_sum(quantizer, latent, gradient), expected)


@pytest.mark.parametrize("n_layers", [3, 8])
def test_rotation_is_bounded_where_k_means_leaves_nothing(n_layers):
    # With the paper's scale, singletons and duplicates multiply gradients by thousands.
    latent = latents(96, 32).repeat(2, 1)
    quantizer = quantizer_of("rotation_trick", n_layers, 64, 32)
    quantizer.initialize(latent)
    gradient = latents(192, 32, seed=2)
    ratio = gradient_of_sum(quantizer, latent, gradient).norm(dim=1) / gradient.norm(dim=1)
    assert float(ratio.max()) <= n_layers + 1e-4


def test_derivatives_of_the_softmaxes_of_all_levels_add_up():
    quantizer = quantizer_of("gumbel_softmax", temperature=0.5).double()
    latent, gradient = latents().double(), latents(seed=2).double()
    quantizer.generator = seeded(7)
    result = quantizer(latent)
    generator = seeded(7)
    expected = torch.zeros_like(latent)
    for residual, codebook in zip(result.residuals, quantizer.codebooks, strict=True):
        residual = residual.detach().requires_grad_()
        logits = posterior_logits(residual, codebook.detach())
        logits = logits + quantizer.temperature * gumbel_noise(logits, generator)
        soft = (logits / 2).softmax(1) @ codebook.detach()
        soft.backward(gradient)
        expected += residual.grad
    quantizer.generator = seeded(7)
    torch.testing.assert_close(gradient_of_sum(quantizer, latent, gradient), expected)


def test_gumbel_reconstruction_gradient_reaches_the_codewords():
    quantizer = quantizer_of("gumbel_softmax")
    quantizer(latents()).quantized.square().sum().backward()
    for level in quantizer.levels:
        assert (level.weight.grad.norm(dim=1) > 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_given_codes_are_used_with_the_straight_through_gradient(mode):
    quantizer, latent, gradient = quantizer_of(mode), latents(), latents(seed=2)
    codes = torch.randint(6, (20, 3), generator=seeded(3))
    state = quantizer.generator.get_state()
    result = quantizer(latent, codes)
    assert torch.equal(result.codes, codes)
    assert torch.equal(result.quantized, sum_codewords(codes, quantizer.codebooks))
    assert torch.equal(gradient_of_sum(quantizer, latent, gradient, codes), gradient)
    assert torch.equal(quantizer.generator.get_state(), state)


# Variants of the codebook


def test_normalized_latents_and_first_codewords_have_one_length():
    quantizer = quantizer_of("ste", codebook_normalize=True)
    quantizer.levels[0].radius.fill_(2.0)
    result = quantizer(latents())
    torch.testing.assert_close(result.residuals[0].norm(dim=1), torch.full((20,), 2.0))
    torch.testing.assert_close(quantizer.codebooks[0].norm(dim=1), torch.full((6,), 2.0))
    # Later residuals aren't of one length: what is left is summed up without a loss.
    last = result.residuals[-1] - result.codewords[-1]
    torch.testing.assert_close(result.quantized + last, quantizer.normalize(latents()))
    assert quantizer.codebooks[1].norm(dim=1).std().item() > 0


def test_first_normalized_code_has_the_largest_cosine():
    quantizer, latent = quantizer_of("ste", codebook_normalize=True), latents(200)
    cosine = torch.cosine_similarity(latent[:, None], quantizer.codebooks[0][None], dim=2)
    assert torch.equal(quantizer.encode(latent)[:, 0], cosine.argmax(1))
    assert torch.equal(quantizer.encode(7 * latent), quantizer.encode(latent))


def test_normalized_codebooks_start_at_the_mean_length_of_the_latents():
    quantizer, latent = quantizer_of("ste", codebook_normalize=True), 5 * latents(200)
    quantizer.initialize(latent)
    mean = float(latent.norm(dim=1).mean())
    assert float(quantizer.levels[0].radius) == pytest.approx(mean, rel=1e-5)


def test_sizes_of_levels_may_differ():
    quantizer = ResidualQuantizer([1, 3, 512], 4, 3, generator=seeded(0))
    assert quantizer.codebook_size == [1, 3, 512]
    result = quantizer(latents(100))
    assert (result.codes < torch.tensor([1, 3, 512])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4), 4, 3), "2 entries but n_layers=3"),
        ((0, 4, 3), "positive integer"),
        ((4, 4, 2, ["ste"]), "1 entries but n_layers=2"),
    ],
)
def test_bad_sizes_and_modes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualQuantizer(*arguments)


@pytest.mark.parametrize("shape", [(20, 2), (20, 4), (19, 3), (20,)])
@pytest.mark.parametrize("training", [False, True])
def test_codes_of_another_shape_are_refused(shape, training):
    quantizer = quantizer_of("ste").train(training)
    with pytest.raises(ValueError, match=r"codes have shape .*n_samples, n_layers\)=\(20, 3\)"):
        quantizer(latents(20), codes=torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("name", ["temperature", "epsilon"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_strengths_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        ResidualQuantizer(4, 4, 2, **{name: value})


# Initialization


@pytest.mark.parametrize(
    "rows",
    [
        latents(500),
        latents(3),
        latents(1),
        torch.zeros(10, 4),
        latents(1).expand(50, -1),
        latents(5).repeat(20, 1),
        torch.cat([latents(60), 100 * latents(1, seed=9)]),
    ],
    ids=["many", "few", "one", "zero", "equal", "five distinct", "outlier"],
)
@pytest.mark.parametrize("kwargs", [{}, {"codebook_sim_vq": True}, {"codebook_normalize": True}])
def test_initialization_ends_with_finite_codewords_near_the_rows(rows, kwargs):
    # Starts drawn without replacement fail with fewer rows than codewords, and re-drawing empty
    # clusters until all are used never ends with fewer distinct rows.
    quantizer = quantizer_of("ste", size=8, **kwargs)
    quantizer.initialize(rows)
    assert all(torch.isfinite(codebook).all() for codebook in quantizer.codebooks)
    target = quantizer.normalize(rows)
    error = (target - sum_codewords(quantizer.encode(rows), quantizer.codebooks)).square().sum()
    assert error.item() <= 0.5 * (target - target.mean(0)).square().sum().item() + 1e-6


def test_each_level_is_initialized_on_what_the_levels_before_leave():
    quantizer, latent = quantizer_of("ste", size=16), latents(1000)
    quantizer.initialize(latent)
    result = quantizer.eval()(latent)
    errors = [float(residual.square().sum()) for residual in result.residuals]
    assert errors[1] < 0.4 * errors[0]
    assert errors[2] < 0.4 * errors[1]
    for residual, codebook in zip(result.residuals[1:], quantizer.codebooks[1:], strict=True):
        # A codeword is near the mean of its residuals.
        codes = nearest_codewords(residual, codebook)
        means = torch.stack([residual[codes == code].mean(0) for code in range(16)])
        assert ((means - codebook).norm() / codebook.norm()).item() < 0.2


@pytest.mark.parametrize("kwargs", [{}, {"codebook_normalize": True}, {"codebook_sim_vq": True}])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_initialization_is_that_of_float32_rounded(dtype, kwargs):
    # Values that all dtypes have; weights of another dtype than the latents.
    latent, weight = latents(300).to(torch.bfloat16), torch.rand(300, generator=seeded(2))
    exact, rounded = quantizer_of("ste", **kwargs), quantizer_of("ste", **kwargs).to(dtype)
    exact.initialize(latent.float(), weight, generator=seeded(3))
    rounded.initialize(latent.to(dtype), weight, generator=seeded(3))
    error = torch.finfo(dtype).eps if dtype != torch.float64 else 1e-5
    first, other = exact.levels[0].codewords, rounded.levels[0].codewords
    assert other.dtype == dtype
    torch.testing.assert_close(other.float(), first, rtol=4 * error, atol=4 * error)
    wanted = rounded.normalize(latent.to(dtype)).float()
    left = wanted - rounded(latent.to(dtype)).quantized.float()
    assert left.square().sum() < 0.2 * wanted.square().sum()


def test_initialization_comes_from_the_given_generator_only():
    latent = latents(200)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = []
    for seed in (3, 3, 4):
        quantizer = quantizer_of("ste", size=16)
        quantizer.initialize(latent, generator=seeded(seed))
        found.append(torch.stack(quantizer.codebooks))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_rows_of_weight_zero_do_not_count_in_initialization():
    latent = torch.cat([latents(100), 1000 + latents(50)])
    weight = torch.cat([torch.ones(100), torch.zeros(50)])
    with_zeros, without = quantizer_of("ste", size=8), quantizer_of("ste", size=8)
    with_zeros.initialize(latent, weight, seeded(0))
    without.initialize(latent[:100], weight[:100], seeded(0))
    assert torch.equal(torch.stack(with_zeros.codebooks), torch.stack(without.codebooks))


def test_a_model_that_is_called_keeps_its_codewords():
    # Where forward initializes codewords by a flag, a loaded model loses them at its first call.
    quantizer = quantizer_of("ste")
    before = torch.stack(quantizer.codebooks)
    for training in (True, False):
        quantizer.train(training)(latents())
        assert torch.equal(torch.stack(quantizer.codebooks), before)


# Dead codes


def collapsed_quantizer(**kwargs):
    """Return a quantizer whose codewords but one are far from all rows."""
    quantizer = quantizer_of("ste", size=8, **kwargs)
    for level in quantizer.levels:
        codewords = torch.full((8, 4), 50.0) + torch.arange(8.0)[:, None]
        codewords[3] = 0.0
        level.initialize(codewords)
    return quantizer


def test_dead_codes_of_a_collapsed_quantizer_are_used_after_their_reset():
    quantizer, latent = collapsed_quantizer(), latents(400)
    result = quantizer(latent)
    assert len(result.codes.unique()) == 1
    n_reset = quantizer.reset_dead_codes(latent, window=10.0)
    assert n_reset == [7, 7, 7]
    codes = quantizer.encode(latent)
    for level in range(3):
        assert len(codes[:, level].unique()) == 8
        assert torch.equal(quantizer.codebooks[level][3], torch.zeros(4))
    error = latent - sum_codewords(codes, quantizer.codebooks)
    assert float(error.square().sum()) < 0.5 * float(latent.square().sum())


def test_levels_are_renewed_on_the_residuals_that_renewed_levels_leave():
    quantizer, latent = collapsed_quantizer(), latents(400)
    quantizer(latent)
    quantizer.reset_dead_codes(latent, window=10.0)
    first = quantizer.codebooks[0]
    residual = latent - first[nearest_codewords(latent, first)]
    second = quantizer.codebooks[1]
    for code in (0, 1, 2, 4, 5, 6, 7):
        assert float((residual - second[code]).square().sum(1).min()) < 1e-10


def test_nothing_is_reset_before_the_window_is_full_and_counting_starts_anew_after():
    quantizer, latent = collapsed_quantizer(), latents(200)
    quantizer(latent)
    assert quantizer.reset_dead_codes(latent, window=26.0) == [0, 0, 0]
    assert float(quantizer.levels[0].usage.sum()) == 200
    quantizer(latent[:8])
    assert quantizer.reset_dead_codes(latent, window=26.0) == [7, 7, 7]
    assert all(float(level.usage.sum()) == 0 for level in quantizer.levels)


def test_live_codes_are_left_alone():
    quantizer, latent = quantizer_of("ste", size=4), latents(4000)
    quantizer.initialize(latent)
    before = torch.stack(quantizer.codebooks)
    quantizer(latent)
    assert quantizer.reset_dead_codes(latent) == [0, 0, 0]
    assert torch.equal(torch.stack(quantizer.codebooks), before)


def test_optimizer_forgets_replaced_codewords_only():
    quantizer, latent = collapsed_quantizer(), latents(400)
    optimizer = torch.optim.AdamW(quantizer.parameters())
    for level in quantizer.levels:
        level.weight.grad = torch.ones(8, 4)
    optimizer.step()
    quantizer(latent)
    quantizer.reset_dead_codes(latent, optimizer, window=10.0)
    for level in quantizer.levels:
        for name in ("exp_avg", "exp_avg_sq"):
            moments = optimizer.state[level.weight][name]
            assert (moments[3] > 0).all()
            assert (moments[[0, 1, 2, 4, 5, 6, 7]] == 0).all()


def test_rows_of_weight_zero_replace_no_codeword():
    quantizer, latent = collapsed_quantizer(), latents(400)
    weight = torch.ones(400)
    weight[200:] = 0
    quantizer(latent, sample_weight=weight)
    quantizer.reset_dead_codes(latent, sample_weight=weight, window=10.0)
    distances = torch.cdist(quantizer.codebooks[0], latent)
    assert int((distances[:, :200].amin(1) < 1e-5).sum()) == 7
    assert int((distances[:, 200:].amin(1) < 1e-5).sum()) == 0


@pytest.mark.parametrize("n_rows", [1, 5])
def test_fewer_rows_than_dead_codes_replace_as_many_as_there_are(n_rows):
    quantizer, latent = collapsed_quantizer(), latents(400)
    quantizer(latent)
    n_reset = quantizer.reset_dead_codes(latent[:n_rows], window=10.0)
    assert n_reset[0] == n_rows
    assert all(torch.isfinite(codebook).all() for codebook in quantizer.codebooks)


def test_frozen_codewords_are_replaced_through_the_learned_map():
    quantizer, latent = collapsed_quantizer(codebook_sim_vq=True), latents(400)
    with torch.no_grad():
        for level in quantizer.levels:
            level.projection += 0.3 * torch.randn(4, 4, generator=seeded(8))
    quantizer(latent)
    quantizer.reset_dead_codes(latent, window=10.0)
    distances = torch.cdist(quantizer.codebooks[0], latent).amin(1)
    assert int((distances < 1e-3).sum()) >= 7


# As a module


def test_codebooks_and_what_they_need_survive_saving_copying_and_pickling():
    quantizer = quantizer_of("gumbel_softmax", codebook_normalize=True, codebook_sim_vq=True)
    quantizer.initialize(latents(100))
    quantizer(latents(100))
    quantizer.temperature.fill_(0.11)
    other = quantizer_of("gumbel_softmax", seed=9, codebook_normalize=True, codebook_sim_vq=True)
    other.load_state_dict(quantizer.state_dict())
    for twin in (other, copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))):
        assert torch.equal(torch.stack(twin.codebooks), torch.stack(quantizer.codebooks))
        assert torch.equal(twin.levels[1].usage, quantizer.levels[1].usage)
        assert torch.equal(twin.temperature, quantizer.temperature)
        assert torch.equal(twin.encode(latents()), quantizer.encode(latents()))


def test_construction_draws_from_the_given_generator_only():
    before = torch.get_rng_state()
    first, again = (torch.stack(quantizer_of("ste").codebooks) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mode", MODES)
def test_mixed_precision_stops_at_the_quantizer(mode):
    # In half precision, near codewords can't be told apart.
    quantizer, latent = quantizer_of(mode, size=64), latents(200)
    expected = quantizer(latent)
    quantizer.generator = seeded(0)
    reference = quantizer(latent).codes
    quantizer.generator = seeded(0)
    with torch.autocast("cpu", torch.bfloat16):
        result = quantizer(latent)
        codes = quantizer.encode(latent)
    assert result.quantized.dtype == expected.quantized.dtype == torch.float32
    assert torch.equal(result.codes, reference)
    assert torch.equal(codes, quantizer.encode(latent))
