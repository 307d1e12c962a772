from types import SimpleNamespace

import torch

from sklearn_rqvae.callbacks import SearchCodes
from sklearn_rqvae.nn import RqVae
from sklearn_rqvae.nn._search import Search


def net_of(seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = RqVae(
        8, embed_dim=8, hidden_dims=[4], codebook_size=6, linear_path=True, generator=generator
    )
    return SimpleNamespace(module_=model, history=[])


def rows(n_rows=1500):
    return torch.randn(n_rows, 8, generator=torch.Generator().manual_seed(1))


def codes_of_epochs(net, x, n_epochs, weight=None, **params):
    """Return the codes of each epoch; the codewords shrink after each."""
    weight = torch.ones(len(x)) if weight is None else weight
    data = SimpleNamespace(X={"x": x, "sample_weight": weight})
    callback, codes = SearchCodes(n_beams=4, **params), []
    for _ in range(n_epochs):
        net.history.append({})
        callback.on_epoch_begin(net, dataset_train=data)
        codes.append(data.X["codes"])
        with torch.no_grad():
            for level in net.module_.quantizer.levels:
                level.weight.mul_(0.9)
    return codes


def test_codes_are_searched_at_the_start_and_anew_every_few_epochs():
    net, x, best = net_of(), rows(), []
    again = net_of().module_
    for _ in range(7):
        best.append(Search(again).encode(x, 4))
        with torch.no_grad():
            for level in again.quantizer.levels:
                level.weight.mul_(0.9)
    codes = codes_of_epochs(net, x, 7, every=3, n_candidates=1)
    for epoch, searched in enumerate([0, 0, 0, 3, 3, 3, 6]):
        assert torch.equal(codes[epoch], best[searched])


def test_codes_are_drawn_among_the_best_the_likelier_the_better():
    net, x = net_of(), rows()
    candidates, errors = Search(net.module_).candidates(x, 4)
    width = 2 * 3.0 * errors[:, 0].mean() / 8
    expected = (-(errors[:, :3] - errors[:, :1]) / width).softmax(1).mean(0)
    codes = codes_of_epochs(net, x, 10, n_candidates=3, temperature=3.0)
    is_drawn = torch.stack([(candidates == drawn[:, None]).all(2) for drawn in codes]).float()
    assert not is_drawn[:, :, 3].any()
    assert torch.allclose(is_drawn.mean((0, 1))[:3], expected, atol=0.02)
    assert expected[0] < 0.9  # others are drawn, too


def test_a_row_of_weight_two_counts_as_two_rows():
    x = rows(40)
    twice = torch.cat([x[:20], x])
    weight = torch.ones(40).index_fill(0, torch.arange(20), 2.0)
    shares = []
    for given, its_weight in ((x, weight), (twice, torch.ones(60))):
        callback = SearchCodes(n_beams=4)
        callback._search(net_of().module_, given, its_weight)
        shares.append(callback.shares_[-40:])
    torch.testing.assert_close(*shares)


def test_draws_come_from_the_modules_generator():
    before = torch.get_rng_state()
    first, second = (codes_of_epochs(net_of(), rows(), 2) for _ in range(2))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(*first)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_without_error_have_codes():
    net, x = net_of(), torch.zeros(50, 8)
    with torch.no_grad():
        for level in net.module_.quantizer.levels:
            level.weight.zero_()
    assert codes_of_epochs(net, x, 1)[0].shape == (50, 3)


def test_a_single_code_is_always_drawn():
    generator = torch.Generator().manual_seed(0)
    model = RqVae(8, 8, [4], 1, linear_path=True, generator=generator)
    codes = codes_of_epochs(SimpleNamespace(module_=model, history=[]), rows(20), 2)
    assert all(not drawn.any() for drawn in codes)
