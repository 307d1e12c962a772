"""PairInteractions: stored pairs add their vectors, others nothing; they can be saved."""

import pytest
import torch

from sklearn_rqvae.nn import PairInteractions, RqVae


def model_with_interactions():
    generator = torch.Generator().manual_seed(0)
    model = RqVae(
        6, 6, None, codebook_size=[2, 3, 2], n_layers=3, linear_path=True, generator=generator
    )
    model.set_interactions(torch.tensor([0, 5, 7]), torch.arange(9.0).reshape(3, 3))
    return model


def test_pairs_add_their_vectors():
    interactions = model_with_interactions().decoder.interactions
    assert isinstance(interactions, PairInteractions)
    # Keys: pairs of levels 0 and 1 are 0-5, of 0 and 2 are 6-9, of 1 and 2 are 10-15.
    codes = torch.tensor([[0, 0, 0], [1, 2, 0], [0, 0, 1]])
    expected = torch.tensor([[0.0, 1, 2], [3, 4, 5], [6, 8, 10]])
    torch.testing.assert_close(interactions(codes), expected)
    torch.testing.assert_close(
        interactions(codes[:, :2]), torch.tensor([[0.0, 1, 2], [3, 4, 5], [0, 1, 2]])
    )
    assert not interactions(codes[:, :1]).any()


def test_the_decoder_adds_them_to_the_first_coordinates():
    model = model_with_interactions()
    codes = torch.tensor([[1, 2, 0]])
    with_pairs = model.decode(codes)
    model.decoder.interactions = None
    difference = (with_pairs - model.decode(codes)) @ model.encoder.components.T
    torch.testing.assert_close(
        difference, torch.tensor([[3.0, 4, 5, 0, 0, 0]]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((-1, 3), "n_pairs=-1"), ((1.5, 3), "n_pairs=1.5"), ((2, 0), "dim=0"), ((2, 2.0), "dim=2.0")],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        PairInteractions([2, 3], *sizes)


def test_vectors_longer_than_latents_are_refused_and_nothing_changes():
    model = model_with_interactions()
    before = model.decoder.interactions
    with pytest.raises(ValueError, match=r"dim=7.*embed_dim=6"):
        model.set_interactions(torch.tensor([0]), torch.ones(1, 7))
    assert model.decoder.interactions is before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_vectors_have_the_dtype_of_the_module(dtype):
    model = model_with_interactions().to(dtype)
    model.set_interactions(torch.tensor([0, 5]), torch.tensor([[1 / 3], [2 / 3]], dtype=dtype))
    assert model.decoder.interactions.vectors[2].item() == torch.tensor(2 / 3, dtype=dtype).item()
    assert model.decode(torch.tensor([[1, 2, 0]])).dtype == dtype


def test_a_checkpoint_keeps_them(tmp_path):
    model = model_with_interactions()
    model.save_checkpoint(tmp_path / "model.pt")
    loaded = RqVae.load_from_checkpoint(tmp_path / "model.pt")
    codes = torch.randint(0, 2, (20, 3), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loaded.decode(codes), model.decode(codes))
