"""The usage of an epoch is that of the codes which training chose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_rqvae import RQVAETransformer, metrics
from sklearn_rqvae.callbacks import EpochUsage
from sklearn_rqvae.nn import RqVae


def counted(batches, weights, share=1.0):
    """Run the callback over batches of codes; return what it recorded."""
    records = {}
    net = SimpleNamespace(
        module_=RqVae(3, embed_dim=2, hidden_dims=[4], codebook_size=[4, 2], n_layers=2),
        history=SimpleNamespace(record=records.__setitem__),
        parallel=None,
    )
    callback = EpochUsage()
    callback.on_epoch_begin(net)
    for codes, weight in zip(batches, weights, strict=True):
        batch = (
            {"x": None, "sample_weight": torch.tensor(weight)},
            (torch.tensor(share), len(codes)),
        )
        output = SimpleNamespace(codes=torch.tensor(codes))
        callback.on_batch_end(net, batch=batch, training=True, y_pred=output)
    callback.on_epoch_end(net)
    return records


def test_two_batches_by_hand():
    # Level 0 has codes 0, 0, 1, 1 of four; level 1 only code 1 of two.
    records = counted([[[0, 1], [0, 1]], [[1, 1], [1, 1]]], [[1.0, 1.0], [1.0, 1.0]])
    assert records["utilization"] == [0.5, 0.5]
    assert records["perplexity"] == pytest.approx([2.0, 1.0])


def test_weights_count():
    records = counted([[[0, 0], [1, 1]]], [[3.0, 1.0]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert records["perplexity"] == pytest.approx([np.exp(entropy)] * 2)


def test_a_part_that_stands_for_no_rows_is_not_counted():
    assert counted([[[0, 0], [1, 1]]], [[1.0, 1.0]], share=0.0) == {}


def test_no_codes_no_record():
    assert counted([torch.zeros(3, 0, dtype=torch.int64).tolist()], [[1.0] * 3]) == {}


def test_history_agrees_with_the_metrics():
    # With a learning rate next to nothing, the codes of training are those of the fitted model.
    X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    estimator = RQVAETransformer(
        codebook_size=8, n_layers=2, codebook_mode="STE", hidden_dims=(8,), embed_dim=6,
        max_epochs=1, lr=1e-12, n_beams=1, random_state=0,
    ).fit(X)  # fmt: skip
    codes = estimator.net_.get_semantic_ids(torch.tensor(X)).numpy()
    expected = metrics.code_perplexity(codes, codebook_size=8)
    np.testing.assert_allclose(estimator.history_[0]["perplexity"], expected, rtol=0.02)
