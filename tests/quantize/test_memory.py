"""No step forms an array of all rows, all codewords and all dimensions."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sklearn_rqvae.nn import QuantizeForwardMode, ResidualQuantizer
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._distance import nearest_codewords, squared_distances
from sklearn_rqvae.quantize._kmeans import progressive_kmeans

N_ROWS, N_CODEWORDS, N_DIMS = 20_000, 256, 256


class LargestTensor(TorchDispatchMode):
    """Record the bytes of the largest tensor that any operation returns."""

    n_bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [
            leaf.untyped_storage().nbytes()
            for leaf in tree_leaves(result)
            if isinstance(leaf, torch.Tensor)
        ]
        self.n_bytes = max([self.n_bytes, *sizes])
        return result


def generator():
    return torch.Generator().manual_seed(0)


def train(mode):
    def step(x, codebooks):
        quantizer = ResidualQuantizer(N_CODEWORDS, N_DIMS, 2, mode, generator=generator())
        quantizer(x.clone().requires_grad_()).quantized.square().sum().backward()

    return step


STEPS = {
    "nearest codewords": lambda x, codebooks: nearest_codewords(x, codebooks[0]),
    "distances": lambda x, codebooks: squared_distances(x, codebooks[0]),
    "beams": lambda x, codebooks: beam_search(x, codebooks, 4),
    "k-means": lambda x, codebooks: progressive_kmeans(
        x, N_CODEWORDS, generator=generator(), dims=[N_DIMS], max_iter=2
    ),
    **{mode.name: train(mode) for mode in QuantizeForwardMode},
}


@pytest.mark.parametrize("step", STEPS)
def test_memory_grows_with_rows_times_codewords_at_most(step):
    x = torch.randn(N_ROWS, N_DIMS, generator=generator())
    codebooks = x[: 2 * N_CODEWORDS].split(N_CODEWORDS)
    with LargestTensor() as largest:
        STEPS[step](x, codebooks)
    assert largest.n_bytes >= 8 * N_ROWS  # the codes
    assert largest.n_bytes <= 2 * 4 * N_ROWS * (N_CODEWORDS + N_DIMS)
