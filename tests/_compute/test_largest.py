"""The k largest entries are those that a sort finds, and their positions point at them."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae._compute._largest import largest


@given(
    n_rows=st.integers(0, 5),
    n_columns=st.integers(1, 40),
    share=st.floats(0, 1),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
    seed=st.integers(0, 99),
)
@example(n_rows=3, n_columns=1, share=1.0, scale=1.0, seed=0)
@example(n_rows=3, n_columns=33, share=0.5, scale=1.0, seed=0)
def test_values_are_the_first_of_a_sort(n_rows, n_columns, share, scale, seed):
    k = max(1, round(share * n_columns))
    draws = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(n_rows, n_columns, generator=draws)
    values, positions = largest(scores, k)
    assert torch.equal(values.sort(1).values, scores.sort(1).values[:, n_columns - k :])
    assert torch.equal(scores.gather(1, positions), values)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -1.5])
def test_equal_entries_are_found_once_each(value):
    _, positions = largest(torch.full((2, 9), value), 4)
    assert all(len(set(row)) == 4 for row in positions.tolist())


def test_half_and_double_precision():
    for dtype in (torch.float64, torch.bfloat16):
        values, positions = largest(torch.tensor([[1.0, 4.0, 3.0, 2.0]], dtype=dtype), 2)
        assert sorted(values[0].tolist()) == [3.0, 4.0]
        assert sorted(positions[0].tolist()) == [1, 2]


def test_large_rows():
    scores = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0))
    values, _ = largest(scores, 16)
    assert torch.equal(values.sort(1, descending=True).values, scores.topk(16, 1).values)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("k", [1, 3])
def test_traced_and_transformed_functions_look_at_their_own_entries(k):
    first, second = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0))

    def sums(scores):
        return largest(scores, k)[0].sum(1)

    expected = sums(second)
    # A tracer sees no numpy: it would keep the positions found while tracing.
    traced = torch.jit.trace(sums, (first,), check_trace=False)
    torch.testing.assert_close(traced(second), expected)
    stacks = torch.stack([first, second])
    torch.testing.assert_close(torch.func.vmap(sums)(stacks)[1], expected)
    gradient = torch.func.grad(lambda scores: sums(scores).sum())(second)
    assert torch.equal(gradient, (second >= second.topk(k, 1).values[:, -1:]).float())


@pytest.mark.parametrize("n_columns", [257, 512, 1024, 1500, 4103, 8192])
@pytest.mark.parametrize("k", [2, 5, 16, 32])
def test_blocks_with_the_largest_maxima_hold_the_largest_entries(n_columns, k):
    scores = torch.randn(40, n_columns, generator=torch.Generator().manual_seed(k))
    scores[:, -1] = scores[:, 3] = 9.0  # in the rest, and in a block with others
    scores[:, 4] = 8.0
    values, positions = largest(scores, k)
    expected = scores.topk(k, 1)
    assert torch.equal(values.sort(1, descending=True).values, expected.values)
    assert torch.equal(scores.gather(1, positions), values)
    assert all(len(set(row)) == k for row in positions.tolist())
