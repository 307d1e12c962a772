"""The nearest codeword is the nearest, in chunks and among ties; distances are right."""

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from sklearn_rqvae.quantize._distance import nearest_codewords, squared_distances


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_two_codewords_by_hand():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    codebook = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert squared_distances(x, codebook).tolist() == [[0.0, 9.0], [25.0, 16.0]]
    assert nearest_codewords(x, codebook).tolist() == [0, 1]


@given(
    n=st.integers(1, 60),
    d=st.integers(1, 9),
    k=st.integers(1, 20),
    chunk_size=st.integers(1, 70),
    seed=st.integers(0, 99),
)
@example(n=1, d=1, k=1, chunk_size=1, seed=0)
def test_nearest_codeword_has_the_smallest_distance(n, d, k, chunk_size, seed):
    draws = generator(seed)
    x, codebook = torch.randn(n, d, generator=draws), torch.randn(k, d, generator=draws)
    codes = nearest_codewords(x, codebook, chunk_size)
    exact = (x[:, None] - codebook).double().square().sum(2)
    chosen = exact.gather(1, codes[:, None])[:, 0]
    torch.testing.assert_close(chosen, exact.min(1).values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(squared_distances(x, codebook).double(), exact, rtol=1e-4, atol=1e-5)


def test_ties_go_to_the_lowest_index():
    codebook = torch.tensor([[2.0], [1.0], [1.0], [0.0], [0.0]])
    assert nearest_codewords(torch.tensor([[1.0], [0.5], [0.0]]), codebook).tolist() == [1, 1, 3]


def test_codes_are_those_of_kmeans_predict():
    draws = generator(0)
    x, codebook = torch.randn(500, 8, generator=draws), torch.randn(16, 8, generator=draws)
    oracle = KMeans(16, init=codebook.numpy(), n_init=1, max_iter=1).fit(codebook.numpy())
    assert nearest_codewords(x, codebook).tolist() == oracle.predict(x.numpy()).tolist()


def test_a_chunks_codes_do_not_depend_on_the_other_chunks():
    draws = generator(1)
    x, codebook = torch.randn(40, 7, generator=draws), torch.randn(9, 7, generator=draws)
    alone = torch.cat([nearest_codewords(part, codebook, 8) for part in x.split(8)])
    assert torch.equal(nearest_codewords(x, codebook, 8), alone)


def test_distances_are_never_negative_and_have_gradients():
    x = torch.full((3, 5), 1e3, requires_grad=True)
    distances = squared_distances(x, torch.full((2, 5), 1e3))
    assert (distances >= 0).all()
    point, codeword = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[0.0, 0.5]])
    squared_distances(point, codeword).sum().backward()
    assert point.grad.tolist() == [[2.0, 3.0]]


def test_no_rows_give_no_codes():
    assert nearest_codewords(torch.zeros(0, 3), torch.ones(2, 3)).shape == (0,)


def test_float64_and_strided_rows_are_accepted():
    x, codebook = torch.randn(10, 6, generator=generator(2)), torch.eye(3)
    expected = nearest_codewords(x[:, ::2].contiguous(), codebook)
    assert torch.equal(nearest_codewords(x[:, ::2], codebook), expected)
    assert torch.equal(nearest_codewords(x[:, ::2].double(), codebook.double()), expected)
