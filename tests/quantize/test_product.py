"""The rotation of a product quantizer, and what it gains."""

import pytest
import torch

from sklearn_rqvae.quantize._product import balanced_axes, block_slices, fit_product


def rows(n=500, n_dims=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n_dims, generator=generator) * torch.linspace(3, 0.3, n_dims)
    mixed = x @ torch.linalg.qr(torch.randn(n_dims, n_dims, generator=generator))[0]
    return mixed - mixed.mean(0)


def distortion(x, rotation, codebooks):
    """Sum the squared distances to the nearest codewords, block by block: the slow way."""
    blocks = block_slices(x.shape[1], len(codebooks))
    parts = zip(blocks, codebooks, strict=True)
    return sum(
        float(torch.cdist((x @ rotation)[:, block], book).amin(1).square().sum())
        for block, book in parts
    )


def test_blocks_have_as_much_to_say():
    # By hand: variances 16, 8, 4, 2 go to blocks {16, 2} and {8, 4}, whose products are alike.
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    x = corners * torch.tensor([16.0, 8.0, 4.0, 2.0]).sqrt()
    variance = (x @ balanced_axes(x, 2)).square().mean(0)
    assert variance.round().tolist() == [16, 2, 8, 4]


@pytest.mark.parametrize("n_blocks", [1, 2, 4, 9])
def test_any_number_of_blocks_gives_a_rotation(n_blocks):
    rotation = balanced_axes(rows(), n_blocks)
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(9), atol=1e-5, rtol=0)
    lengths = [block.stop - block.start for block in block_slices(9, n_blocks)]
    assert sum(lengths) == 9
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_rounds_leave_less(seed):
    x = rows(seed=seed)
    found = {
        n_iter: fit_product(
            x, [8] * 4, n_iter=n_iter, generator=torch.Generator().manual_seed(seed)
        )
        for n_iter in (0, 20)
    }
    rotation = found[20][0]
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(9), atol=1e-5, rtol=0)
    assert distortion(x, *found[20]) < 0.99 * distortion(x, *found[0])


def test_rows_without_variance_can_be_fitted():
    rotation, codebooks = fit_product(
        torch.zeros(5, 3), [4, 4], n_iter=2, generator=torch.Generator().manual_seed(0)
    )
    assert torch.isfinite(rotation).all()
    assert all(torch.isfinite(codebook).all() for codebook in codebooks)
