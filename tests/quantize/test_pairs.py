"""Pairs of codes have numbers of their own."""

import itertools

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from sklearn_rqvae.quantize._pairs import PairKeys, find


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@example(sizes=[4])
@example(sizes=[1, 4, 1, 3])
def test_every_pair_of_codes_has_its_own_key(sizes):
    codes = torch.tensor(list(itertools.product(*[range(size) for size in sizes])))
    pair_keys = PairKeys(sizes)
    keys = pair_keys(codes)
    assert keys.shape == (len(codes), len(sizes) * (len(sizes) - 1) // 2)
    for column, (first, second) in enumerate(pair_keys.level_pairs):
        met = {}
        for key, row in zip(keys[:, column].tolist(), codes.tolist(), strict=True):
            assert met.setdefault(key, (row[first], row[second])) == (row[first], row[second])
        assert len(met) == sizes[first] * sizes[second]
    in_columns = [set(column.tolist()) for column in keys.T]
    for one, other in itertools.combinations(in_columns, 2):
        assert not one & other


@given(n_levels=st.integers(1, 4))
@example(n_levels=1)
@example(n_levels=3)
def test_a_prefix_of_the_codes_has_the_first_columns(n_levels):
    pair_keys = PairKeys([5, 4, 3, 2])
    codes = torch.tensor([[4, 3, 2, 1], [0, 1, 2, 0]])
    keys = pair_keys(codes[:, :n_levels])
    assert torch.equal(keys, pair_keys(codes)[:, : keys.shape[1]])


def test_find_by_hand():
    stored = torch.tensor([2, 5, 9])
    assert find(stored, torch.tensor([[5, 0], [9, 10]])).tolist() == [[1, -1], [2, -1]]
    assert find(stored[:0], torch.tensor([5])).tolist() == [-1]
