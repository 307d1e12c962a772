"""Codebooks that depend on the codes so far are plain ones until networks have learned."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from sklearn_rqvae.quantize._beam import beam_search

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(
            "bench_conditional", FOLDER / "bench_conditional.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_untrained_networks_change_nothing_and_training_lowers_the_error(bench):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=draws)
    books = [scale * torch.randn(8, 6, generator=draws) for scale in (1.0, 0.7, 0.4)]
    torch.manual_seed(0)
    model = bench.ConditionalCodebooks(books, width=16, dropout=0.0)
    codes, errors = model.encode(x, n_beams=4, n_tried=8)  # tries all codewords
    expected_codes, expected = beam_search(x, books, 4)
    assert torch.equal(codes, expected_codes[:, 0])
    torch.testing.assert_close(errors, expected[:, 0], rtol=1e-4, atol=1e-4)
    bench.train(model, x, codes, 20, 1e-2, 0.0)
    with torch.no_grad():
        *_, last = model.prefixes(codes)
    assert (last - x).square().sum(1).mean() < 0.9 * errors.mean()
