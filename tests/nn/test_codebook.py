"""One level's codewords and their usage."""

import pytest
import torch

from sklearn_rqvae.nn._codebook import Codebook


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_codewords_come_from_the_given_generator_only():
    before = torch.get_rng_state()
    first, again = (Codebook(8, 4, generator=seeded(0)).weight for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Codebook(8, 4, generator=seeded(1)).weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_codewords_have_unit_mean_squared_length():
    codebook = Codebook(4096, 16, generator=seeded(0))
    assert codebook.weight.square().sum(1).mean().item() == pytest.approx(1.0, abs=0.05)


def test_normalized_codewords_have_the_radius_as_length():
    codebook = Codebook(8, 4, normalize=True, generator=seeded(0))
    codebook.radius.fill_(2.5)
    torch.testing.assert_close(codebook.codewords.norm(dim=1), torch.full((8,), 2.5))


@pytest.mark.parametrize("normalize", [False, True])
def test_sim_vq_trains_the_map_and_not_the_codewords(normalize):
    codebook = Codebook(8, 4, normalize=normalize, sim_vq=True, generator=seeded(0))
    assert [name for name, _ in codebook.named_parameters()] == ["projection"]
    codebook.lookup(torch.tensor([3]))[0, 1].backward()
    before = codebook.codewords.detach().clone()
    with torch.no_grad():
        codebook.projection -= 0.1 * codebook.projection.grad
    # The gradient of a single codeword moves all of them.
    assert (codebook.codewords != before).any(1).all()


@pytest.mark.parametrize("sim_vq", [False, True])
def test_initialized_codewords_are_the_given_ones(sim_vq):
    # With a random map, k-means' codewords are gone as soon as they are set.
    codebook = Codebook(8, 4, sim_vq=sim_vq, generator=seeded(0))
    if sim_vq:
        torch.nn.init.normal_(codebook.projection, generator=seeded(2))
    given = torch.randn(8, 4, generator=seeded(1))
    codebook.count(torch.tensor([0]))
    codebook.initialize(given)
    assert torch.equal(codebook.codewords, given)
    assert codebook.usage.sum() == 0


@pytest.mark.parametrize("sim_vq", [False, True])
def test_replaced_codewords_are_the_given_ones_and_others_stay(sim_vq):
    codebook = Codebook(8, 4, sim_vq=sim_vq, generator=seeded(0))
    if sim_vq:
        torch.nn.init.normal_(codebook.projection, generator=seeded(2))
    before = codebook.codewords.detach().clone()
    given = torch.randn(2, 4, generator=seeded(1))
    codebook.replace(torch.tensor([5, 2]), given)
    torch.testing.assert_close(codebook.codewords[[5, 2]], given, rtol=1e-4, atol=1e-4)
    others = [0, 1, 3, 4, 6, 7]
    assert torch.equal(codebook.codewords[others], before[others])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_codewords_of_a_map_are_replaced_in_every_precision(dtype):
    codebook = Codebook(8, 4, sim_vq=True, generator=seeded(0)).to(dtype)
    given = torch.randn(2, 4, generator=seeded(1)).to(dtype)
    codebook.replace(torch.tensor([5, 2]), given)
    torch.testing.assert_close(codebook.codewords[[5, 2]], given)


def test_usage_counts_rows_in_units_of_the_mean_weight():
    codebook = Codebook(4, 2)
    codebook.count(torch.tensor([1, 1, 3]))
    assert codebook.usage.tolist() == [0, 2, 0, 1]
    codebook.count(torch.tensor([0, 3]), torch.tensor([30.0, 10.0]))
    assert codebook.usage.tolist() == [1.5, 2, 0, 1.5]
    codebook.reset_usage()
    assert codebook.usage.tolist() == [0, 0, 0, 0]


def test_all_state_is_in_the_state_dict():
    codebook = Codebook(4, 2, normalize=True, sim_vq=True, generator=seeded(0))
    codebook.count(torch.tensor([1, 1, 3]))
    codebook.radius.fill_(3.0)
    other = Codebook(4, 2, normalize=True, sim_vq=True, generator=seeded(1))
    other.load_state_dict(codebook.state_dict())
    assert torch.equal(other.codewords, codebook.codewords)
    assert torch.equal(other.usage, codebook.usage)


def test_a_batch_without_weight_counts_nothing():
    codebook = Codebook(3, 2)
    codebook.count(torch.tensor([0, 1]), torch.zeros(2))
    assert codebook.usage.tolist() == [0, 0, 0]
