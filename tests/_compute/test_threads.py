"""Blocks of rows on several threads."""

import threading

import numpy as np
import pytest
import torch
from sklearn import config_context, get_config

from sklearn_rqvae import ResidualKMeans, RQVAETransformer
from sklearn_rqvae._compute._threads import available_threads, in_threads, map_rows, undivided
from sklearn_rqvae._rows._source import blocks_of


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_of_the_parts():
    first_waits = threading.Event()

    def work(part):
        if part == 0:
            assert first_waits.wait(10)  # the second part is done before the first
        if part == 1:
            first_waits.set()
        return part * 10

    assert list(in_threads(work, range(7), 2)) == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize(("n_parts", "n_threads"), [(5, 1), (1, 4), (0, 4)])
def test_one_part_or_one_thread_stays_with_the_caller(n_parts, n_threads):
    names = in_threads(lambda _: threading.current_thread(), range(n_parts), n_threads)
    assert list(names) == [threading.current_thread()] * n_parts


def test_a_thread_multiplies_alone_and_the_callers_number_stays(three_threads):
    inside = list(in_threads(lambda _: torch.get_num_threads(), range(6), 3))
    assert inside == [1] * 6
    assert torch.get_num_threads() == 3
    alone = []
    after = threading.Thread(target=lambda: alone.append(torch.get_num_threads()))
    after.start()
    after.join()
    assert alone == [3]


def test_undivided_leaves_operations_to_one_thread_and_rows_to_all(three_threads):
    with undivided():
        assert torch.get_num_threads() == 1
        assert available_threads() == 3
        with undivided():
            assert available_threads() == 3
        parts = map_rows(lambda rows: (rows, threading.current_thread()), 1000, 128)
        inside = map_rows(lambda _: available_threads(), 1000, 128)
    assert torch.get_num_threads() == available_threads() == 3
    assert [rows for rows, _ in parts] == [slice(0, 384), slice(384, 768), slice(768, 1000)]
    assert threading.current_thread() not in {thread for _, thread in parts}
    assert inside == [1, 1, 1]


def test_undivided_gives_the_threads_back_after_an_error(three_threads):
    with pytest.raises(KeyError), undivided():
        raise KeyError
    assert torch.get_num_threads() == available_threads() == 3
    assert map_rows(lambda rows: (rows, threading.current_thread()), 1000, 128) == [
        (slice(0, 1000), threading.current_thread())
    ]
    assert map_rows(lambda rows: rows, 0, 128) == [slice(0, 0)]


@pytest.mark.parametrize("estimator", [RQVAETransformer, ResidualKMeans])
def test_a_fit_divides_no_operation_and_is_the_same_on_any_number_of_threads(
    estimator, monkeypatch
):
    X = np.random.default_rng(0).normal(size=(1500, 24)).astype(np.float32)
    X[:700] += 3
    divided = []
    eigh = torch.linalg.eigh
    monkeypatch.setattr(
        torch.linalg, "eigh", lambda a: divided.append(torch.get_num_threads()) or eigh(a)
    )
    fits = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            fits.append(estimator(codebook_size=32, random_state=0).fit(X))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert set(divided) == {1}
    for one, three in zip(*(fit.codebooks_ for fit in fits), strict=True):
        assert np.array_equal(one, three)
    assert np.array_equal(fits[0].transform(X), fits[1].transform(X))


def test_the_first_part_that_fails_says_so_and_the_rest_is_given_up():
    begun = []

    def work(part):
        begun.append(part)
        if part >= 2:
            raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 2"):
        list(in_threads(work, range(1000), 2))
    assert len(begun) < 1000


def test_scikit_learns_settings_hold_in_the_threads():
    with config_context(assume_finite=True):
        inside = list(in_threads(lambda _: get_config()["assume_finite"], range(4), 2))
    assert inside == [True] * 4


@pytest.mark.parametrize("n_samples", [1, 256, 257, 5000, 100_003])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 16])
def test_blocks_cover_all_rows_once_and_share_the_work(n_samples, n_threads):
    blocks = list(blocks_of(n_samples, 768, n_threads))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert blocks[-1].stop == n_samples
    sizes = {block.stop - block.start for block in blocks[:-1]}
    assert len(sizes) <= 1
    assert all(size % 256 == 0 for size in sizes)
    if n_samples > 10_000:
        assert len(blocks) >= 0.8 * -(-len(blocks) // n_threads) * n_threads


@pytest.mark.parametrize("estimator", [RQVAETransformer(), ResidualKMeans()])
def test_threads_change_nothing(estimator, three_threads):
    X = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    estimator = estimator.set_params(codebook_size=16, random_state=0).fit(X[:800])
    several = estimator.transform(X), estimator.score(X)
    decoded = estimator.inverse_transform(several[0])
    torch.set_num_threads(1)
    np.testing.assert_array_equal(estimator.transform(X), several[0])
    np.testing.assert_array_equal(estimator.inverse_transform(several[0]), decoded)
    assert estimator.score(X) == pytest.approx(several[1], rel=1e-12)


def test_a_bad_row_or_code_is_named_from_the_threads(three_threads):
    X = np.random.default_rng(0).normal(size=(3000, 700)).astype(np.float32)
    estimator = ResidualKMeans(codebook_size=8, random_state=0).fit(X[:300])
    codes = estimator.transform(X)
    X[2500, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        estimator.transform(X)
    codes[2900, 1] = 8
    with pytest.raises(ValueError, match="8"):
        estimator.inverse_transform(codes)
