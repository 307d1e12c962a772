"""What pairs change in errors is what decoding says, however it is computed."""

import pytest
import torch

from sklearn_rqvae.nn import _pair_errors
from sklearn_rqvae.nn._interactions import PairInteractions
from sklearn_rqvae.nn._pair_errors import PairErrors

DIM, WIDTH = 5, 8


def make(sizes, seed=0, n_candidates=6):
    """Codewords, a rotation, interactions for a third of all pairs, rows and candidates."""
    draws = torch.Generator().manual_seed(seed)
    codewords = torch.randn(sum(sizes), WIDTH, generator=draws)
    axes = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=draws))[0]
    n_all = PairInteractions(sizes, 0, 1).pair_keys.starts[-1]
    keys = torch.randperm(n_all, generator=draws)[: n_all // 3].sort().values
    interactions = PairInteractions(sizes, len(keys), DIM)
    interactions.keys.copy_(keys)
    interactions.vectors[1:] = torch.randn(len(keys), DIM, generator=draws)
    rows = torch.randn(150, WIDTH, generator=draws)
    codes = torch.stack([torch.randint(k, (150, n_candidates), generator=draws) for k in sizes], 2)
    return codewords, axes, interactions, rows, codes


def expected(codewords, interactions, latent, codes):
    """Squared errors with the pairs' vectors less those without, one candidate after another."""
    sizes = interactions.pair_keys.codebook_size
    quantized = sum(
        book[c] for book, c in zip(codewords.split(sizes), codes.unbind(2), strict=True)
    )
    with_pairs = quantized.clone()
    vectors = interactions(codes.flatten(0, 1)).view(*codes.shape[:2], -1)
    with_pairs[..., :DIM] += vectors
    latent = latent[:, None]
    return (latent - with_pairs).square().sum(2) - (latent - quantized).square().sum(2)


@pytest.mark.parametrize("sizes", [[4, 6], [4, 6, 3], [3, 4, 2, 5]], ids=str)
@pytest.mark.parametrize("most", [0, 1 << 24])
def test_changes_are_those_of_the_squared_errors(sizes, most, monkeypatch):
    monkeypatch.setattr(_pair_errors, "MAX_IN_TABLE", most)
    codewords, axes, interactions, rows, codes = make(sizes)
    latent = rows @ axes.T
    has_table = PairErrors.has_table(interactions)
    assert has_table == (most > 0 and len(sizes) <= 3)
    pairs = PairErrors(interactions, codewords, axes if has_table else None)
    errors = torch.ones(codes.shape[:2])
    pairs.add_to_errors(errors, codes, rows if has_table else latent[:, :DIM])
    torch.testing.assert_close(
        errors - 1, expected(codewords, interactions, latent, codes), rtol=1e-4, atol=1e-4
    )


def test_candidates_without_stored_pairs_keep_their_errors_exactly():
    codewords, axes, _, rows, codes = make([4, 6, 3])
    nothing = PairInteractions([4, 6, 3], 0, DIM)
    errors = torch.rand(codes.shape[:2], generator=torch.Generator().manual_seed(1))
    before = errors.clone()
    PairErrors(nothing, codewords, axes).add_to_errors(errors, codes, rows)
    assert torch.equal(errors, before)


@pytest.mark.parametrize("n_candidates", [1, 6, 20])
@pytest.mark.parametrize("sizes", [[4, 6, 3], [40, 60], [40, 60, 30]], ids=str)
def test_pairs_by_arrays_and_by_tensors_change_errors_alike_bit_by_bit(sizes, n_candidates):
    # Tensors take the way of other devices. Of many candidates those with equal pairs share sums.
    codewords, axes, interactions, rows, codes = make(sizes, 2, n_candidates)
    pairs = PairErrors(interactions, codewords, axes)
    by_arrays, by_tensors = torch.ones(2, *codes.shape[:2])
    pairs.add_to_errors(by_arrays, codes, rows)
    pairs.places = None  # found by a search, not in the table
    pairs.add_to_errors(by_tensors, codes, rows)
    assert torch.equal(by_arrays, by_tensors)
