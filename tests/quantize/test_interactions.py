"""Test what pairs of codes are worth to new rows, and that rows get codes of their own."""

import torch

from sklearn_rqvae.quantize import _soft_codes
from sklearn_rqvae.quantize._beam import beam_search
from sklearn_rqvae.quantize._interactions import fit_interactions
from sklearn_rqvae.quantize._pairs import PairKeys
from sklearn_rqvae.quantize._regression import reconstruct


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def interacting_rows(n, seed=0, sizes=(4, 4), dim=6):
    """Rows whose second codeword depends on the first code."""
    g = generator(seed)
    first = torch.randn(sizes[0], dim, generator=generator(100)) * 5
    second = torch.randn(sizes[0], sizes[1], dim, generator=generator(101))
    codes = torch.stack([torch.randint(0, size, (n,), generator=g) for size in sizes], 1)
    rows = first[codes[:, 0]] + second[codes[:, 0], codes[:, 1]]
    return rows + 0.05 * torch.randn(n, dim, generator=g)


def test_interactions_help_rows_that_were_not_fitted():
    train, test = interacting_rows(400), interacting_rows(400, seed=1)
    codebooks = [
        torch.randn(4, 6, generator=generator(100)) * 5,
        torch.randn(4, 6, generator=generator(5)),
    ]

    def error(fitted):
        candidates, _ = beam_search(test, fitted.codebooks, 16)
        decoded = reconstruct(candidates, fitted, PairKeys([4, 4]))
        return float((test[:, None] - decoded).square().sum(-1).amin(1).mean())

    alone = fit_interactions(train, codebooks, max_floats=0)
    together = fit_interactions(train, codebooks, max_floats=10_000)
    assert len(alone.keys) == 0
    assert error(together) < 0.6 * error(alone)


def test_a_fit_gives_more_rows_codes_of_their_own_than_it_would_without_trying(monkeypatch):
    z = torch.randn(300, 6, generator=generator())
    codebooks = [torch.randn(16, 6, generator=generator(level)) for level in range(2)]

    def n_distinct():
        fitted = fit_interactions(z, codebooks, max_floats=3000)
        candidates, _ = beam_search(z, fitted.codebooks, 16)
        decoded = reconstruct(candidates, fitted, PairKeys([16, 16]))
        best = (z[:, None] - decoded).square().sum(-1).argmin(1)
        return len(candidates[torch.arange(300), best].unique(dim=0))

    with_distinct_choices = n_distinct()
    monkeypatch.setattr(_soft_codes, "MAX_MOVE_COST", 0.0)
    assert with_distinct_choices > 1.05 * n_distinct()
