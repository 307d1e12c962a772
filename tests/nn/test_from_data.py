import copy

import pytest
import torch

from sklearn_rqvae.nn import RqVae


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def rows_of_clusters(n_rows, seed=0, offset=5.0):
    """Rows far from zero, around 40 centers."""
    centers = torch.randn(40, 16, generator=seeded(100))
    draws = torch.randint(40, (n_rows,), generator=seeded(seed))
    return offset + centers[draws] + 0.3 * torch.randn(n_rows, 16, generator=seeded(seed + 1))


def model_of(seed=0, **kwargs):
    sizes = {"input_dim": 16, "embed_dim": 8, "hidden_dims": [24], "codebook_size": 32}
    return RqVae(**{**sizes, "generator": seeded(seed), **kwargs})


def train(model, x, n_steps, batch_size=16):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for step in range(n_steps):
        batch = x[torch.arange(step * batch_size, (step + 1) * batch_size) % len(x)]
        optimizer.zero_grad()
        outputs = model(batch)
        outputs.loss.backward()
        optimizer.step()


def test_a_plain_loop_of_small_batches_uses_nearly_all_codewords():
    # Codewords drawn at random lie where no latents are: one of them takes all rows.
    x, n_used = rows_of_clusters(2000), []
    for started in (True, False):
        model = model_of()
        if not started:
            model._first_rows = None
        train(model, x, 200)
        n_used.append([len(codes.unique()) for codes in model.get_semantic_ids(x).T])
    assert min(n_used[0]) >= 28
    assert max(n_used[1]) <= 8


def test_the_start_scales_and_quantizes_as_the_named_steps_do():
    x, weight = rows_of_clusters(300), torch.rand(300, generator=seeded(3))
    started, by_hand = model_of(), model_of()
    started.start(x, weight, seeded(5))
    mean = (weight @ x) / weight.sum()
    variance = weight @ (x - mean).square() / weight.sum()
    by_hand.set_scaling(mean, variance.mean().sqrt())
    by_hand.initialize_codebooks(x, weight, seeded(5))
    torch.testing.assert_close(started.mean, mean)
    assert torch.equal(started.get_semantic_ids(x), by_hand.get_semantic_ids(x))


def test_scaling_and_codebooks_that_were_set_stay():
    x, model = rows_of_clusters(600), model_of()
    model.set_scaling(torch.full((16,), 2.0), 3.0)
    model.quantizer.set_codebooks([torch.randn(32, 8, generator=seeded(i)) for i in range(3)])
    codebooks = [codebook.clone() for codebook in model.codebooks]
    model(x)
    assert bool((model.scale == 3).all())
    assert all(map(torch.equal, codebooks, model.codebooks))


def test_who_sets_codebooks_between_the_first_steps_keeps_them():
    x, model = rows_of_clusters(600), model_of()
    model(x[:16])
    model.quantizer.set_codebooks([torch.randn(32, 8, generator=seeded(i)) for i in range(3)])
    codebooks = [codebook.clone() for codebook in model.codebooks]
    model(x[16:32])
    assert all(map(torch.equal, codebooks, model.codebooks))


@pytest.mark.parametrize("way", ["checkpoint", "state", "copy"])
def test_going_on_from_saved_weights_starts_nothing_anew(tmp_path, way):
    # A flag that is lost on loading would throw trained codebooks away.
    x, model = rows_of_clusters(600), model_of()
    train(model, x, 60)
    if way == "checkpoint":
        model.save_checkpoint(tmp_path / "model.pt")
        loaded = RqVae.load_from_checkpoint(tmp_path / "model.pt")
    elif way == "state":
        loaded = model_of(seed=1)
        loaded.load_state_dict(model.state_dict())
    else:
        loaded = copy.deepcopy(model)
    before = [codebook.clone() for codebook in loaded.codebooks]
    loaded(x[:16])
    assert all(map(torch.equal, before, loaded.codebooks))
    assert all(map(torch.equal, model.codebooks, loaded.codebooks))


def test_an_untrained_checkpoint_remembers_that_its_codewords_are_random(tmp_path):
    model_of().save_checkpoint(tmp_path / "model.pt")
    loaded = RqVae.load_from_checkpoint(tmp_path / "model.pt")
    before = [codebook.clone() for codebook in loaded.codebooks]
    loaded(rows_of_clusters(16))
    assert not any(map(torch.equal, before, loaded.codebooks))


@pytest.mark.parametrize(
    ("device", "dtype"), [("meta", torch.float32), ("meta", torch.float64), ("cpu", torch.float64)]
)
def test_a_state_that_is_assigned_reaches_the_decoder(device, dtype):
    # Its linear map isn't saved: it is the encoder's.
    sizes = {"embed_dim": 3, "hidden_dims": [8], "codebook_size": 4, "linear_path": True}
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    model = RqVae(6, **sizes).to(dtype)
    model(x)
    with torch.device(device):
        empty = RqVae(6, **sizes)
    empty.load_state_dict(model.state_dict(), assign=True)
    expected = model.eval()(x).reconstruction
    torch.testing.assert_close(empty.eval()(x).reconstruction, expected)


def test_states_of_trained_modules_have_no_entry_more():
    model, x = model_of(), rows_of_clusters(16)
    assert "quantizer.random" in model.state_dict()
    model(x)
    assert "quantizer.random" not in model.state_dict()


def test_evaluation_and_given_codes_start_nothing():
    model, x = model_of(), rows_of_clusters(16)
    before = [codebook.clone() for codebook in model.codebooks]
    model(x, codes=torch.zeros(16, 3, dtype=torch.int64))
    model.eval()
    model(x)
    assert all(map(torch.equal, before, model.codebooks))
    assert model.quantizer.n_starts == 0


def test_rows_that_cannot_start_are_refused():
    model = model_of()
    with pytest.raises(ValueError, match="NaN or infinity"):
        model(torch.full((4, 16), torch.nan))
    assert model.quantizer.n_starts == 0


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_bad_scales_are_refused(scale):
    with pytest.raises(ValueError, match=r"scale=.* should be positive"):
        model_of().set_scaling(torch.zeros(16), scale)


def test_a_model_without_linear_path_has_none_to_set():
    with pytest.raises(ValueError, match="construct with linear_path=True"):
        model_of().set_linear_path(torch.zeros(16), torch.ones(8, 16))


SIZES = {"embed_dim": 3, "hidden_dims": [8], "codebook_size": 4, "n_layers": 2}


def test_what_is_set_is_not_repeated_to_fit():
    # Torch copies one codeword, or one axis, to all: a module of equal ones says nothing.
    model = RqVae(6, **SIZES, linear_path=True)
    for codeword in (torch.zeros(1, 3), torch.zeros(3), torch.zeros(())):
        with pytest.raises(ValueError, match=r"should have shape \(codebook_size, embed_dim\)"):
            model.quantizer.set_codebooks([codeword] * 2)
    with pytest.raises(ValueError, match=r"there are 3 codebooks, .* each of 2 levels"):
        model.quantizer.set_codebooks([torch.zeros(4, 3)] * 3)
    with pytest.raises(ValueError, match=r"should have shape \(embed_dim, input_dim\)=\(3, 6\)"):
        model.set_linear_path(torch.zeros(6), torch.eye(6)[:1])


@pytest.mark.parametrize(
    ("mean", "scale"), [(0.0, 0.0), (0.0, float("nan")), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_a_scaling_that_is_none_is_refused(mean, scale):
    model = RqVae(6, **SIZES)
    with pytest.raises(ValueError, match=r"should be (positive and )?finite"):
        model.set_scaling(torch.full((6,), mean), scale)
    assert model.mean.eq(0).all()
    assert model.scale.eq(1).all()


def test_rows_that_nothing_can_start_from_are_named():
    model, x = RqVae(6, **SIZES), torch.ones(5, 6)
    for start in (model.start, model.initialize_codebooks):
        for some, weight in ((x[:0], None), (x, torch.zeros(5))):
            with pytest.raises(ValueError, match="no row with a positive weight"):
                start(some, weight)
        with pytest.raises(ValueError, match="x holds NaN or infinity"):
            start(x * float("nan"))
        assert model.mean.eq(0).all()
        assert not model.quantizer.n_starts
    for method in (model, model.autoencode, model.start, model.initialize_codebooks):
        for weight in (torch.ones(1), torch.ones(5, 1), torch.ones(6)):
            with pytest.raises(ValueError, match=r"sample_weight has shape .*\(n_samples,\)"):
                method(x, weight)
        with pytest.raises(TypeError, match="sample_weight is a list"):
            method(x, [1.0] * 5)
