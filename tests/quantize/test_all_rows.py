import tracemalloc

import numpy as np
import pytest
import torch

from sklearn_rqvae.quantize._all_rows import _normal_equations, fit_to_all
from sklearn_rqvae.quantize._regression import regress
from sklearn_rqvae.quantize._soft_codes import SoftCodes

SIZES = [6, 5, 4]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def rows_with_codes(n_rows=400, n_dims=8, seed=0):
    """Rows near sums of codewords and of vectors of some pairs."""
    codebooks = [
        torch.randn(size, n_dims, generator=seeded(seed + i)) for i, size in enumerate(SIZES)
    ]
    columns = [
        torch.randint(size, (n_rows,), generator=seeded(seed + 10 + i))
        for i, size in enumerate(SIZES)
    ]
    codes = torch.stack(columns, 1)
    pairs = torch.randn(SIZES[0], SIZES[1], n_dims, generator=seeded(seed + 20))
    z = sum(book[code] for book, code in zip(codebooks, codes.T, strict=True))
    z += 0.3 * pairs[codes[:, 0], codes[:, 1]]
    z += 0.2 * torch.randn(n_rows, n_dims, generator=seeded(seed + 30))
    return z, codes, codebooks


@pytest.mark.parametrize("max_floats", [0, 5000])
def test_sums_over_blocks_fit_as_the_rows_at_once_do(max_floats):
    z, codes, codebooks = rows_with_codes()
    weight = torch.rand(400, generator=seeded(3)) + 0.1
    found = fit_to_all(z.split(64), codes, weight.double(), codebooks, max_floats=max_floats)
    expected = regress(z, codebooks, SoftCodes(codes[:, None], weight[:, None]), max_floats)
    assert torch.equal(found.keys, expected.keys)
    assert (len(found.keys) > 50) == (max_floats > 0)
    if max_floats:
        torch.testing.assert_close(found.vectors, expected.vectors, rtol=1e-3, atol=1e-4)
    for book, other in zip(found.codebooks, expected.codebooks, strict=True):
        torch.testing.assert_close(book, other, rtol=1e-3, atol=1e-4)


def test_of_more_pairs_than_there_is_room_for_the_most_useful_stay():
    z, codes, codebooks = rows_with_codes(n_rows=3000)
    found = fit_to_all(z.split(512), codes, torch.ones(3000), codebooks, max_floats=200)
    # Levels 0 and 1 have the pairs that rows were made with, numbered from 0 to 29.
    assert len(found.keys) == 200 // (found.vectors.shape[1] + 2)
    assert (found.keys < 30).sum() >= 24


def test_neither_order_nor_blocks_change_a_bit():
    z, codes, codebooks = rows_with_codes()
    weight = torch.rand(400, generator=seeded(3)) + 0.1
    order = torch.randperm(400, generator=seeded(4))
    found = fit_to_all(z.split(64), codes, weight.double(), codebooks, max_floats=300)
    other = fit_to_all(z[order].split(37), codes[order], weight[order], codebooks, max_floats=300)
    assert torch.equal(found.keys, other.keys)
    assert torch.equal(found.vectors, other.vectors)
    assert all(map(torch.equal, found.codebooks, other.codebooks))


@pytest.mark.parametrize(("block", "n_counted"), [(37, 2**22), (2**16, 0), (50, 0)])
def test_neither_blocks_of_codes_nor_how_pairs_are_counted_change_a_bit(
    block, n_counted, monkeypatch
):
    z, codes, codebooks = rows_with_codes()
    weight = torch.rand(400, generator=seeded(3)).double() + 0.1
    found = fit_to_all([z], codes, weight, codebooks, max_floats=300)
    monkeypatch.setattr("sklearn_rqvae.quantize._all_rows._BLOCK_ROWS", block)
    monkeypatch.setattr("sklearn_rqvae.quantize._all_rows._MET_ROWS", block)
    monkeypatch.setattr("sklearn_rqvae.quantize._all_rows._BLOCK_DIMS", 3)
    monkeypatch.setattr("sklearn_rqvae.quantize._all_rows._COUNTED_IN_PLACE", n_counted)
    other = fit_to_all([z], codes, weight, codebooks, max_floats=300)
    assert torch.equal(found.keys, other.keys)
    assert torch.equal(found.vectors, other.vectors)
    assert all(map(torch.equal, found.codebooks, other.codebooks))


def test_the_normal_equations_are_in_memory_once():
    # Beside the matrix there is what the rows have, but no copy to add blocks or ridges in.
    sizes = [100, 100, 100]
    codes = torch.stack([torch.randint(100, (20_000,), generator=seeded(i)) for i in range(3)], 1)
    codebooks = [torch.zeros(size, 1) for size in sizes]
    keys = torch.arange(3 * 100 * 100)
    ridge = np.full(300 + len(keys), 2.0)
    weight = torch.ones(20_000).double()
    tracemalloc.start()
    normal = _normal_equations(codes, weight, codebooks, keys, ridge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.6 * (normal.data.nbytes + normal.indices.nbytes)  # with copies 3.4
    assert normal.diagonal().min() >= 2.0
    assert abs(normal - normal.T).max() == 0
