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


def test_codes_are_searched_at_the_start_and_anew_every_few_epochs():
    net, x = net_of(), torch.randn(1500, 8, generator=torch.Generator().manual_seed(1))
    data = SimpleNamespace(X={"x": x})
    callback, searched = SearchCodes(n_beams=4, every=3), []
    for epoch in range(1, 8):
        net.history.append({})
        before = data.X.get("codes")
        callback.on_epoch_begin(net, dataset_train=data)
        if data.X["codes"] is not before:
            searched.append(epoch)
            assert torch.equal(data.X["codes"], Search(net.module_).encode(x, 4))
        with torch.no_grad():
            for level in net.module_.quantizer.levels:
                level.weight.mul_(0.9)
    assert searched == [1, 4, 7]
