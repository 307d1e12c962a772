"""The quantizer joins after the warm-up, with codebooks made of the latents of that time."""

import numpy as np
from skorch.callbacks import Callback

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.nn import QuantizeForwardMode

X = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
PLAIN = {
    "codebook_size": 8, "n_layers": 2, "linear_path": False, "hidden_dims": (8,), "embed_dim": 4,
    "random_state": 0,
}  # fmt: skip


def test_codes_are_chosen_from_the_second_third_on():
    fitted = RQVAETransformer(**PLAIN, max_epochs=9).fit(X)
    assert ["perplexity" in epoch for epoch in fitted.history_] == [False] * 3 + [True] * 6
    assert all(epoch["codebook_loss"] == 0 for epoch in fitted.history_[:3])
    assert all(epoch["codebook_loss"] > 0 for epoch in fitted.history_[3:])
    # k-means on the latents uses most of its codewords at once.
    assert min(fitted.history_[3]["utilization"]) > 0.5


def test_a_training_that_ends_in_the_warm_up_keeps_what_it_has_learned():
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 6:
                raise KeyboardInterrupt

    params = {**PLAIN, "lr": 0.01, "batch_size": 30}
    untrained = RQVAETransformer(**params, max_epochs=0).fit(X)
    fitted = RQVAETransformer(**params, max_epochs=30, callbacks=[Stop()]).fit(X)
    assert fitted.n_iter_ == 6
    assert "train_distortion" in fitted.history_[-1]
    assert fitted.score(X) > 0.9 * untrained.score(X)  # scores are negative
    assert len(np.unique(fitted.transform(X), axis=0)) > 30


def test_the_temperature_falls_from_epoch_to_epoch():
    mode = QuantizeForwardMode.GUMBEL_SOFTMAX
    fitted = RQVAETransformer(**PLAIN, codebook_mode=mode, max_epochs=6, lr=1e-2).fit(X)
    start = RQVAETransformer(**PLAIN, codebook_mode=mode, max_epochs=0).fit(X)
    assert fitted.state_["quantizer.temperature"] < start.state_["quantizer.temperature"]
