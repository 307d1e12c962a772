"""Dead codes: which, what replaces them, what the optimizer forgets."""

import pytest
import torch

from sklearn_rqvae.quantize._dead_codes import dead_codes, draw_rows_by_error, reset_moments


def test_threshold_is_relative_to_the_mean_usage():
    # An absolute threshold kills live codes in small batches, and spares dead ones in large ones.
    usage = torch.tensor([30.0, 0.9, 1.3, 16.0])
    for factor in (5.0, 10.0, 1000.0):
        assert dead_codes(factor * usage).tolist() == [1]


def test_nothing_is_dead_before_there_was_enough_use():
    usage = torch.tensor([30.0, 0.0, 0.0, 6.0])
    assert dead_codes(usage, window=9.0).tolist() == [1, 2]
    assert dead_codes(usage, window=9.1).tolist() == []
    assert dead_codes(torch.zeros(4), window=0.0).tolist() == []


def test_rows_are_drawn_in_proportion_to_their_error():
    error = torch.tensor([1.0, 0.0, 3.0])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw_rows_by_error(error, 1, generator) for _ in range(4000)])
    share = drawn.bincount(minlength=3) / 4000
    torch.testing.assert_close(share, torch.tensor([0.25, 0.0, 0.75]), rtol=0, atol=0.03)


@pytest.mark.parametrize(("error", "n_drawn"), [([0.0, 0.0], 0), ([1.0, 0.0], 1), ([1.0, 2.0], 2)])
def test_no_more_rows_are_drawn_than_have_an_error(error, n_drawn):
    rows = draw_rows_by_error(torch.tensor(error), 5)
    assert len(rows) == len(rows.unique()) == n_drawn


def test_rows_come_from_the_given_generator_only():
    error = torch.rand(100, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    first, again = (
        draw_rows_by_error(error, 9, torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "optimizer_class",
    [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.SGD, torch.optim.RMSprop],
)
def test_moments_of_the_given_rows_are_zero_afterwards(optimizer_class):
    weight = torch.nn.Parameter(torch.ones(4, 3))
    extra = {"momentum": 0.9} if optimizer_class is torch.optim.SGD else {}
    optimizer = optimizer_class([weight], lr=0.1, **extra)
    weight.square().sum().backward()
    optimizer.step()
    before = {
        name: value.clone()
        for name, value in optimizer.state[weight].items()
        if isinstance(value, torch.Tensor)
    }
    reset_moments(optimizer, weight, torch.tensor([1, 2]))
    moments = [name for name, value in before.items() if value.shape == weight.shape]
    assert moments
    for name, value in optimizer.state[weight].items():
        if name in moments:
            assert (value[[1, 2]] == 0).all()
            assert torch.equal(value[[0, 3]], before[name][[0, 3]])
            assert (value[[0, 3]] != 0).all()
        elif name in before:
            assert torch.equal(value, before[name])


def test_an_optimizer_that_has_not_stepped_has_nothing_to_reset():
    weight = torch.nn.Parameter(torch.ones(4, 3))
    optimizer = torch.optim.AdamW([weight])
    reset_moments(optimizer, weight, torch.tensor([1]))
    assert len(optimizer.state) == 0


def test_a_replaced_codeword_stays_where_it_was_put():
    # Adam's moments of the dead codeword would push the new one away though it has no gradient.
    def moved(reset):
        weight = torch.nn.Parameter(torch.zeros(2, 3))
        optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0)
        for _ in range(5):
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()
        weight.data[1] = 7.0
        if reset:
            reset_moments(optimizer, weight, torch.tensor([1]))
        weight.grad.zero_()
        optimizer.step()
        return (weight[1] - 7.0).abs().max().item()

    assert moved(reset=True) == 0.0
    assert moved(reset=False) > 0.01
