"""Products by oneDNN are torch's own up to rounding, with their gradients, where it takes them."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from sklearn_rqvae._compute import _linear
from sklearn_rqvae._compute._linear import linear

needs_onednn = pytest.mark.skipif(
    not _linear._HAS_ONEDNN, reason="torch has no oneDNN for this processor"
)
# From below to above the size that is worth a call of oneDNN, and no rows at all.
SHAPES = pytest.mark.parametrize(
    ("n_rows", "n_in", "n_out"),
    [(0, 3, 2), (1, 1500, 1500), (5, 7, 3), (64, 300, 120), (300, 90, 90)],
)


def draw(n_rows, n_in, n_out, dtype=torch.float32):
    draws = torch.Generator().manual_seed(0)
    sizes = [(n_rows, n_in), (n_out, n_in), (n_out,)]
    return [torch.randn(*size, generator=draws, dtype=dtype) for size in sizes]


@pytest.fixture
def calls(monkeypatch):
    """Return the shapes that oneDNN was called with."""
    shapes, original = [], _linear._onednn_linear

    def spy(x, weight, bias):
        shapes.append((*x.shape, len(weight)))
        return original(x, weight, bias)

    monkeypatch.setattr(_linear, "_onednn_linear", spy)
    return shapes


@SHAPES
def test_results_are_torchs(n_rows, n_in, n_out):
    x, weight, bias = draw(n_rows, n_in, n_out)
    close = {"rtol": 1e-4, "atol": 1e-4}
    expected = F.linear(x, weight, bias)
    torch.testing.assert_close(linear(x, weight, bias), expected, **close)
    torch.testing.assert_close(linear(x, weight.T.contiguous().T, bias), expected, **close)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight), **close)


@SHAPES
@pytest.mark.parametrize("has_bias", [True, False])
def test_gradients_are_torchs(n_rows, n_in, n_out, has_bias):
    tensors = draw(n_rows, n_in, n_out)[: 2 + has_bias]
    gradients = []
    for function in (linear, F.linear):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        function(*leaves).sin().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@needs_onednn
def test_only_gradients_that_are_asked_for_are_computed(calls):
    x, weight, _ = draw(300, 90, 90)
    linear(x, weight.requires_grad_()).sum().backward()
    assert len(calls) == 2  # the product, and the weight's gradient
    assert x.grad is None


def test_second_derivatives_are_torchs():
    x, weight, _ = draw(300, 90, 90)
    x.requires_grad_()
    second = []
    for function in (linear, F.linear):
        (first,) = torch.autograd.grad(
            function(x, weight).pow(3).sum() / 1000, x, create_graph=True
        )
        second.append(torch.autograd.grad(first.square().sum() / 1000, x)[0])
    torch.testing.assert_close(*second, rtol=1e-3, atol=1e-3)


@needs_onednn
@pytest.mark.parametrize("argument", [0, 1, 2])
def test_forward_derivatives_are_torchs(argument):
    # An operator without a rule for them would pass them over in silence.
    tensors = draw(300, 90, 90)
    for requires_grad in (False, True):
        tensors[argument].requires_grad_(requires_grad)
        found = []
        for function in (linear, F.linear):
            with torch.set_grad_enabled(requires_grad), forward_ad.dual_level():
                arguments = list(tensors)
                direction = torch.ones_like(tensors[argument])
                arguments[argument] = forward_ad.make_dual(tensors[argument], direction)
                found.append(forward_ad.unpack_dual(function(*arguments)).tangent)
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


@needs_onednn
def test_transforms_of_functions_are_torchs():
    x, weight, bias = draw(300, 90, 90)
    stacks = torch.stack([x, 2 * x])

    def of_each(function):
        def loss(weight, x):
            return function(x, weight, bias).square().mean()

        yield torch.func.vmap(lambda x: function(x, weight, bias))(stacks)
        yield torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, stacks)
        yield torch.func.grad(lambda w: torch.func.vmap(loss, (None, 0))(w, stacks).sum())(weight)
        yield torch.func.jacfwd(lambda b: function(x, weight, b).square().sum(0))(bias)
        yield torch.func.hessian(lambda b: function(x, weight, b).pow(3).mean())(bias)

    for ours, theirs in zip(of_each(linear), of_each(F.linear), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@needs_onednn
def test_stacks_are_mapped_without_gradients_too():
    x, weight, bias = draw(300, 90, 90)
    stacks = torch.stack([x, 2 * x])
    with torch.no_grad():
        ours, theirs = (
            torch.func.vmap(lambda x, function=function: function(x, weight, bias))(stacks)
            for function in (linear, F.linear)
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@needs_onednn
def test_strides_of_a_bias_are_minded():
    x, weight, _ = draw(300, 90, 90)
    every_other, repeated = torch.arange(180.0)[::2], torch.ones(1).expand(90)
    for bias in (every_other, repeated, torch.ones(1)):
        torch.testing.assert_close(
            linear(x, weight, bias), F.linear(x, weight, bias), rtol=1e-4, atol=1e-4
        )


def test_shapes_that_do_not_fit_get_torchs_error():
    x, weight, _ = draw(300, 90, 90)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        linear(x, weight[:, 1:])
    with pytest.raises(RuntimeError, match="must match the existing size"):
        linear(x, weight, torch.ones(5))


@needs_onednn
def test_onednn_gets_large_products_of_single_precision_only(calls):
    large, small = draw(300, 90, 90), draw(5, 7, 3)
    linear(*small)
    linear(*draw(300, 90, 90, torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(*large).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        linear(*large)
    assert not calls
    linear(*large)
    assert calls == [(300, 90, 90)]


@needs_onednn
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_row_is_rounded_alike_anywhere_and_by_any_number_of_threads(n_threads):
    x, weight, bias = draw(512, 768, 300)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = torch.cat([linear(block, weight, bias) for block in x.split(64)])
    torch.set_num_threads(n_threads)
    try:
        order = torch.randperm(512, generator=torch.Generator().manual_seed(1))
        found = torch.cat([linear(block, weight, bias) for block in x[order].split(64)])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, expected[order])


@needs_onednn
def test_a_part_is_multiplied_by_the_library_of_the_whole(calls):
    x, weight, bias = draw(300, 90, 90)
    with torch.no_grad():
        linear(x[:2], weight, bias)
        assert not calls
        part = linear(x[:2], weight, bias, of_rows=300)
        assert len(calls) == 1
        # Up to rounding: who wants equal bits tries first whether so few rows have them.
        torch.testing.assert_close(part, linear(x, weight, bias)[:2])
