"""The search finds what the slow and obvious one finds, whatever rows come together."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sklearn_rqvae import RQVAETransformer
from sklearn_rqvae.nn import _pair_errors
from sklearn_rqvae.nn._search import Search
from sklearn_rqvae.quantize._beam import beam_search


def make_rows(n=700, d=24, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(30, d))
    return (centers[rng.integers(0, 30, n)] + 0.4 * rng.normal(size=(n, d))).astype(np.float32)


X = make_rows()
x = torch.from_numpy(X)
CLOSED = {"codebook_size": 16, "n_layers": 3, "random_state": 0}
FEW_DIMS = {**CLOSED, "embed_dim": 6}  # the encoder's product comes first: it is the less work
STARTED = {**CLOSED, "codebook_mode": "STE", "max_epochs": 0, "hidden_dims": (12,), "embed_dim": 8}
TRAINED = {**STARTED, "max_epochs": 1, "net_params": {"callbacks__best": None}}
PLAIN = {**TRAINED, "linear_path": False}
ALL = pytest.mark.parametrize(
    "params", [CLOSED, FEW_DIMS, TRAINED, PLAIN], ids=["closed", "few dims", "trained", "plain"]
)


def module_of(params):
    return RQVAETransformer(**params).fit(X).net_


def decoded_errors(module, codes):
    """Squared errors of all candidates' reconstructions, by decoding each."""
    with torch.no_grad():
        decoded = module.decode(codes.flatten(0, 1)).view(*codes.shape[:2], -1)
    return (x[:, None] - decoded).square().sum(-1)


@ALL
@pytest.mark.parametrize("n_beams", [2, 5, 16])
def test_the_best_of_the_beams_is_the_one_that_decodes_best(params, n_beams):
    module = module_of(params)
    codes = Search(module).encode(x, n_beams)
    with torch.no_grad():
        found, _ = beam_search(module.encode(x), module.codebooks, n_beams)
    errors = decoded_errors(module, found)
    ours = decoded_errors(module, codes[:, None])[:, 0]
    torch.testing.assert_close(ours, errors.min(1).values, rtol=1e-4, atol=1e-5)


@ALL
def test_one_beam_is_greedy(params):
    module = module_of(params)
    agree = (Search(module).encode(x, 1) == module.get_semantic_ids(x)).all(1)
    assert agree.float().mean() > 0.995  # up to rounding


@ALL
@pytest.mark.parametrize("n_candidates", [1, 4])
def test_candidates_have_the_errors_of_their_reconstructions(params, n_candidates):
    module = module_of(params)
    codes, errors = Search(module).candidates(x, n_candidates)
    torch.testing.assert_close(errors, decoded_errors(module, codes), rtol=1e-3, atol=1e-4)
    assert (errors.diff(dim=1) >= 0).all()


@ALL
@pytest.mark.parametrize("n_beams", [1, 16])
def test_codes_depend_on_the_row_alone(params, n_beams):
    search = Search(module_of(params))
    codes = search.encode(x, n_beams)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    assert torch.equal(search.encode(x[order], n_beams), codes[order])
    for size in (1, 7, 128, 129):
        assert torch.equal(search.encode(x[100 : 100 + size], n_beams), codes[100 : 100 + size])


def test_pairs_found_by_search_are_those_of_the_table(monkeypatch):
    module = module_of(CLOSED)
    codes, errors = Search(module).candidates(x, 8)
    monkeypatch.setattr(_pair_errors, "MAX_IN_TABLE", 0)
    other_codes, other_errors = Search(module).candidates(x, 8)
    assert torch.equal(codes, other_codes)
    assert torch.equal(errors, other_errors)


def test_one_product_and_two_find_the_same(monkeypatch):
    module = module_of(CLOSED)
    search = Search(module)
    assert search.directions is not None
    codes, errors = search.candidates(x, 8)
    search.directions = None
    other_codes, other_errors = search.candidates(x, 8)
    agree = (codes == other_codes).all(2).all(1)
    assert agree.float().mean() > 0.99
    torch.testing.assert_close(errors, other_errors, rtol=1e-4, atol=1e-4)


def test_networks_that_add_nothing_cost_nothing():
    started, trained = (Search(module_of(params)) for params in (STARTED, TRAINED))
    closed = Search(module_of({**CLOSED, "embed_dim": 8}))
    assert [search.rotates for search in (started, trained)] == [True, False]
    assert torch.equal(started.encode(x, 16), closed.encode(x, 16))


def test_without_interactions_the_search_ranks_by_distance():
    module = module_of({**CLOSED, "n_layers": 1})
    codes = Search(module).encode(x, 16)
    assert torch.equal(codes, Search(module).encode(x, 1))


CODES = """
import hashlib, sys, numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from sklearn_rqvae import RQVAETransformer
rows = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
for name in ("closed", "trained"):
    estimator = RQVAETransformer.load(sys.argv[2] + "/" + name)
    codes = estimator.transform(rows)
    for array in (codes, estimator.set_params(n_beams=1).transform(rows)):
        print(hashlib.sha1(array.tobytes()).hexdigest())
    print(hashlib.sha1(estimator.inverse_transform(codes).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_any_number_of_threads_gives_the_same_codes_and_reconstructions(tmp_path):
    rows = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    trained = {"codebook_mode": "STE", "max_epochs": 2, "hidden_dims": (64,)}
    for name, params in (("closed", {}), ("trained", trained)):
        estimator = RQVAETransformer(codebook_size=64, random_state=1, **params)
        estimator.fit(rows).save(tmp_path / name)
    printed = {
        subprocess.run(
            [sys.executable, "-c", CODES, n_threads, tmp_path],
            check=True, capture_output=True, text=True,
        ).stdout
        for n_threads in ("1", "2", "3")
    }  # fmt: skip
    assert len(printed) == 1
